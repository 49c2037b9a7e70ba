-- How old claimed jobs are, and for how long they have been due, in ms. $1 ids uuid[]
SELECT q.id, greatest(0, floor(extract(epoch FROM rowcrew.clock() - q.created_at) * 1000))::bigint,
       greatest(0, floor(extract(epoch FROM rowcrew.clock() - greatest(q.scheduled_at, q.created_at)) * 1000))::bigint
FROM unnest($1::uuid[]) AS u (id) JOIN {table} q ON q.id = ANY (ARRAY[u.id])
