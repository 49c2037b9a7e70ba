-- Rescues one claim whose node is dead or gone: its jobs wait again, each with a crash more. A job
-- that crashed alone $1 times before fails as poison; one that crashed among others becomes a
-- suspect. $1 max_crashes  $2 tokens bigint[] to leave alone this time (their rows were locked)
-- Returns token, job id, job type, new status, app, attempts, max_attempts, code, message; one row with a null id for a claim without live jobs.
WITH c AS MATERIALIZED (
  SELECT k.token, k.ids, k.alone, k.node_id FROM {claim} k
  WHERE k.token <> ALL ($2::bigint[])
    AND NOT EXISTS (SELECT FROM rowcrew.node n WHERE n.node_id = k.node_id AND n.epoch = k.epoch AND NOT n.dead)
  LIMIT 1 FOR UPDATE OF k SKIP LOCKED
), j AS MATERIALIZED (
  SELECT q.id FROM c, unnest(c.ids) AS x (id) JOIN {table} q ON q.id = ANY (ARRAY[x.id])
  WHERE q.claim_token = c.token AND q.status = 'processing'
  ORDER BY x.id FOR NO KEY UPDATE OF q SKIP LOCKED
), f AS (
  UPDATE {table} q
  SET crashes = CASE WHEN c.alone THEN q.crashes + 1 ELSE greatest(q.crashes, 1) END,
      status = CASE WHEN c.alone AND q.crashes >= $1::int THEN 'failed' ELSE 'retrying' END,
      error_code = CASE WHEN c.alone AND q.crashes >= $1::int THEN 'poison' ELSE 'crashed' END,
      error_message = CASE WHEN c.alone AND q.crashes >= $1::int
        THEN format('its node died %s times while running it alone', $1::int)
        ELSE format('node %s died while running it', c.node_id) END,
      scheduled_at = rowcrew.clock_now(),
      completed_at = CASE WHEN c.alone AND q.crashes >= $1::int THEN rowcrew.clock_now() END
  FROM c, j WHERE q.id = ANY (ARRAY[j.id])
  RETURNING q.id, {job_type} AS job_type, q.status, q.attempts, q.max_attempts, q.error_code, q.error_message, {app} AS app
), a AS (
  INSERT INTO rowcrew.job_attempt (job_table, job_id, job_type, attempt, outcome, error_code, error_message, node_id)
  SELECT {table_name}, f.id, f.job_type, f.attempts + 1, 'crashed', f.error_code, f.error_message, c.node_id FROM f, c
), e AS (
  INSERT INTO rowcrew.job_event (event, job_table, job_id, job_type, data)
  SELECT 'job.failed', {table_name}, f.id, f.job_type, jsonb_build_object('error_code', 'poison') FROM f
  WHERE f.status = 'failed'
    AND EXISTS (SELECT FROM rowcrew.event_subscription s
                WHERE 'job.failed' = ANY (s.events) AND (s.job_types IS NULL OR f.job_type = ANY (s.job_types)))
), held AS MATERIALIZED (
  SELECT count(*) AS n FROM c, unnest(c.ids) AS x (id) JOIN {table} q ON q.id = ANY (ARRAY[x.id])
  WHERE q.claim_token = c.token AND q.status = 'processing' AND q.id NOT IN (SELECT id FROM j)
), d AS (
  DELETE FROM {claim} WHERE token = (SELECT token FROM c) AND (SELECT n FROM held) = 0
)
SELECT c.token, f.id, f.job_type, f.status, f.app, f.attempts, f.max_attempts, f.error_code, f.error_message
FROM c LEFT JOIN f ON true
