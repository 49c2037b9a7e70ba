-- How old claimed jobs are, and for how long they have been due, in ms. $1 ids uuid[]
-- Whatever a producer wrote there, infinity included, counts as between 1970 and now.
SELECT q.id, floor(extract(epoch FROM rowcrew.clock() - greatest(least(q.created_at, rowcrew.clock()), 'epoch')) * 1000)::bigint,
       floor(extract(epoch FROM rowcrew.clock() - greatest(least(greatest(q.scheduled_at, q.created_at), rowcrew.clock()), 'epoch')) * 1000)::bigint
FROM unnest($1::uuid[]) AS u (id) JOIN {table} q ON q.id = ANY (ARRAY[u.id])
