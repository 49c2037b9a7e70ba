-- What nodes reread every few seconds: paused queues.
SELECT name FROM rowcrew.queue WHERE paused
