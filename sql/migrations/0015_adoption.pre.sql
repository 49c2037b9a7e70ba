-- 0015: job tables that an application already has. What such a table lacks lives with us; on the
-- table itself there are triggers and nothing else.

CREATE TABLE rowcrew.adopted_table (
  name        text        PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,47}$'),
  rel         oid         NOT NULL UNIQUE,
  schema_name text        NOT NULL,
  table_name  text        NOT NULL,
  app         text        REFERENCES rowcrew.app,
  map         jsonb       NOT NULL,
  columns     jsonb       NOT NULL,
  template    jsonb       NOT NULL,
  mode        text        NOT NULL CHECK (mode IN ('serve', 'shadow', 'held')),
  hold_reason text        CHECK ((mode = 'held') = (hold_reason IS NOT NULL)),
  epoch       bigint      NOT NULL DEFAULT 1,
  adopted_at  timestamptz NOT NULL DEFAULT rowcrew.clock(),
  adopted_by  text        NOT NULL DEFAULT session_user
);
COMMENT ON TABLE rowcrew.adopted_table IS
  'Job tables of applications that the fleet serves; kept by "rowcrew adopt" and "unadopt", not by hand.';
COMMENT ON COLUMN rowcrew.adopted_table.rel IS 'The table itself, whatever it is called by now.';
COMMENT ON COLUMN rowcrew.adopted_table.columns IS 'What each column of the map was when it was adopted: number and type.';
COMMENT ON COLUMN rowcrew.adopted_table.template IS 'What the statements of the nodes are filled in with: made from the map, quoted.';
COMMENT ON COLUMN rowcrew.adopted_table.mode IS
  'serve: nodes claim from it. shadow: nothing is attached to it and nothing claimed. held: nothing is claimed until it is repaired.';
COMMENT ON COLUMN rowcrew.adopted_table.epoch IS 'Grows with every change of what nodes have to know; they reread it.';

CREATE TABLE rowcrew.adopted_conflict (
  conflict_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_table   text        NOT NULL REFERENCES rowcrew.adopted_table ON DELETE CASCADE,
  job_key     text        NOT NULL,
  was         text        NOT NULL,
  wanted      text        NOT NULL,
  at          timestamptz NOT NULL DEFAULT rowcrew.clock(),
  by_role     text        NOT NULL DEFAULT session_user,
  by_program  text        DEFAULT current_setting('application_name', true)
);
CREATE INDEX ON rowcrew.adopted_conflict (job_table, at);
COMMENT ON TABLE rowcrew.adopted_conflict IS
  'Writes of the application that would have made a running or finished job wait again, or a waiting one seem to run. '
  'The job''s columns kept their values, everything else of the write was done. Kept for a month.';

-- Ids of adopted tables are of any type; what is written about their jobs is found by job_key.
ALTER TABLE rowcrew.job_attempt ADD COLUMN job_key text;
ALTER TABLE rowcrew.job_event ADD COLUMN job_key text;
ALTER TABLE rowcrew.cancel_request ADD COLUMN job_key text;
COMMENT ON COLUMN rowcrew.job_attempt.job_key IS 'The id of a job of an adopted table; job_id is then made of it, or the same.';
COMMENT ON COLUMN rowcrew.job_event.job_key IS 'As in job_attempt.';
COMMENT ON COLUMN rowcrew.cancel_request.job_key IS 'As in job_attempt.';

-- A uuid for every job: its own id where that is one. Of SHA-256, since a server in FIPS mode has no MD5.
CREATE FUNCTION rowcrew.job_uuid(p_table text, p_key uuid) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT p_key $$;
CREATE FUNCTION rowcrew.job_uuid(p_table text, p_key text) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT left(encode(sha256(replace(p_table || ':' || p_key, E'\\', E'\\\\')::bytea), 'hex'), 32)::uuid $$;
CREATE FUNCTION rowcrew.job_uuid(p_table text, p_key bigint) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT left(encode(sha256((p_table || ':' || p_key::text)::bytea), 'hex'), 32)::uuid $$;
COMMENT ON FUNCTION rowcrew.job_uuid(text, uuid) IS 'The id by which ports know a job of an adopted table: its key.';
COMMENT ON FUNCTION rowcrew.job_uuid(text, text) IS 'The id by which ports know a job of an adopted table: made of name and key.';
COMMENT ON FUNCTION rowcrew.job_uuid(text, bigint) IS 'The id by which ports know a job of an adopted table: made of name and key.';

