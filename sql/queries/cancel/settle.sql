-- Carries out requests to cancel jobs that do not run (any more): those that wait end here, requests
-- of those that have ended go. Any node may run it at any time. $1 at most so many requests
-- Returns id, job type, status before, status now and what the end says.
WITH r AS MATERIALIZED (
  SELECT c.job_id, rowcrew.cancel_text(c.requested_by, c.reason) AS note FROM rowcrew.cancel_request c
  WHERE c.job_table = {table_name} ORDER BY c.job_id LIMIT $1::int
), j AS MATERIALIZED (
  SELECT q.id, q.status, r.note FROM r JOIN {table} q ON q.id = ANY (ARRAY[r.job_id])
  WHERE q.status <> 'processing' ORDER BY q.id FOR NO KEY UPDATE OF q SKIP LOCKED
), f AS (
  UPDATE {table} q SET status = 'cancelled', error_code = 'cancelled', error_message = j.note, completed_at = rowcrew.clock_now()
  FROM j WHERE q.id = ANY (ARRAY[j.id]) AND j.status IN ('pending', 'retrying')
  RETURNING q.id, {job_type} AS job_type
), e AS (
  INSERT INTO rowcrew.job_event (event, job_table, job_id, job_type, data)
  SELECT 'job.cancelled', {table_name}, f.id, f.job_type, jsonb_build_object('error_code', 'cancelled') FROM f
  WHERE EXISTS (SELECT FROM rowcrew.event_subscription s
                WHERE 'job.cancelled' = ANY (s.events) AND (s.job_types IS NULL OR f.job_type = ANY (s.job_types)))
), d AS (
  DELETE FROM rowcrew.cancel_request c
  WHERE c.job_table = {table_name} AND c.job_id = ANY (ARRAY(SELECT id FROM j UNION ALL SELECT job_id FROM r
    WHERE NOT EXISTS (SELECT FROM {table} q WHERE q.id = ANY (ARRAY[r.job_id]))))
)
SELECT j.id, {job_type} AS job_type, j.status, CASE WHEN j.status IN ('pending', 'retrying') THEN 'cancelled' ELSE j.status END, j.note
FROM j JOIN {table} q ON q.id = ANY (ARRAY[j.id])
