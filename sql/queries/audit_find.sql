-- Jobs that wait but have no hint, and jobs that run under a claim that does not exist, within a
-- range of heap pages. $1 first page  $2 how many pages
-- Each find is looked at again later under a lock (audit_heal): between commits of others this
-- snapshot may be unlucky, and a healthy fleet heals nothing.
-- Two halves, because under an OR the comparisons could not be planned as joins of sets.
SELECT q.id FROM {table} q
WHERE q.ctid >= format('(%s,0)', $1::bigint)::tid AND q.ctid < format('(%s,0)', $1::bigint + $2::bigint)::tid
  AND q.status IN ('pending', 'retrying')
  AND NOT EXISTS (SELECT FROM {ready} r WHERE r.id = q.id)
  AND NOT EXISTS (SELECT FROM {parked} p WHERE p.id = q.id)
  AND NOT EXISTS (SELECT FROM {limited} l WHERE l.id = q.id)
UNION ALL
SELECT q.id FROM {table} q
WHERE q.ctid >= format('(%s,0)', $1::bigint)::tid AND q.ctid < format('(%s,0)', $1::bigint + $2::bigint)::tid
  AND q.status = 'processing'
  AND NOT EXISTS (SELECT FROM {claim} c WHERE c.token = q.claim_token)
