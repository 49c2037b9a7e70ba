-- rowcrew dev: photos that ended lately, some of them known already.
SELECT p.photo_id, p.name, p.status, p.error_code, p.error_message, p.output_path,
       q.outputs ->> 'width', q.outputs ->> 'height',
       coalesce(extract(epoch FROM q.completed_at - q.started_at) * 1000, 0)::bigint, p.ended_at
FROM demo.photo p
JOIN rowcrew.processing_jobs q ON q.id = p.job_id
WHERE p.folder_id = 'demo' AND p.ended_at >= $1::timestamptz AND p.ended_at >= $2::timestamptz - interval '5 s'
ORDER BY p.ended_at, p.photo_id
LIMIT 1000
