-- Claims due jobs of several queues: one statement, one commit.
-- $1 token  $2 node_id  $3 epoch  $4 queues text[]  $5 how many of each int[]
-- $6 timestamptz[]: ten watermarks per queue, one per priority, in the order of $4
-- Returns the claimed jobs. Hints of jobs that are no longer waiting are dropped; those of jobs that
-- wait for later, or elsewhere, are filed again from the truth. When there were such hints, a row
-- per queue follows with a null id and, in place of run_at_us, how many hints were taken: as many as
-- were asked for means that more may be due.
-- Here and elsewhere "id = ANY (ARRAY[x.id])" says what "id = x.id" does, but can only be planned as
-- one look into the index per job. The plain form may become a walk over the whole of it, which is
-- cheapest while the table is empty, and the plan outlives that moment. A date_part in double precision tells
-- microseconds exactly until 2100, and at a quarter of the price of extract's numeric.
WITH w AS MATERIALIZED (
  SELECT * FROM unnest($4::text[], $5::int[]) WITH ORDINALITY AS u (queue, n, pos)
), c AS MATERIALIZED (
  DELETE FROM {ready} WHERE ctid = ANY (ARRAY(
    SELECT y.hint FROM w, LATERAL (
      SELECT x.hint FROM generate_series(0, 9) AS p (priority), LATERAL (
        SELECT r.ctid AS hint FROM {ready} r
        WHERE r.queue = w.queue AND r.priority = p.priority
          AND r.run_at >= ($6::timestamptz[])[(w.pos - 1) * 10 + p.priority + 1]
          AND r.run_at <= rowcrew.clock()
        ORDER BY r.run_at LIMIT w.n FOR UPDATE SKIP LOCKED) x
      LIMIT w.n) y))
  RETURNING id, run_at, priority, queue
), u AS (
  UPDATE {table} q
  SET status = 'processing', started_at = rowcrew.clock(), claim_token = $1::bigint, worker_id = $2::bigint
  FROM c
  WHERE q.id = ANY (ARRAY[c.id]) AND (q.status = 'pending' OR q.status = 'retrying') AND q.queue = c.queue AND q.priority = c.priority
    AND q.scheduled_at <= rowcrew.clock_now() AND q.crashes = 0
  RETURNING q.id, {job_type} AS job_type, q.queue, {carried} AS payload, q.attempts, q.max_attempts,
            q.crashes, (date_part('epoch', c.run_at) * 1000000)::bigint AS run_at_us, c.priority, {app} AS app
), k AS (
  INSERT INTO {claim} (token, node_id, epoch, ids)
  SELECT $1::bigint, $2::bigint, $3::bigint, array_agg(id) FROM u HAVING count(*) > 0
  RETURNING cardinality(ids) AS jobs
)
SELECT id, job_type, queue, payload, attempts, max_attempts, crashes, run_at_us, priority, app FROM u
UNION ALL
SELECT NULL, NULL, t.queue, NULL, NULL, NULL, NULL, t.taken, NULL, NULL
FROM rowcrew.file_again({table_name}, ARRAY(SELECT id FROM c), ARRAY(SELECT queue FROM c), ARRAY(SELECT id FROM u), (SELECT min(run_at) FROM c)) t
WHERE (SELECT count(*) FROM c) > coalesce((SELECT jobs FROM k), 0)  -- decided before the function is called
