-- 0014: whole passes of the hint audit, at a node's start and when the server is another one; settings in the log of audits.

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

-- Settings that people change by plain SQL are in audit_logs, too: one row for each that was written. What nodes note beside
-- a setting is no change of it; secrets and payloads are never in the log.
CREATE FUNCTION rowcrew.audit_setting() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  c_hidden constant text[] := '{key_hash, secret, previous_secret, payload}';
BEGIN
  PERFORM rowcrew.write_audit('setting.' || lower(TG_OP), TG_TABLE_NAME || ' ' || concat_ws(' ', VARIADIC ARRAY(
    SELECT coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> k.name FROM unnest(TG_ARGV) AS k (name))),
    jsonb_build_object('before', to_jsonb(OLD) - c_hidden, 'after', to_jsonb(NEW) - c_hidden));
  RETURN NULL;
END $$;
CREATE TRIGGER rowcrew_audit AFTER INSERT OR UPDATE OR DELETE ON rowcrew.job_type
  FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting('name');
CREATE TRIGGER rowcrew_audit AFTER INSERT OR UPDATE OR DELETE ON rowcrew.queue
  FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting('name');
CREATE TRIGGER rowcrew_audit AFTER INSERT OR UPDATE OR DELETE ON rowcrew.retry_rule
  FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting('job_type', 'error_code');
CREATE TRIGGER rowcrew_audit AFTER INSERT OR UPDATE OR DELETE ON rowcrew.schedule
  FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting('name');
CREATE TRIGGER rowcrew_audit AFTER INSERT OR UPDATE OR DELETE ON rowcrew.api_key
  FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting('name');
CREATE TRIGGER rowcrew_audit AFTER INSERT OR UPDATE OR DELETE ON rowcrew.preset
  FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting('name');
-- Those of webhooks follow their endpoints, whose change is in the log.
CREATE TRIGGER rowcrew_audit AFTER INSERT OR UPDATE OR DELETE ON rowcrew.event_subscription
  FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION rowcrew.audit_setting('name');
CREATE TRIGGER rowcrew_audit
  AFTER INSERT OR DELETE OR UPDATE OF app, account, url, events, secret, previous_secret, previous_secret_until, enabled, disabled_reason
  ON rowcrew.webhook_endpoints FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting('endpoint_id');
CREATE TRIGGER rowcrew_audit AFTER INSERT OR DELETE OR UPDATE OF name, target, job_types, statuses, age, action, dry_run, enabled, batch, note
  ON rowcrew.retention_policy FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting('name');

UPDATE rowcrew.meta SET schema_version = 14;
