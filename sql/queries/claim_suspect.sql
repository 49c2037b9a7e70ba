-- Claims one suspect (a job that has met the death of two nodes), to be run alone on its node.
-- $1 token  $2 node_id  $3 epoch  $4 queues text[]
-- Returns at most one job, columns as in claim. A stale hint is filed again from the truth, and so is
-- that of a job whose keys have no room; nothing is returned then.
WITH c AS MATERIALIZED (
  DELETE FROM {parked} WHERE ctid = ANY (ARRAY(
    SELECT y.hint FROM unnest($4::text[]) AS w (queue), LATERAL (  -- queue by queue: the oldest of each is the first of an index
      SELECT p.ctid AS hint, p.run_at FROM {parked} p
      WHERE p.reason = 'suspect' AND p.queue = w.queue AND p.run_at <= rowcrew.clock()
      ORDER BY p.run_at LIMIT 1 FOR UPDATE SKIP LOCKED) y
    ORDER BY y.run_at LIMIT 1))
  RETURNING id, run_at, priority, queue
), j AS MATERIALIZED (  -- the row first, so that permits are taken once
  SELECT q.id, CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.job_limit)) THEN rowcrew.keys_of(q.queue, {limit_columns}) END AS keys
  FROM c JOIN {table} q ON q.id = ANY (ARRAY[c.id])
  WHERE q.status IN ('pending', 'retrying') AND q.queue = c.queue AND q.scheduled_at <= rowcrew.clock_now()
  FOR NO KEY UPDATE OF q
), g AS MATERIALIZED (
  SELECT j.id, rowcrew.take_keys(j.keys) AS held FROM j
), u AS (
  UPDATE {table} q
  SET status = 'processing', started_at = rowcrew.clock(), claim_token = $1::bigint, worker_id = $2::bigint
  FROM c JOIN g ON g.id = c.id AND g.held IS NOT NULL
  WHERE q.id = ANY (ARRAY[c.id])
  RETURNING q.id, {job_type} AS job_type, q.queue, {carried} AS payload, q.attempts, q.max_attempts,
            q.crashes, (extract(epoch FROM c.run_at) * 1000000)::bigint AS run_at_us, c.priority, {app} AS app, g.held
), k AS (
  INSERT INTO {claim} (token, node_id, epoch, alone, ids, queue, keys)
  SELECT $1::bigint, $2::bigint, $3::bigint, true, ARRAY[id], queue, nullif(held, ARRAY[]::text[]) FROM u
), m AS MATERIALIZED (
  SELECT rowcrew.file_truth({table_name}, ARRAY(SELECT id FROM c EXCEPT SELECT id FROM u))
  WHERE (SELECT count(*) FROM c) > (SELECT count(*) FROM u)  -- decided before the function is called
)
SELECT id, job_type, queue, payload, attempts, max_attempts, crashes, run_at_us, priority, app FROM u WHERE (SELECT count(*) FROM m) >= 0
