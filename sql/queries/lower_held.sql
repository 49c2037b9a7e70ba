-- Gives back the permits of jobs that have ended while others of their claim still run.
-- $1 tokens bigint[]  $2 how many jobs of each still run int[]  $3 node_id
UPDATE {claim} c SET held = x.remaining
FROM unnest($1::bigint[], $2::int[]) AS x (token, remaining)
WHERE c.token = ANY (ARRAY[x.token]) AND c.node_id = $3::bigint AND c.held > x.remaining
