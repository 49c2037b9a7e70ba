-- The slow form of claim, used once after a claim met a job row that somebody else holds locked
-- (55P03): locks the job rows too, skips those that are held and leaves their hints alone.
-- $1 token  $2 node_id  $3 epoch  $4 queues text[]  $5 how many of each int[]
-- $6 text[]: of these jobs only; null: of all
WITH w AS MATERIALIZED (
  SELECT * FROM unnest($4::text[], $5::int[]) AS u (queue, n)
), h AS MATERIALIZED (
  SELECT y.* FROM w, LATERAL (
    SELECT r.ctid AS hint, r.id, r.run_at, r.priority, r.queue
    FROM {ready} r JOIN {table} q ON q.id = ANY (ARRAY[r.id])
    WHERE r.queue = w.queue AND r.run_at <= rowcrew.clock() AND ($6::text[] IS NULL OR r.id::text = ANY ($6::text[])) AND q.queue = r.queue
      AND q.status IN ('pending', 'retrying') AND q.scheduled_at <= rowcrew.clock_now() AND q.crashes = 0
    ORDER BY r.priority, r.run_at LIMIT w.n
    FOR NO KEY UPDATE OF q SKIP LOCKED FOR UPDATE OF r SKIP LOCKED) y
), c AS MATERIALIZED (
  DELETE FROM {ready} WHERE ctid = ANY (ARRAY(SELECT hint FROM h)) RETURNING id, run_at, priority, queue
), k AS (
  INSERT INTO {claim} (token, node_id, epoch, ids)
  SELECT $1::bigint, $2::bigint, $3::bigint, array_agg(id) FROM c HAVING count(*) > 0
)
UPDATE {table} q
SET status = 'processing', started_at = rowcrew.clock(), claim_token = $1::bigint, worker_id = $2::bigint
FROM c
WHERE q.id = ANY (ARRAY[c.id])
RETURNING q.id, {job_type}, q.queue, {carried}, q.attempts, q.max_attempts, q.crashes, (extract(epoch FROM c.run_at) * 1000000)::bigint AS run_at_us, c.priority, {app}
