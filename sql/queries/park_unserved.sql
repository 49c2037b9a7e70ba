-- Hands back claimed jobs whose type no handler of this node serves: they wait, out of the way of
-- claims, and come back after $4 ms for another node to try. $1 ids uuid[]  $2 tokens bigint[]
-- $3 tokens bigint[] whose batch has ended with this  $4 delay in ms
-- scheduled_at moves, so that the trigger files the hint; the attempt does not count, and what rates were charged is given back.
WITH f AS (
  UPDATE {table} q
  SET status = CASE WHEN q.attempts = 0 THEN 'pending' ELSE 'retrying' END,
      scheduled_at = rowcrew.clock_now() + $4::bigint * interval '1 ms'
  FROM unnest($1::uuid[], $2::bigint[]) AS u (id, token)
  WHERE q.id = ANY (ARRAY[u.id]) AND q.claim_token = u.token AND q.status = 'processing'
  RETURNING q.id, u.token
), l AS MATERIALIZED (  -- while the claims are there to tell of
  SELECT rowcrew.units_back({table_name}, array_agg(f.id::text), array_agg(f.token)) FROM f HAVING count(*) > 0
), d AS (
  DELETE FROM {claim} WHERE token = ANY ($3::bigint[]) AND (SELECT count(*) FROM l) >= 0
)
SELECT id FROM f
