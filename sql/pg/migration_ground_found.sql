-- Schema there, table there. Asked first, because CREATE SCHEMA IF NOT EXISTS wants the right to create
-- schemas even where there is nothing to do.
SELECT to_regnamespace('rowcrew') IS NOT NULL, to_regclass('rowcrew.schema_migration') IS NOT NULL
