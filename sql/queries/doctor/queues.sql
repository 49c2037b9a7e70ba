-- Doctor: the queues for which jobs are ready or behind a rule. From queue to queue along the index, whatever waits in each.
WITH RECURSIVE r (queue, of) AS (
  (SELECT x.queue, 1 FROM rowcrew.job_queue_ready x ORDER BY x.queue LIMIT 1)
  UNION ALL
  SELECT (SELECT x.queue FROM rowcrew.job_queue_ready x WHERE x.queue > r.queue ORDER BY x.queue LIMIT 1), r.of + 1 FROM r WHERE r.queue IS NOT NULL AND r.of < 1000
), p (queue, of) AS (
  (SELECT x.queue, 1 FROM rowcrew.processing_jobs_ready x ORDER BY x.queue LIMIT 1)
  UNION ALL
  SELECT (SELECT x.queue FROM rowcrew.processing_jobs_ready x WHERE x.queue > p.queue ORDER BY x.queue LIMIT 1), p.of + 1 FROM p WHERE p.queue IS NOT NULL AND p.of < 1000
), l (queue, of) AS (
  (SELECT x.queue, 1 FROM rowcrew.job_queue_limited x ORDER BY x.queue LIMIT 1)
  UNION ALL
  SELECT (SELECT x.queue FROM rowcrew.job_queue_limited x WHERE x.queue > l.queue ORDER BY x.queue LIMIT 1), l.of + 1 FROM l WHERE l.queue IS NOT NULL AND l.of < 1000
)
SELECT coalesce(json_agg(DISTINCT u.queue), '[]')
FROM (SELECT r.queue FROM r UNION ALL SELECT p.queue FROM p UNION ALL SELECT l.queue FROM l) u WHERE u.queue IS NOT NULL
