-- What tells a database from its copies: its home, as an installation knows it.
SELECT concat_ws(' ', h.database, h.system) FROM rowcrew.here() h
