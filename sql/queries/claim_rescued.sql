-- Claims jobs that one node's death has met, to be run beside others but each under a claim of its
-- own: should this node die too, each is counted by itself.
-- $1 tokens bigint[], one per job at most  $2 node_id  $3 epoch  $4 queues text[]  $5 how many of each int[]
-- $6 text[]: of these jobs only; null: of all
-- Returns columns as claim does, and the token last. Stale hints are dropped or filed again.
WITH w AS MATERIALIZED (
  SELECT * FROM unnest($4::text[], $5::int[]) AS u (queue, n)
), c AS MATERIALIZED (
  DELETE FROM {parked} WHERE ctid = ANY (ARRAY(
    SELECT y.hint FROM w, LATERAL (
      SELECT p.ctid AS hint FROM {parked} p
      WHERE p.reason = 'rescued' AND p.queue = w.queue AND p.run_at <= rowcrew.clock()
        AND ($6::text[] IS NULL OR p.id::text = ANY ($6::text[]))
      ORDER BY p.run_at LIMIT w.n FOR UPDATE SKIP LOCKED) y
    LIMIT cardinality($1::bigint[])))
  RETURNING id, run_at, priority, queue
), t AS MATERIALIZED (
  SELECT c.*, ($1::bigint[])[row_number() OVER (ORDER BY c.id)] AS token FROM c
), u AS (
  UPDATE {table} q
  SET status = 'processing', started_at = rowcrew.clock(), claim_token = t.token, worker_id = $2::bigint
  FROM t
  WHERE q.id = ANY (ARRAY[t.id]) AND q.status IN ('pending', 'retrying') AND q.queue = t.queue
    AND q.scheduled_at <= rowcrew.clock_now() AND q.crashes = 1
    AND ((SELECT NOT EXISTS (SELECT FROM rowcrew.job_limit)) OR (rowcrew.keys_of(q.queue, {limit_columns})).grp IS NULL)
  RETURNING q.id, {job_type} AS job_type, q.queue, {carried} AS payload, q.attempts, q.max_attempts,
            q.crashes, (extract(epoch FROM t.run_at) * 1000000)::bigint AS run_at_us, t.priority, {app} AS app, t.token
), k AS (
  INSERT INTO {claim} (token, node_id, epoch, ids)
  SELECT u.token, $2::bigint, $3::bigint, ARRAY[u.id] FROM u
), m AS MATERIALIZED (
  -- One that is due and was acquitted has its hint from the trigger that saw it.
  SELECT rowcrew.file_truth({table_name}, ARRAY(
    SELECT stale.id FROM (SELECT id FROM t EXCEPT SELECT id FROM u) stale JOIN {table} q ON q.id = ANY (ARRAY[stale.id])
    WHERE q.crashes > 0 OR q.scheduled_at > rowcrew.clock_now()))
  WHERE (SELECT count(*) FROM t) > (SELECT count(*) FROM u)  -- decided before the function is called
)
SELECT id, job_type, queue, payload, attempts, max_attempts, crashes, run_at_us, priority, app, token FROM u WHERE (SELECT count(*) FROM m) >= 0
