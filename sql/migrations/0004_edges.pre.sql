-- 0004: apps, enqueueing by function, API keys.

CREATE TABLE rowcrew.app (
  name        text        PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  schema_name text        NOT NULL UNIQUE,
  created_at  timestamptz NOT NULL DEFAULT rowcrew.clock()
);
COMMENT ON TABLE rowcrew.app IS 'Applications that the fleet serves: each a schema with its ports.';

CREATE TABLE rowcrew.api_key (
  key_id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name       text        NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100 AND strpos(name, ':') = 0),
  key_hash   text        NOT NULL UNIQUE CHECK (key_hash ~ '^[0-9a-f]{64}$'),
  job_types  text[]      NOT NULL,
  app        text        REFERENCES rowcrew.app,
  created_at timestamptz NOT NULL DEFAULT rowcrew.clock(),
  revoked_at timestamptz
);
COMMENT ON COLUMN rowcrew.api_key.key_hash IS 'SHA-256 of the key in hex. Keys are 256 random bits, so no salt or stretching is needed; the key itself is shown once and kept nowhere.';
COMMENT ON COLUMN rowcrew.api_key.job_types IS
  'What may be enqueued with it. "*" stands for every type except command, http and sql, which reach into '
  'the machine or the network and must be named.';

-- Enqueues one job. With p_unique_key and a live job of that key: that job's id and created = false.
-- Defaults come from rowcrew.job_type. Not granted: enqueue() and ingest_enqueue() call it. Jobs have no tenant before 0010.
CREATE FUNCTION rowcrew.enqueue_one(
  p_job_type text, p_payload jsonb, p_queue text, p_priority integer, p_scheduled_at timestamptz,
  p_max_attempts integer, p_unique_key text, p_tenant text, OUT id uuid, OUT created boolean
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_type rowcrew.job_type;
BEGIN
  id := rowcrew.uuid7();
  created := true;
  IF p_unique_key IS NOT NULL THEN
    INSERT INTO rowcrew.job_unique (scope, key, job_table, job_id)
    VALUES ('live:job_queue', p_unique_key, 'job_queue', id)
    ON CONFLICT (scope, key) DO NOTHING;
    IF NOT FOUND THEN
      created := false;
      id := (SELECT u.job_id FROM rowcrew.job_unique u WHERE u.scope = 'live:job_queue' AND u.key = p_unique_key);
      IF id IS NULL THEN
        RAISE EXCEPTION 'enqueue: the job of unique key % ended while this one was enqueued, try again', quote_literal(p_unique_key)
          USING ERRCODE = 'serialization_failure';
      END IF;
      RETURN;
    END IF;
  END IF;
  SELECT * INTO v_type FROM rowcrew.job_type t WHERE t.name = p_job_type;
  INSERT INTO rowcrew.job_queue (id, job_type, payload, queue, priority, scheduled_at, max_attempts, unique_key, enqueued_by)
  VALUES (id, p_job_type, coalesce(p_payload, '{}'), coalesce(p_queue, v_type.queue, 'default'),
          coalesce(p_priority, v_type.priority, 5), coalesce(p_scheduled_at, rowcrew.clock_now()),
          coalesce(p_max_attempts, v_type.max_attempts, 5), p_unique_key, session_user);
END $$;

-- Enqueues one job and returns its id, or that of the live job of the same p_unique_key.
CREATE FUNCTION rowcrew.enqueue(
  p_job_type text, p_payload jsonb DEFAULT '{}', p_queue text DEFAULT NULL, p_priority integer DEFAULT NULL,
  p_scheduled_at timestamptz DEFAULT NULL, p_max_attempts integer DEFAULT NULL, p_unique_key text DEFAULT NULL
) RETURNS uuid LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT e.id FROM rowcrew.enqueue_one(p_job_type, p_payload, p_queue, p_priority, p_scheduled_at, p_max_attempts, p_unique_key, NULL) e
$$;

-- First of the two calls of the ingest role: which key is this, and what may it enqueue?
-- No row: unknown or revoked.
CREATE FUNCTION rowcrew.ingest_key(p_key_hash text) RETURNS TABLE (key_id bigint, name text, job_types text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT k.key_id, k.name, k.job_types FROM rowcrew.api_key k
  WHERE k.key_hash = p_key_hash AND k.revoked_at IS NULL
$$;

CREATE FUNCTION rowcrew.key_allows(p_job_types text[], p_job_type text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT p_job_type = ANY (p_job_types)
         OR ('*' = ANY (p_job_types) AND p_job_type NOT IN ('command', 'http', 'sql'))
$$;

-- The second: enqueue under that key. The key is checked here again, so that the role by itself can
-- do nothing. p_once: idempotency key; a second call with it returns the first job's id and
-- created = false. Errors: 28000 unknown key, 42501 job type not in the key's scope.
CREATE FUNCTION rowcrew.ingest_enqueue(
  p_key_hash text, p_job_type text, p_payload jsonb, p_once text DEFAULT NULL, p_queue text DEFAULT NULL,
  p_priority integer DEFAULT NULL, p_delay_ms bigint DEFAULT NULL, p_unique_key text DEFAULT NULL, p_tenant text DEFAULT NULL
) RETURNS TABLE (id uuid, created boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_key rowcrew.api_key;
  v_scope text;
BEGIN
  SELECT * INTO v_key FROM rowcrew.api_key k WHERE k.key_hash = p_key_hash AND k.revoked_at IS NULL;
  IF v_key.key_id IS NULL THEN
    RAISE EXCEPTION 'ingest: unknown or revoked API key' USING ERRCODE = 'invalid_authorization_specification';
  END IF;
  IF NOT rowcrew.key_allows(v_key.job_types, p_job_type) THEN
    RAISE EXCEPTION 'ingest: API key % may not enqueue job type %', quote_ident(v_key.name), quote_ident(p_job_type)
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF p_once IS NOT NULL THEN
    v_scope := 'once:' || v_key.key_id;
    id := rowcrew.uuid7();
    INSERT INTO rowcrew.job_unique (scope, key, job_table, job_id) VALUES (v_scope, p_once, 'job_queue', id)
    ON CONFLICT (scope, key) DO NOTHING;
    IF NOT FOUND THEN
      SELECT u.job_id INTO id FROM rowcrew.job_unique u WHERE u.scope = v_scope AND u.key = p_once;
      IF id IS NULL THEN
        RAISE EXCEPTION 'ingest: the idempotency key was forgotten while this call used it, try again' USING ERRCODE = 'serialization_failure';
      END IF;
      created := false;
      RETURN NEXT;
      RETURN;
    END IF;
  END IF;
  -- A unique key is the API key's own: nobody learns of a stranger's job by guessing its key. No name holds a colon.
  SELECT e.id, e.created INTO id, created
  FROM rowcrew.enqueue_one(p_job_type, p_payload, p_queue, p_priority,
                           rowcrew.clock_now() + coalesce(p_delay_ms, 0) * interval '1 ms', NULL,
                           v_key.name || ':' || p_unique_key, p_tenant) e;
  IF p_once IS NOT NULL THEN
    UPDATE rowcrew.job_unique u SET job_id = ingest_enqueue.id WHERE u.scope = v_scope AND u.key = p_once;
  END IF;
  RETURN NEXT;
END $$;

UPDATE rowcrew.meta SET schema_version = 4;
