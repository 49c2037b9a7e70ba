-- Creates the companions unless they are there, and the functions of the triggers. $1 name
SELECT rowcrew.adopted_create_companions($1::text), rowcrew.adopted_create_functions($1::text)
