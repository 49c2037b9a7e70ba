-- $1 command  $2 argument jsonb  $3 node_id or null  $4 lifetime in ms
INSERT INTO rowcrew.node_command (command, argument, node_id, expires_at)
VALUES ($1, $2::jsonb, $3::bigint, rowcrew.clock() + $4::bigint * interval '1 ms')
RETURNING command_id
