-- Retention waits for a quiet moment, but not for ever: its tables grow while the fleet is busiest. After six hours of waiting the
-- jobs of its schedules come first.
UPDATE rowcrew.job_queue q SET priority = 0
WHERE q.id = ANY (ARRAY(SELECT u.job_id FROM rowcrew.schedule s
                          JOIN rowcrew.job_unique u ON u.scope = 'live:job_queue' AND u.key = ANY (ARRAY['schedule:' || s.name])
                        WHERE s.job_type = 'retention'))
  AND q.status IN ('pending', 'retrying') AND q.priority > 0 AND q.scheduled_at < rowcrew.clock() - interval '6 hours'
