-- A new node, announced to the leader, which would learn of it with its next heartbeat only.
-- $1 epoch  $2 lease in ms  $3 name  $4 host  $5 pid  $6 version  $7 queues text[]  $8 job types text[]
INSERT INTO rowcrew.node (epoch, lease_ms, name, host, pid, version, queues, job_types)
VALUES ($1::bigint, $2::int, $3, $4, $5::int, $6, $7::text[], $8::text[])
RETURNING node_id, pg_postmaster_start_time(), pg_notify('rowcrew_wake', 'node')
