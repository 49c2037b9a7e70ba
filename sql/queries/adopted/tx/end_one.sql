-- As tx/end_one, for a job of an adopted table. $1 id text  $2 token bigint
WITH f AS (
  DELETE FROM {job} x WHERE x.id = $1::{key_type} AND x.token = $2::bigint AND x.status = 'processing'
  RETURNING x.id, NULL::text AS result, NULL::text AS note, x.claimed_at
), g AS MATERIALIZED (
  UPDATE {table} q
  SET {status} = {completed}{set_completed}
  FROM f
  WHERE q.{key} = f.id AND {is_processing}
  RETURNING q.{key} AS id, {job_type} AS job_type, {args} AS args, rowcrew.job_uuid({table_name}, q.{key}) AS job
)
SELECT g.id::text, rowcrew.plan_as_usual(), {call_one}, {after_call},
       CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.event_subscription s WHERE 'job.completed' = ANY (s.events)))
            THEN rowcrew.note_ended({table_name}, g.id::text, g.job, g.job_type, 'completed', NULL, NULL, NULL) END, g.job
FROM g
