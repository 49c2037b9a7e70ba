-- What every node observes, once a heartbeat: the others, to be timed with its own clock, and whether
-- what it need not read each time has changed. $1 node_id
-- A row per live node; then rows without one: "paused" and the name of a queue, "limits" when there are
-- rules about them, "cancels" when jobs are to be cancelled, "commands" when some wait for this node, and
-- "pauses" and "adopted", each with a text that is another one after a change.
SELECT n.node_id, n.epoch, n.beat, n.lease_ms, n.queues::text[], NULL AS what, NULL AS text FROM rowcrew.node n WHERE NOT n.dead
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'paused', q.name FROM rowcrew.queue q WHERE q.paused
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'paused', p.name FROM rowcrew.pause p WHERE p.scope = 'queue' AND (p.until IS NULL OR p.until > rowcrew.clock())
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, 'pauses', string_agg(concat_ws(' ', p.scope, p.name, p.until), ',' ORDER BY p.scope, p.name) FROM rowcrew.pause p
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
