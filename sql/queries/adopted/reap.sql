-- Rescues one claim on an adopted table whose node is dead or gone; parameters and result as in reap.
-- Both rows of a job are locked before either is changed: the companion, then the application's.
-- $1 max_crashes  $2 tokens bigint[] to leave alone this time
WITH c AS MATERIALIZED (
  SELECT k.token, k.ids, k.alone, k.node_id FROM {claim} k
  WHERE k.token <> ALL ($2::bigint[])
    AND NOT EXISTS (SELECT FROM rowcrew.node n WHERE n.node_id = k.node_id AND n.epoch = k.epoch AND NOT n.dead)
  LIMIT 1 FOR UPDATE OF k SKIP LOCKED
), j AS MATERIALIZED (
  SELECT x.id FROM c, unnest(c.ids) AS i (id)
  JOIN {job} x ON x.id = ANY (ARRAY[i.id]) JOIN {table} q ON q.{key} = ANY (ARRAY[i.id])
  WHERE x.token = c.token AND x.status = 'processing' AND {is_processing}
  ORDER BY i.id FOR NO KEY UPDATE OF x, q SKIP LOCKED
), f AS (
  UPDATE {job} x
  SET crashes = CASE WHEN c.alone THEN x.crashes + 1 ELSE greatest(x.crashes, 1) END,
      status = CASE WHEN c.alone AND x.crashes >= $1::int THEN 'failed' ELSE 'retrying' END,
      error_code = CASE WHEN c.alone AND x.crashes >= $1::int THEN 'poison' ELSE 'crashed' END,
      error_message = CASE WHEN c.alone AND x.crashes >= $1::int
        THEN format('its node died %s times while running it alone', $1::int)
        ELSE format('node %s died while running it', c.node_id) END,
      scheduled_at = rowcrew.clock_now(), moved = pg_current_xact_id()
  FROM c, j WHERE x.id = ANY (ARRAY[j.id])
  RETURNING x.id, x.status, x.crashes, x.scheduled_at AS due, x.attempts, 'crashed' AS outcome, x.error_code AS code,
            x.error_message AS message, 0 AS counts, NULL::int AS duration_ms, c.node_id
), g AS (
  UPDATE {table} q SET {status} = {word}{set_ended}
  FROM f
  WHERE q.{key} = ANY (ARRAY[f.id])
  RETURNING q.{key} AS id, {job_type} AS job_type, {queue} AS queue, {priority} AS priority, f.status, f.attempts, {max_attempts} AS max_attempts,
            f.code, f.message, f.node_id, {app} AS app
), p AS (
  INSERT INTO {parked} (run_at, id, priority, queue, reason)
  SELECT rowcrew.clock_now(), id, priority, queue, 'suspect' FROM g WHERE status = 'retrying'
), a AS (
  INSERT INTO rowcrew.job_attempt (job_table, job_id, job_key, job_type, attempt, outcome, error_code, error_message, node_id)
  SELECT {table_name}, rowcrew.job_uuid({table_name}, id), id::text, job_type, attempts + 1, 'crashed', code, message, node_id FROM g
), e AS (
  INSERT INTO rowcrew.job_event (event, job_table, job_id, job_key, job_type, data)
  SELECT 'job.failed', {table_name}, rowcrew.job_uuid({table_name}, g.id), g.id::text, g.job_type, jsonb_build_object('error_code', 'poison') FROM g
  WHERE g.status = 'failed'
    AND EXISTS (SELECT FROM rowcrew.event_subscription s
                WHERE 'job.failed' = ANY (s.events) AND (s.job_types IS NULL OR g.job_type = ANY (s.job_types)))
), held AS MATERIALIZED (
  SELECT count(*) AS n FROM c, unnest(c.ids) AS i (id)
  JOIN {job} x ON x.id = ANY (ARRAY[i.id]) JOIN {table} q ON q.{key} = ANY (ARRAY[i.id])
  WHERE x.token = c.token AND x.status = 'processing' AND {is_processing} AND i.id NOT IN (SELECT id FROM j)
), z AS (  -- of jobs that the application ended or deleted meanwhile nothing is left to hold
  DELETE FROM {job} x USING c, unnest(c.ids) AS i (id)
  WHERE x.id = ANY (ARRAY[i.id]) AND x.token = c.token AND x.status = 'processing'
    AND NOT EXISTS (SELECT FROM {table} q WHERE q.{key} = ANY (ARRAY[i.id]) AND {is_processing})
), d AS (
  DELETE FROM {claim} WHERE token = (SELECT token FROM c) AND (SELECT n FROM held) = 0
)
SELECT c.token, g.id::text, g.job_type, g.status, g.app, g.attempts, g.max_attempts, g.code, g.message,
       rowcrew.job_uuid({table_name}, g.id)
FROM c LEFT JOIN g ON true
