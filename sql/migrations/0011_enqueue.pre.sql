-- 0011: many jobs in one call, and what becomes of a unique key that a live job has already.

-- Enqueues one job. What p_if_exists says holds when a live job has p_unique_key:
--   keep     nothing is enqueued: that job's id, outcome 'kept'
--   replace  while it waits, it becomes the job given here, as if created now (payload, queue, priority, schedule,
--            tenant, attempts from the start, no checkpoint): its id, outcome 'replaced'; one that runs is left alone: 'running'
--   reject   an error, 23505
-- p_subject begins the sentence of an error. Not granted: the functions below call it.
CREATE FUNCTION rowcrew.enqueue_keyed(
  p_subject text, p_job_type text, p_payload jsonb, p_queue text, p_priority integer, p_scheduled_at timestamptz,
  p_max_attempts integer, p_unique_key text, p_app text, p_tenant text, p_if_exists text, OUT id uuid, OUT outcome text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_type rowcrew.job_type;
  v_job rowcrew.job_queue;
BEGIN
  -- An empty key, which many programs write for none, would be one key of all their jobs.
  IF length(p_unique_key) NOT BETWEEN 1 AND 300 THEN
    RAISE EXCEPTION '%: unique key of % characters, expected 1 to 300, or null for none', p_subject, length(p_unique_key)
      USING ERRCODE = 'check_violation';
  END IF;
  SELECT * INTO v_type FROM rowcrew.job_type t WHERE t.name = p_job_type;
  -- The job of a key may end between two looks at it: then the key is free, and we look again.
  FOR v_try IN 1..10 LOOP
    id := rowcrew.uuid7();
    outcome := 'created';
    IF p_unique_key IS NOT NULL THEN
      INSERT INTO rowcrew.job_unique (scope, key, job_table, job_id)
      VALUES ('live:job_queue', p_unique_key, 'job_queue', id)
      ON CONFLICT (scope, key) DO NOTHING;
      IF NOT FOUND THEN
        outcome := 'kept';
      END IF;
    END IF;
    IF outcome = 'created' THEN
      INSERT INTO rowcrew.job_queue (id, job_type, payload, queue, priority, scheduled_at, max_attempts, unique_key, app, tenant, enqueued_by)
      VALUES (id, p_job_type, coalesce(p_payload, '{}'), coalesce(p_queue, v_type.queue, 'default'),
              coalesce(p_priority, v_type.priority, 5), coalesce(p_scheduled_at, rowcrew.clock_now()),
              coalesce(p_max_attempts, v_type.max_attempts, 5), p_unique_key, p_app, p_tenant, session_user);
      RETURN;
    END IF;

    -- The newest: a snapshot of the whole transaction shows the row of a job that has ended since, beside its own.
    id := (SELECT u.job_id FROM rowcrew.job_unique u WHERE u.scope = 'live:job_queue' AND u.key = p_unique_key ORDER BY age(u.xmin) LIMIT 1);
    CONTINUE WHEN id IS NULL;
    IF NOT EXISTS (SELECT FROM rowcrew.job_queue q WHERE q.id = enqueue_keyed.id AND q.status IN ('pending', 'retrying', 'processing')) THEN
      -- It has ended meanwhile; or its key was left behind, where our triggers were off: then nobody else would free it.
      DELETE FROM rowcrew.job_unique u WHERE u.scope = 'live:job_queue' AND u.key = p_unique_key AND u.job_id = enqueue_keyed.id
        AND NOT EXISTS (SELECT FROM rowcrew.job_queue q WHERE q.id = u.job_id AND q.status IN ('pending', 'retrying', 'processing'));
      CONTINUE;
    END IF;
    IF p_if_exists = 'keep' THEN
      RETURN;
    END IF;
    IF p_if_exists = 'reject' THEN
      RAISE EXCEPTION '%: unique key % is taken by job %', p_subject, quote_literal(p_unique_key), id
        USING ERRCODE = 'unique_violation';
    END IF;
    UPDATE rowcrew.job_queue q
    SET payload = coalesce(p_payload, '{}'), queue = coalesce(p_queue, v_type.queue, 'default'),
        priority = coalesce(p_priority, v_type.priority, 5), scheduled_at = coalesce(p_scheduled_at, rowcrew.clock_now()),
        max_attempts = coalesce(p_max_attempts, v_type.max_attempts, 5), app = p_app, tenant = p_tenant, created_at = rowcrew.clock(),
        status = 'pending', attempts = 0, crashes = 0, lonely_crashes = 0, error_code = NULL, error_message = NULL
    WHERE q.id = enqueue_keyed.id AND q.status IN ('pending', 'retrying') AND q.job_type = p_job_type
      AND q.enqueued_by = session_user;
    IF FOUND THEN
      DELETE FROM rowcrew.job_progress p WHERE p.job_table = 'job_queue' AND p.job_id = enqueue_keyed.id;
      outcome := 'replaced';
      RETURN;
    END IF;
    SELECT * INTO v_job FROM rowcrew.job_queue q WHERE q.id = enqueue_keyed.id;
    CONTINUE WHEN v_job.id IS NULL OR v_job.status NOT IN ('pending', 'retrying', 'processing');
    IF v_job.enqueued_by <> session_user THEN
      RAISE EXCEPTION '%: the job of unique key % was enqueued by another role and is not replaced', p_subject, quote_literal(p_unique_key)
        USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF v_job.job_type <> p_job_type THEN
      RAISE EXCEPTION '%: the job of unique key % is of type %, expected %', p_subject, quote_literal(p_unique_key),
        quote_literal(v_job.job_type), quote_literal(p_job_type) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    CONTINUE WHEN v_job.status <> 'processing';
    outcome := 'running';
    RETURN;
  END LOOP;
  RAISE EXCEPTION '%: the job of unique key % ended while this one was enqueued, try again', p_subject, quote_literal(p_unique_key)
    USING ERRCODE = 'serialization_failure';
END $$;

-- A live job's key becomes another one, which must be free: the constraint alone would name a table of ours and no job.
CREATE FUNCTION rowcrew.move_unique(p_table text, p_old text, p_new text, p_job uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE rowcrew.job_unique u SET key = p_new WHERE u.scope = 'live:' || p_table AND u.key = p_old AND u.job_id = p_job;
EXCEPTION WHEN unique_violation THEN
  RAISE unique_violation USING
    MESSAGE = format('%s: the unique key of job %s cannot change: %L is taken by job %s', p_table, p_job, p_new,
                     (SELECT u.job_id FROM rowcrew.job_unique u WHERE u.scope = 'live:' || p_table AND u.key = p_new ORDER BY age(u.xmin) LIMIT 1)),
    SCHEMA = 'rowcrew', TABLE = p_table;
END $$;

CREATE OR REPLACE FUNCTION rowcrew.enqueue_one(
  p_job_type text, p_payload jsonb, p_queue text, p_priority integer, p_scheduled_at timestamptz,
  p_max_attempts integer, p_unique_key text, p_tenant text, OUT id uuid, OUT created boolean
) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT e.id, e.outcome = 'created'
  FROM rowcrew.enqueue_keyed('enqueue', p_job_type, p_payload, p_queue, p_priority, p_scheduled_at, p_max_attempts,
                             p_unique_key, NULL, p_tenant, 'keep') e
$$;

-- Three parameters more, all with defaults: calls as before mean what they meant. The old function has to go,
-- or they would be ambiguous; whoever might call it may call the new one.
CREATE FUNCTION rowcrew.enqueue(
  p_job_type text, p_payload jsonb DEFAULT '{}', p_queue text DEFAULT NULL, p_priority integer DEFAULT NULL,
  p_scheduled_at timestamptz DEFAULT NULL, p_max_attempts integer DEFAULT NULL, p_unique_key text DEFAULT NULL,
  p_if_exists text DEFAULT 'keep', p_app text DEFAULT NULL, p_tenant text DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_done record;
BEGIN
  IF p_if_exists IS NULL OR p_if_exists NOT IN ('keep', 'replace', 'reject') THEN
    RAISE EXCEPTION 'enqueue: p_if_exists is %, expected keep, replace or reject', coalesce(quote_literal(p_if_exists), 'null')
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF p_app IS NOT NULL AND NOT EXISTS (SELECT FROM rowcrew.app a WHERE a.name = p_app) THEN
    RAISE EXCEPTION 'enqueue: p_app is %, expected a name in rowcrew.app', quote_literal(p_app) USING ERRCODE = 'invalid_parameter_value';
  END IF;
  v_done := rowcrew.enqueue_keyed('enqueue', p_job_type, p_payload, p_queue, p_priority, p_scheduled_at, p_max_attempts,
                                  p_unique_key, p_app, p_tenant, p_if_exists);
  IF v_done.outcome = 'running' THEN
    RAISE NOTICE 'enqueue: job % of unique key % is running and was not replaced', v_done.id, quote_literal(p_unique_key);
  END IF;
  RETURN v_done.id;
END $$;
COMMENT ON FUNCTION rowcrew.enqueue(text, jsonb, text, integer, timestamptz, integer, text, text, text, text) IS
  'Enqueues one job and returns its id. p_if_exists, for a p_unique_key that a live job has: keep (that job''s id), '
  'replace (it becomes this one while it waits; if it runs it is kept, with a NOTICE) or reject (an error).';

DO $$
DECLARE
  v_grantee record;
BEGIN
  REVOKE ALL ON FUNCTION rowcrew.enqueue(text, jsonb, text, integer, timestamptz, integer, text, text, text, text) FROM PUBLIC;
  FOR v_grantee IN
    SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS name
    FROM pg_proc f, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE f.oid = 'rowcrew.enqueue(text, jsonb, text, integer, timestamptz, integer, text)'::regprocedure
      AND a.grantee <> f.proowner
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION rowcrew.enqueue(text, jsonb, text, integer, timestamptz, integer, text, text, text, text) TO %s',
                   v_grantee.name);
  END LOOP;
END $$;
DROP FUNCTION rowcrew.enqueue(text, jsonb, text, integer, timestamptz, integer, text);

-- What is wrong with an element of enqueue_many's array, from its field on; null when nothing is.
CREATE FUNCTION rowcrew.enqueue_fault(p_job jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  c_fields constant text[] := ARRAY['job_type', 'payload', 'queue', 'priority', 'scheduled_at', 'delay_ms', 'max_attempts',
                                    'unique_key', 'if_exists', 'app', 'tenant'];
  v_field text;
  v_expected text;
  v jsonb;
BEGIN
  IF jsonb_typeof(p_job) <> 'object' THEN
    RETURN format(': %s, expected an object', jsonb_typeof(p_job));
  END IF;
  IF NOT p_job ? 'job_type' THEN
    RETURN '.job_type: missing, expected a string of 1 to 100 characters';
  END IF;
  FOR v_field, v IN SELECT f.key, f.value FROM jsonb_each(p_job) f LOOP
    IF v_field <> ALL (c_fields) THEN
      RETURN format('.%s: unknown field, expected %s', left(v_field, 40), array_to_string(c_fields, ', '));
    END IF;
    CONTINUE WHEN v_field = 'payload' OR (jsonb_typeof(v) = 'null' AND v_field <> 'job_type');
    v_expected := CASE v_field
      WHEN 'job_type' THEN CASE WHEN jsonb_typeof(v) <> 'string' OR length(v #>> '{}') NOT BETWEEN 1 AND 100
                           THEN 'a string of 1 to 100 characters' END
      WHEN 'queue' THEN CASE WHEN jsonb_typeof(v) <> 'string' OR length(v #>> '{}') NOT BETWEEN 1 AND 63
                        THEN 'a string of 1 to 63 characters' END
      WHEN 'priority' THEN CASE WHEN v::text !~ '^[0-9]$' THEN 'a whole number from 0 to 9' END
      WHEN 'max_attempts' THEN CASE WHEN v::text !~ '^([1-9][0-9]{0,2}|1000)$' THEN 'a whole number from 1 to 1000' END
      WHEN 'delay_ms' THEN CASE WHEN v::text !~ '^[0-9]{1,12}$' THEN 'a whole number from 0 to 999999999999'
                                WHEN p_job ->> 'scheduled_at' IS NOT NULL THEN 'either this or scheduled_at' END
      WHEN 'scheduled_at' THEN CASE WHEN jsonb_typeof(v) <> 'string' THEN 'a string, a point in time' END
      WHEN 'unique_key' THEN CASE WHEN jsonb_typeof(v) <> 'string' OR length(v #>> '{}') NOT BETWEEN 1 AND 300
                             THEN 'a string of 1 to 300 characters' END
      WHEN 'if_exists' THEN CASE WHEN v NOT IN ('"keep"', '"replace"', '"reject"') THEN '"keep", "replace" or "reject"' END
      WHEN 'app' THEN CASE WHEN jsonb_typeof(v) <> 'string' THEN 'a string' END
      WHEN 'tenant' THEN CASE WHEN jsonb_typeof(v) <> 'string' OR length(v #>> '{}') NOT BETWEEN 1 AND 100
                         THEN 'a string of 1 to 100 characters' END
      END;
    IF v_expected IS NOT NULL THEN
      RETURN format('.%s: %s, expected %s', left(v_field, 40), left(v::text, 40), v_expected);
    END IF;
  END LOOP;
  RETURN NULL;
END $$;

-- Keys are taken in sorted order, so that two callers cannot wait for each other. A node's session, in which functions
-- of applications fan out, and the ingest's would join the array with itself by nested loops: 10,000 elements took 5 s.
CREATE FUNCTION rowcrew.enqueue_many(p_jobs jsonb)
RETURNS TABLE (n integer, id uuid, created boolean, outcome text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on AS $$
#variable_conflict use_column
DECLARE
  v_fault text;
  v_ids uuid[];
  v_made uuid[];
  v_later record;
  v_job record;
  v_later_n integer[] := '{}';
  v_later_ids uuid[] := '{}';
  v_later_outcomes text[] := '{}';
BEGIN
  IF p_jobs IS NULL OR jsonb_typeof(p_jobs) <> 'array' THEN
    RAISE EXCEPTION 'enqueue_many: %, expected an array of objects', coalesce(jsonb_typeof(p_jobs), 'null')
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  SELECT format('enqueue_many: [%s]%s', e.n - 1, rowcrew.enqueue_fault(e.j)) INTO v_fault
  FROM jsonb_array_elements(p_jobs) WITH ORDINALITY AS e (j, n) WHERE rowcrew.enqueue_fault(e.j) IS NOT NULL ORDER BY e.n LIMIT 1;
  IF v_fault IS NULL THEN
    SELECT format('enqueue_many: [%s].app: %s, expected a name in rowcrew.app', e.n - 1, quote_literal(e.j ->> 'app')) INTO v_fault
    FROM jsonb_array_elements(p_jobs) WITH ORDINALITY AS e (j, n)
    WHERE e.j ->> 'app' IS NOT NULL AND NOT EXISTS (SELECT FROM rowcrew.app a WHERE a.name = e.j ->> 'app') ORDER BY e.n LIMIT 1;
  END IF;
  IF v_fault IS NOT NULL THEN
    RAISE EXCEPTION '%', v_fault USING ERRCODE = 'invalid_parameter_value';
  END IF;
  FOR v_job IN SELECT e.n, e.j ->> 'scheduled_at' AS at FROM jsonb_array_elements(p_jobs) WITH ORDINALITY AS e (j, n)
               WHERE e.j ->> 'scheduled_at' IS NOT NULL LOOP
    BEGIN
      PERFORM v_job.at::timestamptz;
    EXCEPTION WHEN data_exception THEN
      RAISE EXCEPTION 'enqueue_many: [%].scheduled_at: %, expected a point in time', v_job.n - 1, quote_literal(left(v_job.at, 40))
        USING ERRCODE = 'invalid_parameter_value';
    END;
  END LOOP;

  v_ids := ARRAY(SELECT rowcrew.uuid7() FROM generate_series(1, jsonb_array_length(p_jobs)));
  WITH k AS (
    SELECT DISTINCT ON (e.j ->> 'unique_key' COLLATE "C") e.j ->> 'unique_key' AS key, e.n
    FROM jsonb_array_elements(p_jobs) WITH ORDINALITY AS e (j, n) WHERE e.j ->> 'unique_key' IS NOT NULL
    ORDER BY e.j ->> 'unique_key' COLLATE "C", e.n
  ), u AS (
    INSERT INTO rowcrew.job_unique (scope, key, job_table, job_id)
    SELECT 'live:job_queue', k.key, 'job_queue', v_ids[k.n] FROM k ORDER BY k.key COLLATE "C"
    ON CONFLICT (scope, key) DO NOTHING RETURNING job_id
  )
  SELECT coalesce(array_agg(u.job_id), '{}') INTO v_made FROM u;

  INSERT INTO rowcrew.job_queue (id, job_type, payload, queue, priority, scheduled_at, max_attempts, unique_key, app, tenant, enqueued_by)
  SELECT v.id, e.j ->> 'job_type', coalesce(nullif(e.j -> 'payload', 'null'), '{}'), coalesce(e.j ->> 'queue', t.queue, 'default'),
         coalesce((e.j ->> 'priority')::smallint, t.priority, 5::smallint),
         coalesce((e.j ->> 'scheduled_at')::timestamptz, rowcrew.clock_now() + coalesce((e.j ->> 'delay_ms')::bigint, 0) * interval '1 ms'),
         coalesce((e.j ->> 'max_attempts')::smallint, t.max_attempts, 5::smallint), e.j ->> 'unique_key', e.j ->> 'app',
         e.j ->> 'tenant', session_user
  FROM jsonb_array_elements(p_jobs) WITH ORDINALITY AS e (j, n)
  JOIN unnest(v_ids) WITH ORDINALITY AS v (id, n) ON v.n = e.n
  LEFT JOIN rowcrew.job_type t ON t.name = e.j ->> 'job_type'
  WHERE e.j ->> 'unique_key' IS NULL OR EXISTS (SELECT FROM unnest(v_made) AS m (id) WHERE m.id = v.id)
  ORDER BY e.n;

  -- Keys that somebody has: a live job, or an earlier element of this very array.
  FOR v_later IN
    SELECT e.n, e.j FROM jsonb_array_elements(p_jobs) WITH ORDINALITY AS e (j, n)
    WHERE e.j ->> 'unique_key' IS NOT NULL AND NOT EXISTS (SELECT FROM unnest(v_made) AS m (id) WHERE m.id = v_ids[e.n])
    ORDER BY e.j ->> 'unique_key' COLLATE "C", e.n
  LOOP
    v_job := rowcrew.enqueue_keyed(
      format('enqueue_many: [%s].unique_key', v_later.n - 1), v_later.j ->> 'job_type', nullif(v_later.j -> 'payload', 'null'),
      v_later.j ->> 'queue', (v_later.j ->> 'priority')::integer,
      coalesce((v_later.j ->> 'scheduled_at')::timestamptz,
               rowcrew.clock_now() + (v_later.j ->> 'delay_ms')::bigint * interval '1 ms'),
      (v_later.j ->> 'max_attempts')::integer, v_later.j ->> 'unique_key', v_later.j ->> 'app', v_later.j ->> 'tenant',
      coalesce(v_later.j ->> 'if_exists', 'keep'));
    v_later_n := v_later_n || v_later.n::integer;
    v_later_ids := v_later_ids || v_job.id;
    v_later_outcomes := v_later_outcomes || v_job.outcome;
  END LOOP;

  RETURN QUERY
    SELECT v.n::integer - 1, coalesce(l.id, v.id), coalesce(l.outcome = 'created', true), coalesce(l.outcome, 'created')
    FROM unnest(v_ids) WITH ORDINALITY AS v (id, n)
    LEFT JOIN unnest(v_later_n, v_later_ids, v_later_outcomes) AS l (n, id, outcome) ON l.n = v.n
    ORDER BY v.n;
END $$;
COMMENT ON FUNCTION rowcrew.enqueue_many(jsonb) IS
  'Enqueues the jobs of a JSON array, all or none. An element has the parameters of enqueue() as its fields, without "p_"; only '
  'job_type is needed, and delay_ms may stand for scheduled_at. Returns a row per element: n (from 0), id, whether it was created, '
  'and the outcome: created, kept, replaced or running. An element that cannot be enqueued is an error that names it, 22023 for '
  'what is wrong with its fields.';

UPDATE rowcrew.meta SET schema_version = 11;
