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
), d AS (
  DELETE FROM {claim} WHERE token = ANY ($4::bigint[])
)
SELECT id, CASE WHEN status = 'completed' AND NOT (SELECT EXISTS (SELECT FROM rowcrew.event_subscription s WHERE 'job.completed' = ANY (s.events))) THEN status
                ELSE rowcrew.note_ended({table_name}, NULL, id, job_type, status, attempts::int, error_message, worker_id) END
FROM f
