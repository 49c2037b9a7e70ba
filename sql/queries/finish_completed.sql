-- Ends jobs that succeeded. Fenced: a job whose claim was lost does not match and is not returned.
-- $1 ids uuid[]  $2 tokens bigint[]  $3 results text[] (JSON or null)  $4 tokens bigint[] whose
-- batch has ended with this, so that their claim rows go
-- Sort $1: rows are locked in id order, so that two batches cannot deadlock.
WITH f AS (
  UPDATE {table} q
  SET status = 'completed', attempts = q.attempts + 1, completed_at = rowcrew.clock_now(),
      {result} = coalesce(u.result::jsonb, q.{result}), error_code = NULL, error_message = NULL{took}
  FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS u (id, token, result)
  WHERE q.id = ANY (ARRAY[u.id]) AND q.claim_token = u.token AND q.status = 'processing'
  RETURNING q.id, {job_type} AS job_type
), d AS (
  DELETE FROM {claim} WHERE token = ANY ($4::bigint[])
)
SELECT id FROM f
UNION ALL
SELECT none FROM rowcrew.note_events('job.completed', {table_name}, ARRAY(SELECT id FROM f), ARRAY(SELECT job_type FROM f)) none
WHERE EXISTS (SELECT FROM rowcrew.event_subscription)  -- decided before the function is called
