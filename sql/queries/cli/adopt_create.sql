-- Creates the companions unless they are there, and the functions of the triggers and of claims behind limits. $1 name
SELECT rowcrew.adopted_create_companions($1::text), rowcrew.adopted_create_functions($1::text), rowcrew.adopted_make_take($1::text)
