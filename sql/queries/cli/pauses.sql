-- Everything that is paused; last the same for programs.
SELECT x.scope, x.name, x.paused_by, rowcrew.say_time(x.since), rowcrew.say_time(x.until), x.reason, to_json(x)
FROM (SELECT p.scope, p.name, p.paused_by, p.since, p.until, p.reason
      FROM rowcrew.pause p WHERE p.until IS NULL OR p.until > rowcrew.clock()
      UNION ALL
      SELECT 'queue', q.name, NULL, NULL, NULL, q.note FROM rowcrew.queue q WHERE q.paused) x
ORDER BY 1, 2
