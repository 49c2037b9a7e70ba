INSERT INTO rowcrew.bench_bare (job_type, queue, payload) SELECT 'bench', 'bench', p FROM unnest($1::jsonb[]) AS p
