-- Ends jobs that succeeded. Fenced: a job whose claim was lost does not match and is not returned.
-- One that was to be cancelled ends as cancelled, its result is dropped: the request came first.
-- $1 ids uuid[]  $2 tokens bigint[]  $3 results text[] (JSON or null)  $4 tokens bigint[] whose
-- batch has ended with this, so that their claim rows go
-- OFFSET 0: the note is looked for once per job, and only while there are requests at all.
-- Sort $1: rows are locked in id order, so that two batches cannot deadlock. Returns id and status.
WITH f AS (
  UPDATE {table} q
  SET status = CASE WHEN u.note IS NULL THEN 'completed' ELSE 'cancelled' END, attempts = q.attempts + 1, completed_at = rowcrew.clock_now(),
      {result} = coalesce(CASE WHEN u.note IS NULL THEN u.result::jsonb END, q.{result}),
      error_code = CASE WHEN u.note IS NOT NULL THEN 'cancelled' END, error_message = u.note{took}
  FROM (SELECT x.id, x.token, x.result, CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.cancel_request)) THEN rowcrew.cancel_note({table_name}, x.id) END AS note
        FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS x (id, token, result) OFFSET 0) u
  WHERE q.id = ANY (ARRAY[u.id]) AND q.claim_token = u.token AND q.status = 'processing'
  RETURNING q.id, {job_type} AS job_type, q.status, q.attempts, q.error_message, q.worker_id
), a AS (
  INSERT INTO rowcrew.job_attempt (job_table, job_id, job_type, attempt, outcome, error_code, error_message, node_id)
  SELECT {table_name}, f.id, f.job_type, f.attempts, 'cancelled', 'cancelled', f.error_message, f.worker_id FROM f WHERE f.status = 'cancelled'
), e AS (
  INSERT INTO rowcrew.job_event (event, job_table, job_id, job_type)
  SELECT 'job.' || f.status, {table_name}, f.id, f.job_type FROM f
  WHERE (SELECT EXISTS (SELECT FROM rowcrew.event_subscription))  -- once, not per job
    AND EXISTS (SELECT FROM rowcrew.event_subscription s
                WHERE 'job.' || f.status = ANY (s.events) AND (s.job_types IS NULL OR f.job_type = ANY (s.job_types)))
), d AS (
  DELETE FROM {claim} WHERE token = ANY ($4::bigint[])
)
SELECT id, status FROM f
