-- Hands back what a claim of this node holds of an adopted table although the node does not know it.
-- $1 token  $2 node_id
WITH c AS MATERIALIZED (
  SELECT token, ids FROM {claim} WHERE token = $1::bigint AND node_id = $2::bigint FOR UPDATE
), f AS (
  UPDATE {job} x
  SET status = CASE WHEN x.attempts = 0 THEN 'pending' ELSE 'retrying' END, scheduled_at = rowcrew.clock_now(), moved = pg_current_xact_id()
  FROM c, unnest(c.ids) AS i (id)
  WHERE x.id = ANY (ARRAY[i.id]) AND x.token = c.token AND x.status = 'processing'
  RETURNING x.id, x.status, x.crashes, x.scheduled_at AS due, 'released' AS outcome, NULL::text AS code, NULL::text AS message,
            0 AS counts, NULL::int AS duration_ms
), g AS (
  UPDATE {table} q SET {status} = {word}{set_ended} FROM f
  WHERE q.{key} = ANY (ARRAY[f.id]) AND {is_processing}
  RETURNING q.{key} AS id, {queue} AS queue, {priority} AS priority, f.crashes, f.status
), r AS (
  INSERT INTO {ready} (run_at, id, priority, queue) SELECT rowcrew.clock_now(), id, priority, queue FROM g WHERE crashes = 0
), p AS (
  INSERT INTO {parked} (run_at, id, priority, queue, reason)
  SELECT rowcrew.clock_now(), id, priority, queue, rowcrew.parked_reason(status, crashes) FROM g WHERE crashes > 0
), d AS (
  DELETE FROM {claim} WHERE token = (SELECT token FROM c)
), l AS MATERIALIZED (
  SELECT rowcrew.adopted_drop_left({table_name}, ARRAY(SELECT id::text FROM f EXCEPT SELECT id::text FROM g))
  WHERE (SELECT count(*) FROM f) > (SELECT count(*) FROM g)  -- decided before the function is called
)
SELECT id::text FROM g WHERE (SELECT count(*) FROM l) >= 0
