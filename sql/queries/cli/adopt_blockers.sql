-- Whose transactions keep the table locked. $1 name
SELECT a.pid, coalesce(a.application_name, ''), coalesce(floor(extract(epoch FROM rowcrew.clock() - a.xact_start)), 0)::bigint
FROM rowcrew.adopted_table z JOIN pg_locks l ON l.relation = z.rel AND l.granted JOIN pg_stat_activity a ON a.pid = l.pid
WHERE z.name = $1::text AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') AND a.pid <> pg_backend_pid()
ORDER BY a.xact_start LIMIT 5
