-- Deletes every trace of a run: jobs, hints, statistics.
WITH ready AS (
  DELETE FROM rowcrew.job_queue_ready WHERE queue = 'bench'
), stat AS (
  DELETE FROM rowcrew.node_stat WHERE job_type = 'bench'
)
DELETE FROM rowcrew.job_queue WHERE job_type = 'bench' AND queue = 'bench'
