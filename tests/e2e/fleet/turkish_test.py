#!/usr/bin/python3
"""A database whose language lowers an I to something else than i is served as any other."""
import contextlib
import pathlib
import sys
import tempfile
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, URL, Database, run  # noqa: E402

MAP = """
table: ImportItem
key: Id
job_type: noop
old_worker: none
states: {pending: queued, processing: running, completed: done, failed: failed}
"""


class TurkishDatabase(Database):
    def __init__(self):
        super().__init__(migrate=False)
        self.drop()
        with contextlib.closing(psycopg2.connect(URL)) as admin:
            admin.autocommit = True
            admin.cursor().execute(f"CREATE DATABASE \"{self.name}\" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'")
        run([BIN / "rowcrew", "--database", self.url, "migrate"])
        self.connection = psycopg2.connect(self.url)
        self.connection.autocommit = True


class Turkish(unittest.TestCase):
    def setUp(self):
        self.db = TurkishDatabase()
        self.addCleanup(self.db.drop)

    def test_words_of_ours_are_lowered_as_in_english(self):
        self.assertEqual(self.db.value("SELECT lower('I')"), "\u0131")
        self.db.execute("INSERT INTO rowcrew.schedule (name, cron, job_type) VALUES ('weekly', '0 3 * * FRI', 'noop')")
        self.assertEqual(self.db.execute("SELECT action, target FROM rowcrew.audit_logs"), [("setting.insert", "schedule weekly")])
        self.db.execute("CREATE TABLE public.\"ImportItem\" (\"Id\" bigserial PRIMARY KEY, status text NOT NULL DEFAULT 'queued')")
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as told:
            told.write(MAP)
            told.flush()
            run([BIN / "rowcrew", "--database", self.db.url, "adopt", "--map", told.name])
        self.assertEqual(self.db.value("SELECT name FROM rowcrew.adopted_table"), "public_importitem")


if __name__ == "__main__":
    unittest.main()
