-- What running handlers of jobs of an adopted table say of themselves. Fenced by the companion.
-- $1 ids text[]  $2 tokens bigint[]  $3 percents int[]  $4 notes text[]  $5 checkpoints text[] (JSON)
WITH j AS MATERIALIZED (
  SELECT x.id, u.percent, u.note, u.checkpoint
  FROM unnest($1::{key_type}[], $2::bigint[], $3::int[], $4::text[], $5::text[]) AS u (id, token, percent, note, checkpoint)
  JOIN {job} x ON x.id = ANY (ARRAY[u.id])
  WHERE x.token = u.token AND x.status = 'processing'
  ORDER BY x.id FOR SHARE OF x SKIP LOCKED
), w AS (
  INSERT INTO rowcrew.job_progress AS p (job_table, job_id, percent, note, checkpoint)
  SELECT {table_name}, rowcrew.job_uuid({table_name}, j.id), j.percent, j.note, j.checkpoint::jsonb FROM j
  ON CONFLICT (job_table, job_id) DO UPDATE
  SET percent = coalesce(excluded.percent, p.percent), note = coalesce(excluded.note, p.note),
      checkpoint = coalesce(excluded.checkpoint, p.checkpoint), updated_at = rowcrew.clock()
)
SELECT id::text FROM j
