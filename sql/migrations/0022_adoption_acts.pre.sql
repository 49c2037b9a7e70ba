-- 0022: cancel and redrive of many jobs of an adopted table. An act is begun by act_begin() with a filter that
-- names it as "table"; what is read and written of that table is so with the rights of whoever acts.

-- Which jobs an act means, as a condition on q and x, its companion, and of those that there were when it began: as far as
-- the table has a column that tells. Filled in: what an operator wrote is never looked through for names in braces.
CREATE FUNCTION rowcrew.adopted_condition(p_act text, p_filter jsonb, p_began timestamptz DEFAULT NULL) RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  z rowcrew.adopted_table;
  v record;
  v_out text;
  v_what text;
  v_since text;
BEGIN
  SELECT * INTO z FROM rowcrew.adopted_table x WHERE x.name = p_filter ->> 'table' AND x.mode = 'serve';
  IF z.name IS NULL THEN
    PERFORM rowcrew.refuse('filter.table', p_filter ->> 'table', 'an adopted table that is served' || coalesce(': ' || (
      SELECT string_agg(x.name, ', ' ORDER BY x.name) FROM rowcrew.adopted_table x WHERE x.mode = 'serve'), ', and there is none'));
  END IF;
  PERFORM rowcrew.job_condition('job_queue', p_filter - 'table');  -- refuses what is no filter
  v_out := CASE p_act WHEN 'cancel' THEN '({is_waiting} OR ({is_processing} AND x.status = ''processing''))'  -- what others run nobody here can end
    WHEN 'redrive' THEN 'q.{status} IN ({ended}) AND q.{status} <> {completed} AND NOT ' || rowcrew.adopted_is_cancelled(z.map)
    WHEN 'list' THEN 'true' END;  -- 0024
  IF v_out IS NULL THEN
    PERFORM rowcrew.refuse('act', p_act, 'cancel or redrive');
  END IF;
  v_out := rowcrew.adopted_fill(v_out, z.template);
  v_since := z.map -> 'columns' ->> CASE p_act WHEN 'cancel' THEN 'created_at' ELSE 'completed_at' END;
  IF p_began IS NOT NULL AND v_since IS NOT NULL THEN  -- as precise as the column is, which may have rounded up
    v_out := v_out || format(' AND coalesce(q.%I <= %s::%s, true)', v_since, rowcrew.adopted_time_in((rowcrew.adopted_column(z.rel, v_since)).base,
      coalesce(z.map ->> 'zone', 'UTC'), format('%L::timestamptz', p_began)), z.columns -> v_since ->> 'type');
  END IF;
  FOR v IN SELECT key, value #>> '{}' AS text FROM jsonb_each(p_filter - 'all' - 'table') ORDER BY key LOOP
    v_what := CASE WHEN v.key = 'type' THEN z.template ->> 'job_type' WHEN v.key = 'queue' THEN z.template ->> 'queue' WHEN v.key = 'error_code' THEN 'x.error_code'
                   WHEN v.key LIKE 'created%' THEN nullif(z.template ->> 'created', 'NULL::timestamptz')
                   WHEN v.key LIKE 'ended%' THEN nullif(z.template ->> 'ended_at', 'NULL::timestamptz') END;
    IF v_what IS NULL THEN
      PERFORM rowcrew.refuse('filter.' || v.key, v.text, 'no such condition: the map of ' || z.name || ' names no column for it');
    END IF;
    v_out := v_out || CASE WHEN v.key LIKE '%\_after' THEN format(' AND %s >= %L::timestamptz', v_what, v.text)
                           WHEN v.key LIKE '%\_before' THEN format(' AND %s < %L::timestamptz', v_what, v.text) ELSE format(' AND %s = %L', v_what, v.text) END;
  END LOOP;
  RETURN v_out;
END $$;

-- Refuses who may not do this to the table, and says what would help.
CREATE FUNCTION rowcrew.adopted_require(p_name text, p_rights text[]) RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_rel oid := (SELECT z.rel FROM rowcrew.adopted_table z WHERE z.name = p_name);
  v_table text := v_rel::regclass;
BEGIN
  IF EXISTS (SELECT FROM unnest(p_rights) r WHERE NOT has_table_privilege(v_rel, r)) THEN
    RAISE EXCEPTION 'role % may not do this to %: GRANT % ON % TO %', quote_ident(current_user), v_table, array_to_string(p_rights, ', '), v_table, quote_ident(current_user)
      USING ERRCODE = 'insufficient_privilege';
  END IF;
