-- One job of an adopted table. $1 table  $2 key  $3 reason
SELECT rowcrew.adopted_cancel($1, $2, $3)
