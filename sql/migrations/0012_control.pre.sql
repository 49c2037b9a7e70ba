-- 0012: control: why a job is not running; pause, cancel and redrive; progress, policies, deadlines.

ALTER TABLE rowcrew.node ADD COLUMN job_types text[];
COMMENT ON COLUMN rowcrew.node.job_types IS 'Those it has a handler for. Null: an older program, which does not tell.';

-- Reasons beyond today's keep their place: the hints of later releases lie beside those of now.
-- run_at of what the clock does not end is far away (+ 100 years), so that no promotion meets it.
DO $$
DECLARE
  v_table text;
BEGIN
  FOREACH v_table IN ARRAY ARRAY['job_queue_parked', 'processing_jobs_parked'] LOOP
    EXECUTE format('ALTER TABLE rowcrew.%1$I ADD COLUMN key text, DROP CONSTRAINT %2$I, ADD CONSTRAINT %2$I CHECK (reason IN '
                   '(''scheduled'', ''backoff'', ''rescued'', ''suspect'', ''paused'', ''unclaimable'', ''limit'', ''rate'', ''lane'', ''job'', ''signal'', ''budget'')) NOT VALID',
                   v_table, v_table || '_reason_check');
    EXECUTE format('CREATE INDEX ON rowcrew.%I (key, id) WHERE reason = ''paused''', v_table);
    EXECUTE format('CREATE INDEX ON rowcrew.%I (id) WHERE reason = ''unclaimable''', v_table);
    EXECUTE format('COMMENT ON COLUMN rowcrew.%I.key IS ''What it waits for: of paused jobs "type:<name>" or "tenant:<name>"; of unclaimable ones what the database said.''', v_table);
  END LOOP;
END $$;

-- What both tables have in common. For looking at one job by its id.
CREATE VIEW rowcrew.any_job AS
  SELECT 'job_queue' AS job_table, id, job_type, status, attempts, max_attempts, crashes, priority, queue, tenant, error_code,
         error_message, scheduled_at, created_at, started_at, completed_at, worker_id
  FROM rowcrew.job_queue
  UNION ALL
  SELECT 'processing_jobs', id, type, status, attempts, max_attempts, crashes, priority, queue, tenant, error_code,
         error_message, scheduled_at, created_at, started_at, completed_at, worker_id
  FROM rowcrew.processing_jobs;

