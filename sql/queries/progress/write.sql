-- What running handlers say of themselves. Fenced; a row that is locked at the moment is left to the
-- next write. $1 ids uuid[]  $2 tokens bigint[]  $3 percents int[]  $4 notes text[]  $5 checkpoints text[] (JSON)
-- Nulls leave what is there.
WITH j AS MATERIALIZED (
  SELECT u.id, u.percent, u.note, u.checkpoint
  FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::text[], $5::text[]) AS u (id, token, percent, note, checkpoint)
  JOIN {table} q ON q.id = ANY (ARRAY[u.id])
  WHERE q.claim_token = u.token AND q.status = 'processing'
  ORDER BY q.id FOR SHARE OF q SKIP LOCKED
)
INSERT INTO rowcrew.job_progress AS p (job_table, job_id, percent, note, checkpoint)
SELECT {table_name}, j.id, j.percent, j.note, j.checkpoint::jsonb FROM j
ON CONFLICT (job_table, job_id) DO UPDATE
SET percent = coalesce(excluded.percent, p.percent), note = coalesce(excluded.note, p.note),
    checkpoint = coalesce(excluded.checkpoint, p.checkpoint), updated_at = rowcrew.clock()
RETURNING job_id
