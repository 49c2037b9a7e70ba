-- A page of a walk over all keys of limits. Returns how many had permits that did not add up, and where the next page
-- begins, null when there is none. $1 where this one begins, null: at the first key
SELECT wrong, next FROM rowcrew.forget_keys($1)
