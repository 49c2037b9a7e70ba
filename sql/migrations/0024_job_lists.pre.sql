-- 0024: looking through jobs, keys and schedules: which jobs there are of a kind, newest first; how much of each key of a limit
-- is out; what became of each schedule's last moment.

-- The filter of an act (0012, 0022) and "status": one of the six, or waiting. What is to stand behind the status, null
-- where nothing is said of it, and the rest.
CREATE FUNCTION rowcrew.list_condition(p_filter jsonb, OUT status text, OUT rest jsonb) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF jsonb_typeof(p_filter) IS DISTINCT FROM 'object' THEN
    PERFORM rowcrew.refuse('filter', p_filter::text, 'an object');
  ELSIF p_filter ->> 'status' NOT IN ('pending', 'retrying', 'waiting', 'processing', 'completed', 'failed', 'cancelled') THEN
    PERFORM rowcrew.refuse('filter.status', p_filter ->> 'status', 'one of pending, retrying, waiting (both), processing, completed, failed, cancelled');
  END IF;
  status := CASE WHEN p_filter ->> 'status' = 'waiting' THEN 'IN (''pending'', ''retrying'')'
                 WHEN p_filter ? 'status' THEN format('= %L', p_filter ->> 'status') END;
  rest := p_filter - 'status' || '{"all": true}';
END $$;

-- Without what only operators may read: payloads and results. Reads on until it has found so many. No text is longer here than
-- the fleet writes it, whatever others have put there: a list of 500 must not be half a gigabyte.
CREATE FUNCTION rowcrew.list_own_jobs(p_filter jsonb, p_limit integer) RETURNS SETOF rowcrew.any_job
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = on AS $$
DECLARE
  c record;
  v_table text;
  v_parts text[];
BEGIN
  SELECT * INTO c FROM rowcrew.list_condition(p_filter);
  FOREACH v_table IN ARRAY ARRAY['job_queue', 'processing_jobs'] LOOP
    v_parts := v_parts || format(
      '(SELECT %1$L, q.id, q.%2$I, q.status, q.attempts, q.max_attempts, q.crashes, q.priority, q.queue, q.tenant, left(q.error_code, 200), left(q.error_message, 2000),'
      ' q.scheduled_at, q.created_at, q.started_at, q.completed_at, q.worker_id FROM rowcrew.%1$I q WHERE %3$s ORDER BY q.id DESC LIMIT %4$s)',
      v_table, CASE v_table WHEN 'job_queue' THEN 'job_type' ELSE 'type' END,
      coalesce('q.status ' || c.status, 'true') || rowcrew.job_condition(v_table, c.rest), p_limit);
  END LOOP;
  RETURN QUERY EXECUTE array_to_string(v_parts, ' UNION ALL ') || format(' ORDER BY 2 DESC LIMIT %s', p_limit);
END $$;

-- A job with what rowcrew why takes for it.
CREATE TYPE rowcrew.listed_job AS (name text, job rowcrew.any_job);

-- Of an adopted table by descending keys, with the rights of whoever asks.
CREATE FUNCTION rowcrew.list_adopted_jobs(p_filter jsonb, p_limit integer) RETURNS SETOF rowcrew.listed_job
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  c record;
  v_means text;
  z rowcrew.adopted_table;
BEGIN
  SELECT * INTO c FROM rowcrew.list_condition(p_filter);
  v_means := rowcrew.adopted_condition('list', c.rest);
  PERFORM rowcrew.adopted_require(p_filter ->> 'table', '{SELECT}');
  SELECT * INTO z FROM rowcrew.adopted_table x WHERE x.name = p_filter ->> 'table';
  RETURN QUERY EXECUTE format(
    'SELECT l.name, ROW(%7$s)::rowcrew.any_job FROM (%2$s WHERE %3$s ORDER BY %4$s DESC) AS l (name, %1$s) WHERE %5$s LIMIT %6$s',
    'job_table, id, job_type, status, attempts, max_attempts, crashes, priority, queue, tenant, error_code, error_message, scheduled_at, created_at, started_at, completed_at, worker_id',
    rowcrew.adopted_fill('SELECT {table_name} || '':'' || q.{key}, ' || rowcrew.adopted_job_rows(z.map), z.template), v_means,
    rowcrew.adopted_fill('q.{key}', z.template), coalesce('l.status ' || c.status, 'true'), p_limit,
    'job_table, id, left(job_type, 200), status, attempts, max_attempts, crashes, priority, left(queue, 200), left(tenant, 200), left(error_code, 200),'
    ' left(error_message, 2000), scheduled_at, created_at, started_at, completed_at, worker_id');
END $$;

CREATE FUNCTION rowcrew.list_jobs(p_filter jsonb DEFAULT '{}', p_limit integer DEFAULT 20) RETURNS SETOF rowcrew.listed_job
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_limit IS NULL OR p_limit < 1 THEN
    PERFORM rowcrew.refuse('limit', p_limit::text, 'at least 1');
  ELSIF p_filter ? 'table' THEN
    RETURN QUERY SELECT * FROM rowcrew.list_adopted_jobs(p_filter, p_limit);
  ELSE
    RETURN QUERY SELECT j.id::text, j FROM rowcrew.list_own_jobs(p_filter, p_limit) j;
  END IF;
