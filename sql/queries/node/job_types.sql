-- Policies of job types.
SELECT name, timeout_ms, backoff_base_ms, backoff_cap_ms FROM rowcrew.job_type
