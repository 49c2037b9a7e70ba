-- Where the page is: the database, the role, its clock.
SELECT current_database(), current_user, to_char(rowcrew.clock() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
