INSERT INTO rowcrew.bench_bare (job_type, queue, payload) VALUES ('bench', 'bench', $1::jsonb)
