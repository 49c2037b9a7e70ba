#!/usr/bin/python3
"""Two apps in one database whose tables, ports and keys have equal names: no crossed wires."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest  # noqa: E402

APPS = ("shop", "blog")
JOBS = 200
APP = """
CREATE SCHEMA {app};
CREATE TABLE {app}.job_queue (id uuid, status text NOT NULL, told timestamptz DEFAULT now());
INSERT INTO rowcrew.app (name, schema_name) VALUES ('{app}', '{app}');
CREATE FUNCTION {app}.flaky_ended(job_id uuid, ended jsonb) RETURNS void LANGUAGE sql SET search_path = pg_catalog AS $$
  INSERT INTO {app}.job_queue VALUES (job_id, ended ->> 'status') $$;
CREATE FUNCTION {app}.generation_ended(job_id uuid, ended jsonb) RETURNS void LANGUAGE sql SET search_path = pg_catalog AS $$
  INSERT INTO {app}.job_queue VALUES (job_id, ended ->> 'error_code') $$;
CREATE FUNCTION {app}.generation_input(job_id uuid) RETURNS jsonb LANGUAGE sql SET search_path = pg_catalog AS $$
  SELECT '{{"refuse": {{"code": "of_{app}", "message": "asked to"}}}}'::jsonb $$;
"""


class Apps(FleetTest):
    def test_each_app_hears_of_its_own_jobs_through_ports_of_equal_names(self):
        for app in APPS:
            self.db.execute(APP.format(app=app))
            for table, columns, values in (("job_queue", "job_type", "'flaky'"), ("processing_jobs", "type", "'flaky'"),
                                           ("processing_jobs", "type, provider", "'generation', 'presets'")):
                self.db.execute(f"INSERT INTO rowcrew.{table} (app, {columns}) SELECT %s, {values} FROM generate_series(1, %s)",
                                (app, JOBS))
        # One of no app: with several there is none that could be meant.
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type) VALUES ('flaky')")
        for name in ("a", "b"):
            self.node(name).ready()
        self.wait_finished()
        self.wait_finished(table="processing_jobs")
        for app in APPS:
            told = self.db.execute(f"SELECT t.status, count(*), count(DISTINCT t.id) FROM {app}.job_queue t GROUP BY 1 ORDER BY 1")
            self.assertEqual(told, [("completed", 2 * JOBS, 2 * JOBS), (f"of_{app}", JOBS, JOBS), ("retrying", 2 * JOBS, 2 * JOBS)])
            strangers = self.db.value(
                f"SELECT count(*) FROM {app}.job_queue t WHERE NOT EXISTS (SELECT FROM rowcrew.job_queue q WHERE q.id = t.id AND q.app = %s) "
                "AND NOT EXISTS (SELECT FROM rowcrew.processing_jobs q WHERE q.id = t.id AND q.app = %s)", (app, app))
            self.assertEqual(strangers, 0)

    def test_a_port_that_breaks_costs_its_own_app_alone(self):
        for app in APPS:
            self.db.execute(APP.format(app=app))
        self.db.execute("DROP TABLE shop.job_queue")
        for app in APPS:
            self.db.execute("INSERT INTO rowcrew.job_queue (job_type, app, max_attempts, payload) "
                            "SELECT 'flaky', %s, 1, '{\"fail\": 0}' FROM generate_series(1, 20)", (app,))
        self.node().ready()
        self.wait_finished()
        self.assertEqual(self.db.execute("SELECT app, status, error_code, count(*) FROM rowcrew.job_queue GROUP BY 1, 2, 3 ORDER BY 1"),
                         [("blog", "completed", None, 20), ("shop", "failed", "port_failed", 20)])


if __name__ == "__main__":
    unittest.main(verbosity=2)
