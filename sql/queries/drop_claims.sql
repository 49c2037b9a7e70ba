-- Removes claim rows of this node whose jobs have all ended. $1 tokens bigint[]  $2 node_id
DELETE FROM {claim} WHERE token = ANY ($1::bigint[]) AND node_id = $2::bigint
