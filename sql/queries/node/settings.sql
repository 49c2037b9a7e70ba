-- What nodes reread every few seconds: paused queues, and whether there are rules about limits (a row
-- without a name).
SELECT name FROM rowcrew.queue WHERE paused
UNION
SELECT name FROM rowcrew.pause WHERE scope = 'queue' AND (until IS NULL OR until > rowcrew.clock())
UNION
SELECT NULL WHERE EXISTS (SELECT FROM rowcrew.job_limit)
