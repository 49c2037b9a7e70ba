-- 0006: mails: what was sent, to whom, and how it ended.

CREATE TABLE rowcrew.email_notifications (
  job_id        uuid        PRIMARY KEY,
  app           text,
  account       text,
  recipient     text,
  template      text,
  message_id    text,
  status        text        NOT NULL
                CHECK (status IN ('sending', 'sent', 'retrying', 'failed', 'cancelled', 'suppressed')),
  attempts      integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  error_code    text,
  error_message text,
  transport     text,
  created_at    timestamptz NOT NULL DEFAULT rowcrew.clock(),
  sent_at       timestamptz,
  CHECK (status <> 'sent' OR sent_at IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX ON rowcrew.email_notifications (account, created_at);
COMMENT ON TABLE rowcrew.email_notifications IS
  'One row per job of type email that was tried. Addresses are personal data: this table and the payloads are where they are.';
COMMENT ON COLUMN rowcrew.email_notifications.recipient IS 'As the payload names it, even when it is no address.';
COMMENT ON COLUMN rowcrew.email_notifications.message_id IS
  'Without angle brackets; the same on every attempt. Null: the job ended before a mail was made.';
COMMENT ON COLUMN rowcrew.email_notifications.status IS
  'suppressed: the account does not want mails of this template. sending, for long: the node died, and nobody knows whether the mail left.';
COMMENT ON COLUMN rowcrew.email_notifications.created_at IS 'The Date of the mail, on every attempt.';
COMMENT ON COLUMN rowcrew.email_notifications.sent_at IS 'When the relay, or the Maildir, had taken the mail and the job ended so.';

-- The left part is the first 20 bytes of SHA-256 of the key, in base32 (RFC 4648, lower case, 32 letters).
CREATE FUNCTION rowcrew.email_message_id(p_key text, p_domain text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(substr('abcdefghijklmnopqrstuvwxyz234567',
                           1 + substring(h.bits FROM 1 + 5 * i FOR 5)::bit(5)::integer, 1), '' ORDER BY i) || '@' || p_domain
  FROM (SELECT ('x' || left(encode(sha256(convert_to(p_key, 'UTF8')), 'hex'), 40))::bit(160) AS bits) h,
       generate_series(0, 31) AS i
$$;

-- A text of the payload, or null; cut, as nobody has checked it.
CREATE FUNCTION rowcrew.email_payload_text(p_payload jsonb, p_key text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE jsonb_typeof(p_payload -> p_key) WHEN 'string' THEN left(p_payload ->> p_key, 300) END
$$;

-- The ended port of the type email: in the transaction that ends an execution, so that the ledger says
-- what the job says. A job that ended before its row was written (a bad address) gets it here.
CREATE FUNCTION rowcrew.email_ended(p_job_id uuid, p_ended jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_status text := CASE p_ended ->> 'status' WHEN 'completed' THEN 'sent' ELSE p_ended ->> 'status' END;
  v_sent   timestamptz := CASE v_status WHEN 'sent' THEN rowcrew.clock() END;
BEGIN
  INSERT INTO rowcrew.email_notifications AS n
         (job_id, app, account, recipient, template, status, attempts, error_code, error_message, transport, sent_at)
  SELECT p_job_id, j.app, rowcrew.email_payload_text(j.payload, 'account'), rowcrew.email_payload_text(j.payload, 'to'),
         rowcrew.email_payload_text(j.payload, 'template'), v_status, coalesce((p_ended ->> 'attempt')::integer, 0),
         p_ended ->> 'error_code', left(p_ended ->> 'error_message', 1000), p_ended -> 'result' ->> 'transport', v_sent
  FROM (VALUES (p_job_id)) AS wanted (id) LEFT JOIN rowcrew.job_queue j USING (id)
  ON CONFLICT (job_id) DO UPDATE
  SET status = CASE WHEN EXCLUDED.status = 'cancelled' AND n.status = 'suppressed' THEN n.status ELSE EXCLUDED.status END,
      attempts = EXCLUDED.attempts, error_code = EXCLUDED.error_code, error_message = EXCLUDED.error_message,
      transport = coalesce(EXCLUDED.transport, n.transport), sent_at = coalesce(EXCLUDED.sent_at, n.sent_at);
END $$;

-- A job that is cancelled while it waits never runs, so no port hears of it.
-- Called by the one trigger that sees every change of a job (0010).
CREATE FUNCTION rowcrew.email_job_cancelled(p_job_id uuid) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE rowcrew.email_notifications
  SET status = 'cancelled', error_code = 'cancelled', error_message = 'The mail was cancelled while it waited.'
  WHERE job_id = p_job_id AND status = 'retrying'
$$;

-- A relay that restarts, or greylists, takes minutes: with the waits of other jobs its mails would have failed by then.
INSERT INTO rowcrew.job_type (name, max_attempts, backoff_base_ms, backoff_cap_ms) VALUES ('email', 10, 300000, 3600000)
ON CONFLICT DO NOTHING;

UPDATE rowcrew.meta SET schema_version = 6;
