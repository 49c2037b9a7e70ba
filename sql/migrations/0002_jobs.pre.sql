-- 0002: the job tables, their hints and claims, and the triggers that keep them.

CREATE TABLE rowcrew.queue (
  name       text        COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
  paused     boolean     NOT NULL DEFAULT false,
  note       text,
  created_at timestamptz NOT NULL DEFAULT rowcrew.clock()
);
COMMENT ON TABLE rowcrew.queue IS 'Settings of queues. A queue needs no row here: a job names it and a node serves it.';
COMMENT ON COLUMN rowcrew.queue.paused IS 'Nodes claim nothing from it, within a second. Running jobs go on. pause(''queue'', name) does the same, with a reason and an end.';

CREATE TABLE rowcrew.job_type (
  name            text     PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_.-]{0,62}$'),
  queue           text     COLLATE "C" NOT NULL DEFAULT 'default',
  priority        smallint NOT NULL DEFAULT 5 CHECK (priority BETWEEN 0 AND 9),
  max_attempts    smallint NOT NULL DEFAULT 5 CHECK (max_attempts BETWEEN 1 AND 1000),
  timeout_ms      integer  NOT NULL DEFAULT 600000 CHECK (timeout_ms BETWEEN 100 AND 86400000),
  backoff_base_ms integer  NOT NULL DEFAULT 5000 CHECK (backoff_base_ms BETWEEN 1 AND 86400000),
  backoff_cap_ms  integer  NOT NULL DEFAULT 3600000 CHECK (backoff_cap_ms >= backoff_base_ms)
);
COMMENT ON TABLE rowcrew.job_type IS
  'Defaults of job types. A type needs no row here. queue, priority and max_attempts serve enqueue() and '
  'POST /v1/jobs; a plain INSERT gets the column defaults.';
COMMENT ON COLUMN rowcrew.job_type.timeout_ms IS 'One execution is cancelled after this and ends as a retry.';

-- What values the columns of a job may hold is told in 0010: as CHECK constraints of the table they
-- would be read, planned and set up anew by every statement, which cost more than the insert itself.
CREATE TABLE rowcrew.job_queue (
  id            uuid        PRIMARY KEY DEFAULT rowcrew.uuid7(),
  job_type      text        NOT NULL,
  payload       jsonb       NOT NULL DEFAULT '{}',
  status        text        NOT NULL DEFAULT 'pending',
  attempts      smallint    NOT NULL DEFAULT 0,
  max_attempts  smallint    NOT NULL DEFAULT 5,
  crashes       smallint    NOT NULL DEFAULT 0,
  priority      smallint    NOT NULL DEFAULT 5,
  queue         text        COLLATE "C" NOT NULL DEFAULT 'default',
  error_code    text,
  error_message text,
  result        jsonb,
  scheduled_at  timestamptz NOT NULL DEFAULT rowcrew.clock_now(),
  created_at    timestamptz NOT NULL DEFAULT rowcrew.clock(),
  started_at    timestamptz,
  completed_at  timestamptz,
  claim_token   bigint,
  worker_id     bigint,
  unique_key    text,
  enqueued_by   text        NOT NULL DEFAULT current_user
) WITH (fillfactor = 60);
COMMENT ON TABLE rowcrew.job_queue IS
  'The truth about every job. INSERT enqueues, SELECT tells, UPDATE ... SET status = ''pending'' runs it again, '
  'UPDATE ... SET status = ''cancelled'' stops it. Never create an index on a column that changes: updates would cease to be HOT.';
COMMENT ON COLUMN rowcrew.job_queue.attempts IS 'Executions that the handler ended itself. Crashes, releases and snoozes do not count.';
COMMENT ON COLUMN rowcrew.job_queue.max_attempts IS 'Executions in total, the first included.';
COMMENT ON COLUMN rowcrew.job_queue.crashes IS
  'Claims that a node''s death ended. Above 0 the job is a suspect: claimed alone and run alone; after three such lonely deaths it fails as poison.';
COMMENT ON COLUMN rowcrew.job_queue.priority IS '0 is first, 9 last.';
COMMENT ON COLUMN rowcrew.job_queue.scheduled_at IS 'Not before. A retry moves it.';
COMMENT ON COLUMN rowcrew.job_queue.claim_token IS
  'The fence: every write of a worker presents it. Kept after the end, so that a repeated completion is recognised. Never set it by hand.';
