-- 0017: claims of jobs that rules are about.

-- Makes <table>_take(), which claims jobs that wait for permits. What has ended earlier in this transaction
-- (p_ended: tokens of claims that end with it; p_parts: of claims of which p_left jobs still run) gives its
-- permits back first: where p_first says so, to the next jobs of the same groups. An ended claim whose keys are
-- all of running jobs is theirs as it stands, and no key is touched. Then, where p_groups says how many to begin
-- with, jobs are claimed from the groups after the cursor in turn.
-- The jobs of one group are one claim. Its permits come back with its row, or as its held is lowered.
-- p_counts is how many of each queue, p_slots how many of them at most find a slot at once. The others hold their
-- permits while they wait for one, so they are claimed only of keys of which plenty is left, and where no rule is a rate.
-- p_around: steps around jobs whose rows somebody holds, their hints stay; without it such a row makes the claim wait, and fail.
-- Returns the jobs; then a row per queue with a null id: in job_type where the next walk begins, in
-- run_at_us in how many ms it may find something (null: nothing waits), in attempts how many groups gave jobs, in max_attempts
-- 1 when it found no room in as many as it looks at and others wait. Of an adopted table also a row without id per job that was
-- laid aside (0023): in job_type its key, in app what the database said.
-- p_names: what the table's own statements say, by name. claim_t is the CTE u, which claims the jobs of t; claim_handed, a whole
-- statement, those of v_ids; may_be_taken judges the hint y while p_around; fence is the table that holds a job's token.
CREATE FUNCTION rowcrew.make_take(p_names jsonb) RETURNS void LANGUAGE plpgsql AS $make$
BEGIN
  EXECUTE rowcrew.adopted_fill($t$
CREATE OR REPLACE FUNCTION {take}(p_tokens bigint[], p_node bigint, p_epoch bigint, p_queues text[], p_counts integer[], p_slots integer[], p_cursors text[],
                                        p_groups integer[], p_first boolean[], p_ended bigint[], p_parts bigint[], p_left integer[], p_around boolean)
RETURNS TABLE (id {id_type}, job_type text, queue text, payload jsonb, attempts smallint, max_attempts smallint, crashes smallint,
               run_at_us bigint, priority smallint, app text, token bigint)
LANGUAGE plpgsql {rights}SET plan_cache_mode = force_generic_plan SET jit = off SET enable_hashjoin = on AS $f$
#variable_conflict use_column
DECLARE
  c_groups constant integer := 128;  -- looked at per queue
  c_handed constant integer := 10;   -- ended claims that are handed over, one by one: of more a walk is cheaper
  c_busy constant bigint := 2;       -- ms until a key that somebody else holds is looked at again
  c_left constant integer := 8;      -- permits of a key that jobs without a slot leave to others
  c_late constant interval := '2 s'; -- filed so long ago, it can be seen; who committed later is swept for as often
  c_again constant bigint := 200;    -- ms until a full key is looked at again: its permits come back unannounced
  v_rooms integer[] := p_counts;
  v_slots integer[] := p_slots;
  v_token integer := 0;              -- so many are used
  v_place integer;
  v_ids {key_type}[];
  v_runs timestamptz[];
  v_prios smallint[];
  v_sweep boolean;
  v_last_run timestamptz;
  v_count bigint;
  v_given_queues text[]; v_given_groups text[];
  v_some boolean[];   -- of the queues those where something may wait
  e record;
  v_queue text;       -- the one at hand
  v_room integer;
  v_free integer;     -- of it, into slots that are free
  v_given text[];     -- groups to look at before the walk
  v_from text;
  v_at text;          -- the last group looked at
  v_round boolean;    -- begun anew from the first
  v_last boolean;     -- no group follows
  v_step integer;
  v_looked integer;
  v_fed integer;
  v_look bigint;
  v_more boolean;
  v_looks bigint[] := '{}';
  v_cursors text[] := '{}';
  v_feds integer[] := '{}';
  v_mores smallint[] := '{}';
  -- of the groups that were walked to, where they share a key: what one takes the next has not, so they go one at a time
  l_grps text[];
  l_keys text[];
  l_units text[];
  l_no integer;       -- of them are done
  l_walked boolean;
  l_full text[];      -- keys in which one of them found no room
  -- of the groups at hand
  v_grps text[];
  v_keys text[];      -- each an array, as text
  v_units text[];
  v_all_keys text[];
  v_need integer[];
  v_shared boolean;
  v_plain boolean := NOT EXISTS (SELECT FROM rowcrew.job_limit r WHERE r.weight IS NOT NULL);
  -- Nothing but limits of how many run, none of them paused: what is common is cheaper.
  v_simple boolean := NOT EXISTS (SELECT FROM rowcrew.job_limit r WHERE r.units IS NOT NULL) AND NOT p_around
    AND NOT EXISTS (SELECT FROM rowcrew.pause x WHERE x.scope = 'key' AND (x.until IS NULL OR x.until > rowcrew.clock()));
  v_now timestamptz;
  -- what to take of them
  k_key text[];
  k_kind text[];
  k_most integer[];
  k_folded integer[];
  k_level double precision[];
  t_grp text[];
  t_keys text[];
  t_none text[];
  t_hints tid[];
  v_got integer;      -- hints taken of them
  v_full bigint;      -- the last group that gave a job
  v_wait bigint;
BEGIN
  -- Locked, as its held may be lowered meanwhile: raised again to what was read here, permits would be out that no key was charged for.
  FOR e IN SELECT c.token, c.queue, c.grp, c.keys, c.held, c.mark_priority, c.mark_run_at, c.sweep_at FROM {claim} c
           WHERE c.token = ANY (p_ended) AND c.keys IS NOT NULL LIMIT c_handed FOR UPDATE SKIP LOCKED LOOP
    v_place := array_position(p_queues, e.queue);
    CONTINUE WHEN v_place IS NULL OR NOT p_first[v_place] OR v_slots[v_place] <= 0 OR v_token >= cardinality(p_tokens);
    -- Not of keys of which more is out than their rules allow now, what came back counts as out here; nor while any is paused.
    CONTINUE WHEN EXISTS (SELECT FROM rowcrew.pause x WHERE x.scope = 'key' AND (x.until IS NULL OR x.until > rowcrew.clock())) OR EXISTS (
      SELECT FROM unnest(e.keys) AS x (key) LEFT JOIN rowcrew.job_limit r ON r.name = split_part(x.key, ':', 1)
      WHERE r.max_running IS NULL OR (SELECT l.held > r.max_running FROM rowcrew.limit_key l WHERE l.key = x.key));
    v_now := rowcrew.clock_now();
    v_sweep := coalesce(e.sweep_at <= v_now, true);
    WITH d AS (
      DELETE FROM {limited} WHERE ctid = ANY (ARRAY(
        SELECT y.hint FROM (
          -- Jobs that come before, and those from the mark on. Under an old snapshot all that were handed on before would be read again.
          VALUES (0::smallint, '-infinity'::timestamptz, CASE WHEN v_sweep THEN 10::smallint ELSE e.mark_priority END),
                 (e.mark_priority, e.mark_run_at, CASE WHEN v_sweep THEN 0::smallint ELSE 10::smallint END)) AS s (priority, run_at, below), LATERAL (
          SELECT x.ctid AS hint FROM {limited} x
          WHERE x.queue = e.queue AND x.grp = e.grp AND (x.priority, x.run_at) >= (s.priority, s.run_at) AND x.priority < s.below AND x.keys = e.keys
          ORDER BY x.priority, x.run_at LIMIT least(e.held, v_slots[v_place]) FOR UPDATE SKIP LOCKED) y
        LIMIT least(e.held, v_slots[v_place])))
      RETURNING id, run_at, priority
    )
    SELECT array_agg(x.id), array_agg(x.run_at), array_agg(x.priority) INTO v_ids, v_runs, v_prios FROM (SELECT d.* FROM d ORDER BY d.priority, d.run_at) x;
    CONTINUE WHEN v_ids IS NULL;
    IF v_sweep THEN  -- a twentieth of the time at most
      e.sweep_at := v_now + greatest(c_late, 20 * (rowcrew.clock_now() - v_now));
    END IF;
    v_last_run := least(v_runs[cardinality(v_runs)], v_now - c_late);
    IF v_sweep OR (v_prios[cardinality(v_prios)], v_last_run) >= (e.mark_priority, e.mark_run_at) THEN
      e.mark_priority := v_prios[cardinality(v_prios)];
      e.mark_run_at := v_last_run;
    END IF;
    v_token := v_token + 1;
    RETURN QUERY
    {claim_handed};
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_rooms[v_place] := v_rooms[v_place] - v_count;
    v_slots[v_place] := v_slots[v_place] - v_count;
    IF v_count > 0 THEN  -- with fewer jobs than before its trigger frees the rest
      UPDATE {claim} c SET token = p_tokens[v_token], ids = v_ids, held = v_count, claimed_at = rowcrew.clock(),
        mark_priority = e.mark_priority, mark_run_at = e.mark_run_at, sweep_at = e.sweep_at WHERE c.token = e.token;
    END IF;
    IF v_count < cardinality(v_ids) THEN
      PERFORM {file_truth}({table_name}, ARRAY(SELECT x.id{as_text} FROM unnest(v_ids) AS x (id) WHERE NOT EXISTS (
        SELECT FROM {fence} q WHERE q.id = ANY (ARRAY[x.id]) AND q.{fence_token} = p_tokens[v_token] OFFSET 0)));
    END IF;
  END LOOP;
  IF cardinality(p_ended) > 0 THEN  -- what went to nobody its trigger frees
    DELETE FROM {claim} c WHERE c.token = ANY (p_ended);
  END IF;
  IF cardinality(p_parts) > 0 THEN
    WITH u AS (
      UPDATE {claim} c SET held = x.remaining FROM unnest(p_parts, p_left) AS x (token, remaining)
      WHERE c.token = ANY (ARRAY[x.token]) AND c.held > x.remaining RETURNING c.queue, c.grp
    )
    SELECT array_agg(y.queue), array_agg(y.grp) INTO v_given_queues, v_given_groups FROM (SELECT DISTINCT u.queue, u.grp FROM u) y WHERE y.grp IS NOT NULL;
  END IF;

  -- All at once: a walk over nothing costs a hundred times as much, and most of many queues are empty. Of few it would be read in vain.
  v_some := ARRAY(SELECT cardinality(p_queues) <= 8 OR EXISTS (SELECT FROM {limited} x WHERE x.queue = w.queue AND x.grp > w.at)
                         OR EXISTS (SELECT FROM {limited} x WHERE x.queue = w.queue)
                  FROM unnest(p_queues, p_cursors) WITH ORDINALITY AS w (queue, at, no) ORDER BY w.no);
  FOR i IN 1..cardinality(p_queues) LOOP
    v_queue := p_queues[i];
    v_room := CASE WHEN v_simple THEN v_rooms[i] ELSE v_slots[i] END;
    v_free := v_slots[i];
    v_given := '{}';
    IF p_first[i] AND v_given_queues IS NOT NULL THEN
      v_given := ARRAY(SELECT x.grp FROM unnest(v_given_queues, v_given_groups) AS x (queue, grp) WHERE x.queue = v_queue);
    END IF;
    v_from := p_cursors[i];
    v_at := v_from;
    v_round := v_from = '' OR NOT v_some[i]; v_last := NOT v_some[i];
    v_looked := 0;
    v_step := greatest(p_groups[i], 1);
    v_fed := 0;
    v_look := NULL;
    v_more := false;
    v_got := NULL;
    l_full := '{}';
    l_grps := NULL;
    LOOP
      IF p_groups[i] = 0 AND cardinality(v_given) = 0 AND l_grps IS NULL THEN
        v_look := 0;
        EXIT;
      END IF;
      IF v_room <= 0 OR (v_free <= 0 AND v_got = 0) OR v_looked >= c_groups OR v_token >= cardinality(p_tokens) THEN
        IF v_looked >= c_groups AND v_fed = 0 AND v_look > 0 THEN
          v_more := true;
        ELSIF  -- first from here on: what was taken before may not be removed while there is an old snapshot, and would be read through
          EXISTS (SELECT FROM {limited} x WHERE x.queue = v_queue AND x.grp >= v_at) OR EXISTS (SELECT FROM {limited} x WHERE x.queue = v_queue) THEN
          v_look := 0;
        END IF;
        EXIT;
      END IF;
      IF v_last AND l_grps IS NULL THEN
        IF v_round THEN
          IF v_free <= 0 AND EXISTS (SELECT FROM {limited} x WHERE x.queue = v_queue) THEN  -- they might have had a slot
            v_look := 0;
          END IF;
          EXIT;
        END IF;
        v_round := true;
        v_at := '';
      END IF;
      IF l_grps IS NULL THEN
        v_step := least(v_step, c_groups - v_looked, cardinality(p_tokens) - v_token);
        WITH RECURSIVE walk AS (
          SELECT x.* FROM (
            SELECT y.grp, y.keys, y.units, 1 AS no FROM {limited} y
            WHERE cardinality(v_given) = 0 AND y.queue = v_queue AND y.grp > v_at ORDER BY y.grp, y.priority, y.run_at LIMIT 1) x
          UNION ALL
          SELECT x.* FROM walk w, LATERAL (
            SELECT y.grp, y.keys, y.units, w.no + 1 FROM {limited} y
            WHERE w.no < v_step AND y.queue = v_queue AND y.grp > w.grp ORDER BY y.grp, y.priority, y.run_at LIMIT 1) x
        ), g AS MATERIALIZED (
          SELECT w.grp, w.keys, w.units, w.no FROM walk w WHERE NOT v_round OR v_from = '' OR w.grp <= v_from
          UNION ALL
          SELECT x.grp, y.keys, y.units, x.no::integer FROM unnest(v_given[1:v_step]) WITH ORDINALITY AS x (grp, no), LATERAL (
            SELECT z.keys, z.units FROM {limited} z WHERE z.queue = v_queue AND z.grp = x.grp ORDER BY z.priority, z.run_at LIMIT 1) y
        ), n AS MATERIALIZED (
          SELECT x.key, min(x.need) AS need, count(*) AS groups FROM g, unnest(g.keys, g.units) AS x (key, need) GROUP BY x.key
        )
        SELECT array_agg(g.grp ORDER BY g.no), array_agg(g.keys::text ORDER BY g.no), array_agg(g.units::text ORDER BY g.no), (SELECT array_agg(n.key) FROM n),
               (SELECT array_agg(n.need) FROM n), (SELECT bool_or(n.groups > 1) FROM n)
        INTO v_grps, v_keys, v_units, v_all_keys, v_need, v_shared FROM g;
        l_walked := cardinality(v_given) = 0;
        v_given := v_given[v_step + 1:];
        v_last := l_walked AND coalesce(cardinality(v_grps), 0) < v_step;
        v_step := v_step * 2;
        CONTINUE WHEN v_grps IS NULL;
        IF v_shared THEN
          l_grps := v_grps;
          l_keys := v_keys;
          l_units := v_units;
          l_no := 0;
        END IF;
      END IF;
      IF l_grps IS NOT NULL THEN
        l_no := l_no + 1;
        v_grps := l_grps[l_no:l_no];
        v_keys := l_keys[l_no:l_no];
        v_all_keys := v_keys[1]::text[];
        v_need := l_units[l_no]::integer[];
        IF l_no = cardinality(l_grps) THEN
          l_grps := NULL;
        END IF;
        IF v_all_keys && l_full THEN
          IF l_walked THEN
            v_at := v_grps[1];
            v_looked := v_looked + 1;
          END IF;
          CONTINUE;
        END IF;
      END IF;

      IF v_simple THEN
        IF (SELECT count(*) FROM rowcrew.limit_key x WHERE x.key = ANY (v_all_keys)) < cardinality(v_all_keys) THEN
          PERFORM rowcrew.make_keys(v_all_keys);
        END IF;
        WITH n AS MATERIALIZED (
          SELECT x.no, y.key, y.place, r.max_running FROM unnest(v_keys) WITH ORDINALITY AS x (keys, no), unnest(x.keys::text[]) WITH ORDINALITY AS y (key, place)
          LEFT JOIN rowcrew.job_limit r ON r.name = split_part(y.key, ':', 1)
        ), l AS MATERIALIZED (
          SELECT x.key, x.held FROM rowcrew.limit_key x WHERE x.key = ANY (v_all_keys) FOR UPDATE SKIP LOCKED
        ), f AS (  -- of rows that another folded since this statement began nothing is returned
          DELETE FROM rowcrew.limit_freed x WHERE x.key = ANY (ARRAY(SELECT l.key FROM l)) RETURNING x.key, x.n
        ), k AS MATERIALIZED (
          SELECT l.key, l.held, coalesce(s.folded, 0) AS folded FROM l LEFT JOIN (SELECT f.key, sum(f.n)::integer AS folded FROM f GROUP BY f.key) s ON s.key = l.key
        ), r AS MATERIALIZED (
          SELECT n.no, greatest(0, min(CASE WHEN n.max_running IS NULL THEN 2000000000 WHEN k.key IS NULL THEN 0 ELSE n.max_running - k.held + k.folded END)) AS free,
                 CASE WHEN bool_or(n.max_running IS NOT NULL AND k.key IS NULL) THEN c_busy ELSE c_again END AS look,
                 array_agg(n.key ORDER BY n.place) FILTER (WHERE n.max_running IS NOT NULL) AS keys
          FROM n LEFT JOIN k ON k.key = n.key GROUP BY n.no ORDER BY n.no
        ), a AS MATERIALIZED (  -- what finds no slot free leaves half of each key, and some, to other nodes
          SELECT r.no, CASE WHEN sum(r.free) OVER (ORDER BY r.no) - r.free < v_free THEN r.free ELSE greatest(0, least(r.free / 2, r.free - c_left)) END AS free FROM r
        ), h AS MATERIALIZED (
          SELECT a.no, x.hint FROM a, LATERAL (
            SELECT y.ctid AS hint FROM {limited} y
            WHERE a.free > 0 AND y.queue = v_queue AND y.grp = v_grps[a.no] ORDER BY y.priority, y.run_at LIMIT least(a.free, v_room) FOR UPDATE SKIP LOCKED) x
          LIMIT v_room
        ), d AS MATERIALIZED (
          SELECT h.no, count(*) AS n FROM h GROUP BY h.no
        )
        SELECT (SELECT array_agg(h.hint) FROM h), array_agg(v_grps[r.no]) FILTER (WHERE d.n > 0), array_agg(r.keys::text) FILTER (WHERE d.n > 0),
               coalesce(sum(d.n), 0), max(d.no), min(r.look), (SELECT array_agg(k.key) FROM k), (SELECT array_agg(k.folded) FROM k),
               CASE WHEN v_shared THEN ARRAY(SELECT n.key FROM n LEFT JOIN k ON k.key = n.key WHERE n.max_running <= coalesce(k.held - k.folded, n.max_running)) END
        INTO t_hints, t_grp, t_keys, v_count, v_full, v_wait, k_key, k_folded, t_none FROM r LEFT JOIN d ON d.no = r.no;
      ELSE
        WITH k AS MATERIALIZED (
          SELECT * FROM rowcrew.lock_keys(v_all_keys, v_need)
        ), g AS MATERIALIZED (
          SELECT x.no, x.grp, x.keys, r.free, r.look, r.rated FROM unnest(v_grps, v_keys) WITH ORDINALITY AS x (grp, keys, no), LATERAL (
            SELECT min(CASE WHEN k.look IS NOT NULL THEN 0 ELSE k.free END) AS free, min(k.look) AS look, bool_or(k.kind IN ('bucket', 'window')) AS rated
            FROM unnest(x.keys::text[]) AS y (key) JOIN k ON k.key = y.key) r
        ), h AS MATERIALIZED (
          SELECT g.no, x.hint, x.units, row_number() OVER () AS seq FROM g, LATERAL (
            SELECT y.ctid AS hint, y.units FROM {limited} y
            WHERE g.free > 0 AND y.queue = v_queue AND y.grp = g.grp
              AND (NOT p_around OR {may_be_taken})
            ORDER BY y.priority, y.run_at LIMIT greatest(0, least(g.free, v_room)) FOR UPDATE SKIP LOCKED) x
          LIMIT CASE WHEN v_plain THEN v_room ELSE v_room + 500 END
        ), f AS MATERIALIZED (  -- from the first on as many as fit into every key
          SELECT h.no, h.hint, h.seq FROM h WHERE v_plain
          UNION ALL
          SELECT x.no, min(x.hint), x.seq FROM (
            SELECT h.no, h.hint, h.seq, k.free, sum(least(y.unit, k.most)) OVER (PARTITION BY h.no, y.place ORDER BY h.seq) AS gone
            FROM h JOIN g ON g.no = h.no, unnest(h.units, g.keys::text[]) WITH ORDINALITY AS y (unit, key, place) JOIN k ON k.key = y.key WHERE NOT v_plain) x
          GROUP BY x.no, x.seq HAVING bool_and(x.gone <= x.free)
        ), t AS MATERIALIZED (
          SELECT f.no, f.hint FROM f ORDER BY f.seq LIMIT v_room
        ), d AS MATERIALIZED (
          SELECT t.no, count(*) AS n FROM t GROUP BY t.no
        )
        SELECT (SELECT array_agg(t.hint) FROM t), array_agg(g.grp) FILTER (WHERE d.n > 0), array_agg(g.keys) FILTER (WHERE d.n > 0), coalesce(sum(d.n), 0), max(d.no),
               min(CASE WHEN g.look IS NOT NULL THEN g.look WHEN g.rated AND d.n > 0 THEN 0 ELSE c_again END),
               (SELECT array_agg(k.key) FROM k), (SELECT array_agg(k.kind) FROM k), (SELECT array_agg(k.most) FROM k), (SELECT array_agg(k.folded) FROM k),
               (SELECT array_agg(k.level) FROM k), ARRAY(SELECT k.key FROM k WHERE k.free <= 0)
        INTO t_hints, t_grp, t_keys, v_count, v_full, v_wait, k_key, k_kind, k_most, k_folded, k_level, t_none FROM g LEFT JOIN d ON d.no = g.no;
      END IF;
      v_got := coalesce(cardinality(t_hints), 0);
      v_now := rowcrew.clock_now();
      v_look := least(v_look, v_wait);
      IF v_shared THEN
        l_full := l_full || t_none;
      END IF;
      IF l_walked THEN
        v_place := cardinality(v_grps);
        IF v_count >= v_room THEN  -- those after the last one that was fed have not had their turn
          v_last := v_last AND v_full = v_place;
          v_place := v_full;
        END IF;
        v_at := v_grps[v_place];
        v_looked := v_looked + v_place;
        v_fed := v_fed + coalesce(cardinality(t_grp), 0);
      END IF;

      IF v_simple THEN
        IF v_got = 0 THEN
          UPDATE rowcrew.limit_key l SET held = l.held - k.folded FROM unnest(k_key, k_folded) AS k (key, folded) WHERE k.folded > 0 AND l.key = ANY (ARRAY[k.key]);
        ELSE
        RETURN QUERY
        WITH w AS MATERIALIZED (
          SELECT x.grp, x.keys::text[] AS keys, p_tokens[v_token + x.no] AS token FROM unnest(t_grp, t_keys) WITH ORDINALITY AS x (grp, keys, no)
        ), c AS MATERIALIZED (
          DELETE FROM {limited} WHERE ctid = ANY (t_hints) RETURNING id, run_at, priority, grp
        ), t AS MATERIALIZED (
          SELECT c.*, w.token FROM c JOIN w ON w.grp = c.grp
        ), {claim_t}, g AS MATERIALIZED (
          SELECT u.token, count(*) AS n, array_agg(u.id) AS ids FROM u GROUP BY u.token
        ), claim AS (
          INSERT INTO {claim} (token, node_id, epoch, ids, queue, grp, keys, held)
          SELECT w.token, p_node, p_epoch, g.ids, v_queue, w.grp, w.keys, g.n FROM g JOIN w ON w.token = g.token
        ), charged AS (
          UPDATE rowcrew.limit_key l SET held = l.held - k.folded + coalesce(used.n, 0)
          FROM unnest(k_key, k_folded) AS k (key, folded)
          LEFT JOIN (SELECT x.key, sum(g.n) AS n FROM g JOIN w ON w.token = g.token, unnest(w.keys) AS x (key) GROUP BY x.key) used ON used.key = k.key
          WHERE l.key = ANY (ARRAY[k.key]) AND (k.folded > 0 OR used.n > 0)
        ), anew AS MATERIALIZED (  -- what was not to be had is filed by what it is now
          SELECT {file_truth}({table_name}, ARRAY(SELECT c.id{as_text} FROM c EXCEPT SELECT u.id{as_text} FROM u)) WHERE (SELECT count(*) FROM c) > (SELECT count(*) FROM u)
        )
        SELECT u.id{as_text}, u.job_type, u.queue, u.payload, u.attempts, u.max_attempts, u.crashes, u.run_at_us, u.priority, u.app, u.token
        FROM u WHERE (SELECT count(*) FROM anew) >= 0;
        END IF;
      ELSE
        RETURN QUERY
        WITH k AS MATERIALIZED (
          SELECT * FROM unnest(k_key, k_kind, k_most, k_folded, k_level) AS x (key, kind, most, folded, level)
        ), w AS MATERIALIZED (
          SELECT x.grp, x.keys::text[] AS keys, p_tokens[v_token + x.no] AS token FROM unnest(t_grp, t_keys) WITH ORDINALITY AS x (grp, keys, no)
        ), c AS MATERIALIZED (
          DELETE FROM {limited} WHERE ctid = ANY (t_hints) RETURNING id, run_at, priority, grp, units
        ), t AS MATERIALIZED (
          SELECT c.*, w.token FROM c JOIN w ON w.grp = c.grp
        ), {claim_t}, g AS MATERIALIZED (
          SELECT u.token, count(*) AS n, array_agg(u.id) AS ids FROM u GROUP BY u.token
        ), used AS MATERIALIZED (
          SELECT x.key, sum(CASE WHEN v_plain THEN g.n ELSE (SELECT sum(least(t.units[x.place], k.most)) FROM u JOIN t ON t.id = u.id WHERE u.token = g.token) END) AS units
          FROM g JOIN w ON w.token = g.token, unnest(w.keys) WITH ORDINALITY AS x (key, place) JOIN k ON k.key = x.key GROUP BY x.key
        ), claim AS (
          INSERT INTO {claim} (token, node_id, epoch, ids, queue, grp, keys, held, claimed_at)
          SELECT w.token, p_node, p_epoch, g.ids, v_queue, w.grp, nullif(ARRAY(
            SELECT x.key FROM unnest(w.keys) WITH ORDINALITY AS x (key, place) JOIN k ON k.key = x.key AND k.kind = 'running' ORDER BY x.place), '{}'), g.n,
            v_now  -- when its starts are charged: units_back finds them by it
          FROM g JOIN w ON w.token = g.token
        ), charged AS (
          UPDATE rowcrew.limit_key l
          SET held = l.held - k.folded + CASE WHEN k.kind = 'running' THEN coalesce(used.units, 0) ELSE 0 END,
              level = CASE WHEN k.kind = 'bucket' THEN k.level - coalesce(used.units, 0) ELSE l.level END,
              filled_at = CASE WHEN k.kind = 'bucket' THEN v_now ELSE l.filled_at END
          FROM k LEFT JOIN used ON used.key = k.key
          WHERE l.key = ANY (ARRAY[k.key]) AND (k.folded > 0 OR (used.units > 0 AND k.kind IN ('running', 'bucket')))
        ), started AS (
          INSERT INTO rowcrew.limit_start (key, at, units) SELECT k.key, v_now, used.units FROM k JOIN used ON used.key = k.key WHERE k.kind = 'window'
        ), anew AS MATERIALIZED (  -- what was not to be had is filed by what it is now
          SELECT {file_truth}({table_name}, ARRAY(SELECT c.id{as_text} FROM c EXCEPT SELECT u.id{as_text} FROM u)) WHERE (SELECT count(*) FROM c) > (SELECT count(*) FROM u)
        )
        SELECT u.id{as_text}, u.job_type, u.queue, u.payload, u.attempts, u.max_attempts, u.crashes, u.run_at_us, u.priority, u.app, u.token
        FROM u WHERE (SELECT count(*) FROM anew) >= 0;
      END IF;
      v_token := v_token + coalesce(cardinality(t_grp), 0);
      v_room := v_room - v_count;
      v_free := v_free - v_count;
      GET DIAGNOSTICS v_count = ROW_COUNT;
      IF v_count < v_got THEN  -- stale hints, of which more may stand before what waits
        v_room := v_room + v_got - v_count;
        v_free := v_free + v_got - v_count;
        v_look := 0;
        PERFORM {drop_stale}({table_name}, v_queue, t_grp);
      END IF;
    END LOOP;
    v_cursors[i] := v_at;
    v_looks[i] := v_look;
    v_feds[i] := v_fed;
    v_mores[i] := v_more::integer;
  END LOOP;

  RETURN QUERY SELECT NULL::{id_type}, x.cursor, x.name, NULL::jsonb, x.fed::smallint, x.more, NULL::smallint, x.look, NULL::smallint, NULL::text, NULL::bigint
  FROM unnest(p_queues, v_cursors, v_looks, v_feds, v_mores) AS x (name, cursor, look, fed, more);
{refused}END $f$ $t$, p_names);
END $make$;

