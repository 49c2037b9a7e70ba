-- As job, of an adopted table. $1 its name  $2 id of a job
-- Executions are found by the job's uuid, which only its row tells: none of one that cannot be read.
SELECT w.line, w.answer, CASE WHEN w.answer -> 'details' ->> 'status' IS NULL THEN '[]' ELSE (
  SELECT coalesce(json_agg(to_json(x) ORDER BY x.ended_at DESC), '[]')
  FROM (SELECT a.ended_at, a.attempt, a.outcome, a.error_code, a.error_message, n.name AS node, a.duration_ms
        FROM rowcrew.job_attempt a LEFT JOIN rowcrew.node n ON n.node_id = a.node_id
        WHERE a.job_id = (SELECT j.id FROM rowcrew.adopted_job($1, $2) j) AND a.job_table = $1 ORDER BY a.ended_at DESC LIMIT 50) x) END
FROM rowcrew.adopted_why($1, $2) w
