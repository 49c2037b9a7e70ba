-- 0025: what calls of model providers cost, and who caused it.

-- A call is booked under its claim: a late worker's call was made and is billed all the same, so it is kept, but the job's own sum and
-- external_id are those of whoever holds it.
CREATE FUNCTION rowcrew.book_call(
  p_table text, p_id text, p_token bigint, p_type text, p_attempt smallint, p_provider text, p_model text,
  p_external_id text, p_outcome text, p_units jsonb, p_cost_micros bigint, p_estimated boolean
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO rowcrew.provider_call (job_table, job_id, job_type, attempt, provider, model, external_id, outcome, units, cost_micros, estimated)
  VALUES (p_table, p_id, p_type, p_attempt, p_provider, p_model, p_external_id, p_outcome, p_units, p_cost_micros, p_estimated);
  IF p_table = 'processing_jobs' THEN
    UPDATE rowcrew.processing_jobs g
    SET cost_micros = g.cost_micros + p_cost_micros, external_id = coalesce(p_external_id, g.external_id)
    WHERE g.id = p_id::uuid AND g.claim_token = p_token AND g.status = 'processing';
  END IF;
END $$;
COMMENT ON FUNCTION rowcrew.book_call(text, text, bigint, text, smallint, text, text, text, text, jsonb, bigint, boolean) IS
  'Writes one row of provider_call, and for a row of processing_jobs its cost_micros and external_id while the claim stands.';

CREATE VIEW rowcrew.spend AS
  SELECT date_trunc('day', c.at, 'UTC')::date AS day, c.provider, c.model, c.job_type, count(*) AS calls,
         count(*) FILTER (WHERE c.outcome <> 'done') AS in_vain, sum(c.cost_micros)::bigint AS cost_micros, bool_or(c.estimated) AS estimated
  FROM rowcrew.provider_call c
  GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW rowcrew.spend IS 'What model providers cost, by day (UTC), provider, model and job type; in_vain: calls that are billed and gave nothing.';

UPDATE rowcrew.meta SET schema_version = 25;
