-- 0023: the companions of adopted tables, and limits and rates for their jobs. The application's own inserts know
-- nothing of rules: they file a job as ready, and the claim that meets it there moves it behind its keys.

-- The companions of an adopted table: hints and claims as our own tables have them, and one row per
-- job that was claimed and has not completed. That row is the fence: it holds the claim's token.
CREATE FUNCTION rowcrew.adopted_create_companions(p_name text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $create$
DECLARE
  t jsonb := rowcrew.adopted_names(p_name);
  v_options text := ' WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,'
                    ' autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off)';
  v_companion text;
  v_key text := (rowcrew.adopted_column(to_regclass(t ->> 'job'), 'id')).base;
BEGIN
  IF v_key <> t ->> 'key_type' THEN
    RAISE EXCEPTION 'adopt: the key was % and is % now: unadopt it first', v_key, t ->> 'key_type' USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF v_key IS NOT NULL THEN RETURN; END IF;  -- there already
  EXECUTE rowcrew.adopted_fill($t$CREATE TABLE {ready} (
    run_at timestamptz NOT NULL, id {key_column} NOT NULL, priority smallint NOT NULL, queue text COLLATE "C" NOT NULL)$t$, t) || v_options;
  EXECUTE rowcrew.adopted_fill('CREATE INDEX ON {ready} (queue, priority, run_at)', t);
  EXECUTE rowcrew.adopted_fill($t$CREATE TABLE {parked} (
    run_at timestamptz NOT NULL, id {key_column} NOT NULL, priority smallint NOT NULL, queue text COLLATE "C" NOT NULL,
    reason text NOT NULL CHECK (reason IN ('scheduled', 'backoff', 'rescued', 'suspect', 'paused', 'unclaimable')), key text)$t$, t) || v_options;
  EXECUTE rowcrew.adopted_fill($t$
    CREATE INDEX ON {parked} (run_at, id) WHERE reason NOT IN ('rescued', 'suspect');
    CREATE INDEX ON {parked} (reason, queue, run_at) WHERE reason IN ('rescued', 'suspect');
    CREATE INDEX ON {parked} (key) WHERE reason = 'paused'; CREATE INDEX ON {parked} (id) WHERE reason = 'unclaimable'$t$, t);
  EXECUTE rowcrew.adopted_fill($t$CREATE TABLE {claim} (
    token bigint PRIMARY KEY, node_id bigint NOT NULL, epoch bigint NOT NULL,
    alone boolean NOT NULL DEFAULT false, claimed_at timestamptz NOT NULL DEFAULT rowcrew.clock(),
    ids {key_type}[] NOT NULL, queue text COLLATE "C", grp text COLLATE "C", keys text[],
    held integer NOT NULL DEFAULT 1, mark_priority smallint, mark_run_at timestamptz, sweep_at timestamptz)$t$, t) || v_options;
  EXECUTE rowcrew.adopted_fill('ALTER TABLE {claim} ALTER ids SET STORAGE EXTERNAL', t);
  EXECUTE rowcrew.adopted_fill($t$CREATE TABLE {limited} (
    run_at timestamptz NOT NULL, id {key_column} NOT NULL, priority smallint NOT NULL, queue text COLLATE "C" NOT NULL,
    grp text COLLATE "C" NOT NULL, keys text[] NOT NULL, units integer[] NOT NULL)$t$, t) || v_options;
  EXECUTE rowcrew.adopted_fill('CREATE INDEX ON {limited} (queue, grp, priority, run_at)', t);
  EXECUTE rowcrew.adopted_fill('CREATE TRIGGER rowcrew_free AFTER DELETE ON {claim} FOR EACH ROW WHEN (OLD.keys IS NOT NULL)'
    ' EXECUTE FUNCTION rowcrew.free_permits()', t);
  EXECUTE rowcrew.adopted_fill('CREATE TRIGGER rowcrew_free_some AFTER UPDATE OF held ON {claim} FOR EACH ROW WHEN (OLD.keys IS NOT NULL AND NEW.held < OLD.held)'
    ' EXECUTE FUNCTION rowcrew.free_permits()', t);
  EXECUTE rowcrew.adopted_fill('ALTER TABLE {claim} ENABLE ALWAYS TRIGGER rowcrew_free, ENABLE ALWAYS TRIGGER rowcrew_free_some', t);
  EXECUTE rowcrew.adopted_fill($t$
    CREATE TABLE {job} (
      id {key_column} PRIMARY KEY, token bigint NOT NULL,
      status text NOT NULL CHECK (status IN ('pending', 'processing', 'failed', 'retrying', 'cancelled')),
      attempts smallint NOT NULL DEFAULT 0, crashes smallint NOT NULL DEFAULT 0, lonely_crashes smallint NOT NULL DEFAULT 0,
      claimed_at timestamptz NOT NULL DEFAULT rowcrew.clock(), scheduled_at timestamptz,
      error_code text, error_message text, moved xid8
    )$t$, t) || v_options;
  EXECUTE rowcrew.adopted_fill($t$COMMENT ON TABLE {job} IS
    'What the adopted table cannot hold of a job: the claim''s token and what led here. No row: never claimed, or completed.'$t$, t);
  EXECUTE rowcrew.adopted_fill($t$COMMENT ON COLUMN {job}.status IS
    'The state in our words, where those of the table are too few. While the table''s own word says otherwise, that one counts.'$t$, t);
  EXECUTE rowcrew.adopted_fill($t$COMMENT ON COLUMN {job}.scheduled_at IS 'Backing off until then, where the table has no column for it.'$t$, t);
  EXECUTE rowcrew.adopted_fill($t$COMMENT ON COLUMN {job}.moved IS
    'The transaction in which the engine itself made the job wait again: no stale write.'$t$, t);
  EXECUTE rowcrew.adopted_fill('CREATE TRIGGER rowcrew_wake AFTER INSERT ON {ready}'
    ' FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.wake({table_name})', t);
  EXECUTE rowcrew.adopted_fill('CREATE TRIGGER rowcrew_wake AFTER INSERT ON {limited}'
    ' FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.wake({table_name})', t);
  EXECUTE rowcrew.adopted_fill('CREATE TRIGGER rowcrew_wake AFTER INSERT ON {parked} REFERENCING NEW TABLE AS fresh'
    ' FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.wake_soon()', t);
  EXECUTE rowcrew.adopted_fill('ALTER TABLE {ready} ENABLE ALWAYS TRIGGER rowcrew_wake, REPLICA IDENTITY FULL', t);
  EXECUTE rowcrew.adopted_fill('ALTER TABLE {parked} ENABLE ALWAYS TRIGGER rowcrew_wake, REPLICA IDENTITY FULL', t);
  EXECUTE rowcrew.adopted_fill('ALTER TABLE {limited} ENABLE ALWAYS TRIGGER rowcrew_wake, REPLICA IDENTITY FULL', t);
  FOREACH v_companion IN ARRAY ARRAY['ready', 'parked', 'limited', 'claim', 'job'] LOOP
    IF to_regrole('rowcrew_worker') IS NOT NULL THEN
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO rowcrew_worker', t ->> v_companion);
      EXECUTE format('GRANT SELECT ON %s TO rowcrew_operator, rowcrew_viewer', t ->> v_companion);
    END IF;
    IF rowcrew.may_become_owner() THEN
      EXECUTE format('ALTER TABLE %s OWNER TO rowcrew_owner', t ->> v_companion);
    END IF;
  END LOOP;
END $create$;

-- Files jobs that wait by what they are now, in this order: for later, behind their rules, or as ready.
CREATE FUNCTION rowcrew.adopted_file_truth(p_name text, p_ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE rowcrew.adopted_fill($t$
    WITH j AS MATERIALIZED (
      SELECT q.{key} AS id, {priority} AS priority, {queue} AS queue, coalesce(x.crashes, 0) AS crashes, coalesce(x.status, 'pending') AS status,
             greatest({due}, rowcrew.clock_now()) AS run_at, coalesce({due} > rowcrew.clock_now(), false) AS later, {keys} AS k
      FROM unnest($1::{key_type}[]) WITH ORDINALITY AS i (id, place) JOIN {table} q ON q.{key} = ANY (ARRAY[i.id]) LEFT JOIN {job} x ON x.id = ANY (ARRAY[i.id])
      WHERE {is_waiting} ORDER BY i.place
    ), l AS (
      INSERT INTO {limited} (run_at, id, priority, queue, grp, keys, units)
      SELECT rowcrew.clock_now(), id, priority, queue, (k).grp, (k).keys, (k).units FROM j WHERE NOT later AND crashes < 2 AND (k).grp IS NOT NULL
    ), p AS (
      INSERT INTO {parked} (run_at, id, priority, queue, reason)
      SELECT run_at, id, priority, queue, rowcrew.parked_reason(status, crashes) FROM j
      WHERE (later OR crashes > 1 OR (crashes = 1 AND (k).grp IS NULL)) AND NOT (crashes = 0 AND EXISTS (  -- as in file_again
        SELECT FROM {parked} p WHERE p.run_at = j.run_at AND p.id = j.id AND p.reason NOT IN ('rescued', 'suspect')
        AND p.priority = j.priority AND p.queue = j.queue OFFSET 0))
    )
    INSERT INTO {ready} (run_at, id, priority, queue)
    SELECT rowcrew.clock_now(), id, priority, queue FROM j WHERE NOT later AND crashes = 0 AND (k).grp IS NULL$t$,
    (SELECT z.template FROM rowcrew.adopted_table z WHERE z.name = p_name)) USING p_ids;
END $$;

-- Moves jobs that rules are about from the front of a queue behind their keys. How many is bounded, and one of them whose
-- payload cannot be read moves none: claims come to it, and to it alone, in their time. p_from: the time of the first hint
-- that this claim took. Under an old snapshot all that were taken before it would be read again.
CREATE FUNCTION rowcrew.adopted_move_limited(p_name text, p_queues text[], p_from timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE rowcrew.adopted_fill($t$
    WITH h AS MATERIALIZED (
      SELECT y.* FROM (SELECT DISTINCT w.queue FROM unnest($1) AS w (queue)) w, LATERAL (
        SELECT x.* FROM generate_series(0, 9) AS p (priority), LATERAL (
          SELECT r.ctid AS hint, r.id, r.run_at, r.priority, r.queue FROM {ready} r
          WHERE r.queue = w.queue AND r.priority = p.priority AND r.run_at >= $2 AND r.run_at <= rowcrew.clock()
          ORDER BY r.run_at LIMIT 1000 FOR UPDATE SKIP LOCKED) x
        LIMIT 1000) y
    ), j AS MATERIALIZED (
      SELECT h.*, {keys} AS k FROM h JOIN {table} q ON q.{key} = ANY (ARRAY[h.id]) LEFT JOIN {job} x ON x.id = ANY (ARRAY[h.id])
      WHERE {is_waiting} AND {queue} = h.queue AND {priority} = h.priority AND coalesce({due} <= rowcrew.clock_now(), true) AND coalesce(x.crashes, 0) = 0
    ), d AS (
      DELETE FROM {ready} WHERE ctid = ANY (ARRAY(SELECT j.hint FROM j WHERE (j.k).grp IS NOT NULL))
    )
    INSERT INTO {limited} (run_at, id, priority, queue, grp, keys, units)
    SELECT rowcrew.clock_now(), j.id, j.priority, j.queue, (j.k).grp, (j.k).keys, (j.k).units FROM j WHERE (j.k).grp IS NOT NULL ORDER BY j.priority, j.run_at$t$,
    (SELECT z.template FROM rowcrew.adopted_table z WHERE z.name = p_name)) USING p_queues, p_from;
EXCEPTION WHEN data_exception OR plpgsql_error THEN NULL;
END $$;

-- Hints that were taken and gave no job. Returns how many hints were taken per queue. Where nothing tells why it gave
-- none, a trigger of the application may have kept the row from being changed: it is not tried again at once, for ever.
-- Of a backlog that the application has deleted or ended only hints are left: what comes next in such a queue goes with them.
CREATE FUNCTION rowcrew.adopted_file_again(p_name text, p_taken text[], p_queues text[], p_priorities smallint[], p_claimed text[], p_from timestamptz)
RETURNS TABLE (queue text, taken bigint) LANGUAGE plpgsql AS $$
DECLARE
  t jsonb := (SELECT z.template FROM rowcrew.adopted_table z WHERE z.name = p_name);
  v_stale text[] := ARRAY(SELECT x.id FROM unnest(p_taken) WITH ORDINALITY AS x (id, place)
                          WHERE x.id NOT IN (SELECT unnest(p_claimed)) GROUP BY x.id ORDER BY min(x.place));
  v_limited text[];
  v_barren text[] := ARRAY(SELECT x.queue FROM unnest(p_taken, p_queues) AS x (id, queue) GROUP BY x.queue HAVING bool_and(x.id <> ALL (p_claimed)));
BEGIN
  IF EXISTS (SELECT FROM rowcrew.job_limit) THEN
    EXECUTE rowcrew.adopted_fill($t$
      WITH j AS MATERIALIZED (
        SELECT q.{key} AS id, {priority} AS priority, {queue} AS queue, {keys} AS k
        FROM unnest($1::{key_type}[]) WITH ORDINALITY AS stale (id, place)
        JOIN {table} q ON q.{key} = ANY (ARRAY[stale.id]) LEFT JOIN {job} x ON x.id = ANY (ARRAY[stale.id])
        WHERE {is_waiting} AND coalesce({due} <= rowcrew.clock_now(), true) AND coalesce(x.crashes, 0) = 0 ORDER BY stale.place
      ), l AS (
        INSERT INTO {limited} (run_at, id, priority, queue, grp, keys, units)
        SELECT rowcrew.clock_now(), id, priority, queue, (k).grp, (k).keys, (k).units FROM j WHERE (k).grp IS NOT NULL RETURNING id
      )
      SELECT array_agg(l.id::text) FROM l$t$, t) INTO v_limited USING v_stale;
  END IF;
  IF v_limited IS NOT NULL THEN
    PERFORM rowcrew.adopted_move_limited(p_name, p_queues, p_from);
    v_stale := ARRAY(SELECT unnest(v_stale) EXCEPT SELECT unnest(v_limited));
  ELSIF cardinality(v_barren) > 0 THEN
    EXECUTE rowcrew.adopted_fill($t$
      DELETE FROM {ready} WHERE ctid = ANY (ARRAY(
        SELECT r.ctid FROM {ready} r WHERE r.ctid = ANY (ARRAY(  -- only those are locked, or other claims would pass by their neighbours
          SELECT y.hint FROM unnest($1) AS w (queue), LATERAL (
            SELECT x.* FROM generate_series(0, 9) AS p (priority), LATERAL (
              SELECT h.ctid AS hint, h.id FROM {ready} h
              WHERE h.queue = w.queue AND h.priority = p.priority AND h.run_at >= $2 AND h.run_at <= rowcrew.clock() ORDER BY h.run_at LIMIT 1000) x
            LIMIT 1000) y
          -- Whatever makes a job wait files a hint of its own, so this one is not missed.
          WHERE NOT EXISTS (SELECT FROM {table} q WHERE q.{key} = ANY (ARRAY[y.id]) AND {is_waiting} OFFSET 0)))
        FOR UPDATE SKIP LOCKED))$t$, t) USING v_barren, p_from;
  END IF;
  IF cardinality(v_stale) > 0 THEN
    EXECUTE rowcrew.adopted_fill($t$
      INSERT INTO {parked} (run_at, id, priority, queue, reason)
      SELECT greatest({due}, rowcrew.clock_now() + CASE
               WHEN coalesce(x.crashes, 0) = 0 AND coalesce({due} <= rowcrew.clock_now(), true)
                 AND EXISTS (SELECT FROM unnest($2::{key_type}[], $3, $4) AS h (id, queue, priority)
                             WHERE h.id = stale.id AND h.queue = {queue} AND h.priority = {priority})
               THEN interval '10 s' ELSE interval '0' END),
             q.{key}, {priority}, {queue}, rowcrew.parked_reason(coalesce(x.status, 'pending'), coalesce(x.crashes, 0))
      FROM unnest($1::{key_type}[]) AS stale (id)
      JOIN {table} q ON q.{key} = ANY (ARRAY[stale.id]) LEFT JOIN {job} x ON x.id = ANY (ARRAY[stale.id])
      WHERE {is_waiting} AND NOT (coalesce(x.crashes, 0) = 0 AND EXISTS (  -- as in file_again
        SELECT FROM {parked} p WHERE p.run_at = {due} AND p.id = q.{key} AND p.reason NOT IN ('rescued', 'suspect')
        AND p.priority = {priority} AND p.queue = {queue} OFFSET 0))$t$, t) USING v_stale, p_taken, p_queues, p_priorities;
  END IF;
  RETURN QUERY SELECT t.name, count(*) FROM unnest(p_queues) AS t (name) GROUP BY t.name;
END $$;

-- Of executions whose end found the job's row taken out of their hands while it waited for that: what its trigger stepped
-- around, because the end had it locked, goes with this transaction. The next job of that key would count their attempts.
CREATE FUNCTION rowcrew.adopted_drop_left(p_name text, p_ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE rowcrew.adopted_fill($t$
    DELETE FROM {job} x WHERE x.id = ANY ($1::{key_type}[]) AND x.moved = pg_catalog.pg_current_xact_id()
      AND NOT EXISTS (SELECT FROM {table} q WHERE q.{key} = ANY (ARRAY[x.id]) AND {is_processing})$t$,
    (SELECT z.template FROM rowcrew.adopted_table z WHERE z.name = p_name)) USING p_ids;
END $$;

-- As drop_stale_limited, for an adopted table.
CREATE FUNCTION rowcrew.adopted_drop_stale(p_name text, p_queue text, p_groups text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_stale text[];
BEGIN
  EXECUTE rowcrew.adopted_fill($t$
    WITH s AS (
      DELETE FROM {limited} WHERE ctid = ANY (ARRAY(
        SELECT y.hint FROM unnest($2) AS g (grp), LATERAL (
          SELECT l.ctid AS hint, l.id FROM {limited} l WHERE l.queue = $1 AND l.grp = g.grp ORDER BY l.priority, l.run_at LIMIT 500 FOR UPDATE SKIP LOCKED) y
        WHERE NOT EXISTS (
          SELECT FROM {table} q LEFT JOIN {job} x ON x.id = ANY (ARRAY[y.id])
          WHERE q.{key} = ANY (ARRAY[y.id]) AND {is_waiting} AND {queue} = $1 AND coalesce({due} <= rowcrew.clock_now(), true) AND coalesce(x.crashes, 0) < 2 OFFSET 0)))
      RETURNING id::text
    )
    SELECT array_agg(id) FROM s$t$, (SELECT z.template FROM rowcrew.adopted_table z WHERE z.name = p_name)) USING p_queue, p_groups INTO v_stale;
  IF v_stale IS NOT NULL THEN
    PERFORM rowcrew.adopted_file_truth(p_name, v_stale);
  END IF;
END $$;

-- Whether a claim may take a job, after one was refused: not one whose row somebody holds, nor one whose row the
-- database refuses (a constraint or a trigger of the application), which is laid aside with what was said of it.
CREATE FUNCTION rowcrew.adopted_may_be_taken(p_name text, p_node bigint, p_hint tid, p_key text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  t jsonb := (SELECT z.template FROM rowcrew.adopted_table z WHERE z.name = p_name);
  v_free boolean;
  v_message text;
BEGIN
  EXECUTE rowcrew.adopted_fill('SELECT true FROM {table} q WHERE q.{key} = $1::{key_type} FOR NO KEY UPDATE SKIP LOCKED', t) INTO v_free USING p_key;
  IF v_free IS NULL THEN
    RETURN false;
  END IF;
  BEGIN
    EXECUTE rowcrew.adopted_fill('UPDATE {table} q SET {status} = {processing}{set_claimed} WHERE q.{key} = $1::{key_type} AND {is_waiting} RETURNING {carried} IS NULL', t)
      INTO v_free USING p_key, p_node;
    RAISE SQLSTATE 'RC001';  -- tried, and undone
  EXCEPTION
    WHEN SQLSTATE 'RC001' THEN RETURN true;
    WHEN OTHERS THEN
      -- Of no single row, see tells_of_one_job(); nor of a word that its enum has no more.
      IF SQLSTATE ~ '^(0A|25|26|28|2D|3D|3F|40|42|53|55|57|58|F0|HV|XX)' OR (SQLSTATE = '22P02' AND SQLERRM LIKE '%enum%') THEN
        RAISE;
      END IF;
      v_message := left(SQLSTATE || ': ' || SQLERRM, 500);
  END;
  EXECUTE rowcrew.adopted_fill($t$
    WITH d AS (DELETE FROM {limited} WHERE ctid = $1 RETURNING id, priority, queue)
    INSERT INTO {parked} (run_at, id, priority, queue, reason, key) SELECT rowcrew.clock_now() + interval '10 min', id, priority, queue, 'unclaimable', $2 FROM d$t$, t)
    USING p_hint, v_message;
  RETURN false;
END $$;

-- <table>_take() of an adopted table. It runs with the rights of the node: the table's own are none of our owner's.
CREATE FUNCTION rowcrew.adopted_make_take(p_name text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $make$
DECLARE
  t jsonb := (SELECT z.template FROM rowcrew.adopted_table z WHERE z.name = p_name);
  v_claim constant text := $t$u AS (
          UPDATE {table} q
          SET {status} = {processing}{set_claimed}
          FROM t LEFT JOIN {job} x ON x.id = ANY (ARRAY[t.id])
          WHERE q.{key} = ANY (ARRAY[t.id]) AND {is_waiting} AND {queue} = {of_queue} AND coalesce({due} <= v_now, true) AND coalesce(x.crashes, 0) < 2
          RETURNING q.{key} AS id, {job_type} AS job_type, {of_queue} AS queue, {carried} AS payload, least({attempts}, 32767)::smallint AS attempts,
                    least({max_attempts}, 32767)::smallint AS max_attempts, coalesce(x.crashes, 0)::smallint AS crashes,
                    (date_part('epoch', t.run_at) * 1000000)::bigint AS run_at_us, t.priority, {app} AS app, t.token
        ), companion AS (
          INSERT INTO {job} (id, token, status) SELECT u.id, u.token, 'processing' FROM u
          ON CONFLICT (id) DO UPDATE SET token = excluded.token, status = 'processing', claimed_at = rowcrew.clock()
        )$t$;
BEGIN
  PERFORM rowcrew.make_take(t || jsonb_build_object(
    'id_type', 'text', 'as_text', '::text', 'rights', '', 'fence', t ->> 'job', 'fence_token', 'token',
    'file_truth', 'rowcrew.adopted_file_truth', 'drop_stale', 'rowcrew.adopted_drop_stale',
    'refused', rowcrew.adopted_fill($t$  IF p_around THEN
    RETURN QUERY SELECT NULL::text, x.id::text, x.queue, NULL::jsonb, NULL::smallint, NULL::smallint, NULL::smallint, NULL::bigint, NULL::smallint, x.key, NULL::bigint
    FROM {parked} x WHERE x.reason = 'unclaimable' AND x.xmin = pg_current_xact_id()::xid;
  END IF;
$t$, t),
    'may_be_taken', format('rowcrew.adopted_may_be_taken(%L, p_node, y.ctid, y.id::text)', p_name),
    'claim_t', rowcrew.adopted_fill(v_claim, t || '{"of_queue": "v_queue"}'),
    'claim_handed', 'WITH t AS MATERIALIZED (
      SELECT x.id, x.run_at, x.priority, p_tokens[v_token] AS token FROM unnest(v_ids, v_runs, v_prios) AS x (id, run_at, priority)
    ), ' || rowcrew.adopted_fill(v_claim, t || '{"of_queue": "e.queue"}') || '
    SELECT u.id::text, u.job_type, u.queue, u.payload, u.attempts, u.max_attempts, u.crashes, u.run_at_us, u.priority, u.app, u.token FROM u'));
  EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', t ->> 'take');
  IF to_regrole('rowcrew_worker') IS NOT NULL THEN
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO rowcrew_worker', t ->> 'take');
  END IF;
  IF rowcrew.may_become_owner() THEN
    EXECUTE format('ALTER FUNCTION %s OWNER TO rowcrew_owner', t ->> 'take');
  END IF;
END $make$;

UPDATE rowcrew.meta SET schema_version = 23;
