-- One page of one policy. $1 policy  $2 dry run  $3 where the last page ended, or null  $4 the job  $5 its table
-- No row: there is no such policy (any more), or it is switched off.
SELECT looked_at, removed, archived, next, kept FROM rowcrew.retention_page($1, $2::boolean, $3, rowcrew.port_job($5::text, $4::text))
