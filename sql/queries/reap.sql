-- Rescues a page of claims whose nodes are dead or gone: their jobs wait again, each with a crash more.
-- A job that its node's death met alone for the $1th time fails as poison, one that was to be cancelled
-- is not run again. Claims in the order of
-- their tokens, at most 200 and about 1,000 jobs, so that rows which somebody holds locked are passed
-- by and not met again.
-- $1 max_crashes  $2 the last token of the page before (0 at first)  $3 uuid[] but these
-- $4 uuid[]: of these jobs only; null: of all. Those that are left out are passed by as if somebody held them.
-- Returns token, job id, job type, new status, app, attempts, max_attempts, code, message; one row with
-- a null id for a claim without live jobs. No row: this was the last page.
WITH d AS MATERIALIZED (
  SELECT k.token, k.ids, k.alone, k.node_id FROM {claim} k
  WHERE k.token > $2::bigint
    AND NOT EXISTS (SELECT FROM rowcrew.node n WHERE n.node_id = k.node_id AND n.epoch = k.epoch AND NOT n.dead)
  ORDER BY k.token LIMIT 200 FOR UPDATE OF k SKIP LOCKED
), c AS MATERIALIZED (
  SELECT x.token, x.ids, x.alone, x.node_id
  FROM (SELECT d.*, sum(cardinality(d.ids)) OVER (ORDER BY d.token) - cardinality(d.ids) AS before FROM d) x
  WHERE x.before < 1000
), j AS MATERIALIZED (
  SELECT q.id, c.token, c.node_id, c.alone, c.alone AND q.lonely_crashes + 1 >= $1::int AS poison,
         CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.cancel_request)) THEN rowcrew.cancel_note({table_name}, q.id) END AS note
  FROM c, unnest(c.ids) AS x (id) JOIN {table} q ON q.id = ANY (ARRAY[x.id])
  WHERE q.claim_token = c.token AND q.status = 'processing'
    AND x.id <> ALL ($3::uuid[]) AND ($4::uuid[] IS NULL OR x.id = ANY ($4::uuid[]))
  ORDER BY x.id FOR NO KEY UPDATE OF q SKIP LOCKED
), f AS (
  UPDATE {table} q
  SET crashes = q.crashes + 1,
      lonely_crashes = CASE WHEN j.alone THEN q.lonely_crashes + 1 ELSE q.lonely_crashes END,
      status = CASE WHEN j.note IS NOT NULL THEN 'cancelled' WHEN j.poison THEN 'failed' ELSE 'retrying' END,
      error_code = CASE WHEN j.note IS NOT NULL THEN 'cancelled' WHEN j.poison THEN 'poison' ELSE 'crashed' END,
      error_message = CASE WHEN j.note IS NOT NULL THEN j.note
        WHEN j.poison THEN format('its node died %s times while running it alone', $1::int)
        ELSE format('node %s died while running it, death %s that it met', j.node_id, q.crashes + 1) END,
      scheduled_at = rowcrew.clock_now(),
      completed_at = CASE WHEN j.note IS NOT NULL OR j.poison THEN rowcrew.clock_now() END
  FROM j WHERE q.id = ANY (ARRAY[j.id])
  RETURNING j.token, j.node_id, q.id, {job_type} AS job_type, q.status, q.attempts, q.max_attempts, q.error_code,
            q.error_message, {app} AS app
), a AS (
  INSERT INTO rowcrew.job_attempt (job_table, job_id, job_type, attempt, outcome, error_code, error_message, node_id)
  SELECT {table_name}, f.id, f.job_type, f.attempts + 1, 'crashed', f.error_code, f.error_message, f.node_id FROM f
), e AS (
  INSERT INTO rowcrew.job_event (event, job_table, job_id, job_type, data)
  SELECT 'job.' || f.status, {table_name}, f.id, f.job_type, jsonb_build_object('error_code', f.error_code) FROM f
  WHERE f.status IN ('failed', 'cancelled')
    AND EXISTS (SELECT FROM rowcrew.event_subscription s
                WHERE 'job.' || f.status = ANY (s.events) AND (s.job_types IS NULL OR f.job_type = ANY (s.job_types)))
), held AS MATERIALIZED (
  -- OFFSET keeps this a look per job: joined, it may be planned as a walk over all jobs.
  SELECT DISTINCT c.token FROM c, unnest(c.ids) AS x (id), LATERAL (
    SELECT FROM {table} q WHERE q.id = x.id AND q.claim_token = c.token AND q.status = 'processing' OFFSET 0) h
  WHERE NOT EXISTS (SELECT FROM j WHERE j.id = x.id)
), r AS (
  DELETE FROM {claim} k USING c
  WHERE k.token = ANY (ARRAY[c.token]) AND NOT EXISTS (SELECT FROM held WHERE held.token = c.token)
)
SELECT c.token, f.id, f.job_type, f.status, f.app, f.attempts, f.max_attempts, f.error_code, f.error_message
FROM c LEFT JOIN f ON f.token = c.token
ORDER BY c.token
