-- 0010: the engine's speed and its sleep: one trigger instead of four on the hot updates, a gate that
-- spares producers NOTIFY while somebody is awake, and rescue side by side.

-- The same ids as before at half the cost: RFC 9562 version 7 differs from a random uuid in its first
-- 48 bits and in two bits of the version.
CREATE OR REPLACE FUNCTION rowcrew.uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid;

ALTER TABLE rowcrew.job_queue ADD COLUMN lonely_crashes smallint NOT NULL DEFAULT 0;
ALTER TABLE rowcrew.processing_jobs ADD COLUMN lonely_crashes smallint NOT NULL DEFAULT 0;
ALTER TABLE rowcrew.job_queue ADD COLUMN tenant text;
ALTER TABLE rowcrew.processing_jobs ADD COLUMN tenant text;
COMMENT ON COLUMN rowcrew.job_queue.tenant IS 'On whose behalf, for pause, cancel and redrive by tenant. Null: nobody''s.';
COMMENT ON COLUMN rowcrew.processing_jobs.tenant IS 'As in job_queue.';
COMMENT ON COLUMN rowcrew.job_queue.crashes IS
  'Claims that a node''s death ended. With one the job is claimed by itself, beside others; with more it runs alone on its node.';
COMMENT ON COLUMN rowcrew.job_queue.lonely_crashes IS
  'Those of the crashes that it met alone: nobody else can be to blame. The third fails it as poison.';
COMMENT ON COLUMN rowcrew.processing_jobs.lonely_crashes IS 'As in job_queue.';

-- A job is updated twice, and both updates must find room on its page to stay HOT: at 40 one in seven
-- had none, and three in ten while an old snapshot keeps the versions between. The table ends up no
-- larger, as it is the updates that fill its pages.
ALTER TABLE rowcrew.job_queue SET (fillfactor = 28);
ALTER TABLE rowcrew.processing_jobs SET (fillfactor = 28);

-- Whose session holds the lock of the gate: cut off or frozen, it may outlive its node by hours.
CREATE TABLE rowcrew.gate (
  one    boolean PRIMARY KEY DEFAULT true CHECK (one),
  leader bigint NOT NULL,
  tables text[] NOT NULL
);
COMMENT ON TABLE rowcrew.gate IS 'The node that decided last for the fleet whether producers must notify: its leader while it lives and holds the lock.';
COMMENT ON COLUMN rowcrew.gate.tables IS 'The job tables that it serves, and so looks after for all; * stands for every adopted one.';

-- The sleeper gate. Two advisory locks; nobody waits for either.
--   producers   hold 7126300142 shared until they commit, then test 7126300141 for a moment
--   the sleeper holds 7126300141 exclusively while it sleeps
-- Whoever finds the second one taken notifies. Whoever found it free still holds the first one while
-- its rows are invisible, so the sleeper tests that until it is free once, and only then trusts what
-- it sees (sql/queries/gate).
CREATE FUNCTION rowcrew.fleet_is_awake() RETURNS boolean LANGUAGE sql VOLATILE
RETURN CASE WHEN pg_try_advisory_xact_lock_shared(7126300142)
            THEN CASE WHEN pg_try_advisory_lock_shared(7126300141) THEN pg_advisory_unlock_shared(7126300141) ELSE false END
            ELSE false END;

CREATE FUNCTION rowcrew.wake_sleepers(p_channel_payload text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF rowcrew.fleet_is_awake() THEN
    RETURN;
  END IF;
  IF pg_catalog.texteq(coalesce(pg_catalog.current_setting('rowcrew.notify', true), ''), 'off') THEN
    RETURN;
  END IF;
  PERFORM pg_catalog.pg_notify('rowcrew_wake', p_channel_payload);
END $$;
COMMENT ON FUNCTION rowcrew.wake_sleepers(text) IS
  'Called by whatever makes a job due, in the transaction that does so. SET rowcrew.notify = off keeps it from '
  'notifying: for producers that PREPARE TRANSACTION, which a NOTIFY would forbid.';

-- On <table>_ready: fires for no rows too, which costs a sleeper one look. Asks first: a condition
-- is evaluated on the spot, while a PERFORM is a query, and somebody is nearly always awake.
CREATE OR REPLACE FUNCTION rowcrew.wake() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT rowcrew.fleet_is_awake() THEN
    PERFORM rowcrew.wake_sleepers(TG_ARGV[0]);
  END IF;
  RETURN NULL;
END $$;

-- On <table>_parked: what is due before the sleeper looks by itself.
CREATE FUNCTION rowcrew.wake_soon() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM fresh WHERE run_at < rowcrew.clock_now() + interval '40 s') THEN
    PERFORM rowcrew.wake_sleepers('parked');
  END IF;
  RETURN NULL;
