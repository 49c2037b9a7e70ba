-- Doctor: the server, what it was told and what of it runs out. Settings are those of sessions such as the asking one.
SELECT json_build_object(
  'schema', EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = to_regnamespace('rowcrew') AND c.relname = 'meta'), 'database', current_database(),
  'standby', pg_is_in_recovery(), 'read_only', current_setting('default_transaction_read_only')::boolean,
  'writes_again', format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()),
  'fsync', current_setting('fsync'), 'full_page_writes', current_setting('full_page_writes'),
  'synchronous_commit', current_setting('synchronous_commit'),
  'autovacuum', current_setting('autovacuum'), 'track_counts', current_setting('track_counts'),
  'max_connections', current_setting('max_connections')::integer,
  'reserved', current_setting('superuser_reserved_connections')::integer + coalesce(current_setting('reserved_connections', true), '0')::integer,
  'connections', (SELECT count(*) FROM pg_stat_activity a WHERE a.backend_type = 'client backend'),
  'database_limit', d.datconnlimit,
  'database_connections', (SELECT count(*) FROM pg_stat_activity a WHERE a.backend_type = 'client backend' AND a.datid = d.oid),
  'xid_age', age(d.datfrozenxid), 'multixact_age', mxid_age(d.datminmxid),
  'notify_queue', pg_notification_queue_usage(),
  -- What roles that reach our schema, or all in this database, are given at login.
  'role_settings', (SELECT coalesce(json_agg(x ORDER BY x.role, x.setting), '[]') FROM (
    SELECT coalesce(r.rolname, 'everybody') AS role, o AS setting,
           concat_ws(' ', CASE WHEN r.oid IS NULL THEN format('ALTER DATABASE %I', d.datname) ELSE format('ALTER ROLE %I', r.rolname) END,
                     CASE WHEN r.oid IS NOT NULL AND s.setdatabase <> 0 THEN format('IN DATABASE %I', d.datname) END, 'RESET', split_part(o, '=', 1)) AS mend
    FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) o LEFT JOIN pg_roles r ON r.oid = s.setrole
    WHERE s.setdatabase IN (0, d.oid) AND lower(o) IN ('synchronous_commit=off', 'session_replication_role=replica', 'rowcrew.notify=off')
      AND (s.setrole = 0 OR has_schema_privilege(s.setrole, to_regnamespace('rowcrew')::oid, 'USAGE'))) x),
  'encrypted', (SELECT s.ssl FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()))
FROM pg_database d WHERE d.datname = current_database()
