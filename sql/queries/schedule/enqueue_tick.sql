-- Enqueues the job of one due moment, once however many nodes try. $1 schedule  $2 moment in ms
-- since the epoch. No row: another node was first, the schedule is gone, or it must not overlap and
-- its earlier job is still live. Such a skipped moment keeps its tick: a moment is decided once, so
-- that it is neither asked about at every pass nor made up for at once when the earlier job ends.
-- Nor is one due that is older than a decided one, whose tick may be forgotten: who asks was frozen for long.
-- Attempts are those of the job type.
WITH s AS (
  SELECT name, job_type, payload, queue, priority, overlap, app FROM rowcrew.schedule
  WHERE name = $1 AND enabled AND NOT EXISTS (
    SELECT FROM rowcrew.tick n WHERE n.schedule = $1 AND n.due_at > to_timestamp($2::bigint / 1000.0) AND n.due_at <= rowcrew.clock())
), t AS (
  INSERT INTO rowcrew.tick (schedule, due_at, job_id)
  SELECT s.name, to_timestamp($2::bigint / 1000.0), rowcrew.uuid7() FROM s
  ON CONFLICT DO NOTHING
  RETURNING job_id
), k AS (
  INSERT INTO rowcrew.job_unique (scope, key, job_table, job_id)
  SELECT 'live:job_queue', 'schedule:' || s.name, 'job_queue', t.job_id FROM s, t
  WHERE NOT s.overlap
  ON CONFLICT (scope, key) DO NOTHING
  RETURNING key
)
INSERT INTO rowcrew.job_queue (id, job_type, payload, queue, priority, max_attempts, unique_key, app)
SELECT t.job_id, s.job_type, s.payload, s.queue, s.priority, coalesce(y.max_attempts, 5), k.key, s.app
FROM t CROSS JOIN s LEFT JOIN k ON true LEFT JOIN rowcrew.job_type y ON y.name = s.job_type
WHERE s.overlap OR k.key IS NOT NULL
RETURNING id
