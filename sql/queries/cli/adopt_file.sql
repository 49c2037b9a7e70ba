-- Files hints for what waits already. $1 name
SELECT rowcrew.adopted_file_waiting($1::text)
