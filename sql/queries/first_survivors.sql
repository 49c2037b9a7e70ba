-- Of jobs that deaths of nodes have met those that are claimed next. $1 queues text[]
-- $2 'rescued' or 'suspect'  $3 at most this many
SELECT y.id::text FROM unnest($1::text[]) AS w (queue), LATERAL (
  SELECT p.id, p.run_at FROM {parked} p
  WHERE p.reason IN ('rescued', 'suspect') AND p.reason = $2::text AND p.queue = w.queue AND p.run_at <= rowcrew.clock()
  ORDER BY p.run_at LIMIT $3::int) y
ORDER BY y.run_at LIMIT $3::int
