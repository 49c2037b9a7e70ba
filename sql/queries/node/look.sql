-- The beats of other nodes, between two of one's own, and the job tables of the one that keeps the gate, as beat.sql tells
-- of it (null: none does). $1 node_id
WITH l AS MATERIALIZED (
  SELECT NOT pg_try_advisory_xact_lock_shared(7126300140) AS locked
)
SELECT n.node_id, n.epoch, n.beat, n.lease_ms,
       (SELECT g.tables::text FROM l, rowcrew.gate g JOIN rowcrew.node x ON x.node_id = g.leader AND NOT x.dead WHERE l.locked) AS leader
FROM rowcrew.node n WHERE NOT n.dead AND n.node_id <> $1::bigint
