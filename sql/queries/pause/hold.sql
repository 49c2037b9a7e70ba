-- Hands back claimed jobs that are paused: they wait in parked, with that reason, until a resume
-- releases them; their own times stay. The attempt does not count. $1 ids uuid[]  $2 tokens bigint[]
-- $3 tokens bigint[] whose batch has ended with this
-- What rates were charged for them is given back, and others that wait behind the same rules go the same way.
-- The setting lasts for this statement's transaction and has the trigger of the job table file the
-- hints as parked.
WITH f AS (
  UPDATE {table} q SET status = CASE WHEN q.attempts = 0 THEN 'pending' ELSE 'retrying' END
  FROM unnest($1::uuid[], $2::bigint[]) AS u (id, token), (SELECT set_config('rowcrew.hold', 'on', true) AS hold) s
  WHERE s.hold = 'on' AND q.id = ANY (ARRAY[u.id]) AND q.claim_token = u.token AND q.status = 'processing'
  RETURNING q.id, u.token
), l AS MATERIALIZED (  -- while the claims are there to tell of
  SELECT rowcrew.units_back({table_name}, array_agg(f.id::text), array_agg(f.token)), rowcrew.shelve_limited({table_name}, array_agg(f.token)) FROM f HAVING count(*) > 0
), d AS (
  DELETE FROM {claim} WHERE token = ANY ($3::bigint[]) AND (SELECT count(*) FROM l) >= 0
)
SELECT id FROM f
