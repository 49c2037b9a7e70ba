-- Why one job stands as it does, and its last executions that did not complete. $1 id
SELECT w.line, w.answer, (
  SELECT coalesce(json_agg(to_json(x) ORDER BY x.ended_at DESC), '[]')
  FROM (SELECT a.ended_at, a.attempt, a.outcome, a.error_code, a.error_message, n.name AS node, a.duration_ms
        FROM rowcrew.job_attempt a LEFT JOIN rowcrew.node n ON n.node_id = a.node_id
        WHERE a.job_id = (w.answer ->> 'job')::uuid AND a.job_table = w.answer -> 'details' ->> 'table' ORDER BY a.ended_at DESC LIMIT 50) x)
FROM rowcrew.why($1::uuid) w
