-- Makes this session the one that decides for the fleet whether producers must notify. $1 node_id  $2 the job tables that it serves text[]
-- Returns whether it is, whether the session that held the lock instead has been ended (ask again), and who of
-- another role holds it although no living node is named: any session of the database may, and none of ours may end it.
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
), h AS MATERIALIZED (
  SELECT k.pid, k.mode, a.usename, a.state, a.state_change
  FROM l, pg_locks k JOIN pg_stat_activity a ON a.pid = k.pid
  WHERE NOT l.got AND k.locktype = 'advisory' AND k.granted AND k.pid <> pg_backend_pid()
    AND k.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND k.objsubid = 1 AND (k.classid::bigint << 32) + k.objid::bigint = 7126300140
    AND NOT EXISTS (SELECT FROM rowcrew.gate g JOIN rowcrew.node n ON n.node_id = g.leader
                    WHERE NOT n.dead AND g.leader <> $1::bigint)
), s AS MATERIALIZED (
  SELECT pg_terminate_backend(h.pid) AS ended FROM h
  WHERE h.mode = 'ExclusiveLock' AND h.usename = current_user AND h.state = 'idle' AND h.state_change < rowcrew.clock_now() - interval '2 s'
)
SELECT got, EXISTS (SELECT FROM s WHERE ended),
       (SELECT string_agg(format('pid %s of role %I', h.pid, h.usename), ', ') FROM h WHERE h.usename <> current_user)
FROM l
