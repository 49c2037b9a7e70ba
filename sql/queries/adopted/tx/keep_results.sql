-- Results of jobs of an adopted table that this very transaction has ended, if the table has a column for them.
-- $1 ids text[]  $2 tokens bigint[]  $3 results text[], JSON
UPDATE {table} q SET {status} = q.{status}{set_result}
FROM unnest($1::{key_type}[], $2::bigint[], $3::text[]) AS u (id, token, result)
WHERE q.{key} = ANY (ARRAY[u.id]) AND q.{status} = {completed} AND {has_result}
