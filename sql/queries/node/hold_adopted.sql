-- Stops the fleet from claiming from one adopted table. $1 name  $2 epoch that was seen  $3 why
SELECT rowcrew.hold_adopted($1::text, $2::bigint, $3::text)
