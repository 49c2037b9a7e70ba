-- A node that has stopped in order. Claims it may have left are rescued, for they have no node now.
-- $1 node_id  $2 epoch
DELETE FROM rowcrew.node WHERE node_id = $1::bigint AND epoch = $2::bigint
