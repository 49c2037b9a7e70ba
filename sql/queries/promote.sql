-- Moves jobs whose time has come from parked to ready. Those that a node's death has met stay: they
-- are claimed from there.
-- $1 at most this many. Any node may run it at any time.
WITH p AS (
  DELETE FROM {parked} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {parked} WHERE run_at <= rowcrew.clock() AND reason NOT IN ('rescued', 'suspect')
    ORDER BY run_at LIMIT $1::int FOR UPDATE SKIP LOCKED))
  RETURNING id, priority, queue
), f AS MATERIALIZED (  -- behind rules about limits, where there are any
  SELECT rowcrew.file_due({table_name}, ARRAY(SELECT id FROM p)) WHERE EXISTS (SELECT FROM rowcrew.job_limit)
), r AS (
  INSERT INTO {ready} (run_at, id, priority, queue)
  SELECT rowcrew.clock_now(), id, priority, queue FROM p WHERE NOT EXISTS (SELECT FROM rowcrew.job_limit)
)
SELECT p.id FROM p WHERE (SELECT count(*) FROM f) >= 0
