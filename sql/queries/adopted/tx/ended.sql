-- As tx/ended, for jobs of an adopted table. $1 ids text[]  $2 tokens bigint[]
-- No companion is left of one that completed: then the claim tells that it was ours. What is waited for is the
-- table's own row; the companion is read as it was before, and is ours while the claim stands.
SELECT u.id::text, CASE WHEN q.{status} = {completed} THEN 'completed' ELSE 'processing' END
FROM unnest($1::{key_type}[], $2::bigint[]) AS u (id, token)
JOIN {table} q ON q.{key} = ANY (ARRAY[u.id]) LEFT JOIN {job} x ON x.id = ANY (ARRAY[u.id])
WHERE x.token = u.token OR (x.id IS NULL AND EXISTS (SELECT FROM {claim} c WHERE c.token = u.token))
FOR NO KEY UPDATE OF q
