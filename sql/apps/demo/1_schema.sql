-- The demo application: a photo studio with accounts, tiers, watched folders and usage.
-- Every file of an app can be run again; it changes nothing then but the functions.

CREATE SCHEMA IF NOT EXISTS demo;

CREATE TABLE IF NOT EXISTS demo.tier (
  name          text    PRIMARY KEY,
  monthly_limit integer NOT NULL CHECK (monthly_limit >= 0),
  at_limit      text    NOT NULL CHECK (at_limit IN ('block', 'overage')),
  overage_cents integer NOT NULL DEFAULT 0 CHECK (overage_cents >= 0)
);
COMMENT ON COLUMN demo.tier.at_limit IS 'block: further photos wait for the next period. overage: they are processed and charged.';
INSERT INTO demo.tier VALUES ('free', 10, 'block', 0), ('creator', 100, 'overage', 50), ('studio', 500, 'overage', 50)
ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS demo.account (
  account_id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name                text        NOT NULL,
  email               text        NOT NULL,
  tier                text        NOT NULL DEFAULT 'free' REFERENCES demo.tier,
  default_preset      text        NOT NULL DEFAULT 'portrait_pro',
  email_notifications boolean     NOT NULL DEFAULT true,
  is_active           boolean     NOT NULL DEFAULT true,
  created_at          timestamptz NOT NULL DEFAULT rowcrew.clock()
);
-- Here, so that a studio of before gets it as well.
ALTER TABLE demo.account ADD COLUMN IF NOT EXISTS renewal_day smallint NOT NULL DEFAULT 1 CHECK (renewal_day BETWEEN 1 AND 31);
COMMENT ON COLUMN demo.account.renewal_day IS 'Of the month, when usage begins anew, at midnight UTC; of a shorter month its last day.';

CREATE TABLE IF NOT EXISTS demo.watched_folder (
  folder_id   text        PRIMARY KEY CHECK (folder_id ~ '^[a-z0-9_-]{1,60}$'),
  account_id  bigint      NOT NULL REFERENCES demo.account ON DELETE CASCADE,
  path        text        NOT NULL CHECK (path ~ '^/'),
  output_path text        NOT NULL CHECK (output_path ~ '^/'),
  preset      text,
  settle_ms   integer     NOT NULL DEFAULT 500 CHECK (settle_ms BETWEEN 0 AND 60000),
  poll_ms     integer     NOT NULL DEFAULT 1000 CHECK (poll_ms BETWEEN 1000 AND 86400000),
  created_at  timestamptz NOT NULL DEFAULT rowcrew.clock()
);
COMMENT ON COLUMN demo.watched_folder.preset IS 'Null: the account''s default.';
COMMENT ON COLUMN demo.watched_folder.settle_ms IS 'A file whose size or time changed within this is still being written.';