-- Of our own tables. "carried" says what table_map.cpp says for other claims.
DO $$
DECLARE
  v record;
BEGIN
  FOR v IN VALUES ('job_queue', 'job_type', 'CASE WHEN rowcrew.is_carried(q.payload) THEN q.payload END'),
                  ('processing_jobs', 'type', 'CASE WHEN rowcrew.is_carried(q.inputs) AND coalesce(octet_length(q.prompt), 0) <= 32768 THEN '
                   'jsonb_build_object(''type'', q.type, ''provider'', q.provider, ''external_id'', q.external_id, ''prompt'', q.prompt, ''inputs'', q.inputs) END') LOOP
    PERFORM rowcrew.make_take(jsonb_build_object(
      'take', format('rowcrew.%I', v.column1 || '_take'), 'claim', format('rowcrew.%I', v.column1 || '_claim'), 'limited', format('rowcrew.%I', v.column1 || '_limited'),
      'table_name', quote_literal(v.column1), 'id_type', 'uuid', 'key_type', 'uuid', 'as_text', '', 'rights', 'SECURITY DEFINER SET search_path = pg_catalog, pg_temp ',
      'file_truth', 'rowcrew.file_truth', 'drop_stale', 'rowcrew.drop_stale_limited', 'fence', format('rowcrew.%I', v.column1), 'fence_token', 'claim_token', 'refused', '',
      'may_be_taken', format('EXISTS (SELECT FROM rowcrew.%I q WHERE q.id = ANY (ARRAY[y.id]) FOR NO KEY UPDATE SKIP LOCKED)', v.column1),
      'claim_handed', format($t$UPDATE rowcrew.%1$I q
    SET status = 'processing', started_at = rowcrew.clock(), claim_token = p_tokens[v_token], worker_id = p_node
    FROM unnest(v_ids, v_runs, v_prios) AS x (id, run_at, priority)
    WHERE q.id = ANY (ARRAY[x.id]) AND q.status IN ('pending', 'retrying') AND q.queue = e.queue AND q.scheduled_at <= rowcrew.clock_now() AND q.crashes < 2
    RETURNING q.id, q.%2$I, q.queue, %3$s, q.attempts, q.max_attempts, q.crashes, (date_part('epoch', x.run_at) * 1000000)::bigint, x.priority, q.app, q.claim_token$t$,
        v.column1, v.column2, v.column3),
      'claim_t', format($t$u AS (
          UPDATE rowcrew.%1$I q
          SET status = 'processing', started_at = v_now, claim_token = t.token, worker_id = p_node
          FROM t
          WHERE q.id = ANY (ARRAY[t.id]) AND q.status IN ('pending', 'retrying') AND q.queue = v_queue AND q.scheduled_at <= v_now AND q.crashes < 2
          RETURNING q.id, q.%2$I AS job_type, q.queue, %3$s AS payload, q.attempts, q.max_attempts, q.crashes,
                    (date_part('epoch', t.run_at) * 1000000)::bigint AS run_at_us, t.priority, q.app, t.token
        )$t$, v.column1, v.column2, v.column3)));
  END LOOP;
END $$;

UPDATE rowcrew.meta SET schema_version = 17;
