-- Group roles without login and what each may do. Run after the migrations unless
-- "migrate --roles=none"; repeatable. Needs CREATEROLE (no superuser) when a role is missing.

DO $$
DECLARE
  v_role text;
BEGIN
  FOREACH v_role IN ARRAY ARRAY['rowcrew_owner', 'rowcrew_app', 'rowcrew_worker', 'rowcrew_ingest',
                                'rowcrew_operator', 'rowcrew_viewer'] LOOP
    IF to_regrole(v_role) IS NULL THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- roles belong to the server: a migration of another database was quicker
      END;
    END IF;
  END LOOP;
  IF NOT (rowcrew.may_become_owner() AND pg_has_role('rowcrew_owner', 'USAGE')) THEN
    BEGIN
      EXECUTE format('GRANT rowcrew_owner TO %I', current_user);
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE EXCEPTION 'role % is no member of rowcrew_owner and may not make itself one: who made that role, or a superuser, has to run: GRANT rowcrew_owner TO %',
        quote_ident(current_user), quote_ident(current_user) USING ERRCODE = 'insufficient_privilege';
    END;
  END IF;
END $$;

REVOKE ALL ON SCHEMA rowcrew FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA rowcrew FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA rowcrew FROM PUBLIC;

-- Everything belongs to rowcrew_owner, so that any member of it can migrate.
DO $$
DECLARE
  v record;
BEGIN
  EXECUTE 'GRANT ALL ON SCHEMA rowcrew TO rowcrew_owner';
  FOR v IN SELECT c.oid::regclass AS name, c.relkind FROM pg_class c
           WHERE c.relnamespace = 'rowcrew'::regnamespace AND c.relkind IN ('r', 'p', 'v')
             AND c.relowner <> to_regrole('rowcrew_owner') LOOP
    EXECUTE format('ALTER %s %s OWNER TO rowcrew_owner', CASE v.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, v.name);
  END LOOP;
  FOR v IN SELECT p.oid::regprocedure AS name FROM pg_proc p
           WHERE p.pronamespace = 'rowcrew'::regnamespace AND p.proowner <> to_regrole('rowcrew_owner') LOOP
    EXECUTE format('ALTER FUNCTION %s OWNER TO rowcrew_owner', v.name);
  END LOOP;
  IF (SELECT nspowner FROM pg_namespace WHERE nspname = 'rowcrew') = current_user::regrole THEN
    ALTER SCHEMA rowcrew OWNER TO rowcrew_owner;
  END IF;
END $$;

GRANT USAGE ON SCHEMA rowcrew TO rowcrew_app, rowcrew_worker, rowcrew_ingest, rowcrew_operator, rowcrew_viewer;

-- The application: enqueues, and reads and stops what it enqueued.
GRANT INSERT (id, job_type, payload, max_attempts, priority, queue, scheduled_at, unique_key, app, tenant),
      SELECT (id) ON rowcrew.job_queue TO rowcrew_app;
GRANT INSERT (id, type, provider, prompt, inputs, credits, max_attempts, priority, queue, scheduled_at, unique_key, app, tenant),
      SELECT (id) ON rowcrew.processing_jobs TO rowcrew_app;
GRANT SELECT ON rowcrew.my_jobs, rowcrew.my_processing_jobs, rowcrew.my_progress, rowcrew.preset TO rowcrew_app;
-- As what ORMs do: INSERT ... RETURNING of every column, which of the tables themselves would tell of everybody's jobs.
GRANT INSERT (id, job_type, payload, max_attempts, priority, queue, scheduled_at, unique_key) ON rowcrew.my_jobs TO rowcrew_app;
GRANT INSERT (id, type, provider, prompt, inputs, credits, max_attempts, priority, queue, scheduled_at, unique_key)
      ON rowcrew.my_processing_jobs TO rowcrew_app;
GRANT EXECUTE ON FUNCTION rowcrew.enqueue(text, jsonb, text, integer, timestamptz, integer, text, text, text, text),
      rowcrew.enqueue_many(jsonb), rowcrew.cancel_my_job(uuid, text), rowcrew.uuid7(), rowcrew.id_at(timestamptz), rowcrew.clock(), rowcrew.clock_now(),
      rowcrew.job_uuid(text, uuid), rowcrew.job_uuid(text, text), rowcrew.job_uuid(text, bigint) TO rowcrew_app;

