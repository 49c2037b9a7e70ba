-- Nodes that nobody has declared dead. Ages are for people only.
SELECT node_id, name, host, pid, version, array_to_json(queues),
       floor(extract(epoch FROM rowcrew.clock() - last_seen) * 1000)::bigint,
       floor(extract(epoch FROM rowcrew.clock() - started_at) * 1000)::bigint, coalesce(failing, '[]')
FROM rowcrew.node WHERE NOT dead ORDER BY name, node_id
