-- One failed job. $1 id  $2 reason
SELECT rowcrew.redrive($1::uuid, $2)
