-- Claims one suspect of an adopted table, to be run alone. Parameters and result as in claim_suspect.
-- $1 token  $2 node_id  $3 epoch  $4 queues text[]
WITH c AS MATERIALIZED (
  DELETE FROM {parked} WHERE ctid = ANY (ARRAY(
    SELECT y.hint FROM unnest($4::text[]) AS w (queue), LATERAL (  -- queue by queue: the oldest of each is the first of an index
      SELECT p.ctid AS hint, p.run_at FROM {parked} p
      WHERE p.reason = 'suspect' AND p.queue = w.queue AND p.run_at <= rowcrew.clock()
      ORDER BY p.run_at LIMIT 1 FOR UPDATE SKIP LOCKED) y
    ORDER BY y.run_at LIMIT 1))
  RETURNING id, run_at, priority, queue
), j AS MATERIALIZED (  -- the row first, so that permits are taken once
  SELECT q.{key} AS id, {keys} AS keys
  FROM c JOIN {table} q ON q.{key} = ANY (ARRAY[c.id]) LEFT JOIN {job} x ON x.id = ANY (ARRAY[c.id])
  WHERE {is_waiting} AND {queue} = c.queue AND coalesce({due} <= rowcrew.clock_now(), true)
  FOR NO KEY UPDATE OF q
), h AS MATERIALIZED (
  SELECT j.id, rowcrew.take_keys(j.keys) AS held FROM j
), u AS (
  UPDATE {table} q
  SET {status} = {processing}{set_claimed}
  FROM c JOIN h ON h.id = c.id AND h.held IS NOT NULL LEFT JOIN {job} x ON x.id = ANY (ARRAY[c.id])
  WHERE q.{key} = ANY (ARRAY[c.id])
  RETURNING q.{key} AS id, {job_type} AS job_type, c.queue, {carried} AS payload, {attempts} AS attempts, {max_attempts} AS max_attempts,
            coalesce(x.crashes, 0) AS crashes, (extract(epoch FROM c.run_at) * 1000000)::bigint AS run_at_us, c.priority, {app} AS app, h.held
), f AS (
  INSERT INTO {job} (id, token, status) SELECT u.id, $1::bigint, 'processing' FROM u
  ON CONFLICT (id) DO UPDATE SET token = excluded.token, status = 'processing', claimed_at = rowcrew.clock()
), k AS (
  INSERT INTO {claim} (token, node_id, epoch, alone, ids, queue, keys)
  SELECT $1::bigint, $2::bigint, $3::bigint, true, ARRAY[id], queue, nullif(held, ARRAY[]::text[]) FROM u
), m AS MATERIALIZED (
  SELECT rowcrew.adopted_file_truth({table_name}, ARRAY(SELECT id::text FROM c EXCEPT SELECT id::text FROM u))
  WHERE (SELECT count(*) FROM c) > (SELECT count(*) FROM u)  -- decided before the function is called
)
SELECT id::text, job_type, queue, payload, attempts, max_attempts, crashes, run_at_us, priority, app FROM u WHERE (SELECT count(*) FROM m) >= 0
