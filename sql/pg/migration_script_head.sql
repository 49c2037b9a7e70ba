-- What "rowcrew migrate" would run, for psql. Scripts that the database has seen already are skipped.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET standard_conforming_strings = on;
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL search_path = '';
SELECT pg_advisory_xact_lock(hashtextextended('rowcrew.migrate', 0)) AS rowcrew_lock \gset
DO $rowcrew$ BEGIN
  IF current_setting('server_version_num')::int < {oldest_server} THEN
    RAISE EXCEPTION 'server has version %, expected 15 or newer', current_setting('server_version');
  END IF;
END $rowcrew$;
SELECT to_regnamespace('rowcrew') IS NULL AS rowcrew_missing \gset
\if :rowcrew_missing
{schema};
\endif
SELECT to_regclass('rowcrew.schema_migration') IS NULL AS rowcrew_missing \gset
\if :rowcrew_missing
{table};
\endif
DO $rowcrew$ BEGIN
  IF NOT EXISTS (SELECT FROM rowcrew.schema_migration)
     AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = to_regnamespace('rowcrew') AND c.relkind = 'r' AND c.relname <> 'schema_migration') THEN
    RAISE EXCEPTION '%', $text${no_record}$text$;
  END IF;
  IF (SELECT max(version) FROM rowcrew.schema_migration) > {known} THEN
    RAISE EXCEPTION 'schema is newer than this script, which knows up to version {known}';
  END IF;
END $rowcrew$;
COMMIT;

