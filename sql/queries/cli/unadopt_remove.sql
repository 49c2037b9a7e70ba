-- Removes everything about an adopted table unless jobs of it are claimed; returns how many are.
-- $1 name  $2 whether to go on all the same
SELECT rowcrew.adopted_remove($1::text, $2::boolean)
