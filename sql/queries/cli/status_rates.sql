-- From the minute buckets, per table and job type: completed within the last five whole minutes; within the hour failed, tried
-- again, ended executions of any kind, how long they took all together and the longest, in ms.
SELECT s.job_table, s.job_type,
       coalesce(sum(s.completed) FILTER (WHERE s.minute >= date_trunc('minute', rowcrew.clock()) - interval '5 minutes'
                                           AND s.minute < date_trunc('minute', rowcrew.clock())), 0)::bigint,
       sum(s.failed)::bigint, sum(s.retried)::bigint,
       sum(s.completed + s.failed + s.retried + s.snoozed + s.cancelled + s.released)::bigint,
       sum(s.run_ms)::bigint, max(s.run_ms_max)::bigint
FROM rowcrew.node_stat s WHERE s.minute > rowcrew.clock() - interval '1 hour'
GROUP BY s.job_table, s.job_type ORDER BY s.job_table, s.job_type
