-- How old claimed jobs of an adopted table are, and for how long they have been due, in ms: as far as its map names columns
-- that tell. $1 ids text[]
-- Whatever an application wrote there, infinity included, counts as between 1970 and now; nothing as now.
SELECT q.{key}::text, floor(extract(epoch FROM rowcrew.clock() - greatest(least({created}, rowcrew.clock()), 'epoch')) * 1000)::bigint,
       floor(extract(epoch FROM rowcrew.clock() - greatest(least(greatest({due}, {created}), rowcrew.clock()), 'epoch')) * 1000)::bigint
FROM unnest($1::{key_type}[]) AS u (id) JOIN {table} q ON q.{key} = ANY (ARRAY[u.id]) LEFT JOIN {job} x ON x.id = ANY (ARRAY[u.id])
