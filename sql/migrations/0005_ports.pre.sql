-- 0005: ports, which tie an application's own tables to the kinds, and events for whoever subscribes.

ALTER TABLE rowcrew.job_queue ADD COLUMN app text;
ALTER TABLE rowcrew.processing_jobs ADD COLUMN app text;
COMMENT ON COLUMN rowcrew.job_queue.app IS
  'Whose ports the kind calls: a name in rowcrew.app. Null: those of the only app, or the defaults when there are several or none.';
COMMENT ON COLUMN rowcrew.processing_jobs.app IS 'As in job_queue.';

CREATE TABLE rowcrew.port (
  name      text PRIMARY KEY,
  arguments text NOT NULL,
  result    text NOT NULL,
  purpose   text NOT NULL
);
COMMENT ON TABLE rowcrew.port IS
  'The functions that kinds call. Each has a default in the schema rowcrew; an app overrides it by a function of the '
  'same name, arguments and result in its own schema. Beside these, <job type>_ended(uuid, jsonb) returning void runs '
  'in the transaction that ends an execution of that type, for every job type there is. It is told status, attempt, max_attempts, '
  'result, error_code, error_message, duration_ms, of "retrying" retry_after_ms, and table and key of a job of an adopted table.';

INSERT INTO rowcrew.port VALUES
  ('generation_input', 'uuid', 'jsonb',
   'What a generation is to do: {"source", "target", "preset": {"name", "workflow"}}; or {"refuse": {"code", "message"}}; '
   'or {"wait_ms", "why"} when only time will tell.'),
  ('drive_folder', 'text', 'jsonb',
   'A watched folder: {"backend": "folder", "path", "settle_ms", "known": [{"device", "inode", "size", "mtime_ns"}]}, or '
   '{"backend": "google_drive", "folder_id", "account", "refresh_token", "page_token", "known": [{"id", "md5"}]}; null when it '
   'is not to be polled (any more).'),
  ('drive_files_found', 'text, jsonb', 'integer',
   'Takes new files of a folder: [{"name", "path", "device", "inode", "size", "mtime_ns", "sha256"}] or, for one that cannot '
   'be taken, {"name", "problem", "message"}. Returns how many were new. Repeatable.'),
  ('email_allowed', 'text, text', 'boolean', 'Whether this account wants mails of this template.'),
  ('usage_reset', '', 'integer', 'Opens the usage periods that are due; returns how many. Repeatable.');

CREATE FUNCTION rowcrew.drive_folder(p_folder text) RETURNS jsonb LANGUAGE sql STABLE AS $$ SELECT NULL::jsonb $$;
CREATE FUNCTION rowcrew.drive_files_found(p_folder text, p_files jsonb) RETURNS integer LANGUAGE sql STABLE AS $$ SELECT 0 $$;
CREATE FUNCTION rowcrew.email_allowed(p_account text, p_template text) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT true $$;
CREATE FUNCTION rowcrew.usage_reset() RETURNS integer LANGUAGE sql STABLE AS $$ SELECT 0 $$;

-- A node's session plans nested loops over indexes only, which suits statements on hot tables and nobody else's: a join
-- of 20,000 rows with 20,000 takes an application's function 7 ms elsewhere and 15 s there. What calls such a function
-- plans as usual before and by index again after it. Without SET clauses, so that the planner
-- takes their bodies; merge joins stay off, since each setting is 2 us a call and hash joins do their work.
CREATE FUNCTION rowcrew.plan_as_usual() RETURNS integer LANGUAGE sql AS $$
  SELECT pg_catalog.num_nulls(pg_catalog.set_config('enable_seqscan', 'on', true), pg_catalog.set_config('enable_hashjoin', 'on', true),
                              pg_catalog.set_config('enable_bitmapscan', 'on', true),
                              pg_catalog.set_config('plan_cache_mode', 'auto', true))
$$;
CREATE FUNCTION rowcrew.plan_by_index() RETURNS integer LANGUAGE sql AS $$
  SELECT pg_catalog.num_nulls(pg_catalog.set_config('enable_seqscan', 'off', true), pg_catalog.set_config('enable_hashjoin', 'off', true),
                              pg_catalog.set_config('enable_bitmapscan', 'off', true),
                              pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true))
$$;

-- The uuid by which ports know a job: its key, where that is one, or what job_uuid() makes of it (0015).
CREATE FUNCTION rowcrew.port_job(p_table text, p_key text) RETURNS uuid LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_table IN ('job_queue', 'processing_jobs')
     OR EXISTS (SELECT FROM rowcrew.adopted_table z WHERE z.name = p_table AND z.template ->> 'key_type' = 'uuid') THEN
    RETURN p_key::uuid;
  END IF;
  RETURN rowcrew.job_uuid(p_table, p_key);
END $$;

-- Every function that a port resolves to: the defaults (app null) and what the apps define, also
-- "<job type>_ended". `fault` names a signature that is not the port's. Of functions that end in "_ended"
-- only those of two arguments, the first a uuid, can have been meant: others are the app's own.
CREATE VIEW rowcrew.port_function AS
  SELECT a.name AS app, n.nspname::text AS schema_name, f.proname::text AS port,
         CASE WHEN p.name IS NOT NULL AND (oidvectortypes(f.proargtypes), format_type(f.prorettype, NULL)) <> (p.arguments, p.result)
              THEN format('%I.%I(%s) returns %s, expected (%s) returns %s', n.nspname, f.proname, oidvectortypes(f.proargtypes),
                          format_type(f.prorettype, NULL), p.arguments, p.result)
              WHEN p.name IS NULL AND (oidvectortypes(f.proargtypes), format_type(f.prorettype, NULL)) <> ('uuid, jsonb', 'void')
              THEN format('%I.%I(%s) returns %s, expected (uuid, jsonb) returns void', n.nspname, f.proname,
                          oidvectortypes(f.proargtypes), format_type(f.prorettype, NULL)) END AS fault
  FROM pg_proc f
  JOIN pg_namespace n ON n.oid = f.pronamespace
  LEFT JOIN rowcrew.app a ON a.schema_name = n.nspname
  LEFT JOIN rowcrew.port p ON p.name = f.proname
  WHERE (n.nspname = 'rowcrew' OR a.name IS NOT NULL)
    AND (p.name IS NOT NULL OR (f.proname ~ '^[a-z].*_ended$' AND f.pronargs = 2 AND f.proargtypes[0] = 'uuid'::regtype));

CREATE FUNCTION rowcrew.emit(p_event text, p_data jsonb, p_job_table text, p_job_id uuid, p_job_type text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_event !~ '^[a-zA-Z0-9_]+([.][a-zA-Z0-9_]+)+$' THEN
    RAISE EXCEPTION 'event %: expected words of letters, digits and "_" joined by "."', quote_literal(p_event)
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  INSERT INTO rowcrew.job_event (event, job_table, job_id, job_type, data)
  VALUES (p_event, p_job_table, p_job_id, p_job_type, coalesce(p_data, '{}'));
END $$;
COMMENT ON FUNCTION rowcrew.emit(text, jsonb, text, uuid, text) IS
  'Writes an event of an app''s own (words joined by ".") about a job into the outbox, in the caller''s transaction: for ports.';

UPDATE rowcrew.meta SET schema_version = 5;
