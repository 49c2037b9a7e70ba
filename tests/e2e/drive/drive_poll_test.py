#!/usr/bin/python3
"""Real nodes poll a real folder, as logins that are only rowcrew_worker."""
import contextlib
import hashlib
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import URL, FleetTest, wait_for, with_user  # noqa: E402

APP = """
CREATE SCHEMA shop;
CREATE TABLE shop.folder (id text PRIMARY KEY, path text);
CREATE TABLE shop.file (folder text, device numeric, inode numeric, size bigint, mtime_ns bigint, name text, sha256 text,
                        problem text, seen int NOT NULL DEFAULT 1, PRIMARY KEY (folder, device, inode, size, mtime_ns));
CREATE FUNCTION shop.drive_folder(text) RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS $$
  SELECT jsonb_build_object('backend', 'folder', 'path', f.path, 'settle_ms', 100, 'known', (
    SELECT jsonb_agg(jsonb_build_object('device', k.device, 'inode', k.inode, 'size', k.size, 'mtime_ns', k.mtime_ns))
    FROM shop.file k WHERE k.folder = f.id)) FROM shop.folder f WHERE f.id = $1 $$;
CREATE FUNCTION shop.drive_files_found(text, jsonb) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE n integer;
BEGIN
  WITH i AS (
    INSERT INTO shop.file AS f SELECT $1, x.device, x.inode, x.size, x.mtime_ns, x.name, x.sha256, x.problem
    FROM jsonb_to_recordset($2) AS x (device numeric, inode numeric, size bigint, mtime_ns bigint, name text, sha256 text, problem text)
    ON CONFLICT (folder, device, inode, size, mtime_ns) DO UPDATE SET seen = f.seen + 1 RETURNING f.seen)
  SELECT count(*) FILTER (WHERE seen = 1) INTO n FROM i;
  RETURN n;
END $$;
CREATE FUNCTION shop.usage_reset() RETURNS integer LANGUAGE sql AS 'SELECT 4';
GRANT USAGE ON SCHEMA shop TO rowcrew_worker;
INSERT INTO rowcrew.app (name, schema_name) VALUES ('shop', 'shop');
"""


