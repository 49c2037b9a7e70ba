-- Ends jobs of an adopted table that succeeded. Fenced by the companion, whose row goes first: a claim
-- that was lost finds none, and what waits for the job's own row waits behind it.
-- $1 ids text[]  $2 tokens bigint[]  $3 results text[] (JSON or null)  $4 tokens bigint[] whose batch
-- has ended with this. Returns id, status, and the uuid by which ports know the job.
WITH f AS (
  DELETE FROM {job} x
  USING (SELECT w.id, w.token, w.result, CASE WHEN (SELECT EXISTS (SELECT FROM rowcrew.cancel_request))
                THEN rowcrew.cancel_note({table_name}, rowcrew.job_uuid({table_name}, w.id)) END AS note
         FROM unnest($1::{key_type}[], $2::bigint[], $3::text[]) AS w (id, token, result) OFFSET 0) u
  WHERE x.id = ANY (ARRAY[u.id]) AND x.token = u.token AND x.status = 'processing'
  RETURNING x.id, CASE WHEN u.note IS NULL THEN u.result END AS result, u.note, x.claimed_at, x.attempts
), g AS (
  UPDATE {table} q
  SET {status} = CASE WHEN f.note IS NULL THEN {completed} ELSE {cancelled} END{set_completed}
  FROM f
  WHERE q.{key} = ANY (ARRAY[f.id]) AND {is_processing}
  RETURNING q.{key} AS id, {job_type} AS job_type, f.note, f.attempts
), d AS (
  DELETE FROM {claim} WHERE token = ANY ($4::bigint[])
)
SELECT id::text, CASE WHEN note IS NULL AND NOT (SELECT EXISTS (SELECT FROM rowcrew.event_subscription s WHERE 'job.completed' = ANY (s.events))) THEN 'completed'
                      ELSE rowcrew.note_ended({table_name}, id::text, job, job_type, CASE WHEN note IS NULL THEN 'completed' ELSE 'cancelled' END,
                                              attempts::int + 1, note, NULL) END, job
FROM (SELECT id, job_type, note, attempts, rowcrew.job_uuid({table_name}, id) AS job FROM g OFFSET 0) AS ended
