-- After forget_keys, again while it says that there may be more.
SELECT rowcrew.forget_some_keys()
