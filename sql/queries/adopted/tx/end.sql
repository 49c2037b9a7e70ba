-- As tx/end, for jobs of an adopted table. Fenced by the companion, whose row goes first, as in finish_completed.
-- $1 ids text[], sorted  $2 tokens bigint[]
-- Returns also the uuid by which ports and functions know the job.
WITH f AS (
  DELETE FROM {job} x
  USING (SELECT w.id, w.token FROM unnest($1::{key_type}[], $2::bigint[]) AS w (id, token) OFFSET 0) u
  WHERE x.id = ANY (ARRAY[u.id]) AND x.token = u.token AND x.status = 'processing'
  RETURNING x.id, NULL::text AS result, NULL::text AS note, x.claimed_at
), e AS (
  UPDATE {table} q
  SET {status} = {completed}{set_completed}
  FROM f
  WHERE q.{key} = ANY (ARRAY[f.id]) AND {is_processing}
  RETURNING q.{key} AS id, {job_type} AS job_type, {args} AS args
), g AS MATERIALIZED (
  SELECT e.id, e.args, e.job_type, rowcrew.job_uuid({table_name}, e.id) AS job FROM e ORDER BY e.id
)
SELECT g.id::text, rowcrew.plan_as_usual(), {call}, rowcrew.plan_by_index(),
       CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.event_subscription s WHERE 'job.completed' = ANY (s.events)))
            THEN rowcrew.note_ended({table_name}, g.id::text, g.job, g.job_type, 'completed', NULL, NULL, NULL) END, g.job
FROM g
