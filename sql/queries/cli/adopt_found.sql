-- The adopted table of this name, or that which is called so by now. $1 name  $2 schema  $3 table
SELECT z.name, z.mode, coalesce(z.hold_reason, ''), z.schema_name, z.table_name FROM rowcrew.adopted_table z
WHERE z.name = $1::text OR (z.schema_name = $2::text AND z.table_name = $3::text)
   OR z.rel = (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $2::text AND c.relname = $3::text)
ORDER BY z.name = $1::text DESC LIMIT 1
