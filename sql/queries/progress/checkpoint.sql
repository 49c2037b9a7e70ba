-- The last checkpoint of a job, of whichever execution. $1 job table  $2 id
SELECT p.checkpoint FROM rowcrew.job_progress p WHERE p.job_table = $1 AND p.job_id = $2::uuid AND p.checkpoint IS NOT NULL
