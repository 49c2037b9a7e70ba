-- Jobs of an adopted table that wait but have no hint, and those that run under a claim of ours that
-- does not exist, within a range of heap pages. $1 first page  $2 how many pages
SELECT q.{key}::text FROM {table} q
WHERE q.ctid >= format('(%s,0)', $1::bigint)::tid AND q.ctid < format('(%s,0)', $1::bigint + $2::bigint)::tid
  AND {is_waiting}
  AND NOT EXISTS (SELECT FROM {ready} r WHERE r.id = q.{key})
  AND NOT EXISTS (SELECT FROM {parked} p WHERE p.id = q.{key})
  AND NOT EXISTS (SELECT FROM {limited} l WHERE l.id = q.{key})
UNION ALL
SELECT q.{key}::text FROM {table} q JOIN {job} x ON x.id = q.{key}
WHERE q.ctid >= format('(%s,0)', $1::bigint)::tid AND q.ctid < format('(%s,0)', $1::bigint + $2::bigint)::tid
  AND {is_processing} AND x.status = 'processing'
  AND NOT EXISTS (SELECT FROM {claim} c WHERE c.token = x.token)
