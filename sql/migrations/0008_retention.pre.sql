-- 0008: retention: how long what is kept, and where it goes then.

ALTER TABLE rowcrew.schedule ADD COLUMN overlap boolean NOT NULL DEFAULT true;
ALTER TABLE rowcrew.schedule ADD COLUMN app text;
COMMENT ON COLUMN rowcrew.schedule.overlap IS
  'False: a moment that comes while the job of an earlier one is still live is skipped.';
COMMENT ON COLUMN rowcrew.schedule.app IS 'Copied into the job: whose ports it calls.';
COMMENT ON COLUMN rowcrew.tick.job_id IS 'The job of this moment; the id of no job when the moment was skipped.';

CREATE TABLE rowcrew.retention_policy (
  name         text        COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_.-]{0,62}$'),
  target       text        NOT NULL
               CHECK (target IN ('job_queue', 'processing_jobs', 'job_attempt', 'job_event', 'webhook_deliveries',
                                 'email_notifications', 'node_stat', 'audit_logs', 'provider_call', 'archive')),
  job_types    text[]      CHECK (cardinality(job_types) > 0),
  statuses     text[]      CHECK (cardinality(statuses) > 0 AND statuses <@ ARRAY['completed', 'failed', 'cancelled']),
  age          interval    NOT NULL CHECK (age > interval '1 minute'),
  action       text        NOT NULL CHECK (action IN ('delete', 'archive')),
  dry_run      boolean     NOT NULL DEFAULT false,
  enabled      boolean     NOT NULL DEFAULT false,
  batch        integer     NOT NULL DEFAULT 1000 CHECK (batch BETWEEN 1 AND 10000),
  note         text,
  last_run_at  timestamptz,
  last_deleted bigint      NOT NULL DEFAULT 0,
  last_job     uuid,
  resume_after text,
  changed_at   timestamptz NOT NULL DEFAULT rowcrew.clock(),
  begun_at     timestamptz,
  whole_at     timestamptz,
  CHECK ((job_types IS NULL AND statuses IS NULL) OR target IN ('job_queue', 'processing_jobs')),
  CHECK (action = 'delete' OR target NOT IN ('job_attempt', 'job_event', 'node_stat', 'provider_call', 'archive'))
);
COMMENT ON TABLE rowcrew.retention_policy IS
  'What the job type retention removes. Only what has ended, and ended longer than `age` ago, is ever touched.';
COMMENT ON COLUMN rowcrew.retention_policy.job_types IS 'Job tables only. Null: all.';
COMMENT ON COLUMN rowcrew.retention_policy.statuses IS 'Job tables only. Null: completed, failed and cancelled ones.';
COMMENT ON COLUMN rowcrew.retention_policy.age IS
  'Counted from the end: of the job, the delivery, the mail; from the writing of anything else. Attempts and events go '
  'by whole weeks, provider calls and the archive by whole months, when the last row of the week or month is that old.';
