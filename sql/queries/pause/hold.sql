-- Hands back claimed jobs that are paused: they wait in parked, with that reason, until a resume
-- releases them; their own times stay. The attempt does not count. $1 ids uuid[]  $2 tokens bigint[]
-- $3 tokens bigint[] whose batch has ended with this
-- The setting lasts for this statement's transaction and has the trigger of the job table file the
-- hints as parked.
WITH f AS (
  UPDATE {table} q SET status = CASE WHEN q.attempts = 0 THEN 'pending' ELSE 'retrying' END
  FROM unnest($1::uuid[], $2::bigint[]) AS u (id, token), (SELECT set_config('rowcrew.hold', 'on', true) AS hold) s
  WHERE s.hold = 'on' AND q.id = ANY (ARRAY[u.id]) AND q.claim_token = u.token AND q.status = 'processing'
  RETURNING q.id
), d AS (
  DELETE FROM {claim} WHERE token = ANY ($3::bigint[])
)
SELECT id FROM f
