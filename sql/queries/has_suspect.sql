-- Which jobs that the death of a node has met are due in these queues: rescued ones (run beside
-- others), and suspects (run alone); and in how many ms the next one is, a day at most. $1 queues text[]
SELECT EXISTS (
  SELECT FROM unnest($1::text[]) AS w (queue), LATERAL (
    SELECT FROM {parked} p WHERE p.reason = 'rescued' AND p.queue = w.queue AND p.run_at <= rowcrew.clock() LIMIT 1) x WHERE {of_queue}),
EXISTS (
  SELECT FROM unnest($1::text[]) AS w (queue), LATERAL (
    SELECT FROM {parked} p WHERE p.reason = 'suspect' AND p.queue = w.queue AND p.run_at <= rowcrew.clock() LIMIT 1) x WHERE {of_queue}),
(
  SELECT ceil(extract(epoch FROM least(min(x.run_at), rowcrew.clock() + interval '1 day') - rowcrew.clock()) * 1000)::bigint
  FROM unnest($1::text[]) AS w (queue), (VALUES ('rescued'), ('suspect')) AS r (reason), LATERAL (
    SELECT p.run_at FROM {parked} p
    WHERE p.reason IN ('rescued', 'suspect') AND p.reason = r.reason AND p.queue = w.queue AND p.run_at > rowcrew.clock()
    ORDER BY p.run_at LIMIT 1) x
  WHERE {of_queue}
)
