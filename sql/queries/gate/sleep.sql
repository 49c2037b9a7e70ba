-- From here on producers notify. False: one is testing this lock at this moment, try again.
SELECT pg_try_advisory_lock(7126300141)
