-- 0016: limits and rates: how many jobs of a kind may run at once, how many may start per time.
-- A job that a rule is about is not filed as ready: it waits in <table>_limited, in the group of jobs
-- with the same keys. Whoever claims from a group takes a permit of each of its keys in the same
-- transaction and writes them into the claim row; the end of that row gives them back. Producers read
-- the rules and nothing else: no key, no permit, no count.

CREATE TABLE rowcrew.job_limit (
  name        text     COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_.-]{0,62}$'),
  queue       text     COLLATE "C",
  job_type    text,
  keyed_by    text,
  max_running integer  CHECK (max_running BETWEEN 0 AND 1000000),
  units       integer  CHECK (units BETWEEN 1 AND 1000000000),
  per         interval CHECK (per BETWEEN interval '10 ms' AND interval '366 days'),
  burst       integer  CHECK (burst BETWEEN 1 AND 1000000000),
  weight      text,
  set_by      text     NOT NULL DEFAULT session_user,
  set_at      timestamptz NOT NULL DEFAULT rowcrew.clock(),
  CONSTRAINT running_or_rate CHECK (max_running IS NULL OR units IS NULL),
  CONSTRAINT units_per CHECK ((units IS NULL) = (per IS NULL)),
  CONSTRAINT burst_of_rate CHECK (burst IS NULL OR units IS NOT NULL),
  CONSTRAINT weight_of_rate CHECK (weight IS NULL OR units IS NOT NULL)
);
COMMENT ON TABLE rowcrew.job_limit IS
  'Rules about jobs: of a queue, of a job type, of both, or (neither) of all. Set by limit_set(), which moves what waits.';
COMMENT ON COLUMN rowcrew.job_limit.keyed_by IS
  'Null: one key for all of them. Else a key per value: tenant, provider (processing_jobs) or payload.<path>. A job without a value is not limited.';
COMMENT ON COLUMN rowcrew.job_limit.max_running IS 'At most so many run at once per key, in the whole fleet.';
COMMENT ON COLUMN rowcrew.job_limit.units IS
  'So many units may start per key within any span of "per" (a sliding window) or, with burst, flow into a bucket that holds burst.';
COMMENT ON COLUMN rowcrew.job_limit.weight IS 'The units of a job: payload.<path>, a number, rounded up. Null, or no such value: 1. At most what the rule allows at once.';
COMMENT ON CONSTRAINT running_or_rate ON rowcrew.job_limit IS 'A rule with neither is a lane: it limits nothing until it, or one of its keys, is paused.';

