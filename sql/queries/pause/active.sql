-- What is paused now, and for how many ms more, up to ten years (null: until it is resumed).
SELECT p.scope, p.name, CASE WHEN p.until IS NOT NULL THEN greatest(0, ceil(extract(epoch FROM least(p.until, rowcrew.clock() + interval '10 years') - rowcrew.clock()) * 1000)) END::bigint
FROM rowcrew.pause p WHERE p.until IS NULL OR p.until > rowcrew.clock()
UNION ALL
SELECT 'queue', q.name, NULL FROM rowcrew.queue q WHERE q.paused
