-- What error codes of job types mean, those of every type ("*") first.
SELECT job_type, error_code, verdict = 'permanent', array_to_string(delays_ms, ',') FROM rowcrew.retry_rule ORDER BY job_type <> '*', job_type
