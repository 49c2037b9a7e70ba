-- What would be claimed first. $1 schema  $2 table  $3 map jsonb  $4 how many
SELECT v.job_key, coalesce(v.job_type, ''), v.queue, coalesce(left(v.payload::text, 100), 'null')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL rowcrew.adopted_preview(c.oid, $3::jsonb, $4::int) v
WHERE n.nspname = $1::text AND c.relname = $2::text
