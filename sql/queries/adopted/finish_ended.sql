-- Ends executions of an adopted table that did not succeed, each as the transition decided. Fenced as
-- its finish_completed; parameters as in finish_ended, result as there and the uuid for ports.
-- $1 ids text[]  $2 tokens bigint[]  $3 statuses text[]  $4 outcomes text[]  $5 error codes text[]
-- $6 messages text[]  $7 delays in ms bigint[]  $8 1 where the execution counts as an attempt, else 0
-- int[]  $9 durations in ms int[]  $10 node_id  $11 tokens bigint[] whose batch has ended with this
-- Marks the companion as moved, so that the triggers on the table know the engine's own write, and
-- files the hints of those that wait: of one that is handed back a second one where it stood, which sweeps find.
WITH f AS (
  UPDATE {job} x
  SET status = u.status, attempts = x.attempts + u.counts, moved = pg_current_xact_id(),
      error_code = CASE WHEN u.outcome IN ('snooze', 'released') THEN x.error_code ELSE u.code END,
      error_message = CASE WHEN u.outcome IN ('snooze', 'released') THEN x.error_message ELSE u.message END,
      scheduled_at = CASE WHEN u.status IN ('pending', 'retrying') THEN rowcrew.clock_now() + u.delay_ms * interval '1 ms' END
  FROM (SELECT y.id, y.token, y.delay_ms, y.counts, y.duration_ms, CASE WHEN y.note IS NULL THEN y.status ELSE 'cancelled' END AS status,
               CASE WHEN y.note IS NULL THEN y.outcome ELSE 'cancelled' END AS outcome,
               CASE WHEN y.note IS NULL THEN y.code ELSE 'cancelled' END AS code, coalesce(y.note, y.message) AS message
        FROM (SELECT w.*, CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.cancel_request))
                          THEN rowcrew.cancel_note({table_name}, rowcrew.job_uuid({table_name}, w.id)) END AS note
              FROM unnest($1::{key_type}[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::int[], $9::int[])
                AS w (id, token, status, outcome, code, message, delay_ms, counts, duration_ms) OFFSET 0) y) u
  WHERE x.id = ANY (ARRAY[u.id]) AND x.token = u.token AND x.status = 'processing'
  RETURNING x.id, x.status, x.crashes, x.scheduled_at AS due, x.attempts, u.outcome, u.code, u.message, u.counts, u.duration_ms
), g AS (
  UPDATE {table} q
  SET {status} = {word}{set_ended}
  FROM f
  WHERE q.{key} = ANY (ARRAY[f.id]) AND {is_processing}
  RETURNING q.{key} AS id, {job_type} AS job_type, {queue} AS queue, {priority} AS priority, {created} AS created, f.status, f.crashes, f.due, f.attempts,
            f.outcome, f.code, f.message, f.counts, f.duration_ms, rowcrew.clock_now() AS filed
), r AS (  -- by one moment for r and p: a job that neither files is lost
  INSERT INTO {ready} (run_at, id, priority, queue)
  SELECT h.at, id, priority, queue FROM g, unnest(ARRAY[filed,
    CASE WHEN counts = 0 AND coalesce(created, '-infinity') < filed - interval '5 s' THEN greatest(created, filed - interval '30 days') END]) AS h (at)
  WHERE status IN ('pending', 'retrying') AND crashes = 0 AND due <= filed AND h.at IS NOT NULL
), p AS (
  INSERT INTO {parked} (run_at, id, priority, queue, reason)
  SELECT due, id, priority, queue, rowcrew.parked_reason(status, crashes)
  FROM g WHERE status IN ('pending', 'retrying') AND (crashes > 0 OR due > filed)
), a AS (
  INSERT INTO rowcrew.job_attempt (job_table, job_id, job_key, job_type, attempt, outcome, error_code, error_message, node_id, duration_ms)
  SELECT {table_name}, rowcrew.job_uuid({table_name}, id), id::text, job_type, attempts + 1 - counts, outcome, code, message, $10::bigint, duration_ms FROM g
), e AS (
  INSERT INTO rowcrew.job_event (event, job_table, job_id, job_key, job_type, data)
  SELECT 'job.' || g.status, {table_name}, rowcrew.job_uuid({table_name}, g.id), g.id::text, g.job_type, jsonb_build_object('error_code', g.code)
  FROM g
  WHERE g.status IN ('failed', 'cancelled')
    AND EXISTS (SELECT FROM rowcrew.event_subscription s
                WHERE 'job.' || g.status = ANY (s.events) AND (s.job_types IS NULL OR g.job_type = ANY (s.job_types)))
), d AS (
  DELETE FROM {claim} WHERE token = ANY ($11::bigint[])
), l AS MATERIALIZED (
  SELECT rowcrew.adopted_drop_left({table_name}, ARRAY(SELECT id::text FROM f EXCEPT SELECT id::text FROM g))
  WHERE (SELECT count(*) FROM f) > (SELECT count(*) FROM g)  -- decided before the function is called
)
SELECT id::text, status, rowcrew.job_uuid({table_name}, id) FROM g WHERE (SELECT count(*) FROM l) >= 0
