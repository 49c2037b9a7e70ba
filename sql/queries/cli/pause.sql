-- $1 scope  $2 name  $3 reason  $4 for how many ms, or null
SELECT rowcrew.pause($1, $2, $3, $4::bigint * interval '1 ms')
