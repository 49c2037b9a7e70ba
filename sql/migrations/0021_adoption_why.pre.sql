-- 0021: why a job of an adopted table is not running.

CREATE INDEX ON rowcrew.adopted_conflict (job_table, job_key, at);

CREATE FUNCTION rowcrew.adopted_key_type(p_name text) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT z.template ->> 'key_type' FROM rowcrew.adopted_table z WHERE z.name = p_name
$$;

-- Whether an ended job was cancelled, as SQL text: without a word of its own it stands as failed.
CREATE FUNCTION rowcrew.adopted_is_cancelled(p_map jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_map -> 'states' ? 'cancelled' THEN 'q.{status} = {cancelled}' ELSE 'coalesce(x.status = ''cancelled'', false)' END
$$;

-- The jobs of an adopted table as any_job tells ours, as a list of columns and what they are from. The table's own word counts; where
-- several of our states have one word, the companion tells which; a word that the map does not name is told in quotes, as it may be one of ours.
-- started_at is null if a job runs, but not by a claim of the fleet.
CREATE FUNCTION rowcrew.adopted_job_rows(p_map jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT format($t${table_name}, rowcrew.job_uuid({table_name}, q.{key}), {job_type},
           CASE WHEN {is_waiting} THEN CASE x.status WHEN 'retrying' THEN 'retrying' ELSE 'pending' END
                WHEN {is_processing} THEN 'processing' WHEN q.{status} = {completed} THEN 'completed'
                WHEN q.{status} IN ({ended}) THEN CASE WHEN %s THEN 'cancelled' ELSE 'failed' END
                ELSE coalesce(quote_literal(q.{status}::text), 'null') END,
           {attempts}, {max_attempts}, coalesce(x.crashes, 0), {priority}, {queue}, {tenant}, x.error_code, x.error_message,
           coalesce({due}, {created}, rowcrew.clock()), {created}, c.claimed_at, {ended_at}, c.node_id
    FROM {table} q LEFT JOIN {job} x ON x.id = ANY (ARRAY[q.{key}]) LEFT JOIN LATERAL (
      SELECT x.claimed_at, k.node_id FROM (SELECT) one LEFT JOIN {claim} k ON k.token = x.token WHERE x.status = 'processing') c ON true$t$,
    rowcrew.adopted_is_cancelled(p_map))
$$;

-- One of them, or null. Fails if the table has changed.
CREATE FUNCTION rowcrew.adopted_job(p_name text, p_key text) RETURNS rowcrew.any_job
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
  z rowcrew.adopted_table;
  j rowcrew.any_job;
BEGIN
  SELECT * INTO z FROM rowcrew.adopted_table x WHERE x.name = p_name;
  BEGIN
    EXECUTE rowcrew.adopted_fill('SELECT $1::{key_type}', z.template) USING p_key;
  EXCEPTION WHEN data_exception THEN RETURN NULL;  -- no such key can be
  END;
  EXECUTE rowcrew.adopted_fill('SELECT ' || rowcrew.adopted_job_rows(z.map) || ' WHERE q.{key} = $1::{key_type}', z.template) INTO j USING p_key;
  RETURN j;
END $$;

-- By which keys rules limit a job of an adopted table, as job_keys.
CREATE FUNCTION rowcrew.adopted_keys(p_name text, p_key text) RETURNS jsonb LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
  v_keys jsonb;
BEGIN
  EXECUTE rowcrew.adopted_fill('SELECT to_jsonb({keys}) FROM {table} q WHERE q.{key} = $1::{key_type}',
    (SELECT z.template FROM rowcrew.adopted_table z WHERE z.name = p_name)) USING p_key INTO v_keys;
  RETURN v_keys;
-- Its payload cannot be read, and no claim gets that far; or not by this role and with this search path.
EXCEPTION WHEN data_exception OR plpgsql_error OR syntax_error_or_access_rule_violation THEN RETURN NULL;
END $$;

-- As why, for a job of an adopted table. Its own reasons: shadow, held, foreign, unmapped, unreadable. Reads the
-- table with the rights of whoever asks.
CREATE FUNCTION rowcrew.adopted_why(p_name text, p_key text, OUT line text, OUT answer jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
  z rowcrew.adopted_table;
  j rowcrew.any_job;
  c record;
  v_table text;
BEGIN
  SELECT * INTO z FROM rowcrew.adopted_table x WHERE x.name = p_name;
  v_table := z.template ->> 'table';
  IF z.name IS NOT NULL THEN
    BEGIN  -- as the table tells it: a uuid may be asked for in capitals
      EXECUTE rowcrew.adopted_fill('SELECT ($1::{key_type})::text', z.template) INTO p_key USING p_key;
    EXCEPTION WHEN data_exception THEN NULL;  -- no such key can be
    END;
  END IF;
  BEGIN
    IF z.mode = 'serve' THEN
      j := rowcrew.adopted_job(p_name, p_key);
    END IF;
    IF z.name IS NULL THEN
      answer := rowcrew.because(j, 'unknown', format('no adopted table is served as %s%s', p_name, coalesce(', only ' || (
        SELECT string_agg(x.name, ', ' ORDER BY x.name) FROM rowcrew.adopted_table x), '')));
    ELSIF z.mode = 'held' THEN
      answer := rowcrew.because(j, 'held', format('%s is held, nothing of it is claimed until rowcrew adopt --repair: %s', v_table, z.hold_reason));
    ELSIF z.mode = 'shadow' THEN
      answer := rowcrew.because(j, 'shadow', format('%s is in shadow mode: nothing of it is claimed until rowcrew adopt without --shadow', v_table));
    ELSIF j.id IS NULL THEN
      answer := rowcrew.because(j, 'unknown', format('%s has no such job', v_table));
    ELSIF j.status NOT IN ('pending', 'retrying', 'processing', 'completed', 'failed', 'cancelled') THEN
      answer := rowcrew.because(j, 'unmapped', format('%s is %s, which the map names no state of a job', z.map -> 'columns' ->> 'status', j.status));
    ELSIF j.status = 'processing' AND j.started_at IS NULL THEN
      answer := rowcrew.because(j, 'foreign', format('%s is %s, but not by a claim of the fleet: the application or a worker of its own has it',
        z.map -> 'columns' ->> 'status', quote_literal(z.map -> 'states' ->> 'processing')));
    ELSE
      answer := rowcrew.why_of(j, p_key, CASE WHEN j.status IN ('pending', 'retrying') THEN rowcrew.adopted_keys(p_name, p_key) END);
    END IF;
  EXCEPTION
    WHEN undefined_column OR undefined_table OR undefined_object OR datatype_mismatch OR invalid_text_representation THEN
      answer := rowcrew.because(j, 'held', format('%s has changed, its map does not fit it, rowcrew adopt --repair may mend it: %s', v_table, SQLERRM));
    WHEN insufficient_privilege THEN
      answer := rowcrew.because(j, 'unreadable', CASE WHEN has_table_privilege(z.rel, 'SELECT') THEN format('role %I: %s', current_user, SQLERRM)
        ELSE format('role %I may not read %s: GRANT SELECT ON %s TO %I', current_user, v_table, v_table, current_user) END);
  END;
  -- Whoever asks why a job does not run again is told of the write that should have made it.
  SELECT count(*) AS n, max(x.at) AS at, (array_agg(coalesce(nullif(x.by_program, ''), x.by_role) ORDER BY x.at DESC))[1] AS by_whom INTO c
  FROM (SELECT * FROM rowcrew.adopted_conflict x WHERE x.job_table = p_name AND x.job_key = p_key ORDER BY x.at DESC LIMIT 20) x;
  IF c.n > 0 THEN
    answer := jsonb_set(answer, '{details,held_writes}', jsonb_build_object('count', c.n, 'last', c.at, 'by', c.by_whom));
    IF j.status NOT IN ('pending', 'retrying') THEN
      answer := jsonb_set(answer, '{text}', to_jsonb((answer ->> 'text') || format('; a write of %s at %s that would have made it wait again was held', c.by_whom, rowcrew.say_time(c.at))));
    END IF;
  END IF;
  answer := answer || jsonb_build_object('job', p_name || ':' || p_key);
  line := answer ->> 'text';
END $$;
COMMENT ON FUNCTION rowcrew.adopted_why(text, text) IS 'Why is this job of an adopted table not running? As why(uuid).';

UPDATE rowcrew.meta SET schema_version = 21;
