-- Which of the jobs of an adopted table that this node runs are no longer its own (set to another
-- status, deleted, rescued)? $1 ids text[]  $2 tokens bigint[]
SELECT u.id::text, u.token, coalesce(q.{status}::text, 'deleted') FROM unnest($1::{key_type}[], $2::bigint[]) AS u (id, token)
LEFT JOIN {table} q ON q.{key} = ANY (ARRAY[u.id])
LEFT JOIN {job} x ON x.id = ANY (ARRAY[u.id])
WHERE q.{key} IS NULL OR x.token IS DISTINCT FROM u.token OR x.status <> 'processing' OR NOT {is_processing}
