-- Whether the installation's table exists at all.
SELECT to_regclass('rowcrew.meta') IS NOT NULL