-- The column of a table, or nothing. base: a type modifier of -1 names char(n) as "bpchar"; "character" would be char(1).
CREATE FUNCTION rowcrew.adopted_column(p_rel oid, p_name text, OUT number smallint, OUT type text, OUT base text, OUT length integer,
                                       OUT needed boolean, OUT "collation" text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT a.attnum, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, -1),
         CASE WHEN a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND a.atttypmod > 4 THEN a.atttypmod - 4 END,
         a.attnotnull,
         CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation
              THEN (SELECT format('%I.%I', n.nspname, o.collname) FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace
                    WHERE o.oid = a.attcollation) END
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attrelid = p_rel AND a.attname = p_name AND a.attnum > 0 AND NOT a.attisdropped
$$;

-- An instant as a column of this type takes it, and as it is read from there.
CREATE FUNCTION rowcrew.adopted_time_in(p_base text, p_zone text, p_instant text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_base LIKE 'timestamp%without time zone' THEN format('(%s AT TIME ZONE %L)', p_instant, p_zone) ELSE p_instant END
$$;
CREATE FUNCTION rowcrew.adopted_time_out(p_base text, p_zone text, p_column text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_base LIKE 'timestamp%without time zone' THEN format('(%s AT TIME ZONE %L)', p_column, p_zone) ELSE p_column END
$$;

-- A text of ours as a column of this type takes it.
CREATE FUNCTION rowcrew.adopted_text_in(p_base text, p_length integer, p_text text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_base IN ('json', 'jsonb') THEN format('to_jsonb(%s)', p_text) ELSE format('left(%s, %s)', p_text, coalesce(p_length, 100000)) END
$$;

-- A column as text. Where our own rights are at work it is never cast: a cast that the owner of its type has made would
-- run as we do, while format() knows nothing but output functions, and those of types that are not built in are a superuser's.
CREATE FUNCTION rowcrew.adopted_said(p_base text, p_column text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT format(CASE p_base WHEN 'bpchar' THEN 'CASE WHEN %1$s IS NOT NULL THEN pg_catalog.rtrim(pg_catalog.format(''%%s'', %1$s)) END'
                ELSE 'CASE WHEN %1$s IS NOT NULL THEN pg_catalog.format(''%%s'', %1$s) END' END, p_column)
$$;

-- Everything that the statements of nodes and the triggers need to know about a table, as SQL text
-- in terms of its row q, and of f, the row that tells how an execution ended (finish_ended).
CREATE FUNCTION rowcrew.adopted_template(p_name text, p_rel oid, p_map jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_columns jsonb := p_map -> 'columns';
  v_states jsonb := p_map -> 'states';
  v_zone text := coalesce(p_map ->> 'zone', 'UTC');
  v_executions boolean := coalesce(p_map ->> 'counts', 'executions') = 'executions';
  v_key record;
  v_status record;
  v_words jsonb := '{}';
  v_col record;
  v_role text;
  v_q text;
  v_null text;
  v_claimed text := '';
  v_completed text := '';
  v_ended text := '';
  v_kept text := '';
  v_state text;
  v_due text := 'x.scheduled_at';
  v_created text := 'NULL::timestamptz';
  v_ended_at text := 'NULL::timestamptz';
  v_attempts text := 'coalesce(x.attempts, 0)';
  v_max text := coalesce(p_map ->> 'max_attempts', '5');
  v_priority text := format('%s::smallint', coalesce(p_map ->> 'priority', '5'));
  v_queue text := format('%L::pg_catalog.text', coalesce(p_map ->> 'queue', 'default'));
  v_type text := format('%L::text', p_map ->> 'job_type');
  v_tenant text := 'NULL::text';
  v_provider text := 'NULL::text';
  v_payload text;
  v_keys text;
  v_result text := '';
BEGIN
  SELECT * INTO v_key FROM rowcrew.adopted_column(p_rel, p_map ->> 'key');
  SELECT * INTO v_status FROM rowcrew.adopted_column(p_rel, v_columns ->> 'status');
  -- A state that the table has no word for is written as the nearest that it has.
  FOREACH v_state IN ARRAY ARRAY['pending', 'processing', 'completed', 'failed', 'retrying', 'cancelled'] LOOP
    v_words := v_words || jsonb_build_object(v_state, format('%L::%s', coalesce(v_states ->> v_state,
      CASE v_state WHEN 'retrying' THEN v_states ->> 'pending' WHEN 'cancelled' THEN v_states ->> 'failed' END), v_status.base));
  END LOOP;

  -- A collation of the column's own would not go with that of what it is compared with.
  FOR v_role, v_q IN SELECT key, value FROM jsonb_each_text(v_columns) ORDER BY key LOOP
    SELECT * INTO v_col FROM rowcrew.adopted_column(p_rel, v_q);
    v_null := CASE WHEN v_col.needed AND v_col.base IN ('text', 'character varying', 'bpchar') THEN '''''' ELSE 'NULL' END;
    v_q := quote_ident(v_q);
    CASE v_role
    WHEN 'job_type' THEN
      v_type := format('(q.%s::text COLLATE pg_catalog."C")', v_q);
      CONTINUE;
    WHEN 'tenant' THEN
      v_tenant := format('(q.%s::text COLLATE pg_catalog."C")', v_q);
      CONTINUE;
    WHEN 'provider' THEN
      v_provider := format('(q.%s::text COLLATE pg_catalog."C")', v_q);
      CONTINUE;
    WHEN 'queue' THEN
      v_queue := format('(coalesce(%s, %s) COLLATE pg_catalog."C")',
        CASE WHEN v_col.base IN ('text', 'character varying', 'bpchar') THEN format('q.%s::pg_catalog.text', v_q) ELSE rowcrew.adopted_said(v_col.base, 'q.' || v_q) END, v_queue);
      CONTINUE;
    WHEN 'priority' THEN
      v_priority := format('least(greatest(coalesce(q.%s, %s), 0), 9)::smallint', v_q, coalesce(p_map ->> 'priority', '5'));
      CONTINUE;
    WHEN 'max_attempts' THEN
      v_max := format('greatest(coalesce(q.%s, %s), 1)', v_q, v_max);
      CONTINUE;
    WHEN 'created_at' THEN
      v_created := rowcrew.adopted_time_out(v_col.base, v_zone, 'q.' || v_q);
      CONTINUE;
    WHEN 'attempts' THEN
      v_attempts := format('coalesce(q.%s, 0)', v_q);
      IF v_executions THEN v_completed := v_completed || format(', %1$s = coalesce(q.%1$s, 0) + 1', v_q); END IF;
      v_ended := v_ended || format(', %1$s = coalesce(q.%1$s, 0) + f.counts', v_q);
    WHEN 'scheduled_at' THEN
      v_due := rowcrew.adopted_time_out(v_col.base, v_zone, 'q.' || v_q);
      v_ended := v_ended || format(', %1$s = CASE WHEN f.status IN (''pending'', ''retrying'') THEN %2$s ELSE q.%1$s END',
                                   v_q, rowcrew.adopted_time_in(v_col.base, v_zone, 'f.due'));
    WHEN 'started_at' THEN
      v_claimed := v_claimed || format(', %s = %s', v_q, rowcrew.adopted_time_in(v_col.base, v_zone, 'rowcrew.clock()'));
    WHEN 'completed_at' THEN
      v_ended_at := rowcrew.adopted_time_out(v_col.base, v_zone, 'q.' || v_q);
      v_completed := v_completed || format(', %s = %s', v_q, rowcrew.adopted_time_in(v_col.base, v_zone, 'rowcrew.clock_now()'));
      v_ended := v_ended || format(', %1$s = CASE WHEN f.status IN (''failed'', ''cancelled'') THEN %2$s ELSE q.%1$s END',
                                   v_q, rowcrew.adopted_time_in(v_col.base, v_zone, 'rowcrew.clock_now()'));
    WHEN 'error_code', 'error_message' THEN
      v_completed := v_completed || format(', %1$s = CASE WHEN f.note IS NULL THEN %2$s ELSE %3$s END', v_q, v_null,
        rowcrew.adopted_text_in(v_col.base, v_col.length, CASE v_role WHEN 'error_code' THEN '''cancelled''::text' ELSE 'f.note' END));
      v_ended := v_ended || format(', %1$s = CASE WHEN f.outcome IN (''snooze'', ''released'') THEN q.%1$s ELSE %2$s END', v_q,
        rowcrew.adopted_text_in(v_col.base, v_col.length,
          format('coalesce(%s, %s)', CASE v_role WHEN 'error_code' THEN 'f.code' ELSE 'f.message' END, v_null)));
    WHEN 'result' THEN
      v_result := format(', %s = u.result::%s', v_q, v_col.base);
      v_completed := v_completed || format(', %1$s = coalesce(f.result::%2$s, q.%1$s)', v_q, v_col.base);
    WHEN 'duration_ms' THEN
      v_completed := v_completed || format(', %s = least(extract(epoch FROM rowcrew.clock_now() - f.claimed_at) * 1000, 2147483647)::int', v_q);
      v_ended := v_ended || format(', %1$s = coalesce(f.duration_ms, q.%1$s)', v_q);
    WHEN 'worker' THEN
      v_claimed := v_claimed || format(', %s = left(''rowcrew/'' || $2::bigint, %s)', v_q, coalesce(v_col.length, 100));
    WHEN 'locked_at' THEN
      v_claimed := v_claimed || format(', %s = %s', v_q, rowcrew.adopted_time_in(v_col.base, v_zone, 'rowcrew.clock()'));
      v_completed := v_completed || format(', %s = NULL', v_q);
      v_ended := v_ended || format(', %s = NULL', v_q);
    WHEN 'locked_by' THEN
      v_claimed := v_claimed || format(', %s = left(''rowcrew/'' || $2::bigint, %s)', v_q, coalesce(v_col.length, 100));
      v_completed := v_completed || format(', %s = %s', v_q, v_null);
      v_ended := v_ended || format(', %s = %s', v_q, v_null);
    ELSE NULL;  -- status
    END CASE;
    v_kept := v_kept || format('NEW.%1$s := OLD.%1$s; ', v_q);
  END LOOP;

  FOR v_q IN SELECT value FROM jsonb_array_elements_text(coalesce(p_map -> 'touch', '[]')) LOOP
    SELECT * INTO v_col FROM rowcrew.adopted_column(p_rel, v_q);
    v_q := format(', %I = %s', v_q, rowcrew.adopted_time_in(v_col.base, v_zone, 'rowcrew.clock_now()'));
    v_claimed := v_claimed || v_q;
    v_completed := v_completed || v_q;
    v_ended := v_ended || v_q;
  END LOOP;

  v_payload := format('(SELECT (%s)::jsonb FROM (SELECT q.*) AS q)', coalesce(p_map ->> 'payload', 'to_jsonb(q)'));
  v_keys := format('rowcrew.keys_of(%s, %s, %s, %s, %s)', v_queue, v_type, v_tenant, v_provider, v_payload);

  RETURN jsonb_build_object(
    'table', p_rel::regclass::text, 'table_regclass', p_rel::text, 'table_name', quote_literal(p_name),
    'ready', format('rowcrew.%I', p_name || '_ready'), 'parked', format('rowcrew.%I', p_name || '_parked'),
    'limited', format('rowcrew.%I', p_name || '_limited'), 'take', format('rowcrew.%I', p_name || '_take'),
    'claim', format('rowcrew.%I', p_name || '_claim'), 'job', format('rowcrew.%I', p_name || '_job'),
    'key', quote_ident(p_map ->> 'key'), 'key_type', v_key.base,
    'key_column', v_key.base || coalesce(' COLLATE ' || v_key."collation", ''),
    'status', quote_ident(v_columns ->> 'status'),
    -- In a CASE, so that an index of the application's on its status column is no way to find a job: it
    -- leads past every other job of that status, and a plan that was made while there were few outlives that.
    'is_waiting', format('CASE WHEN q.%I IN (%s) THEN true ELSE false END', v_columns ->> 'status',
                         (SELECT string_agg(DISTINCT v_words ->> w, ', ') FROM unnest(ARRAY['pending', 'retrying']) w)),
    'is_processing', format('CASE WHEN q.%I = %s THEN true ELSE false END', v_columns ->> 'status', v_words ->> 'processing'),
    'processing', v_words ->> 'processing', 'completed', v_words ->> 'completed', 'cancelled', v_words ->> 'cancelled',
    'waiting', (SELECT string_agg(DISTINCT v_words ->> w, ', ') FROM unnest(ARRAY['pending', 'retrying']) w),
    'ended', (SELECT string_agg(DISTINCT v_words ->> w, ', ') FROM unnest(ARRAY['completed', 'failed', 'cancelled']) w),
    -- The same as text, for functions whose owner need not know the schema that the type lies in.
    'waiting_text', (SELECT string_agg(DISTINCT quote_literal(v_states ->> w), ', ') FROM unnest(ARRAY['pending', 'retrying']) w WHERE v_states ? w),
    'ended_text', (SELECT string_agg(DISTINCT quote_literal(v_states ->> w), ', ') FROM unnest(ARRAY['completed', 'failed', 'cancelled']) w WHERE v_states ? w),
    'processing_text', quote_literal(v_states ->> 'processing'),
    'requeue_text', coalesce((SELECT string_agg(DISTINCT quote_literal(coalesce(v_states ->> w, v_states ->> 'failed')), ', ')
                              FROM jsonb_array_elements_text(coalesce(p_map -> 'requeue', '[]')) w), 'NULL'),
    'word', format('CASE f.status WHEN ''pending'' THEN %s WHEN ''retrying'' THEN %s WHEN ''failed'' THEN %s ELSE %s END',
                   v_words ->> 'pending', v_words ->> 'retrying', v_words ->> 'failed', v_words ->> 'cancelled'),
    'due', v_due, 'created', v_created, 'ended_at', v_ended_at, 'attempts', v_attempts, 'max_attempts', v_max, 'priority', v_priority, 'queue', v_queue, 'job_type', v_type,
    'tenant', v_tenant, 'payload', v_payload,
    -- Of the queues that a node asks for those in which such a table can have jobs: mostly one of hundreds.
    'of_queue', CASE WHEN v_columns ? 'queue' THEN 'true' ELSE format('queue = %L', coalesce(p_map ->> 'queue', 'default')) END,
    -- The keys by which rules limit a job (0016), and whether none does; of a fleet without rules nothing is computed.
    'keys', format('CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.job_limit)) THEN %s END', v_keys),
    'unlimited', format('CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.job_limit)) THEN (%s).grp IS NULL ELSE true END', v_keys),
    'carried', format('(SELECT CASE WHEN rowcrew.is_carried(p.v) THEN p.v END FROM (SELECT (%s)::jsonb AS v FROM (SELECT q.*) AS q OFFSET 0) p)', coalesce(p_map ->> 'payload', 'to_jsonb(q)')),
    'app', format('%L::text', p_map ->> 'app'),
    'set_result', v_result, 'has_result', CASE WHEN v_result = '' THEN 'false' ELSE 'true' END,
    'set_claimed', v_claimed, 'set_completed', v_completed, 'set_ended', v_ended, 'keep', v_kept);
END $$;

-- What each column of the map is now: to be compared later.
CREATE FUNCTION rowcrew.adopted_columns(p_rel oid, p_map jsonb) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(jsonb_object_agg(c.name, jsonb_build_object('number', (rowcrew.adopted_column(p_rel, c.name)).number,
                                                              'type', (rowcrew.adopted_column(p_rel, c.name)).type)), '{}')
  FROM (SELECT p_map ->> 'key' AS name
        UNION SELECT value FROM jsonb_each_text(p_map -> 'columns')
        UNION SELECT value FROM jsonb_array_elements_text(coalesce(p_map -> 'touch', '[]'))) c
$$;

-- Fills "{name}" in from a template, as nodes do: in one pass, so that braces of what is filled in mean nothing.
CREATE FUNCTION rowcrew.adopted_fill(p_text text, p_template jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT string_agg(coalesce(p_template ->> x.m[2], x.m[1]), '' ORDER BY x.place)
          FROM regexp_matches(p_text, '([{]([a-z_]+)[}]|[^{]+|[{])', 'g') WITH ORDINALITY AS x (m, place));
END $$;

-- The template of one table, with the names of its functions.
CREATE FUNCTION rowcrew.adopted_names(p_name text) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT z.template || jsonb_build_object(
    'file', format('rowcrew.%I', p_name || '_file_new'), 'refile', format('rowcrew.%I', p_name || '_refile'),
    'hold', format('rowcrew.%I', p_name || '_hold'), 'gone', format('rowcrew.%I', p_name || '_gone'),
    'empty', format('rowcrew.%I', p_name || '_empty'))
  FROM rowcrew.adopted_table z WHERE z.name = p_name
$$;

-- A column of whatever type as what it was when its table was adopted; nothing, if it can be that no more.
CREATE FUNCTION rowcrew.as_uuid(p_value uuid) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN p_value;
CREATE FUNCTION rowcrew.as_uuid(anyelement) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT NULL::pg_catalog.uuid';
CREATE FUNCTION rowcrew.as_whole(p_value smallint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN p_value;
CREATE FUNCTION rowcrew.as_whole(p_value integer) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN p_value;
CREATE FUNCTION rowcrew.as_whole(p_value bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN p_value;
CREATE FUNCTION rowcrew.as_whole(anyelement) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT NULL::pg_catalog.int8';
CREATE FUNCTION rowcrew.as_instant(p_value timestamptz, p_zone text) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN p_value;
CREATE FUNCTION rowcrew.as_instant(p_value timestamp, p_zone text) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN p_value AT TIME ZONE p_zone;
CREATE FUNCTION rowcrew.as_instant(anyelement, p_zone text) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT NULL::pg_catalog.timestamptz';

-- Rows of a table as the triggers read them: what hints are made of, as q. A column that is called otherwise by
-- now is found in "missing", which is what an unqualified name means when nothing nearer has it; one that is
-- of another type is nothing as well. To catch an error instead would cost every insert a subtransaction.
CREATE FUNCTION rowcrew.adopted_rows(p_rel oid, p_map jsonb, p_from text) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('(SELECT f.* FROM (SELECT %s) missing, LATERAL (SELECT %s FROM %s) f) q',
    string_agg(DISTINCT format('NULL::pg_catalog.%s AS %I', c.as_type, c.name), ', '),
    string_agg(DISTINCT format('%s AS %I', CASE c.as_type
      WHEN 'timestamptz' THEN format('rowcrew.as_instant(%I, %L)', c.name, coalesce(p_map ->> 'zone', 'UTC'))
      WHEN 'text' THEN rowcrew.adopted_said(c.base, quote_ident(c.name))
      WHEN 'uuid' THEN format('rowcrew.as_uuid(%I)', c.name) ELSE format('rowcrew.as_whole(%I)', c.name) END, c.name), ', '), p_from)
  FROM (SELECT x.name, x.base, CASE WHEN x.role = 'scheduled_at' THEN 'timestamptz' WHEN x.role IN ('status', 'queue') THEN 'text'
                               ELSE CASE x.base WHEN 'uuid' THEN 'uuid' WHEN 'text' THEN 'text' WHEN 'character varying' THEN 'text' ELSE 'int8' END END AS as_type
        FROM (SELECT r.role, r.name, (rowcrew.adopted_column(p_rel, r.name)).base
              FROM (SELECT 'key' AS role, p_map ->> 'key' AS name UNION ALL SELECT * FROM jsonb_each_text(p_map -> 'columns')) r) x
        WHERE x.role IN ('key', 'status', 'queue', 'priority', 'scheduled_at')) c
$$;

-- Forgets what was said of jobs that are gone, or begin anew, and who asked for their end: the next job of that key is
-- another one. What a node writes at the moment is not waited for.
CREATE FUNCTION rowcrew.adopted_forget(p_name text, p_jobs uuid[]) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM rowcrew.job_progress WHERE ctid = ANY (ARRAY(
    SELECT p.ctid FROM rowcrew.job_progress p WHERE p.job_table = p_name AND p.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED));
  DELETE FROM rowcrew.cancel_request WHERE ctid = ANY (ARRAY(
    SELECT c.ctid FROM rowcrew.cancel_request c WHERE c.job_table = p_name AND c.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED));
END $$;

UPDATE rowcrew.meta SET schema_version = 15;
