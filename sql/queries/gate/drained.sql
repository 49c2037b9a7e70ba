-- Whether every transaction that found nobody asleep has ended: they hold this lock shared.
SELECT CASE WHEN pg_try_advisory_lock(7126300142) THEN pg_advisory_unlock(7126300142) ELSE false END
