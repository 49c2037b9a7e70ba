-- 0017: claims of jobs that rules are about.

-- What a taker knows of the keys of one group, whose rows it has locked.
CREATE TYPE rowcrew.key_room AS (
  free   integer[],      -- units left of each key
  freed  integer[],      -- permits that came back and are to be folded into held
  level  double precision[],
  kinds  text[],         -- running, window, bucket or none
  at     timestamptz,    -- of the starts that are charged
  look   bigint          -- ms until one that is full may have room again; null when nothing is known
);

-- Locks the keys of a group as far as nobody else holds one, and tells what is left of each. Never
-- waits: a key that is being changed has no room for a moment. Each statement here sees what was
-- committed before it began, so what is read after the lock is the truth.
CREATE FUNCTION rowcrew.lock_keys(p_keys text[], p_units integer[]) RETURNS rowcrew.key_room
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
  c_busy constant bigint := 2;
  o rowcrew.key_room;
  r rowcrew.job_limit;
  k rowcrew.limit_key;
  v_until timestamptz;
  v_sum bigint;
BEGIN
  o.at := rowcrew.clock_now();
  FOR i IN 1..cardinality(p_keys) LOOP
    o.free[i] := 2000000000;  -- of what nothing limits (any more) there is always room
    o.kinds[i] := 'none';
    SELECT * INTO r FROM rowcrew.job_limit x WHERE x.name = split_part(p_keys[i], ':', 1);
    SELECT max(coalesce(x.until, 'infinity')) INTO v_until FROM rowcrew.pause x
    WHERE x.scope = 'key' AND x.name IN (p_keys[i], split_part(p_keys[i], ':', 1)) AND (x.until IS NULL OR x.until > o.at);
    IF v_until IS NOT NULL THEN
      o.free[i] := 0;
      o.look := CASE WHEN v_until < 'infinity' THEN ceil(extract(epoch FROM v_until - o.at) * 1000) END;
      RETURN o;
    END IF;
    CONTINUE WHEN r.name IS NULL OR (r.max_running IS NULL AND r.units IS NULL);
    SELECT * INTO k FROM rowcrew.limit_key x WHERE x.key = p_keys[i] FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
      -- Two that make the same rows in different orders would wait for each other.
      IF NOT EXISTS (SELECT FROM rowcrew.limit_key x WHERE x.key = p_keys[i])
         AND pg_try_advisory_xact_lock(hashtextextended('rowcrew.limit_key:' || p_keys[i], 0)) THEN
        INSERT INTO rowcrew.limit_key (key) VALUES (p_keys[i]) ON CONFLICT DO NOTHING;
        SELECT * INTO k FROM rowcrew.limit_key x WHERE x.key = p_keys[i] FOR UPDATE SKIP LOCKED;
      END IF;
      IF k.key IS DISTINCT FROM p_keys[i] THEN
        o.free[i] := 0;
        o.look := c_busy;
        RETURN o;
      END IF;
    END IF;
    o.at := greatest(o.at, rowcrew.clock_now());
    IF r.max_running IS NOT NULL THEN
      o.kinds[i] := 'running';
      SELECT count(*) INTO v_sum FROM rowcrew.limit_freed f WHERE f.key = p_keys[i];
      o.freed[i] := v_sum;
      o.free[i] := r.max_running - (k.held - o.freed[i]);
    ELSIF r.burst IS NOT NULL THEN
      o.kinds[i] := 'bucket';
      o.level[i] := least(r.burst, coalesce(k.level + r.units * greatest(0, extract(epoch FROM rowcrew.clock_now() - k.filled_at))
                                                      / extract(epoch FROM r.per), r.burst));
      o.free[i] := floor(o.level[i] + 1e-9);
      IF o.free[i] < p_units[i] THEN
        o.look := greatest(o.look, ceil((p_units[i] - o.level[i]) * extract(epoch FROM r.per) * 1000 / r.units));
      END IF;
    ELSE
      o.kinds[i] := 'window';
      SELECT r.units - coalesce(sum(s.units), 0) INTO v_sum FROM rowcrew.limit_start s
      WHERE s.key = p_keys[i] AND s.at >= rowcrew.clock_now() - r.per;
      o.free[i] := v_sum;
      IF o.free[i] < p_units[i] THEN
        SELECT floor(extract(epoch FROM min(w.at) + r.per - rowcrew.clock_now()) * 1000) + 1 INTO v_sum FROM (
          SELECT s.at, sum(s.units) OVER (ORDER BY s.at) AS gone FROM rowcrew.limit_start s
          WHERE s.key = p_keys[i] AND s.at >= rowcrew.clock_now() - r.per) w
        WHERE w.gone >= p_units[i] - o.free[i];
        o.look := greatest(o.look, v_sum);
      END IF;
    END IF;
  END LOOP;
  o.at := rowcrew.clock_now();
  RETURN o;