CREATE TABLE rowcrew.limit_key (
  key       text        COLLATE "C" PRIMARY KEY,
  held      integer     NOT NULL DEFAULT 0,
  level     double precision,
  filled_at timestamptz
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE rowcrew.limit_key IS
  'One row per key in use, locked by whoever takes permits. Permits out are held less the rows of limit_freed; no row: none are out.';

CREATE TABLE rowcrew.limit_freed (
  key text    COLLATE "C" NOT NULL,
  n   integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ON rowcrew.limit_freed (key);
ALTER TABLE rowcrew.limit_freed REPLICA IDENTITY FULL;
COMMENT ON TABLE rowcrew.limit_freed IS
  'Permits that came back. Rows of their own, so that whoever ends a job waits for no key and no two ends for each other.';

CREATE TABLE rowcrew.limit_start (
  key   text        COLLATE "C" NOT NULL,
  at    timestamptz NOT NULL,
  units integer     NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ON rowcrew.limit_start (key, at);
ALTER TABLE rowcrew.limit_start REPLICA IDENTITY FULL;
COMMENT ON TABLE rowcrew.limit_start IS
  'What started when, of sliding windows; removed when no window reaches so far back. Less than 0: of units charged then, for jobs '
  'that did not start after all; of a bucket only these.';

-- The keys of a job in order, what it takes of each, and the group of jobs with the same ones.
CREATE TYPE rowcrew.job_keys AS (grp text, keys text[], units integer[]);

-- What a path of a rule gives, null when the job has no such value. A long value stands under its hash.
CREATE FUNCTION rowcrew.limit_value(p_by text, p_tenant text, p_provider text, p_payload jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN length(v.value) > 100 THEN 'sha256-' || encode(sha256(replace(v.value, E'\\', E'\\\\')::bytea), 'hex') ELSE v.value END
  FROM (SELECT CASE p_by WHEN 'tenant' THEN p_tenant WHEN 'provider' THEN p_provider
               ELSE p_payload #>> (string_to_array(p_by, '.'))[2:] END AS value) v
$$;

-- Null: no rule is about such a job.
CREATE FUNCTION rowcrew.keys_of(p_queue text, p_type text, p_tenant text, p_provider text, p_payload jsonb) RETURNS rowcrew.job_keys
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  k rowcrew.job_keys;
  r rowcrew.job_limit;
  v_value text;
BEGIN
  FOR r IN SELECT * FROM rowcrew.job_limit x  -- a value never sorts across names
           WHERE (x.queue IS NULL OR x.queue = p_queue) AND (x.job_type IS NULL OR x.job_type = p_type) ORDER BY x.name LOOP
    IF r.keyed_by IS NOT NULL THEN
      v_value := rowcrew.limit_value(r.keyed_by, p_tenant, p_provider, p_payload);
      CONTINUE WHEN v_value IS NULL;
      k.keys := k.keys || (r.name || ':' || v_value);
    ELSE
      k.keys := k.keys || r.name;
    END IF;
    IF r.weight IS NULL THEN
      k.units := k.units || 1;
    ELSE
      v_value := rowcrew.limit_value(r.weight, p_tenant, p_provider, p_payload);
      k.units := k.units || CASE WHEN v_value ~ '^[0-9]+([.][0-9]+)?$' THEN greatest(1, least(ceil(v_value::numeric), coalesce(r.burst, r.units)))::integer ELSE 1 END;
    END IF;
  END LOOP;
  k.grp := k.keys::text;
  RETURN k;
END $$;

ALTER TABLE rowcrew.job_queue_claim ADD COLUMN queue text COLLATE "C", ADD COLUMN grp text COLLATE "C", ADD COLUMN keys text[],
  ADD COLUMN held integer NOT NULL DEFAULT 1, ADD COLUMN mark_priority smallint, ADD COLUMN mark_run_at timestamptz, ADD COLUMN sweep_at timestamptz;
ALTER TABLE rowcrew.processing_jobs_claim ADD COLUMN queue text COLLATE "C", ADD COLUMN grp text COLLATE "C", ADD COLUMN keys text[],
  ADD COLUMN held integer NOT NULL DEFAULT 1, ADD COLUMN mark_priority smallint, ADD COLUMN mark_run_at timestamptz, ADD COLUMN sweep_at timestamptz;
COMMENT ON COLUMN rowcrew.job_queue_claim.keys IS
  'Keys of which this claim holds permits, as many of each as held says. Lowering that gives some back, deleting the row the rest.';
COMMENT ON COLUMN rowcrew.job_queue_claim.mark_run_at IS
  'With mark_priority: where the jobs of the group that were handed on end. What lies before is read at sweep_at only.';
COMMENT ON COLUMN rowcrew.job_queue_claim.grp IS 'The group whose jobs this claim is of, where rules are about them.';

CREATE FUNCTION rowcrew.free_permits() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO rowcrew.limit_freed (key, n) SELECT unnest(OLD.keys), OLD.held - CASE TG_OP WHEN 'UPDATE' THEN NEW.held ELSE 0 END;
  RETURN NULL;
END $$;

-- Files jobs that wait and are due by what they are now: behind their rules, or as ready.
CREATE FUNCTION rowcrew.file_due(p_table text, p_ids uuid[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format($q$
    WITH j AS MATERIALIZED (
      SELECT q.id, q.priority, q.queue, q.crashes, rowcrew.keys_of(q.queue, %3$s) AS k FROM unnest($1) AS x (id) JOIN rowcrew.%1$I q ON q.id = ANY (ARRAY[x.id])
      WHERE q.status IN ('pending', 'retrying') AND q.crashes < 2
    ), l AS (
      INSERT INTO rowcrew.%2$I (run_at, id, priority, queue, grp, keys, units)
      SELECT rowcrew.clock_now(), id, priority, queue, (k).grp, (k).keys, (k).units FROM j WHERE (k).grp IS NOT NULL
    ), p AS (
      INSERT INTO rowcrew.%5$I (run_at, id, priority, queue, reason)
      SELECT rowcrew.clock_now(), id, priority, queue, 'rescued' FROM j WHERE (k).grp IS NULL AND crashes > 0
    )
    INSERT INTO rowcrew.%4$I (run_at, id, priority, queue)
    SELECT rowcrew.clock_now(), id, priority, queue FROM j WHERE (k).grp IS NULL AND crashes = 0$q$,
    p_table, p_table || '_limited', rowcrew.key_columns(p_table, 'q'), p_table || '_ready', p_table || '_parked') USING p_ids;
END $$;

-- Removes hints of jobs that wait no longer in these groups, up to 500 each; what waits elsewhere is filed anew.
CREATE FUNCTION rowcrew.drop_stale_limited(p_table text, p_queue text, p_groups text[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
CREATE FUNCTION rowcrew.file_truth(p_table text, p_ids uuid[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_due uuid[];
BEGIN
  EXECUTE format($q$
    WITH j AS MATERIALIZED (
      SELECT q.* FROM unnest($1) AS x (id) JOIN rowcrew.%1$I q ON q.id = ANY (ARRAY[x.id]) WHERE q.status IN ('pending', 'retrying')
    ), p AS (
      INSERT INTO rowcrew.%2$I (run_at, id, priority, queue, reason)
      SELECT greatest(j.scheduled_at, rowcrew.clock_now()), j.id, j.priority, j.queue, rowcrew.parked_reason(j.status, j.crashes)
      FROM j WHERE (j.scheduled_at > rowcrew.clock_now() OR j.crashes > 1)
        AND NOT (j.crashes = 0 AND EXISTS (  -- as in file_again
          SELECT FROM rowcrew.%2$I p WHERE p.run_at = j.scheduled_at AND p.id = j.id AND p.reason NOT IN ('rescued', 'suspect')
          AND p.priority = j.priority AND p.queue = j.queue OFFSET 0))
    )
    SELECT array_agg(j.id) FROM j WHERE j.scheduled_at <= rowcrew.clock_now() AND j.crashes < 2$q$, p_table, p_table || '_parked') USING p_ids INTO v_due;
  PERFORM rowcrew.file_due(p_table, v_due);
END $$;

-- What keys_of() is told of a row, as text for EXECUTE.
CREATE FUNCTION rowcrew.key_columns(p_table text, p_row text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE p_table WHEN 'job_queue' THEN format('%1$s.job_type, %1$s.tenant, NULL, %1$s.payload', p_row)
         ELSE format('%1$s.type, %1$s.tenant, %1$s.provider, %1$s.inputs', p_row) END
$$;

DO $$
DECLARE
  v_table text;
BEGIN
  FOREACH v_table IN ARRAY ARRAY['job_queue', 'processing_jobs'] LOOP
    EXECUTE format($t$
      CREATE TABLE rowcrew.%1$I (
        run_at timestamptz NOT NULL, id uuid NOT NULL, priority smallint NOT NULL, queue text COLLATE "C" NOT NULL,
        grp text COLLATE "C" NOT NULL, keys text[] NOT NULL, units integer[] NOT NULL
      ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
              autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off)$t$, v_table || '_limited');
    EXECUTE format('CREATE INDEX ON rowcrew.%I (queue, grp, priority, run_at)', v_table || '_limited');
    EXECUTE format('COMMENT ON TABLE rowcrew.%I IS ''Hints: what is due and waits for permits. Nobody but rowcrew writes here.''', v_table || '_limited');
    EXECUTE format('CREATE TRIGGER rowcrew_wake AFTER INSERT ON rowcrew.%I FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.wake(%L)', v_table || '_limited', v_table);
    EXECUTE format('ALTER TABLE rowcrew.%I ENABLE ALWAYS TRIGGER rowcrew_wake, REPLICA IDENTITY FULL', v_table || '_limited');
    EXECUTE format('CREATE TRIGGER rowcrew_free AFTER DELETE ON rowcrew.%I FOR EACH ROW WHEN (OLD.keys IS NOT NULL)'
                   ' EXECUTE FUNCTION rowcrew.free_permits()', v_table || '_claim');
    EXECUTE format('CREATE TRIGGER rowcrew_free_some AFTER UPDATE OF held ON rowcrew.%I FOR EACH ROW WHEN (OLD.keys IS NOT NULL AND NEW.held < OLD.held)'
                   ' EXECUTE FUNCTION rowcrew.free_permits()', v_table || '_claim');
    EXECUTE format('ALTER TABLE rowcrew.%1$I ENABLE ALWAYS TRIGGER rowcrew_free, ENABLE ALWAYS TRIGGER rowcrew_free_some', v_table || '_claim');
    EXECUTE format($t$
      CREATE OR REPLACE FUNCTION rowcrew.%1$I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
      BEGIN
        DELETE FROM rowcrew.%2$I WHERE keys IS NOT NULL;  -- gives the permits back
        TRUNCATE rowcrew.%3$I, rowcrew.%4$I, rowcrew.%5$I, rowcrew.%2$I;
        DELETE FROM rowcrew.job_unique WHERE job_table = TG_TABLE_NAME;
        RETURN NULL;
      END $f$ $t$, v_table || '_empty', v_table || '_claim', v_table || '_ready', v_table || '_parked', v_table || '_limited');
    PERFORM rowcrew.keep_hints(v_table);
  END LOOP;
END $$;

-- What is left of a key, whose row is locked unless nothing limits it.
CREATE TYPE rowcrew.key_room AS (
  key    text,
  kind   text,             -- running, window, bucket or none
  free   bigint,           -- units left
  most   integer,          -- units of one job: its hint may have been filed by a rule that allowed more
  folded integer,          -- permits that came back: to be taken off what is held
  level  double precision, -- of the bucket
  look   bigint            -- ms until a key without room may have some; null: nothing is known
);

-- Held by whoever makes keys. A row, since an advisory lock is anybody's to take who may connect.
CREATE TABLE rowcrew.limit_turn (
  one boolean PRIMARY KEY DEFAULT true CHECK (one)
);
INSERT INTO rowcrew.limit_turn DEFAULT VALUES;

-- Makes the rows of keys that have none and need one.
CREATE FUNCTION rowcrew.make_keys(p_keys text[]) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Two that make the same rows in different orders would wait for each other.
  IF (SELECT count(*) FROM rowcrew.limit_key k WHERE k.key = ANY (p_keys)) < cardinality(p_keys)
     AND EXISTS (SELECT FROM unnest(p_keys) AS x (key) JOIN rowcrew.job_limit r ON r.name = split_part(x.key, ':', 1)
                 WHERE (r.max_running IS NOT NULL OR r.units IS NOT NULL) AND NOT EXISTS (SELECT FROM rowcrew.limit_key k WHERE k.key = ANY (ARRAY[x.key])))
     AND EXISTS (SELECT FROM rowcrew.limit_turn FOR NO KEY UPDATE SKIP LOCKED) THEN
    INSERT INTO rowcrew.limit_key (key)
    SELECT x.key FROM unnest(p_keys) AS x (key) JOIN rowcrew.job_limit r ON r.name = split_part(x.key, ':', 1)
    WHERE (r.max_running IS NOT NULL OR r.units IS NOT NULL) ON CONFLICT DO NOTHING;
  END IF;
END $$;

-- What one job takes at most of a key of this rule; of one that is gone, too.
CREATE FUNCTION rowcrew.most_units(r rowcrew.job_limit) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN r.weight IS NULL THEN 1 ELSE coalesce(r.burst, r.units) END
$$;

-- Locks keys as far as nobody else holds them, and tells what is left of each. Never waits: a key that
-- is being changed has no room for a moment. p_need: the units that the next job takes of each.
-- What came back is folded here and nowhere else, by whoever holds the key's row.
CREATE FUNCTION rowcrew.lock_keys(p_keys text[], p_need integer[]) RETURNS SETOF rowcrew.key_room
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_hashjoin = on AS $$
DECLARE
  c_busy constant bigint := 2;
  v_may text[] := p_keys;
  v_now timestamptz;
  v_rates boolean := EXISTS (SELECT FROM rowcrew.job_limit r WHERE r.units IS NOT NULL);
BEGIN
  PERFORM rowcrew.make_keys(p_keys);
  IF v_rates THEN  -- what started within a window is read after its key was locked, by a statement that sees it all
    v_may := ARRAY(SELECT k.key FROM rowcrew.limit_key k WHERE k.key = ANY (p_keys) FOR UPDATE SKIP LOCKED);
  END IF;
  v_now := rowcrew.clock_now();
  -- A clock that was set back would keep its keys until it comes there again.
  IF v_rates AND EXISTS (SELECT FROM rowcrew.limit_start w WHERE w.key = ANY (v_may) AND w.at > v_now) THEN
    UPDATE rowcrew.limit_start w SET at = v_now WHERE w.key = ANY (v_may) AND w.at > v_now;
  END IF;
  IF v_rates AND EXISTS (SELECT FROM rowcrew.job_limit r WHERE r.burst IS NOT NULL) THEN
    -- Back come units that were not used, less what flowed in meanwhile: that much a full bucket would not have kept.
    WITH z AS (
      DELETE FROM rowcrew.limit_start w USING rowcrew.job_limit r
      WHERE w.key = ANY (v_may) AND w.units < 0 AND r.name = split_part(w.key, ':', 1) AND r.burst IS NOT NULL
      RETURNING w.key, greatest(0, -w.units - r.units * extract(epoch FROM v_now - w.at) / extract(epoch FROM r.per)) AS units
    )
    UPDATE rowcrew.limit_key k SET level = k.level + coalesce(s.units, 0), filled_at = least(k.filled_at, v_now)
    FROM unnest(v_may) AS m (key) LEFT JOIN (SELECT z.key, sum(z.units) AS units FROM z GROUP BY z.key) s ON s.key = m.key
    WHERE k.key = ANY (ARRAY[m.key]) AND (s.units > 0 OR k.filled_at > v_now);
  END IF;
  RETURN QUERY
  WITH n AS MATERIALIZED (
    SELECT x.key, least(x.need, rowcrew.most_units(r)) AS need, rowcrew.most_units(r) AS most, r.max_running, r.units, r.per, r.burst,
           CASE WHEN r.max_running IS NOT NULL THEN 'running' WHEN r.burst IS NOT NULL THEN 'bucket' WHEN r.units IS NOT NULL THEN 'window' ELSE 'none' END AS kind,
           CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.pause y WHERE y.scope = 'key'))
                THEN (SELECT max(coalesce(y.until, 'infinity')) FROM rowcrew.pause y
                      WHERE y.scope = 'key' AND y.name IN (x.key, split_part(x.key, ':', 1)) AND (y.until IS NULL OR y.until > v_now)) END AS paused
    FROM unnest(p_keys, p_need) AS x (key, need) LEFT JOIN rowcrew.job_limit r ON r.name = split_part(x.key, ':', 1)
  ), l AS MATERIALIZED (
    SELECT k.key, k.held, k.level, k.filled_at FROM rowcrew.limit_key k
    WHERE k.key = ANY (ARRAY(SELECT n.key FROM n WHERE n.kind <> 'none' AND n.paused IS NULL INTERSECT SELECT unnest(v_may))) FOR UPDATE SKIP LOCKED
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
         b.most, b.folded, b.level,
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
CREATE FUNCTION rowcrew.take_keys(p_of rowcrew.job_keys) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_fits boolean;
  v_room rowcrew.key_room[];
BEGIN
  IF (p_of).grp IS NULL THEN
    RETURN '{}';
  END IF;
  SELECT array_agg(k), bool_and(k.free >= least(x.need, k.most)) INTO v_room, v_fits
  FROM unnest((p_of).keys, (p_of).units) AS x (key, need) LEFT JOIN rowcrew.lock_keys((p_of).keys, (p_of).units) k ON k.key = x.key;
  v_fits := coalesce(v_fits, false);
  UPDATE rowcrew.limit_key l
  SET held = l.held - k.folded + (k.kind = 'running' AND v_fits)::integer,
      level = CASE WHEN k.kind = 'bucket' AND v_fits THEN k.level - least(x.need, k.most) ELSE l.level END,
      filled_at = CASE WHEN k.kind = 'bucket' AND v_fits THEN rowcrew.clock_now() ELSE l.filled_at END
  FROM unnest(v_room) k JOIN unnest((p_of).keys, (p_of).units) AS x (key, need) ON x.key = k.key
  WHERE l.key = k.key AND (k.folded > 0 OR (v_fits AND k.kind IN ('running', 'bucket')));
  IF NOT v_fits THEN
    RETURN NULL;
  END IF;
  INSERT INTO rowcrew.limit_start (key, at, units)
  SELECT x.key, rowcrew.clock_now(), least(x.need, k.most) FROM unnest(v_room) k JOIN unnest((p_of).keys, (p_of).units) AS x (key, need) ON x.key = k.key WHERE k.kind = 'window';
  RETURN ARRAY(SELECT k.key FROM unnest(v_room) k WHERE k.kind = 'running');
END $$;

-- What statements say of a table, ours or an adopted one, for adopted_fill().
CREATE FUNCTION rowcrew.limits_of(p_table text) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT z.template FROM rowcrew.adopted_table z WHERE z.name = p_table), jsonb_build_object(
    'table', format('rowcrew.%I', p_table), 'claim', format('rowcrew.%I', p_table || '_claim'), 'limited', format('rowcrew.%I', p_table || '_limited'),
    'parked', format('rowcrew.%I', p_table || '_parked'), 'key', 'id', 'key_type', 'uuid', 'tenant', 'q.tenant',
    'job_type', CASE p_table WHEN 'job_queue' THEN 'q.job_type' ELSE 'q.type' END,
    'keys', format('rowcrew.keys_of(q.queue, %s)', rowcrew.key_columns(p_table, 'q'))))
$$;

-- Gives back what rates were charged for jobs that are handed back without having started, while their claims are there to tell.
-- Rows of their own once more: they leave a window together with the charge, and whoever calls waits for no key.
CREATE FUNCTION rowcrew.units_back(p_table text, p_ids text[], p_tokens bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM rowcrew.job_limit r WHERE r.units IS NOT NULL) THEN
    RETURN;
  END IF;
  EXECUTE rowcrew.adopted_fill($q$
    WITH j AS MATERIALIZED (
      SELECT c.grp::text[] AS charged, c.claimed_at, {keys} AS k
      FROM unnest($1::{key_type}[], $2) AS u (id, token) JOIN {claim} c ON c.token = ANY (ARRAY[u.token]) JOIN {table} q ON q.{key} = ANY (ARRAY[u.id])
      WHERE c.grp IS NOT NULL
    ), b AS (
      SELECT x.key, j.claimed_at AS at, sum(x.unit) AS units FROM j, unnest((j.k).keys, (j.k).units) AS x (key, unit) WHERE x.key = ANY (j.charged) GROUP BY x.key, j.claimed_at
    )
    INSERT INTO rowcrew.limit_start (key, at, units)
    SELECT b.key, b.at, -CASE WHEN r.burst IS NULL THEN least(b.units, s.units) ELSE b.units END
    FROM b JOIN rowcrew.job_limit r ON r.name = split_part(b.key, ':', 1) AND r.units IS NOT NULL,
      LATERAL (SELECT sum(w.units) AS units FROM rowcrew.limit_start w WHERE w.key = b.key AND w.at = b.at) s
    WHERE r.burst IS NOT NULL OR s.units > 0$q$, rowcrew.limits_of(p_table)) USING p_ids, p_tokens;
END $$;

-- More jobs of the groups of these claims that are of a paused type or tenant, out of the way of claims: up to 1000, without a write to them.
CREATE FUNCTION rowcrew.shelve_limited(p_table text, p_tokens bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE rowcrew.adopted_fill($q$
    WITH h AS MATERIALIZED (
      SELECT x.* FROM (SELECT DISTINCT c.queue, c.grp FROM {claim} c WHERE c.token = ANY ($1) AND c.grp IS NOT NULL) g, LATERAL (
        SELECT l.ctid AS hint, l.id, l.priority, l.queue FROM {limited} l WHERE l.queue = g.queue AND l.grp = g.grp
        ORDER BY l.priority, l.run_at LIMIT 1000 FOR UPDATE SKIP LOCKED) x
      LIMIT 1000
    ), p AS MATERIALIZED (
      SELECT h.*, rowcrew.paused_key({job_type}, {tenant}) AS pause FROM h JOIN {table} q ON q.{key} = ANY (ARRAY[h.id])
    ), d AS (
      DELETE FROM {limited} WHERE ctid = ANY (ARRAY(SELECT p.hint FROM p WHERE p.pause IS NOT NULL))
    )
    INSERT INTO {parked} (run_at, id, priority, queue, reason, key)
    SELECT rowcrew.clock() + interval '100 years', p.id, p.priority, p.queue, 'paused', p.pause FROM p WHERE p.pause IS NOT NULL$q$,
    rowcrew.limits_of(p_table)) USING p_tokens;
END $$;

UPDATE rowcrew.meta SET schema_version = 16;