COMMENT ON COLUMN rowcrew.job_queue.unique_key IS
  'At most one live job per key, honoured by enqueue(), POST /v1/jobs and whatever lets an ended job run again; a plain '
  'INSERT just stores it.';
COMMENT ON COLUMN rowcrew.job_queue.error_code IS
  'Of the last execution that did not complete: a word of its kind (README), or of the engine. Tried again: timeout, exception (thrown '
  'by the handler), db_lost and db_<SQLSTATE> unless of class 22 or 23, crashed (its node died). Final: poison, start_deadline, '
  'total_deadline, result_too_large, unwritable_result (the database refuses its values), bad_payload, bad_checkpoint, unknown_app, '
  'cancelled. port_failed: final when the port raised an error of class 22 or 23, else tried again. retry_rule changes what a code means.';
COMMENT ON COLUMN rowcrew.job_queue.enqueued_by IS 'The database role that enqueued: whose job it is for the view my_jobs.';

CREATE TABLE rowcrew.processing_jobs (
  id                 uuid        PRIMARY KEY DEFAULT rowcrew.uuid7(),
  type               text        NOT NULL,
  provider           text,
  external_id        text,
  prompt             text        CHECK (octet_length(prompt) <= 67108864),
  inputs             jsonb       NOT NULL DEFAULT '{}',
  outputs            jsonb,
  credits            integer     NOT NULL DEFAULT 0 CHECK (credits >= 0),
  cost_micros        bigint      NOT NULL DEFAULT 0 CHECK (cost_micros >= 0),
  processing_time_ms integer,
  status             text        NOT NULL DEFAULT 'pending',
  attempts           smallint    NOT NULL DEFAULT 0,
  max_attempts       smallint    NOT NULL DEFAULT 5,
  crashes            smallint    NOT NULL DEFAULT 0,
  priority           smallint    NOT NULL DEFAULT 5,
  queue              text        COLLATE "C" NOT NULL DEFAULT 'generation',
  error_code         text,
  error_message      text,
  scheduled_at       timestamptz NOT NULL DEFAULT rowcrew.clock_now(),
  created_at         timestamptz NOT NULL DEFAULT rowcrew.clock(),
  started_at         timestamptz,
  completed_at       timestamptz,
  claim_token        bigint,
  worker_id          bigint,
  unique_key         text,
  enqueued_by        text        NOT NULL DEFAULT current_user
) WITH (fillfactor = 60);
COMMENT ON TABLE rowcrew.processing_jobs IS
  'Generations: the same machine as job_queue, with the columns of a generation. A handler sees type, provider, '
  'external_id, prompt and inputs as one payload object; its result lands in outputs.';
COMMENT ON COLUMN rowcrew.processing_jobs.cost_micros IS 'Millionths of the account''s currency; round once, at the port.';
COMMENT ON COLUMN rowcrew.processing_jobs.claim_token IS 'The fence, as in job_queue.';
COMMENT ON COLUMN rowcrew.processing_jobs.crashes IS 'As in job_queue.';

-- Side table, because a unique index over mutable or partitioned rows is not to be had.
CREATE TABLE rowcrew.job_unique (
  scope      text        NOT NULL,
  key        text        NOT NULL,
  job_table  text        NOT NULL,
  job_id     uuid        NOT NULL,
  created_at timestamptz NOT NULL DEFAULT rowcrew.clock(),
  PRIMARY KEY (scope, key)
);
COMMENT ON COLUMN rowcrew.job_unique.scope IS
  '"live:<job table>": released when the job ends. "once:<api key id>": an idempotency key, kept for 7 days after its first use.';

-- Whether a payload is about as long to read as to store. A number such as 1e131071 is a few bytes and 130 KB of text: a claim of a
-- few jobs full of them would be gigabytes, which no server makes and no node holds. Whatever a double can hold passes.
-- And a node reads a payload in one go, with nothing else running meanwhile: one of 44 MB took eleven seconds on a busy machine.
CREATE FUNCTION rowcrew.payload_is_sound(p_payload jsonb) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
RETURN (pg_column_size(p_payload) <= 64 AND pg_column_compression(p_payload) IS NULL)
    OR octet_length(p_payload::text) <= 65536
    OR octet_length(p_payload::text) <= least(67108864, 40::bigint * pg_column_size(jsonb_build_array(p_payload)));  -- as it is uncompressed

