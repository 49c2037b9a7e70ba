-- Statements that anybody has run in this database.
SELECT coalesce(sum(s.calls), 0)::bigint FROM {home}.pg_stat_statements s
WHERE s.dbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