-- Nodes: claim, finish, keep hints. They neither create nor drop anything.
GRANT SELECT, INSERT, UPDATE, DELETE ON
      rowcrew.job_queue_ready, rowcrew.job_queue_parked, rowcrew.job_queue_claim,
      rowcrew.processing_jobs_ready, rowcrew.processing_jobs_parked, rowcrew.processing_jobs_claim,
      rowcrew.node, rowcrew.node_stat, rowcrew.job_unique TO rowcrew_worker;
GRANT SELECT, INSERT, UPDATE ON rowcrew.audit_pass TO rowcrew_worker;
GRANT SELECT, INSERT, UPDATE ON rowcrew.gate TO rowcrew_worker;
GRANT SELECT, INSERT, UPDATE ON rowcrew.job_queue, rowcrew.processing_jobs TO rowcrew_worker;
GRANT SELECT, INSERT ON rowcrew.job_attempt, rowcrew.job_event, rowcrew.tick, rowcrew.node_command_ack TO rowcrew_worker;
GRANT DELETE ON rowcrew.tick TO rowcrew_worker;
GRANT SELECT, DELETE ON rowcrew.node_command TO rowcrew_worker;
GRANT SELECT ON rowcrew.meta, rowcrew.queue, rowcrew.job_type, rowcrew.schedule, rowcrew.event_subscription,
      rowcrew.app, rowcrew.port_function TO rowcrew_worker;
-- Promotion and claims write hints themselves, so that their triggers wake with the worker's rights.
GRANT EXECUTE ON FUNCTION rowcrew.is_carried(jsonb), rowcrew.parked_reason(text, integer), rowcrew.overdue(text[]), rowcrew.wake_sleepers(text),
  rowcrew.fleet_is_awake(), rowcrew.file_again(text, uuid[], text[], uuid[], timestamptz)
  TO rowcrew_worker;
GRANT EXECUTE ON FUNCTION rowcrew.clock(), rowcrew.clock_now(), rowcrew.uuid7(), rowcrew.here(),
      rowcrew.system_identifier(), rowcrew.ensure_partitions(integer) TO rowcrew_worker;
-- Follow-up jobs, by handlers and by the functions that sql jobs call.
GRANT EXECUTE ON FUNCTION rowcrew.enqueue(text, jsonb, text, integer, timestamptz, integer, text, text, text, text),
      rowcrew.enqueue_many(jsonb) TO rowcrew_worker;
GRANT EXECUTE ON FUNCTION rowcrew.plan_as_usual(), rowcrew.plan_by_index() TO rowcrew_worker;

-- Control: what is paused, what is to be cancelled, what running handlers say.
GRANT SELECT ON rowcrew.pause, rowcrew.retry_rule, rowcrew.any_job TO rowcrew_worker;
GRANT SELECT, DELETE ON rowcrew.cancel_request TO rowcrew_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON rowcrew.job_progress TO rowcrew_worker;
GRANT EXECUTE ON FUNCTION rowcrew.paused_key(text, text), rowcrew.cancel_text(text, text), rowcrew.cancel_note(text, uuid),
      rowcrew.note_ended(text, text, uuid, text, text, integer, text, bigint) TO rowcrew_worker;

-- Limits: nodes read the rules; what takes, gives back and files is done by these functions and by triggers.
GRANT SELECT ON rowcrew.job_limit TO rowcrew_worker;
GRANT EXECUTE ON FUNCTION rowcrew.job_queue_take(bigint[], bigint, bigint, text[], integer[], integer[], text[], integer[], boolean[], bigint[], bigint[], integer[], boolean),
      rowcrew.processing_jobs_take(bigint[], bigint, bigint, text[], integer[], integer[], text[], integer[], boolean[], bigint[], bigint[], integer[], boolean),
      rowcrew.keys_of(text, text, text, text, jsonb), rowcrew.limit_value(text, text, text, jsonb), rowcrew.take_keys(rowcrew.job_keys),
      rowcrew.file_due(text, uuid[]), rowcrew.file_truth(text, uuid[]), rowcrew.limited_queues(text[]), rowcrew.limits_of(text), rowcrew.key_columns(text, text),
      rowcrew.most_units(rowcrew.job_limit),
      rowcrew.units_back(text, text[], bigint[]), rowcrew.shelve_limited(text, bigint[]), rowcrew.forget_keys(text) TO rowcrew_worker;
