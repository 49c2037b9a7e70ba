-- The last checkpoint of a job of an adopted table. $1 job table  $2 id
SELECT p.checkpoint FROM rowcrew.job_progress p
WHERE p.job_table = $1 AND p.job_id = rowcrew.job_uuid($1, $2::{key_type}) AND p.checkpoint IS NOT NULL
