-- Lets the gate go and tells the other nodes, so that one of them leads at once: before its next heartbeat none would know.
SELECT pg_advisory_unlock_all(), pg_notify('rowcrew_command', 'lead')
