-- Moves jobs whose time has come from parked to ready. Those that a node's death has met stay: they
-- are claimed from there.
-- $1 at most this many  $2 from where to read, in microseconds since the epoch: what was moved before may not be
-- removed while there is an old snapshot, and would be read each time (null: everything). Any node may run it at any time.
-- Returns how many, the last one's time, and up to what time all is moved that was seen to be due: what was filed
-- in the last two seconds may not have been visible.
WITH p AS (
  DELETE FROM {parked} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {parked} WHERE run_at <= rowcrew.clock() AND run_at >= coalesce('epoch'::timestamptz + $2::bigint * interval '1 us', '-infinity')
      AND reason NOT IN ('rescued', 'suspect')
    ORDER BY run_at LIMIT $1::int FOR UPDATE SKIP LOCKED))
  RETURNING id, priority, queue, run_at
), f AS MATERIALIZED (  -- behind rules about limits, where there are any
  SELECT rowcrew.file_due({table_name}, ARRAY(SELECT id FROM p)) WHERE EXISTS (SELECT FROM rowcrew.job_limit)
), r AS (
  INSERT INTO {ready} (run_at, id, priority, queue)
  SELECT rowcrew.clock_now(), id, priority, queue FROM p WHERE NOT EXISTS (SELECT FROM rowcrew.job_limit)
)
SELECT count(*), (date_part('epoch', max(run_at)) * 1000000)::bigint, (date_part('epoch', rowcrew.clock()) * 1000000)::bigint - 2000000 FROM p WHERE (SELECT count(*) FROM f) >= 0
