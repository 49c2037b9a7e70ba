-- Results of jobs that this very transaction has ended. $1 ids uuid[]  $2 tokens bigint[]  $3 results text[], JSON
UPDATE {table} q SET {result} = u.result::jsonb
FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS u (id, token, result)
WHERE q.id = ANY (ARRAY[u.id]) AND q.claim_token = u.token AND q.status = 'completed'
