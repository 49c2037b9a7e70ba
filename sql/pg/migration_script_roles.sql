-- Roles and their rights
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL search_path = '';
SELECT pg_advisory_xact_lock(hashtextextended('rowcrew.migrate', 0)) AS rowcrew_lock \gset
{roles}
;
COMMIT;
