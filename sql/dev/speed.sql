-- rowcrew dev: photos processed since the start, and the ms from the first one found to the last one done.
SELECT count(*), coalesce(extract(epoch FROM max(p.ended_at) - min(p.found_at)) * 1000, 0)::bigint
FROM demo.photo p
WHERE p.folder_id = 'demo' AND p.status = 'done' AND p.found_at >= $1::timestamptz
