-- The lease and nothing else: reads no other table than the node's own row, so that nothing can hold it up but that.
-- $1 node_id  $2 epoch. No row: this node was declared dead and must stop everything.
UPDATE rowcrew.node SET beat = beat + 1, last_seen = rowcrew.clock()
WHERE node_id = $1::bigint AND epoch = $2::bigint AND NOT dead
RETURNING beat
