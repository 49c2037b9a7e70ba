-- What nodes reread every few seconds: paused queues.
SELECT name FROM rowcrew.queue WHERE paused
UNION
SELECT name FROM rowcrew.pause WHERE scope = 'queue' AND (until IS NULL OR until > rowcrew.clock())