GRANT SELECT, UPDATE, DELETE ON rowcrew.job_queue_limited, rowcrew.processing_jobs_limited TO rowcrew_worker;
-- Of adopted tables nodes do it themselves, with their own rights on them.
GRANT SELECT, INSERT, UPDATE, DELETE ON rowcrew.limit_key, rowcrew.limit_freed, rowcrew.limit_start TO rowcrew_worker;
GRANT SELECT, UPDATE ON rowcrew.limit_turn TO rowcrew_worker;
GRANT EXECUTE ON FUNCTION rowcrew.make_keys(text[]), rowcrew.lock_keys(text[], integer[]), rowcrew.adopted_file_truth(text, text[]),
      rowcrew.adopted_move_limited(text, text[], timestamptz), rowcrew.adopted_drop_stale(text, text, text[]), rowcrew.adopted_drop_left(text, text[]), rowcrew.adopted_may_be_taken(text, bigint, tid, text) TO rowcrew_worker;

-- The defaults of the ports, and what apps call from theirs.
GRANT EXECUTE ON FUNCTION rowcrew.drive_folder(text), rowcrew.drive_files_found(text, jsonb), rowcrew.email_allowed(text, text),
      rowcrew.usage_reset(), rowcrew.generation_input(uuid), rowcrew.emit(text, jsonb, text, uuid, text), rowcrew.port_job(text, text) TO rowcrew_worker;

-- Model providers: what their calls cost.
GRANT EXECUTE ON FUNCTION rowcrew.book_call(text, text, bigint, text, smallint, text, text, text, text, jsonb, bigint, boolean),
      rowcrew.budget_left(text, text, text, text) TO rowcrew_worker;
GRANT SELECT ON rowcrew.provider_call TO rowcrew_worker;

-- Webhooks: what is to be sent, and the keys to sign it with. The rest is done by triggers and the port.
GRANT SELECT ON rowcrew.webhook_endpoints, rowcrew.webhook_deliveries TO rowcrew_worker;
GRANT EXECUTE ON FUNCTION rowcrew.webhook_ended(uuid, jsonb) TO rowcrew_worker;

-- Retention: nodes remove what a policy means, by this function alone.
GRANT SELECT ON rowcrew.retention_policy TO rowcrew_worker;
GRANT EXECUTE ON FUNCTION rowcrew.retention_page(text, boolean, text, uuid) TO rowcrew_worker;

-- Mails: the ledger is written before a mail leaves, and by the port when the job has ended.
GRANT SELECT, INSERT, UPDATE ON rowcrew.email_notifications TO rowcrew_worker;
GRANT EXECUTE ON FUNCTION rowcrew.email_ended(uuid, jsonb), rowcrew.email_message_id(text, text) TO rowcrew_worker;

-- Adopted tables: nodes read how to serve them and hold them; rights on the tables themselves are their owners' to give.
GRANT SELECT ON rowcrew.adopted_table TO rowcrew_worker;
GRANT SELECT, DELETE ON rowcrew.adopted_conflict TO rowcrew_worker;
GRANT EXECUTE ON FUNCTION rowcrew.hold_adopted(text, bigint, text), rowcrew.adopted_fault(text), rowcrew.adopted_column(oid, text),
      rowcrew.adopted_fill(text, jsonb), rowcrew.adopted_file_again(text, text[], text[], smallint[], text[], timestamptz), rowcrew.adopted_overdue(text[]),
      rowcrew.job_uuid(text, uuid), rowcrew.job_uuid(text, text), rowcrew.job_uuid(text, bigint) TO rowcrew_worker;
-- Their companions got these rights when they were created; those of a restore that brought no rights get them here.
DO $$
DECLARE
  v_companion text;
