-- $1 job type  $2 payload as JSON text  $3 queue  $4 priority  $5 delay in ms  $6 max_attempts  $7 unique key
-- $8 tenant
SELECT rowcrew.enqueue($1, $2::jsonb, $3, $4::integer, rowcrew.clock_now() + $5::bigint * interval '1 ms',
                       $6::integer, $7, p_tenant => $8)
