-- Whether this node shall walk all of a job table: no other has begun to within ten seconds, on this
-- very server. $1 job table  $2 node_id
INSERT INTO rowcrew.audit_pass AS p (job_table, server_started, node_id)
VALUES ($1, pg_postmaster_start_time(), $2::bigint)
ON CONFLICT (job_table) DO UPDATE
SET server_started = excluded.server_started, begun_at = excluded.begun_at, node_id = excluded.node_id
WHERE p.server_started <> excluded.server_started
   OR p.begun_at < excluded.begun_at - interval '10 s' OR p.node_id = excluded.node_id
RETURNING p.node_id
