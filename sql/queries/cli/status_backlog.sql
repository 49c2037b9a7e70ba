-- Hints per queue and reason. $1 count at most so many of each kind: the cost is bounded whatever
-- the backlog.
-- And for how many ms the oldest that is ready has been due.
SELECT h.queue, h.reason, count(*), floor(extract(epoch FROM rowcrew.clock() - min(h.run_at)) * 1000)::bigint
FROM ((SELECT r.queue, 'ready' AS reason, CASE WHEN isfinite(r.run_at) THEN r.run_at END AS run_at FROM {ready} r LIMIT $1::bigint)
      UNION ALL
      (SELECT l.queue, 'limited', NULL FROM {limited} l LIMIT $1::bigint)
      UNION ALL
      (SELECT p.queue, p.reason, NULL FROM {parked} p LIMIT $1::bigint)) h
GROUP BY h.queue, h.reason ORDER BY h.queue, h.reason
