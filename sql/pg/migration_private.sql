-- PostgreSQL lets everybody call a function that is made. Those that run with their owner's rights are nobody's until
-- somebody is granted them, whoever manages the roles.
DO $$
DECLARE
  v record;
BEGIN
  FOR v IN SELECT p.oid::regprocedure AS name FROM pg_proc p
           WHERE p.pronamespace = 'rowcrew'::regnamespace AND p.prosecdef
             AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0) LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v.name);
  END LOOP;
END $$
