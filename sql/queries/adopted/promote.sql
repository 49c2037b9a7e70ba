-- Moves jobs of an adopted table whose time has come from parked to ready. Those that
-- a node's death has met stay: they are claimed from there.
-- Parameters and result as in promote.
WITH p AS (
  DELETE FROM {parked} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {parked} WHERE run_at <= rowcrew.clock() AND run_at >= coalesce('epoch'::timestamptz + $2::bigint * interval '1 us', '-infinity')
      AND reason NOT IN ('rescued', 'suspect')
    ORDER BY run_at LIMIT $1::int FOR UPDATE SKIP LOCKED))
  RETURNING id, priority, queue, run_at
), r AS (
  INSERT INTO {ready} (run_at, id, priority, queue)
  SELECT rowcrew.clock_now(), id, priority, queue FROM p
)
SELECT count(*), (date_part('epoch', max(run_at)) * 1000000)::bigint, (date_part('epoch', rowcrew.clock()) * 1000000)::bigint - 2000000 FROM p
