-- $1 version, $2 step, $3 name.
INSERT INTO rowcrew.schema_migration (version, step, name) VALUES ($1::int, $2, $3)
