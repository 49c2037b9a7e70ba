-- {label}
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL search_path = '';
SELECT pg_advisory_xact_lock(hashtextextended('rowcrew.migrate', 0)) AS rowcrew_lock \gset
SELECT NOT EXISTS (SELECT FROM rowcrew.schema_migration WHERE version = {version} AND step = '{step}')
  AS rowcrew_pending,
  EXISTS (SELECT FROM rowcrew.schema_migration WHERE version = {version} AND step = '{step}' AND fingerprint <> '{fingerprint}')
  AS rowcrew_other \gset
\if :rowcrew_other
DO $rowcrew$ BEGIN
  RAISE EXCEPTION '{label} was applied in another form than this script holds: a development version made this schema';
END $rowcrew$;
\endif
\if :rowcrew_pending
SET LOCAL lock_timeout = '10s';
{script}
;
{private}
;
INSERT INTO rowcrew.schema_migration (version, step, name, fingerprint)
  VALUES ({version}, '{step}', '{name}', '{fingerprint}');
\endif
COMMIT;

