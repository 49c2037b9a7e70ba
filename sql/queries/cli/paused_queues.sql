-- The names of the queues that are paused now.
SELECT name FROM rowcrew.queue WHERE paused
UNION
SELECT name FROM rowcrew.pause WHERE scope = 'queue' AND (until IS NULL OR until > rowcrew.clock())
