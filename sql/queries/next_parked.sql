-- Milliseconds until the next parked job is due; no row when there is none.
SELECT greatest(0, ceil(extract(epoch FROM p.run_at - rowcrew.clock()) * 1000))::bigint
FROM {parked} p WHERE p.reason NOT IN ('rescued', 'suspect') ORDER BY p.run_at LIMIT 1
