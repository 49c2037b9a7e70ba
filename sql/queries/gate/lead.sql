-- Makes this session the one that decides for the fleet whether producers must notify.
SELECT pg_try_advisory_lock(7126300140)
