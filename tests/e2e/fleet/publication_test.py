#!/usr/bin/python3
"""A database whose tables are all published (FOR ALL TABLES, as tools of change data capture do it) is served as any other."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.adopted import TABLES, adopt, create_tables, words  # noqa: E402
from support.fleet import FleetTest, wait_for  # noqa: E402

OURS = """
SELECT c.oid::regclass::text, c.relreplident FROM pg_class c
WHERE c.relnamespace = 'rowcrew'::regnamespace AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
"""


class Publication(FleetTest):
    def publish(self):
        """As FOR ALL TABLES would, which only a superuser may say."""
        tables = [name for name, _ in self.db.execute(OURS + " AND NOT c.relispartition")] + ["public.jobs"]
        self.db.execute("CREATE PUBLICATION everything FOR TABLE " + ", ".join(tables))

    def test_jobs_run_and_fail_and_wait_in_tables_that_are_published(self):
        create_tables(self.db)
        adopt(self.db, "jobs")
        self.publish()
        self.db.execute("SELECT rowcrew.limit_set('tenants', p_queue => 'generation', p_by => 'tenant', p_running => 2)")
        self.db.execute("SELECT rowcrew.limit_set('starts', p_type => 'sleep', p_units => 100, p_per => '1s')")
        node = self.node("node").ready()
        for job_type in ("noop", "flaky", "fail", "sleep"):
            self.enqueue(job_type, 10)
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, scheduled_at) SELECT 'noop', now() + interval '0.5 s' FROM generate_series(1, 10)")
        self.db.execute("INSERT INTO rowcrew.processing_jobs (type, tenant) SELECT 'noop', 't' || n % 3 FROM generate_series(1, 30) n")
        self.db.execute(TABLES["jobs"][5], (1, 30))
        wait_for("all to end", lambda: self.db.counts() == {"completed": 40, "failed": 10} and
                 self.db.counts("processing_jobs") == {"completed": 30} and words(self.db, "jobs") == {"completed": 30})
        self.assertEqual(node.lines("work.failing"), [])
        self.assertEqual(node.stop()[0], 0, node.tail())

    def test_each_table_of_ours_has_an_identity_for_replicas(self):
        create_tables(self.db)
        adopt(self.db, "jobs")
        without = self.db.execute("SELECT name FROM (" + OURS + ") t (name, identity) WHERE identity <> 'f' AND NOT EXISTS ("
                                  "SELECT FROM pg_index i WHERE i.indrelid = name::regclass AND i.indisprimary)")
        # Partitioned tables hold no row themselves.
        self.assertEqual(sorted(name for name, in without), ["rowcrew.archive", "rowcrew.job_attempt", "rowcrew.job_event", "rowcrew.provider_call"])


if __name__ == "__main__":
    unittest.main()
