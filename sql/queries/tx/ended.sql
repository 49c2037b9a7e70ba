-- After a transaction whose commit's fate is unknown: which of these jobs did it end? $1 ids uuid[]
-- $2 tokens bigint[]
-- Waits, up to lock_timeout, for a transaction that still holds the rows: it may be that one.
SELECT q.id, q.status FROM unnest($1::uuid[], $2::bigint[]) AS u (id, token)
JOIN {table} q ON q.id = ANY (ARRAY[u.id])
WHERE q.claim_token = u.token
FOR NO KEY UPDATE OF q
