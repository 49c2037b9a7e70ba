-- $1 scope  $2 name  $3 reason  $4 for how many ms, or null. Returns whether it is a key of a limit that there is not.
SELECT (SELECT $1 = 'key' AND NOT EXISTS (SELECT FROM rowcrew.job_limit l WHERE l.name = split_part($2, ':', 1)))
FROM rowcrew.pause($1, $2, $3, $4::bigint * interval '1 ms')