END $$;

-- How many jobs an act of now would change.
CREATE FUNCTION rowcrew.adopted_act_preview(p_act text, p_filter jsonb) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_means text := rowcrew.adopted_condition(p_act, p_filter);
  v_count bigint;
BEGIN
  PERFORM rowcrew.adopted_require(p_filter ->> 'table', '{SELECT}');
  EXECUTE rowcrew.adopted_fill('SELECT count(*) FROM {table} q LEFT JOIN {job} x ON x.id = q.{key} WHERE ',
    (SELECT z.template FROM rowcrew.adopted_table z WHERE z.name = p_filter ->> 'table')) || v_means INTO v_count;
  RETURN v_count;
END $$;

-- The turn of one page: its act, locked, with what it is.
CREATE FUNCTION rowcrew.act_turn(p_audit bigint) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  m jsonb;
BEGIN
  SELECT a.metadata || jsonb_build_object('act', substr(a.action, 5)) INTO m FROM rowcrew.audit_logs a
  WHERE a.id = p_audit AND a.action IN ('job.cancel', 'job.redrive') AND a.metadata -> 'filter' ? 'table' FOR UPDATE;
  IF m IS NULL THEN
    PERFORM rowcrew.refuse('act', p_audit::text, 'the number of a cancel or redrive of an adopted table');
  END IF;
  RETURN m;
END $$;

-- What a page has done, beside what those before it had.
CREATE FUNCTION rowcrew.act_note(p_audit bigint, p_done boolean, p_after text, p_changed bigint, p_requested bigint, p_skipped bigint, p_first text, p_last text)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE rowcrew.audit_logs a SET metadata = m || jsonb_build_object('done', p_done, 'after', p_after, 'changed', (m ->> 'changed')::bigint + p_changed,
    'requested', (m ->> 'requested')::bigint + p_requested, 'skipped', (m ->> 'skipped')::bigint + p_skipped,
    'first', coalesce(m ->> 'first', p_first), 'last', coalesce(p_last, m ->> 'last'))
  FROM (SELECT x.metadata AS m FROM rowcrew.audit_logs x WHERE x.id = p_audit) x
  WHERE a.id = p_audit AND a.action IN ('job.cancel', 'job.redrive') AND m -> 'filter' ? 'table' AND NOT (m ->> 'done')::boolean
$$;

