-- Claims due jobs of an adopted table: a compare-and-set on its own status words, so that an old worker
-- that checks the status may claim beside us. Parameters and result as in claim.
-- $1 token  $2 node_id  $3 epoch  $4 queues text[]  $5 how many of each int[]
-- $6 timestamptz[]: ten watermarks per queue, one per priority, in the order of $4
-- A companion that came to be since this statement began (of a job with two hints, claimed and handed back
-- by another meanwhile) refuses the whole claim with 23505; ON CONFLICT would cost every claim a tenth.
WITH w AS MATERIALIZED (
  SELECT * FROM unnest($4::text[], $5::int[]) WITH ORDINALITY AS u (queue, n, pos) WHERE {of_queue}
), c AS MATERIALIZED (
  DELETE FROM {ready} WHERE ctid = ANY (ARRAY(
    SELECT y.hint FROM w, LATERAL (
      SELECT x.hint FROM generate_series(0, 9) AS p (priority), LATERAL (
        SELECT r.ctid AS hint FROM {ready} r
        WHERE r.queue = w.queue AND r.priority = p.priority
          AND r.run_at >= ($6::timestamptz[])[(w.pos - 1) * 10 + p.priority + 1]
          AND r.run_at <= rowcrew.clock()
        ORDER BY r.run_at LIMIT w.n FOR UPDATE SKIP LOCKED) x
      LIMIT w.n) y))
  RETURNING id, run_at, priority, queue
), u AS (
  UPDATE {table} q
  SET {status} = {processing}{set_claimed}
  FROM c LEFT JOIN {job} x ON x.id = ANY (ARRAY[c.id])
  WHERE q.{key} = ANY (ARRAY[c.id]) AND {is_waiting} AND {queue} = c.queue AND {priority} = c.priority
    AND coalesce({due} <= rowcrew.clock_now(), true) AND coalesce(x.crashes, 0) = 0
    AND {unlimited}  -- one that a rule is about is moved behind its keys
  RETURNING q.{key} AS id, {job_type} AS job_type, c.queue, {carried} AS payload, {attempts} AS attempts, {max_attempts} AS max_attempts,
            0 AS crashes, (date_part('epoch', c.run_at) * 1000000)::bigint AS run_at_us, c.priority, {app} AS app, x.id IS NULL AS fresh
), g AS (
  UPDATE {job} x SET token = $1::bigint, status = 'processing', claimed_at = rowcrew.clock()
  FROM u WHERE NOT u.fresh AND x.id = ANY (ARRAY[u.id])
  RETURNING x.id
), f AS (  -- also of one whose companion has gone since this statement began
  INSERT INTO {job} (id, token, status) SELECT u.id, $1::bigint, 'processing' FROM u
  WHERE u.fresh OR u.id NOT IN (SELECT g.id FROM g)
), k AS (
  INSERT INTO {claim} (token, node_id, epoch, ids)
  SELECT $1::bigint, $2::bigint, $3::bigint, array_agg(id) FROM u HAVING count(*) > 0
  RETURNING cardinality(ids) AS jobs
)
SELECT id::text, job_type, queue, payload, attempts, max_attempts, crashes, run_at_us, priority, app FROM u
UNION ALL
SELECT NULL, NULL, t.queue, NULL, NULL, NULL, NULL, t.taken, NULL, NULL
FROM rowcrew.adopted_file_again({table_name}, ARRAY(SELECT id::text FROM c), ARRAY(SELECT queue FROM c), ARRAY(SELECT priority FROM c), ARRAY(SELECT id::text FROM u), (SELECT min(run_at) FROM c)) t
WHERE (SELECT count(*) FROM c) > coalesce((SELECT jobs FROM k), 0)  -- decided before the function is called