CREATE FUNCTION rowcrew.refuse_payload(p_table text, p_column text, p_payload jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE check_violation USING
    MESSAGE = format('new row for relation "%s" violates check constraint "%s_%s_check"', p_table, p_table, p_column),
    DETAIL = format('%s is %s bytes as text, expected at most 64 MiB and numbers that a double can hold.', p_column, octet_length(p_payload::text)),
    SCHEMA = 'rowcrew', TABLE = p_table, CONSTRAINT = format('%s_%s_check', p_table, p_column);
END $$;

-- Whether a claim carries this payload: its hundreds are to stay small on their way and where they arrive. What is stored
-- compressed may be a hundred times as long, which costs the claim its reading to find out.
CREATE FUNCTION rowcrew.is_carried(p_payload jsonb) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN pg_column_compression(p_payload) IS NULL AND pg_column_size(p_payload) <= 1024 THEN true
            ELSE pg_column_size(p_payload) <= CASE WHEN pg_column_compression(p_payload) IS NULL THEN 32768 ELSE 4096 END
                 AND octet_length(p_payload::text) <= 65536 END;

-- Makes a table of ours a job table: companions <t>_ready (may run now), <t>_parked (may not, and
-- why), <t>_claim (one row per claimed batch), and the triggers that keep the first two. Hints may
-- be stale or double, the claim re-checks the job itself; a missing one would lose a job, so every
-- way into 'pending' or 'retrying' passes here, and an audit looks for what did not.
CREATE FUNCTION rowcrew.attach_job_table(p_table text) RETURNS void LANGUAGE plpgsql AS $attach$
DECLARE
  v_table text := format('rowcrew.%I', p_table);
  v_ready text := format('rowcrew.%I', p_table || '_ready');
  v_parked text := format('rowcrew.%I', p_table || '_parked');
  v_claim text := format('rowcrew.%I', p_table || '_claim');
  v_file text := format('rowcrew.%I', p_table || '_file_new');
  v_refile text := format('rowcrew.%I', p_table || '_refile');
  v_empty text := format('rowcrew.%I', p_table || '_empty');
  v_unfile text := format('rowcrew.%I', p_table || '_unfile');
BEGIN
  EXECUTE format($$
    CREATE TABLE %1$s (
      run_at timestamptz NOT NULL, id uuid NOT NULL, priority smallint NOT NULL, queue text COLLATE "C" NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
            autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off)$$, v_ready);
  EXECUTE format('CREATE INDEX ON %s (queue, priority, run_at)', v_ready);
  EXECUTE format($$
    CREATE TABLE %1$s (
      run_at timestamptz NOT NULL, id uuid NOT NULL, priority smallint NOT NULL, queue text COLLATE "C" NOT NULL,
      reason text NOT NULL CHECK (reason IN ('scheduled', 'backoff', 'suspect'))
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
            autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off)$$, v_parked);
  -- Suspects in one index, all others in the other: neither stands in the other's way.
  EXECUTE format('CREATE INDEX ON %s (run_at) WHERE reason <> ''suspect''', v_parked);
  EXECUTE format('CREATE INDEX ON %s (queue, run_at) WHERE reason = ''suspect''', v_parked);
  EXECUTE format($$
    CREATE TABLE %1$s (
      token bigint PRIMARY KEY, node_id bigint NOT NULL, epoch bigint NOT NULL,
      alone boolean NOT NULL DEFAULT false, claimed_at timestamptz NOT NULL DEFAULT rowcrew.clock(),
      ids uuid[] NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
            autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off)$$, v_claim);
  EXECUTE format($$COMMENT ON COLUMN %s.token IS 'Random, made by the node; the jobs of the batch carry it as claim_token.'$$, v_claim);
  EXECUTE format($$COMMENT ON COLUMN %s.alone IS 'A suspect, claimed and run alone: its node''s death is its own doing.'$$, v_claim);
  EXECUTE format($$COMMENT ON TABLE %s IS 'Hints: what may run now. Stale entries are harmless; nobody but rowcrew writes here.'$$, v_ready);
  EXECUTE format($$COMMENT ON TABLE %s IS 'Hints: what may not run yet, until when, and why.'$$, v_parked);

  EXECUTE format($t$
    CREATE FUNCTION %1$s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    DECLARE
      v_now timestamptz := rowcrew.clock_now();
    BEGIN
      INSERT INTO %2$s (run_at, id, priority, queue)
        SELECT v_now, id, priority, queue FROM fresh
        WHERE status IN ('pending', 'retrying') AND scheduled_at <= v_now AND crashes = 0;
      INSERT INTO %3$s (run_at, id, priority, queue, reason)
        SELECT greatest(scheduled_at, v_now), id, priority, queue,
               CASE WHEN crashes > 0 THEN 'suspect' WHEN status = 'pending' THEN 'scheduled' ELSE 'backoff' END
        FROM fresh
        WHERE status IN ('pending', 'retrying') AND (scheduled_at > v_now OR crashes > 0);
      RETURN NULL;
    END $f$ $t$, v_file, v_ready, v_parked);
  EXECUTE format('CREATE TRIGGER rowcrew_file_new AFTER INSERT ON %s REFERENCING NEW TABLE AS fresh'
                 ' FOR EACH STATEMENT EXECUTE FUNCTION %s()', v_table, v_file);

  EXECUTE format($t$
    CREATE FUNCTION %1$s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    DECLARE
      v_now timestamptz := rowcrew.clock_now();
    BEGIN
      IF NEW.crashes = 0 AND NEW.scheduled_at <= v_now THEN
        INSERT INTO %2$s (run_at, id, priority, queue) VALUES (v_now, NEW.id, NEW.priority, NEW.queue);
      ELSE
        INSERT INTO %3$s (run_at, id, priority, queue, reason)
        VALUES (greatest(NEW.scheduled_at, v_now), NEW.id, NEW.priority, NEW.queue,
                CASE WHEN NEW.crashes > 0 THEN 'suspect' WHEN NEW.status = 'pending' THEN 'scheduled' ELSE 'backoff' END);
      END IF;
      RETURN NULL;
    END $f$ $t$, v_refile, v_ready, v_parked);
  -- Told from the row alone, without a session flag: whatever ends in a waiting state and changed
  -- is filed, whoever did it; claims and completions never are and cost a WHEN.
  EXECUTE format($$
    CREATE TRIGGER rowcrew_refile AFTER UPDATE ON %s FOR EACH ROW
    WHEN (NEW.status IN ('pending', 'retrying')
          AND (OLD.status IS DISTINCT FROM NEW.status OR OLD.scheduled_at IS DISTINCT FROM NEW.scheduled_at
               OR OLD.priority IS DISTINCT FROM NEW.priority OR OLD.queue IS DISTINCT FROM NEW.queue
               OR OLD.crashes IS DISTINCT FROM NEW.crashes))
    EXECUTE FUNCTION %s()$$, v_table, v_refile);

  EXECUTE format($$
    CREATE TRIGGER rowcrew_guard BEFORE UPDATE ON %s FOR EACH ROW
    WHEN (OLD.id IS DISTINCT FROM NEW.id
          OR (NEW.status = 'processing' AND OLD.status <> 'processing'
              AND OLD.claim_token IS NOT DISTINCT FROM NEW.claim_token))
    EXECUTE FUNCTION rowcrew.refuse_update()$$, v_table);

  EXECUTE format($$
    CREATE TRIGGER rowcrew_unkey_ended AFTER UPDATE ON %s FOR EACH ROW
    WHEN (OLD.unique_key IS NOT NULL AND OLD.status IN ('pending', 'retrying', 'processing')
          AND NEW.status IN ('completed', 'failed', 'cancelled'))
    EXECUTE FUNCTION rowcrew.release_unique()$$, v_table);
  EXECUTE format('CREATE TRIGGER rowcrew_unkey_deleted AFTER DELETE ON %s FOR EACH ROW'
                 ' WHEN (OLD.unique_key IS NOT NULL) EXECUTE FUNCTION rowcrew.release_unique()', v_table);

  -- Of every waiting job that is deleted, so it sets no search_path: name everything by its schema, and use no operator.
  EXECUTE format($t$
    CREATE FUNCTION %1$s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $f$
    BEGIN
      IF pg_catalog.timestamptz_gt(OLD.scheduled_at, rowcrew.clock_now()) OR EXISTS (SELECT FROM rowcrew.pause) THEN  -- 0012
        PERFORM rowcrew.take_hint(TG_TABLE_NAME, OLD.id, OLD.scheduled_at, OLD.%2$I, OLD.tenant);  -- 0014
      END IF;
      RETURN NULL;
    END $f$ $t$, v_unfile, CASE p_table WHEN 'job_queue' THEN 'job_type' ELSE 'type' END);
  EXECUTE format('CREATE TRIGGER rowcrew_unfile AFTER DELETE ON %s FOR EACH ROW'
                 ' WHEN (OLD.status IN (''pending'', ''retrying'')) EXECUTE FUNCTION %s()', v_table, v_unfile);

  EXECUTE format($t$
    CREATE FUNCTION %1$s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
    BEGIN
      TRUNCATE %2$s, %3$s, %4$s;
      DELETE FROM rowcrew.job_unique WHERE job_table = TG_TABLE_NAME;
      RETURN NULL;
    END $f$ $t$, v_empty, v_ready, v_parked, v_claim);
  EXECUTE format('CREATE TRIGGER rowcrew_empty AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s()',
                 v_table, v_empty);

  EXECUTE format('CREATE TRIGGER rowcrew_wake AFTER INSERT ON %s REFERENCING NEW TABLE AS fresh'
                 ' FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.wake()', v_ready);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER rowcrew_wake', v_ready);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER rowcrew_refile, ENABLE ALWAYS TRIGGER rowcrew_guard,'
                 ' ENABLE ALWAYS TRIGGER rowcrew_unkey_ended, ENABLE ALWAYS TRIGGER rowcrew_unkey_deleted,'
                 ' ENABLE ALWAYS TRIGGER rowcrew_unfile, ENABLE ALWAYS TRIGGER rowcrew_empty', v_table);
