-- How many jobs each node has claimed. A batch counts whole until all of it has ended.
SELECT node_id, sum(cardinality(ids))::bigint FROM {claim} GROUP BY node_id ORDER BY node_id