END $$;

-- Charges what was taken of keys that lock_keys() has locked.
CREATE FUNCTION rowcrew.charge_keys(p_keys text[], p_room rowcrew.key_room, p_used integer[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  FOR i IN 1..cardinality(p_keys) LOOP
    IF p_room.kinds[i] = 'running' AND (p_used[i] > 0 OR p_room.freed[i] > 0) THEN
      IF p_room.freed[i] > 0 THEN
        DELETE FROM rowcrew.limit_freed f WHERE f.ctid = ANY (ARRAY(
          SELECT x.ctid FROM rowcrew.limit_freed x WHERE x.key = p_keys[i] LIMIT p_room.freed[i]));
      END IF;
      UPDATE rowcrew.limit_key k SET held = k.held - p_room.freed[i] + p_used[i] WHERE k.key = p_keys[i];
    ELSIF p_room.kinds[i] = 'bucket' AND p_used[i] > 0 THEN
      UPDATE rowcrew.limit_key k SET level = p_room.level[i] - p_used[i], filled_at = p_room.at WHERE k.key = p_keys[i];
    ELSIF p_room.kinds[i] = 'window' AND p_used[i] > 0 THEN
      INSERT INTO rowcrew.limit_start (key, at, units) VALUES (p_keys[i], p_room.at, p_used[i]);
    END IF;
  END LOOP;
END $$;

-- Takes permits for one job, of all its keys or of none. Returns those that its claim row has to
-- hold; null: there is no room. A job without keys needs none.
CREATE FUNCTION rowcrew.take_keys(p_of rowcrew.job_keys) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  k rowcrew.key_room;
  v_held text[] := '{}';
BEGIN
  IF (p_of).grp IS NULL THEN
    RETURN v_held;
  END IF;
  k := rowcrew.lock_keys((p_of).keys, (p_of).units);
  FOR n IN 1..cardinality((p_of).keys) LOOP
    IF coalesce(k.free[n], 0) < (p_of).units[n] THEN
      RETURN NULL;
    ELSIF k.kinds[n] = 'running' THEN
      v_held := v_held || (p_of).keys[n];
    END IF;
  END LOOP;
  PERFORM rowcrew.charge_keys((p_of).keys, k, (p_of).units);
  RETURN v_held;
END $$;

-- Makes <table>_take(), which claims jobs that wait for permits, at most one per token:
--   first, for jobs of ended claims whose ends stand earlier in this transaction, the next job of the
--   same group in the same claim row: no key is touched. The rows of the others go.
--   then, where it is to walk, from the groups after the cursor in turn, as far as their keys have room.
-- Returns the jobs; then a row per queue with a null id, in job_type where the next walk begins and in
-- run_at_us in how many ms it may find something (null: nothing waits).
CREATE FUNCTION rowcrew.make_take(p_table text) RETURNS void LANGUAGE plpgsql AS $make$
DECLARE
  v_payload text := CASE p_table WHEN 'job_queue' THEN 'q.payload'
    ELSE 'jsonb_build_object(''type'', q.type, ''provider'', q.provider, ''external_id'', q.external_id, ''prompt'', q.prompt, ''inputs'', q.inputs)' END;
BEGIN
  EXECUTE format($t$
CREATE OR REPLACE FUNCTION rowcrew.%2$I(p_tokens bigint[], p_node bigint, p_epoch bigint, p_queues text[], p_counts integer[], p_cursors text[],
                                        p_walk boolean[], p_ended bigint[])
RETURNS TABLE (id uuid, job_type text, queue text, payload jsonb, attempts smallint, max_attempts smallint, crashes smallint,
               run_at_us bigint, priority smallint, app text, token bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan SET jit = off AS $f$
#variable_conflict use_column
DECLARE
  c_groups constant integer := 64;   -- looked at per queue
  c_again constant bigint := 200;    -- ms until a full key is looked at again: its permits come back unannounced
  v_ids uuid[] := '{}';
  v_tokens bigint[] := '{}';
  v_runs timestamptz[] := '{}';
  v_prios smallint[] := '{}';
  v_queues text[] := '{}';
  v_ats timestamptz[] := '{}';
  v_stale uuid[] := '{}';
  v_none bigint[];
  v_hints tid[];
  v_used integer[];
  v_claim_keys text[];
  v_room integer;
  v_fits integer;
  v_looked integer;
  v_look bigint;
  v_looks bigint[] := '{}';
  v_cursors text[] := '{}';
  v_grp text;
  v_from text;
  v_round boolean;
  v_count bigint;
  v_first integer;
  v_paused boolean;
  h record;
  l record;
  k rowcrew.key_room;
BEGIN
  IF cardinality(p_ended) > 0 THEN
    v_paused := EXISTS (SELECT FROM rowcrew.pause x WHERE x.scope = 'key');
    WITH e AS MATERIALIZED (
      SELECT x.*, row_number() OVER (PARTITION BY x.queue ORDER BY x.grp) AS place
      FROM (SELECT c.token, c.queue, c.grp, c.keys FROM rowcrew.%3$I c WHERE c.token = ANY (p_ended) AND c.grp IS NOT NULL FOR UPDATE) x
    ), a AS MATERIALIZED (
      SELECT e.queue, e.grp, e.keys, count(*) AS n, array_agg(e.token) AS tokens FROM e JOIN unnest(p_queues, p_counts) AS w (queue, n) ON w.queue = e.queue
      WHERE e.place <= w.n GROUP BY e.queue, e.grp, e.keys
    ), g AS MATERIALIZED (  -- not while more is out than a rule allows now; what came back counts as out here
      SELECT * FROM a WHERE NOT EXISTS (
        SELECT FROM unnest(a.keys) AS x (key) LEFT JOIN rowcrew.job_limit r ON r.name = split_part(x.key, ':', 1)
        WHERE r.max_running IS NULL OR EXISTS (SELECT FROM rowcrew.limit_key k WHERE k.key = ANY (ARRAY[x.key]) AND k.held > r.max_running))
      AND (NOT v_paused OR NOT EXISTS (SELECT FROM rowcrew.pause x WHERE x.scope = 'key' AND x.name IN (SELECT unnest(ARRAY[y.key, split_part(y.key, ':', 1)])
                                       FROM unnest(a.keys) AS y (key)) AND (x.until IS NULL OR x.until > rowcrew.clock())))
    ), d AS (
      DELETE FROM rowcrew.%4$I WHERE ctid = ANY (ARRAY(
        SELECT x.hint FROM g, LATERAL (
          SELECT i.ctid AS hint FROM rowcrew.%4$I i WHERE i.queue = g.queue AND i.grp = g.grp
          ORDER BY i.priority, i.run_at LIMIT g.n FOR UPDATE SKIP LOCKED) x))
      RETURNING id, run_at, priority, queue, grp
    ), y AS MATERIALIZED (
      SELECT d.*, row_number() OVER (PARTITION BY d.queue, d.grp) AS n, row_number() OVER () AS place FROM d
    ), p AS MATERIALIZED (
      SELECT y.id, y.run_at, y.priority, y.queue, g.tokens[y.n] AS held, p_tokens[y.place] AS token
      FROM y JOIN g ON g.queue = y.queue AND g.grp = y.grp
    ), m AS (
      UPDATE rowcrew.%3$I c SET token = p.token, ids = ARRAY[p.id], claimed_at = rowcrew.clock()
      FROM p WHERE c.token = ANY (ARRAY[p.held])
      RETURNING p.id, p.token, p.run_at, p.priority, p.queue
    )
    SELECT coalesce(array_agg(m.id), '{}'), coalesce(array_agg(m.token), '{}'), coalesce(array_agg(m.run_at), '{}'), coalesce(array_agg(m.priority), '{}'),
           coalesce(array_agg(m.queue), '{}'), coalesce(array_agg(rowcrew.clock_now()), '{}')
    INTO v_ids, v_tokens, v_runs, v_prios, v_queues, v_ats FROM m;
    DELETE FROM rowcrew.%3$I c WHERE c.token = ANY (p_ended);
  END IF;

  FOR i IN 1..cardinality(p_queues) LOOP
    v_room := p_counts[i] - coalesce(cardinality(array_positions(v_queues, p_queues[i])), 0);
    v_from := p_cursors[i];
    v_grp := v_from;
    v_round := v_from = '';
    v_looked := 0;
    v_look := NULL;
    LOOP
      IF v_room <= 0 OR v_looked >= c_groups OR NOT p_walk[i] THEN
        IF EXISTS (SELECT FROM rowcrew.%4$I x WHERE x.queue = p_queues[i]) THEN
          v_look := 0;
        END IF;
        EXIT;
      END IF;
      SELECT x.grp, x.keys, x.units INTO h FROM rowcrew.%4$I x WHERE x.queue = p_queues[i] AND x.grp > v_grp ORDER BY x.grp, x.priority, x.run_at LIMIT 1;
      IF NOT FOUND THEN
        EXIT WHEN v_round;
        v_round := true;
        v_grp := '';
        CONTINUE;
      END IF;
      EXIT WHEN v_round AND v_from <> '' AND h.grp > v_from;
      v_grp := h.grp;
      v_looked := v_looked + 1;
      k := rowcrew.lock_keys(h.keys, h.units);
      v_fits := v_room;
      v_used := array_fill(0, ARRAY[cardinality(h.keys)]);
      v_claim_keys := '{}';
      FOR n IN 1..cardinality(h.keys) LOOP
        v_fits := least(v_fits, CASE WHEN coalesce(k.free[n], 0) < h.units[n] THEN 0 ELSE k.free[n] END);
        IF k.kinds[n] = 'running' THEN
          v_claim_keys := v_claim_keys || h.keys[n];
        END IF;
      END LOOP;
      IF v_fits <= 0 THEN
        v_look := least(v_look, coalesce(k.look, c_again));
        CONTINUE;
      END IF;
      v_hints := '{}';
      v_first := cardinality(v_ids) + 1;
      -- Stale hints go on the way, however many: they must not use up the room, nor hide what waits behind them.
      FOR l IN SELECT x.ctid AS hint, x.id, x.run_at, x.priority, x.units, q.id IS NOT NULL AS waits
               FROM rowcrew.%4$I x LEFT JOIN rowcrew.%1$I q ON q.id = ANY (ARRAY[x.id]) AND q.status IN ('pending', 'retrying') AND q.queue = x.queue
                 AND q.scheduled_at <= rowcrew.clock_now() AND q.crashes < 2
               WHERE x.queue = p_queues[i] AND x.grp = h.grp ORDER BY x.priority, x.run_at LIMIT v_fits + 500 FOR UPDATE OF x SKIP LOCKED LOOP
        IF NOT l.waits THEN
          v_hints := v_hints || l.hint;
          v_stale := v_stale || l.id;
          CONTINUE;
        END IF;
        EXIT WHEN cardinality(v_ids) >= v_first - 1 + v_fits;
        FOR n IN 1..cardinality(h.keys) LOOP
          IF k.free[n] - v_used[n] < l.units[n] THEN
            v_fits := 0;
          END IF;
        END LOOP;
        EXIT WHEN v_fits = 0;
        FOR n IN 1..cardinality(h.keys) LOOP
          v_used[n] := v_used[n] + CASE WHEN k.kinds[n] = 'none' THEN 0 ELSE l.units[n] END;
        END LOOP;
        v_hints := v_hints || l.hint;
        v_ids := v_ids || l.id;
        v_tokens := v_tokens || p_tokens[cardinality(v_ids)];
        v_runs := v_runs || l.run_at;
        v_prios := v_prios || l.priority;
        v_queues := v_queues || p_queues[i];
        v_ats := v_ats || k.at;
      END LOOP;
      INSERT INTO rowcrew.%3$I (token, node_id, epoch, ids, queue, grp, keys)
      SELECT p_tokens[n], p_node, p_epoch, ARRAY[v_ids[n]], p_queues[i], CASE WHEN cardinality(v_claim_keys) = cardinality(h.keys) THEN h.grp END, v_claim_keys
      FROM generate_series(v_first, cardinality(v_ids)) AS x (n);
      DELETE FROM rowcrew.%4$I x WHERE x.ctid = ANY (v_hints);
      PERFORM rowcrew.charge_keys(h.keys, k, v_used);
      v_room := v_room - (cardinality(v_ids) - v_first + 1);
      -- Whether more of the group would have fitted, and when, is seen at the next look.
      v_look := least(v_look, CASE WHEN 'running' = ALL (k.kinds) AND cardinality(v_hints) = cardinality(v_ids) - v_first + 1 THEN c_again ELSE 0 END);
    END LOOP;
    v_cursors[i] := v_grp;
    v_looks[i] := v_look;
  END LOOP;

  RETURN QUERY
  UPDATE rowcrew.%1$I q
  SET status = 'processing', started_at = t.at, claim_token = t.token, worker_id = p_node
  FROM (SELECT * FROM unnest(v_ids, v_tokens, v_runs, v_prios, v_queues, v_ats) AS x (id, token, run_at, priority, queue, at) ORDER BY x.id) t
  WHERE q.id = ANY (ARRAY[t.id]) AND q.status IN ('pending', 'retrying') AND q.queue = t.queue AND q.scheduled_at <= rowcrew.clock_now() AND q.crashes < 2
  RETURNING q.id, q.%5$I, q.queue, %6$s, q.attempts, q.max_attempts, q.crashes, (extract(epoch FROM t.run_at) * 1000000)::bigint, t.priority, q.app, t.token;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  IF v_count < cardinality(v_ids) THEN  -- stale hints: their permits go back, those that wait are filed anew
    SELECT v_stale || array_agg(x.id), array_agg(x.token) INTO v_stale, v_none FROM unnest(v_ids, v_tokens) AS x (id, token)
    WHERE NOT EXISTS (SELECT FROM rowcrew.%1$I q WHERE q.id = ANY (ARRAY[x.id]) AND q.claim_token = x.token AND q.status = 'processing');
    DELETE FROM rowcrew.%3$I c WHERE c.token = ANY (v_none);
    v_looks := array_fill(0::bigint, ARRAY[cardinality(p_queues)]);  -- their room is still there
  END IF;
  IF cardinality(v_stale) > 0 THEN
    PERFORM rowcrew.file_truth(%1$L, v_stale);
  END IF;
  RETURN QUERY SELECT NULL::uuid, x.cursor, x.name, NULL::jsonb, NULL::smallint, NULL::smallint, NULL::smallint, x.look, NULL::smallint, NULL::text, NULL::bigint
  FROM unnest(p_queues, v_cursors, v_looks) AS x (name, cursor, look);
END $f$ $t$, p_table, p_table || '_take', p_table || '_claim', p_table || '_limited', CASE p_table WHEN 'job_queue' THEN 'job_type' ELSE 'type' END, v_payload);
END $make$;

-- Files jobs whose hint was wrong by what they are now.
CREATE FUNCTION rowcrew.file_truth(p_table text, p_ids uuid[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  v_due uuid[];
BEGIN
  EXECUTE format($q$
    WITH j AS MATERIALIZED (
      SELECT q.* FROM unnest($1) AS x (id) JOIN rowcrew.%1$I q ON q.id = ANY (ARRAY[x.id]) WHERE q.status IN ('pending', 'retrying')
    ), p AS (
      INSERT INTO rowcrew.%2$I (run_at, id, priority, queue, reason)
      SELECT greatest(j.scheduled_at, rowcrew.clock_now()), j.id, j.priority, j.queue, rowcrew.parked_reason(j.status, j.crashes)
      FROM j WHERE j.scheduled_at > rowcrew.clock_now() OR j.crashes > 1
    )
    SELECT array_agg(j.id) FROM j WHERE j.scheduled_at <= rowcrew.clock_now() AND j.crashes < 2$q$, p_table, p_table || '_parked') USING p_ids INTO v_due;
  PERFORM rowcrew.file_due(p_table, v_due);
END $$;

SELECT rowcrew.make_take('job_queue'), rowcrew.make_take('processing_jobs');

UPDATE rowcrew.meta SET schema_version = 17;
