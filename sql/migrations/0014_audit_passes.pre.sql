-- 0014: whole passes of the hint audit, at a node's start and when the server is another one.

CREATE TABLE rowcrew.audit_pass (
  job_table      text        PRIMARY KEY,
  server_started timestamptz NOT NULL,
  begun_at       timestamptz NOT NULL DEFAULT rowcrew.clock(),
  node_id        bigint      NOT NULL
);
COMMENT ON TABLE rowcrew.audit_pass IS
  'The last walk over all of a job table for jobs without a hint: a fleet that starts together walks once.';
COMMENT ON COLUMN rowcrew.audit_pass.server_started IS
  'pg_postmaster_start_time() of the server it was walked on: a promoted standby, a restored or a restarted server has another.';

UPDATE rowcrew.meta SET schema_version = 14;
