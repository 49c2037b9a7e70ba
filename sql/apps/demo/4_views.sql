-- What "rowcrew dev" shows, and who may use what.

CREATE OR REPLACE VIEW demo.progress AS
  SELECT count(*) FILTER (WHERE p.status <> 'ignored') AS found,
         count(*) FILTER (WHERE p.status = 'queued') AS waiting,
         count(*) FILTER (WHERE p.status = 'done') AS processed,
         count(*) FILTER (WHERE p.status = 'failed') AS failed,
         count(*) FILTER (WHERE p.status = 'blocked') AS blocked,
         (SELECT count(*) FROM rowcrew.email_notifications e WHERE e.app = 'demo' AND e.status = 'sent') AS mails_sent,
         (SELECT count(*) FROM rowcrew.email_notifications e WHERE e.app = 'demo' AND e.status = 'failed') AS mails_failed,
         (SELECT count(*) FROM rowcrew.webhook_deliveries d WHERE d.status = 'delivered') AS webhooks_delivered,
         (SELECT count(*) FROM rowcrew.webhook_deliveries d WHERE d.status = 'failed') AS webhooks_failed,
         (SELECT count(*) FROM rowcrew.job_queue q WHERE q.job_type IN ('email', 'webhook')
            AND q.status IN ('pending', 'processing', 'retrying')) AS messages_waiting
  FROM demo.photo p;

-- Where the time of a photo went, in ms.
CREATE OR REPLACE VIEW demo.stage_times AS
  WITH t AS (
    SELECT 1 AS pos, 'waiting for a slot' AS stage, extract(epoch FROM q.started_at - q.created_at) * 1000 AS ms
    FROM rowcrew.processing_jobs q WHERE q.app = 'demo' AND q.started_at IS NOT NULL
    UNION ALL
    SELECT 2, 'processing', extract(epoch FROM q.completed_at - q.started_at) * 1000
    FROM rowcrew.processing_jobs q WHERE q.app = 'demo' AND q.status = 'completed'
    UNION ALL
    SELECT 3, 'mail', extract(epoch FROM q.completed_at - q.created_at) * 1000
    FROM rowcrew.job_queue q WHERE q.job_type = 'email' AND q.status = 'completed'
    UNION ALL
    SELECT 4, 'webhook', extract(epoch FROM q.completed_at - q.created_at) * 1000
    FROM rowcrew.job_queue q WHERE q.job_type = 'webhook' AND q.status = 'completed')
  SELECT pos, stage, count(*) AS n, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)) AS median_ms,
         round(max(ms)) AS max_ms
  FROM t GROUP BY pos, stage ORDER BY pos;

-- An account that watches one folder; the same call again changes nothing. Returns the account.
CREATE OR REPLACE FUNCTION demo.join_studio(p_name text, p_email text, p_tier text, p_folder text, p_path text, p_output text,
                                            p_preset text DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_account bigint := (SELECT f.account_id FROM demo.watched_folder f WHERE f.folder_id = p_folder);
BEGIN
  IF v_account IS NULL THEN
    INSERT INTO demo.account (name, email, tier) VALUES (p_name, p_email, p_tier) RETURNING account_id INTO v_account;
    INSERT INTO demo.watched_folder (folder_id, account_id, path, output_path, preset)
    VALUES (p_folder, v_account, p_path, p_output, p_preset);
  END IF;
  RETURN v_account;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA demo FROM PUBLIC;
DO $$
BEGIN
  IF to_regrole('rowcrew_worker') IS NOT NULL THEN
    GRANT USAGE ON SCHEMA demo TO rowcrew_worker;
    GRANT EXECUTE ON FUNCTION demo.drive_folder(text), demo.drive_files_found(text, jsonb), demo.drive_poll_ended(uuid, jsonb),
          demo.generation_input(uuid), demo.generation_ended(uuid, jsonb), demo.email_allowed(text, text), demo.usage_reset()
          TO rowcrew_worker;
  END IF;
END $$;
