-- Doctor: what somebody has done to tables of ours, and what grows there. Of catalogs and estimates; no table is read.
WITH t AS MATERIALIZED (
  SELECT c.oid, c.oid::regclass::text AS name, c.relname, c.relpersistence, c.relrowsecurity, c.reloptions, c.relispartition, c.relkind
  FROM pg_class c WHERE c.relnamespace = 'rowcrew'::regnamespace AND c.relkind IN ('r', 'p')
)
SELECT json_build_object(
  'triggers', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT t.name AS table, quote_ident(g.tgname) AS trigger, g.tgtype & 1 = 1 AS per_row, format('DROP TRIGGER %I ON %s', g.tgname, t.name) AS mend
    FROM t JOIN pg_trigger g ON g.tgrelid = t.oid JOIN pg_proc f ON f.oid = g.tgfoid
    WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND g.tgenabled <> 'D' AND f.pronamespace <> 'rowcrew'::regnamespace ORDER BY 1, 2) x),
  'rules', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT t.name AS table, quote_ident(r.rulename) AS rule, format('DROP RULE %I ON %s', r.rulename, t.name) AS mend
    FROM t JOIN pg_rewrite r ON r.ev_class = t.oid ORDER BY 1, 2) x),
  'row_security', (SELECT coalesce(json_agg(json_build_object('table', t.name, 'mend', format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', t.name)) ORDER BY t.name), '[]') FROM t WHERE t.relrowsecurity),
  'unlogged', (SELECT coalesce(json_agg(json_build_object('table', t.name, 'mend', format('ALTER TABLE %s SET LOGGED', t.name)) ORDER BY t.name), '[]') FROM t WHERE t.relpersistence = 'u'),
  'not_vacuumed', (SELECT coalesce(json_agg(json_build_object('table', t.name, 'mend', format('ALTER TABLE %s RESET (autovacuum_enabled)', t.name)) ORDER BY t.name), '[]') FROM t
                   WHERE EXISTS (SELECT FROM unnest(t.reloptions) o WHERE o ~* '^autovacuum_enabled=(f|false|off|of|no|n|0)')),
  'dead', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT t.name AS table, s.n_dead_tup AS rows, floor(extract(epoch FROM clock_timestamp() - greatest(s.last_vacuum, s.last_autovacuum)))::bigint AS seconds,
           format('VACUUM %s', t.name) AS mend
    FROM t JOIN pg_stat_all_tables s ON s.relid = t.oid
    WHERE t.relname ~ '_(ready|parked|limited|claim)$' AND s.n_dead_tup > 100000 ORDER BY 2 DESC LIMIT 20) x),
  'references', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT k.conrelid::regclass::text AS table, quote_ident(k.conname) AS constraint, t.relname AS target, k.confdeltype = 'c' AS cascades,
           format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname) AS mend
    FROM pg_constraint k JOIN t ON t.oid = k.confrelid JOIN pg_class c ON c.oid = k.conrelid
    WHERE k.contype = 'f' AND k.conparentid = 0 AND c.relnamespace <> 'rowcrew'::regnamespace AND k.confdeltype IN ('a', 'r', 'c')
      AND EXISTS (SELECT FROM rowcrew.retention_policy p WHERE p.target = t.relname AND p.enabled AND NOT p.dry_run) ORDER BY 1, 2) x),
  'without_partition', (SELECT coalesce(json_agg(json_build_object('table', p.name, 'mend', 'SELECT rowcrew.ensure_partitions()') ORDER BY p.name), '[]') FROM unnest(ARRAY['job_attempt', 'job_event']) AS p (name)
    WHERE to_regclass(format('rowcrew.%I', p.name || '_' || to_char((rowcrew.clock() + interval '7 days') AT TIME ZONE 'UTC', 'IYYY"w"IW'))) IS NULL))