COMMENT ON COLUMN rowcrew.retention_policy.action IS
  '''archive'' moves the row into rowcrew.archive, in the statement that deletes it; not for attempts, events, node_stat, provider calls and the archive itself.';
COMMENT ON COLUMN rowcrew.retention_policy.dry_run IS 'Counts what would go and changes nothing.';
COMMENT ON COLUMN rowcrew.retention_policy.enabled IS 'False: runs only when a job names it and asks for a dry run.';
COMMENT ON COLUMN rowcrew.retention_policy.batch IS 'Rows looked at, and so removed at most, in one transaction.';
COMMENT ON COLUMN rowcrew.retention_policy.last_run_at IS 'When it last came to the end of its table.';
COMMENT ON COLUMN rowcrew.retention_policy.last_deleted IS 'Rows removed by the walk that ended then, or by the one under way.';
COMMENT ON COLUMN rowcrew.retention_policy.last_job IS 'The job that came to the end last: it does not begin again when it is continued.';
COMMENT ON COLUMN rowcrew.retention_policy.resume_after IS 'Where a walk under way goes on; null when none is.';
COMMENT ON COLUMN rowcrew.retention_policy.changed_at IS 'When what it means was changed last, or it was switched on or off.';
COMMENT ON COLUMN rowcrew.retention_policy.begun_at IS 'When the walk under way began, or the last one.';
COMMENT ON COLUMN rowcrew.retention_policy.whole_at IS
  'When the last walk began that looked at everything that can be old enough. Policies of some types or ends look each time at what '
  'has become so since the last walk, and at everything once a week.';

CREATE FUNCTION rowcrew.retention_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.changed_at := rowcrew.clock();
  RETURN NEW;
END $$;
CREATE TRIGGER changed BEFORE UPDATE ON rowcrew.retention_policy FOR EACH ROW
  WHEN ((OLD.target, OLD.job_types, OLD.statuses, OLD.age, OLD.dry_run, OLD.enabled)
        IS DISTINCT FROM (NEW.target, NEW.job_types, NEW.statuses, NEW.age, NEW.dry_run, NEW.enabled))
  EXECUTE FUNCTION rowcrew.retention_changed();

-- How the rows of a target are told apart (key), when they ended and whether they have. Targets by
-- partition have no key.
CREATE FUNCTION rowcrew.retention_rules(
  p_target text, OUT relation text, OUT key text, OUT key_type text, OUT ended_at text, OUT has_ended text
) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'rowcrew.' || t.target, t.key, t.key_type, t.ended_at, t.has_ended
  FROM (VALUES
    -- Who cancels by hand leaves no time of the end: the last that is known of the job stands for it.
    ('job_queue', 'id', 'uuid', 'coalesce(r.completed_at, greatest(r.created_at, r.scheduled_at, r.started_at))',
     'r.status IN (''completed'', ''failed'', ''cancelled'')'),
    ('processing_jobs', 'id', 'uuid', 'coalesce(r.completed_at, greatest(r.created_at, r.scheduled_at, r.started_at))',
     'r.status IN (''completed'', ''failed'', ''cancelled'')'),
    ('webhook_deliveries', 'delivery_id', 'uuid', 'coalesce(r.delivered_at, r.created_at)',
     'r.status IN (''delivered'', ''failed'', ''cancelled'')'),
    ('email_notifications', 'job_id', 'uuid', 'coalesce(r.sent_at, r.created_at)',
     'r.status IN (''sent'', ''failed'', ''cancelled'', ''suppressed'')'),
    ('audit_logs', 'id', 'bigint', 'r.created_at', 'true'),
    ('archive', NULL, NULL, 'r.archived_at', 'true'),
    ('provider_call', NULL, NULL, 'r.at', 'true'),
    ('node_stat', NULL, NULL, 'r.minute', 'true'),
    ('job_attempt', NULL, NULL, 'r.ended_at', 'true'),
    ('job_event', NULL, NULL, 'r.at', 'true')
  ) AS t (target, key, key_type, ended_at, has_ended)
  WHERE t.target = p_target
$$;

-- One page of a table with a key: looks at the next `batch` rows after p_after and removes those
-- that the policy means. No index tells which rows have ended (it would cost every finish), so the
-- walk goes along the key. The page is a range of keys, and rows are deleted by their place: with a
-- join instead, larger pages made the planner read the whole table for each. Rows that somebody
-- holds are left to the next walk; those that another table refers to are kept, each for itself: one of
-- them would else keep everything behind it, for ever.
--
-- Our ids begin with their time, and nothing ends before it is made. So the walk leaves out those between the age and tomorrow:
-- nearly the whole table, of which nothing can be old enough. What lies beyond are ids of others (of version 4, or of clocks that
-- ran ahead). Of others' ids that happen to lie within, one of 35,000 at 90 days, each is reached when its time is as old as the age.
-- A policy of some types or ends leaves the others lying in the part that is old enough, perhaps nearly all of it: it begins
-- where the last walk found nothing old enough yet, six hours earlier for what takes long to end, and once a week at the beginning.
CREATE FUNCTION rowcrew.retention_keyed(
  p_policy rowcrew.retention_policy, p_dry_run boolean, p_after text,
  OUT looked_at bigint, OUT removed bigint, OUT archived bigint, OUT next text, OUT kept bigint, OUT whole boolean
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
  v record;
  v_type text := CASE p_policy.target WHEN 'job_queue' THEN 'r.job_type' WHEN 'processing_jobs' THEN 'r.type' END;
  v_young uuid := rowcrew.id_at(rowcrew.clock() - p_policy.age);
  v_ahead text := left(rowcrew.id_at(rowcrew.clock() + interval '1 day')::text, 13) || '-ffff-ffff-ffffffffffff';
  v_old boolean := false;
  v_more boolean;
  v_page text := 'true';
  v_means text;
  v_lock text;
  v_remove text;
  v_rows tid[];
  v_row tid;
BEGIN
  SELECT * INTO v FROM rowcrew.retention_rules(p_policy.target);
  whole := p_dry_run OR (p_policy.job_types IS NULL AND p_policy.statuses IS NULL)
           OR (p_policy.whole_at > greatest(p_policy.changed_at, rowcrew.clock() - interval '6 days 12 hours')) IS NOT TRUE;
  IF v.key_type = 'uuid' THEN
    v_old := p_after IS NULL OR p_after::uuid < v_young;
  END IF;
  IF p_after IS NOT NULL THEN
    v_page := format('r.%I > %L::%s', v.key, p_after, v.key_type);
  ELSIF v_old AND NOT whole THEN
    v_page := format('r.%I >= %L::uuid', v.key, rowcrew.id_at(p_policy.begun_at - p_policy.age - interval '6 hours'));
  END IF;
  IF v_old THEN
    v_page := v_page || format(' AND r.%I < %L::uuid', v.key, v_young);
  END IF;
  EXECUTE format('WITH page AS MATERIALIZED (SELECT r.%1$I AS key FROM %2$s r WHERE %3$s ORDER BY r.%1$I LIMIT %4$s)'
                 ' SELECT count(*), (SELECT p.key FROM page p ORDER BY p.key DESC LIMIT 1) FROM page', v.key, v.relation, v_page, p_policy.batch)
    INTO looked_at, next;
  removed := 0;
  archived := 0;
  kept := 0;
  IF next IS NOT NULL THEN
    v_page := v_page || format(' AND r.%I <= %L::%s', v.key, next, v.key_type);
  END IF;
  IF looked_at < p_policy.batch THEN
    next := NULL;
    IF v_old THEN
      EXECUTE format('SELECT true FROM %2$s r WHERE r.%1$I > %3$L::uuid ORDER BY r.%1$I LIMIT 1', v.key, v.relation, v_ahead) INTO v_more;
      next := CASE WHEN v_more THEN v_ahead END;
    END IF;
  END IF;
  IF looked_at = 0 THEN
    RETURN;
  END IF;
  v_means := format('%s AND %s AND %s < rowcrew.clock() - %L::interval', v_page, v.has_ended, v.ended_at, p_policy.age);
  IF p_policy.statuses IS NOT NULL THEN
    v_means := v_means || format(' AND r.status = ANY (%L::text[])', p_policy.statuses);
  END IF;
  IF p_policy.job_types IS NOT NULL THEN
    v_means := v_means || format(' AND %s = ANY (%L::text[])', v_type, p_policy.job_types);
  END IF;
  IF p_dry_run THEN
    EXECUTE format('SELECT count(*) FROM %s r WHERE %s', v.relation, v_means) INTO removed;
    RETURN;
  END IF;
  v_remove := format('DELETE FROM %s o WHERE o.ctid = ANY ($1)', v.relation);
  IF p_policy.action = 'archive' THEN
    v_remove := format('WITH gone AS (%s RETURNING o.%I::text AS key, to_jsonb(o) AS old)'
                       ' INSERT INTO rowcrew.archive (policy, source, id, row) SELECT %L, %L, key, old FROM gone',
                       v_remove, v.key, p_policy.name, p_policy.target);
  END IF;
  v_lock := format('SELECT ARRAY(SELECT r.ctid FROM %s r WHERE %s FOR UPDATE SKIP LOCKED)', v.relation, v_means);
  SET CONSTRAINTS ALL IMMEDIATE;
  -- Locked and deleted by one subtransaction: of a row that two have marked no scan of an index knows for sure that it is dead, and
  -- each walk would look at all of them anew until vacuum comes.
  BEGIN
    EXECUTE v_lock INTO v_rows;
    EXECUTE v_remove USING v_rows;
    GET DIAGNOSTICS removed = ROW_COUNT;
  EXCEPTION WHEN foreign_key_violation OR restrict_violation THEN
    removed := 0;
    EXECUTE v_lock INTO v_rows;
    FOREACH v_row IN ARRAY v_rows LOOP
      BEGIN
        EXECUTE v_remove USING ARRAY[v_row];
        removed := removed + 1;
      EXCEPTION WHEN foreign_key_violation OR restrict_violation THEN
        kept := kept + 1;
      END;
    END LOOP;
  END;
  IF p_policy.action = 'archive' THEN
    archived := removed;
  END IF;
END $fn$;

-- Minutes of nodes: the key begins with the minute, so what is old comes first.
CREATE FUNCTION rowcrew.retention_minutes(
  p_policy rowcrew.retention_policy, p_dry_run boolean, p_after text,
  OUT looked_at bigint, OUT removed bigint, OUT archived bigint, OUT next text
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_after jsonb := p_after::jsonb;
BEGIN
  archived := 0;
  WITH doomed AS MATERIALIZED (
    SELECT s.minute, s.node_id, s.job_table, s.job_type FROM rowcrew.node_stat s
    WHERE s.minute < rowcrew.clock() - p_policy.age
      AND (s.minute, s.node_id, s.job_table, s.job_type) >
          (coalesce((v_after ->> 0)::timestamptz, '-infinity'), coalesce((v_after ->> 1)::bigint, 0),
           coalesce(v_after ->> 2, ''), coalesce(v_after ->> 3, ''))
    ORDER BY s.minute, s.node_id, s.job_table, s.job_type LIMIT p_policy.batch
  ), gone AS (
    DELETE FROM rowcrew.node_stat s USING doomed d
    WHERE NOT p_dry_run
      AND (s.minute, s.node_id, s.job_table, s.job_type) = (d.minute, d.node_id, d.job_table, d.job_type)
  )
  SELECT count(*), (SELECT jsonb_build_array(d.minute, d.node_id, d.job_table, d.job_type) FROM doomed d
                    ORDER BY d.minute DESC, d.node_id DESC, d.job_table DESC, d.job_type DESC LIMIT 1)
  INTO looked_at, next FROM doomed;
  removed := looked_at;
  IF looked_at < p_policy.batch THEN
    next := NULL;
  END IF;
END $$;

-- Tables in partitions by time: drops one that is old as a whole, or, when there is none, empties the next blocks of the default
-- partition. One that somebody reads for long is left to the next walk, and so is one that something of yours depends on (a view, a
-- foreign key) or that is another's: all are counted as kept. It is counted before it is locked, and a large one not at all: the
-- server knows about how many.
-- p_after: 'part <partition>' or 'block <n>'.
CREATE FUNCTION rowcrew.retention_parts(
  p_policy rowcrew.retention_policy, p_dry_run boolean, p_after text,
  OUT looked_at bigint, OUT removed bigint, OUT archived bigint, OUT next text, OUT kept bigint
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET timezone = 'UTC' AS $$
DECLARE
  v_ended text := (SELECT r.ended_at FROM rowcrew.retention_rules(p_policy.target) r);
  v_default text := format('rowcrew.%I', p_policy.target || '_default');
  v_block bigint;
  v_blocks constant bigint := 64;
  c_counted constant bigint := 67108864;
  v_part text;
  v_about bigint;
BEGIN
  looked_at := 0;
  removed := 0;
  archived := 0;
  kept := 0;
  IF p_after IS NULL OR p_after LIKE 'part %' THEN
    SELECT c.relname, greatest(c.reltuples, pg_stat_get_live_tuples(c.oid), 0) INTO v_part, v_about
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = format('rowcrew.%I', p_policy.target)::regclass
      AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz <= rowcrew.clock() - p_policy.age
      AND c.relname COLLATE "C" > coalesce(substr(p_after, 6), '')
    ORDER BY c.relname COLLATE "C" LIMIT 1;
    IF v_part IS NOT NULL THEN
      next := 'part ' || v_part;
      BEGIN
        PERFORM set_config('lock_timeout', '200ms', true);
        IF pg_relation_size(format('rowcrew.%I', v_part)) > c_counted THEN
          looked_at := v_about;
        ELSE
          EXECUTE format('SELECT count(*) FROM rowcrew.%I', v_part) INTO looked_at;
        END IF;
        IF NOT p_dry_run THEN
          -- Before its parent, which the fleet writes to: nobody else waits while we wait for this one's readers.
          EXECUTE format('LOCK TABLE rowcrew.%I IN ACCESS EXCLUSIVE MODE', v_part);
          EXECUTE format('DROP TABLE rowcrew.%I', v_part);
        END IF;
        removed := looked_at;
      EXCEPTION WHEN lock_not_available OR dependent_objects_still_exist OR insufficient_privilege THEN
        looked_at := greatest(looked_at, v_about);
        kept := looked_at;
      END;
      RETURN;
    END IF;
  END IF;
  v_block := CASE WHEN p_after LIKE 'block %' THEN substr(p_after, 7)::bigint ELSE 0 END;
  IF v_block * current_setting('block_size')::bigint >= pg_relation_size(v_default) THEN
    RETURN;
  END IF;
  IF p_dry_run THEN
    EXECUTE format('SELECT count(*), count(*) FILTER (WHERE %s < rowcrew.clock() - %L::interval) FROM %s r'
                   ' WHERE r.ctid >= ''(%s,0)'' AND r.ctid < ''(%s,0)''',
                   v_ended, p_policy.age, v_default, v_block, v_block + v_blocks) INTO looked_at, removed;
  ELSE
    EXECUTE format('WITH page AS MATERIALIZED (SELECT r.ctid AS at, %s AS ended FROM %s r'
                   '  WHERE r.ctid >= ''(%s,0)'' AND r.ctid < ''(%s,0)''),'
                   ' gone AS (DELETE FROM %2$s r WHERE r.ctid = ANY (ARRAY('
                   '  SELECT at FROM page WHERE ended < rowcrew.clock() - %5$L::interval)) RETURNING 1)'
                   ' SELECT (SELECT count(*) FROM page), (SELECT count(*) FROM gone)',
                   v_ended, v_default, v_block, v_block + v_blocks, p_policy.age) INTO looked_at, removed;
  END IF;
  next := 'block ' || v_block + v_blocks;
