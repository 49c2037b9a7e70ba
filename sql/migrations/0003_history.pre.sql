-- 0003: what is written when a job ends, the attempt log and the outbox, and where old rows end: all by time.

CREATE TABLE rowcrew.job_attempt (
  ended_at      timestamptz NOT NULL DEFAULT rowcrew.clock(),
  job_table     text        NOT NULL,
  job_id        uuid        NOT NULL,
  job_type      text        NOT NULL,
  attempt       smallint    NOT NULL,
  outcome       text        NOT NULL
                CHECK (outcome IN ('retry', 'snooze', 'failed', 'cancelled', 'released', 'crashed')),
  error_code    text,
  error_message text,
  node_id       bigint,
  duration_ms   integer
) PARTITION BY RANGE (ended_at);
CREATE INDEX ON rowcrew.job_attempt (job_id);
COMMENT ON TABLE rowcrew.job_attempt IS
  'One row per execution that did not complete at once; a job that does leaves no trace but its own row.';
COMMENT ON COLUMN rowcrew.job_attempt.outcome IS
  'retry, failed and cancelled: so it ended; snooze: the handler puts it off; released: its node stopped; crashed: its node died.';

CREATE TABLE rowcrew.event_subscription (
  name      text   PRIMARY KEY,
  events    text[] NOT NULL CHECK (events <@ ARRAY['job.completed', 'job.failed', 'job.cancelled'] AND cardinality(events) > 0),
  job_types text[]
);
COMMENT ON TABLE rowcrew.event_subscription IS
  'Who wants events. While no row matches, none are written. job_types null: all.';

CREATE TABLE rowcrew.job_event (
  event_id  bigint      GENERATED ALWAYS AS IDENTITY,
  at        timestamptz NOT NULL DEFAULT rowcrew.clock(),
  event     text        NOT NULL,
  job_table text        NOT NULL,
  job_id    uuid        NOT NULL,
  job_type  text        NOT NULL,
  data      jsonb       NOT NULL DEFAULT '{}'
) PARTITION BY RANGE (at);
CREATE INDEX ON rowcrew.job_event (event_id);
COMMENT ON TABLE rowcrew.job_event IS 'The outbox: written in the transaction that ends the job, when somebody subscribes; events of an app by emit().';

