-- 0026: erasing what is known of a person. What is counted and paid for stays; what tells of the person goes.

-- How rows of somebody are told, as a condition on q (a job table) or, with p_table null, on a.row of the archive: by any of
-- {"tenant", "payload", "address"}. Refuses what it does not know, and what would mean everybody.
CREATE FUNCTION rowcrew.erase_condition(p_table text, p_scope jsonb) RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v record;
  v_any text[] := '{}';
BEGIN
  IF p_scope IS NULL OR jsonb_typeof(p_scope) <> 'object' OR p_scope = '{}' THEN
    PERFORM rowcrew.refuse('scope', p_scope::text, 'whose: a tenant, a part of payloads or an address');
  END IF;
  FOR v IN SELECT key, value, value #>> '{}' AS text, jsonb_typeof(value) AS kind FROM jsonb_each(p_scope) ORDER BY key LOOP
    IF v.key = 'payload' THEN
      IF v.kind <> 'object' OR EXISTS (SELECT FROM jsonb_path_query(v.value, '$.**') x WHERE x IN ('{}', '[]', 'null')) THEN
        PERFORM rowcrew.refuse('scope.payload', left(v.text, 100), 'an object of values that only this person has, such as {"user": 42}');
      END IF;
      v_any := v_any || CASE p_table WHEN 'job_queue' THEN format('q.payload @> %L::jsonb', v.value)
                                     WHEN 'processing_jobs' THEN format('q.inputs @> %L::jsonb', v.value)
                                     ELSE format('a.row -> ''payload'' @> %1$L::jsonb OR a.row -> ''inputs'' @> %1$L::jsonb', v.value) END;
    ELSIF v.key IN ('tenant', 'address') AND (v.kind <> 'string' OR v.text = '') THEN
      PERFORM rowcrew.refuse('scope.' || v.key, left(v.text, 100), 'a text that is not empty');
    ELSIF v.key = 'tenant' THEN
      v_any := v_any || CASE WHEN p_table IS NULL THEN format('a.row ->> ''tenant'' = %1$L OR a.row ->> ''account'' = %1$L', v.text) ELSE format('q.tenant = %L', v.text) END;
    ELSIF v.key = 'address' THEN
      v_any := v_any || CASE p_table WHEN 'job_queue' THEN format('q.payload ->> ''to'' = %L', v.text)
                                     WHEN 'processing_jobs' THEN 'false'
                                     ELSE format('a.row ->> ''recipient'' = %1$L OR a.row #>> ''{payload,to}'' = %1$L', v.text) END;
    ELSE
      PERFORM rowcrew.refuse('scope.' || v.key, left(v.text, 100), 'one of tenant, payload, address');
    END IF;
  END LOOP;
  RETURN '(' || array_to_string(v_any, ' OR ') || ')';
END $$;

-- Empties ended jobs, and what lies beside them under their ids. Their type, times, counts, codes and costs stay.
CREATE FUNCTION rowcrew.erase_jobs(p_table text, p_ids uuid[]) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_table = 'job_queue' THEN
    UPDATE rowcrew.job_queue q SET payload = '{"erased": true}', result = NULL, error_message = NULL, unique_key = NULL, tenant = NULL
    WHERE q.id = ANY (p_ids);
  ELSE
    UPDATE rowcrew.processing_jobs q SET inputs = '{"erased": true}', outputs = NULL, prompt = NULL, error_message = NULL, unique_key = NULL, tenant = NULL
    WHERE q.id = ANY (p_ids);
  END IF;
  UPDATE rowcrew.job_attempt t SET error_message = NULL WHERE t.job_id = ANY (p_ids) AND t.error_message IS NOT NULL;
  DELETE FROM rowcrew.job_progress p WHERE p.job_table = p_table AND p.job_id = ANY (p_ids);
  UPDATE rowcrew.email_notifications e SET account = NULL, recipient = NULL, message_id = NULL, error_message = NULL
  WHERE e.job_id = ANY (p_ids) AND e.status IN ('sent', 'failed', 'cancelled', 'suppressed');
END $$;

