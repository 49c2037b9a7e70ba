-- Jobs of this adopted table that are to be cancelled, and what their end says.
SELECT r.job_key, rowcrew.cancel_text(r.requested_by, r.reason) FROM rowcrew.cancel_request r
WHERE r.job_table = {table_name}
