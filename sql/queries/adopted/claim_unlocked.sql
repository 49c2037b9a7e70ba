-- The slow form of the claim of an adopted table: steps around job rows that somebody holds locked.
-- $1 token  $2 node_id  $3 epoch  $4 queues text[]  $5 how many of each int[]
-- $6 text[]: of these jobs only; null: of all
WITH w AS MATERIALIZED (
  SELECT * FROM unnest($4::text[], $5::int[]) AS u (queue, n)
), h AS MATERIALIZED (
  SELECT y.* FROM w, LATERAL (
    SELECT r.ctid AS hint, r.id, r.run_at, r.priority, r.queue
    FROM {ready} r JOIN {table} q ON q.{key} = ANY (ARRAY[r.id]) LEFT JOIN {job} x ON x.id = ANY (ARRAY[r.id])
    WHERE r.queue = w.queue AND r.run_at <= rowcrew.clock() AND ($6::text[] IS NULL OR r.id::text = ANY ($6::text[])) AND {queue} = r.queue
      AND {is_waiting} AND coalesce({due} <= rowcrew.clock_now(), true) AND coalesce(x.crashes, 0) = 0 AND {unlimited}
    ORDER BY r.priority, r.run_at LIMIT w.n
    FOR NO KEY UPDATE OF q SKIP LOCKED FOR UPDATE OF r SKIP LOCKED) y
), c AS MATERIALIZED (
  DELETE FROM {ready} WHERE ctid = ANY (ARRAY(SELECT hint FROM h)) RETURNING id, run_at, priority, queue
), u AS (
  UPDATE {table} q
  SET {status} = {processing}{set_claimed}
  FROM c LEFT JOIN {job} x ON x.id = ANY (ARRAY[c.id])
  WHERE q.{key} = ANY (ARRAY[c.id]) AND {is_waiting}
  RETURNING q.{key} AS id, {job_type} AS job_type, c.queue, {carried} AS payload, {attempts} AS attempts, {max_attempts} AS max_attempts,
            coalesce(x.crashes, 0) AS crashes, (extract(epoch FROM c.run_at) * 1000000)::bigint AS run_at_us, c.priority, {app} AS app
), f AS (
  INSERT INTO {job} (id, token, status) SELECT u.id, $1::bigint, 'processing' FROM u
  ON CONFLICT (id) DO UPDATE SET token = excluded.token, status = 'processing', claimed_at = rowcrew.clock()
), k AS (
  INSERT INTO {claim} (token, node_id, epoch, ids)
  SELECT $1::bigint, $2::bigint, $3::bigint, array_agg(id) FROM u HAVING count(*) > 0
)
SELECT id::text, job_type, queue, payload, attempts, max_attempts, crashes, run_at_us, priority, app FROM u
