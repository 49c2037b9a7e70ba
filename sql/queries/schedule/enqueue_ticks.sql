-- Enqueues the jobs of due moments, each once however many nodes try. $1 schedules text[]  $2 the moment of each in ms
-- since the epoch bigint[]. No row: another node was first, the schedule is gone, or it must not overlap and
-- its earlier job is still live. Such a skipped moment keeps its tick: a moment is decided once, so
-- that it is neither asked about at every pass nor made up for at once when the earlier job ends.
-- Nor is one due that is older than a decided one, whose tick may be forgotten: who asks was frozen for long.
-- Attempts are those of the job type. Rows are made in the order of the names, or two nodes might wait for each other.
WITH s AS MATERIALIZED (
  SELECT c.name, to_timestamp(u.due / 1000.0) AS due_at, c.job_type, c.payload, c.queue, c.priority, c.overlap, c.app
  FROM unnest($1::text[], $2::bigint[]) AS u (name, due) JOIN rowcrew.schedule c ON c.name = ANY (ARRAY[u.name])
  WHERE c.enabled AND NOT EXISTS (
    SELECT FROM rowcrew.tick n WHERE n.schedule = u.name AND n.due_at > to_timestamp(u.due / 1000.0) AND n.due_at <= rowcrew.clock())
  ORDER BY c.name
), t AS (
  INSERT INTO rowcrew.tick (schedule, due_at, job_id)
  SELECT s.name, s.due_at, rowcrew.uuid7() FROM s
  ON CONFLICT DO NOTHING
  RETURNING schedule, job_id
), k AS (
  INSERT INTO rowcrew.job_unique (scope, key, job_table, job_id)
  SELECT 'live:job_queue', 'schedule:' || s.name, 'job_queue', t.job_id FROM s JOIN t ON t.schedule = s.name
  WHERE NOT s.overlap ORDER BY s.name
  ON CONFLICT (scope, key) DO NOTHING
  RETURNING key, job_id
), j AS (
  INSERT INTO rowcrew.job_queue (id, job_type, payload, queue, priority, max_attempts, unique_key, app)
  SELECT t.job_id, s.job_type, s.payload, s.queue, s.priority, coalesce(y.max_attempts, 5), k.key, s.app
  FROM s JOIN t ON t.schedule = s.name LEFT JOIN k ON k.job_id = t.job_id LEFT JOIN rowcrew.job_type y ON y.name = s.job_type
  WHERE s.overlap OR k.key IS NOT NULL
  RETURNING id
)
SELECT j.id, t.schedule FROM j JOIN t ON t.job_id = j.id
