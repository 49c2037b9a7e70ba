-- One heartbeat, and what every node must know a few times a lease without asking by itself.
-- $1 node_id  $2 epoch  $3 what does nothing but fail here, as JSON (node.failing), or null
-- A row per live node, to be timed with the reader's own clock; then rows without one, of "what" and a text:
--   server    once, when the beat was written: the server's start, which tells one server from another, also
--             behind a pooler: a promoted standby has its own. None: this node was declared dead and must
--             stop everything
--   clock     of the database, in microseconds since 1970: for figures of how long jobs waited
--   leader    a node that is not dead keeps the gate (gate/lead): the job tables that it serves
--   overdue   a job has been due for a while although nobody took it: a look that does not depend on any
--             notification
--   paused    the name of a queue
--   limits    a queue that rules may be about, or where jobs still wait behind those of before; without a text: there
--             are rules, of whatever queue
--   cancels   jobs are to be cancelled
--   commands  some wait for this node
--   pauses, adopted   each with a text that is another one after a change
-- Whether the lock is held is asked by trying it, and until the commit nobody else can take it: whoever
-- would lead tries again.
WITH b AS (
  UPDATE rowcrew.node SET beat = beat + 1, last_seen = rowcrew.clock(), failing = $3::text::jsonb
  WHERE node_id = $1::bigint AND epoch = $2::bigint AND NOT dead
  RETURNING pg_postmaster_start_time()::text AS started, rowcrew.overdue(queues) OR rowcrew.adopted_overdue(queues) AS overdue,
    NOT pg_try_advisory_xact_lock_shared(7126300140) AS locked
)
SELECT n.node_id, n.epoch, n.beat, n.lease_ms, n.queues::text[], NULL AS what, NULL AS text FROM rowcrew.node n WHERE NOT n.dead
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'server', b.started FROM b
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'clock', ((date_part('epoch', rowcrew.clock_now()) * 1000000)::bigint)::text FROM b
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'leader', g.tables::text
FROM b, rowcrew.gate g JOIN rowcrew.node n ON n.node_id = g.leader AND NOT n.dead
WHERE b.locked
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'overdue', NULL FROM b WHERE b.overdue
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'paused', q.name FROM rowcrew.queue q WHERE q.paused
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'paused', p.name FROM rowcrew.pause p WHERE p.scope = 'queue' AND (p.until IS NULL OR p.until > rowcrew.clock())
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'pauses', string_agg(concat_ws(' ', p.scope, p.name, p.until), ',' ORDER BY p.scope, p.name) FROM rowcrew.pause p
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'limits', l.queue FROM rowcrew.limited_queues((SELECT n.queues FROM rowcrew.node n WHERE n.node_id = $1::bigint)) l (queue)
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'limits', NULL WHERE EXISTS (SELECT FROM rowcrew.job_limit)
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'cancels', NULL WHERE EXISTS (SELECT FROM rowcrew.cancel_request)
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'commands', NULL WHERE EXISTS (
  SELECT FROM rowcrew.node_command c WHERE (c.node_id IS NULL OR c.node_id = $1::bigint) AND c.expires_at > rowcrew.clock()
    AND NOT EXISTS (SELECT FROM rowcrew.node_command_ack a WHERE a.command_id = c.command_id AND a.node_id = $1::bigint))
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'adopted', string_agg(concat_ws(' ', a.name, a.epoch, a.mode), ',' ORDER BY a.name) FROM rowcrew.adopted_table a
