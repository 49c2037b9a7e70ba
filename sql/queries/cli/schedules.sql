-- Every schedule: times in ms since the epoch, the last also as text, and the database's clock.
SELECT s.name, coalesce(s.cron, ''), s.every_ms, s.zone, s.job_type, s.queue, s.enabled, floor(extract(epoch FROM s.since) * 1000)::bigint,
       floor(extract(epoch FROM rowcrew.clock()) * 1000)::bigint, coalesce(rowcrew.say_time(s.last), ''), floor(extract(epoch FROM s.last) * 1000)::bigint,
       coalesce(s.job_id::text, ''), coalesce(s.status, '')
FROM rowcrew.list_schedules() s
