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
), u AS (
  UPDATE {table} q
  SET {status} = {processing}{set_claimed}
  FROM c LEFT JOIN {job} x ON x.id = ANY (ARRAY[c.id])
  WHERE q.{key} = ANY (ARRAY[c.id]) AND {is_waiting} AND {queue} = c.queue
    AND coalesce({due} <= rowcrew.clock_now(), true)
  RETURNING q.{key} AS id, {job_type} AS job_type, c.queue, {carried} AS payload, {attempts} AS attempts, {max_attempts} AS max_attempts,
            coalesce(x.crashes, 0) AS crashes, (extract(epoch FROM c.run_at) * 1000000)::bigint AS run_at_us, c.priority, {app} AS app
), f AS (
  INSERT INTO {job} (id, token, status) SELECT u.id, $1::bigint, 'processing' FROM u
  ON CONFLICT (id) DO UPDATE SET token = excluded.token, status = 'processing', claimed_at = rowcrew.clock()
), k AS (
  INSERT INTO {claim} (token, node_id, epoch, alone, ids)
  SELECT $1::bigint, $2::bigint, $3::bigint, true, array_agg(id) FROM u HAVING count(*) > 0
), m AS (
  INSERT INTO {parked} (run_at, id, priority, queue, reason)
  SELECT greatest({due}, rowcrew.clock_now()), q.{key}, {priority}, {queue},
         rowcrew.parked_reason(coalesce(x.status, 'pending'), coalesce(x.crashes, 0))
  FROM (SELECT id FROM c EXCEPT SELECT id FROM u) stale
  JOIN {table} q ON q.{key} = ANY (ARRAY[stale.id]) LEFT JOIN {job} x ON x.id = ANY (ARRAY[stale.id])
  WHERE {is_waiting}
)
SELECT id::text, job_type, queue, payload, attempts, max_attempts, crashes, run_at_us, priority, app FROM u
