-- Which jobs that the death of a node has met are due in these queues: rescued ones (run beside
-- others), and suspects (run alone). $1 queues text[]
SELECT EXISTS (
  SELECT FROM unnest($1::text[]) AS w (queue), LATERAL (
    SELECT FROM {parked} p WHERE p.reason = 'rescued' AND p.queue = w.queue AND p.run_at <= rowcrew.clock() LIMIT 1) x),
EXISTS (
  SELECT FROM unnest($1::text[]) AS w (queue), LATERAL (
    SELECT FROM {parked} p WHERE p.reason = 'suspect' AND p.queue = w.queue AND p.run_at <= rowcrew.clock() LIMIT 1) x)
