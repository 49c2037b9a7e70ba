INSERT INTO rowcrew.job_queue (job_type, queue, payload) VALUES ('bench', 'bench', $1::jsonb)