-- Asks nodes for the end of these jobs; those that wait end by a node as well. A key may be written in several ways (a
-- uuid in capitals): nodes know a job by the one that the table tells.
CREATE FUNCTION rowcrew.adopted_request_cancel(p_name text, p_keys text[], p_reason text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_count bigint;
BEGIN
  EXECUTE rowcrew.adopted_fill('INSERT INTO rowcrew.cancel_request (job_table, job_id, job_key, reason)'
    ' SELECT {table_name}, rowcrew.job_uuid({table_name}, k::{key_type}), (k::{key_type})::text, $2 FROM unnest($1) k ORDER BY 2 ON CONFLICT DO NOTHING',
    (SELECT z.template FROM rowcrew.adopted_table z WHERE z.name = p_name)) USING p_keys, p_reason;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

-- What becomes of the columns of a job that is to run anew.
CREATE FUNCTION rowcrew.adopted_set_anew(z rowcrew.adopted_table) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(format('%I = %s', x.name, CASE x.role
    WHEN 'status' THEN format('%L::%s', z.map -> 'states' ->> 'pending', (c.col).base) WHEN 'attempts' THEN '0' WHEN 'completed_at' THEN 'NULL'
    ELSE rowcrew.adopted_time_in((c.col).base, coalesce(z.map ->> 'zone', 'UTC'), 'rowcrew.clock_now()') END), ', ' ORDER BY x.name)
  FROM (SELECT key AS role, value AS name FROM jsonb_each_text(z.map -> 'columns') UNION
        SELECT 'touch', value FROM jsonb_array_elements_text(coalesce(z.map -> 'touch', '[]'))) x, LATERAL (SELECT rowcrew.adopted_column(z.rel, x.name) AS col) c
  WHERE x.role IN ('status', 'attempts', 'scheduled_at', 'touch') OR (x.role = 'completed_at' AND NOT (c.col).needed)
$$;

-- As act_page, for an act on an adopted table. No search_path of its own: the application's triggers run within.
CREATE FUNCTION rowcrew.adopted_act_page(p_audit bigint, p_limit integer, OUT changed bigint, OUT requested bigint, OUT skipped bigint, OUT done boolean)
LANGUAGE plpgsql AS $$
DECLARE
  m jsonb := rowcrew.act_turn(p_audit);
  z rowcrew.adopted_table;
  v_means text;
  v_ids text[];
  v_taken text[];
  v_last text;
BEGIN
  changed := 0;
  requested := 0;
  skipped := 0;
  done := (m ->> 'done')::boolean;
  IF coalesce(p_limit, 0) NOT BETWEEN 1 AND 5000 THEN
    PERFORM rowcrew.refuse('limit', p_limit::text, '1 to 5000');
  ELSIF done THEN
    RETURN;
  END IF;
  v_means := rowcrew.adopted_condition(m ->> 'act', m -> 'filter', (m ->> 'began')::timestamptz);
  SELECT * INTO z FROM rowcrew.adopted_table x WHERE x.name = m -> 'filter' ->> 'table';
  PERFORM rowcrew.adopted_require(z.name, CASE m ->> 'act' WHEN 'redrive' THEN '{SELECT,UPDATE}'::text[] ELSE '{SELECT}' END);
  -- The page ends at its last match or, where matches are rare, after 5,000 rows.
  EXECUTE rowcrew.adopted_fill('WITH p AS (SELECT q.{key} AS key, row_number() OVER (ORDER BY q.{key}) AS no, ', z.template) || v_means
    || rowcrew.adopted_fill(' AS means FROM (SELECT * FROM {table} q WHERE $1 IS NULL OR q.{key} > $1::{key_type} ORDER BY q.{key} LIMIT 5000) q'
         ' LEFT JOIN {job} x ON x.id = ANY (ARRAY[q.{key}]))'
         ' SELECT (SELECT array_agg(y.key::text ORDER BY y.no) FROM (SELECT p.key, p.no FROM p WHERE p.means ORDER BY p.no LIMIT $2) y),'
         ' (SELECT p.key::text FROM p WHERE p.no = 5000)', z.template) INTO v_ids, v_last USING m ->> 'after', p_limit;
  IF cardinality(v_ids) >= p_limit THEN
    v_last := v_ids[p_limit];
  END IF;
  IF v_ids IS NOT NULL AND m ->> 'act' = 'cancel' THEN
    requested := rowcrew.adopted_request_cancel(z.name, v_ids, m ->> 'reason');
  ELSIF v_ids IS NOT NULL THEN
    EXECUTE rowcrew.adopted_fill('SELECT coalesce(array_agg(l.key), ''{}'') FROM (SELECT q.{key}::text AS key FROM {table} q LEFT JOIN {job} x ON x.id = ANY (ARRAY[q.{key}])'
      ' WHERE q.{key} = ANY ($1::{key_type}[]) AND ', z.template) || v_means || rowcrew.adopted_fill(' ORDER BY q.{key} FOR NO KEY UPDATE OF q SKIP LOCKED) l', z.template)
      INTO v_taken USING v_ids;
    PERFORM set_config('rowcrew.requeue', 'on', true);  -- 0015: such a write is meant
    -- What a trigger of the application kept as it was has not changed.
    EXECUTE rowcrew.adopted_fill('WITH u AS (UPDATE {table} q SET ', z.template) || rowcrew.adopted_set_anew(z)
      || rowcrew.adopted_fill(' WHERE q.{key} = ANY ($1::{key_type}[]) RETURNING {is_waiting} AS waits) SELECT count(*) FILTER (WHERE u.waits) FROM u', z.template)
      INTO changed USING v_taken;
    PERFORM set_config('rowcrew.requeue', '', true);
    skipped := cardinality(v_ids) - changed;
  END IF;
  done := v_last IS NULL;
  PERFORM rowcrew.act_note(p_audit, done, v_last, changed, requested, skipped, v_ids[1], v_ids[cardinality(v_ids)]);
END $$;

-- A page of whatever act it is.
CREATE FUNCTION rowcrew.act_step(p_audit bigint, p_limit integer, OUT changed bigint, OUT requested bigint, OUT skipped bigint, OUT done boolean)
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM rowcrew.audit_logs a WHERE a.id = p_audit AND a.metadata -> 'filter' ? 'table') THEN
    SELECT * INTO changed, requested, skipped, done FROM rowcrew.adopted_act_page(p_audit, p_limit);
  ELSE
    SELECT * INTO changed, requested, skipped, done FROM rowcrew.act_page(p_audit, p_limit);
  END IF;
END $$;

UPDATE rowcrew.meta SET schema_version = 22;