CREATE TABLE rowcrew.archive (
  archived_at timestamptz NOT NULL DEFAULT rowcrew.clock(),
  policy      text        NOT NULL,
  source      text        NOT NULL,
  id          text        NOT NULL,
  row         jsonb       NOT NULL
) PARTITION BY RANGE (archived_at);
CREATE INDEX ON rowcrew.archive (id);
COMMENT ON TABLE rowcrew.archive IS
  'Rows that a retention policy took out of their table, whole, payloads included. Kept until a policy with target '
  '''archive'' drops their month.';
COMMENT ON COLUMN rowcrew.archive.source IS 'The table it was in.';
COMMENT ON COLUMN rowcrew.archive.id IS 'Its key there.';

CREATE TABLE rowcrew.provider_call (
  at          timestamptz NOT NULL DEFAULT rowcrew.clock_now(),
  job_table   text        NOT NULL,
  job_id      text        NOT NULL,
  job_type    text        NOT NULL,
  attempt     smallint    NOT NULL,
  provider    text        NOT NULL,
  model       text        NOT NULL DEFAULT '',
  external_id text,
  outcome     text        NOT NULL CHECK (outcome IN ('done', 'blocked', 'lost')),
  units       jsonb       NOT NULL DEFAULT '{}',
  cost_micros bigint      NOT NULL DEFAULT 0 CHECK (cost_micros >= 0),
  estimated   boolean     NOT NULL DEFAULT false
) PARTITION BY RANGE (at);
CREATE INDEX ON rowcrew.provider_call (job_id);
CREATE INDEX ON rowcrew.provider_call (provider, at) INCLUDE (cost_micros);
COMMENT ON TABLE rowcrew.provider_call IS 'One row per call of a model provider that costs money, whatever became of its job.';
COMMENT ON COLUMN rowcrew.provider_call.external_id IS 'The provider''s own name of the call: for questions to its support.';
COMMENT ON COLUMN rowcrew.provider_call.outcome IS
  'done: it gave what was asked for; blocked: it refused after the work, and bills it; lost: sent, and no whole answer came.';
COMMENT ON COLUMN rowcrew.provider_call.units IS 'What the provider says that it used (tokens, images, seconds), in its own words.';
COMMENT ON COLUMN rowcrew.provider_call.cost_micros IS 'Millionths of the account''s currency, by the configured prices; 0 where there are none.';
COMMENT ON COLUMN rowcrew.provider_call.estimated IS 'The provider told no units: the cost is the configured estimate.';

-- Creates the weekly partitions from this week to p_ahead weeks on, and this month's and the next one's of the archive and of
-- provider calls; returns how many. The archive is kept for years and looked into by id, which opens each of its partitions: 12 a year, not 52. A default
-- partition takes what falls beside them, so that a late maintainer never makes a finish fail. Bounds are
-- written as text: "IST" of a session's own DateStyle would be read as another zone's. They lie where their parent does: our owner
-- may have no right on a tablespace that is the node's own default.
CREATE FUNCTION rowcrew.ensure_partitions(p_ahead integer DEFAULT 4) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET timezone = 'UTC' SET default_tablespace = '' AS $$
DECLARE
  p record;
  v_from timestamptz;
  v_name text;
  v_made integer := 0;
BEGIN
  PERFORM set_config('lock_timeout', '200ms', true);
  FOR p IN SELECT * FROM (VALUES ('job_attempt', 'week', interval '7 days', 'IYYY"w"IW', p_ahead), ('job_event', 'week', '7 days', 'IYYY"w"IW', p_ahead),
                                 ('archive', 'month', '1 month', 'YYYY"m"MM', 1), ('provider_call', 'month', '1 month', 'YYYY"m"MM', 1)) AS x (parent, unit, step, form, ahead) LOOP
    IF to_regclass(format('rowcrew.%I', p.parent || '_default')) IS NULL THEN
      EXECUTE format('CREATE TABLE rowcrew.%1$I PARTITION OF rowcrew.%2$I DEFAULT; ALTER TABLE rowcrew.%1$I REPLICA IDENTITY FULL',
                     p.parent || '_default', p.parent);
    END IF;
    FOR i IN 0..p.ahead LOOP
      v_from := date_trunc(p.unit, rowcrew.clock(), 'UTC') + i * p.step;
      v_name := p.parent || '_' || to_char(v_from AT TIME ZONE 'UTC', p.form);
      IF to_regclass(format('rowcrew.%I', v_name)) IS NULL THEN
        BEGIN
          EXECUTE format('CREATE TABLE rowcrew.%1$I PARTITION OF rowcrew.%2$I FOR VALUES FROM (%3$L) TO (%4$L);'
                         ' ALTER TABLE rowcrew.%1$I REPLICA IDENTITY FULL', v_name, p.parent, v_from, v_from + p.step);
          v_made := v_made + 1;
        EXCEPTION
          WHEN check_violation THEN NULL;  -- rows of that time are in the default already, and stay there
          WHEN lock_not_available THEN EXIT;  -- somebody reads this table for long: the next pass
        END;
      END IF;
    END LOOP;
  END LOOP;
  RETURN v_made;
END $$;
SELECT rowcrew.ensure_partitions();

CREATE TABLE rowcrew.schedule (
  name       text        PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 100),
  cron       text,
  every_ms   bigint      CHECK (every_ms BETWEEN 1000 AND 31536000000),
  zone       text        NOT NULL DEFAULT 'UTC',
  job_type   text        NOT NULL CHECK (length(job_type) BETWEEN 1 AND 100),
  payload    jsonb       NOT NULL DEFAULT '{}',
  queue      text        COLLATE "C" NOT NULL DEFAULT 'default' CHECK (length(queue) BETWEEN 1 AND 63),
  priority   smallint    NOT NULL DEFAULT 5 CHECK (priority BETWEEN 0 AND 9),
  enabled    boolean     NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT rowcrew.clock() CHECK (isfinite(created_at)),
  changed_at timestamptz CHECK (isfinite(changed_at)),
  CHECK ((cron IS NULL) <> (every_ms IS NULL))
);
COMMENT ON TABLE rowcrew.schedule IS
  'Jobs that come by the clock: one per moment, however many nodes run. priority and queue are those of the job; cron or every_ms says when.';
COMMENT ON COLUMN rowcrew.schedule.cron IS
  'Five fields, local to zone: minute hour day-of-month month day-of-week; or @hourly, @daily (@midnight), @weekly, @monthly, '
  '@yearly (@annually). Where both day fields name days either is enough. What falls into an hour that a change of the clocks '
  'skips is due at the change; of one that it repeats the first is meant, and nothing is due in the second.';
COMMENT ON COLUMN rowcrew.schedule.every_ms IS 'Instead of cron: an interval, counted from the epoch, so that all nodes agree.';
COMMENT ON COLUMN rowcrew.schedule.created_at IS 'Moments before this are never due.';
COMMENT ON COLUMN rowcrew.schedule.changed_at IS
  'When its times were changed last, or it was switched on or off. Moments before this are not due either.';

CREATE FUNCTION rowcrew.schedule_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.changed_at := rowcrew.clock();
  RETURN NEW;
END $$;
CREATE TRIGGER changed BEFORE UPDATE ON rowcrew.schedule FOR EACH ROW
  WHEN ((OLD.cron, OLD.every_ms, OLD.zone, OLD.enabled) IS DISTINCT FROM (NEW.cron, NEW.every_ms, NEW.zone, NEW.enabled))
  EXECUTE FUNCTION rowcrew.schedule_changed();

-- What of a cron line no node could read; null when all reads it (src/queue/cron).
CREATE FUNCTION rowcrew.cron_fault(p_cron text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  c_names constant text[] := '{minute,hour,day of month,month,day of week}';
  c_low constant integer[] := '{0,0,1,1,0}';
  c_high constant integer[] := '{59,23,31,12,7}';
  v_line text := translate(lower(p_cron COLLATE "C"), E'\t', ' ');
  v_fields text[] := string_to_array(btrim(regexp_replace(v_line, ' +', ' ', 'g'), ' '), ' ');
  v_words text[];
  v_part text;
  v_bounds text[];
  v_values integer[];
BEGIN
  IF v_line IN ('@hourly', '@daily', '@midnight', '@weekly', '@monthly', '@yearly', '@annually') THEN
    RETURN NULL;
  ELSIF cardinality(v_fields) <> 5 THEN
    RETURN format('%s fields, expected 5: minute hour day month weekday', cardinality(v_fields));
  END IF;
  FOR i IN 1..5 LOOP
    v_words := CASE i WHEN 4 THEN '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}' WHEN 5 THEN '{sun,mon,tue,wed,thu,fri,sat}' ELSE '{}' END;
    FOREACH v_part IN ARRAY string_to_array(v_fields[i], ',') LOOP
      v_bounds := regexp_match(v_part, '^(?:[*]|([a-z]+|[0-9]{1,9})(?:-([a-z]+|[0-9]{1,9}))?)(?:/([0-9]{1,9}))?$');
      v_values := ARRAY(SELECT coalesce(array_position(v_words, b.w) - 1 + c_low[i], CASE WHEN b.w ~ '^[0-9]+$' THEN b.w::integer END)
                        FROM unnest(v_bounds[1:2]) WITH ORDINALITY AS b (w, n) WHERE b.w IS NOT NULL ORDER BY b.n);
      IF v_bounds IS NULL OR NOT coalesce(c_low[i] <= ALL (v_values) AND c_high[i] >= ALL (v_values), false) OR v_values[2] < v_values[1]
         OR v_bounds[3]::integer NOT BETWEEN 1 AND c_high[i] THEN
        RETURN format('%s %L, expected *, %s to %s, a list, a range or a step', c_names[i], v_part, c_low[i], c_high[i]);
      END IF;
    END LOOP;
  END LOOP;
  RETURN NULL;
END $$;

-- A line that nobody can read would be a schedule that never runs, and nothing but a node's log would say so.
CREATE FUNCTION rowcrew.schedule_checked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_fault text := 'cron ' || quote_literal(NEW.cron) || ': ' || rowcrew.cron_fault(NEW.cron);
BEGIN
  -- To list the zones takes a while: one that another schedule has was looked up for that one. The server has some more than nodes.
  IF v_fault IS NULL AND NEW.zone <> 'UTC' AND NOT EXISTS (SELECT FROM rowcrew.schedule s WHERE s.zone = NEW.zone)
     AND (NEW.zone ~ '^(posix/|posixrules$|Factory$)' OR NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = NEW.zone)) THEN
    v_fault := 'zone ' || quote_literal(NEW.zone) || ': unknown, expected a name such as Europe/Berlin';
  END IF;
  IF v_fault IS NOT NULL THEN
    RAISE EXCEPTION 'schedule %: %', quote_nullable(NEW.name), v_fault USING ERRCODE = 'invalid_parameter_value';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER checked BEFORE INSERT OR UPDATE OF cron, zone ON rowcrew.schedule
  FOR EACH ROW EXECUTE FUNCTION rowcrew.schedule_checked();

CREATE TABLE rowcrew.tick (
  schedule text        NOT NULL REFERENCES rowcrew.schedule ON UPDATE CASCADE ON DELETE CASCADE,
  due_at   timestamptz NOT NULL,
  job_id   uuid        NOT NULL,
  PRIMARY KEY (schedule, due_at)
);
COMMENT ON TABLE rowcrew.tick IS
  'One row per due moment that was enqueued. Its key is what makes any number of schedulers enqueue it once. '
  'Moments missed while no node ran are made up for by one job, that of the latest.';

UPDATE rowcrew.meta SET schema_version = 3;