-- Begins an erasure: its row of the audit log tells who, why and how many, never whose. erase_page() does the work.
CREATE FUNCTION rowcrew.erase_begin(p_scope jsonb, p_reason text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM rowcrew.erase_condition(NULL, p_scope);
  IF length(p_reason) > 500 THEN
    PERFORM rowcrew.refuse('reason', left(p_reason, 20) || '...', 'at most 500 characters');
  END IF;
  RETURN rowcrew.write_audit('person.erase', 'jobs, mails, archive',
                             jsonb_build_object('reason', p_reason, 'jobs', 0, 'mails', 0, 'archived', 0));
END $$;

-- One page of an erasure, a preview where p_audit is null; to be repeated with p_at := next until that is null. live: jobs of this
-- person that have not ended and stay as they are. skipped: somebody holds them; so do those. What is erased is not met again.
-- Pages go through job_queue, processing_jobs, email_notifications and each month of the archive.
CREATE FUNCTION rowcrew.erase_page(p_audit bigint, p_scope jsonb, p_at text DEFAULT NULL,
  OUT jobs bigint, OUT mails bigint, OUT archived bigint, OUT live bigint, OUT skipped bigint, OUT next text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  c_page constant integer := 5000;
  c_blocks constant bigint := 64;
  c_ended constant text := 'q.status IN (''completed'', ''failed'', ''cancelled'')';
  v_table text := coalesce(split_part(p_at, ' ', 1), 'job_queue');
  v_where text := coalesce(nullif(split_part(p_at, ' ', 2), ''), '');
  v_block bigint;
  v_means text;
  v_ids uuid[];
  v_taken uuid[];
  v_last uuid;
BEGIN
  jobs := 0; mails := 0; archived := 0; live := 0; skipped := 0;
  IF v_table IN ('job_queue', 'processing_jobs') THEN
    v_means := rowcrew.erase_condition(v_table, p_scope);
    EXECUTE format('SELECT array_agg(x.id) FILTER (WHERE x.means AND x.ended), count(*) FILTER (WHERE x.means AND NOT x.ended), (array_agg(x.id ORDER BY x.id))[%s]'
                   ' FROM (SELECT q.id, %s AS means, %s AS ended FROM (SELECT * FROM rowcrew.%I q WHERE q.id > %L ORDER BY q.id LIMIT %1$s) q) x',
                   c_page, v_means, c_ended, v_table, coalesce(nullif(v_where, ''), '00000000-0000-0000-0000-000000000000')) INTO v_ids, live, v_last;
    jobs := coalesce(cardinality(v_ids), 0);
    IF jobs > 0 AND p_audit IS NOT NULL THEN
      EXECUTE format('SELECT array_agg(l.id) FROM (SELECT q.id FROM rowcrew.%I q WHERE q.id = ANY ($1) AND %s AND %s ORDER BY q.id FOR NO KEY UPDATE SKIP LOCKED) l',
                     v_table, c_ended, v_means) USING v_ids INTO v_taken;
      skipped := jobs - coalesce(cardinality(v_taken), 0);
      jobs := jobs - skipped;
      PERFORM rowcrew.erase_jobs(v_table, v_taken);
    END IF;
    next := CASE WHEN v_last IS NOT NULL THEN v_table || ' ' || v_last WHEN v_table = 'job_queue' THEN 'processing_jobs' ELSE 'email_notifications' END;
  ELSIF v_table = 'email_notifications' THEN
    SELECT array_agg(x.job_id) FILTER (WHERE x.means), (array_agg(x.job_id ORDER BY x.job_id))[c_page] INTO v_ids, v_last
    FROM (SELECT e.job_id, (e.recipient = p_scope ->> 'address' OR e.account = p_scope ->> 'tenant')
                           AND e.status IN ('sent', 'failed', 'cancelled', 'suppressed') AS means
          FROM rowcrew.email_notifications e WHERE e.job_id > coalesce(nullif(v_where, ''), '00000000-0000-0000-0000-000000000000')::uuid
          ORDER BY e.job_id LIMIT c_page) x;
    mails := coalesce(cardinality(v_ids), 0);
    IF mails > 0 AND p_audit IS NOT NULL THEN
      UPDATE rowcrew.email_notifications e SET account = NULL, recipient = NULL, message_id = NULL, error_message = NULL WHERE e.job_id = ANY (v_ids);
    END IF;
    next := CASE WHEN v_last IS NOT NULL THEN 'email_notifications ' || v_last ELSE 'archive' END;
  ELSE
    v_means := rowcrew.erase_condition(NULL, p_scope);
    v_block := coalesce(nullif(split_part(p_at, ' ', 3), '')::bigint, 0);
    IF v_where = '' OR v_block * current_setting('block_size')::bigint >= pg_relation_size(format('rowcrew.%I', v_where)) THEN
      SELECT c.relname INTO v_where FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'rowcrew.archive'::regclass AND c.relname COLLATE "C" > v_where ORDER BY c.relname COLLATE "C" LIMIT 1;
      v_block := 0;
    END IF;
    IF v_where IS NULL THEN
      RETURN;
    END IF;
    IF p_audit IS NULL THEN
      EXECUTE format('SELECT count(*) FROM rowcrew.%I a WHERE a.ctid >= ''(%s,0)'' AND a.ctid < ''(%s,0)'' AND %s',
                     v_where, v_block, v_block + c_blocks, v_means) INTO archived;
    ELSE
      EXECUTE format('UPDATE rowcrew.%I a SET row = (a.row - ARRAY[''payload'', ''result'', ''inputs'', ''outputs'', ''prompt'', ''error_message'','
                     ' ''unique_key'', ''tenant'', ''account'', ''recipient'', ''message_id'']) || ''{"erased": true}'''
                     ' WHERE a.ctid >= ''(%s,0)'' AND a.ctid < ''(%s,0)'' AND %s', v_where, v_block, v_block + c_blocks, v_means);
      GET DIAGNOSTICS archived = ROW_COUNT;
    END IF;
    next := format('archive %s %s', v_where, v_block + c_blocks);
  END IF;
  UPDATE rowcrew.audit_logs l SET metadata = l.metadata || jsonb_build_object('jobs', (l.metadata ->> 'jobs')::bigint + jobs,
    'mails', (l.metadata ->> 'mails')::bigint + mails, 'archived', (l.metadata ->> 'archived')::bigint + archived)
  WHERE l.id = p_audit AND l.action = 'person.erase';
  IF p_audit IS NOT NULL AND NOT FOUND THEN
    PERFORM rowcrew.refuse('erasure', p_audit::text, 'the number that erase_begin() gave');
  END IF;
END $$;
COMMENT ON FUNCTION rowcrew.erase_page(bigint, jsonb, text) IS
  'Erases what is known of one person, page by page: rowcrew erase calls it. Previews where the number is null.';

UPDATE rowcrew.meta SET schema_version = 26;
