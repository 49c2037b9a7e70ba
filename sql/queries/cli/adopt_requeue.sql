-- What runs in a range of heap pages, and not under a claim of ours, waits again. $1 name  $2 first  $3 how many
SELECT rowcrew.adopted_requeue_pages($1::text, $2::bigint, $3::bigint)
