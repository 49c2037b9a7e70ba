-- $1 SHA-256 of the API key in hex  $2 job type  $3 payload as JSON text  $4 idempotency key or null
-- $5 queue or null  $6 priority or null  $7 delay in ms or null  $8 unique key or null  $9 tenant or null
SELECT id, created FROM rowcrew.ingest_enqueue($1, $2, $3::jsonb, $4, $5, $6::integer, $7::bigint, $8, $9)
