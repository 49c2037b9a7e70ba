-- The jobs whose ready hints a claim meets first, in its order. $1 queue  $2 at most this many
SELECT y.id::text FROM (
  SELECT x.id, x.run_at, p.priority FROM generate_series(0, 9) AS p (priority), LATERAL (
    SELECT r.id, r.run_at FROM {ready} r
    WHERE r.queue = $1::text AND r.priority = p.priority AND r.run_at <= rowcrew.clock()
    ORDER BY r.run_at LIMIT $2::int) x
  LIMIT $2::int) y
ORDER BY y.priority, y.run_at
