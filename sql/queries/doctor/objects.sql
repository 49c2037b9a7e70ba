-- Doctor: which indexes and triggers of ours are missing, broken or switched off. What there has to be is told here, and a test
-- compares it with what the migrations make; companions of adopted tables are as those of job_queue.
WITH indexes (of, kind, shape) AS (VALUES
    ('adopted_conflict', 'p', '(conflict_id)'),
    ('adopted_conflict', '', '(job_table, at)'),
    ('adopted_conflict', '', '(job_table, job_key, at)'),
    ('adopted_table', 'p', '(name)'),
    ('adopted_table', 'u', '(rel)'),
    ('api_key', 'p', '(key_id)'),
    ('api_key', 'u', '(name)'),
    ('api_key', 'u', '(key_hash)'),
    ('app', 'p', '(name)'),
    ('app', 'u', '(schema_name)'),
    ('archive', '', '(id)'),
    ('audit_logs', 'p', '(id)'),
    ('audit_pass', 'p', '(job_table)'),
    ('cancel_request', 'p', '(job_table, job_id)'),
    ('email_notifications', 'p', '(job_id)'),
    ('email_notifications', '', '(account, created_at)'),
    ('event_subscription', 'p', '(name)'),
    ('gate', 'p', '(one)'),
    ('job_attempt', '', '(job_id)'),
    ('job_event', '', '(event_id)'),
    ('job_limit', 'p', '(name)'),
    ('job_progress', 'p', '(job_table, job_id)'),
    ('job_queue', 'p', '(id)'),
    ('job_queue_claim', 'p', '(token)'),
    ('job_queue_limited', '', '(queue, grp, priority, run_at)'),
    ('job_queue_parked', '', '(run_at, id) WHERE (reason <> ALL (ARRAY[''rescued''::text, ''suspect''::text]))'),
    ('job_queue_parked', '', '(reason, queue, run_at) WHERE (reason = ANY (ARRAY[''rescued''::text, ''suspect''::text]))'),
    ('job_queue_parked', '', '(key, id) WHERE (reason = ''paused''::text)'),
    ('job_queue_parked', '', '(id) WHERE (reason = ''unclaimable''::text)'),
    ('job_queue_ready', '', '(queue, priority, run_at)'),
    ('job_type', 'p', '(name)'),
    ('job_unique', 'p', '(scope, key)'),
    ('limit_freed', '', '(key)'),
    ('limit_key', 'p', '(key)'),
    ('limit_start', '', '(key, at)'),
    ('limit_turn', 'p', '(one)'),
    ('meta', 'p', '(only_row)'),
    ('node', 'p', '(node_id)'),
    ('node_command', 'p', '(command_id)'),
    ('node_command_ack', 'p', '(command_id, node_id)'),
    ('node_stat', 'p', '(minute, node_id, job_table, job_type)'),
    ('pause', 'p', '(scope, name)'),
    ('port', 'p', '(name)'),
    ('preset', 'p', '(name)'),
    ('processing_jobs', 'p', '(id)'),
    ('processing_jobs_claim', 'p', '(token)'),
    ('processing_jobs_limited', '', '(queue, grp, priority, run_at)'),
    ('processing_jobs_parked', '', '(run_at, id) WHERE (reason <> ALL (ARRAY[''rescued''::text, ''suspect''::text]))'),
    ('processing_jobs_parked', '', '(reason, queue, run_at) WHERE (reason = ANY (ARRAY[''rescued''::text, ''suspect''::text]))'),
    ('processing_jobs_parked', '', '(key, id) WHERE (reason = ''paused''::text)'),
    ('processing_jobs_parked', '', '(id) WHERE (reason = ''unclaimable''::text)'),
    ('processing_jobs_ready', '', '(queue, priority, run_at)'),
    ('provider_budget', 'p', '(provider)'),
    ('provider_call', '', '(job_id)'),
    ('provider_call', '', '(provider, at) INCLUDE (cost_micros)'),
    ('queue', 'p', '(name)'),
    ('retention_policy', 'p', '(name)'),
    ('retry_rule', 'p', '(job_type, error_code)'),
    ('schedule', 'p', '(name)'),
    ('schema_migration', 'p', '(version, step)'),
    ('tick', 'p', '(schedule, due_at)'),
    ('webhook_deliveries', 'p', '(delivery_id)'),
    ('webhook_deliveries', '', '(endpoint_id, created_at)'),
    ('webhook_endpoints', 'p', '(endpoint_id)'),
    ('webhook_endpoints', '', '(account)')
), triggers (of, name, enabled, definition) AS (VALUES
    ('api_key', 'rowcrew_audit', 'O', 'AFTER INSERT OR DELETE OR UPDATE ON @ FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting(''name'')'),
    ('app', 'announce', 'O', 'AFTER INSERT OR DELETE OR UPDATE ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_policies()'),
    ('cancel_request', 'announce', 'O', 'AFTER INSERT ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_command()'),
    ('event_subscription', 'rowcrew_audit', 'O', 'AFTER INSERT OR DELETE OR UPDATE ON @ FOR EACH ROW WHEN ((pg_trigger_depth() = 0)) EXECUTE FUNCTION rowcrew.audit_setting(''name'')'),
    ('job_event', 'webhook_fan_out', 'O', 'AFTER INSERT ON @ REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.webhook_fan_out()'),
    ('job_limit', 'announce', 'O', 'AFTER INSERT OR DELETE OR UPDATE ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_policies()'),
    ('job_queue', 'rowcrew_changed', 'A', 'AFTER UPDATE ON @ FOR EACH ROW WHEN ((((new.status <> ''processing''::text) OR (NULLIF(new.claim_token, old.claim_token) IS NULL)) AND ((new.status <> ''completed''::text) OR (old.unique_key IS NOT NULL) OR (new.attempts < 0)))) EXECUTE FUNCTION rowcrew.job_queue_changed()'),
    ('job_queue', 'rowcrew_empty', 'A', 'AFTER TRUNCATE ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.job_queue_empty()'),
    ('job_queue', 'rowcrew_file_new', 'O', 'AFTER INSERT ON @ REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.job_queue_file_new()'),
    ('job_queue', 'rowcrew_sound', 'A', 'AFTER UPDATE OF id, job_type, max_attempts, crashes, lonely_crashes, priority, queue, unique_key, tenant, payload ON @ FOR EACH ROW EXECUTE FUNCTION rowcrew.job_queue_sound()'),
    ('job_queue', 'rowcrew_unfile', 'A', 'AFTER DELETE ON @ FOR EACH ROW WHEN ((old.status = ANY (ARRAY[''pending''::text, ''retrying''::text]))) EXECUTE FUNCTION rowcrew.job_queue_unfile()'),
    ('job_queue', 'rowcrew_unkey_deleted', 'A', 'AFTER DELETE ON @ FOR EACH ROW WHEN ((old.unique_key IS NOT NULL)) EXECUTE FUNCTION rowcrew.release_unique()'),
    ('job_queue_claim', 'rowcrew_free', 'A', 'AFTER DELETE ON @ FOR EACH ROW WHEN ((old.keys IS NOT NULL)) EXECUTE FUNCTION rowcrew.free_permits()'),
    ('job_queue_claim', 'rowcrew_free_some', 'A', 'AFTER UPDATE OF held ON @ FOR EACH ROW WHEN (((old.keys IS NOT NULL) AND (new.held < old.held))) EXECUTE FUNCTION rowcrew.free_permits()'),
    ('job_queue_limited', 'rowcrew_wake', 'A', 'AFTER INSERT ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.wake(''job_queue'')'),
    ('job_queue_parked', 'rowcrew_wake', 'A', 'AFTER INSERT ON @ REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.wake_soon()'),
    ('job_queue_ready', 'rowcrew_wake', 'A', 'AFTER INSERT ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.wake(''job_queue'')'),
    ('job_type', 'announce', 'O', 'AFTER INSERT OR DELETE OR UPDATE ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_policies()'),
    ('job_type', 'rowcrew_audit', 'O', 'AFTER INSERT OR DELETE OR UPDATE ON @ FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting(''name'')'),
    ('node_command', 'announce', 'O', 'AFTER INSERT ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_command()'),
    ('pause', 'announce', 'O', 'AFTER INSERT OR DELETE OR UPDATE ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_command()'),
    ('preset', 'rowcrew_audit', 'O', 'AFTER INSERT OR DELETE OR UPDATE ON @ FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting(''name'')'),
    ('provider_budget', 'rowcrew_audit', 'O', 'AFTER INSERT OR DELETE OR UPDATE OF provider, day_micros, warn_percent ON @ FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting(''provider'')'),
    ('processing_jobs', 'rowcrew_changed', 'A', 'AFTER UPDATE ON @ FOR EACH ROW WHEN ((((new.status <> ''processing''::text) OR (NULLIF(new.claim_token, old.claim_token) IS NULL)) AND ((new.status <> ''completed''::text) OR (old.unique_key IS NOT NULL) OR (new.attempts < 0)))) EXECUTE FUNCTION rowcrew.processing_jobs_changed()'),
    ('processing_jobs', 'rowcrew_empty', 'A', 'AFTER TRUNCATE ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.processing_jobs_empty()'),
    ('processing_jobs', 'rowcrew_file_new', 'O', 'AFTER INSERT ON @ REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.processing_jobs_file_new()'),
    ('processing_jobs', 'rowcrew_sound', 'A', 'AFTER UPDATE OF id, type, max_attempts, crashes, lonely_crashes, priority, queue, unique_key, tenant, inputs ON @ FOR EACH ROW EXECUTE FUNCTION rowcrew.processing_jobs_sound()'),
    ('processing_jobs', 'rowcrew_unfile', 'A', 'AFTER DELETE ON @ FOR EACH ROW WHEN ((old.status = ANY (ARRAY[''pending''::text, ''retrying''::text]))) EXECUTE FUNCTION rowcrew.processing_jobs_unfile()'),
    ('processing_jobs', 'rowcrew_unkey_deleted', 'A', 'AFTER DELETE ON @ FOR EACH ROW WHEN ((old.unique_key IS NOT NULL)) EXECUTE FUNCTION rowcrew.release_unique()'),
    ('processing_jobs_claim', 'rowcrew_free', 'A', 'AFTER DELETE ON @ FOR EACH ROW WHEN ((old.keys IS NOT NULL)) EXECUTE FUNCTION rowcrew.free_permits()'),
    ('processing_jobs_claim', 'rowcrew_free_some', 'A', 'AFTER UPDATE OF held ON @ FOR EACH ROW WHEN (((old.keys IS NOT NULL) AND (new.held < old.held))) EXECUTE FUNCTION rowcrew.free_permits()'),
    ('processing_jobs_limited', 'rowcrew_wake', 'A', 'AFTER INSERT ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.wake(''processing_jobs'')'),
    ('processing_jobs_parked', 'rowcrew_wake', 'A', 'AFTER INSERT ON @ REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.wake_soon()'),
    ('processing_jobs_ready', 'rowcrew_wake', 'A', 'AFTER INSERT ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.wake(''processing_jobs'')'),
    ('queue', 'announce', 'O', 'AFTER INSERT OR DELETE OR UPDATE ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_command()'),
    ('queue', 'rowcrew_audit', 'O', 'AFTER INSERT OR DELETE OR UPDATE ON @ FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting(''name'')'),
    ('retention_policy', 'changed', 'O', 'BEFORE UPDATE ON @ FOR EACH ROW WHEN (((((((old.target IS DISTINCT FROM new.target) OR (old.job_types IS DISTINCT FROM new.job_types)) OR (old.statuses IS DISTINCT FROM new.statuses)) OR (old.age IS DISTINCT FROM new.age)) OR (old.dry_run IS DISTINCT FROM new.dry_run)) OR (old.enabled IS DISTINCT FROM new.enabled))) EXECUTE FUNCTION rowcrew.retention_changed()'),
    ('retention_policy', 'rowcrew_audit', 'O', 'AFTER INSERT OR DELETE OR UPDATE OF name, target, job_types, statuses, age, action, dry_run, enabled, batch, note ON @ FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting(''name'')'),
    ('retry_rule', 'announce', 'O', 'AFTER INSERT OR DELETE OR UPDATE ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_policies()'),
    ('retry_rule', 'rowcrew_audit', 'O', 'AFTER INSERT OR DELETE OR UPDATE ON @ FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting(''job_type'', ''error_code'')'),
    ('schedule', 'changed', 'O', 'BEFORE UPDATE ON @ FOR EACH ROW WHEN (((((old.cron IS DISTINCT FROM new.cron) OR (old.every_ms IS DISTINCT FROM new.every_ms)) OR (old.zone IS DISTINCT FROM new.zone)) OR (old.enabled IS DISTINCT FROM new.enabled))) EXECUTE FUNCTION rowcrew.schedule_changed()'),
    ('schedule', 'checked', 'O', 'BEFORE INSERT OR UPDATE OF cron, zone ON @ FOR EACH ROW EXECUTE FUNCTION rowcrew.schedule_checked()'),
    ('schedule', 'rowcrew_audit', 'O', 'AFTER INSERT OR DELETE OR UPDATE ON @ FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting(''name'')'),
    ('webhook_endpoints', 'edit', 'O', 'BEFORE UPDATE ON @ FOR EACH ROW EXECUTE FUNCTION rowcrew.webhook_endpoint_edit()'),
    ('webhook_endpoints', 'rowcrew_audit', 'O', 'AFTER INSERT OR DELETE OR UPDATE OF app, account, url, events, secret, previous_secret, previous_secret_until, enabled, disabled_reason ON @ FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting(''endpoint_id'')'),
    ('webhook_endpoints', 'subscribe', 'O', 'AFTER INSERT OR DELETE OR UPDATE OF endpoint_id, events, enabled, account ON @ FOR EACH ROW EXECUTE FUNCTION rowcrew.webhook_subscribe()'),
    ('webhook_endpoints', 'unsubscribe_all', 'O', 'AFTER TRUNCATE ON @ FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.webhook_subscribe()')
), named (of, real, own) AS (
  SELECT x.of, x.of, true FROM indexes x UNION SELECT x.of, x.of, true FROM triggers x
  UNION SELECT x.of, z.name || substr(x.of, 10), false
  FROM rowcrew.adopted_table z, (VALUES ('job_queue_ready'), ('job_queue_parked'), ('job_queue_limited'), ('job_queue_claim')) AS x (of) WHERE z.mode <> 'shadow'
), there AS MATERIALIZED (
  SELECT n.of, n.real, n.own, c.oid FROM named n JOIN pg_class c ON c.relnamespace = 'rowcrew'::regnamespace AND c.relname = n.real
), have AS MATERIALIZED (
  SELECT i.indrelid, i.indexrelid, i.indisunique, i.indisvalid AND i.indisready AND i.indislive AS sound, regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING btree ', '') AS shape
  FROM pg_index i JOIN there t ON t.oid = i.indrelid
)
SELECT json_build_object(
  'absent', (SELECT coalesce(json_agg(DISTINCT n.real), '[]') FROM named n WHERE NOT EXISTS (SELECT FROM there t WHERE t.real = n.real)),
  'indexes', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT t.oid::regclass::text AS table, e.shape,
           format(CASE WHEN e.kind = 'p' THEN 'ALTER TABLE %s ADD PRIMARY KEY %s' WHEN e.kind = 'u' THEN 'ALTER TABLE %s ADD UNIQUE %s'
                       WHEN c.relkind = 'p' THEN 'CREATE INDEX ON %s %s' ELSE 'CREATE INDEX CONCURRENTLY ON %s %s' END, t.oid::regclass, e.shape) AS mend
    FROM there t JOIN pg_class c ON c.oid = t.oid JOIN indexes e ON e.of = t.of AND (t.own OR e.shape NOT LIKE '(key, id)%')
    WHERE NOT EXISTS (SELECT FROM have h WHERE h.indrelid = t.oid AND h.shape = e.shape AND h.sound AND h.indisunique >= (e.kind <> '')) ORDER BY 1, 2) x),
  'broken', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT DISTINCT h.indexrelid::regclass::text AS index, h.indrelid::regclass::text AS table,
           format(CASE WHEN EXISTS (SELECT FROM have o WHERE o.indrelid = h.indrelid AND o.shape = h.shape AND o.sound)
                       OR NOT EXISTS (SELECT FROM there t JOIN indexes e ON e.of = t.of WHERE t.oid = h.indrelid AND e.shape = h.shape) THEN 'DROP INDEX %s'
                       ELSE 'REINDEX INDEX CONCURRENTLY %s' END, h.indexrelid::regclass) AS mend
    FROM have h WHERE NOT h.sound ORDER BY 1) x),
  'triggers', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT t.oid::regclass::text AS table, e.name, coalesce(g.tgenabled::text, '') AS state, array_remove(ARRAY[
             CASE WHEN g.oid IS NULL THEN format('CREATE TRIGGER %I %s', e.name, replace(CASE WHEN t.own THEN e.definition
               ELSE replace(e.definition, '''job_queue''', quote_literal(left(t.real, length(t.real) - length(t.of) + 9))) END, '@', t.oid::regclass::text)) END,
             CASE WHEN e.enabled = 'A' THEN format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.oid::regclass, e.name)
                  WHEN g.oid IS NOT NULL THEN format('ALTER TABLE %s ENABLE TRIGGER %I', t.oid::regclass, e.name) END], NULL) AS mend
    FROM there t JOIN triggers e ON e.of = t.of LEFT JOIN pg_trigger g ON g.tgrelid = t.oid AND g.tgname = e.name
    WHERE coalesce(g.tgenabled::text, '') NOT IN ('A', e.enabled) ORDER BY 1, 2) x))
