-- How many heap pages an adopted table has. $1 name
SELECT pg_relation_size(z.rel::regclass) / current_setting('block_size')::bigint + 1 FROM rowcrew.adopted_table z WHERE z.name = $1::text
