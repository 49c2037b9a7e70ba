-- What to do with a watched folder. $1 folder. No row: it is not to be polled (any more).
SELECT f ->> 'backend', f ->> 'path', f ->> 'settle_ms', coalesce(nullif(f -> 'known', 'null'), '[]'),
       CASE jsonb_typeof(f) WHEN 'object' THEN f - 'known' END
FROM {port:drive_folder}($1) AS f
WHERE jsonb_typeof(f) <> 'null'
