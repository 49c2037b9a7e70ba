-- Of moments that made no job: the earlier jobs for which those of schedules that must not overlap were skipped. $1 schedules text[]
-- $2 the moment of each in ms since the epoch bigint[]. No row: it was not skipped, or that job has ended since. Returns schedule and job.
SELECT k.schedule, u.job_id
FROM unnest($1::text[], $2::bigint[]) AS m (schedule, due)
  JOIN rowcrew.tick k ON k.schedule = ANY (ARRAY[m.schedule]) AND k.due_at = ANY (ARRAY[to_timestamp(m.due / 1000.0)])
  JOIN rowcrew.job_unique u ON u.scope = 'live:job_queue' AND u.key = ANY (ARRAY['schedule:' || k.schedule])
WHERE u.job_id <> k.job_id
