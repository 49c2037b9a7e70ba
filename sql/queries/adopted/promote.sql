-- Moves jobs of an adopted table whose time has come from parked to ready; no limits are about them. Those that a node's death has met stay: they
-- are claimed from there.
-- $1 at most this many. Any node may run it at any time.
WITH p AS (
  DELETE FROM {parked} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {parked} WHERE run_at <= rowcrew.clock() AND reason NOT IN ('rescued', 'suspect')
    ORDER BY run_at LIMIT $1::int FOR UPDATE SKIP LOCKED))
  RETURNING id, priority, queue
)
INSERT INTO {ready} (run_at, id, priority, queue)
SELECT rowcrew.clock_now(), id, priority, queue FROM p
