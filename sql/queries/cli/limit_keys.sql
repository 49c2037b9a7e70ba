-- The keys of a limit that most jobs wait for; last the same for programs. $1 its name
SELECT k.key, coalesce(k.running::text, ''), coalesce(k.room::text, ''), k.waiting,
       CASE WHEN k.paused_until = 'infinity' THEN 'it is resumed' ELSE coalesce(rowcrew.say_time(k.paused_until), '') END,
       json_build_object('key', k.key, 'running', k.running, 'room', k.room, 'waiting', k.waiting, 'paused', k.paused_until IS NOT NULL,
                         'paused_until', nullif(k.paused_until, 'infinity'))
FROM rowcrew.limit_keys($1) k
