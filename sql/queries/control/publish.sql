-- Sends a chunk of log lines to whoever tails. $1 text of at most 7,900 bytes
SELECT pg_notify('rowcrew_tail', $1)
