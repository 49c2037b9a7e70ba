-- Once a minute where there are limits, else once an hour. Returns how many keys had permits that did not add up.
SELECT rowcrew.forget_keys()
