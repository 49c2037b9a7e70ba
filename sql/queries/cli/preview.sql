-- How many jobs it would change. $1 act  $2 filter jsonb
SELECT rowcrew.preview($1, $2::jsonb)
