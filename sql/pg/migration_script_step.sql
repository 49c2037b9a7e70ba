-- {label}
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL search_path = '';
SELECT pg_advisory_xact_lock(hashtextextended('rowcrew.migrate', 0)) AS rowcrew_lock \gset
SELECT NOT EXISTS (SELECT FROM rowcrew.schema_migration WHERE version = {version} AND step = '{step}')
  AS rowcrew_pending \gset
\if :rowcrew_pending
SET LOCAL lock_timeout = '10s';
{script}
;
INSERT INTO rowcrew.schema_migration (version, step, name) VALUES ({version}, '{step}', '{name}');
\endif
COMMIT;

