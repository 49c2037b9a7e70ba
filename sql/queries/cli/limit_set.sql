-- $1 name  $2 queue  $3 job type  $4 by  $5 running  $6 units  $7 per, in ms  $8 burst  $9 weight; null: not given
-- Returns how many waiting jobs were moved.
SELECT rowcrew.limit_set($1, $2, $3, $4, $5::int, $6::int, $7::bigint * interval '1 ms', $8::int, $9)
