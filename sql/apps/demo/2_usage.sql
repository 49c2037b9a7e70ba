-- Usage: what counts, what is blocked, when a period begins.

-- The period that a moment lies in. Times without zone, so that no session's zone has a say in how long a month is; counted
-- from each month anew, or the 31st would be the 28th for ever after a February.
CREATE OR REPLACE FUNCTION demo.period_at(p_day integer, p_at timestamptz, OUT starts timestamptz, OUT ends timestamptz)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT max(e.edge) FILTER (WHERE e.edge <= p_at), min(e.edge) FILTER (WHERE e.edge > p_at)
  FROM generate_series(-1, 1) AS n (n),
       LATERAL (SELECT date_trunc('month', p_at AT TIME ZONE 'UTC') + n.n * interval '1 month' AS first) m,
       LATERAL (SELECT least(m.first + (p_day - 1) * interval '1 day', m.first + interval '1 month - 1 day') AT TIME ZONE 'UTC' AS edge) e
$$;

-- The account's current period, opened if need be and locked until the transaction ends: whoever
-- decides about the limit or counts holds it. One whose day has changed begins where the last one ended; a period of
-- a clock that ran ahead is none of the past.
CREATE OR REPLACE FUNCTION demo.lock_usage(p_account bigint) RETURNS demo.usage_tracking
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_usage demo.usage_tracking;
BEGIN
  FOR i IN 1..2 LOOP
    SELECT * INTO v_usage FROM demo.usage_tracking u
    WHERE u.account_id = p_account AND u.period_start <= rowcrew.clock() AND u.period_end > rowcrew.clock()
    ORDER BY u.period_start DESC LIMIT 1 FOR NO KEY UPDATE;
    EXIT WHEN FOUND;
    INSERT INTO demo.usage_tracking (account_id, period_start, period_end, tier, monthly_limit, at_limit, overage_cents)
    SELECT a.account_id, greatest(p.starts, (SELECT max(o.period_end) FROM demo.usage_tracking o WHERE o.account_id = p_account AND o.period_end <= rowcrew.clock())),
           p.ends, t.name, t.monthly_limit, t.at_limit, t.overage_cents
    FROM demo.account a JOIN demo.tier t ON t.name = a.tier, LATERAL demo.period_at(a.renewal_day, rowcrew.clock()) p
    WHERE a.account_id = p_account
    ON CONFLICT DO NOTHING;
  END LOOP;
  RETURN v_usage;
END $$;

-- May this job count? Null: yes, and its permit is noted. Exactly at the limit: while the last places
-- are taken by photos that are being processed and may yet fail, the others wait for them.
CREATE OR REPLACE FUNCTION demo.take_permit(p_account bigint, p_job uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_usage demo.usage_tracking := demo.lock_usage(p_account);
  v_running integer;
BEGIN
  IF v_usage.at_limit = 'overage' THEN
    RETURN NULL;
  END IF;
  IF v_usage.images_processed >= v_usage.monthly_limit THEN
    RETURN jsonb_build_object('refuse', jsonb_build_object('code', 'limit_reached', 'message',
      format('all %s photos of this month are used; it goes on by itself on %s', v_usage.monthly_limit,
             to_char(v_usage.period_end AT TIME ZONE 'UTC', 'FMMonth FMDD'))));
  END IF;
  SELECT count(*) INTO v_running FROM demo.usage_permit p JOIN rowcrew.processing_jobs q ON q.id = p.job_id
  WHERE p.account_id = p_account AND p.job_id <> p_job AND q.status = 'processing';
  IF v_usage.images_processed + v_running >= v_usage.monthly_limit THEN
    RETURN jsonb_build_object('wait_ms', 200, 'why', 'the last places of this month are taken by photos in work');
  END IF;
  INSERT INTO demo.usage_permit (job_id, account_id) VALUES (p_job, p_account) ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;

-- Port. Opens the period of every active account whose last one is over, and lets the photos in that wait wherever there is
-- room: the first photo of a month, or a raised limit, may have made it before this runs.
CREATE OR REPLACE FUNCTION demo.usage_reset() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_account bigint;
  v_is_new boolean;
  v_opened integer := 0;
BEGIN
  FOR v_account, v_is_new IN
    SELECT a.account_id, u.account_id IS NULL
    FROM demo.account a LEFT JOIN demo.usage_tracking u ON u.account_id = a.account_id AND u.period_end > rowcrew.clock()
    WHERE a.is_active AND EXISTS (SELECT FROM demo.usage_tracking o WHERE o.account_id = a.account_id)
      AND (u.account_id IS NULL
           OR ((u.at_limit = 'overage' OR u.images_processed < u.monthly_limit)
               AND EXISTS (SELECT FROM demo.photo p WHERE p.account_id = a.account_id AND p.status = 'blocked')))
    ORDER BY a.account_id
  LOOP
    PERFORM demo.lock_usage(v_account);
    UPDATE rowcrew.processing_jobs q SET status = 'pending'
    FROM demo.photo p WHERE p.account_id = v_account AND p.status = 'blocked' AND q.id = p.job_id AND q.status = 'failed';
    UPDATE demo.photo SET status = 'queued', error_code = NULL, error_message = NULL
    WHERE account_id = v_account AND status = 'blocked';
    v_opened := v_opened + v_is_new::int;
  END LOOP;
  RETURN v_opened;
END $$;
