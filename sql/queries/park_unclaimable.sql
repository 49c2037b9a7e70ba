-- A job that cannot be claimed, whoever tries: out of the way of claims for a while, with what was said of it.
-- $1 id  $2 queues text[], of which one is its own  $3 delay in ms  $4 what the database said
WITH w AS (
  SELECT * FROM unnest($2::text[]) AS u (queue)
), r AS (
  DELETE FROM {ready} WHERE ctid = ANY (ARRAY(
    SELECT y.hint FROM w, LATERAL (
      SELECT x.ctid AS hint FROM {ready} x
      WHERE x.queue = w.queue AND x.run_at <= rowcrew.clock() AND x.id = $1::{key_type}
      ORDER BY x.priority, x.run_at LIMIT 1 FOR UPDATE SKIP LOCKED) y))
  RETURNING id, priority, queue
), p AS (
  DELETE FROM {parked} WHERE ctid = ANY (ARRAY(
    SELECT y.hint FROM w, LATERAL (
      SELECT x.ctid AS hint FROM {parked} x
      WHERE x.reason IN ('rescued', 'suspect') AND x.queue = w.queue AND x.run_at <= rowcrew.clock() AND x.id = $1::{key_type}
      ORDER BY x.run_at LIMIT 1 FOR UPDATE SKIP LOCKED) y))
  RETURNING id, priority, queue
)
INSERT INTO {parked} (run_at, id, priority, queue, reason, key)
SELECT rowcrew.clock_now() + $3::bigint * interval '1 ms', h.id, h.priority, h.queue, 'unclaimable', left($4::text, 500)
FROM (SELECT * FROM r UNION ALL SELECT * FROM p) h LIMIT 1
