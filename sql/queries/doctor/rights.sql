-- Doctor: the group roles and how many of their rights there are. How many there have to be is told here, and a test compares it
-- with what the migrations give; adopted tables have rights of their own, which are not counted.
WITH wanted (role, on_tables, on_columns, on_functions) AS (VALUES
    ('rowcrew_app', 4, 44, 10),
    ('rowcrew_worker', 106, 0, 63),
    ('rowcrew_ingest', 0, 0, 2),
    ('rowcrew_operator', 82, 46, 57),
    ('rowcrew_viewer', 26, 26, 32)
), adopted AS MATERIALIZED (
  SELECT array_agg(z.name || w) AS names
  FROM rowcrew.adopted_table z, unnest(ARRAY['_ready', '_parked', '_limited', '_claim', '_job', '_take']) w
), given AS MATERIALIZED (
  SELECT 't' AS what, a.grantee FROM adopted o, pg_class c, aclexplode(c.relacl) a
  WHERE c.relnamespace = 'rowcrew'::regnamespace AND NOT c.relispartition AND c.relname <> ALL (coalesce(o.names, ARRAY[]::text[]))
  UNION ALL
  SELECT 'c', a.grantee FROM pg_attribute b JOIN pg_class c ON c.oid = b.attrelid, aclexplode(b.attacl) a
  WHERE c.relnamespace = 'rowcrew'::regnamespace AND NOT c.relispartition
  UNION ALL
  SELECT 'f', a.grantee FROM adopted o, pg_proc p, aclexplode(p.proacl) a
  WHERE p.pronamespace = 'rowcrew'::regnamespace AND p.proname <> ALL (coalesce(o.names, ARRAY[]::text[]))
)
SELECT json_build_object(
  'owner', (SELECT pg_get_userbyid(n.nspowner) FROM pg_namespace n WHERE n.nspname = 'rowcrew'),
  'roles', (SELECT json_agg(x) FROM (
    SELECT w.role, r.oid IS NOT NULL AS present, coalesce(has_schema_privilege(r.oid, 'rowcrew', 'USAGE'), false) AS usage,
           w.on_tables AS tables, w.on_columns AS columns, w.on_functions AS functions,
           (SELECT count(*) FROM given g WHERE g.grantee = r.oid AND g.what = 't') AS has_tables,
           (SELECT count(*) FROM given g WHERE g.grantee = r.oid AND g.what = 'c') AS has_columns,
           (SELECT count(*) FROM given g WHERE g.grantee = r.oid AND g.what = 'f') AS has_functions
    FROM wanted w LEFT JOIN pg_roles r ON r.rolname = w.role ORDER BY w.role) x))
