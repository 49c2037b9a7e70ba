-- Forgets the progress of jobs that ended, a day later, and which writes to adopted tables were held a month ago. $1 at most
-- this many of either
WITH c AS (
  DELETE FROM rowcrew.adopted_conflict WHERE ctid = ANY (ARRAY(
    SELECT x.hint FROM rowcrew.adopted_table z, LATERAL (
      SELECT c.ctid AS hint FROM rowcrew.adopted_conflict c
      WHERE c.job_table = z.name AND c.at < rowcrew.clock() - interval '30 days' ORDER BY c.at LIMIT $1::int) x
    LIMIT $1::int))
)
DELETE FROM rowcrew.job_progress WHERE ctid = ANY (ARRAY(
  SELECT p.ctid FROM rowcrew.job_progress p
  WHERE p.updated_at < rowcrew.clock() - interval '1 day'
    -- Of an adopted table's nothing is known here: a month.
    AND (p.job_table IN ('job_queue', 'processing_jobs') OR p.updated_at < rowcrew.clock() - interval '30 days')
    AND NOT EXISTS (SELECT FROM rowcrew.any_job j WHERE j.id = p.job_id AND j.status IN ('pending', 'retrying', 'processing'))
  LIMIT $1::int FOR UPDATE SKIP LOCKED))
