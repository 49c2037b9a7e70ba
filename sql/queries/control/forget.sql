-- Commands are kept a day. $1 at most this many
DELETE FROM rowcrew.node_command WHERE command_id = ANY (ARRAY(
  SELECT command_id FROM rowcrew.node_command
  WHERE expires_at < rowcrew.clock() - interval '1 day' LIMIT $1::int))
