-- Which of these claimed jobs of an adopted table are of a type or tenant that is paused? $1 ids text[]
SELECT q.{key}::text FROM unnest($1::{key_type}[]) AS u (id)
JOIN {table} q ON q.{key} = ANY (ARRAY[u.id])
WHERE rowcrew.paused_key({job_type}, {tenant}) IS NOT NULL
