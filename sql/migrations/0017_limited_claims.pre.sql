-- 0017: claims of jobs that rules are about.

-- What is left of a key, whose row is locked unless nothing limits it.
CREATE TYPE rowcrew.key_room AS (
  key    text,
  kind   text,             -- running, window, bucket or none
  free   bigint,           -- units left
  folded integer,          -- permits that came back: to be taken off what is held
  level  double precision, -- of the bucket
  look   bigint            -- ms until a key without room may have some; null: nothing is known
);

-- Locks keys as far as nobody else holds them, and tells what is left of each. Never waits: a key that
-- is being changed has no room for a moment. p_need: the units that the next job takes of each.
-- What came back is folded here and nowhere else, by whoever holds the key's row.
CREATE FUNCTION rowcrew.lock_keys(p_keys text[], p_need integer[]) RETURNS SETOF rowcrew.key_room
LANGUAGE plpgsql SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  c_busy constant bigint := 2;
  v_may text[] := p_keys;
  v_now timestamptz;
BEGIN
  -- Two that make the same rows in different orders would wait for each other.
  IF EXISTS (SELECT FROM unnest(p_keys) AS x (key) JOIN rowcrew.job_limit r ON r.name = split_part(x.key, ':', 1)
             WHERE (r.max_running IS NOT NULL OR r.units IS NOT NULL) AND NOT EXISTS (SELECT FROM rowcrew.limit_key k WHERE k.key = ANY (ARRAY[x.key])))
     AND pg_try_advisory_xact_lock(hashtextextended('rowcrew.limit_key', 0)) THEN
    INSERT INTO rowcrew.limit_key (key)
    SELECT x.key FROM unnest(p_keys) AS x (key) JOIN rowcrew.job_limit r ON r.name = split_part(x.key, ':', 1)
    WHERE (r.max_running IS NOT NULL OR r.units IS NOT NULL) ON CONFLICT DO NOTHING;
  END IF;
  -- What started within a window is read after its key was locked, by a statement that sees it all.
  IF EXISTS (SELECT FROM rowcrew.job_limit r WHERE r.units IS NOT NULL AND r.burst IS NULL) THEN
    v_may := ARRAY(SELECT k.key FROM rowcrew.limit_key k WHERE k.key = ANY (p_keys) FOR UPDATE SKIP LOCKED);
  END IF;
  v_now := rowcrew.clock_now();
  RETURN QUERY
  WITH n AS MATERIALIZED (
    SELECT x.key, x.need, r.max_running, r.units, r.per, r.burst,
           CASE WHEN r.max_running IS NOT NULL THEN 'running' WHEN r.burst IS NOT NULL THEN 'bucket' WHEN r.units IS NOT NULL THEN 'window' ELSE 'none' END AS kind,
           CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.pause y WHERE y.scope = 'key'))
                THEN (SELECT max(coalesce(y.until, 'infinity')) FROM rowcrew.pause y
                      WHERE y.scope = 'key' AND y.name IN (x.key, split_part(x.key, ':', 1)) AND (y.until IS NULL OR y.until > v_now)) END AS paused
    FROM unnest(p_keys, p_need) AS x (key, need) LEFT JOIN rowcrew.job_limit r ON r.name = split_part(x.key, ':', 1)
  ), l AS MATERIALIZED (
    SELECT k.key, k.held, k.level, k.filled_at FROM rowcrew.limit_key k
    WHERE k.key = ANY (ARRAY(SELECT n.key FROM n WHERE n.kind <> 'none' AND n.paused IS NULL)) AND k.key = ANY (v_may) FOR UPDATE SKIP LOCKED
  ), f AS (  -- of rows that another folded since this statement began nothing is returned
    DELETE FROM rowcrew.limit_freed x WHERE x.key = ANY (ARRAY(SELECT l.key FROM l)) RETURNING x.key, x.n
  ), s AS MATERIALIZED (
    SELECT f.key, sum(f.n)::integer AS folded FROM f GROUP BY f.key
  ), b AS MATERIALIZED (
    SELECT n.*, l.key IS NOT NULL AS locked, l.held, coalesce(s.folded, 0) AS folded,
           CASE n.kind WHEN 'bucket' THEN least(n.burst, coalesce(l.level + n.units * greatest(0, extract(epoch FROM v_now - l.filled_at)) / extract(epoch FROM n.per), n.burst)) END AS level,
           CASE n.kind WHEN 'window' THEN n.units - coalesce((SELECT sum(w.units) FROM rowcrew.limit_start w WHERE w.key = n.key AND w.at >= v_now - n.per), 0) END AS room
    FROM n LEFT JOIN l ON l.key = n.key LEFT JOIN s ON s.key = n.key
  )
  SELECT b.key, b.kind,
         CASE WHEN b.paused IS NOT NULL THEN 0 WHEN b.kind = 'none' THEN 2000000000 WHEN NOT b.locked THEN 0
              WHEN b.kind = 'running' THEN b.max_running - b.held + b.folded WHEN b.kind = 'bucket' THEN floor(b.level + 1e-9) ELSE b.room END::bigint,
         b.folded, b.level,
         CASE WHEN b.paused IS NOT NULL THEN CASE WHEN b.paused < 'infinity' THEN ceil(extract(epoch FROM b.paused - v_now) * 1000) END
              WHEN b.kind <> 'none' AND NOT b.locked THEN c_busy
              WHEN b.kind = 'bucket' AND b.level + 1e-9 < b.need THEN ceil((b.need - b.level) * extract(epoch FROM b.per) * 1000 / b.units)
              WHEN b.kind = 'window' AND b.room < b.need THEN (
                SELECT floor(extract(epoch FROM min(y.at) + b.per - v_now) * 1000) + 1
                FROM (SELECT w.at, sum(w.units) OVER (ORDER BY w.at) AS gone FROM rowcrew.limit_start w WHERE w.key = b.key AND w.at >= v_now - b.per) y
                WHERE y.gone >= b.need - b.room) END::bigint
  FROM b;
