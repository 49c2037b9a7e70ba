-- What the statements for one adopted table are filled in with. $1 name
SELECT epoch, template FROM rowcrew.adopted_table WHERE name = $1::text
