-- The rules, and how many keys of each have permits out.
SELECT r.name, r.queue, r.job_type, r.keyed_by, r.max_running, r.units, r.per, r.burst, r.weight,
       (SELECT count(*) FROM rowcrew.limit_key k WHERE split_part(k.key, ':', 1) = r.name) AS keys, r.set_by,
       to_char(r.set_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS set_at
FROM rowcrew.job_limit r ORDER BY r.name
