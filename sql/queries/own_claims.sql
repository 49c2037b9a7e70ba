-- The claim rows of this node: what the database believes that it runs. $1 node_id  $2 epoch
SELECT token, ids::text[] FROM {claim} WHERE node_id = $1::bigint AND epoch = $2::bigint
