-- 0019: what adopting a table takes beside its companions: looking first, filing what waits already,
-- noticing later that the table has changed, and taking everything away again.

-- Takes our triggers away, in the caller's transaction. Also from a table that is called otherwise by now.
CREATE FUNCTION rowcrew.adopted_detach(p_name text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v record;
BEGIN
  FOR v IN SELECT g.tgname, g.tgrelid::regclass AS rel FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid
           JOIN rowcrew.adopted_table z ON z.rel = g.tgrelid
           WHERE z.name = p_name AND NOT g.tgisinternal AND f.pronamespace = 'rowcrew'::regnamespace
             AND g.tgname IN ('rowcrew_file_new', 'rowcrew_hold', 'rowcrew_refile', 'rowcrew_gone', 'rowcrew_empty') LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', v.tgname, v.rel);
  END LOOP;
END $$;

-- The triggers, which is all that an adopted table gets. SHARE ROW EXCLUSIVE on it: run it alone in a
-- transaction, under a short lock_timeout, and again when that was too short.
CREATE FUNCTION rowcrew.adopted_attach(p_name text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $attach$
DECLARE
  v_map jsonb := (SELECT z.map FROM rowcrew.adopted_table z WHERE z.name = p_name);
  v_columns jsonb := v_map -> 'columns';
  t jsonb := rowcrew.adopted_names(p_name);
  v_not_ours text := ' AND current_setting(''rowcrew.engine'', true) IS DISTINCT FROM ''on''';  -- as every session of ours says
  v_moves text := '';
  v_of text := '';
  v_refile_of text := '';
  v_role text;
BEGIN
  PERFORM rowcrew.adopted_detach(p_name);
  -- A BEFORE trigger costs every update of a row another lock of it, unless the statement sets none of its
  -- columns. Where triggers of the application may set them behind the statement's back, each update is looked at.
  IF NOT EXISTS (SELECT FROM pg_trigger g JOIN rowcrew.adopted_table z ON z.rel = g.tgrelid
                 WHERE z.name = p_name AND NOT g.tgisinternal AND g.tgtype & 19 = 19 AND g.tgtype & 64 = 0) THEN
    v_of := ' OF {status}';
    SELECT ' OF ' || string_agg(DISTINCT x.column, ', ') INTO v_refile_of FROM (
      SELECT unnest(ARRAY[t ->> 'status', t ->> 'key']) AS column
      UNION ALL SELECT quote_ident(c.value) FROM jsonb_each_text(v_columns) c WHERE c.key IN ('scheduled_at', 'priority', 'queue')) x;
  END IF;
  FOREACH v_role IN ARRAY ARRAY['scheduled_at', 'priority', 'queue'] LOOP
    IF v_columns ? v_role THEN
      v_moves := v_moves || format(' OR OLD.%1$I IS DISTINCT FROM NEW.%1$I', v_columns ->> v_role);
    END IF;
  END LOOP;
  EXECUTE rowcrew.adopted_fill('CREATE TRIGGER rowcrew_file_new AFTER INSERT ON {table} REFERENCING NEW TABLE AS fresh'
    ' FOR EACH STATEMENT EXECUTE FUNCTION {file}()', t);
  EXECUTE rowcrew.adopted_fill('CREATE TRIGGER rowcrew_hold BEFORE UPDATE' || v_of || ' ON {table} FOR EACH ROW'
    ' WHEN (OLD.{status} <> NEW.{status} AND NEW.{status} IN ({waiting}, {processing}) AND (OLD.{status} IN ({processing}, {ended})'
    -- Only claims make a waiting job run, unless there is an old worker.
    || CASE WHEN coalesce(v_map ->> 'old_worker', 'none') = 'none' THEN ' OR (NEW.{status} = {processing} AND OLD.{status} IN ({waiting})' || v_not_ours || ')' ELSE '' END
    || ')) EXECUTE FUNCTION {hold}()', t);
  EXECUTE rowcrew.adopted_fill('CREATE TRIGGER rowcrew_refile AFTER UPDATE' || v_refile_of || ' ON {table} FOR EACH ROW'
    ' WHEN ((NEW.{status} IN ({waiting}) AND (OLD.{status} IS DISTINCT FROM NEW.{status}' || v_moves || ')) OR OLD.{key} IS DISTINCT FROM NEW.{key}'
    ' OR (OLD.{status} IN ({waiting}) AND NEW.{status} IN ({ended})' || v_not_ours || ')) EXECUTE FUNCTION {refile}()', t);
  EXECUTE rowcrew.adopted_fill('CREATE TRIGGER rowcrew_gone AFTER DELETE ON {table} REFERENCING OLD TABLE AS deleted'
    ' FOR EACH STATEMENT EXECUTE FUNCTION {gone}()', t);
  EXECUTE rowcrew.adopted_fill('CREATE TRIGGER rowcrew_empty AFTER TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {empty}()', t);
END $attach$;

-- Files hints for jobs that wait already; returns how many. Repeatable. All in one statement: a row that is updated while
-- a table is walked page by page may move from where the walk has yet to come to where it has been.
-- Hints from before a repair whose map names another queue or priority go first: nobody may be left who looks where they lie.
CREATE FUNCTION rowcrew.adopted_file_waiting(p_name text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = on SET enable_hashjoin = on SET plan_cache_mode = force_custom_plan AS $$
DECLARE
  v_filed bigint;
  v_hints text;
BEGIN
  FOREACH v_hints IN ARRAY ARRAY['ready', 'parked', 'limited'] LOOP
    EXECUTE rowcrew.adopted_fill(replace('DELETE FROM {hints} h USING {table} q WHERE q.{key} = h.id AND {is_waiting} AND (h.queue <> {queue} OR h.priority <> {priority})',
                                         '{hints}', '{' || v_hints || '}'), rowcrew.adopted_names(p_name));
  END LOOP;
  EXECUTE rowcrew.adopted_fill($t$
    WITH j AS MATERIALIZED (
      SELECT q.{key} AS id, {priority} AS priority, {queue} AS queue, coalesce(x.crashes, 0) AS crashes, coalesce(x.status, 'pending') AS status,
             greatest({due}, rowcrew.clock_now()) AS run_at, coalesce({due} > rowcrew.clock_now(), false) AS later
      FROM {table} q LEFT JOIN {job} x ON x.id = q.{key}
      WHERE {is_waiting}
        AND NOT EXISTS (SELECT FROM {ready} r WHERE r.id = q.{key}) AND NOT EXISTS (SELECT FROM {parked} p WHERE p.id = q.{key})
        AND NOT EXISTS (SELECT FROM {limited} l WHERE l.id = q.{key})
    ), r AS (
      INSERT INTO {ready} (run_at, id, priority, queue) SELECT run_at, id, priority, queue FROM j WHERE NOT later AND crashes = 0
    ), p AS (
      INSERT INTO {parked} (run_at, id, priority, queue, reason)
      SELECT run_at, id, priority, queue, rowcrew.parked_reason(status, crashes) FROM j WHERE later OR crashes > 0
    )
    SELECT count(*) FROM j$t$, rowcrew.adopted_names(p_name)) INTO v_filed;
  RETURN v_filed;
END $$;

-- Jobs in the word for running that no claim of ours holds wait again, within a range of heap pages.
CREATE FUNCTION rowcrew.adopted_requeue_pages(p_name text, p_first bigint, p_pages bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = on SET enable_hashjoin = on SET plan_cache_mode = force_custom_plan AS $$
DECLARE
  v_count bigint;
BEGIN
  EXECUTE rowcrew.adopted_fill($t$
    WITH j AS MATERIALIZED (
      SELECT q.{key} AS id FROM {table} q
      WHERE q.ctid >= format('(%s,0)', $1)::tid AND q.ctid < format('(%s,0)', $1 + $2)::tid AND {is_processing}
        AND NOT EXISTS (SELECT FROM {job} x WHERE x.id = q.{key} AND x.status = 'processing')
      FOR NO KEY UPDATE OF q SKIP LOCKED
    ), f AS (
      INSERT INTO {job} AS x (id, token, status, moved)
      SELECT j.id, 0, 'pending', pg_current_xact_id() FROM j
      ON CONFLICT (id) DO UPDATE SET status = 'pending', moved = excluded.moved WHERE x.status <> 'processing'
      RETURNING x.id, x.status, 'released' AS outcome, NULL::text AS code, NULL::text AS message, 0 AS counts,
                NULL::int AS duration_ms, rowcrew.clock_now() AS due
    ), g AS (
      UPDATE {table} q SET {status} = {word}{set_ended} FROM f
      WHERE q.{key} = f.id AND {is_processing} RETURNING q.{key} AS id, {priority} AS priority, {queue} AS queue
    ), r AS (
      INSERT INTO {ready} (run_at, id, priority, queue) SELECT rowcrew.clock_now(), id, priority, queue FROM g
    )
    SELECT count(*) FROM g$t$, rowcrew.adopted_names(p_name)) INTO v_count USING p_first, p_pages;
  RETURN v_count;
END $$;

CREATE FUNCTION rowcrew.adopted_drop_companions(p_name text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v text;
BEGIN
  IF to_regclass(format('rowcrew.%I', p_name || '_claim')) IS NOT NULL THEN
    EXECUTE format('DELETE FROM rowcrew.%I WHERE keys IS NOT NULL', p_name || '_claim');  -- gives the permits back
  END IF;
  FOREACH v IN ARRAY ARRAY['ready', 'parked', 'limited', 'claim', 'job'] LOOP
    EXECUTE format('DROP TABLE IF EXISTS rowcrew.%I', p_name || '_' || v);
  END LOOP;
  FOREACH v IN ARRAY ARRAY['file_new', 'refile', 'hold', 'gone', 'empty', 'take'] LOOP
    EXECUTE format('DROP FUNCTION IF EXISTS rowcrew.%I CASCADE', p_name || '_' || v);  -- from a copy of the table, too
  END LOOP;
  DELETE FROM rowcrew.job_progress WHERE job_table = p_name;
  DELETE FROM rowcrew.cancel_request WHERE job_table = p_name;
END $$;

-- What has changed about an adopted table so that it cannot be served, as a sentence; null: nothing.
CREATE FUNCTION rowcrew.adopted_fault(p_name text) RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  t rowcrew.adopted_table;
  v record;
  v_now record;
  v_called text;
  v_type oid;
BEGIN
  SELECT * INTO t FROM rowcrew.adopted_table z WHERE z.name = p_name;
  IF NOT FOUND OR t.mode = 'shadow' THEN RETURN NULL; END IF;
  SELECT n.nspname, c.relname INTO v_now FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = t.rel;
  IF NOT FOUND THEN RETURN format('table %I.%I was dropped', t.schema_name, t.table_name); END IF;
  IF v_now.nspname <> t.schema_name OR v_now.relname <> t.table_name THEN
    RETURN format('table %I.%I is called %I.%I now', t.schema_name, t.table_name, v_now.nspname, v_now.relname);
  END IF;
  FOR v IN SELECT key AS name, (value ->> 'number')::smallint AS number, value ->> 'type' AS type FROM jsonb_each(t.columns) ORDER BY key LOOP
    SELECT * INTO v_now FROM rowcrew.adopted_column(t.rel, v.name);
    IF v_now.number IS NULL THEN
      SELECT attname INTO v_called FROM pg_attribute WHERE attrelid = t.rel AND attnum = v.number AND NOT attisdropped;
      RETURN format('column %I was %s', v.name, coalesce('renamed to ' || quote_ident(v_called), 'dropped'));
    END IF;
    IF v_now.type <> v.type THEN RETURN format('column %I was %s and is %s now', v.name, v.type, v_now.type); END IF;
  END LOOP;
  SELECT atttypid INTO v_type FROM pg_attribute WHERE attrelid = t.rel AND attname = t.map -> 'columns' ->> 'status';
  IF EXISTS (SELECT FROM pg_enum WHERE enumtypid = v_type) THEN
    SELECT s.value INTO v_called FROM jsonb_each_text(t.map -> 'states') s
    WHERE NOT EXISTS (SELECT FROM pg_enum WHERE enumtypid = v_type AND enumlabel = s.value) LIMIT 1;
    IF FOUND THEN
      RETURN format('column %I: its type %s has no word %L any more', t.map -> 'columns' ->> 'status', v_type::regtype, v_called);
    END IF;
  END IF;
  SELECT w INTO v_called FROM unnest(ARRAY['rowcrew_file_new', 'rowcrew_hold', 'rowcrew_refile', 'rowcrew_gone', 'rowcrew_empty']) w
  WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = t.rel AND tgname = w AND tgenabled IN ('O', 'A')) LIMIT 1;
  IF FOUND THEN RETURN format('trigger %s is missing or disabled', v_called); END IF;
  SELECT inhrelid::regclass::text INTO v_called FROM pg_inherits WHERE inhparent = t.rel LIMIT 1;
  IF FOUND THEN RETURN format('table %s inherits from it, whose rows would be no jobs of ours', v_called); END IF;
  -- A statement on the parent fires the parent's statement triggers alone.
  SELECT i.inhparent::regclass::text INTO v_called FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.oid = t.rel AND c.relispartition;
  IF FOUND THEN RETURN format('it is a partition of %s now, and what is written to that passes our triggers by', v_called); END IF;
  RETURN NULL;
END $$;

-- Gives a table back: triggers, companions and what was recorded go in one transaction, which no claim
-- can come between. While jobs are claimed nothing is done, unless forced. Returns how many are.
CREATE FUNCTION rowcrew.adopted_remove(p_name text, p_force boolean) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_claim text := format('rowcrew.%I', p_name || '_claim');
  v_count bigint := 0;
BEGIN
  PERFORM rowcrew.adopted_refind();  -- in a copy that nobody took over its triggers are on a table of another oid
  IF to_regclass(v_claim) IS NOT NULL THEN
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', v_claim);
    EXECUTE format('SELECT coalesce(sum(cardinality(ids)), 0) FROM %s', v_claim) INTO v_count;
  END IF;
  IF NOT EXISTS (SELECT FROM rowcrew.adopted_table z JOIN pg_class c ON c.oid = z.rel WHERE z.name = p_name) THEN
    v_count := 0;  -- dropped while they ran: their ends have no row to be written to, and no node could rescue them
  END IF;
  IF v_count > 0 AND NOT p_force THEN RETURN v_count; END IF;
  PERFORM rowcrew.adopted_detach(p_name);
  PERFORM rowcrew.adopted_drop_companions(p_name);
  DELETE FROM rowcrew.adopted_table WHERE name = p_name;
  RETURN v_count;
END $$;

-- What speaks for and against adopting a table by this map: refuse (cannot be done), warn, grant (for
-- its owner to decide), create (what would be). `remedy` is SQL that would help.
CREATE FUNCTION rowcrew.adopted_inspect(p_map jsonb) RETURNS TABLE (kind text, message text, remedy text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $inspect$
DECLARE
  v_name text := format('%I.%I', p_map ->> 'schema', p_map ->> 'table');
  v_key_name text := p_map ->> 'key';
  v_rel record;
  v_key record;
  v_col record;
  v record;
  v_worker oid := to_regrole('rowcrew_worker');
  v_type oid;
  v_category text;
BEGIN
  SELECT c.oid, c.relkind, c.relispartition, c.relrowsecurity, c.relowner, c.relpersistence, n.oid AS schema_oid, n.nspname INTO v_rel
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = p_map ->> 'schema' AND c.relname = p_map ->> 'table';
  IF NOT FOUND THEN
    RETURN QUERY SELECT 'refuse', format('%s: there is no such table (names are case-sensitive)', v_name), NULL;
    RETURN;
  END IF;
  IF v_rel.relkind <> 'r' OR v_rel.relispartition OR v_rel.relpersistence <> 'p' OR v_rel.nspname IN ('rowcrew', 'pg_catalog') THEN
    RETURN QUERY SELECT 'refuse', format('%s is %s, expected an ordinary table of an application', v_name, CASE
      WHEN v_rel.nspname IN ('rowcrew', 'pg_catalog') THEN 'not an application''s' WHEN v_rel.relispartition THEN 'a partition'
      WHEN v_rel.relkind = 'v' THEN 'a view' WHEN v_rel.relkind = 'm' THEN 'a materialized view' WHEN v_rel.relkind = 'p' THEN 'a partitioned table'
      WHEN v_rel.relkind = 'f' THEN 'a foreign table' WHEN v_rel.relpersistence = 't' THEN 'a temporary table'
      WHEN v_rel.relpersistence = 'u' THEN 'an unlogged table' ELSE 'no table' END),
      CASE WHEN v_rel.relpersistence = 'u' THEN format('ALTER TABLE %s SET LOGGED', v_name) END;
    RETURN;
  END IF;

  -- The key: one column, unique, not null, of a type that hints can carry.
  SELECT * INTO v_key FROM rowcrew.adopted_column(v_rel.oid, v_key_name);
  IF v_key.number IS NULL THEN
    RETURN QUERY SELECT 'refuse', format('key: %s has no column %I', v_name, v_key_name), NULL;
  ELSE
    IF NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = v_rel.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                   AND i.indimmediate AND i.indnkeyatts = 1 AND i.indkey[0] = v_key.number) THEN
      RETURN QUERY SELECT 'refuse', CASE
        WHEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = v_rel.oid AND i.indisprimary AND i.indnkeyatts > 1)
        THEN format('%s has a key of several columns, expected one column that is unique by itself', v_name)
        ELSE format('%s has no unique index on %I alone: two rows could be the same job', v_name, v_key_name) END,
        CASE WHEN NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = v_rel.oid AND i.indisprimary)
        THEN format('CREATE UNIQUE INDEX CONCURRENTLY ON %s (%I)', v_name, v_key_name) END;
    END IF;
    IF NOT v_key.needed THEN
      RETURN QUERY SELECT 'refuse', format('key: column %I may be null', v_key_name), format('ALTER TABLE %s ALTER %I SET NOT NULL', v_name, v_key_name);
    END IF;
    IF v_key.base NOT IN ('uuid', 'smallint', 'integer', 'bigint', 'text', 'character varying') THEN
      RETURN QUERY SELECT 'refuse', format('key: column %I is of type %s, expected uuid, smallint, integer, bigint, text or varchar', v_key_name, v_key.type), NULL;
    END IF;
  END IF;

  -- Columns, each with the types that it can have.
  RETURN QUERY SELECT 'refuse', format('%s: column %I is written twice, expected one of its own', string_agg(c.role, ', ' ORDER BY c.role), c.col), NULL
  FROM (SELECT key AS role, value AS col FROM jsonb_each_text(p_map -> 'columns')
        UNION ALL SELECT 'touch', value FROM jsonb_array_elements_text(coalesce(p_map -> 'touch', '[]'))) c GROUP BY c.col HAVING count(*) > 1;
  FOR v IN SELECT key AS role, value AS col FROM jsonb_each_text(p_map -> 'columns')
           UNION ALL SELECT 'touch', value FROM jsonb_array_elements_text(coalesce(p_map -> 'touch', '[]')) LOOP
    SELECT * INTO v_col FROM rowcrew.adopted_column(v_rel.oid, v.col);
    IF v_col.number IS NULL THEN
      RETURN QUERY SELECT 'refuse', format('%s: %s has no column %I', v.role, v_name, v.col) || coalesce(
        (SELECT format(', is %I meant?', a.attname) FROM pg_attribute a WHERE a.attrelid = v_rel.oid AND a.attnum > 0 AND NOT a.attisdropped
         AND lower(replace(a.attname, '_', '')) = lower(replace(v.col, '_', '')) LIMIT 1), ''), NULL;
      CONTINUE;
    END IF;
    v_category := (SELECT t.typcategory FROM pg_type t JOIN pg_attribute a ON a.atttypid = t.oid
                   WHERE a.attrelid = v_rel.oid AND a.attnum = v_col.number);
    IF NOT (CASE
      WHEN v.role = 'status' THEN v_category IN ('S', 'E') OR v_col.base IN ('smallint', 'integer', 'bigint')
      WHEN v.role IN ('job_type', 'queue') THEN v_category IN ('S', 'E')
      WHEN v.role IN ('tenant', 'provider') THEN v_category IN ('S', 'E') OR v_col.base IN ('uuid', 'smallint', 'integer', 'bigint')
      WHEN v.role IN ('error_code', 'error_message') THEN v_category = 'S' OR v_col.base IN ('json', 'jsonb')
      WHEN v.role IN ('worker', 'locked_by') THEN v_category = 'S'
      WHEN v.role = 'result' THEN v_category = 'S' OR v_col.base IN ('json', 'jsonb')
      WHEN v.role IN ('touch', 'scheduled_at', 'started_at', 'completed_at', 'locked_at', 'created_at') THEN v_col.base LIKE 'timestamp%'
      ELSE v_col.base IN ('smallint', 'integer', 'bigint') END) THEN
      RETURN QUERY SELECT 'refuse', format('%s: column %I is of type %s, expected %s', v.role, v.col, v_col.type, CASE
        WHEN v.role = 'status' THEN 'text, an enum or a whole number'
        WHEN v.role IN ('job_type', 'queue', 'worker', 'locked_by', 'error_code', 'error_message') THEN 'text'
        WHEN v.role IN ('tenant', 'provider') THEN 'text, a uuid or a whole number' WHEN v.role = 'result' THEN 'jsonb or text'
        WHEN v.role IN ('touch', 'scheduled_at', 'started_at', 'completed_at', 'locked_at', 'created_at') THEN 'a timestamp' ELSE 'a whole number' END), NULL;
    END IF;
    -- Texts are emptied instead.
    IF v_col.needed AND (v.role = 'locked_at' OR (v.role IN ('locked_by', 'error_code', 'error_message') AND v_col.base NOT IN ('text', 'character varying', 'bpchar'))) THEN
      RETURN QUERY SELECT 'refuse', format('%s: column %I may not be null, and has to be %s', v.role, v.col,
        CASE WHEN v.role LIKE 'error%' THEN 'when a job has met no error' ELSE 'when nobody runs the job' END),
        format('ALTER TABLE %s ALTER %I DROP NOT NULL', v_name, v.col);
    END IF;
    IF v.role NOT IN ('job_type', 'queue', 'priority', 'max_attempts', 'created_at', 'tenant', 'provider') AND EXISTS (
      SELECT FROM pg_attribute a WHERE a.attrelid = v_rel.oid AND a.attnum = v_col.number AND (a.attgenerated <> '' OR a.attidentity = 'a')) THEN
      RETURN QUERY SELECT 'refuse', format('%s: column %I is generated, and has to be written', v.role, v.col), NULL;
    END IF;
    -- PostgreSQL 18: the rows that a trigger is handed do not have it, and each INSERT of the application would fail.
    IF v.role IN ('queue', 'priority') AND EXISTS (
      SELECT FROM pg_attribute a WHERE a.attrelid = v_rel.oid AND a.attnum = v_col.number AND a.attgenerated = 'v') THEN
      RETURN QUERY SELECT 'refuse', format('%s: column %I is a virtual generated one, which triggers cannot read, expected STORED', v.role, v.col), NULL;
    END IF;
    IF v.col = v_key_name THEN RETURN QUERY SELECT 'refuse', format('%s: column %I is the key', v.role, v.col), NULL; END IF;
    IF v_col.base = 'timestamp without time zone' AND p_map ->> 'zone' IS NULL THEN
      RETURN QUERY SELECT 'refuse', format('%s: column %I has no time zone, and the map none either: say "zone: UTC", or what the application means', v.role, v.col), NULL;
    END IF;
  END LOOP;
  IF p_map ->> 'zone' IS NOT NULL AND NOT EXISTS (SELECT FROM pg_timezone_names WHERE name = p_map ->> 'zone') THEN
    RETURN QUERY SELECT 'refuse', format('zone: %L is no time zone', p_map ->> 'zone'), NULL;
  END IF;
  IF p_map ->> 'app' IS NOT NULL AND NOT EXISTS (SELECT FROM rowcrew.app a WHERE a.name = p_map ->> 'app') THEN
    RETURN QUERY SELECT 'refuse', format('app: there is no app %L', p_map ->> 'app'),
      format('INSERT INTO rowcrew.app VALUES (%L, %L)', p_map ->> 'app', p_map ->> 'schema');
  END IF;

  -- The words.
  SELECT a.atttypid INTO v_type FROM pg_attribute a WHERE a.attrelid = v_rel.oid AND a.attname = p_map -> 'columns' ->> 'status' AND NOT a.attisdropped;
  IF EXISTS (SELECT FROM pg_enum WHERE enumtypid = v_type) THEN
    RETURN QUERY SELECT 'refuse', format('states.%s: type %s of column %I has no word %L, only %s', s.key, v_type::regtype, p_map -> 'columns' ->> 'status', s.value,
      (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = v_type)), NULL
    FROM jsonb_each_text(p_map -> 'states') s WHERE NOT EXISTS (SELECT FROM pg_enum WHERE enumtypid = v_type AND enumlabel = s.value);
  END IF;

  IF (rowcrew.adopted_column(v_rel.oid, p_map -> 'columns' ->> 'status')).base IN ('smallint', 'integer', 'bigint') THEN
    RETURN QUERY SELECT 'refuse', format('states.%s: %L is no whole number, as column %I holds them', s.key, s.value, p_map -> 'columns' ->> 'status'), NULL
    FROM jsonb_each_text(p_map -> 'states') s WHERE s.value !~ '^(0|-?[1-9][0-9]{0,8})$';
  END IF;

  -- A word that a row cannot hold would be told by the first claim or, after all the work, by the first end. A constraint
  -- that calls functions is not asked: it would run with the rights of whoever adopts.
  SELECT * INTO v_col FROM rowcrew.adopted_column(v_rel.oid, p_map -> 'columns' ->> 'status');
  RETURN QUERY SELECT 'refuse', format('states.%s: %L is too long for column %I, which is of type %s', s.key, s.value, p_map -> 'columns' ->> 'status', v_col.type), NULL
  FROM jsonb_each_text(p_map -> 'states') s WHERE length(s.value) > v_col.length;
  FOR v IN SELECT c.conname, pg_get_expr(c.conbin, c.conrelid) AS test FROM pg_constraint c
           WHERE c.conrelid = v_rel.oid AND c.contype = 'c' AND c.conkey = ARRAY[v_col.number] AND v_col.base IN ('text', 'character varying', 'bpchar')
             AND pg_get_expr(c.conbin, c.conrelid) !~ '\w"?\('
             AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_constraint'::regclass AND d.objid = c.oid AND d.refclassid <> 'pg_class'::regclass) LOOP
    RETURN QUERY EXECUTE format('SELECT ''refuse'', format(''states.%%s: constraint %%I of %%s does not allow %%L'', s.key, %L, $2, s.value), NULL'
      ' FROM jsonb_each_text($1) s WHERE NOT (SELECT coalesce(%s, true) FROM (SELECT s.value::%s AS %I) q)', v.conname, v.test, v_col.base, p_map -> 'columns' ->> 'status')
      USING p_map -> 'states', v_name;
  END LOOP;

  -- What the one who adopts may do, and what nodes have to.
  IF NOT has_schema_privilege(v_rel.schema_oid, 'USAGE') THEN
    RETURN QUERY SELECT 'refuse', format('role %I may not use schema %I', current_user, p_map ->> 'schema'), format('GRANT USAGE ON SCHEMA %I TO %I', p_map ->> 'schema', current_user);
  END IF;
  FOR v IN SELECT p FROM unnest(ARRAY['SELECT', 'TRIGGER']) p WHERE NOT has_table_privilege(v_rel.oid, p) LOOP
    RETURN QUERY SELECT 'refuse', format('role %I lacks %s on %s', current_user, v.p, v_name), format('GRANT %s ON %s TO %I', v.p, v_name, current_user);
  END LOOP;
  IF NOT has_schema_privilege('rowcrew', 'CREATE') THEN
    RETURN QUERY SELECT 'refuse', format('role %I may not create companions in schema rowcrew', current_user), format('GRANT rowcrew_owner TO %I', current_user);
  END IF;
  IF v_worker IS NOT NULL THEN
    IF NOT has_schema_privilege(v_worker, v_rel.schema_oid, 'USAGE') THEN
      RETURN QUERY SELECT 'grant', 'nodes that run as rowcrew_worker need it', format('GRANT USAGE ON SCHEMA %I TO rowcrew_worker', p_map ->> 'schema');
    END IF;
    IF NOT (has_table_privilege(v_worker, v_rel.oid, 'SELECT') AND has_table_privilege(v_worker, v_rel.oid, 'UPDATE')) THEN
      RETURN QUERY SELECT 'grant', 'nodes that run as rowcrew_worker need it', format('GRANT SELECT, UPDATE ON %s TO rowcrew_worker', v_name);
    END IF;
  END IF;
  IF v_rel.relrowsecurity THEN
    RETURN QUERY SELECT 'warn', format('%s has row security: nodes must own it or bypass row security, or every claim is refused', v_name), NULL;
  END IF;
  RETURN QUERY SELECT 'warn', format('%s has the trigger %I, which fires before ours and may change what a write means', v_name, g.tgname), NULL
  FROM pg_trigger g WHERE g.tgrelid = v_rel.oid AND NOT g.tgisinternal AND (g.tgtype & 2) = 2 AND (g.tgtype & 16) = 16 AND g.tgname NOT LIKE 'rowcrew\_%';
  -- Nodes have no search path: of each claim it would say that a relation does not exist, which is plainly there.
  RETURN QUERY SELECT 'warn', format('%s has the trigger %I: in nodes its function has their rights and no search path, what it names has to be qualified', v_name, g.tgname),
    format('ALTER FUNCTION %s SET search_path = %I, pg_temp', f.oid::regprocedure, p_map ->> 'schema')
  FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid JOIN pg_language l ON l.oid = f.prolang
  WHERE g.tgrelid = v_rel.oid AND NOT g.tgisinternal AND (g.tgtype & 16) = 16 AND g.tgname NOT LIKE 'rowcrew\_%' AND g.tgenabled <> 'D'
    AND l.lanname NOT IN ('internal', 'c') AND NOT EXISTS (SELECT FROM unnest(f.proconfig) c WHERE c LIKE 'search\_path=%');
  IF EXISTS (SELECT FROM pg_inherits WHERE inhparent = v_rel.oid) THEN
    RETURN QUERY SELECT 'refuse', format('%s has children that inherit from it, whose rows would be no jobs of ours', v_name), NULL;
  END IF;
END $inspect$;

-- How often each word occurs: one walk through the table, as any reader.
CREATE FUNCTION rowcrew.adopted_words(p_schema text, p_table text, p_status text) RETURNS TABLE (word text, jobs bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = on SET statement_timeout = '10min' AS $$
BEGIN
  RETURN QUERY EXECUTE format('SELECT %1$I::text, count(*) FROM %2$I.%3$I GROUP BY 1 ORDER BY 2 DESC LIMIT 50', p_status, p_schema, p_table);
END $$;

-- What a claim would take now, first in line first: id, type, queue, payload. Checks the map's expressions as it goes.
CREATE FUNCTION rowcrew.adopted_preview(p_rel oid, p_map jsonb, p_limit integer)
RETURNS TABLE (job_key text, job_type text, queue text, payload jsonb)
LANGUAGE plpgsql STABLE SET search_path = '' SET enable_seqscan = on AS $$
BEGIN
  RETURN QUERY EXECUTE rowcrew.adopted_fill($t$
    SELECT q.{key}::text, {job_type}, {queue}, {payload} FROM {table} q, LATERAL (SELECT NULL::timestamptz AS scheduled_at, 0 AS attempts) x
    WHERE {is_waiting} AND coalesce({due} <= rowcrew.clock(), true) ORDER BY {priority} LIMIT $1$t$,
    rowcrew.adopted_template('preview', p_rel, p_map)) USING p_limit;
END $$;

-- What the statements of nodes do in rare cases only, as the functions of 0010 and 0012 do it for our own
-- tables.

-- One job of an adopted table: 'requested' of the node that runs it (of any, when it waits), 'ended' before, 'foreign'
-- if it runs, but not by a claim of the fleet, or 'unknown'. Reads the table with the rights of whoever asks.
CREATE FUNCTION rowcrew.adopted_cancel(p_name text, p_key text, p_reason text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  t jsonb := (SELECT z.template FROM rowcrew.adopted_table z WHERE z.name = p_name AND z.mode <> 'shadow');
  v_answer text;
BEGIN
  IF t IS NULL THEN RETURN 'unknown'; END IF;
  IF length(p_reason) > 500 THEN PERFORM rowcrew.refuse('reason', left(p_reason, 20) || '...', 'at most 500 characters'); END IF;
  PERFORM rowcrew.adopted_require(p_name, '{SELECT}');
  BEGIN
    EXECUTE rowcrew.adopted_fill($q$SELECT CASE WHEN {is_waiting} OR ({is_processing} AND x.status = 'processing') THEN 'requested' WHEN {is_processing} THEN 'foreign' ELSE 'ended' END
      FROM {table} q LEFT JOIN {job} x ON x.id = ANY (ARRAY[q.{key}]) WHERE q.{key} = $1::{key_type}$q$, t) USING p_key INTO v_answer;
  EXCEPTION WHEN data_exception THEN RETURN 'unknown';  -- no such key can be
  END;
  IF v_answer = 'requested' THEN
    PERFORM rowcrew.adopted_request_cancel(p_name, ARRAY[p_key], p_reason);
    PERFORM rowcrew.write_audit('job.cancel', p_name || ' ' || p_key, jsonb_build_object('after', 'requested', 'reason', p_reason));
  END IF;
  RETURN coalesce(v_answer, 'unknown');
END $$;

-- As rowcrew.overdue, for adopted tables.
CREATE FUNCTION rowcrew.adopted_overdue(p_queues text[]) RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_template jsonb;
  v_found boolean;
BEGIN
  FOR v_template IN SELECT z.template FROM rowcrew.adopted_table z
    WHERE z.mode = 'serve' AND (z.map -> 'columns' ? 'queue' OR coalesce(z.map ->> 'queue', 'default') = ANY (p_queues)) LOOP
    BEGIN
      EXECUTE rowcrew.adopted_fill($t$
        SELECT EXISTS (
          SELECT FROM unnest($1) AS w (queue), generate_series(0, 9) AS g (priority), LATERAL (
            SELECT FROM {ready} r WHERE r.queue = w.queue AND r.priority = g.priority
              AND r.run_at > rowcrew.clock() - interval '30 s' AND r.run_at < rowcrew.clock() - interval '2 s' LIMIT 1) x WHERE {of_queue})
        OR EXISTS (
          SELECT FROM {parked} p WHERE p.reason NOT IN ('rescued', 'suspect')
            AND p.run_at > rowcrew.clock() - interval '30 s' AND p.run_at < rowcrew.clock() - interval '2 s')
        OR EXISTS (
          SELECT FROM unnest($1) AS w (queue), LATERAL (
            SELECT FROM {parked} p WHERE p.reason IN ('rescued', 'suspect') AND p.queue = w.queue
              AND p.run_at > rowcrew.clock() - interval '30 s' AND p.run_at < rowcrew.clock() - interval '2 s' LIMIT 1) x WHERE {of_queue})$t$, v_template)
        INTO v_found USING p_queues;
    EXCEPTION WHEN insufficient_privilege OR undefined_table THEN v_found := false;  -- of that table the claims tell; the heartbeat goes on
    END;
    IF v_found THEN RETURN true; END IF;
  END LOOP;
  RETURN false;
END $$;

UPDATE rowcrew.meta SET schema_version = 19;
