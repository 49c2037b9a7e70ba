-- Hands back claimed jobs of an adopted table whose type no handler of this node serves; they come
-- back after $4 ms. $1 ids text[]  $2 tokens bigint[]  $3 tokens bigint[] whose batch has ended with
-- this  $4 delay in ms
WITH f AS (
  UPDATE {job} x
  SET status = CASE WHEN x.attempts = 0 THEN 'pending' ELSE 'retrying' END, moved = pg_current_xact_id(),
      scheduled_at = rowcrew.clock_now() + $4::bigint * interval '1 ms'
  FROM unnest($1::{key_type}[], $2::bigint[]) AS u (id, token)
  WHERE x.id = ANY (ARRAY[u.id]) AND x.token = u.token AND x.status = 'processing'
  RETURNING x.id, u.token, x.status, x.crashes, x.scheduled_at AS due, 'released' AS outcome, NULL::text AS code, NULL::text AS message,
            0 AS counts, NULL::int AS duration_ms
), g AS (
  UPDATE {table} q SET {status} = {word}{set_ended} FROM f
  WHERE q.{key} = ANY (ARRAY[f.id]) AND {is_processing}
  RETURNING q.{key} AS id, {queue} AS queue, {priority} AS priority, f.crashes, f.due, f.status
), p AS (
  INSERT INTO {parked} (run_at, id, priority, queue, reason)
  SELECT due, id, priority, queue, rowcrew.parked_reason(status, crashes) FROM g
), l AS MATERIALIZED (  -- while the claims are there to tell of
  SELECT rowcrew.units_back({table_name}, array_agg(f.id::text), array_agg(f.token)) FROM f HAVING count(*) > 0
), d AS (
  DELETE FROM {claim} WHERE token = ANY ($3::bigint[]) AND (SELECT count(*) FROM l) >= 0
), n AS MATERIALIZED (
  SELECT rowcrew.adopted_drop_left({table_name}, ARRAY(SELECT id::text FROM f EXCEPT SELECT id::text FROM g))
  WHERE (SELECT count(*) FROM f) > (SELECT count(*) FROM g)  -- decided before the function is called
)
SELECT id::text FROM g WHERE (SELECT count(*) FROM n) >= 0