BEGIN
  FOR v_companion IN SELECT format('rowcrew.%I', z.name || w) FROM rowcrew.adopted_table z, unnest(ARRAY['_ready', '_parked', '_limited', '_claim', '_job']) w LOOP
    CONTINUE WHEN to_regclass(v_companion) IS NULL;
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO rowcrew_worker', v_companion);
    EXECUTE format('GRANT SELECT ON %s TO rowcrew_operator, rowcrew_viewer', v_companion);
  END LOOP;
  FOR v_companion IN SELECT p.oid::regproc::text FROM rowcrew.adopted_table z JOIN pg_proc p ON p.proname = z.name || '_take' AND p.pronamespace = 'rowcrew'::regnamespace LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO rowcrew_worker', v_companion);
  END LOOP;
END $$;

-- Ingest: two calls, nothing else.
GRANT EXECUTE ON FUNCTION rowcrew.ingest_key(text),
      rowcrew.ingest_enqueue(text, text, jsonb, text, text, integer, bigint, text, text) TO rowcrew_ingest;

-- Operators: see everything, run again, stop, schedule, hand out keys.
GRANT SELECT ON ALL TABLES IN SCHEMA rowcrew TO rowcrew_operator;
-- Signing keys they set and never read.
REVOKE SELECT ON rowcrew.webhook_endpoints FROM rowcrew_operator;
GRANT SELECT (endpoint_id, app, account, url, events, previous_secret_until, enabled, disabled_at, disabled_reason, failing_since,
              created_at) ON rowcrew.webhook_endpoints TO rowcrew_operator;
GRANT INSERT (endpoint_id, app, account, url, events, secret, enabled),
      UPDATE (app, account, url, events, secret, previous_secret, previous_secret_until, enabled, disabled_reason), DELETE ON rowcrew.webhook_endpoints TO rowcrew_operator;
GRANT EXECUTE ON FUNCTION rowcrew.webhook_secret_ok(text) TO rowcrew_operator;
GRANT UPDATE (status, scheduled_at, priority, queue, max_attempts, unique_key) ON rowcrew.job_queue, rowcrew.processing_jobs TO rowcrew_operator;
-- Who acts, and when, is the server's to say.
GRANT INSERT (action, target, metadata) ON rowcrew.audit_logs TO rowcrew_operator;
GRANT INSERT (command, argument, node_id, expires_at) ON rowcrew.node_command TO rowcrew_operator;
GRANT INSERT, UPDATE, DELETE ON rowcrew.queue, rowcrew.job_type, rowcrew.schedule, rowcrew.event_subscription,
      rowcrew.api_key TO rowcrew_operator;
GRANT INSERT, UPDATE, DELETE ON rowcrew.retention_policy TO rowcrew_operator;
GRANT EXECUTE ON FUNCTION rowcrew.enqueue(text, jsonb, text, integer, timestamptz, integer, text, text, text, text),
      rowcrew.enqueue_many(jsonb), rowcrew.clock(), rowcrew.clock_now(), rowcrew.uuid7(), rowcrew.id_at(timestamptz) TO rowcrew_operator;
GRANT INSERT, UPDATE, DELETE ON rowcrew.preset, rowcrew.retry_rule, rowcrew.provider_budget TO rowcrew_operator;
-- Of adopted tables they ask with their own rights on those.
GRANT EXECUTE ON FUNCTION rowcrew.adopted_why(text, text), rowcrew.adopted_job(text, text), rowcrew.adopted_is_cancelled(jsonb), rowcrew.adopted_fill(text, jsonb),
      rowcrew.because(rowcrew.any_job, text, text, timestamptz, jsonb), rowcrew.why_of(rowcrew.any_job, text, jsonb),
      rowcrew.adopted_keys(text, text), rowcrew.keys_of(text, text, text, text, jsonb), rowcrew.limit_value(text, text, text, jsonb),
      rowcrew.job_uuid(text, uuid), rowcrew.job_uuid(text, text), rowcrew.job_uuid(text, bigint),
      rowcrew.adopted_job_rows(jsonb), rowcrew.list_jobs(jsonb, integer), rowcrew.list_own_jobs(jsonb, integer), rowcrew.list_adopted_jobs(jsonb, integer),
      rowcrew.list_condition(jsonb), rowcrew.limit_keys(text, integer), rowcrew.list_schedules(), rowcrew.refuse(text, text, text), rowcrew.adopted_condition(text, jsonb, timestamptz),
      rowcrew.job_condition(text, jsonb), rowcrew.adopted_require(text, text[]), rowcrew.adopted_column(oid, text), rowcrew.adopted_time_in(text, text, text)
      TO rowcrew_operator, rowcrew_viewer;
