-- Schema there, table there, and whether there is any other. Asked first, because CREATE SCHEMA IF NOT EXISTS wants the right to create
-- schemas even where there is nothing to do.
SELECT to_regnamespace('rowcrew') IS NOT NULL, to_regclass('rowcrew.schema_migration') IS NOT NULL,
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = to_regnamespace('rowcrew') AND c.relkind = 'r' AND c.relname <> 'schema_migration')