class DrivePoll(FleetTest):
    def setUp(self):
        super().setUp()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-drive-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.db.execute(APP)
        self.db.execute("INSERT INTO shop.folder VALUES ('f', %s)", (str(self.dir),))
        name = f"worker_{self.db.name}"
        self.db.execute(f'CREATE ROLE "{name}" LOGIN IN ROLE rowcrew_worker')
        self.addCleanup(self.drop_login, name)
        self.url = with_user(self.db.url, name)

    def drop_login(self, name):
        with contextlib.closing(psycopg2.connect(URL)) as connection:
            connection.autocommit = True
            connection.cursor().execute(f'DROP ROLE "{name}"')

    def start(self, name="poller", **more):
        return self.node(name, program="rowcrewd", url=self.url, **more).ready()

    def put(self, name, content):
        path = self.dir / name
        path.write_bytes(content)
        os.utime(path, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))
        return path

    def job(self, job_type="drive_poll", payload='{"folder": "f"}'):
        return self.db.value("INSERT INTO rowcrew.job_queue (job_type, payload, app, max_attempts) VALUES (%s, %s, 'shop', 3) RETURNING id",
                             (job_type, payload))

    def ended(self, job):
        def row():
            return [r for r in self.db.execute("SELECT status, result, error_code FROM rowcrew.job_queue WHERE id = %s"
                                               " AND status IN ('completed', 'failed', 'cancelled')", (job,))]
        return wait_for(f"job {job} to end", row)[0]

    def test_a_file_dropped_into_the_folder_reaches_the_application_once(self):
        self.start()
        self.assertEqual(self.ended(self.job()), ("completed", {"found": 0, "new": 0, "young": 0}, None))
        self.put("new\n\U0001F600.jpg", b"photo")
        self.assertEqual(self.ended(self.job())[1], {"found": 1, "new": 1, "young": 0})
        self.assertEqual(self.ended(self.job())[1], {"found": 0, "new": 0, "young": 0})
        self.assertEqual(self.db.execute("SELECT name, sha256, seen FROM shop.file"),
                         [("new\n\U0001F600.jpg", hashlib.sha256(b"photo").hexdigest(), 1)])
        self.assertIn("skipped", self.ended(self.job(payload='{"folder": "other"}'))[1])
        shutil.move(self.dir, f"{self.dir}.away")
        try:
            self.assertEqual(self.ended(self.job())[::2], ("failed", "folder_missing"))
        finally:
            shutil.move(f"{self.dir}.away", self.dir)

    def test_a_node_that_dies_before_or_after_the_port_loses_nothing_and_doubles_nothing(self):
        for fault in ("drive_poll.listed", "drive_poll.taken"):
            with self.subTest(fault):
                self.db.execute("DELETE FROM shop.file")
                self.put("photo.jpg", fault.encode())
                doomed = self.start("doomed", fault=f"{fault}:1", node={"lease": "2s"})
                job = self.job()
                wait_for("the node to die", lambda: doomed.process.poll() is not None)
                self.assertEqual(self.db.value("SELECT count(*) FROM shop.file"), 0 if fault.endswith("listed") else 1)
                rescuer = self.start("rescuer", node={"lease": "2s"})
                self.assertEqual(self.ended(job)[0], "completed")
                self.assertEqual(self.db.execute("SELECT name, seen FROM shop.file"), [("photo.jpg", 1)])
                self.assertEqual(rescuer.stop()[0], 0)

    def test_a_folder_that_hangs_costs_its_own_job_only(self):
        hang = self.dir / "hang"
        hang.write_text("#!/bin/sh\nexec sleep 600\n")
        hang.chmod(0o755)
        self.start(kinds={"drive_poll": {"program": str(hang), "timeout": "1s"}}, queues={"default": 4})
        self.db.execute("UPDATE rowcrew.job_type SET backoff_base_ms = 1, backoff_cap_ms = 10 WHERE name = 'drive_poll'")
        job = self.job()
        self.assertEqual(self.ended(self.job("usage_reset", "{}")), ("completed", {"opened": 4}, None))
        self.assertEqual(self.ended(job)[::2], ("failed", "folder_timeout"))

    def test_a_schedule_polls_without_piling_up_and_retention_clears_away(self):
        self.put("photo.jpg", b"photo")
        node = self.start()
        self.db.execute("INSERT INTO rowcrew.schedule (name, every_ms, job_type, payload, app, overlap)"
                        " VALUES ('poll', 1000, 'drive_poll', '{\"folder\": \"f\"}', 'shop', false)")
        wait_for("two polls", lambda: self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'completed'") >= 2)
        self.assertEqual(self.db.execute("SELECT DISTINCT app, max_attempts, unique_key FROM rowcrew.job_queue"), [("shop", 3, "schedule:poll")])
        self.assertEqual(self.db.execute("SELECT name, seen FROM shop.file"), [("photo.jpg", 1)])
        self.db.execute("UPDATE rowcrew.schedule SET enabled = false")
        wait_for("all to end", lambda: self.db.unfinished() == 0)
        polls = self.db.value("SELECT count(*) FROM rowcrew.job_queue")
        self.db.execute("SELECT rowcrew.set_clock_offset('2 hours')")
        result = self.ended(self.job("retention", '{"policy": "drive_poll_done", "dry_run": true}'))[1]["policies"][0]
        self.assertEqual((result["removed"], result["dry_run"]), (polls, True))
        result = self.ended(self.job("retention", "{}"))[1]["policies"]
        self.assertEqual({p["name"]: p["removed"] for p in result if p["removed"]}, {"drive_poll_done": polls})
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE job_type = 'drive_poll'"), 0)
        self.assertEqual(node.stop()[0], 0, node.tail())


if __name__ == "__main__":
    unittest.main(verbosity=2)
