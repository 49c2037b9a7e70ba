-- 0013: why a job is not running.

CREATE FUNCTION rowcrew.say_time(p timestamptz) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT to_char(p AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
$$;

-- How many hints meet a condition that bounds a walk over the index: counted up to 100, then
-- what the planner believes; both cost a few pages however many there are. (Volatile, for only then may it ask.)
CREATE FUNCTION rowcrew.about(p_ready text, p_condition text) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_count bigint;
  v_plan json;
BEGIN
  EXECUTE format('SELECT count(*) FROM (SELECT FROM rowcrew.%I r WHERE %s LIMIT 101) x', p_ready, p_condition) INTO v_count;
  IF v_count <= 100 THEN
    RETURN v_count;
  END IF;
  EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM rowcrew.%I r WHERE %s', p_ready, p_condition) INTO v_plan;
  RETURN greatest(v_count, (v_plan -> 0 -> 'Plan' ->> 'Plan Rows')::bigint);
END $$;

-- How many due jobs of its queue are claimed before this one, about. Its own hint is not looked for
-- (no index leads there): it was filed when the job became due, or with the whole of its INSERT, of
-- which it then takes the place that its own moment has between the statement's begin and end.
-- p_grp: the group of jobs with the same keys, where rules are about it: those before it there count, too.
CREATE FUNCTION rowcrew.about_before(j rowcrew.any_job, p_grp text) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_ready text := j.job_table || '_ready';
  v_created timestamptz := CASE WHEN isfinite(j.created_at) THEN j.created_at END;
  v_due timestamptz := greatest(j.scheduled_at, v_created);
  v_filed timestamptz;
  v_before bigint;
BEGIN
  -- Not as one comparison of rows, which an index walk does not know where to end.
  v_before := rowcrew.about(v_ready, format('r.queue = %L AND r.priority < %s', j.queue, j.priority))
              + rowcrew.about(v_ready, format('r.queue = %L AND r.priority = %s AND r.run_at < %L', j.queue, j.priority, v_due));
  EXECUTE format('SELECT r.run_at FROM rowcrew.%I r WHERE r.queue = %L AND r.priority = %s AND r.run_at >= %L ORDER BY r.run_at LIMIT 1',
                 v_ready, j.queue, j.priority, v_due) INTO v_filed;
  IF v_filed > v_created THEN
    v_before := v_before + floor(
      least(1, extract(epoch FROM v_due - v_created) / extract(epoch FROM v_filed - v_created))
      * greatest(0, rowcrew.about(v_ready, format('r.queue = %L AND r.priority = %s AND r.run_at = %L', j.queue, j.priority, v_filed)) - 1));
  END IF;
  IF p_grp IS NOT NULL THEN
    v_before := v_before
      + rowcrew.about(j.job_table || '_limited', format('r.queue = %L AND r.grp = %L AND r.priority < %s', j.queue, p_grp, j.priority))
      + rowcrew.about(j.job_table || '_limited', format('r.queue = %L AND r.grp = %L AND r.priority = %s AND r.run_at < %L', j.queue, p_grp, j.priority, v_due));
  END IF;
  RETURN v_before;
END $$;

CREATE FUNCTION rowcrew.because(j rowcrew.any_job, p_reason text, p_text text, p_until timestamptz DEFAULT NULL, p_more jsonb DEFAULT '{}')
RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object('job', j.id, 'reason', p_reason, 'text', p_text, 'until', p_until, 'details', jsonb_build_object(
    'table', j.job_table, 'job_type', j.job_type, 'queue', j.queue, 'tenant', j.tenant, 'status', j.status, 'attempts', j.attempts,
    'max_attempts', j.max_attempts, 'crashes', j.crashes) || p_more)
$$;

-- Of a job that has ended.
CREATE FUNCTION rowcrew.why_ended(j rowcrew.any_job) RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_at text := coalesce(' at ' || rowcrew.say_time(j.completed_at), '');
  v_error jsonb := jsonb_build_object('ended_at', j.completed_at, 'error_code', j.error_code, 'error_message', j.error_message);
BEGIN
  IF j.status = 'completed' THEN
    RETURN rowcrew.because(j, 'completed', 'finished' || v_at, NULL, jsonb_build_object('ended_at', j.completed_at));
  ELSIF j.status = 'cancelled' THEN
    RETURN rowcrew.because(j, 'cancelled', CASE WHEN j.error_code = 'cancelled' THEN coalesce(j.error_message, 'cancelled')
                                                ELSE 'cancelled by hand' END || v_at, NULL, v_error);
  ELSIF j.error_code = 'poison' THEN
    RETURN rowcrew.because(j, 'poison', format('failed as poison%s: %s', v_at, j.error_message), NULL, v_error);
  END IF;
  RETURN rowcrew.because(j, 'failed', format('failed%s after %s of %s executions with %s: %s', v_at, j.attempts, j.max_attempts,
                                             coalesce(j.error_code, 'no code'), coalesce(j.error_message, 'no message')), NULL, v_error);
END $$;

-- Of a job that a retention policy took out of its table; null when there is none. An index of each month of the archive is asked.
CREATE FUNCTION rowcrew.why_archived(p_job uuid) RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  a rowcrew.archive;
  v_answer jsonb;
BEGIN
  SELECT * INTO a FROM rowcrew.archive x WHERE x.id = p_job::text AND x.source IN ('job_queue', 'processing_jobs')
  ORDER BY x.archived_at DESC LIMIT 1;
  IF a.id IS NULL THEN
    RETURN NULL;
  END IF;
  v_answer := rowcrew.why_ended(jsonb_populate_record(NULL::rowcrew.any_job, a.row || jsonb_build_object(
    'job_table', a.source, 'job_type', coalesce(a.row -> 'job_type', a.row -> 'type'))));
  RETURN v_answer || jsonb_build_object(
    'text', format('%s; archived at %s by policy %s', v_answer ->> 'text', rowcrew.say_time(a.archived_at), a.policy),
    'details', v_answer -> 'details' || jsonb_build_object('archived_at', a.archived_at, 'policy', a.policy));
END $$;

-- Of a job that is claimed.
CREATE FUNCTION rowcrew.why_claimed(j rowcrew.any_job) RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  n rowcrew.node;
  p rowcrew.job_progress;
  r rowcrew.cancel_request;
  v_more jsonb;
  v_where text;
BEGIN
  SELECT * INTO n FROM rowcrew.node x WHERE x.node_id = j.worker_id;
  SELECT * INTO r FROM rowcrew.cancel_request x WHERE x.job_table = j.job_table AND x.job_id = j.id;
  SELECT * INTO p FROM rowcrew.job_progress x WHERE x.job_table = j.job_table AND x.job_id = j.id;
  v_more := jsonb_build_object('node_id', j.worker_id, 'node', n.name, 'host', n.host, 'started_at', j.started_at, 'percent', p.percent,
                               'note', p.note);
  IF n.node_id IS NULL OR n.dead THEN
    RETURN rowcrew.because(j, 'node_lost', format('its node %s is gone: waits to be rescued by another', coalesce(n.name, j.worker_id::text)),
                           NULL, v_more);
  END IF;
  v_where := format('on node %s (%s) since %s', n.name, n.host, rowcrew.say_time(j.started_at));
  IF r.job_id IS NOT NULL THEN
    RETURN rowcrew.because(j, 'cancel_requested', format('%s, still running %s', rowcrew.cancel_text(r.requested_by, r.reason), v_where), NULL,
                           v_more || jsonb_build_object('requested_by', r.requested_by, 'requested_at', r.requested_at, 'reason', r.reason));
  END IF;
  RETURN rowcrew.because(j, 'running', 'running ' || v_where
    || CASE WHEN j.crashes > 0 THEN format(', after %s of its nodes died', j.crashes) ELSE '' END || coalesce(', ' || p.percent || ' %', '') || coalesce(': ' || p.note, ''),
    j.started_at + (SELECT coalesce((SELECT t.timeout_ms FROM rowcrew.job_type t WHERE t.name = j.job_type), 600000)) * interval '1 ms', v_more);
END $$;

-- Of a job that waits and is not due.
CREATE FUNCTION rowcrew.why_later(j rowcrew.any_job) RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_until text := rowcrew.say_time(j.scheduled_at);
  v_outcome text;
  v_message text;
BEGIN
  IF j.scheduled_at = 'infinity' THEN
    RETURN rowcrew.because(j, 'scheduled', 'never due: its time is infinity', j.scheduled_at);
  END IF;
  -- Bounded in time, so that old partitions of the log are not opened.
  SELECT a.outcome, a.error_message INTO v_outcome, v_message FROM rowcrew.job_attempt a
  WHERE a.job_id = j.id AND a.ended_at > rowcrew.clock() - interval '7 days' ORDER BY a.ended_at DESC LIMIT 1;
  IF v_outcome = 'snooze' THEN
    RETURN rowcrew.because(j, 'snoozed', format('snoozed until %s%s', v_until, coalesce(': ' || v_message, '')), j.scheduled_at);
  ELSIF j.status = 'retrying' AND j.error_code IS NOT NULL THEN
    RETURN rowcrew.because(j, 'backoff', format('backing off until %s after %s: %s (execution %s of %s)', v_until, j.error_code,
      coalesce(j.error_message, 'no message'), j.attempts, j.max_attempts), j.scheduled_at,
      jsonb_build_object('error_code', j.error_code, 'error_message', j.error_message));
  END IF;
  RETURN rowcrew.because(j, 'scheduled', 'not due until ' || v_until, j.scheduled_at);
END $$;

-- Of a job that waits although it is due (or that nobody could run if it were): null when nothing but
-- a permit or a slot is missing.
CREATE FUNCTION rowcrew.why_kept(j rowcrew.any_job) RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_claims jsonb := jsonb_build_array(jsonb_build_object('work', 'claims of ' || j.job_table));
  p record;
  n record;
BEGIN
  SELECT * INTO p FROM (
    SELECT x.scope, x.name, x.reason, x.paused_by, x.since, x.until FROM rowcrew.pause x
    WHERE (x.scope, x.name) IN (('queue', j.queue), ('type', j.job_type), ('tenant', j.tenant)) AND (x.until IS NULL OR x.until > rowcrew.clock())
    UNION ALL
    SELECT 'queue', q.name, q.note, NULL, NULL, NULL FROM rowcrew.queue q WHERE q.name = j.queue AND q.paused
  ) x ORDER BY x.until DESC NULLS FIRST, x.scope LIMIT 1;
  IF p.scope IS NOT NULL THEN
    RETURN rowcrew.because(j, 'paused', format('%s %s is paused%s%s%s%s', p.scope, p.name, coalesce(' by ' || p.paused_by, ''),
      coalesce(' since ' || rowcrew.say_time(p.since), ''), coalesce(' until ' || rowcrew.say_time(p.until), ', until it is resumed'),
      coalesce(': ' || p.reason, '')), p.until,
      jsonb_build_object('scope', p.scope, 'name', p.name, 'paused_by', p.paused_by, 'since', p.since, 'pause_reason', p.reason));
  END IF;
  -- Nobody may have been left to declare the last node dead: one that is silent for two leases counts as gone.
  SELECT count(*) AS live, count(*) FILTER (WHERE j.queue = ANY (x.queues)) AS serving,
         count(*) FILTER (WHERE j.queue = ANY (x.queues) AND (x.job_types IS NULL OR j.job_type = ANY (x.job_types))) AS able,
         count(*) FILTER (WHERE j.queue = ANY (x.queues) AND (x.job_types IS NULL OR j.job_type = ANY (x.job_types))
                            AND (x.failing @> v_claims) IS NOT TRUE) AS well
  INTO n FROM rowcrew.node x WHERE NOT x.dead AND x.last_seen > rowcrew.clock() - 2 * x.lease_ms * interval '1 ms';
  IF n.live = 0 THEN
    RETURN rowcrew.because(j, 'no_node', 'no node is running');
  ELSIF n.serving = 0 THEN
    RETURN rowcrew.because(j, 'queue_unserved', format('no running node serves queue %s', j.queue), NULL, jsonb_build_object('nodes', n.live));
  ELSIF n.able = 0 THEN
    RETURN rowcrew.because(j, 'type_unserved', format('no running node of queue %s has a handler for job type %s', j.queue, j.job_type), NULL,
                           jsonb_build_object('nodes', n.live));
  ELSIF n.well = 0 THEN
    SELECT x.name, f ->> 'error' AS error, (f ->> 'for_ms')::bigint / 1000 AS seconds INTO p
    FROM rowcrew.node x, jsonb_array_elements(x.failing) f
    WHERE NOT x.dead AND j.queue = ANY (x.queues) AND x.failing @> v_claims AND f -> 'work' = v_claims -> 0 -> 'work' ORDER BY x.node_id LIMIT 1;
    RETURN rowcrew.because(j, 'failing', format('nothing of its table can be claimed, on node %s for %s s: %s', p.name, p.seconds, p.error), NULL,
                           jsonb_build_object('node', p.name, 'error', p.error));
  END IF;
  RETURN NULL;
END $$;

-- Of a job that every claim has stumbled over: what its row holds, or a rule about it, does not let it be claimed.
CREATE FUNCTION rowcrew.why_unclaimable(j rowcrew.any_job, p_key text) RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_until timestamptz;
  v_error text;
BEGIN
  EXECUTE format('SELECT p.run_at, p.key FROM rowcrew.%I p WHERE p.reason = ''unclaimable'' AND p.id = $1::%s ORDER BY p.run_at DESC LIMIT 1', j.job_table || '_parked',
                 CASE WHEN j.job_table IN ('job_queue', 'processing_jobs') THEN 'uuid' ELSE rowcrew.adopted_key_type(j.job_table) END) INTO v_until, v_error USING p_key;
  RETURN CASE WHEN v_until IS NOT NULL THEN rowcrew.because(j, 'unclaimable',
    format('cannot be claimed, tried again at %s: %s', rowcrew.say_time(v_until), v_error), v_until, jsonb_build_object('error', v_error)) END;
END $$;

-- Of a job that there is. p_key: its own id, which for a job of an adopted table is not j.id. p_keys: those by which rules limit
-- it, of an adopted table, which whoever asks has read; of ours they are read here.
CREATE FUNCTION rowcrew.why_of(j rowcrew.any_job, p_key text, p_keys jsonb DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
  r rowcrew.cancel_request;
  v_answer jsonb;
  v_before bigint;
BEGIN
  IF j.status = 'processing' THEN
    RETURN rowcrew.why_claimed(j);
  ELSIF j.status NOT IN ('pending', 'retrying') THEN
    RETURN rowcrew.why_ended(j);
  END IF;
  SELECT * INTO r FROM rowcrew.cancel_request x WHERE x.job_table = j.job_table AND x.job_id = j.id;
  IF r.job_id IS NOT NULL THEN
    RETURN rowcrew.because(j, 'cancel_requested', rowcrew.cancel_text(r.requested_by, r.reason) || ', ends in a moment', NULL,
      jsonb_build_object('requested_by', r.requested_by, 'requested_at', r.requested_at, 'reason', r.reason));
  ELSIF j.scheduled_at > rowcrew.clock() THEN
    -- A node hands back for half a minute what it has no handler for, and what is paused and has met a crash: that is not the reason.
    IF j.scheduled_at < rowcrew.clock() + interval '1 minute' THEN
      v_answer := rowcrew.why_kept(j);
    END IF;
    RETURN CASE WHEN v_answer ->> 'reason' IN ('type_unserved', 'paused') THEN v_answer ELSE rowcrew.why_later(j) END;
  END IF;
  IF j.job_table IN ('job_queue', 'processing_jobs') AND EXISTS (SELECT FROM rowcrew.job_limit) THEN
    EXECUTE format('SELECT to_jsonb(rowcrew.keys_of(q.queue, %s)) FROM rowcrew.%I q WHERE q.id = $1', rowcrew.key_columns(j.job_table, 'q'), j.job_table) USING j.id INTO p_keys;
  END IF;
  v_answer := coalesce(rowcrew.why_kept(j), rowcrew.why_unclaimable(j, p_key), rowcrew.why_limited(j, p_keys));
  IF v_answer IS NOT NULL THEN
    RETURN v_answer;
  ELSIF j.crashes > 1 THEN
    RETURN rowcrew.because(j, 'suspect', format('met the death of its node %s times: waits for a node that runs nothing else', j.crashes));
  END IF;
  v_before := rowcrew.about_before(j, p_keys ->> 'grp');
  RETURN rowcrew.because(j, 'no_slot', CASE
    WHEN v_before = 0 THEN CASE WHEN p_keys ->> 'grp' IS NULL THEN 'next in line' ELSE 'next of its keys in line' END || ', waits for a free slot'
    ELSE format('waits for a free slot, with about %s due jobs of queue %s before it', v_before, j.queue) END, NULL,
    jsonb_build_object('before', v_before));
END $$;

-- Why is this job not running? One line for people and one object for programs: {"job", "reason",
-- "text", "until", "details"}. Reasons: unknown, scheduled, backoff, snoozed, paused, no_node,
-- queue_unserved, type_unserved, failing, limit, rate, unclaimable, suspect, no_slot, running, node_lost, cancel_requested, cancelled,
-- completed, failed, poison. What keeps a job whenever it is due comes before its being due.
CREATE FUNCTION rowcrew.why(p_job uuid, OUT line text, OUT answer jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
SET jit = off AS $$
DECLARE
  j rowcrew.any_job;
BEGIN
  SELECT * INTO j FROM rowcrew.any_job x WHERE x.id = p_job ORDER BY x.created_at LIMIT 1;  -- in the other table another may take the same id later
  answer := CASE WHEN j.id IS NOT NULL THEN rowcrew.why_of(j, p_job::text)
    ELSE coalesce(rowcrew.why_archived(p_job), jsonb_build_object('job', p_job, 'reason', 'unknown',
      'text', 'no job has this id: never enqueued, or removed since it ended'
      || CASE WHEN EXISTS (SELECT FROM rowcrew.adopted_table) THEN '; one of an adopted table is named <table>:<id>' ELSE '' END,
      'until', NULL, 'details', '{}'::jsonb)) END;
  line := answer ->> 'text';
END $$;
COMMENT ON FUNCTION rowcrew.why(uuid) IS
  'Why is this job not running? One line for people, one object for programs; costs a few pages. Reasons: running, cancel_requested, '
  'node_lost; scheduled, snoozed, backoff, paused, limit, rate, suspect, unclaimable, no_slot, no_node, queue_unserved, type_unserved, failing; '
  'completed, failed, poison, cancelled; unknown. Of an adopted table also held, shadow, unmapped, foreign, unreadable.';

UPDATE rowcrew.meta SET schema_version = 13;
