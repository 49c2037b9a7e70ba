-- How many jobs of an adopted table it would change. $1 act  $2 filter jsonb
SELECT rowcrew.adopted_act_preview($1, $2::jsonb)
