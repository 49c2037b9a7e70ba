-- $1 job id
SELECT line, answer FROM rowcrew.why($1::uuid)
