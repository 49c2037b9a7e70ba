-- Every enabled schedule with its last tick, or since when its times hold, and the database's clock, both in ms since the epoch.
SELECT s.name, s.cron, s.every_ms, s.zone,
       floor(extract(epoch FROM greatest(s.created_at, s.changed_at, t.last)) * 1000)::bigint,
       floor(extract(epoch FROM rowcrew.clock()) * 1000)::bigint
FROM rowcrew.schedule s
LEFT JOIN LATERAL (SELECT max(k.due_at) AS last FROM rowcrew.tick k WHERE k.schedule = s.name) t ON true
WHERE s.enabled
