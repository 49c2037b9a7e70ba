-- Tells the other nodes that there is more than this one can take. $1 job table
SELECT pg_notify('rowcrew_fan', $1)
