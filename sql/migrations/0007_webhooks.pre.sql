-- 0007: webhooks: endpoints, what was delivered to them, and how events become deliveries.

-- Signing keys as of Standard Webhooks: 24 to 64 random bytes, base64 behind "whsec_".
CREATE FUNCTION rowcrew.webhook_secret_ok(p_secret text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN p_secret ~ '^whsec_([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'
              THEN octet_length(decode(substr(p_secret, 7), 'base64')) BETWEEN 24 AND 64
              ELSE false END
$$;

CREATE TABLE rowcrew.webhook_endpoints (
  endpoint_id           uuid        PRIMARY KEY DEFAULT rowcrew.uuid7(),
  app                   text        REFERENCES rowcrew.app,
  account               text        CHECK (length(account) BETWEEN 1 AND 300),
  url                   text        NOT NULL CHECK (url ~* '^https?://[^\s]+$' AND length(url) <= 2000),
  events                text[]      NOT NULL
                        CHECK (cardinality(events) BETWEEN 1 AND 100 AND array_position(events, NULL) IS NULL
                               AND array_to_string(events, ' ') ~ '^(\*|[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)+)( (\*|[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)+))*$'),
  secret                text        NOT NULL CHECK (rowcrew.webhook_secret_ok(secret))
                        DEFAULT 'whsec_' || encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'base64'),
  previous_secret       text        CHECK (rowcrew.webhook_secret_ok(previous_secret)),
  previous_secret_until timestamptz,
  enabled               boolean     NOT NULL DEFAULT true,
  disabled_at           timestamptz,
  disabled_reason       text,
  failing_since         timestamptz,
  created_at            timestamptz NOT NULL DEFAULT rowcrew.clock(),
  CHECK (previous_secret IS NULL OR previous_secret_until IS NOT NULL)
);
CREATE INDEX ON rowcrew.webhook_endpoints (account);
COMMENT ON TABLE rowcrew.webhook_endpoints IS 'Who is told of events over HTTP. The secrets are for the owner and the nodes alone.';
COMMENT ON COLUMN rowcrew.webhook_endpoints.app IS 'Only events of this app''s jobs. Null: of all apps.';
COMMENT ON COLUMN rowcrew.webhook_endpoints.account IS 'Only events whose data names this "account". Null: all, those without an account, too.';
COMMENT ON COLUMN rowcrew.webhook_endpoints.events IS
  'Names such as job.completed or photo.ready; "*" for all. Events about jobs of type webhook are never delivered, or they would breed.';
COMMENT ON COLUMN rowcrew.webhook_endpoints.secret IS
  'Made by default. Changing it keeps the old one in previous_secret for a day: until then every delivery carries both signatures.';
COMMENT ON COLUMN rowcrew.webhook_endpoints.enabled IS 'False: nothing is delivered or kept for later. Setting it to true again forgets why it was false.';
COMMENT ON COLUMN rowcrew.webhook_endpoints.failing_since IS 'The first failure since the last success. After 5 days the endpoint is disabled.';

CREATE TABLE rowcrew.webhook_deliveries (
  delivery_id      uuid        PRIMARY KEY,
  endpoint_id      uuid        NOT NULL,
  event_id         bigint      NOT NULL,
  event            text        NOT NULL,
  body             text        NOT NULL,
  status           text        NOT NULL DEFAULT 'pending'
                   CHECK (status IN ('pending', 'retrying', 'delivered', 'failed', 'cancelled')),
  attempts         integer     NOT NULL DEFAULT 0,
  response_status  integer,
  response_excerpt text,
  error_code       text,
  error_message    text,
  job_id           uuid,
  created_at       timestamptz NOT NULL DEFAULT rowcrew.clock(),
  delivered_at     timestamptz
) WITH (fillfactor = 80);
CREATE INDEX ON rowcrew.webhook_deliveries (endpoint_id, created_at);
COMMENT ON TABLE rowcrew.webhook_deliveries IS 'One row per event and endpoint that wants it, with the state of its job.';
COMMENT ON COLUMN rowcrew.webhook_deliveries.delivery_id IS 'The receiver''s webhook-id is "msg_" and its 32 hex digits, the same on every attempt.';
COMMENT ON COLUMN rowcrew.webhook_deliveries.endpoint_id IS 'No foreign key: every event would lock its endpoint''s row. An endpoint that is gone cancels the job.';
COMMENT ON COLUMN rowcrew.webhook_deliveries.body IS 'Frozen here: every attempt sends these bytes.';
COMMENT ON COLUMN rowcrew.webhook_deliveries.response_excerpt IS 'The first KiB of the last answer.';
COMMENT ON COLUMN rowcrew.webhook_deliveries.status IS 'That of the job at its last end; a job that runs again shows when it ends again.';
COMMENT ON COLUMN rowcrew.webhook_deliveries.job_id IS 'The job that delivers it; the latest, if somebody enqueued it again.';

