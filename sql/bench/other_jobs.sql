-- Whether jobs of anybody else are here, waiting or ended.
SELECT EXISTS (SELECT FROM rowcrew.job_queue WHERE job_type <> 'bench' OR queue <> 'bench')
