-- Files hints for jobs of an adopted table that still have none; those without a claim wait again.
-- $1 ids text[]
WITH o AS MATERIALIZED (
  SELECT x.id, x.token FROM {job} x JOIN {table} q ON q.{key} = ANY (ARRAY[x.id])
  WHERE x.id = ANY ($1::{key_type}[]) AND x.status = 'processing' AND {is_processing}
    AND NOT EXISTS (SELECT FROM {claim} c WHERE c.token = x.token)
  ORDER BY x.id FOR NO KEY UPDATE OF x, q SKIP LOCKED
), f AS (
  UPDATE {job} x
  SET status = CASE WHEN x.attempts = 0 THEN 'pending' ELSE 'retrying' END, scheduled_at = rowcrew.clock_now(), moved = pg_current_xact_id()
  FROM o WHERE x.id = ANY (ARRAY[o.id])
  RETURNING x.id, x.status, x.crashes, x.scheduled_at AS due, 'released' AS outcome, NULL::text AS code, NULL::text AS message,
            0 AS counts, NULL::int AS duration_ms
), g AS (
  UPDATE {table} q SET {status} = {word}{set_ended} FROM f
  WHERE q.{key} = ANY (ARRAY[f.id]) AND {is_processing}
  RETURNING q.{key} AS id, {queue} AS queue, {priority} AS priority, f.crashes, f.due, f.status
), j AS MATERIALIZED (
  SELECT q.{key} AS id, {queue} AS queue, {priority} AS priority, coalesce(x.crashes, 0) AS crashes, greatest({due}, rowcrew.clock_now()) AS due,
         coalesce(x.status, 'pending') AS status
  FROM {table} q LEFT JOIN {job} x ON x.id = ANY (ARRAY[q.{key}])
  WHERE q.{key} = ANY ($1::{key_type}[]) AND {is_waiting}
    AND NOT EXISTS (SELECT FROM {ready} r WHERE r.id = q.{key})
    AND NOT EXISTS (SELECT FROM {parked} p WHERE p.id = q.{key})
    AND NOT EXISTS (SELECT FROM {limited} l WHERE l.id = q.{key})
  ORDER BY q.{key} FOR NO KEY UPDATE OF q SKIP LOCKED
), p AS (
  INSERT INTO {parked} (run_at, id, priority, queue, reason)
  SELECT due, id, priority, queue, rowcrew.parked_reason(status, crashes) FROM (TABLE g UNION ALL TABLE j) w
)
SELECT id::text FROM g UNION ALL SELECT id::text FROM j
