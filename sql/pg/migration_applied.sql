SELECT version, step FROM rowcrew.schema_migration
