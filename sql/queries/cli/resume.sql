-- False: it was not paused. $1 scope  $2 name
SELECT rowcrew.resume($1, $2)
