-- Rescues a page of claims on an adopted table whose nodes are dead or gone; parameters and result as in
-- reap, and the uuid for ports. Both rows of a job are locked before either is changed: the companion,
-- then the application's.
-- $1 max_crashes  $2 the last token of the page before (0 at first)  $3 text[] but these
-- $4 text[]: of these jobs only; null: of all
WITH d AS MATERIALIZED (
  SELECT k.token, k.ids, k.alone, k.node_id FROM {claim} k
  WHERE k.token > $2::bigint
    AND NOT EXISTS (SELECT FROM rowcrew.node n WHERE n.node_id = k.node_id AND n.epoch = k.epoch AND NOT n.dead)
  ORDER BY k.token LIMIT 200 FOR UPDATE OF k SKIP LOCKED
), c AS MATERIALIZED (
  SELECT y.token, y.ids, y.alone, y.node_id
  FROM (SELECT d.*, sum(cardinality(d.ids)) OVER (ORDER BY d.token) - cardinality(d.ids) AS before FROM d) y
  WHERE y.before < 1000
), j AS MATERIALIZED (
  SELECT x.id, c.token, c.node_id, c.alone, c.alone AND x.lonely_crashes + 1 >= $1::int AS poison,
         CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.cancel_request))
              THEN rowcrew.cancel_note({table_name}, rowcrew.job_uuid({table_name}, x.id)) END AS note
  FROM c, unnest(c.ids) AS i (id)
  JOIN {job} x ON x.id = ANY (ARRAY[i.id]) JOIN {table} q ON q.{key} = ANY (ARRAY[i.id])
  WHERE x.token = c.token AND x.status = 'processing' AND {is_processing}
    AND x.id <> ALL ($3::{key_type}[]) AND ($4::{key_type}[] IS NULL OR x.id = ANY ($4::{key_type}[]))
  ORDER BY i.id FOR NO KEY UPDATE OF x, q SKIP LOCKED
), f AS (
  UPDATE {job} x
  SET crashes = x.crashes + 1,
      lonely_crashes = CASE WHEN j.alone THEN x.lonely_crashes + 1 ELSE x.lonely_crashes END,
      status = CASE WHEN j.note IS NOT NULL THEN 'cancelled' WHEN j.poison THEN 'failed' ELSE 'retrying' END,
      error_code = CASE WHEN j.note IS NOT NULL THEN 'cancelled' WHEN j.poison THEN 'poison' ELSE 'crashed' END,
      error_message = CASE WHEN j.note IS NOT NULL THEN j.note
        WHEN j.poison THEN format('its node died %s times while running it alone', $1::int)
        ELSE format('node %s died while running it, death %s that it met', j.node_id, x.crashes + 1) END,
      scheduled_at = rowcrew.clock_now(), moved = pg_current_xact_id()
  FROM j WHERE x.id = ANY (ARRAY[j.id])
  RETURNING x.id, x.status, x.crashes, x.scheduled_at AS due, x.attempts, 'crashed' AS outcome, x.error_code AS code,
            x.error_message AS message, 0 AS counts, NULL::int AS duration_ms, j.node_id, j.token
), g AS (
  UPDATE {table} q SET {status} = {word}{set_ended}
  FROM f
  WHERE q.{key} = ANY (ARRAY[f.id])
  RETURNING f.token, q.{key} AS id, {job_type} AS job_type, {queue} AS queue, {priority} AS priority, f.status, f.crashes, f.attempts,
            {max_attempts} AS max_attempts, f.code, f.message, f.node_id, {app} AS app
), p AS (
  INSERT INTO {parked} (run_at, id, priority, queue, reason)
  SELECT rowcrew.clock_now(), id, priority, queue, rowcrew.parked_reason(status, crashes) FROM g WHERE status = 'retrying'
), a AS (
  INSERT INTO rowcrew.job_attempt (job_table, job_id, job_key, job_type, attempt, outcome, error_code, error_message, node_id)
  SELECT {table_name}, rowcrew.job_uuid({table_name}, id), id::text, job_type, attempts + 1, 'crashed', code, message, node_id FROM g
), e AS (
  INSERT INTO rowcrew.job_event (event, job_table, job_id, job_key, job_type, data)
  SELECT 'job.' || g.status, {table_name}, rowcrew.job_uuid({table_name}, g.id), g.id::text, g.job_type, jsonb_build_object('error_code', g.code)
  FROM g
  WHERE g.status IN ('failed', 'cancelled')
    AND EXISTS (SELECT FROM rowcrew.event_subscription s
                WHERE 'job.' || g.status = ANY (s.events) AND (s.job_types IS NULL OR g.job_type = ANY (s.job_types)))
), held AS MATERIALIZED (
  -- OFFSET keeps this a look per job: joined, it may be planned as a walk over all jobs.
  SELECT DISTINCT c.token FROM c, unnest(c.ids) AS i (id), LATERAL (
    SELECT FROM {job} x JOIN {table} q ON q.{key} = ANY (ARRAY[i.id])
    WHERE x.id = i.id AND x.token = c.token AND x.status = 'processing' AND {is_processing} OFFSET 0) h
  WHERE NOT EXISTS (SELECT FROM j WHERE j.id = i.id)
), z AS (  -- of jobs that the application ended or deleted meanwhile nothing is left to hold
  DELETE FROM {job} x USING c, unnest(c.ids) AS i (id)
  WHERE x.id = ANY (ARRAY[i.id]) AND x.token = c.token AND x.status = 'processing'
    AND NOT EXISTS (SELECT FROM {table} q WHERE q.{key} = ANY (ARRAY[i.id]) AND {is_processing})
), r AS (
  DELETE FROM {claim} k USING c
  WHERE k.token = ANY (ARRAY[c.token]) AND NOT EXISTS (SELECT FROM held WHERE held.token = c.token)
)
SELECT c.token, g.id::text, g.job_type, g.status, g.app, g.attempts, g.max_attempts, g.code, g.message,
       rowcrew.job_uuid({table_name}, g.id)
FROM c LEFT JOIN g ON g.token = c.token
ORDER BY c.token
