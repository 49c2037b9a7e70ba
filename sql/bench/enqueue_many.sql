INSERT INTO rowcrew.job_queue (job_type, queue, payload) SELECT 'bench', 'bench', p FROM unnest($1::jsonb[]) AS p
