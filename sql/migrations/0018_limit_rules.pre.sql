-- 0018: setting and removing limits, and what is looked after for them.

CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON rowcrew.job_limit
  FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_policies();

-- Moves what waits in a table to where its rules say now: out of ready what a rule is about, back what none is.
CREATE FUNCTION rowcrew.refile_limited(p_table text, p_queue text, p_type text) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_moved uuid[];
BEGIN
  EXECUTE format($q$
    WITH r AS (
      DELETE FROM rowcrew.%2$I r USING rowcrew.%1$I q
      WHERE q.id = r.id AND ($1 IS NULL OR r.queue = $1) AND ($2 IS NULL OR q.%4$I = $2) RETURNING r.id
    ), l AS (
      DELETE FROM rowcrew.%3$I l USING rowcrew.%1$I q
      WHERE q.id = l.id AND ($1 IS NULL OR l.queue = $1) AND ($2 IS NULL OR q.%4$I = $2) RETURNING l.id
    )
    SELECT coalesce(array_agg(x.id), '{}') FROM (SELECT id FROM r UNION ALL SELECT id FROM l) x$q$,
    p_table, p_table || '_ready', p_table || '_limited', CASE p_table WHEN 'job_queue' THEN 'job_type' ELSE 'type' END)
  USING p_queue, p_type INTO v_moved;
  PERFORM rowcrew.file_due(p_table, v_moved);
  RETURN cardinality(v_moved);
END $$;

-- Of adopted tables what waits for permits is ready again: the claim that meets it files it by the rules as they are then.
CREATE FUNCTION rowcrew.refile_adopted(p_queue text) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v record;
  v_count bigint;
  v_moved bigint := 0;
BEGIN
  FOR v IN SELECT z.template AS t FROM rowcrew.adopted_table z WHERE to_regclass(format('rowcrew.%I', z.name || '_limited')) IS NOT NULL LOOP
    EXECUTE rowcrew.adopted_fill('WITH l AS (DELETE FROM {limited} WHERE $1 IS NULL OR queue = $1 RETURNING run_at, id, priority, queue)'
      ' INSERT INTO {ready} (run_at, id, priority, queue) SELECT rowcrew.clock_now(), id, priority, queue FROM l ORDER BY run_at', v.t) USING p_queue;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_moved := v_moved + v_count;
  END LOOP;
  RETURN v_moved;
END $$;

-- Whether a path leads anywhere: among the last jobs that the rule would be about, or in an adopted table, of which the columns
-- tell, since its rows may not be ours to read. Nothing is said of a kind that never had a job, and is not the type of such a table.
CREATE FUNCTION rowcrew.limit_path_known(p_path text, p_queue text, p_type text) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(bool_or(x.known), true) FROM (
    (SELECT rowcrew.limit_value(p_path, q.tenant, NULL, q.payload) IS NOT NULL AS known FROM rowcrew.job_queue q
     WHERE (p_queue IS NULL OR q.queue = p_queue) AND (p_type IS NULL OR q.job_type = p_type) ORDER BY q.id DESC LIMIT 1000)
    UNION ALL
    (SELECT rowcrew.limit_value(p_path, q.tenant, q.provider, q.inputs) IS NOT NULL FROM rowcrew.processing_jobs q
     WHERE (p_queue IS NULL OR q.queue = p_queue) AND (p_type IS NULL OR q.type = p_type) ORDER BY q.id DESC LIMIT 1000)
    UNION ALL
    SELECT k.known FROM rowcrew.adopted_table z, LATERAL (
      SELECT CASE WHEN p_path IN ('tenant', 'provider') THEN z.map -> 'columns' ? p_path WHEN z.map ? 'payload' THEN true
             ELSE EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = z.rel AND a.attname = split_part(p_path, '.', 2) AND a.attnum > 0 AND NOT a.attisdropped) END AS known) k
    WHERE z.mode = 'serve' AND (k.known OR z.map ->> 'job_type' = p_type)) x
$$;

