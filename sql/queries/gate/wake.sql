-- From here on producers need not notify.
SELECT pg_advisory_unlock(7126300141)
