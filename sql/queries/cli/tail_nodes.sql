-- Live nodes that could answer a tail.
SELECT node_id, name FROM rowcrew.node WHERE NOT dead ORDER BY name, node_id
