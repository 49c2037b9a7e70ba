-- How many ms ago each retention policy that is carried out came to the end of its table, or was switched on or changed since.
SELECT p.name, floor(extract(epoch FROM rowcrew.clock() - greatest(p.last_run_at, p.changed_at)) * 1000)::bigint
FROM rowcrew.retention_policy p WHERE p.enabled AND NOT p.dry_run ORDER BY p.name
