-- Ends one job as completed and calls the function that is its work: what end does, at three quarters of
-- its price. $1 id uuid  $2 token bigint
UPDATE {table} q
SET status = 'completed', attempts = q.attempts + 1, completed_at = rowcrew.clock_now(),
    error_code = NULL, error_message = NULL{took}
WHERE q.id = $1::uuid AND q.claim_token = $2::bigint AND q.status = 'processing'
RETURNING q.id, rowcrew.plan_as_usual(), {call_one}, {after_call},
          CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.event_subscription s WHERE 'job.completed' = ANY (s.events)))
               THEN rowcrew.note_ended({table_name}, NULL, q.id, {job_type}, 'completed', NULL, NULL, NULL) END
