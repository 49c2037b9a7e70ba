-- Ends jobs as completed at the start of the transaction that does their work, and calls the function that is
-- the work, if there is one. Fenced: of a job whose claim was lost nothing is returned and nothing called.
-- $1 ids uuid[], sorted  $2 tokens bigint[]
-- Beyond the call the same as finish_completed. Every job is ended before the first call begins, which the sort
-- sees to: from then on whoever would rescue one of them steps over its row.
WITH f AS (
  UPDATE {table} q
  SET status = 'completed', attempts = q.attempts + 1, completed_at = rowcrew.clock_now(),
      error_code = NULL, error_message = NULL{took}
  FROM unnest($1::uuid[], $2::bigint[]) AS u (id, token)
  WHERE q.id = ANY (ARRAY[u.id]) AND q.claim_token = u.token AND q.status = 'processing'
  RETURNING q.id, {job_type} AS job_type, {args} AS args
), g AS MATERIALIZED (
  SELECT f.id, f.args, f.job_type FROM f ORDER BY f.id
)
SELECT g.id, rowcrew.plan_as_usual(), {call}, rowcrew.plan_by_index(),
       CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.event_subscription s WHERE 'job.completed' = ANY (s.events)))
            THEN rowcrew.note_ended({table_name}, NULL, g.id, g.job_type, 'completed', NULL, NULL, NULL) END
FROM g
