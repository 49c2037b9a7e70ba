-- $1 version, $2 step, $3 name, $4 fingerprint.
INSERT INTO rowcrew.schema_migration (version, step, name, fingerprint) VALUES ($1::int, $2, $3, $4)
