-- Ends executions that did not succeed, each as the transition decided. Fenced as in finish_completed.
-- $1 ids uuid[]  $2 tokens bigint[]  $3 statuses text[]  $4 outcomes text[] (attempt log)
-- $5 error codes text[]  $6 messages text[]  $7 delays in ms bigint[] (waiting statuses only)
-- $8 1 where the execution counts as an attempt, else 0 int[]  $9 durations in ms int[]
-- $10 node_id  $11 tokens bigint[] whose batch has ended with this
-- The trigger on the job table files the hints of those that wait. What was to be cancelled ends as
-- cancelled whatever became of it. Returns id and status.
WITH f AS (
  UPDATE {table} q
  SET status = u.status, attempts = q.attempts + u.counts,
      error_code = CASE WHEN u.outcome IN ('snooze', 'released') THEN q.error_code ELSE u.code END,
      error_message = CASE WHEN u.outcome IN ('snooze', 'released') THEN q.error_message ELSE u.message END,
      scheduled_at = CASE WHEN u.status IN ('pending', 'retrying')
                     THEN rowcrew.clock_now() + u.delay_ms * interval '1 ms' ELSE q.scheduled_at END,
      completed_at = CASE WHEN u.status IN ('failed', 'cancelled') THEN rowcrew.clock_now() END
  FROM (SELECT x.id, x.token, x.delay_ms, x.counts, x.duration_ms, CASE WHEN x.note IS NULL THEN x.status ELSE 'cancelled' END AS status,
               CASE WHEN x.note IS NULL THEN x.outcome ELSE 'cancelled' END AS outcome,
               CASE WHEN x.note IS NULL THEN x.code ELSE 'cancelled' END AS code, coalesce(x.note, x.message) AS message
        FROM (SELECT w.*, CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.cancel_request)) THEN rowcrew.cancel_note({table_name}, w.id) END AS note
              FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::int[], $9::int[])
                AS w (id, token, status, outcome, code, message, delay_ms, counts, duration_ms) OFFSET 0) x) u
  WHERE q.id = ANY (ARRAY[u.id]) AND q.claim_token = u.token AND q.status = 'processing'
  RETURNING q.id, {job_type} AS job_type, q.status, q.attempts, u.outcome, u.code, u.message, u.duration_ms, u.counts
), a AS (
  INSERT INTO rowcrew.job_attempt (job_table, job_id, job_type, attempt, outcome, error_code, error_message, node_id, duration_ms)
  SELECT {table_name}, id, job_type, attempts + 1 - counts, outcome, code, message, $10::bigint, duration_ms FROM f
), e AS (
  INSERT INTO rowcrew.job_event (event, job_table, job_id, job_type, data)
  SELECT 'job.' || f.status, {table_name}, f.id, f.job_type, jsonb_build_object('error_code', f.code)
  FROM f
  WHERE f.status IN ('failed', 'cancelled')
    AND EXISTS (SELECT FROM rowcrew.event_subscription s
                WHERE 'job.' || f.status = ANY (s.events) AND (s.job_types IS NULL OR f.job_type = ANY (s.job_types)))
), d AS (
  DELETE FROM {claim} WHERE token = ANY ($11::bigint[])
)
SELECT id, status FROM f
