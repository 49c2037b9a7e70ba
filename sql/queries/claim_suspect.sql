-- Claims one suspect (a job that has met the death of two nodes), to be run alone on its node.
-- $1 token  $2 node_id  $3 epoch  $4 queues text[]
-- Returns at most one job, columns as in claim. A stale hint is dropped and nothing returned.
WITH c AS MATERIALIZED (
  DELETE FROM {parked} WHERE ctid = ANY (ARRAY(
    SELECT p.ctid FROM {parked} p
    WHERE p.reason = 'suspect' AND p.queue = ANY ($4::text[]) AND p.run_at <= rowcrew.clock()
    ORDER BY p.run_at LIMIT 1 FOR UPDATE SKIP LOCKED))
  RETURNING id, run_at, priority, queue
), u AS (
  UPDATE {table} q
  SET status = 'processing', started_at = rowcrew.clock(), claim_token = $1::bigint, worker_id = $2::bigint
  FROM c
  WHERE q.id = ANY (ARRAY[c.id]) AND q.status IN ('pending', 'retrying') AND q.queue = c.queue
    AND q.scheduled_at <= rowcrew.clock_now()
  RETURNING q.id, {job_type} AS job_type, q.queue, {payload} AS payload, q.attempts, q.max_attempts,
            q.crashes, (extract(epoch FROM c.run_at) * 1000000)::bigint AS run_at_us, c.priority, {app} AS app
), k AS (
  INSERT INTO {claim} (token, node_id, epoch, alone, ids)
  SELECT $1::bigint, $2::bigint, $3::bigint, true, array_agg(id) FROM u HAVING count(*) > 0
), m AS (
  INSERT INTO {parked} (run_at, id, priority, queue, reason)
  SELECT greatest(q.scheduled_at, rowcrew.clock_now()), q.id, q.priority, q.queue,
         rowcrew.parked_reason(q.status, q.crashes)
  FROM (SELECT id FROM c EXCEPT SELECT id FROM u) stale
  JOIN {table} q ON q.id = ANY (ARRAY[stale.id])
  WHERE q.status IN ('pending', 'retrying')
)
SELECT id, job_type, queue, payload, attempts, max_attempts, crashes, run_at_us, priority, app FROM u
