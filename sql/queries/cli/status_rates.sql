-- From the minute buckets: completed within the last five whole minutes, failed within the hour.
SELECT s.job_table,
       coalesce(sum(s.completed) FILTER (WHERE s.minute >= date_trunc('minute', rowcrew.clock()) - interval '5 minutes'
                                           AND s.minute < date_trunc('minute', rowcrew.clock())), 0)::bigint,
       sum(s.failed)::bigint
FROM rowcrew.node_stat s WHERE s.minute > rowcrew.clock() - interval '1 hour'
GROUP BY s.job_table ORDER BY s.job_table
