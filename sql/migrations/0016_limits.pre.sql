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
COMMENT ON COLUMN rowcrew.job_limit.weight IS 'The units of a job: payload.<path>, a whole number. Null, or no such value: 1. At most what the rule allows at once.';
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
COMMENT ON TABLE rowcrew.limit_start IS 'What started when, of sliding windows; removed when no window reaches so far back.';

-- The keys of a job in order, what it takes of each, and the group of jobs with the same ones.
CREATE TYPE rowcrew.job_keys AS (grp text, keys text[], units integer[]);

-- What a path of a rule gives, null when the job has no such value. A long value stands under its hash.
CREATE FUNCTION rowcrew.limit_value(p_by text, p_tenant text, p_provider text, p_payload jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN length(v.value) > 100 THEN 'md5-' || md5(v.value) ELSE v.value END
  FROM (SELECT CASE p_by WHEN 'tenant' THEN p_tenant WHEN 'provider' THEN p_provider
               ELSE p_payload #>> (string_to_array(p_by, '.'))[2:] END AS value) v
$$;

-- Null: no rule is about such a job.
CREATE FUNCTION rowcrew.keys_of(p_queue text, p_type text, p_tenant text, p_provider text, p_payload jsonb) RETURNS rowcrew.job_keys
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
  k rowcrew.job_keys;
  r rowcrew.job_limit;
  v_value text;
BEGIN
  FOR r IN SELECT * FROM rowcrew.job_limit x ORDER BY x.name LOOP  -- few, and a value never sorts across names
    CONTINUE WHEN r.queue <> p_queue OR r.job_type <> p_type;
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
      k.units := k.units || CASE WHEN v_value ~ '^[0-9]{1,9}$' THEN greatest(1, least(v_value::integer, coalesce(r.burst, r.units))) ELSE 1 END;
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

CREATE FUNCTION rowcrew.free_permits() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  INSERT INTO rowcrew.limit_freed (key, n) SELECT unnest(OLD.keys), OLD.held - CASE TG_OP WHEN 'UPDATE' THEN NEW.held ELSE 0 END;
  RETURN NULL;
END $$;

-- Files jobs that wait and are due by what they are now: behind their rules, or as ready.
CREATE FUNCTION rowcrew.file_due(p_table text, p_ids uuid[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
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
      CREATE OR REPLACE FUNCTION rowcrew.%1$I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $f$
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
  folded integer,          -- permits that came back: to be taken off what is held
  level  double precision, -- of the bucket
  look   bigint            -- ms until a key without room may have some; null: nothing is known
);

-- Makes the rows of keys that have none and need one.
CREATE FUNCTION rowcrew.make_keys(p_keys text[]) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  -- Two that make the same rows in different orders would wait for each other.
  IF (SELECT count(*) FROM rowcrew.limit_key k WHERE k.key = ANY (p_keys)) < cardinality(p_keys)
     AND EXISTS (SELECT FROM unnest(p_keys) AS x (key) JOIN rowcrew.job_limit r ON r.name = split_part(x.key, ':', 1)
                 WHERE (r.max_running IS NOT NULL OR r.units IS NOT NULL) AND NOT EXISTS (SELECT FROM rowcrew.limit_key k WHERE k.key = ANY (ARRAY[x.key])))
     AND pg_try_advisory_xact_lock(hashtextextended('rowcrew.limit_key', 0)) THEN
    INSERT INTO rowcrew.limit_key (key)
    SELECT x.key FROM unnest(p_keys) AS x (key) JOIN rowcrew.job_limit r ON r.name = split_part(x.key, ':', 1)
    WHERE (r.max_running IS NOT NULL OR r.units IS NOT NULL) ON CONFLICT DO NOTHING;
  END IF;
END $$;

-- Locks keys as far as nobody else holds them, and tells what is left of each. Never waits: a key that
-- is being changed has no room for a moment. p_need: the units that the next job takes of each.
-- What came back is folded here and nowhere else, by whoever holds the key's row.
CREATE FUNCTION rowcrew.lock_keys(p_keys text[], p_need integer[]) RETURNS SETOF rowcrew.key_room
LANGUAGE plpgsql SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan SET enable_hashjoin = on AS $$
DECLARE
  c_busy constant bigint := 2;
  v_may text[] := p_keys;
  v_now timestamptz;
BEGIN
  PERFORM rowcrew.make_keys(p_keys);
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

-- Puts keys right whose permits do not add up: claims that were removed past their trigger (a restore,
-- replication) gave nothing back. Every move of a permit is one transaction, so within one snapshot a
-- difference is a fault, and it stays the same whatever happens meanwhile. Then removes what nothing
-- needs: keys without permits out and with a full bucket, starts beyond every window.
-- Returns how many keys were wrong.
CREATE FUNCTION rowcrew.forget_keys() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  v_wrong bigint;
  v_claims text := 'SELECT f.key, f.n FROM rowcrew.limit_freed f';
  v_claim regclass;
BEGIN
  FOR v_claim IN SELECT to_regclass(format('rowcrew.%I', x.name || '_claim'))
                 FROM (SELECT unnest(ARRAY['job_queue', 'processing_jobs']) AS name UNION ALL SELECT z.name FROM rowcrew.adopted_table z) x LOOP
    CONTINUE WHEN v_claim IS NULL;
    v_claims := v_claims || format(' UNION ALL SELECT unnest(c.keys), c.held FROM %s c WHERE c.keys IS NOT NULL', v_claim);
  END LOOP;
  EXECUTE format($q$
    UPDATE rowcrew.limit_key k SET held = k.held - d.surplus
    FROM (SELECT x.key, x.held - coalesce(o.out, 0) AS surplus FROM rowcrew.limit_key x
          LEFT JOIN (SELECT u.key, sum(u.n) AS out FROM (%s) u GROUP BY u.key) o ON o.key = x.key) d
    WHERE k.key = d.key AND d.surplus <> 0$q$, v_claims);
  GET DIAGNOSTICS v_wrong = ROW_COUNT;
  DELETE FROM rowcrew.limit_start s WHERE s.ctid = ANY (ARRAY(
    SELECT x.ctid FROM rowcrew.limit_start x LEFT JOIN rowcrew.job_limit r ON r.name = split_part(x.key, ':', 1)
    WHERE x.at < rowcrew.clock() - coalesce(r.per, interval '0') - interval '1 minute' LIMIT 10000 FOR UPDATE OF x SKIP LOCKED));
  DELETE FROM rowcrew.limit_key k WHERE k.ctid = ANY (ARRAY(
    SELECT x.ctid FROM rowcrew.limit_key x LEFT JOIN rowcrew.job_limit r ON r.name = split_part(x.key, ':', 1)
    WHERE x.held = 0 AND NOT EXISTS (SELECT FROM rowcrew.limit_freed f WHERE f.key = x.key)
      AND NOT EXISTS (SELECT FROM rowcrew.limit_start s WHERE s.key = x.key)
      AND (r.burst IS NULL OR x.level IS NULL
           OR x.level + r.units * extract(epoch FROM rowcrew.clock() - x.filled_at) / extract(epoch FROM r.per) >= r.burst)
    LIMIT 1000 FOR UPDATE OF x SKIP LOCKED));
  RETURN v_wrong;
END $$;

UPDATE rowcrew.meta SET schema_version = 16;
