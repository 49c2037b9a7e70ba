-- Begins an erasure. $1 whose jsonb, which is checked and not kept  $2 reason
SELECT rowcrew.erase_begin($1::jsonb, $2)