END $attach$;

CREATE FUNCTION rowcrew.refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.id IS DISTINCT FROM NEW.id THEN
    RAISE EXCEPTION '%: the id of a job cannot change', TG_TABLE_NAME USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  RAISE EXCEPTION '%: only a claim sets status ''processing''; set it to ''pending'' to run the job again', TG_TABLE_NAME
    USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;

CREATE FUNCTION rowcrew.release_unique() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM rowcrew.job_unique
  WHERE scope = 'live:' || TG_TABLE_NAME AND key = OLD.unique_key AND job_id = OLD.id;
  RETURN NULL;
END $$;

-- A hint to whoever listens; carries nothing, so that the server folds it within a transaction. A
-- statement trigger fires for no rows, too: a promotion of nothing must not wake the fleet.
CREATE FUNCTION rowcrew.wake() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM fresh) THEN
    PERFORM pg_notify('rowcrew_wake', '');
  END IF;
  RETURN NULL;
END $$;

SELECT rowcrew.attach_job_table('job_queue');
SELECT rowcrew.attach_job_table('processing_jobs');

CREATE VIEW rowcrew.my_jobs WITH (security_barrier) AS
  SELECT id, job_type, payload, status, attempts, max_attempts, priority, queue, error_code, error_message,
         result, scheduled_at, created_at, started_at, completed_at, unique_key
  FROM rowcrew.job_queue WHERE enqueued_by IN (current_user, session_user);
COMMENT ON VIEW rowcrew.my_jobs IS 'The jobs that the asking role enqueued.';

CREATE VIEW rowcrew.my_processing_jobs WITH (security_barrier) AS
  SELECT id, type, provider, external_id, prompt, inputs, outputs, credits, cost_micros, processing_time_ms,
         status, attempts, max_attempts, priority, queue, error_code, error_message,
         scheduled_at, created_at, started_at, completed_at, unique_key
  FROM rowcrew.processing_jobs WHERE enqueued_by IN (current_user, session_user);
COMMENT ON VIEW rowcrew.my_processing_jobs IS 'The generations that the asking role enqueued.';

UPDATE rowcrew.meta SET schema_version = 2;
