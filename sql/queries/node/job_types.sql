-- Policies of job types. Delays as text: "100,2000".
SELECT name, timeout_ms, backoff_base_ms, backoff_cap_ms, array_to_string(retry_delays_ms, ','), retry_for_ms, start_within_ms, total_ms,
       max_result_bytes, keep_result_ms
FROM rowcrew.job_type
