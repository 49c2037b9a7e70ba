-- Hands back what a claim of this node holds although the node does not know it (its reply was
-- lost). $1 token  $2 node_id
-- Jobs first, then the claim row: an interrupted hand-back is found again.
WITH c AS MATERIALIZED (
  SELECT token, ids FROM {claim} WHERE token = $1::bigint AND node_id = $2::bigint FOR UPDATE
), f AS (
  UPDATE {table} q
  SET status = CASE WHEN q.attempts = 0 THEN 'pending' ELSE 'retrying' END, scheduled_at = rowcrew.clock_now()
  FROM c, unnest(c.ids) AS x (id)
  WHERE q.id = ANY (ARRAY[x.id]) AND q.claim_token = c.token AND q.status = 'processing'
  RETURNING q.id
), d AS (
  DELETE FROM {claim} WHERE token = (SELECT token FROM c)
)
SELECT id FROM f
