-- Forgets the progress of jobs that ended, a day later. $1 at most this many
DELETE FROM rowcrew.job_progress WHERE ctid = ANY (ARRAY(
  SELECT p.ctid FROM rowcrew.job_progress p
  WHERE p.updated_at < rowcrew.clock() - interval '1 day'
    -- Of an adopted table's nothing is known here: a month.
    AND (p.job_table IN ('job_queue', 'processing_jobs') OR p.updated_at < rowcrew.clock() - interval '30 days')
    AND NOT EXISTS (SELECT FROM rowcrew.any_job j WHERE j.id = p.job_id AND j.status IN ('pending', 'retrying', 'processing'))
  LIMIT $1::int FOR UPDATE SKIP LOCKED))
