-- Whoever waits for a table's lock makes everybody behind it wait too: give up and say so instead.
SET LOCAL lock_timeout = '10s'
