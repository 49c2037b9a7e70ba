-- Milliseconds until the next parked job is due, a day at most: some wait for infinity, from which nothing
-- can be subtracted. No row when there is none. $1 from where to read, as in promote
SELECT greatest(0, ceil(extract(epoch FROM least(p.run_at, rowcrew.clock() + interval '1 day') - rowcrew.clock()) * 1000))::bigint
FROM {parked} p WHERE p.reason NOT IN ('rescued', 'suspect')
  AND p.run_at >= coalesce('epoch'::timestamptz + $1::bigint * interval '1 us', '-infinity') ORDER BY p.run_at LIMIT 1
