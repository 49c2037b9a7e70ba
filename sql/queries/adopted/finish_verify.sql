-- Which of these jobs of an adopted table did end under the presented token, although the answer was
-- lost? Of completed ones no companion is left to tell. $1 ids text[]  $2 tokens bigint[]
SELECT u.id::text FROM unnest($1::{key_type}[], $2::bigint[]) AS u (id, token)
JOIN {table} q ON q.{key} = ANY (ARRAY[u.id])
LEFT JOIN {job} x ON x.id = ANY (ARRAY[u.id])
WHERE CASE WHEN x.id IS NULL THEN q.{status} = {completed} ELSE x.token = u.token AND x.status <> 'processing' END
