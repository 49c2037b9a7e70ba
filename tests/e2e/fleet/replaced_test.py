#!/usr/bin/python3
"""A database that is replaced by the copy of another, as a refresh of staging does, is not worked on by the nodes that run there."""
import contextlib
import pathlib
import subprocess
import sys
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import URL, Database, FleetTest, wait_for  # noqa: E402


class Replaced(FleetTest):
    def test_a_node_does_nothing_in_the_copy_that_replaced_its_database(self):
        version = subprocess.run(["pg_dump", "--version"], capture_output=True, text=True, check=True).stdout
        if int(version.split()[2].split(".")[0]) < self.db.connection.server_version // 10_000:
            self.skipTest(f"{version.strip()} cannot dump this server")
        production = Database()
        self.addCleanup(production.drop)
        production.execute("INSERT INTO rowcrew.job_queue (job_type) SELECT 'noop' FROM generate_series(1, 20)")
        dump = subprocess.run(["pg_dump", production.url], capture_output=True, check=True).stdout
        node = self.node("staging").ready()
        self.db.drop()
        with contextlib.closing(psycopg2.connect(URL)) as admin:
            admin.autocommit = True
            admin.cursor().execute(f'CREATE DATABASE "{self.db.name}"')
        told = subprocess.run(["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "--single-transaction", self.db.url], input=dump, capture_output=True)
        self.assertEqual(told.returncode, 0, told.stderr.decode())
        self.db.connection = psycopg2.connect(self.db.url)
        self.db.connection.autocommit = True

        def looks():
            return self.db.value("SELECT sessions FROM pg_stat_database WHERE datname = current_database()")

        before = looks()
        wait_for("the node to look at the copy again and again", lambda: self.db.counts() != {"pending": 20} or looks() >= before + 3, 30)
        self.assertEqual(self.db.counts(), {"pending": 20})
        node.kill()


if __name__ == "__main__":
    unittest.main(verbosity=2)