-- What an UPDATE by a person means beside the columns that it names.
CREATE FUNCTION rowcrew.webhook_endpoint_edit() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.secret <> OLD.secret AND NEW.previous_secret IS NOT DISTINCT FROM OLD.previous_secret THEN
    NEW.previous_secret := OLD.secret;
    NEW.previous_secret_until := rowcrew.clock() + interval '24 hours';
  END IF;
  IF NEW.enabled AND NOT OLD.enabled THEN
    NEW.disabled_at := NULL;
    NEW.disabled_reason := NULL;
    NEW.failing_since := NULL;
  ELSIF OLD.enabled AND NOT NEW.enabled THEN
    NEW.disabled_at := coalesce(NEW.disabled_at, rowcrew.clock());
    NEW.disabled_reason := coalesce(NEW.disabled_reason, 'Switched off by hand.');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER edit BEFORE UPDATE ON rowcrew.webhook_endpoints
  FOR EACH ROW EXECUTE FUNCTION rowcrew.webhook_endpoint_edit();

-- The engine writes events of its own only while somebody subscribes: one subscription per endpoint
-- that wants some, kept here. Endpoints of an account want none: those events name no account.
CREATE FUNCTION rowcrew.webhook_subscribe() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_wanted text[] := ARRAY['job.completed', 'job.failed', 'job.cancelled'];
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    DELETE FROM rowcrew.event_subscription WHERE name LIKE 'webhook:%';
    RETURN NULL;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM rowcrew.event_subscription WHERE name = 'webhook:' || OLD.endpoint_id;
  END IF;
  IF TG_OP <> 'DELETE' AND NEW.enabled AND NEW.account IS NULL THEN
    v_wanted := ARRAY(SELECT w FROM unnest(v_wanted) AS w WHERE NEW.events && ARRAY[w, '*']);
    IF cardinality(v_wanted) > 0 THEN
      INSERT INTO rowcrew.event_subscription (name, events) VALUES ('webhook:' || NEW.endpoint_id, v_wanted)
      ON CONFLICT (name) DO UPDATE SET events = EXCLUDED.events, job_types = NULL;
    END IF;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER subscribe AFTER INSERT OR DELETE OR UPDATE OF endpoint_id, events, enabled, account ON rowcrew.webhook_endpoints
  FOR EACH ROW EXECUTE FUNCTION rowcrew.webhook_subscribe();
CREATE TRIGGER unsubscribe_all AFTER TRUNCATE ON rowcrew.webhook_endpoints
  FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.webhook_subscribe();

-- Whose job it is: its app, that of its adopted table (0015), or the only one there is.
CREATE FUNCTION rowcrew.webhook_event_app(p_job_table text, p_job_id uuid) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN coalesce(CASE p_job_table
                    WHEN 'job_queue' THEN (SELECT j.app FROM rowcrew.job_queue j WHERE j.id = p_job_id)
                    WHEN 'processing_jobs' THEN (SELECT j.app FROM rowcrew.processing_jobs j WHERE j.id = p_job_id)
                    ELSE (SELECT z.app FROM rowcrew.adopted_table z WHERE z.name = p_job_table)
                  END,
                  (SELECT min(a.name) FROM rowcrew.app a HAVING count(*) = 1));
