SELECT count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status <> 'completed')
FROM rowcrew.job_queue WHERE job_type = 'bench' AND queue = 'bench'
