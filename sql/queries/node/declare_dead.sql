-- Only if the beat is still the one that was watched. $1 node_id  $2 epoch  $3 beat
UPDATE rowcrew.node SET dead = true
WHERE node_id = $1::bigint AND epoch = $2::bigint AND beat = $3::bigint AND NOT dead
RETURNING name
