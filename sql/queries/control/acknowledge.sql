-- $1 command_id  $2 node_id  $3 answer
INSERT INTO rowcrew.node_command_ack (command_id, node_id, answer) VALUES ($1::bigint, $2::bigint, $3)
ON CONFLICT DO NOTHING
