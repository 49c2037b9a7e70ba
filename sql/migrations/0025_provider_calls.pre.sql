-- 0025: what calls of model providers cost, and who caused it.

-- A call is booked under its claim: a late worker's call was made and is billed all the same, so it is kept, but the job's own sum and
-- external_id are those of whoever holds it. What the provider has a name for is booked once per job: whoever goes on after a crash books
-- what it finds, and cannot know whether that was done.
CREATE FUNCTION rowcrew.book_call(
  p_table text, p_id text, p_token bigint, p_type text, p_attempt smallint, p_provider text, p_model text,
  p_external_id text, p_outcome text, p_units jsonb, p_cost_micros bigint, p_estimated boolean
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM rowcrew.provider_call c
             WHERE c.job_id = p_id AND c.job_table = p_table AND c.provider = p_provider AND c.external_id = p_external_id) THEN
    RETURN;
  END IF;
  INSERT INTO rowcrew.provider_call (job_table, job_id, job_type, attempt, provider, model, external_id, outcome, units, cost_micros, estimated)
  VALUES (p_table, p_id, p_type, p_attempt, p_provider, p_model, p_external_id, p_outcome, p_units, p_cost_micros, p_estimated);
  IF p_table = 'processing_jobs' THEN
    UPDATE rowcrew.processing_jobs g
    SET cost_micros = g.cost_micros + p_cost_micros, external_id = coalesce(p_external_id, g.external_id)
    WHERE g.id = p_id::uuid AND g.claim_token = p_token AND g.status = 'processing';
  END IF;
END $$;
COMMENT ON FUNCTION rowcrew.book_call(text, text, bigint, text, smallint, text, text, text, text, jsonb, bigint, boolean) IS
  'Writes one row of provider_call (one per external_id of a job), and for a row of processing_jobs its cost_micros and external_id while the claim stands.';

CREATE VIEW rowcrew.spend AS
  SELECT (c.at AT TIME ZONE 'UTC')::date AS day, c.provider, c.model, c.job_type, count(*) AS calls,
         count(*) FILTER (WHERE c.outcome <> 'done') AS in_vain, sum(c.cost_micros)::bigint AS cost_micros, bool_or(c.estimated) AS estimated
  FROM rowcrew.provider_call c
  GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW rowcrew.spend IS 'What model providers cost, by day (UTC), provider, model and job type; in_vain: calls that are billed and gave nothing.';

-- What may be spent on a provider in a day (UTC). In the database, not in a file: it holds for all nodes at once, and 0 stops them.
CREATE TABLE rowcrew.provider_budget (
  provider     text     PRIMARY KEY CHECK (provider ~ '^[a-z][a-z0-9_]{0,62}$'),
  day_micros   bigint   NOT NULL CHECK (day_micros >= 0),
  warn_percent smallint NOT NULL DEFAULT 80 CHECK (warn_percent BETWEEN 1 AND 100),
  warned_on    date,
  spent_on     date
);
COMMENT ON TABLE rowcrew.provider_budget IS 'What may be spent on a provider in a day (UTC), in millionths of the account''s currency. No row: as much as it takes.';
COMMENT ON COLUMN rowcrew.provider_budget.day_micros IS 'Jobs that would call wait until midnight UTC when so much is booked; 0: they wait in any case.';
COMMENT ON COLUMN rowcrew.provider_budget.warn_percent IS 'When so much of it is booked, event budget.low and a warning; when all is, budget.spent and an error. Once a day each.';
COMMENT ON COLUMN rowcrew.provider_budget.warned_on IS 'The day on which the nodes did.';
COMMENT ON COLUMN rowcrew.provider_budget.spent_on IS 'The day on which the nodes said that it was spent.';
CREATE TRIGGER rowcrew_audit AFTER INSERT OR DELETE OR UPDATE OF provider, day_micros, warn_percent ON rowcrew.provider_budget
  FOR EACH ROW EXECUTE FUNCTION rowcrew.audit_setting('provider');

-- Whoever asks first after a threshold was passed is the one who says so. The sum is of one day of one provider, by an index alone.
CREATE FUNCTION rowcrew.budget_left(
  p_provider text, p_table text, p_id text, p_type text, OUT day_micros bigint, OUT spent_micros bigint, OUT wait_ms bigint, OUT news text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_budget rowcrew.provider_budget;
  v_day timestamptz := date_trunc('day', rowcrew.clock(), 'UTC');
  v_date date := (v_day AT TIME ZONE 'UTC')::date;
BEGIN
  SELECT * INTO v_budget FROM rowcrew.provider_budget b WHERE b.provider = p_provider;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  day_micros := v_budget.day_micros;
  SELECT least(coalesce(sum(c.cost_micros), 0), 9223372036854775807)::bigint INTO spent_micros
  FROM rowcrew.provider_call c WHERE c.provider = p_provider AND c.at >= v_day;
  IF spent_micros >= day_micros THEN
    wait_ms := greatest(ceil(extract(epoch FROM v_day + interval '1 day' - rowcrew.clock()) * 1000)::bigint, 1);
    IF v_budget.spent_on IS DISTINCT FROM v_date THEN
      UPDATE rowcrew.provider_budget b SET spent_on = v_date, warned_on = v_date
      WHERE b.provider = p_provider AND b.spent_on IS DISTINCT FROM v_date;
      news := CASE WHEN FOUND THEN 'spent' END;
    END IF;
  ELSIF spent_micros::numeric * 100 >= day_micros::numeric * v_budget.warn_percent AND v_budget.warned_on IS DISTINCT FROM v_date THEN
    UPDATE rowcrew.provider_budget b SET warned_on = v_date WHERE b.provider = p_provider AND b.warned_on IS DISTINCT FROM v_date;
    news := CASE WHEN FOUND THEN 'low' END;
  END IF;
  IF news IS NOT NULL THEN
    PERFORM rowcrew.emit('budget.' || news, jsonb_build_object('provider', p_provider, 'day_micros', day_micros, 'spent_micros', spent_micros),
                         p_table, rowcrew.port_job(p_table, p_id), p_type);
  END IF;
END $$;
COMMENT ON FUNCTION rowcrew.budget_left(text, text, text, text) IS
  'What of a provider''s budget is booked today, and how long until the next day where it is spent; null without a budget.';

UPDATE rowcrew.meta SET schema_version = 25;
