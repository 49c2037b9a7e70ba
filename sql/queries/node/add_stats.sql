-- Adds to the minute buckets. $1 node_id  $2 minutes as epoch seconds bigint[]  $3 job tables text[]
-- $4 job types text[]  $5 started ... $12 claim_lost int[]  $13 run_ms bigint[]  $14 run_ms_max int[]
INSERT INTO rowcrew.node_stat AS s (minute, node_id, job_table, job_type, started, completed, failed, retried,
                                    snoozed, cancelled, released, claim_lost, run_ms, run_ms_max)
SELECT to_timestamp(u.minute), $1::bigint, u.job_table, u.job_type, u.started, u.completed, u.failed, u.retried,
       u.snoozed, u.cancelled, u.released, u.claim_lost, u.run_ms, u.run_ms_max
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::int[], $6::int[], $7::int[], $8::int[], $9::int[], $10::int[],
            $11::int[], $12::int[], $13::bigint[], $14::int[])
  AS u (minute, job_table, job_type, started, completed, failed, retried, snoozed, cancelled, released,
        claim_lost, run_ms, run_ms_max)
ON CONFLICT (minute, node_id, job_table, job_type) DO UPDATE
SET started = s.started + excluded.started, completed = s.completed + excluded.completed,
    failed = s.failed + excluded.failed, retried = s.retried + excluded.retried,
    snoozed = s.snoozed + excluded.snoozed, cancelled = s.cancelled + excluded.cancelled,
    released = s.released + excluded.released, claim_lost = s.claim_lost + excluded.claim_lost,
    run_ms = s.run_ms + excluded.run_ms, run_ms_max = greatest(s.run_ms_max, excluded.run_ms_max)