END $$;

-- Takes permits for one job, of all its keys or of none. Returns those that its claim row has to
-- hold; null: there is no room. A job without keys needs none.
CREATE FUNCTION rowcrew.take_keys(p_of rowcrew.job_keys) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  v_fits boolean;
  v_room rowcrew.key_room[];
BEGIN
  IF (p_of).grp IS NULL THEN
    RETURN '{}';
  END IF;
  SELECT array_agg(k), bool_and(k.free >= x.need) INTO v_room, v_fits
  FROM unnest((p_of).keys, (p_of).units) AS x (key, need) LEFT JOIN rowcrew.lock_keys((p_of).keys, (p_of).units) k ON k.key = x.key;
  v_fits := coalesce(v_fits, false);
  UPDATE rowcrew.limit_key l
  SET held = CASE WHEN k.kind = 'running' THEN l.held - k.folded + v_fits::integer ELSE l.held END,
      level = CASE WHEN k.kind = 'bucket' AND v_fits THEN k.level - x.need ELSE l.level END,
      filled_at = CASE WHEN k.kind = 'bucket' AND v_fits THEN rowcrew.clock_now() ELSE l.filled_at END
  FROM unnest(v_room) k JOIN unnest((p_of).keys, (p_of).units) AS x (key, need) ON x.key = k.key
  WHERE l.key = k.key AND (k.folded > 0 OR (v_fits AND k.kind IN ('running', 'bucket')));
  IF NOT v_fits THEN
    RETURN NULL;
  END IF;
  INSERT INTO rowcrew.limit_start (key, at, units)
  SELECT x.key, rowcrew.clock_now(), x.need FROM unnest(v_room) k JOIN unnest((p_of).keys, (p_of).units) AS x (key, need) ON x.key = k.key WHERE k.kind = 'window';
  RETURN ARRAY(SELECT k.key FROM unnest(v_room) k WHERE k.kind = 'running');
END $$;

-- Makes <table>_take(), which claims jobs that wait for permits:
--   first of groups whose jobs have ended earlier in this transaction (p_ended: tokens of claims that end with
--   it, whose rows go; p_parts: of those of which p_left jobs still run), so that what they give back goes on;
--   then, where p_groups says how many to begin with, of the groups after the cursor in turn.
-- The jobs of one group are one claim. Its permits come back with its row, or as its held is lowered.
-- Returns the jobs; then a row per queue with a null id: in job_type where the next walk begins, in
-- run_at_us in how many ms it may find something (null: nothing waits), in attempts how many groups gave jobs.
CREATE FUNCTION rowcrew.make_take(p_table text) RETURNS void LANGUAGE plpgsql AS $make$
DECLARE
  v_payload text := CASE p_table WHEN 'job_queue' THEN 'q.payload'
    ELSE 'jsonb_build_object(''type'', q.type, ''provider'', q.provider, ''external_id'', q.external_id, ''prompt'', q.prompt, ''inputs'', q.inputs)' END;
