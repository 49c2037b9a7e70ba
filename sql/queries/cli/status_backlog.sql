-- Hints per queue and reason. $1 count at most so many of each kind: the cost is bounded whatever
-- the backlog.
SELECT h.queue, h.reason, count(*)
FROM ((SELECT r.queue, 'ready' AS reason FROM {ready} r LIMIT $1::bigint)
      UNION ALL
      (SELECT l.queue, 'limited' FROM {limited} l LIMIT $1::bigint)
      UNION ALL
      (SELECT p.queue, p.reason FROM {parked} p LIMIT $1::bigint)) h
GROUP BY h.queue, h.reason ORDER BY h.queue, h.reason
