-- Who has answered. $1 command_id
SELECT n.name, a.answer FROM rowcrew.node_command_ack a LEFT JOIN rowcrew.node n USING (node_id)
WHERE a.command_id = $1::bigint ORDER BY a.acked_at