-- What these change they do by themselves, each act one row of audit_logs.
GRANT EXECUTE ON FUNCTION rowcrew.why(uuid), rowcrew.say_time(timestamptz), rowcrew.pause(text, text, text, interval), rowcrew.resume(text, text),
      rowcrew.limit_set(text, text, text, text, integer, integer, interval, integer, text), rowcrew.limit_remove(text),
      rowcrew.cancel(uuid, text), rowcrew.redrive(uuid, text), rowcrew.adopted_cancel(text, text, text), rowcrew.write_audit(text, text, jsonb), rowcrew.preview(text, jsonb), rowcrew.act_begin(text, jsonb, text), rowcrew.act_page(bigint, integer),
      rowcrew.erase_begin(jsonb, text), rowcrew.erase_page(bigint, jsonb, text),
      rowcrew.adopted_act_preview(text, jsonb), rowcrew.act_step(bigint, integer), rowcrew.adopted_act_page(bigint, integer), rowcrew.act_turn(bigint),
      rowcrew.act_note(bigint, boolean, text, bigint, bigint, bigint, text, text), rowcrew.adopted_request_cancel(text, text[], text),
      rowcrew.adopted_set_anew(rowcrew.adopted_table) TO rowcrew_operator;

-- Viewers: the state of the fleet, no payloads and no keys.
GRANT SELECT ON rowcrew.job_queue_ready, rowcrew.job_queue_parked, rowcrew.job_queue_claim,
      rowcrew.processing_jobs_ready, rowcrew.processing_jobs_parked, rowcrew.processing_jobs_claim,
      rowcrew.node, rowcrew.node_stat, rowcrew.queue, rowcrew.job_type, rowcrew.tick, rowcrew.job_attempt, rowcrew.provider_call,
      rowcrew.provider_budget, rowcrew.spend, rowcrew.retention_policy, rowcrew.preset TO rowcrew_viewer;
GRANT SELECT ON rowcrew.pause, rowcrew.cancel_request, rowcrew.retry_rule, rowcrew.adopted_table, rowcrew.adopted_conflict TO rowcrew_viewer;
GRANT SELECT ON rowcrew.job_queue_limited, rowcrew.processing_jobs_limited, rowcrew.job_limit, rowcrew.limit_key TO rowcrew_viewer;
GRANT SELECT (job_table, job_id, percent, note, updated_at) ON rowcrew.job_progress TO rowcrew_viewer;
GRANT SELECT (name, cron, every_ms, zone, job_type, queue, priority, enabled, overlap, app, created_at, changed_at) ON rowcrew.schedule TO rowcrew_viewer;
GRANT SELECT (schema_version) ON rowcrew.meta TO rowcrew_viewer;  -- is it as new as the command that was called?
GRANT EXECUTE ON FUNCTION rowcrew.clock(), rowcrew.clock_now(), rowcrew.why(uuid), rowcrew.say_time(timestamptz) TO rowcrew_viewer;
-- "rowcrew doctor": is this database at home, which endpoints fail (a URL may hold a password), what is wrong with an adopted table.
GRANT SELECT (installation_id, min_binary, home_system, home_database) ON rowcrew.meta TO rowcrew_viewer;
GRANT SELECT (endpoint_id, enabled, disabled_reason, failing_since) ON rowcrew.webhook_endpoints TO rowcrew_viewer;
GRANT EXECUTE ON FUNCTION rowcrew.here(), rowcrew.system_identifier(), rowcrew.adopted_fault(text) TO rowcrew_operator, rowcrew_viewer;
