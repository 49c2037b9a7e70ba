-- Which jobs there are, newest first; last the same for programs. at: when one that waits is due, one that runs was started, one that
-- ended did so. $1 filter jsonb  $2 at most so many
SELECT l.name, j.job_type, j.queue, coalesce(j.tenant, ''), j.status, format('%s/%s', j.attempts, j.max_attempts), coalesce(rowcrew.say_time(x.at), ''),
       coalesce(j.error_code || CASE WHEN j.status IN ('failed', 'retrying', 'cancelled') THEN ': ' || CASE
                  WHEN length(j.error_message) > 80 THEN left(j.error_message, 77) || '...' ELSE coalesce(j.error_message, '') END ELSE '' END, ''),
       json_build_object('job', l.name, 'table', j.job_table, 'id', j.id, 'job_type', j.job_type, 'queue', j.queue, 'tenant', j.tenant, 'status', j.status,
                         'attempts', j.attempts, 'max_attempts', j.max_attempts, 'crashes', j.crashes, 'priority', j.priority, 'scheduled_at', j.scheduled_at,
                         'created_at', j.created_at, 'started_at', j.started_at, 'completed_at', j.completed_at, 'error_code', j.error_code,
                         'error_message', j.error_message)
FROM rowcrew.list_jobs($1::jsonb, $2::int) WITH ORDINALITY AS l (name, job, place), LATERAL (SELECT (l.job).*) j,
  LATERAL (SELECT CASE WHEN j.status IN ('pending', 'retrying') THEN j.scheduled_at WHEN j.status = 'processing' THEN j.started_at
                       ELSE j.completed_at END AS at) x
ORDER BY l.place
