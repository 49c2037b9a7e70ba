-- Claims jobs of an adopted table that one node's death has met, each under a claim of its own.
-- Parameters and result as in claim_rescued.
-- $1 tokens bigint[], one per job at most  $2 node_id  $3 epoch  $4 queues text[]  $5 how many of each int[]
-- $6 text[]: of these jobs only; null: of all
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
  SET {status} = {processing}{set_claimed}
  FROM t LEFT JOIN {job} x ON x.id = ANY (ARRAY[t.id])
  WHERE q.{key} = ANY (ARRAY[t.id]) AND {is_waiting} AND {queue} = t.queue
    AND coalesce({due} <= rowcrew.clock_now(), true) AND coalesce(x.crashes, 0) = 1 AND {unlimited}
  RETURNING q.{key} AS id, {job_type} AS job_type, t.queue, {carried} AS payload, {attempts} AS attempts, {max_attempts} AS max_attempts,
            1 AS crashes, (extract(epoch FROM t.run_at) * 1000000)::bigint AS run_at_us, t.priority, {app} AS app, t.token
), f AS (
  INSERT INTO {job} (id, token, status) SELECT u.id, u.token, 'processing' FROM u
  ON CONFLICT (id) DO UPDATE SET token = excluded.token, status = 'processing', claimed_at = rowcrew.clock()
), k AS (
  INSERT INTO {claim} (token, node_id, epoch, ids)
  SELECT u.token, $2::bigint, $3::bigint, ARRAY[u.id] FROM u
), m AS MATERIALIZED (
  SELECT rowcrew.adopted_file_truth({table_name}, ARRAY(
    SELECT stale.id::text FROM (SELECT id FROM t EXCEPT SELECT id FROM u) stale
    JOIN {table} q ON q.{key} = ANY (ARRAY[stale.id]) LEFT JOIN {job} x ON x.id = ANY (ARRAY[stale.id])
    WHERE {is_waiting} AND (x.crashes > 0 OR {due} > rowcrew.clock_now())))
  WHERE (SELECT count(*) FROM t) > (SELECT count(*) FROM u)  -- decided before the function is called
)
SELECT id::text, job_type, queue, payload, attempts, max_attempts, crashes, run_at_us, priority, app, token FROM u WHERE (SELECT count(*) FROM m) >= 0
