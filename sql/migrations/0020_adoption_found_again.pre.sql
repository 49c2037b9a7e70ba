-- 0020: which table an adopted one is, after a restore or when it was made anew.

-- A table that was restored has another oid, and its own may be another table's. The triggers that came with it tell
-- which it is. Returns how many were found again.
CREATE FUNCTION rowcrew.adopted_refind() RETURNS integer LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
  v_names text[];
  v_rels oid[];
BEGIN
  SELECT array_agg(z.name), array_agg(t.tgrelid) INTO v_names, v_rels
  FROM rowcrew.adopted_table z JOIN pg_trigger t ON t.tgfoid = to_regprocedure(format('rowcrew.%I()', z.name || '_file_new'))
  WHERE NOT EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = z.rel AND o.tgfoid = t.tgfoid);
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
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  IF rowcrew.adopted_refind() > 0 THEN RETURN false; END IF;  -- read anew, it may be as it was
  UPDATE rowcrew.adopted_table SET mode = 'held', hold_reason = p_reason, epoch = epoch + 1
  WHERE name = p_name AND epoch = p_epoch AND mode = 'serve';
  RETURN FOUND;
END $$;

-- Records a table that is about to be adopted: held, until its companions and triggers are there and
-- what waits in it has been filed. Returns the name that it goes by here.
CREATE FUNCTION rowcrew.adopted_record(p_map jsonb) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
  v_rel oid := (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = p_map ->> 'schema' AND c.relname = p_map ->> 'table');
  v_name text;
  v_wanted text := coalesce(p_map ->> 'name', left(lower(regexp_replace((p_map ->> 'schema') || '_' || (p_map ->> 'table'), '[^A-Za-z0-9]+', '_', 'g')), 40));
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
