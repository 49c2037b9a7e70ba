-- How far this database was migrated.
SELECT schema_version FROM rowcrew.meta
