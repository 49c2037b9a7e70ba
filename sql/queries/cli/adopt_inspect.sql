-- What speaks for and against adopting a table. $1 map jsonb
SELECT kind, message, coalesce(remedy, '') FROM rowcrew.adopted_inspect($1::jsonb)
