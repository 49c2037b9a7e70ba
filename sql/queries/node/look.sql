-- The beats of other nodes, between two of one's own, and whether one of the fleet keeps the gate, as beat.sql asks it. $1 node_id
WITH l AS MATERIALIZED (
  SELECT NOT pg_try_advisory_xact_lock_shared(7126300140) AS locked
)
SELECT n.node_id, n.epoch, n.beat, n.lease_ms,
       (SELECT l.locked FROM l) AND EXISTS (SELECT FROM rowcrew.gate g JOIN rowcrew.node x ON x.node_id = g.leader AND NOT x.dead) AS leader
FROM rowcrew.node n WHERE NOT n.dead AND n.node_id <> $1::bigint
