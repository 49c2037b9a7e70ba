-- Who alone may drop the triggers that an adopted table has; no row: whoever asks may, or there are none. $1 name
SELECT c.oid::regclass::text, pg_get_userbyid(c.relowner), current_user
FROM rowcrew.adopted_table z JOIN pg_class c ON c.oid = z.rel
WHERE z.name = $1 AND NOT pg_has_role(c.relowner, 'USAGE')
  AND EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgname IN ('rowcrew_file_new', 'rowcrew_hold', 'rowcrew_refile', 'rowcrew_gone', 'rowcrew_empty'))
