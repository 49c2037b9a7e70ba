-- Makes this session the one that decides for the fleet whether producers must notify. $1 node_id  $2 the job tables that it serves text[]
-- Returns whether it is, and whether the session that held the lock instead has been ended: ask again.
-- The session may have led before, awake or asleep, until something else of its node failed: it starts anew.
-- A connection that has died without a word leaves a session behind that holds the lock until the server
-- finds out, which behind a proxy is never: it is ended when it is an older one of this node, or of a node
-- that is dead. The leader's name is written with the taking of the lock and not seen before: one that has
-- said something in the last two seconds may just have taken it.
WITH u AS MATERIALIZED (
  SELECT pg_advisory_unlock_all()
), l AS MATERIALIZED (
  SELECT pg_try_advisory_lock(7126300140) AS got FROM u
), g AS (
  INSERT INTO rowcrew.gate (leader, tables) SELECT $1::bigint, $2::text[] FROM l WHERE l.got
  ON CONFLICT (one) DO UPDATE SET leader = excluded.leader, tables = excluded.tables
), s AS MATERIALIZED (
  SELECT pg_terminate_backend(a.pid) AS ended
  FROM (SELECT FROM l WHERE NOT l.got
          AND NOT EXISTS (SELECT FROM rowcrew.gate g JOIN rowcrew.node n ON n.node_id = g.leader
                          WHERE NOT n.dead AND g.leader <> $1::bigint)) f,
       pg_locks k JOIN pg_stat_activity a ON a.pid = k.pid
  WHERE k.locktype = 'advisory' AND k.granted AND k.mode = 'ExclusiveLock' AND k.pid <> pg_backend_pid()
    AND k.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND k.objsubid = 1 AND (k.classid::bigint << 32) + k.objid::bigint = 7126300140
    AND a.usename = current_user AND a.state = 'idle' AND a.state_change < rowcrew.clock_now() - interval '2 s'
)
SELECT got, EXISTS (SELECT FROM s WHERE ended) FROM l