-- Sets a rule anew or changes it. A change of its numbers holds from the next claim on; when it becomes
-- about other jobs, those that wait are moved in this transaction. Jobs of a transaction that was open
-- meanwhile may still be filed by the rules that it saw.
CREATE FUNCTION rowcrew.limit_set(p_name text, p_queue text DEFAULT NULL, p_type text DEFAULT NULL, p_by text DEFAULT NULL,
                                  p_running integer DEFAULT NULL, p_units integer DEFAULT NULL, p_per interval DEFAULT NULL,
                                  p_burst integer DEFAULT NULL, p_weight text DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
  c_path constant text := '^payload([.][A-Za-z0-9_-]{1,63}){1,8}$';
  v_before rowcrew.job_limit;
  v_after rowcrew.job_limit;
  v_moved bigint := 0;
  -- Fields that the rule has already are no mistake, however quiet those that have them are: its numbers must be free to change.
  v_same boolean := EXISTS (SELECT FROM rowcrew.job_limit r WHERE r.name = p_name
                            AND (r.queue, r.job_type, r.keyed_by, r.weight) IS NOT DISTINCT FROM (p_queue, p_type, p_by, p_weight));
BEGIN
  IF coalesce(p_name, '') !~ '^[a-z][a-z0-9_.-]{0,62}$' THEN
    PERFORM rowcrew.refuse('name', p_name, 'a letter, then up to 62 of a-z, 0-9, "_", "." and "-"');
  ELSIF length(p_queue) NOT BETWEEN 1 AND 63 THEN
    PERFORM rowcrew.refuse('queue', left(p_queue, 80), '1 to 63 characters');
  ELSIF length(p_type) NOT BETWEEN 1 AND 100 THEN
    PERFORM rowcrew.refuse('type', left(p_type, 120), '1 to 100 characters');
  ELSIF p_by NOT IN ('tenant', 'provider') AND p_by !~ c_path THEN
    PERFORM rowcrew.refuse('by', p_by, 'tenant, provider or payload.<field>');
  ELSIF p_weight !~ c_path THEN
    PERFORM rowcrew.refuse('weight', p_weight, 'payload.<field>');
  ELSIF p_running NOT BETWEEN 0 AND 1000000 THEN
    PERFORM rowcrew.refuse('running', p_running::text, '0 to 1000000');
  ELSIF p_units NOT BETWEEN 1 AND 1000000000 THEN
    PERFORM rowcrew.refuse('units', p_units::text, '1 to 1000000000');
  ELSIF p_per NOT BETWEEN interval '10 ms' AND interval '366 days' THEN
    PERFORM rowcrew.refuse('per', p_per::text, '10 ms to 366 days');
  ELSIF p_burst NOT BETWEEN 1 AND 1000000000 THEN
    PERFORM rowcrew.refuse('burst', p_burst::text, '1 to 1000000000');
  ELSIF p_running IS NOT NULL AND p_units IS NOT NULL THEN
    PERFORM rowcrew.refuse('running', p_running::text, 'no units beside it: a limit of its own for the rate');
  ELSIF p_units IS NULL AND coalesce(p_per::text, p_burst::text, p_weight) IS NOT NULL THEN
    PERFORM rowcrew.refuse('units', NULL, 'how many, where per, burst or weight are given');
  ELSIF p_units IS NOT NULL AND p_per IS NULL THEN
    PERFORM rowcrew.refuse('per', NULL, 'a span of time, where units are given');
  ELSIF NOT v_same AND p_by IS NOT NULL AND NOT rowcrew.limit_path_known(p_by, p_queue, p_type) THEN
    PERFORM rowcrew.refuse('by', p_by, 'a value that one of the last 1000 such jobs has');
  ELSIF NOT v_same AND p_weight IS NOT NULL AND NOT rowcrew.limit_path_known(p_weight, p_queue, p_type) THEN
    PERFORM rowcrew.refuse('weight', p_weight, 'a value that one of the last 1000 such jobs has');
  END IF;
  -- One at a time: two that move the same jobs, each by the rules as it sees them, would wait for each other, or file some by neither's.
  LOCK TABLE rowcrew.job_limit IN SHARE ROW EXCLUSIVE MODE;
  SELECT * INTO v_before FROM rowcrew.job_limit r WHERE r.name = p_name FOR UPDATE;
  INSERT INTO rowcrew.job_limit AS r (name, queue, job_type, keyed_by, max_running, units, per, burst, weight)
  VALUES (p_name, p_queue, p_type, p_by, p_running, p_units, p_per, p_burst, p_weight)
  ON CONFLICT (name) DO UPDATE SET queue = excluded.queue, job_type = excluded.job_type, keyed_by = excluded.keyed_by, max_running = excluded.max_running,
    units = excluded.units, per = excluded.per, burst = excluded.burst, weight = excluded.weight, set_by = excluded.set_by, set_at = excluded.set_at
  RETURNING * INTO v_after;
  IF (v_before.name, v_before.queue, v_before.job_type, v_before.keyed_by, v_before.weight)
     IS DISTINCT FROM (v_after.name, v_after.queue, v_after.job_type, v_after.keyed_by, v_after.weight)
     -- A job weighs at most what its rule allows at once, and what it weighs is written in its hint.
     OR (p_weight IS NOT NULL AND coalesce(p_burst, p_units) IS DISTINCT FROM coalesce(v_before.burst, v_before.units)) THEN
    -- By an older snapshot what was filed since would stay where no rule holds it.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      PERFORM rowcrew.refuse('transaction isolation', current_setting('transaction_isolation'), 'read committed, since waiting jobs are moved');
    END IF;
    IF v_before.name IS NOT NULL AND (v_before.queue, v_before.job_type) IS DISTINCT FROM (p_queue, p_type) THEN
      v_moved := rowcrew.refile_limited('job_queue', v_before.queue, v_before.job_type) + rowcrew.refile_limited('processing_jobs', v_before.queue, v_before.job_type)
                 + rowcrew.refile_adopted(v_before.queue);
    END IF;
    v_moved := v_moved + rowcrew.refile_limited('job_queue', p_queue, p_type) + rowcrew.refile_limited('processing_jobs', p_queue, p_type) + rowcrew.refile_adopted(p_queue);
  END IF;
  PERFORM rowcrew.write_audit('limit.set', 'limit ' || p_name, jsonb_build_object('before', to_jsonb(v_before), 'after', to_jsonb(v_after), 'moved', v_moved));
  RETURN v_moved;
END $$;
COMMENT ON FUNCTION rowcrew.limit_set(text, text, text, text, integer, integer, interval, integer, text) IS
  'Jobs of p_queue and p_type (null: any), one key per p_by (null: one for all): at most p_running at once, or p_units per p_per. '
  'p_by, and the field of p_weight, must be what one of the last 1000 such jobs has, if there are any and it is new. A limit of that name is '
  'replaced whole. Returns how many waiting jobs were moved.';

CREATE FUNCTION rowcrew.limit_remove(p_name text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
  v_before rowcrew.job_limit;
BEGIN
  LOCK TABLE rowcrew.job_limit IN SHARE ROW EXCLUSIVE MODE;  -- as in limit_set
  DELETE FROM rowcrew.job_limit r WHERE r.name = p_name RETURNING * INTO v_before;
  IF v_before.name IS NULL THEN
    RETURN false;
  END IF;
  PERFORM rowcrew.refile_limited('job_queue', v_before.queue, v_before.job_type), rowcrew.refile_limited('processing_jobs', v_before.queue, v_before.job_type),
    rowcrew.refile_adopted(v_before.queue);
  PERFORM rowcrew.write_audit('limit.remove', 'limit ' || p_name, jsonb_build_object('before', to_jsonb(v_before), 'after', NULL));
  RETURN true;
END $$;
COMMENT ON FUNCTION rowcrew.limit_remove(text) IS 'Removes a limit: what waits for it is free to run. False: there was none.';

-- In which of these queues claims have to look for jobs that rules are about: those that a rule may mean, and where something
-- waits behind those of before. What a transaction that saw a rule files there may be committed after the rule was removed.
CREATE FUNCTION rowcrew.limited_queues(p_queues text[]) RETURNS SETOF text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_queues text[];
  v_template jsonb;
  v_found text[];
BEGIN
  v_queues := ARRAY(SELECT w.queue FROM unnest(p_queues) AS w (queue)
    WHERE EXISTS (SELECT FROM rowcrew.job_limit r WHERE r.queue IS NULL OR r.queue = w.queue)
       OR EXISTS (SELECT FROM rowcrew.job_queue_limited l WHERE l.queue = w.queue)
       OR EXISTS (SELECT FROM rowcrew.processing_jobs_limited l WHERE l.queue = w.queue));
  FOR v_template IN SELECT z.template FROM rowcrew.adopted_table z
    WHERE z.mode = 'serve' AND (z.map -> 'columns' ? 'queue' OR coalesce(z.map ->> 'queue', 'default') = ANY (p_queues)) LOOP
    EXIT WHEN cardinality(v_queues) = cardinality(p_queues);
    BEGIN
      EXECUTE rowcrew.adopted_fill('SELECT array_agg(w.queue) FROM unnest($1) AS w (queue) WHERE {of_queue} AND NOT w.queue = ANY ($2) AND EXISTS ('
        'SELECT FROM {limited} l WHERE l.queue = w.queue)', v_template) INTO v_found USING p_queues, v_queues;
    EXCEPTION WHEN insufficient_privilege OR undefined_table THEN v_found := NULL;  -- as in adopted_overdue
    END;
    v_queues := v_queues || v_found;
  END LOOP;
  RETURN QUERY SELECT unnest(v_queues);
END $$;

-- Of a due job: which of its keys has no room. Null: none, or no rule is about it.
-- p_keys: the job's, as JSON.
CREATE FUNCTION rowcrew.why_limited(j rowcrew.any_job, p_keys jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  k record;
  r rowcrew.job_limit;
  s rowcrew.limit_key;
  p record;
  v_used bigint;
  v_until timestamptz;
  v_jobs text[];
  v_own boolean := j.job_table IN ('job_queue', 'processing_jobs');
  v_level double precision;
BEGIN
  IF NOT EXISTS (SELECT FROM rowcrew.job_limit) THEN
    RETURN NULL;
  END IF;
  FOR k IN SELECT x.key, (p_keys -> 'units' ->> (x.place - 1)::integer)::integer AS units
           FROM jsonb_array_elements_text(nullif(p_keys -> 'keys', 'null')) WITH ORDINALITY AS x (key, place) LOOP
    SELECT * INTO r FROM rowcrew.job_limit x WHERE x.name = split_part(k.key, ':', 1);
    SELECT x.reason, x.paused_by, x.since, x.until INTO p FROM rowcrew.pause x
    WHERE x.scope = 'key' AND x.name IN (k.key, r.name) AND (x.until IS NULL OR x.until > rowcrew.clock()) ORDER BY x.until DESC NULLS FIRST LIMIT 1;
    IF FOUND THEN
      RETURN rowcrew.because(j, 'paused', format('key %s is paused by %s since %s%s%s', k.key, p.paused_by, rowcrew.say_time(p.since),
        coalesce(' until ' || rowcrew.say_time(p.until), ', until it is resumed'), coalesce(': ' || p.reason, '')), p.until,
        jsonb_build_object('scope', 'key', 'name', k.key, 'paused_by', p.paused_by, 'since', p.since, 'pause_reason', p.reason));
    END IF;
    SELECT * INTO s FROM rowcrew.limit_key x WHERE x.key = k.key;
    IF r.max_running IS NOT NULL THEN
      v_used := coalesce(s.held, 0) - (SELECT coalesce(sum(x.n), 0) FROM (SELECT f.n FROM rowcrew.limit_freed f WHERE f.key = k.key LIMIT 1000) x);
      CONTINUE WHEN v_used < r.max_running;
      -- Some of those that hold it; no index leads there, so only the first pages are looked at.
      EXECUTE format('SELECT array_agg(x.id::text) FROM (SELECT i.id FROM (SELECT c.token, c.ids FROM rowcrew.%1$I c WHERE c.ctid < ''(8,0)'' AND c.keys @> ARRAY[$1] LIMIT 5) c,'
                     ' unnest(c.ids[:5]) AS i (id), LATERAL (SELECT FROM rowcrew.%2$I q WHERE q.id = i.id AND q.%3$I = c.token AND q.status = ''processing'' OFFSET 0) q LIMIT 5) x',
                     j.job_table || '_claim', j.job_table || CASE WHEN v_own THEN '' ELSE '_job' END, CASE WHEN v_own THEN 'claim_token' ELSE 'token' END) USING k.key INTO v_jobs;
      RETURN rowcrew.because(j, 'limit', format('limit %s is full: %s of %s run%s', k.key, v_used, r.max_running,
        coalesce(', among them ' || array_to_string(v_jobs, ', '), '')), NULL,
        jsonb_build_object('key', k.key, 'running', v_used, 'max_running', r.max_running, 'jobs', to_jsonb(coalesce(v_jobs, '{}'))));
    ELSIF r.burst IS NOT NULL THEN
      v_level := least(r.burst, coalesce(s.level + r.units * greatest(0, extract(epoch FROM rowcrew.clock() - s.filled_at)) / extract(epoch FROM r.per), r.burst));
      CONTINUE WHEN v_level >= k.units;
      v_until := rowcrew.clock() + r.per * ((k.units - v_level) / r.units);
    ELSIF r.units IS NOT NULL THEN
      SELECT min(x.at) FILTER (WHERE x.gone >= k.units - r.units + x.spent) + r.per, max(x.spent) INTO v_until, v_used FROM (
        SELECT w.at, sum(w.units) OVER (ORDER BY w.at) AS gone, sum(w.units) OVER () AS spent FROM rowcrew.limit_start w
        WHERE w.key = k.key AND w.at >= rowcrew.clock() - r.per) x;
      CONTINUE WHEN coalesce(v_used, 0) + k.units <= r.units;
    ELSE
      CONTINUE;
    END IF;
    RETURN rowcrew.because(j, 'rate', format('rate %s (%s per %s) is spent until %s', k.key, r.units, r.per, rowcrew.say_time(v_until)), v_until,
                           jsonb_build_object('key', k.key, 'units', r.units, 'per', r.per, 'burst', r.burst, 'needs', k.units));
  END LOOP;
  RETURN NULL;
END $$;

-- Looks after a page of keys, those after p_after, and tells the last of them as next (null: there are no more). Puts permits out
-- right that do not add up, and says of how many keys; removes what nothing needs: keys without permits out and with a full bucket,
-- starts beyond every window, and with the first page pauses that were over a day ago, which every heartbeat reads. A page each,
-- since what it locks has no room meanwhile, and since the whole of it would end at a node's statement_timeout where keys are many.
CREATE FUNCTION rowcrew.forget_keys(p_after text, OUT wrong bigint, OUT next text) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  c_page constant integer := 100;
  c_starts constant integer := 10000;
  v_keys text[];
  v_claims text := 'SELECT f.key, f.n FROM rowcrew.limit_freed f WHERE f.key = ANY ($1)';
  v_claim regclass;
  v_gone bigint;
  v_merged bigint;
BEGIN
  wrong := 0;
  IF p_after IS NULL THEN
    DELETE FROM rowcrew.pause p WHERE p.until < rowcrew.clock() - interval '1 day';
  END IF;
  -- Units that are given back may stand under a key that has no row any more.
  WITH RECURSIVE w AS (
    SELECT coalesce(p_after, '') COLLATE "C" AS key, 0 AS no
    UNION ALL
    SELECT least((SELECT k.key FROM rowcrew.limit_key k WHERE k.key > w.key ORDER BY k.key LIMIT 1),
                 (SELECT s.key FROM rowcrew.limit_start s WHERE s.key > w.key ORDER BY s.key LIMIT 1)), w.no + 1
    FROM w WHERE w.key IS NOT NULL AND w.no < c_page
  )
  SELECT array_agg(w.key ORDER BY w.no) INTO v_keys FROM w WHERE w.no > 0 AND w.key IS NOT NULL;
  IF v_keys IS NULL THEN
    RETURN;
  END IF;
  next := v_keys[c_page];
  FOR v_claim IN SELECT to_regclass(format('rowcrew.%I', x.name || '_claim'))
                 FROM (SELECT unnest(ARRAY['job_queue', 'processing_jobs']) AS name UNION ALL SELECT z.name FROM rowcrew.adopted_table z) x LOOP
    CONTINUE WHEN v_claim IS NULL;
    v_claims := v_claims || format(' UNION ALL SELECT y.key, c.held FROM %s c, unnest(c.keys) AS y (key) WHERE y.key = ANY ($1)', v_claim);
  END LOOP;
  -- Claims that were removed past their trigger (a restore, replication) gave nothing back. Every move of a permit is one transaction,
  -- so within one snapshot a difference is a fault, and it stays the same whatever happens meanwhile.
  EXECUTE format($q$
    UPDATE rowcrew.limit_key k SET held = k.held - d.surplus
    FROM (SELECT x.key, x.held - coalesce(o.out, 0) AS surplus FROM rowcrew.limit_key x
          LEFT JOIN (SELECT u.key, sum(u.n) AS out FROM (%s) u GROUP BY u.key) o ON o.key = x.key WHERE x.key = ANY ($1)) d
    WHERE k.key = d.key AND d.surplus <> 0$q$, v_claims) USING v_keys;
  GET DIAGNOSTICS wrong = ROW_COUNT;
  DELETE FROM rowcrew.limit_start s WHERE s.ctid = ANY (ARRAY(
    SELECT x.hint FROM unnest(v_keys) AS u (key) LEFT JOIN rowcrew.job_limit r ON r.name = split_part(u.key, ':', 1), LATERAL (
      SELECT y.ctid AS hint FROM rowcrew.limit_start y
      WHERE y.key = u.key AND y.at < rowcrew.clock() - coalesce(r.per, interval '0') - interval '1 minute' LIMIT c_starts FOR UPDATE SKIP LOCKED) x
    LIMIT c_starts));
  GET DIAGNOSTICS v_gone = ROW_COUNT;
  -- Every claim adds up what started within the window: of each thousandth of it that was over a minute ago one row is left,
  -- which leaves the window with the last of them. Those younger may yet be given back, which finds them by their moment.
  WITH d AS (
    DELETE FROM rowcrew.limit_start s WHERE s.ctid = ANY (ARRAY(
      SELECT y.ctid FROM rowcrew.limit_start y WHERE y.ctid = ANY (ARRAY(
        SELECT unnest(array_agg(w.ctid)) FROM unnest(v_keys) AS u (key) JOIN rowcrew.job_limit r ON r.name = split_part(u.key, ':', 1)
        JOIN rowcrew.limit_start w ON w.key = u.key
        WHERE r.burst IS NULL AND w.units > 0 AND w.at BETWEEN rowcrew.clock() - r.per AND rowcrew.clock() - interval '1 minute'
        GROUP BY w.key, floor(date_part('epoch', w.at) * 1000 / date_part('epoch', r.per)) HAVING count(*) > 1
        LIMIT c_starts)) FOR UPDATE SKIP LOCKED))
    RETURNING s.key, s.at, s.units
  ), m AS (
    INSERT INTO rowcrew.limit_start (key, at, units)
    SELECT d.key, max(d.at), least(sum(d.units), 1000000000) FROM d JOIN rowcrew.job_limit r ON r.name = split_part(d.key, ':', 1)
    GROUP BY d.key, floor(date_part('epoch', d.at) * 1000 / date_part('epoch', r.per))
  )
  SELECT count(*) INTO v_merged FROM d;
  IF v_gone >= c_starts OR v_merged >= c_starts THEN
    next := coalesce(p_after, '');  -- these keys again
  END IF;
  -- Of a key that never comes back no claim folds what came back.
  WITH k AS MATERIALIZED (
    SELECT x.key FROM rowcrew.limit_key x
    WHERE x.key = ANY (v_keys) AND x.held > 0 AND x.held = (SELECT sum(f.n) FROM rowcrew.limit_freed f WHERE f.key = x.key) FOR UPDATE SKIP LOCKED
  ), f AS (
    DELETE FROM rowcrew.limit_freed x WHERE x.key = ANY (ARRAY(SELECT k.key FROM k)) RETURNING x.key, x.n
  )
  UPDATE rowcrew.limit_key k SET held = k.held - s.n FROM (SELECT f.key, sum(f.n) AS n FROM f GROUP BY f.key) s WHERE k.key = ANY (ARRAY[s.key]);
  DELETE FROM rowcrew.limit_key k WHERE k.ctid = ANY (ARRAY(
    SELECT x.ctid FROM rowcrew.limit_key x LEFT JOIN rowcrew.job_limit r ON r.name = split_part(x.key, ':', 1)
    WHERE x.key = ANY (v_keys) AND x.held = 0 AND NOT EXISTS (SELECT FROM rowcrew.limit_freed f WHERE f.key = x.key)
      AND NOT EXISTS (SELECT FROM rowcrew.limit_start s WHERE s.key = x.key)
      AND (r.burst IS NULL OR x.level IS NULL
           OR x.level + r.units * extract(epoch FROM rowcrew.clock() - x.filled_at) / extract(epoch FROM r.per) >= r.burst)
    FOR UPDATE OF x SKIP LOCKED));
END $$;

UPDATE rowcrew.meta SET schema_version = 18;
