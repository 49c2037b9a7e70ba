-- Commands that this node has not acknowledged. $1 node_id
SELECT c.command_id, c.command, c.argument,
       greatest(0, floor(extract(epoch FROM least(c.expires_at, rowcrew.clock() + interval '10 years') - rowcrew.clock()) * 1000))::bigint
FROM rowcrew.node_command c
WHERE (c.node_id IS NULL OR c.node_id = $1::bigint) AND c.expires_at > rowcrew.clock()
  AND NOT EXISTS (SELECT FROM rowcrew.node_command_ack a WHERE a.command_id = c.command_id AND a.node_id = $1::bigint)
ORDER BY c.command_id
