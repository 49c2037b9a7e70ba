-- Which of these claimed jobs are of a type or tenant that is paused? $1 ids uuid[]
SELECT q.id FROM unnest($1::uuid[]) AS u (id)
JOIN {table} q ON q.id = ANY (ARRAY[u.id])
WHERE rowcrew.paused_key({job_type}, q.tenant) IS NOT NULL
