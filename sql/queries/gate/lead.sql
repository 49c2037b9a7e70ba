-- Makes this session the one that decides for the fleet whether producers must notify, and says whose it
-- is. $1 node_id
-- The session may have led before, awake or asleep, until something else of its node failed: it starts anew.
WITH u AS MATERIALIZED (
  SELECT pg_advisory_unlock_all()
), l AS MATERIALIZED (
  SELECT pg_try_advisory_lock(7126300140) AS got FROM u
), g AS (
  INSERT INTO rowcrew.gate (leader) SELECT $1::bigint FROM l WHERE l.got
  ON CONFLICT (one) DO UPDATE SET leader = excluded.leader
)
SELECT got FROM l
