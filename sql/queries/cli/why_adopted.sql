-- $1 name of an adopted table  $2 id of a job
SELECT line, answer FROM rowcrew.adopted_why($1, $2)
