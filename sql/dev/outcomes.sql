-- rowcrew dev: how every photo ended, and whether its mail and its webhook went out.
WITH mail AS MATERIALIZED (
  SELECT DISTINCT ON (photo) q.payload -> 'data' ->> 'photo' AS photo, coalesce(e.status, q.status) AS status
  FROM rowcrew.job_queue q
  LEFT JOIN rowcrew.email_notifications e ON e.job_id = q.id
  WHERE q.job_type = 'email' AND q.app = 'demo'
  ORDER BY photo, q.created_at DESC
), hook AS MATERIALIZED (
  SELECT DISTINCT ON (photo) d.body::jsonb -> 'data' ->> 'photo' AS photo, d.status, d.delivered_at,
         'msg_' || replace(d.delivery_id::text, '-', '') AS message_id
  FROM rowcrew.webhook_deliveries d
  WHERE d.event LIKE 'photo.%'
  ORDER BY photo, d.created_at DESC
)
SELECT p.name, p.status, p.error_code, p.output_path, m.status, h.status, h.message_id,
       coalesce(h.delivered_at < $1::timestamptz, false)
FROM demo.photo p
LEFT JOIN mail m ON m.photo = p.photo_id::text
LEFT JOIN hook h ON h.photo = p.photo_id::text
WHERE p.folder_id = 'demo' AND p.status <> 'ignored'
ORDER BY p.found_at, p.photo_id
