-- What the functions of kinds.sql.allow could be. $1 schemas text[]  $2 names text[]
SELECT n.nspname, f.proname, oidvectortypes(f.proargtypes), format_type(f.prorettype, NULL),
       f.prokind = 'f' AND NOT f.proretset,
       has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(f.oid, 'EXECUTE'), current_user
FROM unnest($1::text[], $2::text[]) AS w (schema_name, name)
JOIN pg_namespace n ON n.nspname = w.schema_name
JOIN pg_proc f ON f.pronamespace = n.oid AND f.proname = w.name
