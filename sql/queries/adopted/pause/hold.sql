-- Hands back claimed jobs of an adopted table that are paused: they wait in parked, with that reason,
-- until a resume releases them. The attempt does not count. $1 ids text[]  $2 tokens bigint[]
-- $3 tokens bigint[] whose batch has ended with this
WITH f AS (
  UPDATE {job} x
  SET status = CASE WHEN x.attempts = 0 THEN 'pending' ELSE 'retrying' END, moved = pg_current_xact_id()
  FROM unnest($1::{key_type}[], $2::bigint[]) AS u (id, token)
  WHERE x.id = ANY (ARRAY[u.id]) AND x.token = u.token AND x.status = 'processing'
  RETURNING x.id, u.token, x.status, x.crashes, coalesce(x.scheduled_at, rowcrew.clock_now()) AS due, 'released' AS outcome, NULL::text AS code,
            NULL::text AS message, 0 AS counts, NULL::int AS duration_ms
), g AS (
  UPDATE {table} q SET {status} = {word}{set_ended} FROM f
  WHERE q.{key} = ANY (ARRAY[f.id]) AND {is_processing}
  RETURNING q.{key} AS id, {queue} AS queue, {priority} AS priority, rowcrew.paused_key({job_type}, {tenant}) AS pause
), r AS (  -- it may have been resumed since they were looked at
  INSERT INTO {ready} (run_at, id, priority, queue) SELECT rowcrew.clock_now(), id, priority, queue FROM g WHERE pause IS NULL
), p AS (
  INSERT INTO {parked} (run_at, id, priority, queue, reason, key)
  SELECT rowcrew.clock() + interval '100 years', id, priority, queue, 'paused', pause FROM g WHERE pause IS NOT NULL
), l AS MATERIALIZED (  -- while the claims are there to tell of
  SELECT rowcrew.units_back({table_name}, array_agg(f.id::text), array_agg(f.token)), rowcrew.shelve_limited({table_name}, array_agg(f.token)) FROM f HAVING count(*) > 0
), d AS (
  DELETE FROM {claim} WHERE token = ANY ($3::bigint[]) AND (SELECT count(*) FROM l) >= 0
)
SELECT id::text FROM g