END $$;

-- What the columns of a job may hold. Asked by triggers, whose plans are kept. Rows that a replica or
-- a restore inserts while triggers are off are not asked: they were where they come from.
CREATE FUNCTION rowcrew.job_is_sound(
  p_type text, p_status text, p_attempts smallint, p_max_attempts smallint, p_crashes smallint, p_lonely_crashes smallint,
  p_priority smallint, p_queue text, p_claim_token bigint, p_unique_key text, p_tenant text
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN length(p_type) BETWEEN 1 AND 100
   AND p_status IN ('pending', 'processing', 'completed', 'failed', 'retrying', 'cancelled')
   AND (p_status <> 'processing' OR p_claim_token IS NOT NULL)
   AND p_attempts >= 0 AND p_max_attempts BETWEEN 1 AND 1000 AND p_crashes >= 0 AND p_lonely_crashes >= 0
   AND p_priority BETWEEN 0 AND 9 AND length(p_queue) BETWEEN 1 AND 63
   AND (p_unique_key IS NULL OR length(p_unique_key) BETWEEN 1 AND 300) AND (p_tenant IS NULL OR length(p_tenant) BETWEEN 1 AND 100);

-- Says which rule such a job breaks, in the words of the CHECK constraint that the rule would be.
CREATE FUNCTION rowcrew.refuse_unsound(
  p_table text, p_type text, p_status text, p_attempts smallint, p_max_attempts smallint, p_crashes smallint,
  p_lonely_crashes smallint, p_priority smallint, p_queue text, p_claim_token bigint, p_unique_key text, p_tenant text
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_column text;
  v_expected text;
  v_found text;
BEGIN
  SELECT r.name, r.expected, r.found INTO v_column, v_expected, v_found
  FROM (VALUES
    (1, CASE p_table WHEN 'job_queue' THEN 'job_type' ELSE 'type' END, length(p_type) BETWEEN 1 AND 100, '1 to 100 characters', p_type),
    (2, 'status', p_status IN ('pending', 'processing', 'completed', 'failed', 'retrying', 'cancelled'),
     'pending, processing, completed, failed, retrying or cancelled', p_status),
    (3, NULL, p_status <> 'processing' OR p_claim_token IS NOT NULL, 'a claim token: only a claim sets it', p_status),
    (4, 'attempts', p_attempts >= 0, '0 or more', p_attempts::text),
    (5, 'max_attempts', p_max_attempts BETWEEN 1 AND 1000, '1 to 1000', p_max_attempts::text),
    (6, 'priority', p_priority BETWEEN 0 AND 9, '0 to 9', p_priority::text),
    (7, 'queue', length(p_queue) BETWEEN 1 AND 63, '1 to 63 characters', p_queue),
    (8, 'unique_key', length(p_unique_key) BETWEEN 1 AND 300, '1 to 300 characters', p_unique_key),
    (9, 'tenant', length(p_tenant) BETWEEN 1 AND 100, '1 to 100 characters', p_tenant),
    (10, 'crashes', p_crashes >= 0, '0 or more', p_crashes::text),
    (11, 'lonely_crashes', p_lonely_crashes >= 0, '0 or more', p_lonely_crashes::text)
  ) AS r (n, name, holds, expected, found) WHERE NOT r.holds ORDER BY r.n LIMIT 1;
  RAISE check_violation USING
    MESSAGE = format('new row for relation "%s" violates check constraint "%s"', p_table, concat_ws('_', p_table, v_column, 'check')),
    DETAIL = format('%s is %L, expected %s.', coalesce(v_column, 'status'), left(v_found, 100), v_expected),
    SCHEMA = 'rowcrew', TABLE = p_table, CONSTRAINT = concat_ws('_', p_table, v_column, 'check');
END $$;

-- Whether a job may run now, and whether it waits for later, told from its row.
CREATE FUNCTION rowcrew.job_is_due(p_status text, p_scheduled_at timestamptz, p_crashes smallint, p_now timestamptz)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN p_status IN ('pending', 'retrying') AND p_scheduled_at <= p_now AND p_crashes = 0;

CREATE FUNCTION rowcrew.job_is_parked(p_status text, p_scheduled_at timestamptz, p_crashes smallint, p_now timestamptz)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN p_status IN ('pending', 'retrying') AND (p_scheduled_at > p_now OR p_crashes > 0);

-- A job that has ended and is to run again needs its unique key back. Two live jobs of one key are what the key is against,
-- so the write is refused while another has it.
CREATE FUNCTION rowcrew.take_unique_again(p_table text, p_key text, p_job uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_holder uuid;
BEGIN
  IF current_setting('session_replication_role') = 'replica' THEN
    RETURN;  -- the row of the key is applied, too
  END IF;
  LOOP
    INSERT INTO rowcrew.job_unique (scope, key, job_table, job_id) VALUES ('live:' || p_table, p_key, p_table, p_job)
    ON CONFLICT (scope, key) DO NOTHING;
    EXIT WHEN FOUND;
    v_holder := (SELECT u.job_id FROM rowcrew.job_unique u WHERE u.scope = 'live:' || p_table AND u.key = p_key ORDER BY age(u.xmin) LIMIT 1);
    EXIT WHEN v_holder = p_job;
    IF v_holder IS NOT NULL THEN
      RAISE unique_violation USING
        MESSAGE = format('%s: job %s cannot run again: unique key %L is taken by job %s', p_table, p_job, p_key, v_holder),
        HINT = 'Run it again when that job has ended, or clear its unique_key in the same UPDATE.', SCHEMA = 'rowcrew', TABLE = p_table;
    END IF;
  END LOOP;
END $$;

-- Makes, or makes anew, the functions and triggers that keep the hints of a job table of ours.
CREATE FUNCTION rowcrew.keep_hints(p_table text) RETURNS void LANGUAGE plpgsql AS $keep$
DECLARE
  v_table text := format('rowcrew.%I', p_table);
  v_ready text := format('rowcrew.%I', p_table || '_ready'); v_parked text := format('rowcrew.%I', p_table || '_parked');
  v_file text := format('rowcrew.%I', p_table || '_file_new'); v_changed text := format('rowcrew.%I', p_table || '_changed');
  v_limited text := format('rowcrew.%I', p_table || '_limited');
  -- What rules about limits look at.
  v_of text := CASE p_table WHEN 'job_queue' THEN '%1$s.job_type, %1$s.tenant, NULL, %1$s.payload'
                    ELSE '%1$s.type, %1$s.tenant, %1$s.provider, %1$s.inputs' END;
  v_of_fresh text := format(v_of, 'f');
  v_of_new text := format(v_of, 'NEW');
  v_sound text := format('rowcrew.%I', p_table || '_sound');
  v_type text := CASE p_table WHEN 'job_queue' THEN 'job_type' ELSE 'type' END;
  v_columns text := v_type || ', status, attempts, max_attempts, crashes, lonely_crashes, priority, queue, claim_token, unique_key, tenant';
  v_new text := 'NEW.' || replace(v_columns, ', ', ', NEW.');
  v_payload text := CASE p_table WHEN 'job_queue' THEN 'payload' ELSE 'inputs' END;
BEGIN
  -- On the path of every enqueue, so it has no SET search_path, which is set and undone by each call.
  -- It runs with our rights and the inserter's path: name every type, function and table by its
  -- schema, and use no operator; conditions live in functions whose bodies are read when made.
  EXECUTE format($t$
    CREATE OR REPLACE FUNCTION %1$s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $f$
    DECLARE
      v_now pg_catalog.timestamptz := rowcrew.clock_now();
      v_limits pg_catalog.bool;
      v_plain pg_catalog.bool;  -- all rows are sound, due and nothing else; null: there is no row
    BEGIN
      SELECT NOT EXISTS (SELECT FROM fresh  -- of one row an aggregate costs more to set up than to compute
                         WHERE NOT (rowcrew.job_is_sound(%4$s) AND rowcrew.job_is_due(status, scheduled_at, crashes, v_now) AND rowcrew.payload_is_sound(%8$s))),
             EXISTS (SELECT FROM rowcrew.job_limit)
        INTO v_plain, v_limits FROM (SELECT FROM fresh LIMIT 1) one;
      IF v_plain AND NOT v_limits THEN
        -- Each row its own time: a claim under an old snapshot walks all dead hints of the time at which the last one ended.
        INSERT INTO %2$s (run_at, id, priority, queue) SELECT rowcrew.clock_now(), id, priority, queue FROM fresh;
      ELSIF v_plain IS NOT NULL THEN
        PERFORM rowcrew.refuse_unsound(%5$L, %4$s) FROM fresh WHERE NOT rowcrew.job_is_sound(%4$s);
        PERFORM rowcrew.refuse_payload(%5$L, %8$L, %8$s) FROM fresh WHERE NOT rowcrew.payload_is_sound(%8$s);
        IF v_limits THEN  -- 0016
          WITH k AS MATERIALIZED (
            SELECT f.id, f.priority, f.queue, rowcrew.keys_of(f.queue, %6$s) AS keys FROM fresh f
            WHERE rowcrew.job_is_due(f.status, f.scheduled_at, f.crashes, v_now)
          ), l AS (
            INSERT INTO %7$s (run_at, id, priority, queue, grp, keys, units)
            SELECT rowcrew.clock_now(), id, priority, queue, (keys).grp, (keys).keys, (keys).units FROM k WHERE (keys).grp IS NOT NULL
          )
          INSERT INTO %2$s (run_at, id, priority, queue) SELECT rowcrew.clock_now(), id, priority, queue FROM k WHERE (keys).grp IS NULL;
        -- An insert of no row would wake the fleet as well.
        ELSIF EXISTS (SELECT FROM fresh WHERE rowcrew.job_is_due(status, scheduled_at, crashes, v_now)) THEN
          INSERT INTO %2$s (run_at, id, priority, queue)
            SELECT rowcrew.clock_now(), id, priority, queue FROM fresh WHERE rowcrew.job_is_due(status, scheduled_at, crashes, v_now);
        END IF;
        INSERT INTO %3$s (run_at, id, priority, queue, reason)
          SELECT greatest(scheduled_at, v_now), id, priority, queue, rowcrew.parked_reason(status, crashes)
          FROM fresh WHERE rowcrew.job_is_parked(status, scheduled_at, crashes, v_now);
      END IF;
      RETURN NULL;
    END $f$ $t$, v_file, v_ready, v_parked, v_columns, p_table, v_of_fresh, v_limited, v_payload);
  EXECUTE format('DROP TRIGGER IF EXISTS rowcrew_file_new ON %1$s; CREATE TRIGGER rowcrew_file_new AFTER INSERT ON %1$s'
                 ' REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION %2$s()', v_table, v_file);

  EXECUTE format($t$
    CREATE OR REPLACE FUNCTION %1$s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    DECLARE
      v_now timestamptz := rowcrew.clock_now();
      v_held boolean := false; v_moved boolean;
      v_grp text; v_keys text[]; v_units integer[];
    BEGIN
      IF NOT rowcrew.job_is_sound(%4$s) THEN
        PERFORM rowcrew.refuse_unsound(TG_TABLE_NAME, %4$s);
      END IF;
      IF NEW.status = 'processing' AND OLD.status <> 'processing' AND OLD.claim_token IS NOT DISTINCT FROM NEW.claim_token THEN
        RAISE EXCEPTION '%%: only a claim sets status ''processing''; set it to ''pending'' to run the job again', TG_TABLE_NAME
          USING ERRCODE = 'object_not_in_prerequisite_state';
      END IF;
      v_moved := (OLD.status, OLD.scheduled_at, OLD.priority, OLD.queue, OLD.crashes) IS DISTINCT FROM (NEW.status, NEW.scheduled_at, NEW.priority, NEW.queue, NEW.crashes);
      IF v_moved AND OLD.status IN ('pending', 'retrying') AND (OLD.scheduled_at > v_now OR EXISTS (SELECT FROM rowcrew.pause)) THEN
        PERFORM rowcrew.take_hint(TG_TABLE_NAME, OLD.id, OLD.scheduled_at, OLD.%8$I, OLD.tenant);  -- 0014
      END IF;
      IF NEW.status IN ('pending', 'retrying') AND v_moved THEN
        IF NEW.crashes < 2 AND NEW.scheduled_at <= v_now AND current_setting('rowcrew.hold', true) = 'on' THEN  -- a node lays it aside: 0012
          v_held := rowcrew.hold_hint(TG_TABLE_NAME, NEW.id, NEW.priority, NEW.queue);
        END IF;
        IF NEW.crashes < 2 AND NEW.scheduled_at <= v_now AND NOT v_held AND EXISTS (SELECT FROM rowcrew.job_limit) THEN  -- 0016
          SELECT k.grp, k.keys, k.units INTO v_grp, v_keys, v_units FROM rowcrew.keys_of(NEW.queue, %5$s) k;
        END IF;
        IF v_grp IS NOT NULL THEN
          INSERT INTO %6$s (run_at, id, priority, queue, grp, keys, units)
          VALUES (v_now, NEW.id, NEW.priority, NEW.queue, v_grp, v_keys, v_units);
        ELSIF v_held THEN NULL;
        ELSIF NEW.crashes = 0 AND NEW.scheduled_at <= v_now THEN
          INSERT INTO %2$s (run_at, id, priority, queue) VALUES (v_now, NEW.id, NEW.priority, NEW.queue);
          -- What is handed back stood first; sweeps look before the marks of claims. The other hint is for when they are slow.
          IF OLD.status = 'processing' AND NEW.attempts = OLD.attempts AND NEW.created_at < v_now - interval '5 s' THEN
            INSERT INTO %2$s (run_at, id, priority, queue)
            VALUES (greatest(NEW.created_at, v_now - interval '30 days'), NEW.id, NEW.priority, NEW.queue);
          END IF;
        ELSE
          INSERT INTO %3$s (run_at, id, priority, queue, reason)
          VALUES (greatest(NEW.scheduled_at, v_now), NEW.id, NEW.priority, NEW.queue,
                  rowcrew.parked_reason(NEW.status, NEW.crashes));
        END IF;
      END IF;
      IF OLD.unique_key IS NOT NULL AND OLD.status IN ('pending', 'retrying', 'processing')
         AND NEW.status IN ('completed', 'failed', 'cancelled') THEN
        DELETE FROM rowcrew.job_unique
        WHERE scope = 'live:' || TG_TABLE_NAME AND key = OLD.unique_key AND job_id = OLD.id;
      ELSIF NEW.status IN ('pending', 'retrying') AND OLD.status IN ('completed', 'failed', 'cancelled') THEN
        DELETE FROM rowcrew.cancel_request WHERE job_table = TG_TABLE_NAME AND job_id = NEW.id;  -- it asked for the run that has ended
        IF NEW.unique_key IS NOT NULL THEN
          PERFORM rowcrew.take_unique_again(TG_TABLE_NAME, NEW.unique_key, NEW.id);
        END IF;
      END IF;
      %7$s
      RETURN NULL;
    END $f$ $t$, v_changed, v_ready, v_parked, v_new, v_of_new, v_limited, CASE p_table WHEN 'job_queue' THEN
      $t$IF NEW.status = 'cancelled' AND OLD.status IN ('pending', 'retrying') THEN
        CASE NEW.job_type WHEN 'webhook' THEN PERFORM rowcrew.webhook_job_cancelled(NEW.payload);
                          WHEN 'email' THEN PERFORM rowcrew.email_job_cancelled(NEW.id); ELSE END CASE;
      END IF;$t$ ELSE '' END, v_type);
  -- One trigger with one condition that claims (which change the token) and completions do not meet: a row
  -- trigger before the update would lock each row once more. The condition is parsed for every statement and
  -- evaluated for every row: as one of nine terms it was a tenth of what a small claim costs.
  EXECUTE format('DROP TRIGGER IF EXISTS rowcrew_refile ON %1$s; DROP TRIGGER IF EXISTS rowcrew_guard ON %1$s;'
                 'DROP TRIGGER IF EXISTS rowcrew_unkey_ended ON %1$s; DROP TRIGGER IF EXISTS rowcrew_changed ON %1$s', v_table);
  EXECUTE format($$
    CREATE TRIGGER rowcrew_changed AFTER UPDATE ON %s FOR EACH ROW
    WHEN ((NEW.status <> 'processing' OR nullif(NEW.claim_token, OLD.claim_token) IS NULL)
          AND (NEW.status <> 'completed' OR OLD.unique_key IS NOT NULL OR NEW.attempts < 0))
    EXECUTE FUNCTION %s()$$, v_table, v_changed);
  -- Columns that no claim and no completion sets: told from the statement, which costs those nothing.
  EXECUTE format($t$
    CREATE OR REPLACE FUNCTION %1$s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    BEGIN
      IF NOT rowcrew.job_is_sound(%2$s) THEN
        PERFORM rowcrew.refuse_unsound(TG_TABLE_NAME, %2$s);
      ELSIF NEW.%4$s IS DISTINCT FROM OLD.%4$s AND NOT rowcrew.payload_is_sound(NEW.%4$s) THEN
        PERFORM rowcrew.refuse_payload(TG_TABLE_NAME, %4$L, NEW.%4$s);
      END IF;
      IF OLD.id IS DISTINCT FROM NEW.id THEN
        RAISE EXCEPTION '%%: the id of a job cannot change', TG_TABLE_NAME USING ERRCODE = 'object_not_in_prerequisite_state';
      END IF;
      IF NEW.unique_key IS NULL AND OLD.unique_key IS NOT NULL THEN
        DELETE FROM rowcrew.job_unique WHERE scope = 'live:' || TG_TABLE_NAME AND key = OLD.unique_key AND job_id = OLD.id;
      ELSIF NEW.unique_key <> OLD.unique_key THEN
        PERFORM rowcrew.move_unique(TG_TABLE_NAME, OLD.unique_key, NEW.unique_key, OLD.id);  -- 0011
      END IF;
      IF (OLD.%3$I, OLD.tenant) IS DISTINCT FROM (NEW.%3$I, NEW.tenant) AND rowcrew.take_hint(TG_TABLE_NAME, OLD.id, NULL, OLD.%3$I, OLD.tenant) THEN
        PERFORM rowcrew.file_truth(TG_TABLE_NAME, ARRAY[NEW.id]);  -- it would wait for the end of a pause that is another's
      END IF;
      RETURN NULL;
    END $f$ $t$, v_sound, v_new, v_type, v_payload);
  EXECUTE format('CREATE OR REPLACE TRIGGER rowcrew_sound AFTER UPDATE OF id, %s, max_attempts, crashes, lonely_crashes,'
                 ' priority, queue, unique_key, tenant, %s ON %s FOR EACH ROW EXECUTE FUNCTION %s()', v_type, v_payload, v_table, v_sound);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER rowcrew_sound', v_table);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER rowcrew_changed', v_table);

  EXECUTE format('DROP TRIGGER IF EXISTS rowcrew_wake ON %1$s; CREATE TRIGGER rowcrew_wake AFTER INSERT ON %1$s'
                 ' FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.wake(%2$L)', v_ready, p_table);
  EXECUTE format('DROP TRIGGER IF EXISTS rowcrew_wake ON %1$s; CREATE TRIGGER rowcrew_wake AFTER INSERT ON %1$s'
                 ' REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.wake_soon()', v_parked);
  -- Without a key, and without a replica identity no DELETE where a publication is FOR ALL TABLES. It costs nothing until wal_level is logical.
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER rowcrew_wake, REPLICA IDENTITY FULL', v_ready);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER rowcrew_wake, REPLICA IDENTITY FULL', v_parked);
END $keep$;

-- Why a waiting job is not in the ready table, told from its row.
CREATE FUNCTION rowcrew.parked_reason(p_status text, p_crashes integer) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_crashes > 1 THEN 'suspect' WHEN p_crashes = 1 THEN 'rescued'
            WHEN p_status = 'pending' THEN 'scheduled' ELSE 'backoff' END;

-- What claims and completions do in rare cases only, as functions that are called in those cases: as
-- part of the statement it would be set up, and its triggers fire, on every execution. That was a
-- third of what a small one costs.

-- Hints that were taken and gave no job: those of jobs that wait for later, or elsewhere, are filed
-- again from the truth, unless the job's own lies there already. Of a backlog that was deleted, cancelled or postponed
-- only hints are left: what comes next in such a queue goes with them. Returns how many hints were taken per queue.
CREATE FUNCTION rowcrew.file_again(p_table text, p_taken uuid[], p_queues text[], p_claimed uuid[], p_from timestamptz)
RETURNS TABLE (queue text, taken bigint) LANGUAGE plpgsql AS $$
DECLARE
  v_barren text[] := ARRAY(SELECT x.queue FROM unnest(p_taken, p_queues) AS x (id, queue)
                           GROUP BY x.queue HAVING bool_and(x.id NOT IN (SELECT unnest(p_claimed))));
  v_next uuid[];
BEGIN
  IF cardinality(v_barren) > 0 THEN
    EXECUTE format($q$
      WITH d AS (
        DELETE FROM rowcrew.%2$I WHERE ctid = ANY (ARRAY(
          SELECT r.ctid FROM rowcrew.%2$I r WHERE r.ctid = ANY (ARRAY(  -- only those are locked, or other claims would pass by their neighbours
            SELECT y.hint FROM unnest($1) AS w (queue), LATERAL (
              SELECT x.* FROM generate_series(0, 9) AS p (priority), LATERAL (
                SELECT h.ctid AS hint, h.id, h.priority FROM rowcrew.%2$I h
                WHERE h.queue = w.queue AND h.priority = p.priority AND h.run_at >= $2 AND h.run_at <= rowcrew.clock() ORDER BY h.run_at LIMIT 1000) x
              LIMIT 1000) y
            WHERE NOT EXISTS (
              SELECT FROM rowcrew.%1$I q WHERE q.id = ANY (ARRAY[y.id]) AND q.status IN ('pending', 'retrying') AND q.queue = w.queue
              AND q.priority = y.priority AND q.scheduled_at <= rowcrew.clock_now() AND q.crashes = 0 OFFSET 0)))
          FOR UPDATE SKIP LOCKED))
        RETURNING id
      )
      SELECT array_agg(id) FROM d$q$, p_table, p_table || '_ready') INTO v_next USING v_barren, p_from;
  END IF;
  EXECUTE format($q$
    INSERT INTO rowcrew.%2$I (run_at, id, priority, queue, reason)
    SELECT greatest(q.scheduled_at, rowcrew.clock_now()), q.id, q.priority, q.queue, rowcrew.parked_reason(q.status, q.crashes)
    FROM (SELECT unnest($1 || $3) EXCEPT SELECT unnest($2)) AS stale (id)
    JOIN rowcrew.%1$I q ON q.id = ANY (ARRAY[stale.id])
    WHERE q.status IN ('pending', 'retrying')
      -- Whoever postponed it has filed it: filed again each time, the hints of jobs that are postponed all the time would
      -- only grow. One that is seen here goes by promotion alone, whose transaction files another; those of jobs that have
      -- met a crash go by claims, which may give nothing for them.
      AND NOT (q.crashes = 0 AND EXISTS (
        SELECT FROM rowcrew.%2$I p WHERE p.run_at = q.scheduled_at AND p.id = q.id AND p.reason NOT IN ('rescued', 'suspect')
        AND p.priority = q.priority AND p.queue = q.queue OFFSET 0))$q$, p_table, p_table || '_parked') USING p_taken, p_claimed, v_next;
  RETURN QUERY SELECT t.name, count(*) FROM unnest(p_queues) AS t (name) GROUP BY t.name;
END $$;

-- Whether a job of these queues, or a parked one, has been due for two seconds: a fleet that is not
-- full takes it sooner. Looks back for a while only, so that a long pin does not fill it with dead rows:
-- beats come more often.
CREATE FUNCTION rowcrew.overdue(p_queues text[]) RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_from constant timestamptz := rowcrew.clock() - interval '30 s';
  v_to constant timestamptz := rowcrew.clock() - interval '2 s';
BEGIN  -- its plan is kept, while that of a function in SQL is made anew for every heartbeat
  RETURN EXISTS (
    SELECT FROM unnest(p_queues) AS w (queue), generate_series(0, 9) AS g (priority), LATERAL (
      SELECT FROM rowcrew.job_queue_ready r
      WHERE r.queue = w.queue AND r.priority = g.priority
        AND r.run_at > v_from AND r.run_at < v_to LIMIT 1) x)
  OR EXISTS (
    SELECT FROM unnest(p_queues) AS w (queue), generate_series(0, 9) AS g (priority), LATERAL (
      SELECT FROM rowcrew.processing_jobs_ready r
      WHERE r.queue = w.queue AND r.priority = g.priority
        AND r.run_at > v_from AND r.run_at < v_to LIMIT 1) x)
  OR EXISTS (
    SELECT FROM rowcrew.job_queue_parked p
    WHERE p.reason NOT IN ('rescued', 'suspect')
      AND p.run_at > v_from AND p.run_at < v_to)
  OR EXISTS (
    SELECT FROM rowcrew.processing_jobs_parked p
    WHERE p.reason NOT IN ('rescued', 'suspect')
      AND p.run_at > v_from AND p.run_at < v_to)
  OR EXISTS (
    SELECT FROM unnest(p_queues) AS w (queue), LATERAL (
      SELECT FROM rowcrew.job_queue_parked p
      WHERE p.reason IN ('rescued', 'suspect') AND p.queue = w.queue
        AND p.run_at > v_from AND p.run_at < v_to LIMIT 1) x)
  OR EXISTS (
    SELECT FROM unnest(p_queues) AS w (queue), LATERAL (
      SELECT FROM rowcrew.processing_jobs_parked p
      WHERE p.reason IN ('rescued', 'suspect') AND p.queue = w.queue
        AND p.run_at > v_from AND p.run_at < v_to LIMIT 1) x);
END $$;

DO $$
DECLARE
  v_table text;
  v_index record;
BEGIN
  FOREACH v_table IN ARRAY ARRAY['job_queue', 'processing_jobs'] LOOP
    -- Ids do not compress: trying cost a quarter of a claim.
    EXECUTE format('ALTER TABLE rowcrew.%I ALTER ids SET STORAGE EXTERNAL', v_table || '_claim');
    EXECUTE format('ALTER TABLE rowcrew.%1$I DROP CONSTRAINT %2$I, ADD CONSTRAINT %2$I'
                   ' CHECK (reason IN (''scheduled'', ''backoff'', ''rescued'', ''suspect''))',
                   v_table || '_parked', v_table || '_parked_reason_check');
    FOR v_index IN SELECT indexrelid::regclass AS name FROM pg_index
                   WHERE indrelid = format('rowcrew.%I', v_table || '_parked')::regclass LOOP
      EXECUTE format('DROP INDEX %s', v_index.name);
    END LOOP;
    EXECUTE format('CREATE INDEX ON rowcrew.%I (run_at, id) WHERE reason NOT IN (''rescued'', ''suspect'')', v_table || '_parked');
    EXECUTE format('CREATE INDEX ON rowcrew.%I (reason, queue, run_at) WHERE reason IN (''rescued'', ''suspect'')', v_table || '_parked');
    PERFORM rowcrew.keep_hints(v_table);
    EXECUTE format('DROP FUNCTION IF EXISTS rowcrew.%I()', v_table || '_refile');
  END LOOP;
END $$;
DROP FUNCTION rowcrew.refuse_update();

-- Nodes that rest reread the policies of job types, and the ports of applications, when they are told.
CREATE FUNCTION rowcrew.announce_policies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('rowcrew_command', 'policies');
  RETURN NULL;
END $$;
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON rowcrew.job_type
  FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_policies();
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON rowcrew.app
  FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_policies();

UPDATE rowcrew.meta SET schema_version = 10;