END $$;
COMMENT ON FUNCTION rowcrew.list_jobs(jsonb, integer) IS
  'The newest jobs of a filter: status, type, queue, tenant, error_code, created_after and other times, or table (an adopted one). What none or few match it reads whole.';

-- The keys of one limit, those first that most jobs wait for: how many run of each, and how many more may. running is null
-- where a rule is no number of running jobs, room (units of a rate) where it bounds nothing.
-- Of what waits no more than half a million rows of a table are counted.
CREATE FUNCTION rowcrew.limit_keys(p_name text, p_limit integer DEFAULT 100)
RETURNS TABLE (key text, running bigint, room bigint, waiting bigint, paused_until timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  c_most constant integer := 500000;
  r rowcrew.job_limit;
  v_limited text;
BEGIN
  SELECT * INTO r FROM rowcrew.job_limit x WHERE x.name = p_name;
  IF NOT FOUND THEN
    PERFORM rowcrew.refuse('name', p_name, 'a limit' || coalesce(': ' || (SELECT string_agg(x.name, ', ' ORDER BY x.name) FROM rowcrew.job_limit x), ', and there is none'));
  END IF;
  SELECT string_agg(format('SELECT g.grp::text[] AS keys, count(*) AS jobs FROM (SELECT l.grp FROM %s l LIMIT %s) g GROUP BY g.grp', x.rel, c_most), ' UNION ALL ')
    INTO v_limited
  FROM (SELECT to_regclass(format('rowcrew.%I', t || '_limited')) AS rel
        FROM (SELECT unnest(ARRAY['job_queue', 'processing_jobs']) AS t UNION ALL SELECT z.name FROM rowcrew.adopted_table z) y) x
  WHERE x.rel IS NOT NULL;
  RETURN QUERY EXECUTE format($q$
    WITH w AS (
      SELECT k.key, sum(g.jobs) AS jobs FROM (%s) g, unnest(g.keys) AS k (key) WHERE split_part(k.key, ':', 1) = $1 GROUP BY k.key
    ), o AS (
      SELECT k.key, k.held - coalesce((SELECT sum(f.n) FROM rowcrew.limit_freed f WHERE f.key = k.key), 0) AS held, k.level, k.filled_at
      FROM rowcrew.limit_key k WHERE split_part(k.key, ':', 1) = $1
    )
    SELECT coalesce(w.key, o.key), CASE WHEN $3 IS NOT NULL THEN coalesce(o.held, 0) END::bigint,
           (CASE WHEN $3 IS NOT NULL THEN greatest($3 - coalesce(o.held, 0), 0)
                 WHEN $6 IS NOT NULL THEN floor(least($6, coalesce(o.level + $4 * greatest(0, extract(epoch FROM rowcrew.clock() - o.filled_at)) / extract(epoch FROM $5), $6)) + 1e-9)
                 WHEN $4 IS NOT NULL THEN greatest(0, $4 - coalesce((SELECT sum(s.units) FROM rowcrew.limit_start s
                                                   WHERE s.key = coalesce(w.key, o.key) AND s.at >= rowcrew.clock() - $5), 0)) END)::bigint,
           coalesce(w.jobs, 0)::bigint,
           (SELECT max(coalesce(p.until, 'infinity')) FROM rowcrew.pause p
            WHERE p.scope = 'key' AND p.name IN (coalesce(w.key, o.key), $1) AND (p.until IS NULL OR p.until > rowcrew.clock()))
    FROM w FULL JOIN o ON o.key = w.key
    ORDER BY 4 DESC, 2 DESC NULLS LAST, 1 LIMIT $2$q$, v_limited)
  USING p_name, p_limit, r.max_running, r.units, r.per, r.burst;
END $$;

-- Every schedule, without its payload: since when its moments count (due.sql), the last one that was decided, and what became of its
-- job, null where there is none (any more): a moment that must not overlap makes none while the job before it is live.
CREATE FUNCTION rowcrew.list_schedules()
RETURNS TABLE (name text, cron text, every_ms bigint, zone text, job_type text, queue text, enabled boolean, since timestamptz, last timestamptz, job_id uuid, status text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT s.name, s.cron, s.every_ms, s.zone, s.job_type, s.queue, s.enabled, greatest(s.created_at, s.changed_at, t.due_at), t.due_at, q.id, q.status
  FROM rowcrew.schedule s
  LEFT JOIN LATERAL (SELECT k.due_at, k.job_id FROM rowcrew.tick k WHERE k.schedule = s.name AND k.due_at <= rowcrew.clock() ORDER BY k.due_at DESC LIMIT 1) t ON true
  LEFT JOIN rowcrew.job_queue q ON q.id = t.job_id
  ORDER BY s.name
$$;

UPDATE rowcrew.meta SET schema_version = 24;
