-- Everything that is paused.
SELECT p.scope, p.name, p.paused_by, rowcrew.say_time(p.since), rowcrew.say_time(p.until), p.reason
FROM rowcrew.pause p WHERE p.until IS NULL OR p.until > rowcrew.clock()
UNION ALL
SELECT 'queue', q.name, NULL, NULL, NULL, q.note FROM rowcrew.queue q WHERE q.paused
ORDER BY 1, 2
