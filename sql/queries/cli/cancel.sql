-- One job. $1 id  $2 reason
SELECT rowcrew.cancel($1::uuid, $2)
