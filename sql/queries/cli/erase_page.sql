-- One page of an erasure. $1 its number, null for a preview  $2 whose jsonb  $3 where to go on
SELECT jobs, mails, archived, live, skipped, next FROM rowcrew.erase_page($1::bigint, $2::jsonb, $3)
