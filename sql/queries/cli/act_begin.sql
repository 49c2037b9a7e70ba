-- Begins a cancel or redrive of many. $1 act  $2 filter jsonb  $3 reason
SELECT rowcrew.act_begin($1, $2::jsonb, $3)