BEGIN
  EXECUTE format($t$
CREATE OR REPLACE FUNCTION rowcrew.%2$I(p_tokens bigint[], p_node bigint, p_epoch bigint, p_queues text[], p_counts integer[], p_cursors text[],
                                        p_groups integer[], p_ended bigint[], p_parts bigint[], p_left integer[])
RETURNS TABLE (id uuid, job_type text, queue text, payload jsonb, attempts smallint, max_attempts smallint, crashes smallint,
               run_at_us bigint, priority smallint, app text, token bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan SET jit = off AS $f$
#variable_conflict use_column
DECLARE
  c_groups constant integer := 64;   -- looked at per queue
  c_again constant bigint := 200;    -- ms until a full key is looked at again: its permits come back unannounced
  v_queue text;
  v_room integer;
  v_given_queues text[];
  v_given_groups text[];
  v_given text[];     -- groups to look at first
  v_token integer := 0;
  v_from text;
  v_at text;          -- the last group looked at
  v_round boolean;    -- begun anew from the first
  v_looked integer;
  v_step integer;
  v_fed integer;
  v_look bigint;
  v_looks bigint[] := '{}';
  v_cursors text[] := '{}';
  v_feds integer[] := '{}';
  -- of the groups at hand
  v_grps text[];
  v_keys text[];      -- each an array, as text
  v_many integer[];   -- jobs that wait, as far as there is room for them
  v_weighs boolean[];
  v_all_keys text[];
  v_need integer[];
  -- of their keys
  k_key text[];
  k_kind text[];
  k_free bigint[];
  k_folded integer[];
  k_level double precision[];
  k_look bigint[];
  -- what to take
  t_grp text[];
  t_keys text[];
  t_fits integer[];
  t_token bigint[];
  t_hints tid[];
  v_of text[];
  v_key text;
  v_place integer;
  v_fits integer;
  v_known boolean;    -- when there may be room
  v_more tid[];
  v_units bigint[];
  v_sum integer;
  v_count bigint;
  v_now timestamptz;
BEGIN
  IF cardinality(p_ended) > 0 OR cardinality(p_parts) > 0 THEN  -- the trigger frees their permits
    WITH d AS (
      DELETE FROM rowcrew.%3$I c WHERE c.token = ANY (p_ended) RETURNING c.queue, c.grp
    ), u AS (
      UPDATE rowcrew.%3$I c SET held = x.remaining FROM unnest(p_parts, p_left) AS x (token, remaining)
      WHERE c.token = ANY (ARRAY[x.token]) AND c.held > x.remaining RETURNING c.queue, c.grp
    )
    SELECT array_agg(y.queue), array_agg(y.grp) INTO v_given_queues, v_given_groups
    FROM (SELECT d.queue, d.grp FROM d UNION SELECT u.queue, u.grp FROM u) y WHERE y.grp IS NOT NULL;
  END IF;

  FOR i IN 1..cardinality(p_queues) LOOP
    v_queue := p_queues[i];
    v_room := p_counts[i];
    v_given := ARRAY(SELECT x.grp FROM unnest(v_given_queues, v_given_groups) AS x (queue, grp) WHERE x.queue = v_queue);
    v_from := p_cursors[i];
    v_at := v_from;
    v_round := v_from = '';
    v_looked := 0;
    v_step := greatest(p_groups[i], 1);
    v_fed := 0;
    v_look := NULL;
    LOOP
      IF v_room <= 0 OR v_looked >= c_groups OR v_token >= cardinality(p_tokens) OR (p_groups[i] = 0 AND cardinality(v_given) = 0) THEN
        IF EXISTS (SELECT FROM rowcrew.%4$I x WHERE x.queue = v_queue) THEN
          v_look := 0;
        END IF;
        EXIT;
      END IF;
      WITH RECURSIVE walk AS (
        SELECT x.* FROM (
          SELECT y.grp, y.keys, y.units, 1 AS no FROM rowcrew.%4$I y
          WHERE cardinality(v_given) = 0 AND y.queue = v_queue AND y.grp > v_at ORDER BY y.grp, y.priority, y.run_at LIMIT 1) x
        UNION ALL
        SELECT x.* FROM walk w, LATERAL (
          SELECT y.grp, y.keys, y.units, w.no + 1 FROM rowcrew.%4$I y
          WHERE w.no < least(v_step, c_groups - v_looked) AND y.queue = v_queue AND y.grp > w.grp ORDER BY y.grp, y.priority, y.run_at LIMIT 1) x
      ), g AS MATERIALIZED (
        SELECT w.grp, w.keys, w.units, w.no FROM walk w WHERE NOT v_round OR v_from = '' OR w.grp <= v_from
        UNION ALL
        SELECT x.grp, y.keys, y.units, x.no::integer FROM unnest(v_given) WITH ORDINALITY AS x (grp, no), LATERAL (
          SELECT z.keys, z.units FROM rowcrew.%4$I z WHERE z.queue = v_queue AND z.grp = x.grp ORDER BY z.priority, z.run_at LIMIT 1) y
      ), m AS MATERIALIZED (
        SELECT g.no, g.grp, g.keys, c.many, c.weighs FROM g, LATERAL (
          SELECT count(*)::integer AS many, coalesce(bool_or(1 <> ALL (x.units)), false) AS weighs
          FROM (SELECT y.units FROM rowcrew.%4$I y WHERE y.queue = v_queue AND y.grp = g.grp ORDER BY y.priority, y.run_at LIMIT v_room) x) c
      ), n AS (
        SELECT x.key, min(x.need) AS need FROM g, unnest(g.keys, g.units) AS x (key, need) GROUP BY x.key
      )
      SELECT array_agg(m.grp ORDER BY m.no), array_agg(m.keys::text ORDER BY m.no), array_agg(m.many ORDER BY m.no), array_agg(m.weighs ORDER BY m.no),
             (SELECT array_agg(n.key) FROM n), (SELECT array_agg(n.need) FROM n)
      INTO v_grps, v_keys, v_many, v_weighs, v_all_keys, v_need FROM m;
      IF v_grps IS NULL THEN
        IF cardinality(v_given) > 0 THEN
          v_given := '{}';
          CONTINUE;
        END IF;
        EXIT WHEN v_round;
        v_round := true;
        v_at := '';
        CONTINUE;
      END IF;

      SELECT array_agg(k.key), array_agg(k.kind), array_agg(k.free), array_agg(k.folded), array_agg(k.level), array_agg(k.look)
      INTO k_key, k_kind, k_free, k_folded, k_level, k_look FROM rowcrew.lock_keys(v_all_keys, v_need) k;
      v_now := rowcrew.clock_now();
      t_grp := '{}';
      t_keys := '{}';
      t_fits := '{}';
      t_token := '{}';
      t_hints := '{}';
      v_sum := 0;
      FOR g IN 1..cardinality(v_grps) LOOP
        EXIT WHEN v_room - v_sum <= 0 OR v_token >= cardinality(p_tokens);
        IF cardinality(v_given) = 0 THEN
          v_at := v_grps[g];
          v_looked := v_looked + 1;
        END IF;
        v_of := v_keys[g]::text[];
        v_fits := least(v_room - v_sum, v_many[g]);
        v_known := false;
        FOREACH v_key IN ARRAY v_of LOOP
          v_place := array_position(k_key, v_key);
          v_fits := least(v_fits, greatest(k_free[v_place], 0));
          IF k_look[v_place] IS NOT NULL THEN
            v_fits := 0;
            v_look := least(v_look, k_look[v_place]);
            v_known := true;
          END IF;
        END LOOP;
        v_more := NULL;
        IF v_weighs[g] AND v_fits > 0 THEN  -- as many from the first on as fit into every key
          WITH h AS MATERIALIZED (
            SELECT x.hint, x.units, row_number() OVER (ORDER BY x.priority, x.run_at, x.hint) AS no FROM (
              SELECT y.ctid AS hint, y.units, y.priority, y.run_at FROM rowcrew.%4$I y
              WHERE y.queue = v_queue AND y.grp = v_grps[g] ORDER BY y.priority, y.run_at LIMIT v_fits FOR UPDATE SKIP LOCKED) x
          ), s AS MATERIALIZED (
            SELECT h.no, h.hint, x.place, k_free[array_position(k_key, v_of[x.place])] AS free, sum(x.unit) OVER (PARTITION BY x.place ORDER BY h.no) AS gone
            FROM h, unnest(h.units) WITH ORDINALITY AS x (unit, place)
          ), t AS MATERIALIZED (
            SELECT s.no, min(s.hint) AS hint FROM s GROUP BY s.no HAVING bool_and(s.gone <= s.free)
          )
          SELECT array_agg(t.hint), count(*), (SELECT array_agg(x.gone ORDER BY x.place) FROM (
                   SELECT s.place, max(s.gone) AS gone FROM s WHERE s.no IN (SELECT t.no FROM t) GROUP BY s.place) x)
          INTO v_more, v_fits, v_units FROM t;
        END IF;
        IF v_fits <= 0 THEN
          v_look := least(v_look, CASE WHEN NOT v_known THEN c_again END);
          CONTINUE;
        END IF;
        FOR n IN 1..cardinality(v_of) LOOP
          v_place := array_position(k_key, v_of[n]);
          k_free[v_place] := k_free[v_place] - CASE WHEN v_more IS NULL THEN v_fits ELSE v_units[n] END;
        END LOOP;
        v_token := v_token + 1;
        v_sum := v_sum + v_fits;
        t_grp := t_grp || v_grps[g];
        t_keys := t_keys || v_keys[g];
        t_fits := t_fits || CASE WHEN v_more IS NULL THEN v_fits ELSE 0 END;
        t_token := t_token || p_tokens[v_token];
        t_hints := t_hints || coalesce(v_more, '{}');
        -- Whether more of the group would have fitted into rates, and when, is seen at the next look.
        v_look := least(v_look, CASE WHEN v_fits < v_many[g] AND EXISTS (
          SELECT FROM unnest(v_of) AS x (key) WHERE k_kind[array_position(k_key, x.key)] IN ('bucket', 'window')) THEN 0 ELSE c_again END);
      END LOOP;

      RETURN QUERY
      WITH w AS MATERIALIZED (
        SELECT x.grp, x.keys::text[] AS keys, x.fits, x.token FROM unnest(t_grp, t_keys, t_fits, t_token) AS x (grp, keys, fits, token)
      ), k AS MATERIALIZED (
        SELECT * FROM unnest(k_key, k_kind, k_folded, k_level) AS x (key, kind, folded, level)
      ), c AS MATERIALIZED (
        DELETE FROM rowcrew.%4$I WHERE ctid = ANY (ARRAY(
          SELECT y.hint FROM w, LATERAL (
            SELECT x.ctid AS hint FROM rowcrew.%4$I x WHERE x.queue = v_queue AND x.grp = w.grp
            ORDER BY x.priority, x.run_at LIMIT w.fits FOR UPDATE SKIP LOCKED) y) || t_hints)
        RETURNING id, run_at, priority, grp, units
      ), u AS (
        UPDATE rowcrew.%1$I q
        SET status = 'processing', started_at = v_now, claim_token = w.token, worker_id = p_node
        FROM c JOIN w ON w.grp = c.grp
        WHERE q.id = ANY (ARRAY[c.id]) AND q.status IN ('pending', 'retrying') AND q.queue = v_queue AND q.scheduled_at <= v_now AND q.crashes < 2
        RETURNING q.id, q.%5$I AS job_type, q.queue, %6$s AS payload, q.attempts, q.max_attempts, q.crashes, c.run_at, c.priority, q.app, w.token, c.grp, c.units
      ), g AS MATERIALIZED (
        SELECT u.grp, count(*) AS n, array_agg(u.id) AS ids FROM u GROUP BY u.grp
      ), used AS MATERIALIZED (
        SELECT x.key, sum(CASE WHEN w.fits > 0 THEN g.n ELSE (SELECT sum(u.units[x.place]) FROM u WHERE u.grp = g.grp) END) AS units
        FROM g JOIN w ON w.grp = g.grp, unnest(w.keys) WITH ORDINALITY AS x (key, place) GROUP BY x.key
      ), claim AS (
        INSERT INTO rowcrew.%3$I (token, node_id, epoch, ids, queue, grp, keys, held)
        SELECT w.token, p_node, p_epoch, g.ids, v_queue, g.grp, nullif(ARRAY(SELECT x.key FROM unnest(w.keys) AS x (key) JOIN k ON k.key = x.key AND k.kind = 'running'), '{}'), g.n
        FROM g JOIN w ON w.grp = g.grp
      ), charged AS (
        UPDATE rowcrew.limit_key l
        SET held = CASE WHEN k.kind = 'running' THEN l.held - k.folded + coalesce(used.units, 0) ELSE l.held END,
            level = CASE WHEN k.kind = 'bucket' THEN k.level - coalesce(used.units, 0) ELSE l.level END,
            filled_at = CASE WHEN k.kind = 'bucket' THEN v_now ELSE l.filled_at END
        FROM k LEFT JOIN used ON used.key = k.key
        WHERE l.key = ANY (ARRAY[k.key]) AND (k.folded > 0 OR (used.units > 0 AND k.kind IN ('running', 'bucket')))
      ), started AS (
        INSERT INTO rowcrew.limit_start (key, at, units) SELECT k.key, v_now, used.units FROM k JOIN used ON used.key = k.key WHERE k.kind = 'window'
      ), anew AS MATERIALIZED (  -- what was not to be had is filed by what it is now
        SELECT rowcrew.file_truth(%1$L, ARRAY(SELECT c.id FROM c EXCEPT SELECT u.id FROM u)) WHERE (SELECT count(*) FROM c) > (SELECT count(*) FROM u)
      )
      SELECT u.id, u.job_type, u.queue, u.payload, u.attempts, u.max_attempts, u.crashes, (extract(epoch FROM u.run_at) * 1000000)::bigint, u.priority, u.app, u.token
      FROM u WHERE (SELECT count(*) FROM anew) >= 0;
      GET DIAGNOSTICS v_count = ROW_COUNT;
      v_room := v_room - v_count;
      IF cardinality(v_given) = 0 THEN
        v_fed := v_fed + cardinality(t_grp);
        v_step := v_step * 2;
      END IF;
      IF v_count < v_sum THEN  -- stale hints, of which more may stand before what waits
        v_look := 0;
        PERFORM rowcrew.drop_stale_limited(%1$L, v_queue, t_grp);
      END IF;
      v_given := '{}';
    END LOOP;
    v_cursors[i] := v_at;
    v_looks[i] := v_look;
    v_feds[i] := v_fed;
  END LOOP;

  RETURN QUERY SELECT NULL::uuid, x.cursor, x.name, NULL::jsonb, x.fed::smallint, NULL::smallint, NULL::smallint, x.look, NULL::smallint, NULL::text, NULL::bigint
  FROM unnest(p_queues, v_cursors, v_looks, v_feds) AS x (name, cursor, look, fed);
END $f$ $t$, p_table, p_table || '_take', p_table || '_claim', p_table || '_limited', CASE p_table WHEN 'job_queue' THEN 'job_type' ELSE 'type' END, v_payload);
END $make$;

-- Removes hints of jobs that wait no longer in these groups, up to 500 each; what waits elsewhere is filed anew.
CREATE FUNCTION rowcrew.drop_stale_limited(p_table text, p_queue text, p_groups text[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  v_stale uuid[];
BEGIN
  EXECUTE format($q$
    WITH s AS (
      DELETE FROM rowcrew.%1$I WHERE ctid = ANY (ARRAY(
        SELECT y.hint FROM unnest($2) AS g (grp), LATERAL (
          SELECT x.ctid AS hint, x.id FROM rowcrew.%1$I x WHERE x.queue = $1 AND x.grp = g.grp ORDER BY x.priority, x.run_at LIMIT 500 FOR UPDATE SKIP LOCKED) y
        WHERE NOT EXISTS (SELECT FROM rowcrew.%2$I q WHERE q.id = ANY (ARRAY[y.id]) AND q.status IN ('pending', 'retrying') AND q.queue = $1
                          AND q.scheduled_at <= rowcrew.clock_now() AND q.crashes < 2 OFFSET 0)))
      RETURNING id
    )
    SELECT array_agg(id) FROM s$q$, p_table || '_limited', p_table) USING p_queue, p_groups INTO v_stale;
  IF v_stale IS NOT NULL THEN
    PERFORM rowcrew.file_truth(p_table, v_stale);
  END IF;
END $$;

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
