-- The rules, and how many keys of each have permits out; last the same for programs.
SELECT r.name, r.queue, r.job_type, r.keyed_by, r.max_running, r.units, r.per, r.burst, r.weight, k.keys, r.set_by, rowcrew.say_time(r.set_at),
       json_build_object('name', r.name, 'queue', r.queue, 'type', r.job_type, 'by', r.keyed_by, 'running', r.max_running, 'units', r.units,
                         'per_ms', (extract(epoch FROM r.per) * 1000)::bigint, 'burst', r.burst, 'weight', r.weight, 'keys', k.keys,
                         'set_by', r.set_by, 'set_at', r.set_at)
FROM rowcrew.job_limit r, LATERAL (SELECT count(*) AS keys FROM rowcrew.limit_key x WHERE split_part(x.key, ':', 1) = r.name) k
ORDER BY r.name
