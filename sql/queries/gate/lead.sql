-- Makes this session the one that decides for the fleet whether producers must notify. $1 node_id
-- The second lock says whose session it is: cut off or frozen, it may outlive its node by hours.
SELECT CASE WHEN pg_try_advisory_lock(7126300140)
            THEN pg_try_advisory_lock_shared(71263001, ($1::bigint % 2147483647)::int) ELSE false END
