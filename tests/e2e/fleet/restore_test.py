#!/usr/bin/python3
"""A backup by pg_dump comes back whole: what waited runs, what ran is rescued, adopted tables are served."""
import contextlib
import pathlib
import shutil
import subprocess
import sys
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.adopted import NAMES, TABLES, adopt, create_tables, words  # noqa: E402
from support.fleet import BIN, URL, Database, FleetTest, Node, run, wait_for, with_user  # noqa: E402

ADOPTED = ("jobs", "prisma")


class Restore(FleetTest):
    def setUp(self):
        super().setUp()
        dump = subprocess.run(["pg_dump", "--version"], capture_output=True, text=True, check=True).stdout
        if int(dump.split()[2].split(".")[0]) < self.db.connection.server_version // 10_000:
            self.skipTest(f"{dump.strip()} cannot dump this server")
        create_tables(self.db)
        for name in ADOPTED:
            adopt(self.db, name)

    def insert(self, db, first, last):
        for name in ADOPTED:
            db.execute(TABLES[name][5], (first, last))

    def restored(self, *options):
        copy = Database(migrate=False)
        self.addCleanup(copy.drop)
        dump = subprocess.run(["pg_dump", *options, self.db.url], capture_output=True, check=True).stdout
        # The first error ends it.
        told = subprocess.run(["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "--single-transaction", copy.url], input=dump, capture_output=True)
        self.assertEqual(told.returncode, 0, told.stderr.decode())
        return copy

    def serves_all(self, copy, expected, **settings):
        node = Node(copy, "copy", node={"lease": "5s"}, **settings)
        self.nodes.append(node)
        node.ready()
        wait_for("what the backup held to end", lambda: copy.counts() == expected and words(copy, "jobs") == {"completed": 20}
                 and words(copy, "prisma") == {"COMPLETED": 20})
        self.insert(copy, 21, 40)
        wait_for("what came later to end", lambda: words(copy, "jobs") == {"completed": 40} and words(copy, "prisma") == {"COMPLETED": 40})
        self.assertEqual(node.lines("table.held"), [])
        self.assertEqual(node.stop()[0], 0, node.tail())

    def drop_login(self, name):
        with contextlib.closing(psycopg2.connect(URL)) as connection:
            connection.autocommit = True
            connection.cursor().execute(f'DROP ROLE "{name}"')

    def test_a_backup_in_the_midst_of_work_is_restored_and_goes_on(self):
        self.db.execute("SELECT rowcrew.limit_set('tenants', p_queue => 'default', p_by => 'tenant', p_running => 2)")
        node = self.node("original").ready()
        self.enqueue("fail", 5)
        self.enqueue("sleep", 4, '{"ms": 600000}')
        wait_for("some to run", lambda: self.db.counts() == {"failed": 5, "processing": 4})
        node.kill()
        self.enqueue("noop", 5)
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, tenant) SELECT 'noop', 't' FROM generate_series(1, 5)")
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, scheduled_at) SELECT 'noop', now() + interval '1 s' FROM generate_series(1, 5)")
        self.db.execute("UPDATE rowcrew.job_queue SET payload = '{}' WHERE job_type = 'sleep'")
        self.insert(self.db, 1, 20)
        copy = self.restored("--no-owner", "--no-acl")
        refused = Node(copy, "early")
        self.addCleanup(refused.close)
        self.assertEqual(refused.exited(), 78)
        self.assertIn("rowcrew takeover", refused.tail())
        run([BIN / "rowcrew", "--database", copy.url, "takeover", "--yes"])
        found = "SELECT name, rel::regclass::text, mode FROM rowcrew.adopted_table ORDER BY name"
        self.assertEqual(copy.execute(found), [(NAMES[name], TABLES[name][0].removeprefix("public."), "serve") for name in ADOPTED])
        self.serves_all(copy, {"completed": 19, "failed": 5})

    def test_a_copy_that_nobody_took_over_is_served_for_what_it_is(self):
        """As on a server that tells no system identifier, where the copy has the original's name."""
        self.insert(self.db, 1, 20)
        copy = self.restored("--no-owner", "--no-acl")
        copy.execute("UPDATE rowcrew.meta SET (home_system, home_database) = (SELECT system, database FROM rowcrew.here())")
        # The tables' old oids may be those of others by now.
        copy.execute("UPDATE rowcrew.adopted_table SET rel = CASE name WHEN %s THEN 'realign.\"ProcessingJob\"'::regclass ELSE 'rowcrew.meta'::regclass END",
                     (NAMES["jobs"],))
        self.serves_all(copy, {})
        self.assertEqual(copy.value("SELECT count(*) FROM rowcrew.adopted_table WHERE mode = 'serve'"), 2)

    def test_the_rights_of_a_worker_come_back_with_the_next_migrate(self):
        self.insert(self.db, 1, 20)
        copy = self.restored("--no-owner", "--no-acl")
        run([BIN / "rowcrew", "--database", copy.url, "takeover", "--yes"])
        run([BIN / "rowcrew", "--database", copy.url, "migrate"])
        copy.execute("GRANT USAGE ON SCHEMA realign TO rowcrew_worker; GRANT SELECT, UPDATE ON jobs, realign.\"ProcessingJob\" TO rowcrew_worker")
        login = f"rowcrew_worker_{copy.name}"
        copy.execute(f'CREATE ROLE "{login}" LOGIN IN ROLE rowcrew_worker')
        self.addCleanup(self.drop_login, login)
        self.serves_all(copy, {}, url=with_user(copy.url, login))


if __name__ == "__main__":
    if not shutil.which("pg_dump"):
        raise SystemExit("pg_dump: not found, expected it in the PATH")
    unittest.main()
