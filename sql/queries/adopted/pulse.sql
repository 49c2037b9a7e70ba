-- What the leader of a resting fleet has to know of an adopted table, in one look: ms until the next parked
-- job is due (a day at most; null: none), whether jobs that a node's death has met are due, whether a claim has lost
-- its node, and whether jobs are ready. $1 the queues of all nodes text[]
-- $2 timestamptz[]: ten per queue, one per priority: what was ready before is not looked for, nor
-- what has been due for three seconds (empty: all is)
SELECT (SELECT greatest(0, ceil(extract(epoch FROM least(p.run_at, rowcrew.clock() + interval '1 day') - rowcrew.clock()) * 1000))::bigint
        FROM {parked} p WHERE p.reason NOT IN ('rescued', 'suspect')
          AND p.run_at >= CASE WHEN cardinality($2::timestamptz[]) > 0 THEN rowcrew.clock() - interval '3 s' ELSE '-infinity' END ORDER BY p.run_at LIMIT 1),
  EXISTS (SELECT FROM unnest($1::text[]) AS w (queue), LATERAL (
    SELECT FROM {parked} p WHERE p.reason IN ('rescued', 'suspect') AND p.queue = w.queue AND p.run_at <= rowcrew.clock() LIMIT 1) x WHERE {of_queue}),
  EXISTS (SELECT FROM {claim} k
          WHERE NOT EXISTS (SELECT FROM rowcrew.node n WHERE n.node_id = k.node_id AND n.epoch = k.epoch AND NOT n.dead)),
  EXISTS (SELECT FROM unnest($1::text[]) WITH ORDINALITY AS w (queue, pos), generate_series(0, 9) AS g (priority), LATERAL (
    SELECT FROM {ready} r WHERE r.queue = w.queue AND r.priority = g.priority AND r.run_at <= rowcrew.clock()
      AND r.run_at >= coalesce(($2::timestamptz[])[(w.pos - 1) * 10 + g.priority + 1], '-infinity') LIMIT 1) x WHERE {of_queue})
  OR EXISTS (SELECT FROM unnest($1::text[]) AS w (queue), LATERAL (
    SELECT FROM {limited} l WHERE l.queue = w.queue LIMIT 1) x WHERE {of_queue})
