-- Carries out requests to cancel jobs of an adopted table that do not run (any more), as settle does.
-- $1 at most so many requests; those of jobs that run are no part of them, or they would keep the rest from ever being met
-- Returns id, job type, status before, status now and what the end says.
WITH r AS MATERIALIZED (
  SELECT c.job_id, c.job_key::{key_type} AS id, rowcrew.cancel_text(c.requested_by, c.reason) AS note FROM rowcrew.cancel_request c
  LEFT JOIN {table} q ON q.{key} = ANY (ARRAY[c.job_key::{key_type}])
  WHERE c.job_table = {table_name} AND (q.{key} IS NULL OR NOT {is_processing}) ORDER BY c.job_id LIMIT $1::int
), j AS MATERIALIZED (
  SELECT q.{key} AS id, r.job_id, {job_type} AS job_type, {is_waiting} AS waits, q.{status}::text AS status, r.note, {due} AS due
  FROM r JOIN {table} q ON q.{key} = ANY (ARRAY[r.id]) LEFT JOIN {job} x ON x.id = q.{key}
  WHERE NOT {is_processing} ORDER BY q.{key} FOR NO KEY UPDATE OF q SKIP LOCKED
), f AS (
  INSERT INTO {job} AS x (id, token, status, error_code, error_message)
  SELECT j.id, 0, 'cancelled', 'cancelled', j.note FROM j WHERE j.waits
  ON CONFLICT (id) DO UPDATE SET status = 'cancelled', error_code = 'cancelled', error_message = excluded.error_message WHERE x.status <> 'processing'
  RETURNING x.id, x.status, NULL::timestamptz AS due, 'cancelled' AS outcome, x.error_code AS code, x.error_message AS message, 0 AS counts,
            NULL::int AS duration_ms
), g AS (
  UPDATE {table} q SET {status} = {word}{set_ended} FROM f
  WHERE q.{key} = ANY (ARRAY[f.id]) AND {is_waiting}
  RETURNING q.{key} AS id, {job_type} AS job_type
), h AS (  -- nothing would meet a hint of a time that is far until then
  DELETE FROM {parked} WHERE ctid = ANY (ARRAY(
    SELECT y.hint FROM g JOIN j ON j.id = g.id, LATERAL (
      SELECT p.ctid AS hint FROM {parked} p WHERE p.run_at = j.due AND p.id = j.id AND p.reason NOT IN ('rescued', 'suspect') FOR UPDATE SKIP LOCKED) y))
), e AS (
  INSERT INTO rowcrew.job_event (event, job_table, job_id, job_key, job_type, data)
  SELECT 'job.cancelled', {table_name}, rowcrew.job_uuid({table_name}, g.id), g.id::text, g.job_type, jsonb_build_object('error_code', 'cancelled') FROM g
  WHERE EXISTS (SELECT FROM rowcrew.event_subscription s
                WHERE 'job.cancelled' = ANY (s.events) AND (s.job_types IS NULL OR g.job_type = ANY (s.job_types)))
), d AS (
  DELETE FROM rowcrew.cancel_request c
  WHERE c.job_table = {table_name} AND c.job_id = ANY (ARRAY(SELECT job_id FROM j UNION ALL SELECT job_id FROM r
    WHERE NOT EXISTS (SELECT FROM {table} q WHERE q.{key} = ANY (ARRAY[r.id]))))
)
SELECT id::text, job_type, CASE WHEN waits THEN 'pending' ELSE status END, CASE WHEN waits THEN 'cancelled' ELSE status END, note FROM j
