-- 0014: whole passes of the hint audit, at a node's start and when the server is another one; settings in the log of audits;
-- what an application may know of its own jobs and do to them; one failed job that is to run again.

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
  PERFORM rowcrew.write_audit('setting.' || lower(TG_OP COLLATE "C"), TG_TABLE_NAME || ' ' || concat_ws(' ', VARIADIC ARRAY(
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

-- A view of its own: in my_jobs it would be looked up for all jobs by whoever sorts them.
CREATE VIEW rowcrew.my_progress WITH (security_barrier) AS
  SELECT p.job_table, p.job_id, p.percent, p.note, p.updated_at
  FROM rowcrew.job_progress p JOIN rowcrew.job_queue q ON q.id = p.job_id
  WHERE p.job_table = 'job_queue' AND q.enqueued_by IN (current_user, session_user)
  UNION ALL
  SELECT p.job_table, p.job_id, p.percent, p.note, p.updated_at
  FROM rowcrew.job_progress p JOIN rowcrew.processing_jobs q ON q.id = p.job_id
  WHERE p.job_table = 'processing_jobs' AND q.enqueued_by IN (current_user, session_user);
COMMENT ON VIEW rowcrew.my_progress IS 'What running handlers said of the jobs that the asking role enqueued. Kept a day after the end.';

-- One job: 'cancelled' at once, 'requested' of the node that runs it, 'ended' before, or 'unknown'. Those of several tables
-- that have the same id are as many jobs; what became of the live one is the answer.
CREATE FUNCTION rowcrew.cancel_in(p_tables text[], p_job uuid, p_reason text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_table text;
  v_before text;
  v_taken boolean;
  v_answer text; v_all text := 'unknown';
BEGIN
  IF length(p_reason) > 500 THEN
    PERFORM rowcrew.refuse('reason', left(p_reason, 20) || '...', 'at most 500 characters');
  END IF;
  FOR v_table, v_before IN SELECT j.job_table, j.status FROM rowcrew.any_job j WHERE j.id = p_job AND j.job_table = ANY (p_tables) LOOP
    v_answer := 'ended';
    EXECUTE format('SELECT true FROM rowcrew.%I q WHERE q.id = $1 AND q.status IN (''pending'', ''retrying'') FOR NO KEY UPDATE SKIP LOCKED', v_table)
      USING p_job INTO v_taken;
    IF v_taken THEN
      PERFORM rowcrew.cancel_waiting(v_table, ARRAY[p_job], rowcrew.cancel_text(session_user, p_reason));
      v_answer := 'cancelled';
    ELSIF rowcrew.request_cancel(v_table, ARRAY[p_job], p_reason) > 0
          OR v_before NOT IN ('completed', 'failed', 'cancelled') AND rowcrew.cancel_note(v_table, p_job) IS NOT NULL THEN
      v_answer := 'requested';
    END IF;
    PERFORM rowcrew.write_audit('job.cancel', v_table || ' ' || p_job, jsonb_build_object('before', v_before, 'after', v_answer, 'reason', p_reason));
    v_all := CASE WHEN v_all IN ('unknown', 'ended') THEN v_answer ELSE v_all END;
  END LOOP;
  RETURN v_all;
END $$;

CREATE FUNCTION rowcrew.cancel(p_job uuid, p_reason text DEFAULT NULL) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT rowcrew.cancel_in(ARRAY['job_queue', 'processing_jobs'], p_job, p_reason)
$$;
COMMENT ON FUNCTION rowcrew.cancel(uuid, text) IS 'Stops one job: cancelled at once, requested of the node that runs it, ended before, or unknown.';

-- As cancel(), of jobs that the asking role sees in my_jobs and my_processing_jobs; every other one is 'unknown'.
CREATE FUNCTION rowcrew.cancel_my_job(p_job uuid, p_reason text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- Who asks: current_user is the owner in here, "role" tells of a SET ROLE outside.
  c_me constant text[] := ARRAY[session_user, nullif(current_setting('role'), 'none')];
BEGIN
  -- Ids are the inserter's to choose: one may be that of a stranger's job in the other table.
  RETURN rowcrew.cancel_in(ARRAY(SELECT 'job_queue' FROM rowcrew.job_queue q WHERE q.id = p_job AND q.enqueued_by = ANY (c_me)
                                 UNION ALL SELECT 'processing_jobs' FROM rowcrew.processing_jobs q WHERE q.id = p_job AND q.enqueued_by = ANY (c_me)),
                           p_job, p_reason);
END $$;
COMMENT ON FUNCTION rowcrew.cancel_my_job(uuid, text) IS
  'Stops a job that the asking role enqueued: cancelled at once, requested of the node that runs it, ended before, or unknown.';

-- Takes the hint of a job that waited until then, or was laid aside as one of this type and tenant: nothing would meet it before
-- that time or the end of that pause, it would be counted until then, and a job that is postponed all the time would add one
-- each time. True: it was laid aside.
CREATE FUNCTION rowcrew.take_hint(p_table text, p_id uuid, p_until timestamptz, p_type text, p_tenant text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_count bigint := 0;
BEGIN
  IF p_until > rowcrew.clock_now() THEN
    EXECUTE format('DELETE FROM rowcrew.%1$I WHERE ctid = ANY (ARRAY(SELECT p.ctid FROM rowcrew.%1$I p'
                   ' WHERE p.run_at = $1 AND p.id = $2 AND p.reason NOT IN (''rescued'', ''suspect'') FOR UPDATE SKIP LOCKED))', p_table || '_parked')
      USING p_until, p_id;
  END IF;
  IF EXISTS (SELECT FROM rowcrew.pause) THEN
    EXECUTE format('DELETE FROM rowcrew.%1$I WHERE ctid = ANY (ARRAY(SELECT p.ctid FROM rowcrew.%1$I p'
                   ' WHERE p.reason = ''paused'' AND p.key IN ($1, $2) AND p.id = $3 FOR UPDATE SKIP LOCKED))', p_table || '_parked')
      USING 'type:' || p_type, 'tenant:' || p_tenant, p_id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
  END IF;
  RETURN v_count > 0;
END $$;

-- What has failed waits again, from its first attempt. Returns of how many that is true.
CREATE FUNCTION rowcrew.run_again(p_table text, p_ids uuid[]) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_count bigint;
BEGIN
  EXECUTE format('UPDATE rowcrew.%I SET status = ''pending'', attempts = 0, crashes = 0, lonely_crashes = 0, completed_at = NULL, scheduled_at = rowcrew.clock_now()'
                 ' WHERE id = ANY ($1) AND status = ''failed''', p_table) USING p_ids;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

CREATE FUNCTION rowcrew.redrive(p_job uuid, p_reason text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_table text;
  v_status text := 'unknown';
BEGIN
  IF length(p_reason) > 500 THEN
    PERFORM rowcrew.refuse('reason', left(p_reason, 20) || '...', 'at most 500 characters');
  END IF;
  FOR v_table IN SELECT j.job_table FROM rowcrew.any_job j WHERE j.id = p_job LOOP  -- two of one id, as in cancel_in()
    IF rowcrew.run_again(v_table, ARRAY[p_job]) > 0 THEN
      PERFORM rowcrew.write_audit('job.redrive', v_table || ' ' || p_job, jsonb_build_object('before', 'failed', 'after', 'pending', 'reason', p_reason));
      v_status := 'redriven';
    ELSIF v_status <> 'redriven' THEN
      v_status := coalesce((SELECT j.status FROM rowcrew.any_job j WHERE j.id = p_job AND j.job_table = v_table), v_status);
    END IF;
  END LOOP;
  RETURN v_status;
END $$;
COMMENT ON FUNCTION rowcrew.redrive(uuid, text) IS
  'Lets one failed job run again from its first attempt: redriven; else its status, or unknown. An error while a live job has its unique key.';

UPDATE rowcrew.meta SET schema_version = 14;