CREATE TABLE IF NOT EXISTS demo.drive_polls (
  folder_id     text        PRIMARY KEY REFERENCES demo.watched_folder ON DELETE CASCADE,
  last_poll_at  timestamptz NOT NULL,
  files_found   bigint      NOT NULL DEFAULT 0,
  poll_status   text        NOT NULL CHECK (poll_status IN ('success', 'error')),
  error_code    text,
  error_message text
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS demo.photo (
  photo_id      uuid        PRIMARY KEY DEFAULT rowcrew.uuid7(),
  folder_id     text        NOT NULL REFERENCES demo.watched_folder ON DELETE CASCADE,
  account_id    bigint      NOT NULL REFERENCES demo.account ON DELETE CASCADE,
  name          text        NOT NULL,
  path          text        NOT NULL,
  device        bigint      NOT NULL,
  inode         bigint      NOT NULL,
  size          bigint      NOT NULL,
  mtime_ns      bigint      NOT NULL,
  sha256        text        NOT NULL,
  preset        text        NOT NULL,
  output_path   text,
  output_sha256 text,
  problem       jsonb,
  job_id        uuid        UNIQUE,
  status        text        NOT NULL DEFAULT 'queued'
                CHECK (status IN ('queued', 'done', 'failed', 'blocked', 'cancelled', 'ignored')),
  error_code    text,
  error_message text,
  found_at      timestamptz NOT NULL DEFAULT rowcrew.clock(),
  ended_at      timestamptz,
  UNIQUE (folder_id, device, inode, sha256)
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS photo_output ON demo.photo (output_path);
CREATE INDEX IF NOT EXISTS photo_blocked ON demo.photo (account_id) WHERE status = 'blocked';
COMMENT ON TABLE demo.photo IS
  'One row per content of a file in a watched folder. The same file under a new name is the same photo; a copy, or a file '
  'with new content, is another.';
COMMENT ON COLUMN demo.photo.sha256 IS 'Empty when the content could not be read.';
COMMENT ON COLUMN demo.photo.problem IS 'Why it cannot be processed, known when it was found: {"code", "message"}.';
COMMENT ON COLUMN demo.photo.status IS 'blocked: over the limit, waits for the next period. ignored: one of our own outputs.';

CREATE TABLE IF NOT EXISTS demo.usage_tracking (
  account_id            bigint      NOT NULL REFERENCES demo.account ON DELETE CASCADE,
  period_start          timestamptz NOT NULL,
  period_end            timestamptz NOT NULL CHECK (period_end > period_start),
  tier                  text        NOT NULL,
  monthly_limit         integer     NOT NULL,
  at_limit              text        NOT NULL,
  overage_cents         integer     NOT NULL,
  images_processed      integer     NOT NULL DEFAULT 0,
  images_failed         integer     NOT NULL DEFAULT 0,
  images_blocked        integer     NOT NULL DEFAULT 0,
  images_overage        integer     NOT NULL DEFAULT 0,
  overage_charged_cents bigint      NOT NULL DEFAULT 0,
  credits_spent         bigint      NOT NULL DEFAULT 0,
  limit_told            boolean     NOT NULL DEFAULT false,
  PRIMARY KEY (account_id, period_start)
) WITH (fillfactor = 50);
COMMENT ON TABLE demo.usage_tracking IS 'One row per account and period; the largest tier that the account had in it.';
COMMENT ON COLUMN demo.usage_tracking.limit_told IS 'The mail about the limit goes out once a period.';

CREATE TABLE IF NOT EXISTS demo.usage_permit (
  job_id     uuid   PRIMARY KEY,
  account_id bigint NOT NULL REFERENCES demo.account ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS usage_permit_account ON demo.usage_permit (account_id);
COMMENT ON TABLE demo.usage_permit IS
  'A photo that is being processed and may count. One whose job is not running (any more) stands for nothing.';

INSERT INTO rowcrew.app (name, schema_name) VALUES ('demo', 'demo') ON CONFLICT DO NOTHING;

-- A watched folder has a schedule as long as its account is active.
CREATE OR REPLACE FUNCTION demo.schedule_folder(p_folder text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM rowcrew.schedule s WHERE s.name = 'demo.folder.' || p_folder
    AND NOT EXISTS (SELECT FROM demo.watched_folder f WHERE f.folder_id = p_folder);
  INSERT INTO rowcrew.schedule (name, every_ms, job_type, payload, queue, enabled, overlap, app)
  SELECT 'demo.folder.' || f.folder_id, f.poll_ms, 'drive_poll', jsonb_build_object('folder', f.folder_id), 'default', a.is_active, false, 'demo'
  FROM demo.watched_folder f JOIN demo.account a USING (account_id) WHERE f.folder_id = p_folder
  ON CONFLICT (name) DO UPDATE SET every_ms = excluded.every_ms, enabled = excluded.enabled;
END $$;

CREATE OR REPLACE FUNCTION demo.folder_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM demo.schedule_folder(coalesce(NEW.folder_id, OLD.folder_id));
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER schedule AFTER INSERT OR UPDATE OR DELETE ON demo.watched_folder
  FOR EACH ROW EXECUTE FUNCTION demo.folder_changed();

CREATE OR REPLACE FUNCTION demo.account_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM demo.schedule_folder(f.folder_id) FROM demo.watched_folder f WHERE f.account_id = NEW.account_id;
  -- Who pays for more has it at once, whoever takes less with the next period.
  UPDATE demo.usage_tracking u
  SET tier = t.name, monthly_limit = t.monthly_limit, at_limit = t.at_limit, overage_cents = t.overage_cents, limit_told = false
  FROM demo.tier t
  WHERE t.name = NEW.tier AND u.account_id = NEW.account_id AND u.period_end > rowcrew.clock() AND u.monthly_limit < t.monthly_limit;
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER schedule AFTER UPDATE OF is_active, tier ON demo.account
  FOR EACH ROW EXECUTE FUNCTION demo.account_changed();

INSERT INTO rowcrew.schedule (name, cron, job_type, payload, overlap, app)
VALUES ('demo.usage_reset', '5 * * * *', 'usage_reset', '{}', false, 'demo') ON CONFLICT DO NOTHING;
