-- The payload of a job that runs here and was too large for its claim to carry. $1 id  $2 token
-- No row: the claim was lost.
SELECT {payload} FROM {table} q WHERE q.id = $1::uuid AND q.claim_token = $2::bigint AND q.status = 'processing'
