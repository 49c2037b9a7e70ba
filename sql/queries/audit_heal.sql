-- Files hints for jobs that still have none. $1 ids uuid[]
-- A job without a claim goes back to waiting, which makes the trigger file it.
WITH j AS MATERIALIZED (
  SELECT q.id, q.status, q.priority, q.queue, q.scheduled_at, q.crashes, q.claim_token, q.attempts
  FROM {table} q WHERE q.id = ANY ($1::uuid[])
  ORDER BY q.id FOR NO KEY UPDATE SKIP LOCKED
), p AS (
  INSERT INTO {parked} (run_at, id, priority, queue, reason)
  SELECT greatest(j.scheduled_at, rowcrew.clock_now()), j.id, j.priority, j.queue,
         rowcrew.parked_reason(j.status, j.crashes)
  FROM j
  WHERE j.status IN ('pending', 'retrying')
    AND NOT EXISTS (SELECT FROM {ready} r WHERE r.id = j.id)
    AND NOT EXISTS (SELECT FROM {parked} x WHERE x.id = j.id)
    AND NOT EXISTS (SELECT FROM {limited} l WHERE l.id = j.id)
  RETURNING id
), u AS (
  UPDATE {table} q
  SET status = CASE WHEN q.attempts = 0 THEN 'pending' ELSE 'retrying' END, scheduled_at = rowcrew.clock_now()
  FROM j
  WHERE q.id = ANY (ARRAY[j.id]) AND j.status = 'processing' AND q.claim_token = j.claim_token
    AND NOT EXISTS (SELECT FROM {claim} c WHERE c.token = j.claim_token)
  RETURNING q.id
)
SELECT id FROM p UNION ALL SELECT id FROM u
