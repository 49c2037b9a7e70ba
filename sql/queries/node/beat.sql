-- One heartbeat, and what every node must know a few times a lease without asking by itself.
-- $1 node_id  $2 epoch. No row: this node was declared dead and must stop everything.
-- Returns whether a leader that is not dead keeps the gate (gate/lead), and whether a job has been due for a
-- while although nobody took it: a look that does not depend on any notification; and the server's start,
-- which tells one server from another, also behind a pooler: a promoted standby has its own.
UPDATE rowcrew.node SET beat = beat + 1, last_seen = rowcrew.clock()
WHERE node_id = $1::bigint AND epoch = $2::bigint AND NOT dead
RETURNING
  EXISTS (SELECT FROM pg_locks l
          JOIN pg_locks w ON w.pid = l.pid AND w.locktype = 'advisory' AND w.database = l.database
            AND w.classid = 71263001::oid AND w.objsubid = 2
          JOIN rowcrew.node n ON n.node_id % 2147483647 = w.objid::bigint AND NOT n.dead
          WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND l.classid = (7126300140::bigint >> 32)::oid AND l.objid = (7126300140::bigint & 4294967295)::oid AND l.objsubid = 1),
  rowcrew.overdue(queues) OR rowcrew.adopted_overdue(queues),
  pg_postmaster_start_time()
