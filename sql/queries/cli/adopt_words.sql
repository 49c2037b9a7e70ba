-- How often each status word occurs. $1 schema  $2 table  $3 column
SELECT coalesce(word, ''), jobs FROM rowcrew.adopted_words($1::text, $2::text, $3::text)
