-- 0020: what the triggers on an adopted table do; and which table it is, after a restore or when it was made anew.

-- The functions behind the triggers, made anew from the template. None of them waits for a row that
-- the engine may hold: no write of the application waits for us longer than we wait for it. And none
-- fails because its table was changed so that ours do not fit it any more: nodes notice, and hold it.
CREATE FUNCTION rowcrew.adopted_create_functions(p_name text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $create$
DECLARE
  z rowcrew.adopted_table := (SELECT x FROM rowcrew.adopted_table x WHERE x.name = p_name);
  v_status text := (rowcrew.adopted_column(z.rel, z.map -> 'columns' ->> 'status')).base;
  v_fresh text := rowcrew.adopted_rows(z.rel, z.map, 'fresh');
  v_due text := 'ours.v_now';  -- of a table without such a column
  t jsonb := rowcrew.adopted_names(p_name) || jsonb_build_object('theirs',
    CASE WHEN coalesce(z.map ->> 'old_worker', 'none') = 'none' THEN 'false' ELSE 'true' END,
    'changed', 'undefined_column OR undefined_table OR undefined_function OR ambiguous_function OR undefined_object OR datatype_mismatch OR'
               ' invalid_text_representation OR insufficient_privilege',
    -- Whatever types they are of by now, see adopted_said().
    'was', rowcrew.adopted_said(v_status, format('OLD.%I', z.map -> 'columns' ->> 'status')),
    'is', rowcrew.adopted_said(v_status, format('NEW.%I', z.map -> 'columns' ->> 'status')),
    'old_key', format('format(''%%s'', OLD.%I)::%s', z.map ->> 'key', z.template ->> 'key_type'),
    'new_key', format('format(''%%s'', NEW.%I)::%s', z.map ->> 'key', z.template ->> 'key_type'),
    'row', rowcrew.adopted_rows(z.rel, z.map, '(SELECT NEW.*) n'), 'row_due', 'x.scheduled_at',
    'old_row', rowcrew.adopted_rows(z.rel, z.map, '(SELECT OLD.*) n'),
    'deleted', rowcrew.adopted_rows(z.rel, z.map || '{"columns": {}}', 'deleted'), 'deleted_rows', rowcrew.adopted_rows(z.rel, z.map, 'deleted'),
    -- Of the table itself that is one comparison.
    'is_copy', format('TG_RELID OPERATOR(pg_catalog.<>) %s::pg_catalog.oid AND rowcrew.adopted_is_copy(%L, TG_RELID)', z.rel, p_name));
  v_function text;
BEGIN
  IF z.map -> 'columns' ? 'queue' THEN
    t := t || jsonb_build_object('queue', format('(coalesce(q.%I, %L::pg_catalog.text) COLLATE pg_catalog."C")', z.map -> 'columns' ->> 'queue', coalesce(z.map ->> 'queue', 'default')));
  END IF;
  IF z.map -> 'columns' ? 'scheduled_at' THEN
    v_due := format('coalesce(q.%I, ours.v_now)', z.map -> 'columns' ->> 'scheduled_at');
    t := t || jsonb_build_object('row_due', format('q.%I', z.map -> 'columns' ->> 'scheduled_at'));
  END IF;
  -- On the path of every insert, so it has no SET search_path, which is set and undone by each call. It runs
  -- with our rights and the inserter's path: types, operators and functions are named by their schema.
  EXECUTE rowcrew.adopted_fill(rowcrew.adopted_fill($t$
    CREATE OR REPLACE FUNCTION {file}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $f$
    #variable_conflict use_column
    <<ours>>
    DECLARE
      v_now pg_catalog.timestamptz := rowcrew.clock_now();
      v_plain pg_catalog.bool;  -- all rows wait and are due; null: there is no row
    BEGIN
      IF {is_copy} THEN RETURN NULL; END IF;
      -- Of one row an aggregate costs more to set up than to compute.
      SELECT NOT EXISTS (SELECT FROM {fresh} WHERE NOT ({waits} AND {is_due})) INTO v_plain FROM (SELECT FROM fresh LIMIT 1) one;
      IF v_plain THEN
        -- Each row its own time: a claim under an old snapshot walks all dead hints of the time at which the last one ended.
        INSERT INTO {ready} (run_at, id, priority, queue) SELECT rowcrew.clock_now(), q.{key}, {priority}, {queue} FROM {fresh};
      ELSIF v_plain IS NOT NULL THEN
        IF EXISTS (SELECT FROM {fresh} WHERE {waits} AND {is_due}) THEN  -- an insert of no row would wake the fleet as well
          INSERT INTO {ready} (run_at, id, priority, queue)
            SELECT rowcrew.clock_now(), q.{key}, {priority}, {queue} FROM {fresh} WHERE {waits} AND {is_due};
        END IF;
        INSERT INTO {parked} (run_at, id, priority, queue, reason)
          SELECT {run_at}, q.{key}, {priority}, {queue}, 'scheduled' FROM {fresh} WHERE {waits} AND NOT {is_due};
      END IF;
      RETURN NULL;
    END $f$ $t$, jsonb_build_object('fresh', v_fresh, 'run_at', v_due, 'is_due', format('%s OPERATOR(pg_catalog.<=) ours.v_now', v_due),
      'waits', 'coalesce(q.{key} IS NOT NULL AND q.{status} OPERATOR(pg_catalog.=) ANY (ARRAY[{waiting_text}]::pg_catalog.text[]), false)')), t);

  -- A write that would make a job run again, or seem to run: allowed by the map or its writer, the engine's, an old
  -- worker's, or else a conflict. What no claim of ours runs, its writer may free: whoever ran it may be gone.
  EXECUTE rowcrew.adopted_fill($t$
    CREATE OR REPLACE FUNCTION {hold}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    DECLARE
      v_was text;
      v_is text;
      v_status text;
      v_moved xid8;
    BEGIN
      IF {is_copy} THEN RETURN NEW; END IF;
      v_was := {was};
      v_is := {is};
      IF v_is IN ({waiting_text}) AND (v_was IN ({requeue_text})
         OR (v_was IN ({ended_text}) AND current_setting('rowcrew.requeue', true) = 'on')) THEN RETURN NEW; END IF;
      SELECT x.status, x.moved INTO v_status, v_moved FROM {job} x WHERE x.id = {old_key};
      IF v_status IN ('pending', 'retrying') AND v_moved = pg_current_xact_id() THEN RETURN NEW; END IF;
      IF ({theirs} OR current_setting('rowcrew.requeue', true) = 'on')
         AND v_was = {processing_text} AND v_status IS DISTINCT FROM 'processing' THEN RETURN NEW; END IF;
      INSERT INTO rowcrew.adopted_conflict (job_table, job_key, was, wanted)
      VALUES ({table_name}, {old_key}, v_was, v_is);
      {keep}
      RETURN NEW;
    EXCEPTION WHEN {changed} THEN RETURN NEW;
    END $f$ $t$, t);

  -- A job that waits otherwise than before, has another key, or was ended by the application before it ran.
  EXECUTE rowcrew.adopted_fill($t$
    CREATE OR REPLACE FUNCTION {refile}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    #variable_conflict use_column
    <<ours>>
    DECLARE
      v_now timestamptz := rowcrew.clock_now();
      v_until timestamptz;
      v_was text;
      v_is text;
      v_old {key_type};
      v_new {key_type};
      v_status text;
      v_moved xid8;
    BEGIN
      IF {is_copy} THEN RETURN NULL; END IF;
      v_was := {was};
      v_is := {is};
      v_old := {old_key};
      v_new := {new_key};
      IF v_was IN ({processing_text}, {ended_text}) OR v_old <> v_new THEN
        SELECT x.status, x.moved INTO v_status, v_moved FROM {job} x WHERE x.id = ours.v_old;
        IF v_status IN ('pending', 'retrying') AND v_moved = pg_current_xact_id() THEN RETURN NULL; END IF;
      END IF;
      -- Nothing would meet a hint of a time that is far until then, and a job that is put off all the time would add one each time.
      IF v_was IN ({waiting_text}) THEN
        SELECT {row_due} INTO v_until FROM {old_row} LEFT JOIN {job} x ON x.id = ours.v_old;
        IF v_until > v_now THEN
          DELETE FROM {parked} WHERE ctid = ANY (ARRAY(
            SELECT p.ctid FROM {parked} p WHERE p.run_at = ours.v_until AND p.id = ours.v_old AND p.reason NOT IN ('rescued', 'suspect')
            FOR UPDATE SKIP LOCKED));
        END IF;
      END IF;
      IF v_old <> v_new THEN
        IF v_was = {processing_text} AND v_status = 'processing' THEN  -- its node knows it by the old one
          RAISE EXCEPTION '%: the key of job % cannot change while it runs', TG_TABLE_NAME, v_old USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        PERFORM rowcrew.adopted_forget({table_name}, ARRAY[rowcrew.job_uuid({table_name}, v_new)]);
        DELETE FROM {job} x WHERE x.id = ours.v_new;
        UPDATE {job} x SET id = ours.v_new WHERE x.id = ours.v_old;
        UPDATE rowcrew.job_progress p SET job_id = rowcrew.job_uuid({table_name}, ours.v_new) WHERE p.job_table = {table_name} AND p.job_id = rowcrew.job_uuid({table_name}, ours.v_old);
        UPDATE rowcrew.cancel_request c SET job_id = rowcrew.job_uuid({table_name}, ours.v_new), job_key = ours.v_new
        WHERE c.job_table = {table_name} AND c.job_id = rowcrew.job_uuid({table_name}, ours.v_old);
      END IF;
      IF (v_was IN ({ended_text})) <> (v_is IN ({ended_text})) AND v_was <> {processing_text} THEN  -- run again by whoever may, it starts anew; or over
        DELETE FROM {job} x WHERE x.ctid = ANY (ARRAY(SELECT y.ctid FROM {job} y WHERE y.id = ours.v_new FOR UPDATE SKIP LOCKED));
        PERFORM rowcrew.adopted_forget({table_name}, ARRAY[rowcrew.job_uuid({table_name}, v_new)]);
      END IF;
      IF v_is NOT IN ({waiting_text}) THEN RETURN NULL; END IF;
      INSERT INTO {parked} (run_at, id, priority, queue, reason)
        SELECT greatest({row_due}, ours.v_now), ours.v_new, {priority}, {queue},
               rowcrew.parked_reason(coalesce(x.status, 'pending'), coalesce(x.crashes, 0))
        FROM {row} LEFT JOIN {job} x ON x.id = ours.v_new
        WHERE {row_due} > ours.v_now OR x.crashes > 0;
      IF NOT FOUND THEN
        INSERT INTO {ready} (run_at, id, priority, queue) SELECT ours.v_now, ours.v_new, {priority}, {queue} FROM {row};
      END IF;
      RETURN NULL;
    EXCEPTION WHEN {changed} THEN RETURN NULL;
    END $f$ $t$, t);

  -- Of all rows that one statement deleted, as a row trigger would cost each of them.
  EXECUTE rowcrew.adopted_fill($t$
    CREATE OR REPLACE FUNCTION {gone}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    #variable_conflict use_column
    BEGIN
      IF {is_copy} THEN RETURN NULL; END IF;
      IF EXISTS (SELECT FROM {parked} p WHERE p.run_at > rowcrew.clock_now() AND p.reason NOT IN ('rescued', 'suspect')) THEN
        DELETE FROM {parked} WHERE ctid = ANY (ARRAY(
          SELECT y.hint FROM {deleted_rows} LEFT JOIN {job} x ON x.id = q.{key}, LATERAL (
            SELECT p.ctid AS hint FROM {parked} p WHERE p.run_at = {row_due} AND p.id = q.{key} AND p.reason NOT IN ('rescued', 'suspect') FOR UPDATE SKIP LOCKED) y
          WHERE q.{status} IN ({waiting_text}) AND {row_due} > rowcrew.clock_now()));
      END IF;
      DELETE FROM {job} WHERE ctid = ANY (ARRAY(
        SELECT y.hint FROM {deleted}, LATERAL (SELECT x.ctid AS hint FROM {job} x WHERE x.id = q.{key} FOR UPDATE SKIP LOCKED) y));
      IF EXISTS (SELECT FROM rowcrew.job_progress p WHERE p.job_table = {table_name})
         OR EXISTS (SELECT FROM rowcrew.cancel_request c WHERE c.job_table = {table_name}) THEN
        PERFORM rowcrew.adopted_forget({table_name}, ARRAY(SELECT rowcrew.job_uuid({table_name}, q.{key}) FROM {deleted}));
      END IF;
      RETURN NULL;
    END $f$ $t$, t);

  EXECUTE rowcrew.adopted_fill($t$
    CREATE OR REPLACE FUNCTION {empty}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    BEGIN
      IF {is_copy} THEN RETURN NULL; END IF;
      DELETE FROM {claim} WHERE keys IS NOT NULL;  -- gives the permits back
      TRUNCATE {ready}, {parked}, {limited}, {claim}, {job};
      DELETE FROM rowcrew.job_progress WHERE job_table = {table_name};
      DELETE FROM rowcrew.cancel_request WHERE job_table = {table_name};
      RETURN NULL;
    END $f$ $t$, t);

  FOREACH v_function IN ARRAY ARRAY['file', 'hold', 'refile', 'gone', 'empty'] LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s() FROM PUBLIC', t ->> v_function);
    IF rowcrew.may_become_owner() THEN
      EXECUTE format('ALTER FUNCTION %s() OWNER TO rowcrew_owner', t ->> v_function);
    END IF;
  END LOOP;
END $create$;

-- Which table is meant by the triggers of an adopted one. Others may have them as well: a tenant's schema that was made from
-- a dump. After a restore it has another oid, and its own may be another table's: then its name tells.
CREATE FUNCTION rowcrew.adopted_meant(p_name text) RETURNS oid LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT t.tgrelid
  FROM rowcrew.adopted_table z JOIN pg_trigger t ON t.tgfoid = to_regprocedure(format('rowcrew.%I()', z.name || '_file_new'))
  JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE z.name = p_name
  ORDER BY t.tgrelid <> z.rel, (n.nspname, c.relname) IS DISTINCT FROM (z.schema_name, z.table_name) LIMIT 1
$$;

-- What is written to a copy that got the triggers too is about no job of ours, whose keys it may well have.
CREATE FUNCTION rowcrew.adopted_is_copy(p_name text, p_rel oid) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT z.rel <> p_rel AND coalesce(rowcrew.adopted_meant(p_name) <> p_rel, false) FROM rowcrew.adopted_table z WHERE z.name = p_name
$$;

-- A table that was restored is found again by the triggers that came with it. Returns how many were.
CREATE FUNCTION rowcrew.adopted_refind() RETURNS integer LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_names text[];
  v_rels oid[];
BEGIN
  SELECT array_agg(x.name), array_agg(x.meant) INTO v_names, v_rels
  FROM (SELECT z.name, z.rel, rowcrew.adopted_meant(z.name) AS meant FROM rowcrew.adopted_table z) x WHERE x.meant <> x.rel;
  IF v_names IS NULL THEN RETURN 0; END IF;
  -- One may stand under what is another one's oid now: out of the way first. No table has the last oids there are.
  UPDATE rowcrew.adopted_table z SET rel = (4294967295 - x.n)::oid FROM unnest(v_names) WITH ORDINALITY AS x (name, n) WHERE z.name = x.name;
  UPDATE rowcrew.adopted_table z
  SET rel = x.rel, columns = rowcrew.adopted_columns(x.rel, z.map), template = rowcrew.adopted_template(z.name, x.rel, z.map), epoch = z.epoch + 1
  FROM unnest(v_names, v_rels) AS x (name, rel) WHERE z.name = x.name;
  RETURN cardinality(v_names);
END $$;

-- Nodes stop claiming from this table alone. Of the epoch that they saw: what was mended meanwhile stays.
CREATE FUNCTION rowcrew.hold_adopted(p_name text, p_epoch bigint, p_reason text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF rowcrew.adopted_refind() > 0 THEN RETURN false; END IF;  -- read anew, it may be as it was
  UPDATE rowcrew.adopted_table SET mode = 'held', hold_reason = p_reason, epoch = epoch + 1
  WHERE name = p_name AND epoch = p_epoch AND mode = 'serve';
  RETURN FOUND;
END $$;

-- Records a table that is about to be adopted: held, until its companions and triggers are there and
-- what waits in it has been filed. Returns the name that it goes by here.
CREATE FUNCTION rowcrew.adopted_record(p_map jsonb) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_rel oid := (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = p_map ->> 'schema' AND c.relname = p_map ->> 'table');
  v_name text;
  v_wanted text := coalesce(p_map ->> 'name', left(lower(regexp_replace((p_map ->> 'schema') || '_' || (p_map ->> 'table'), '[^A-Za-z0-9]+', '_', 'g') COLLATE "C"), 40));
BEGIN
  PERFORM rowcrew.adopted_refind();
  SELECT z.name INTO v_name FROM rowcrew.adopted_table z WHERE z.rel = v_rel;
  IF v_name IS NULL THEN
    -- Dropped and made anew: what we know of its jobs is of no job any more.
    SELECT z.name INTO v_name FROM rowcrew.adopted_table z
    WHERE z.schema_name = p_map ->> 'schema' AND z.table_name = p_map ->> 'table'
      AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = z.rel AND t.tgfoid = to_regprocedure(format('rowcrew.%I()', z.name || '_file_new')));
    IF FOUND THEN
      PERFORM rowcrew.adopted_drop_companions(v_name);
    END IF;
  END IF;
  IF v_name IS NULL THEN
    IF v_wanted !~ '^[a-z]' THEN v_wanted := 't_' || v_wanted; END IF;
    v_name := v_wanted;
    FOR i IN 2..1000 LOOP
      EXIT WHEN NOT EXISTS (SELECT FROM rowcrew.adopted_table z WHERE z.name = v_name)
        AND NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'rowcrew'::regnamespace
                        AND c.relname IN (v_name, v_name || '_ready', v_name || '_parked', v_name || '_limited', v_name || '_claim', v_name || '_job'));
      v_name := v_wanted || '_' || i;
    END LOOP;
  END IF;
  INSERT INTO rowcrew.adopted_table AS z (name, rel, schema_name, table_name, app, map, columns, template, mode, hold_reason)
  VALUES (v_name, v_rel, p_map ->> 'schema', p_map ->> 'table', p_map ->> 'app', p_map,
          rowcrew.adopted_columns(v_rel, p_map), rowcrew.adopted_template(v_name, v_rel, p_map), 'held', 'being adopted')
  ON CONFLICT (name) DO UPDATE SET rel = excluded.rel, schema_name = excluded.schema_name, table_name = excluded.table_name, app = excluded.app, map = excluded.map,
    columns = excluded.columns, template = excluded.template, mode = 'held', hold_reason = 'being adopted', epoch = z.epoch + 1;
  RETURN v_name;
END $$;

UPDATE rowcrew.meta SET schema_version = 20;
