-- How old claimed jobs of an adopted table are, and for how long they have been due, in ms: as far as
-- its map names columns that tell. $1 ids text[]
SELECT q.{key}::text, coalesce(greatest(0, floor(extract(epoch FROM rowcrew.clock() - {created}) * 1000)), 0)::bigint,
       coalesce(greatest(0, floor(extract(epoch FROM rowcrew.clock() - greatest({due}, {created})) * 1000)), 0)::bigint
FROM unnest($1::{key_type}[]) AS u (id) JOIN {table} q ON q.{key} = ANY (ARRAY[u.id]) LEFT JOIN {job} x ON x.id = ANY (ARRAY[u.id])
