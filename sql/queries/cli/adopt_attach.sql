-- Creates the triggers, in place of those that are there. $1 name
SELECT rowcrew.adopted_attach($1::text)
