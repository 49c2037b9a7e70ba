-- Goes on with it. $1 its number  $2 at most so many jobs
SELECT changed, requested, skipped, done FROM rowcrew.act_step($1::bigint, $2::int)
