-- Every enabled schedule with its last tick, or since when its times hold, and the database's clock, both in ms since the epoch.
-- A tick of the future was made while the server's clock was wrong: its own moment is decided, those before it are not.
SELECT s.name, s.cron, s.every_ms, s.zone,
       floor(extract(epoch FROM greatest(s.created_at, s.changed_at, t.last)) * 1000)::bigint,
       floor(extract(epoch FROM rowcrew.clock()) * 1000)::bigint
FROM rowcrew.schedule s
LEFT JOIN LATERAL (SELECT max(k.due_at) AS last FROM rowcrew.tick k WHERE k.schedule = s.name AND k.due_at <= rowcrew.clock()) t ON true
WHERE s.enabled
