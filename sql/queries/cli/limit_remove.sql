-- False: there was no such limit. $1 name
SELECT rowcrew.limit_remove($1)