END $$;

-- Every event becomes one delivery and one job per endpoint that wants it, in the transaction that
-- wrote the event. Fires once per statement, also for none: it must cost nothing then. Events about
-- jobs of type webhook stop here, whoever wrote them: their deliveries would end in such events again.
CREATE FUNCTION rowcrew.webhook_fan_out() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM fresh WHERE job_type <> 'webhook')
     OR NOT EXISTS (SELECT FROM rowcrew.webhook_endpoints e WHERE e.enabled) THEN
    RETURN NULL;
  END IF;
  WITH told AS MATERIALIZED (  -- whose each is, once: not for every endpoint that it is compared with
    SELECT f.*, CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.webhook_endpoints e WHERE e.enabled AND e.app IS NOT NULL))
                THEN rowcrew.webhook_event_app(f.job_table, f.job_id) END AS job_app
    FROM fresh f WHERE f.job_type <> 'webhook'
  ), wanted AS MATERIALIZED (
    SELECT rowcrew.uuid7() AS delivery_id, rowcrew.uuid7() AS job_id, e.endpoint_id, e.app, f.event_id, f.event,
           format('{"type":%s,"timestamp":"%s","data":%s}', to_json(f.event),
                  to_char(f.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                  CASE WHEN jsonb_typeof(f.data) = 'object' THEN f.data ELSE jsonb_build_object('value', f.data) END
                  || jsonb_strip_nulls(jsonb_build_object('job_table', f.job_table, 'job_id', f.job_id, 'job_key', f.job_key,
                                                          'job_type', f.job_type))) AS body
    FROM told f
    JOIN rowcrew.webhook_endpoints e ON e.account IS NULL OR e.account = f.data ->> 'account'
    WHERE e.enabled AND e.events && ARRAY[f.event, '*'] AND (e.app IS NULL OR e.app = f.job_app)
  ), d AS (
    INSERT INTO rowcrew.webhook_deliveries (delivery_id, endpoint_id, event_id, event, body, job_id)
    SELECT w.delivery_id, w.endpoint_id, w.event_id, w.event, w.body, w.job_id FROM wanted w
  ), u AS (
    INSERT INTO rowcrew.job_unique (scope, key, job_table, job_id)
    SELECT 'live:job_queue', 'webhook:' || w.delivery_id, 'job_queue', w.job_id FROM wanted w
  )
  INSERT INTO rowcrew.job_queue (id, job_type, payload, queue, app, max_attempts, unique_key, enqueued_by)
  SELECT w.job_id, 'webhook', jsonb_build_object('delivery', w.delivery_id), 'default', w.app, 10,
         'webhook:' || w.delivery_id, session_user
  FROM wanted w;
  RETURN NULL;
END $$;
-- On the parent: rows reach their partitions through it, by INSERT and by COPY.
CREATE TRIGGER webhook_fan_out AFTER INSERT ON rowcrew.job_event REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.webhook_fan_out();

-- What an execution means for its endpoint: null, nothing. Only what the receiver has done or left
-- undone counts; our own trouble (a database away, a deadline) does not.
CREATE FUNCTION rowcrew.webhook_judge_endpoint(p_endpoint uuid, p_success boolean, p_gone boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_success THEN
    UPDATE rowcrew.webhook_endpoints SET failing_since = NULL WHERE endpoint_id = p_endpoint AND failing_since IS NOT NULL;
    RETURN;
  END IF;
  UPDATE rowcrew.webhook_endpoints SET failing_since = rowcrew.clock()
  WHERE endpoint_id = p_endpoint AND failing_since IS NULL;
  UPDATE rowcrew.webhook_endpoints
  SET enabled = false, disabled_at = rowcrew.clock(),
      disabled_reason = CASE WHEN p_gone THEN 'The receiver answered 410: it wants no more events.'
                             ELSE 'No delivery has succeeded for 5 days.' END
  WHERE endpoint_id = p_endpoint AND enabled AND (p_gone OR failing_since < rowcrew.clock() - interval '5 days');
END $$;

-- The ended port of the kind webhook. Forgiving: whatever is odd is left out, nothing is refused.
-- The handler's words: error code http_<status>, endpoint_gone for 410; what the receiver said stands
-- in a result's "excerpt", in an error message behind " and said: ". Which endpoint it was stands before that message: the
-- delivery says so itself, and its words are for whoever the endpoint belongs to.
CREATE FUNCTION rowcrew.webhook_ended(job_id uuid, ended jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_ended jsonb := CASE WHEN jsonb_typeof(ended) = 'object' THEN ended ELSE '{}' END;
  v_code text := left(v_ended ->> 'error_code', 100);
  v_message text := regexp_replace(left(v_ended ->> 'error_message', 4000), '^endpoint [^ ]+: ', '');
  v_said integer := strpos(coalesce(v_message, ''), ' and said: ');
  v_delivery text := (SELECT j.payload ->> 'delivery' FROM rowcrew.job_queue j WHERE j.id = webhook_ended.job_id);
  v_status text := CASE v_ended ->> 'status' WHEN 'completed' THEN 'delivered' WHEN 'failed' THEN 'failed'
                     WHEN 'cancelled' THEN 'cancelled' WHEN 'retrying' THEN 'retrying' END;
  v_answered text := CASE WHEN v_status = 'delivered' THEN v_ended -> 'result' ->> 'status'
                          WHEN v_code = 'endpoint_gone' THEN '410' ELSE substring(v_code FROM '^http_([0-9]{3})$') END;
  v_excerpt text := CASE WHEN v_status = 'delivered' THEN v_ended -> 'result' ->> 'excerpt'
                         WHEN v_said > 0 THEN substr(v_message, v_said + 11) END;
  v_endpoint uuid;
BEGIN
  IF v_status IS NULL OR v_delivery !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
    RETURN;
  END IF;
  UPDATE rowcrew.webhook_deliveries d
  SET status = v_status,
      attempts = CASE WHEN v_ended ->> 'attempt' ~ '^[0-9]{1,9}$' THEN (v_ended ->> 'attempt')::integer ELSE d.attempts + 1 END,
      response_status = CASE WHEN v_answered ~ '^[1-9][0-9]{2}$' THEN v_answered::integer END,
      response_excerpt = left(v_excerpt, 1024),
      error_code = v_code,
      error_message = CASE WHEN v_said > 0 THEN left(v_message, v_said - 1) || '.' ELSE v_message END,
      job_id = webhook_ended.job_id,
      delivered_at = CASE WHEN v_status = 'delivered' THEN rowcrew.clock() ELSE d.delivered_at END
  WHERE d.delivery_id = v_delivery::uuid
  RETURNING d.endpoint_id INTO v_endpoint;
  IF v_status = 'delivered' OR (v_status IN ('failed', 'retrying') AND v_code ~ '^(http|endpoint)_') THEN
    PERFORM rowcrew.webhook_judge_endpoint(v_endpoint, v_status = 'delivered', v_code IS NOT DISTINCT FROM 'endpoint_gone');
  END IF;
END $$;
COMMENT ON FUNCTION rowcrew.webhook_ended(uuid, jsonb) IS 'The ended port of the kind webhook: writes what became of a delivery, and judges its endpoint.';

-- A job that is cancelled while it waits never runs, so no port hears of it.
-- Called by the one trigger that sees every change of a job (0010).
CREATE FUNCTION rowcrew.webhook_job_cancelled(p_payload jsonb) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_delivery text := p_payload ->> 'delivery';
BEGIN
  IF v_delivery ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
    UPDATE rowcrew.webhook_deliveries d
    SET status = 'cancelled', error_code = 'cancelled', error_message = 'The delivery was cancelled while it waited.'
    WHERE d.delivery_id = v_delivery::uuid AND d.status IN ('pending', 'retrying');
  END IF;
END $$;

UPDATE rowcrew.meta SET schema_version = 7;
