-- Ends jobs of an adopted table that succeeded. Fenced by the companion, whose row goes first: a claim
-- that was lost finds none, and what waits for the job's own row waits behind it.
-- $1 ids text[]  $2 tokens bigint[]  $3 results text[] (JSON or null)  $4 tokens bigint[] whose batch
-- has ended with this. Returns id, and the uuid by which ports know the job.
WITH f AS (
  DELETE FROM {job} x
  USING unnest($1::{key_type}[], $2::bigint[], $3::text[]) AS u (id, token, result)
  WHERE x.id = ANY (ARRAY[u.id]) AND x.token = u.token AND x.status = 'processing'
  RETURNING x.id, u.result, x.claimed_at
), g AS (
  UPDATE {table} q
  SET {status} = {completed}{set_completed}
  FROM f
  WHERE q.{key} = ANY (ARRAY[f.id]) AND {is_processing}
  RETURNING q.{key} AS id, {job_type} AS job_type
), e AS (
  INSERT INTO rowcrew.job_event (event, job_table, job_id, job_key, job_type)
  SELECT 'job.completed', {table_name}, rowcrew.job_uuid({table_name}, g.id), g.id::text, g.job_type FROM g
  WHERE EXISTS (SELECT FROM rowcrew.event_subscription s
                WHERE 'job.completed' = ANY (s.events) AND (s.job_types IS NULL OR g.job_type = ANY (s.job_types)))
), d AS (
  DELETE FROM {claim} WHERE token = ANY ($4::bigint[])
)
SELECT id::text, rowcrew.job_uuid({table_name}, id) FROM g
