-- Files hints for what waits already in a range of heap pages. $1 name  $2 first  $3 how many
SELECT rowcrew.adopted_file_pages($1::text, $2::bigint, $3::bigint)
