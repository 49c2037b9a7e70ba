-- Doctor: who keeps dead rows from being removed: old snapshots, prepared transactions, replication slots. Of sessions of
-- other roles the server tells whoever is in pg_read_all_stats.
SELECT json_build_object(
  'sees_all', pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
  'sessions', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT a.pid, a.usename AS role, a.application_name AS program, a.state,
           floor(extract(epoch FROM clock_timestamp() - a.xact_start))::bigint AS seconds,
           format('SELECT pg_terminate_backend(%s)', a.pid) AS mend
    FROM pg_stat_activity a JOIN pg_database d ON d.oid = a.datid
    WHERE d.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
      AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
    ORDER BY a.xact_start LIMIT 20) x),
  'prepared', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT p.gid, p.owner AS role, floor(extract(epoch FROM clock_timestamp() - p.prepared))::bigint AS seconds,
           format('ROLLBACK PREPARED %L', p.gid) AS mend
    FROM pg_prepared_xacts p WHERE p.database = current_database() ORDER BY p.prepared LIMIT 20) x),
  'slots', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT s.slot_name AS name, s.active, greatest(age(s.xmin), 0) AS xmin_age, coalesce(s.wal_status, '') AS wal_status,
           CASE WHEN NOT pg_is_in_recovery() THEN greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0)::bigint END AS kept_bytes,
           format('SELECT pg_drop_replication_slot(%L)', s.slot_name) AS mend
    FROM pg_replication_slots s ORDER BY s.slot_name LIMIT 200) x))
