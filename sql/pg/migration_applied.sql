-- The column is read like this because schemas that an early development version made have none.
SELECT version, step, coalesce(to_jsonb(m) ->> 'fingerprint', '') FROM rowcrew.schema_migration m