CREATE FUNCTION rowcrew.refuse(p_field text, p_found text, p_expected text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%: %, expected %', p_field, coalesce(quote_literal(p_found), 'missing'), p_expected
    USING ERRCODE = 'invalid_parameter_value';
END $$;

CREATE FUNCTION rowcrew.write_audit(p_action text, p_target text, p_metadata jsonb) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO rowcrew.audit_logs (action, target, metadata) VALUES (p_action, p_target, p_metadata) RETURNING id
$$;

-- Pause -----------------------------------------------------------------------------------------

CREATE TABLE rowcrew.pause (
  scope     text        NOT NULL CHECK (scope IN ('queue', 'type', 'tenant', 'key')),
  name      text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  reason    text        CHECK (length(reason) <= 500),
  paused_by text        NOT NULL DEFAULT session_user,
  since     timestamptz NOT NULL DEFAULT rowcrew.clock(),
  until     timestamptz CHECK (until > since),
  PRIMARY KEY (scope, name)
);
COMMENT ON TABLE rowcrew.pause IS
  'What nodes start nothing of. A paused queue is not claimed from; of a paused type or tenant each job that a claim meets '
  'is laid aside once (parked, reason paused). Running jobs go on.';
COMMENT ON COLUMN rowcrew.pause.until IS 'Null: until it is resumed. A row whose time is over pauses nothing, and is removed a day later.';

CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON rowcrew.pause
  FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_command();
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON rowcrew.queue
  FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_command();

CREATE FUNCTION rowcrew.pause(p_scope text, p_name text, p_reason text DEFAULT NULL, p_for interval DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_before jsonb := (SELECT to_jsonb(p) FROM rowcrew.pause p WHERE p.scope = p_scope AND p.name = p_name FOR UPDATE);
  v_after rowcrew.pause;
BEGIN
  IF p_scope IS NULL OR p_scope NOT IN ('queue', 'type', 'tenant', 'key') THEN
    PERFORM rowcrew.refuse('scope', p_scope, 'queue, type, tenant or key');
  ELSIF coalesce(length(p_name), 0) NOT BETWEEN 1 AND 200 THEN
    PERFORM rowcrew.refuse('name', p_name, '1 to 200 characters');
  ELSIF length(p_reason) > 500 THEN
    PERFORM rowcrew.refuse('reason', left(p_reason, 20) || '...', 'at most 500 characters');
  ELSIF p_for <= interval '0' OR p_for > interval '10 years' THEN
    PERFORM rowcrew.refuse('for', p_for::text, 'more than 0, at most 10 years');
  END IF;
  INSERT INTO rowcrew.pause AS p (scope, name, reason, until) VALUES (p_scope, p_name, p_reason, rowcrew.clock() + p_for)
  ON CONFLICT (scope, name) DO UPDATE
    SET reason = excluded.reason, until = excluded.until, paused_by = excluded.paused_by, since = excluded.since
  RETURNING * INTO v_after;
  PERFORM rowcrew.write_audit('pause', p_scope || ' ' || p_name, jsonb_build_object('before', v_before, 'after', to_jsonb(v_after)));
END $$;
COMMENT ON FUNCTION rowcrew.pause(text, text, text, interval) IS
  'Nodes start nothing of it within a second: p_scope is queue, type, tenant or key, p_for null until resume(). A pause of what is '
  'paused replaces reason and time.';

CREATE FUNCTION rowcrew.resume(p_scope text, p_name text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_before jsonb;
  v_flag integer := 0;
BEGIN
  IF p_scope IS NULL OR p_scope NOT IN ('queue', 'type', 'tenant', 'key') THEN
    PERFORM rowcrew.refuse('scope', p_scope, 'queue, type, tenant or key');
  END IF;
  DELETE FROM rowcrew.pause p WHERE p.scope = p_scope AND p.name = p_name
  RETURNING CASE WHEN p.until <= rowcrew.clock() THEN NULL ELSE to_jsonb(p) END INTO v_before;
  IF p_scope = 'queue' THEN
    UPDATE rowcrew.queue q SET paused = false WHERE q.name = p_name AND q.paused;
    GET DIAGNOSTICS v_flag = ROW_COUNT;
  END IF;
  IF v_before IS NOT NULL THEN  -- the flag's change is in the log by itself
    PERFORM rowcrew.write_audit('resume', p_scope || ' ' || p_name, jsonb_build_object('before', v_before, 'after', NULL));
  END IF;
  RETURN v_before IS NOT NULL OR v_flag > 0;
END $$;
COMMENT ON FUNCTION rowcrew.resume(text, text) IS 'Ends a pause. False: it was not paused, or not any more.';

-- The pause that keeps such a job from running, as a key of parked; null when there is none.
CREATE FUNCTION rowcrew.paused_key(p_job_type text, p_tenant text) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT p.scope || ':' || p.name FROM rowcrew.pause p
  WHERE (p.scope, p.name) IN (('type', p_job_type), ('tenant', p_tenant)) AND (p.until IS NULL OR p.until > rowcrew.clock())
  ORDER BY p.scope DESC LIMIT 1
$$;

-- While a node lays aside jobs that are paused (rowcrew.hold is on), the trigger on the job table asks here
-- before it files a hint as ready. True: the hint lies in parked.
CREATE FUNCTION rowcrew.hold_hint(p_table text, p_id uuid, p_priority integer, p_queue text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_key text := (SELECT rowcrew.paused_key(j.job_type, j.tenant) FROM rowcrew.any_job j WHERE j.job_table = p_table AND j.id = p_id);
BEGIN
  IF v_key IS NOT NULL THEN
    EXECUTE format('INSERT INTO rowcrew.%I (run_at, id, priority, queue, reason, key) VALUES ($1, $2, $3, $4, ''paused'', $5)',
                   p_table || '_parked') USING rowcrew.clock() + interval '100 years', p_id, p_priority, p_queue, v_key;
  END IF;
  RETURN v_key IS NOT NULL;
END $$;

-- Progress --------------------------------------------------------------------------------------

CREATE TABLE rowcrew.job_progress (
  job_table  text        NOT NULL,
  job_id     uuid        NOT NULL,
  percent    smallint    CHECK (percent BETWEEN 0 AND 100),
  note       text,
  checkpoint jsonb,
  updated_at timestamptz NOT NULL DEFAULT rowcrew.clock(),
  PRIMARY KEY (job_table, job_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE rowcrew.job_progress IS
  'What running handlers say of themselves, for those that do; written at most once a second per job. Kept a day after the end.';
COMMENT ON COLUMN rowcrew.job_progress.checkpoint IS 'Where the next execution may go on: the handler''s own.';

-- Policies --------------------------------------------------------------------------------------

ALTER TABLE rowcrew.job_type
  ADD COLUMN retry_delays_ms bigint[]
    CHECK (cardinality(retry_delays_ms) BETWEEN 1 AND 100 AND 0 <= ALL (retry_delays_ms) AND 2592000000 >= ALL (retry_delays_ms)
           AND array_position(retry_delays_ms, NULL) IS NULL),
  ADD COLUMN retry_for_ms bigint CHECK (retry_for_ms BETWEEN 1 AND 31536000000),
  ADD COLUMN start_within_ms bigint CHECK (start_within_ms BETWEEN 1 AND 31536000000),
  ADD COLUMN total_ms bigint CHECK (total_ms BETWEEN 100 AND 31536000000),
  ADD COLUMN max_result_bytes integer NOT NULL DEFAULT 1048576 CHECK (max_result_bytes BETWEEN 0 AND 67108864),
  ADD COLUMN keep_result_ms bigint CHECK (keep_result_ms BETWEEN 60000 AND 31536000000),
  ADD CONSTRAINT start_within_ms_below_total_ms CHECK (start_within_ms < total_ms),
  ADD CONSTRAINT retry_for_ms_below_total_ms CHECK (retry_for_ms < total_ms);
COMMENT ON COLUMN rowcrew.job_type.retry_delays_ms IS
  'Instead of the exponential backoff: the wait after the first execution, the second, and so on; the last one stays.';
COMMENT ON COLUMN rowcrew.job_type.retry_for_ms IS 'No execution begins later than this after the job''s creation because one failed.';
COMMENT ON COLUMN rowcrew.job_type.start_within_ms IS
  'A job whose execution would begin later than this after it was due fails instead (start_deadline).';
COMMENT ON COLUMN rowcrew.job_type.total_ms IS
  'Counted from the job''s creation, waiting included: later no execution begins (total_deadline), and a running one is cancelled.';
COMMENT ON COLUMN rowcrew.job_type.max_result_bytes IS 'A longer result fails the job (result_too_large).';
COMMENT ON COLUMN rowcrew.job_type.keep_result_ms IS 'The result is removed this long after the end. Null: it stays with the job.';

CREATE TABLE rowcrew.retry_rule (
  job_type   text     NOT NULL CHECK (length(job_type) BETWEEN 1 AND 100),
  error_code text     NOT NULL CHECK (length(error_code) BETWEEN 1 AND 100),
  verdict    text     NOT NULL CHECK (verdict IN ('retry', 'permanent')),
  delays_ms  bigint[] CHECK (cardinality(delays_ms) BETWEEN 1 AND 100 AND 0 <= ALL (delays_ms) AND 2592000000 >= ALL (delays_ms)
                             AND array_position(delays_ms, NULL) IS NULL),
  PRIMARY KEY (job_type, error_code),
  CONSTRAINT delays_ms_only_when_verdict_is_retry CHECK (verdict = 'retry' OR delays_ms IS NULL)
);
COMMENT ON TABLE rowcrew.retry_rule IS
  'What an error code of a job type means, whatever the handler says: permanent ends the job, retry runs it again while '
  'executions are left.';
COMMENT ON COLUMN rowcrew.retry_rule.job_type IS '''*'': of every type that has no rule of its own for the code.';
COMMENT ON COLUMN rowcrew.retry_rule.delays_ms IS 'As job_type.retry_delays_ms, for this code.';
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON rowcrew.retry_rule
  FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_policies();

-- Cancel and redrive ----------------------------------------------------------------------------

CREATE TABLE rowcrew.cancel_request (
  job_table    text        NOT NULL,
  job_id       uuid        NOT NULL,
  reason       text        CHECK (length(reason) <= 500),
  requested_by text        NOT NULL DEFAULT session_user,
  requested_at timestamptz NOT NULL DEFAULT rowcrew.clock(),
  PRIMARY KEY (job_table, job_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE rowcrew.cancel_request IS
  'Running jobs that are to end as cancelled. The row of a running job is its node''s: nobody else updates it, the end that '
  'the node writes finds the request. Gone when the job has ended.';
CREATE TRIGGER announce AFTER INSERT ON rowcrew.cancel_request FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_command();

CREATE FUNCTION rowcrew.cancel_text(p_by text, p_reason text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT 'cancelled by ' || p_by || coalesce(': ' || p_reason, '')
$$;
-- What the end of this job says when it was to be cancelled; null when nobody asked.
CREATE FUNCTION rowcrew.cancel_note(p_table text, p_job uuid) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT rowcrew.cancel_text(r.requested_by, r.reason) FROM rowcrew.cancel_request r WHERE r.job_table = p_table AND r.job_id = p_job
$$;

-- What there is to write beside the row of a job that succeeded: the log, if it ended as cancelled for all that, and the
-- reports to whoever has subscribed. Called for those only that may need it. Returns the status.
CREATE FUNCTION rowcrew.note_ended(p_table text, p_key text, p_job uuid, p_type text, p_status text, p_attempts integer,
                                   p_message text, p_node bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF p_status = 'cancelled' THEN
    INSERT INTO rowcrew.job_attempt (job_table, job_id, job_key, job_type, attempt, outcome, error_code, error_message, node_id)
    VALUES (p_table, p_job, p_key, p_type, p_attempts, 'cancelled', 'cancelled', p_message, p_node);
  END IF;
  INSERT INTO rowcrew.job_event (event, job_table, job_id, job_key, job_type)
  SELECT 'job.' || p_status, p_table, p_job, p_key, p_type
  WHERE EXISTS (SELECT FROM rowcrew.event_subscription s
                WHERE 'job.' || p_status = ANY (s.events) AND (s.job_types IS NULL OR p_type = ANY (s.job_types)));
  RETURN p_status;
END $$;

-- A filter over jobs, {"type", "queue", "tenant", "error_code", "created_after", "created_before",
-- "ended_after", "ended_before"} or {"all": true}, as a condition on q. Refuses what it does not know.
CREATE FUNCTION rowcrew.job_condition(p_table text, p_filter jsonb) RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v record;
  v_out text := '';
  v_time timestamptz;
BEGIN
  IF p_filter IS NULL OR jsonb_typeof(p_filter) <> 'object' THEN
    PERFORM rowcrew.refuse('filter', p_filter::text, 'an object');
  ELSIF (p_filter - 'all') = '{}' AND p_filter -> 'all' IS DISTINCT FROM 'true' THEN
    PERFORM rowcrew.refuse('filter', p_filter::text, 'a condition; for every job say {"all": true} (--all)');
  END IF;
  FOR v IN SELECT key, value #>> '{}' AS text, jsonb_typeof(value) AS kind FROM jsonb_each(p_filter - 'all') ORDER BY key LOOP
    IF v.kind <> 'string' THEN
      PERFORM rowcrew.refuse('filter.' || v.key, v.text, 'a string');
    ELSIF v.key IN ('type', 'queue', 'tenant', 'error_code') THEN
      v_out := v_out || format(' AND q.%I = %L', CASE WHEN v.key = 'type' AND p_table = 'job_queue' THEN 'job_type' ELSE v.key END, v.text);
    ELSIF v.key IN ('created_after', 'created_before', 'ended_after', 'ended_before') THEN
      BEGIN
        v_time := v.text::timestamptz;
      EXCEPTION WHEN data_exception THEN
        PERFORM rowcrew.refuse('filter.' || v.key, v.text, 'a time such as 2026-05-01T12:00:00Z');
      END;
      v_out := v_out || format(' AND q.%I %s %L::timestamptz', CASE WHEN v.key LIKE 'created%' THEN 'created_at' ELSE 'completed_at' END,
                               CASE WHEN v.key LIKE '%after' THEN '>=' ELSE '<' END, v_time);
    ELSE
      PERFORM rowcrew.refuse('filter.' || v.key, v.text,
                             'one of type, queue, tenant, error_code, created_after, created_before, ended_after, ended_before, all');
    END IF;
  END LOOP;
  IF (p_filter ->> 'created_after')::timestamptz >= (p_filter ->> 'created_before')::timestamptz THEN
    PERFORM rowcrew.refuse('filter.created_after', p_filter ->> 'created_after', 'a time before created_before');
  ELSIF (p_filter ->> 'ended_after')::timestamptz >= (p_filter ->> 'ended_before')::timestamptz THEN
    PERFORM rowcrew.refuse('filter.ended_after', p_filter ->> 'ended_after', 'a time before ended_before');
  END IF;
  RETURN v_out;
END $$;

-- Which jobs an act means, of those there were when it began: 'cancel' the live, 'redrive' the failed.
CREATE FUNCTION rowcrew.act_condition(p_act text, p_table text, p_filter jsonb, p_began timestamptz) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_act = 'cancel' THEN
    RETURN format('q.status IN (''pending'', ''retrying'', ''processing'') AND q.created_at <= %L::timestamptz', p_began)
           || rowcrew.job_condition(p_table, p_filter);
  ELSIF p_act = 'redrive' THEN
    RETURN format('q.status = ''failed'' AND coalesce(q.completed_at, q.created_at) <= %L::timestamptz', p_began) || rowcrew.job_condition(p_table, p_filter);
  END IF;
  PERFORM rowcrew.refuse('act', p_act, 'cancel or redrive');
END $$;

-- How many jobs an act of now would change.
CREATE FUNCTION rowcrew.preview(p_act text, p_filter jsonb) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = on AS $$
DECLARE
  v_some bigint;
  v_all bigint := 0;
BEGIN
  FOR i IN 1..2 LOOP
    -- Of those with one unique key a redrive takes the first, and none while a live job has it.
    EXECUTE format(CASE p_act WHEN 'redrive'
                     THEN 'SELECT count(*) FILTER (WHERE q.unique_key IS NULL) + count(DISTINCT q.unique_key) FILTER (WHERE NOT EXISTS ('
                          'SELECT FROM rowcrew.job_unique u WHERE u.scope = %2$L AND u.key = q.unique_key AND u.job_id <> q.id))'
                     ELSE 'SELECT count(*)' END || ' FROM rowcrew.%1$I q WHERE ',
                   (ARRAY['job_queue', 'processing_jobs'])[i], 'live:' || (ARRAY['job_queue', 'processing_jobs'])[i])
            || rowcrew.act_condition(p_act, (ARRAY['job_queue', 'processing_jobs'])[i], p_filter, rowcrew.clock()) INTO v_some;
    v_all := v_all + v_some;
  END LOOP;
  RETURN v_all;
END $$;

-- Begins an act on many jobs and writes its audit row, whose id it returns; act_page() does the work.
CREATE FUNCTION rowcrew.act_begin(p_act text, p_filter jsonb, p_reason text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_filter ? 'table' THEN
    PERFORM rowcrew.adopted_condition(p_act, p_filter);  -- 0022
  ELSE
    PERFORM rowcrew.act_condition(p_act, 'job_queue', p_filter, rowcrew.clock());
  END IF;
  IF length(p_reason) > 500 THEN
    PERFORM rowcrew.refuse('reason', left(p_reason, 20) || '...', 'at most 500 characters');
  END IF;
  RETURN rowcrew.write_audit('job.' || p_act, 'jobs ' || p_filter::text, jsonb_build_object(
    'filter', p_filter, 'reason', p_reason, 'began', rowcrew.clock(), 'table', 'job_queue', 'after', NULL, 'done', false,
    'changed', 0, 'requested', 0, 'skipped', 0, 'first', NULL, 'last', NULL,
    'before', CASE p_act WHEN 'cancel' THEN 'pending, retrying, processing' ELSE 'failed' END,
    'after_status', CASE p_act WHEN 'cancel' THEN 'cancelled' ELSE 'pending' END));
END $$;

-- Changes at most p_limit jobs of an act, looking at no more than 5,000, and remembers how far it
-- came, so that an act that was interrupted goes on where it stood. Rows are taken in the order of
-- their ids and never waited for. requested: they run (or somebody holds them), their nodes are told.
-- skipped: somebody holds them, or another live job has their unique key; they stay as they are.
CREATE FUNCTION rowcrew.act_page(p_audit bigint, p_limit integer, OUT changed bigint, OUT requested bigint, OUT skipped bigint, OUT done boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_row rowcrew.audit_logs;
  m jsonb;
  v_act text;
  v_table text;
  v_after uuid;
  v_last uuid;
  v_means text;
  v_ids uuid[];
  v_taken uuid[];
BEGIN
  IF coalesce(p_limit, 0) NOT BETWEEN 1 AND 5000 THEN
    PERFORM rowcrew.refuse('limit', p_limit::text, '1 to 5000');
  END IF;
  SELECT * INTO v_row FROM rowcrew.audit_logs a WHERE a.id = p_audit AND a.action IN ('job.cancel', 'job.redrive') AND a.metadata ? 'filter' FOR UPDATE;
  IF NOT FOUND THEN
    PERFORM rowcrew.refuse('act', p_audit::text, 'the number of a cancel or redrive');
  END IF;
  m := v_row.metadata;
  v_act := substr(v_row.action, 5);
  v_table := m ->> 'table';
  v_after := coalesce((m ->> 'after')::uuid, '00000000-0000-0000-0000-000000000000');
  changed := 0;
  requested := 0;
  skipped := 0;
  done := (m ->> 'done')::boolean;
  IF done THEN
    RETURN;
  END IF;
  v_means := format('q.id > %L AND ', v_after) || rowcrew.act_condition(v_act, v_table, m -> 'filter', (m ->> 'began')::timestamptz);
  -- The page ends at its last match or, where matches are rare, after 5,000 rows: told by one look, since of two the second one
  -- counts its 5,000 without what was removed meanwhile, and jobs between would not be met.
  EXECUTE format('SELECT array_agg(x.id ORDER BY x.id) FILTER (WHERE x.means), (array_agg(x.id ORDER BY x.id))[5000]'
                 ' FROM (SELECT q.id, %s AS means FROM (SELECT * FROM rowcrew.%I q WHERE q.id > %L ORDER BY q.id LIMIT 5000) q) x',
                 v_means, v_table, v_after) INTO v_ids, v_last;
  IF cardinality(v_ids) >= p_limit THEN
    v_ids := v_ids[1:p_limit];
    v_last := v_ids[p_limit];
  END IF;
  IF v_ids IS NOT NULL THEN
    EXECUTE format('SELECT array_agg(l.id) FROM (SELECT q.id FROM rowcrew.%I q WHERE q.id = ANY ($1) AND q.status <> ''processing'' AND %s'
                   ' ORDER BY q.id FOR NO KEY UPDATE SKIP LOCKED) l', v_table, v_means) USING v_ids INTO v_taken;
    v_taken := coalesce(v_taken, '{}');
    IF v_act = 'redrive' THEN
      -- In sorted order, as enqueue_many() takes them. Whose key another has is skipped; the trigger would refuse the page for it.
      EXECUTE format('INSERT INTO rowcrew.job_unique (scope, key, job_table, job_id) SELECT $2, q.unique_key, %1$L, q.id FROM rowcrew.%1$I q'
                     ' WHERE q.id = ANY ($1) AND q.unique_key IS NOT NULL ORDER BY q.unique_key COLLATE "C", q.id ON CONFLICT (scope, key) DO NOTHING',
                     v_table) USING v_taken, 'live:' || v_table;
      EXECUTE format('SELECT coalesce(array_agg(q.id ORDER BY q.id), ''{}'') FROM rowcrew.%1$I q WHERE q.id = ANY ($1) AND (q.unique_key IS NULL OR EXISTS ('
                     'SELECT FROM rowcrew.job_unique u WHERE u.scope = $2 AND u.key = q.unique_key AND u.job_id = q.id))',
                     v_table) USING v_taken, 'live:' || v_table INTO v_taken;
      PERFORM rowcrew.run_again(v_table, v_taken);  -- 0014
      skipped := cardinality(v_ids) - cardinality(v_taken);
    ELSE
      PERFORM rowcrew.cancel_waiting(v_table, v_taken, rowcrew.cancel_text(session_user, m ->> 'reason'));
      requested := rowcrew.request_cancel(v_table, v_ids, m ->> 'reason');
    END IF;
    changed := cardinality(v_taken);
  END IF;
  IF v_last IS NULL THEN
    done := v_table = 'processing_jobs';
    v_table := 'processing_jobs';
  END IF;
  UPDATE rowcrew.audit_logs a SET metadata = m || jsonb_build_object(
    'table', v_table, 'after', v_last, 'done', done, 'changed', (m ->> 'changed')::bigint + changed,
    'requested', (m ->> 'requested')::bigint + requested, 'skipped', (m ->> 'skipped')::bigint + skipped,
    'first', coalesce(m ->> 'first', v_ids[1]::text), 'last', coalesce(v_ids[cardinality(v_ids)]::text, m ->> 'last'))
  WHERE a.id = p_audit;
END $$;

-- Ends waiting jobs, whose rows the caller has locked.
CREATE FUNCTION rowcrew.cancel_waiting(p_table text, p_ids uuid[], p_text text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format($q$
    WITH f AS (
      UPDATE rowcrew.%1$I q SET status = 'cancelled', error_code = 'cancelled', error_message = $2, completed_at = rowcrew.clock_now()
      WHERE q.id = ANY ($1) AND q.status IN ('pending', 'retrying') RETURNING q.id, q.%2$I AS job_type
    )
    INSERT INTO rowcrew.job_event (event, job_table, job_id, job_type, data)
    SELECT 'job.cancelled', %1$L, f.id, f.job_type, '{"error_code": "cancelled"}' FROM f
    WHERE EXISTS (SELECT FROM rowcrew.event_subscription s
                  WHERE 'job.cancelled' = ANY (s.events) AND (s.job_types IS NULL OR f.job_type = ANY (s.job_types)))$q$,
    p_table, CASE p_table WHEN 'job_queue' THEN 'job_type' ELSE 'type' END) USING p_ids, p_text;
END $$;

-- Asks for the end of those that are still live: they run, or their rows are somebody's at the moment.
CREATE FUNCTION rowcrew.request_cancel(p_table text, p_ids uuid[], p_reason text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_count bigint;
BEGIN
  EXECUTE format('INSERT INTO rowcrew.cancel_request (job_table, job_id, reason)'
                 ' SELECT %1$L, q.id, $2 FROM rowcrew.%1$I q WHERE q.id = ANY ($1) AND q.status IN (''pending'', ''retrying'', ''processing'')'
                 ' ORDER BY q.id ON CONFLICT DO NOTHING', p_table) USING p_ids, p_reason;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

UPDATE rowcrew.meta SET schema_version = 12;
