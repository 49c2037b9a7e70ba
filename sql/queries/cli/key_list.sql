-- Every key ever made, without its hash.
SELECT name, array_to_json(job_types), to_char(created_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       to_char(revoked_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM rowcrew.api_key ORDER BY name