END $$;

-- One page of one policy, to be repeated with p_after := next until that is null. A dry run changes
-- nothing. Without such a policy, or with one that is switched off and p_dry_run false: no row.
-- Nodes may delete through this only: what a policy does not mean stays out of their reach.
CREATE FUNCTION rowcrew.retention_page(p_name text, p_dry_run boolean, p_after text, p_job uuid)
RETURNS TABLE (looked_at bigint, removed bigint, archived bigint, next text, kept bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_policy rowcrew.retention_policy;
  v_dry boolean;
  v_whole boolean := true;
BEGIN
  SELECT * INTO v_policy FROM rowcrew.retention_policy p WHERE p.name = p_name AND (p.enabled OR p_dry_run);
  IF v_policy.name IS NULL THEN
    RETURN;
  END IF;
  v_dry := p_dry_run OR v_policy.dry_run;
  kept := 0;
  IF to_regclass(format('rowcrew.%I', v_policy.target)) IS NULL THEN
    SELECT 0, 0, 0, NULL INTO looked_at, removed, archived, next;
  ELSIF v_policy.target = 'node_stat' THEN
    SELECT * INTO looked_at, removed, archived, next FROM rowcrew.retention_minutes(v_policy, v_dry, p_after);
  ELSIF v_policy.target IN ('job_attempt', 'job_event', 'provider_call', 'archive') THEN
    SELECT * INTO looked_at, removed, archived, next, kept FROM rowcrew.retention_parts(v_policy, v_dry, p_after);
  ELSE
    SELECT * INTO looked_at, removed, archived, next, kept, v_whole FROM rowcrew.retention_keyed(v_policy, v_dry, p_after);
  END IF;
  IF NOT v_dry THEN
    UPDATE rowcrew.retention_policy p
    SET resume_after = retention_page.next,
        begun_at = CASE WHEN p_after IS NULL THEN rowcrew.clock() ELSE p.begun_at END,
        whole_at = CASE WHEN p_after IS NULL AND v_whole THEN rowcrew.clock() ELSE p.whole_at END,
        last_deleted = CASE WHEN p_after IS NULL THEN 0 ELSE p.last_deleted END + retention_page.removed,
        last_run_at = CASE WHEN retention_page.next IS NULL THEN rowcrew.clock() ELSE p.last_run_at END,
        last_job = CASE WHEN retention_page.next IS NULL THEN p_job ELSE p.last_job END
    WHERE p.name = p_name;
  END IF;
  RETURN NEXT;
END $$;

-- Enabled is what loses nothing that somebody could still need: traces of routine, and what the
-- archive keeps. The rest waits for the operator's word: generations and mails because applications
-- show them and personal data has its own terms, audit and archive because the law sets theirs.
INSERT INTO rowcrew.retention_policy (name, target, job_types, statuses, age, action, enabled, note) VALUES
  ('jobs', 'job_queue', NULL, NULL, '90 days', 'archive', true, 'Nothing is lost: the archive keeps the row.'),
  ('drive_poll_done', 'job_queue', '{drive_poll}', '{completed}', '1 hour', 'delete', true,
   'One row per folder and poll; what was found is in the application''s tables.'),
  ('usage_reset_done', 'job_queue', '{usage_reset}', '{completed}', '1 hour', 'delete', true, 'A row per tick that says a number.'),
  ('retention_done', 'job_queue', '{retention}', '{completed}', '7 days', 'delete', true, 'Says what was removed; a week to look at it.'),
  ('webhook_deliveries', 'webhook_deliveries', NULL, NULL, '30 days', 'delete', true, 'Only deliveries that have ended.'),
  ('attempts', 'job_attempt', NULL, NULL, '90 days', 'delete', true, 'Executions that did not complete: for looking into troubles.'),
  ('node_stats', 'node_stat', NULL, NULL, '90 days', 'delete', true, 'Minute sums of the nodes.'),
  ('events', 'job_event', NULL, NULL, '30 days', 'delete', true,
   'Deliveries are made in the transaction that writes the event, so that none waits for it here.'),
  ('generations', 'processing_jobs', NULL, NULL, '90 days', 'archive', false, 'Applications show generations and may refer to them.'),
  ('emails', 'email_notifications', NULL, NULL, '90 days', 'delete', false, 'Proof that a mail was sent; holds addresses.'),
  ('audit', 'audit_logs', NULL, NULL, '7 years', 'archive', false, 'How long audits are kept is for the law to say.'),
  ('provider_calls', 'provider_call', NULL, NULL, '2 years', 'delete', false, 'What was spent on whom: books may have to keep it.'),
  ('archive', 'archive', NULL, NULL, '1 year', 'delete', false, 'The last copy: somebody has to decide.');

INSERT INTO rowcrew.job_type (name, max_attempts, timeout_ms, backoff_base_ms, backoff_cap_ms) VALUES
  ('drive_poll', 3, 300000, 5000, 60000),
  ('usage_reset', 5, 120000, 5000, 300000),
  ('retention', 5, 3600000, 60000, 3600000)
ON CONFLICT DO NOTHING;

-- Short ages need more than one run a day.
INSERT INTO rowcrew.schedule (name, cron, job_type, payload, priority, overlap) VALUES
  ('rowcrew.retention', '0 2 * * *', 'retention', '{}', 9, false),
  ('rowcrew.retention.drive_poll', '23 * * * *', 'retention', '{"policy": "drive_poll_done"}', 9, false);

UPDATE rowcrew.meta SET schema_version = 8;
