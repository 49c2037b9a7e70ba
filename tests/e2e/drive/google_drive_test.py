#!/usr/bin/python3
"""Real nodes watch folders of Google Drive, for an application that keeps its users' tokens encrypted, as logins that are only
rowcrew_worker."""
import contextlib
import hashlib
import pathlib
import shutil
import sys
import tempfile
import unittest
import urllib.parse

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import URL, FleetTest, wait_for, with_user  # noqa: E402
from support.google_drive import GoogleDrive, Refusal  # noqa: E402

KEY = "the-key-of-the-studio"

# The tables of a creator platform: watched_folder_id and an encrypted refresh token per user, one row of drive_polls per folder.
APP = """
CREATE EXTENSION IF NOT EXISTS pgcrypto;
CREATE SCHEMA studio;
CREATE TABLE studio.users (id text PRIMARY KEY, drive_refresh_token bytea, watched_folder_id text, is_active boolean DEFAULT true);
CREATE TABLE studio.drive_polls (user_id text PRIMARY KEY, page_token text, poll_status text, error_message text, files_found int DEFAULT 0);
CREATE TABLE studio.jobs (user_id text, drive_file_id text, md5 text, drive_file_name text, path text, sha256 text, problem text,
                          seen int NOT NULL DEFAULT 1, PRIMARY KEY (user_id, drive_file_id, md5));
CREATE FUNCTION studio.drive_folder(text) RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS $$
  SELECT jsonb_build_object('backend', 'google_drive', 'folder_id', u.watched_folder_id, 'account', u.id, 'page_token', p.page_token,
    'refresh_token', public.pgp_sym_decrypt(u.drive_refresh_token, current_setting('studio.key')),
    'known', (SELECT jsonb_agg(jsonb_build_object('id', j.drive_file_id, 'md5', j.md5)) FROM studio.jobs j
              WHERE j.user_id = u.id AND j.problem IS NULL))
  FROM studio.users u LEFT JOIN studio.drive_polls p ON p.user_id = u.id WHERE u.id = $1 AND u.is_active $$;
CREATE FUNCTION studio.drive_files_found(text, jsonb) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE n integer;
BEGIN
  WITH i AS (
    INSERT INTO studio.jobs AS j SELECT $1, x.id, x.md5, x.name, x.path, x.sha256, x.problem
    FROM jsonb_to_recordset($2) AS x (id text, md5 text, name text, path text, sha256 text, problem text)
    ON CONFLICT (user_id, drive_file_id, md5) DO UPDATE SET seen = j.seen + 1, problem = excluded.problem, path = excluded.path,
      sha256 = excluded.sha256 RETURNING j.seen)
  SELECT count(*) FILTER (WHERE seen = 1) INTO n FROM i;
  RETURN n;
END $$;
CREATE FUNCTION studio.drive_poll_ended(job_id uuid, ended jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
  INSERT INTO studio.drive_polls AS p (user_id, page_token, poll_status, error_message)
  SELECT q.payload ->> 'folder', ended #>> '{result,page_token}', coalesce(ended ->> 'error_code', 'success'), ended ->> 'error_message'
  FROM rowcrew.job_queue q WHERE q.id = job_id
  ON CONFLICT (user_id) DO UPDATE SET page_token = coalesce(excluded.page_token, p.page_token), poll_status = excluded.poll_status,
    error_message = excluded.error_message $$;
GRANT USAGE ON SCHEMA studio TO rowcrew_worker;
INSERT INTO rowcrew.app (name, schema_name) VALUES ('studio', 'studio');
"""


class GoogleDriveTest(FleetTest):
    def setUp(self):
        super().setUp()
        self.spool = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-spool-"))
        self.addCleanup(shutil.rmtree, self.spool)
        self.drive = GoogleDrive()
        self.addCleanup(self.drive.close)
        self.db.execute(APP)
        name = f"worker_{self.db.name}"
        self.db.execute(f'CREATE ROLE "{name}" LOGIN IN ROLE rowcrew_worker')
        self.addCleanup(self.drop_login, name)
        url = with_user(self.db.url, name)
        # The key is in the node's connection, not in the database.
        self.url = url + ("&" if "?" in url else "?") + "options=" + urllib.parse.quote(f"-c studio.key={KEY}")
        self.token = self.drive.connect("ada")
        self.folder = self.drive.folder("ada")
        self.user("ada", self.token, self.folder)

    def tearDown(self):
        logs = "".join(node.log_path.read_text(errors="replace") for node in self.nodes)
        kept = repr(self.db.execute("SELECT q::text FROM rowcrew.job_queue q UNION ALL SELECT a::text FROM rowcrew.job_attempt a"))
        for secret in ("ya29", "1//", "client-secret-1", KEY):
            self.assertNotIn(secret, logs)
            self.assertNotIn(secret, kept)
        self.assertEqual(self.drive.secrets_in_urls, [])
        self.assertEqual(self.drive.without_fields, [])
        super().tearDown()

    def drop_login(self, name):
        with contextlib.closing(psycopg2.connect(URL)) as connection:
            connection.autocommit = True
            connection.cursor().execute(f'DROP ROLE "{name}"')

    def user(self, name, token, folder):
        self.db.execute("INSERT INTO studio.users VALUES (%s, pgp_sym_encrypt(%s, %s), %s)", (name, token, KEY, folder))

    def start(self, name="poller", **more):
        google = self.drive.settings(self.spool)
        return self.node(name, program="rowcrewd", url=self.url, egress={"allow": [f"127.0.0.1:{self.drive.port}"]},
                         kinds={"drive_poll": {"timeout": "4s", "google_drive": google}}, **more).ready()

    def job(self, user="ada", queue="default"):
        return self.db.value("INSERT INTO rowcrew.job_queue (job_type, payload, app, max_attempts, queue) VALUES ('drive_poll',"
                             " jsonb_build_object('folder', %s::text), 'studio', 3, %s) RETURNING id", (user, queue))

    def ended(self, job):
        def row():
            return self.db.execute("SELECT status, result, error_code FROM rowcrew.job_queue WHERE id = %s"
                                   " AND status IN ('completed', 'failed', 'cancelled')", (job,))
        return wait_for(f"job {job} to end", row)[0]

    def poll(self, user="ada"):
        status, result, code = self.ended(self.job(user))
        self.assertEqual((status, code), ("completed", None))
        result.pop("page_token", None)
        return result

    def put(self, name, trouble=None):
        self.drive.put("ada", self.folder, name, name.encode() * 1000)
        if trouble:
            self.drive.trouble("files.media", trouble)

    def photos(self):
        return self.db.execute("SELECT drive_file_name, problem FROM studio.jobs ORDER BY drive_file_name COLLATE \"C\"")

    def test_what_is_put_into_the_folder_reaches_the_application_once_and_whole(self):
        self.start()
        before = self.drive.put("ada", self.folder, "before 😀/1.jpg", b"before" * 50_000)
        self.drive.put("ada", self.folder, "notes.txt", b"x", mime="text/plain")
        self.drive.put("ada", self.folder, "sheet", None, mime="application/vnd.google-apps.spreadsheet")
        lagging = self.drive.put("ada", self.folder, "lagging.jpg", b"lagging", listed=False)
        self.assertEqual(self.poll(), {"found": 1, "new": 1, "young": 0})
        name, path, sha256 = self.db.execute("SELECT drive_file_name, path, sha256 FROM studio.jobs")[0]
        self.assertEqual(name, "before 😀/1.jpg")
        self.assertEqual(pathlib.Path(path).read_bytes(), b"before" * 50_000)
        self.assertEqual(sha256, hashlib.sha256(b"before" * 50_000).hexdigest())
        # What the list showed too late for the first look.
        self.drive.list_catches_up()
        self.assertEqual(self.poll()["new"], 1)
        self.drive.delete(lagging)
        lists = self.drive.count("files.list")
        self.assertEqual(self.poll(), {"found": 0, "new": 0, "young": 0})

        # A picture that is older than the last look, a version, a name, a way into the folder, a way out of it.
        self.drive.put("ada", self.folder, "IMG_2", b"camera", modified="2011-01-01T00:00:00.000Z")
        elsewhere = self.drive.put("ada", "root", "elsewhere.jpg", b"elsewhere")
        self.assertEqual(self.poll()["new"], 1)
        self.drive.change(before, name="renamed.jpg")
        self.drive.change(elsewhere, parents=[self.folder])
        self.assertEqual(self.poll()["new"], 1)
        self.drive.change(before, content=b"edited")
        self.drive.change(elsewhere, trashed=True)
        self.assertEqual(self.poll()["new"], 1)
        self.assertEqual(self.poll(), {"found": 0, "new": 0, "young": 0})
        self.assertEqual(self.drive.count("files.list"), lists)
        self.assertEqual(self.photos(), [("IMG_2", None), ("before 😀/1.jpg", None), ("elsewhere.jpg", None), ("lagging.jpg", None),
                                         ("renamed.jpg", None)])
        self.assertEqual(self.db.value("SELECT max(seen) FROM studio.jobs"), 1)
        self.assertEqual(self.drive.count("files.media"), 5)
        self.assertEqual(self.drive.count("token"), 1)

    def test_a_node_that_dies_anywhere_loses_nothing_and_doubles_nothing(self):
        downloads = {"downloaded": 2, "kept": 1, "listed": 1, "taken": 1}
        jobs, doomed = {}, []
        for fault in downloads:
            folder = self.drive.folder(fault)
            self.user(fault, self.drive.connect(fault), folder)
            self.drive.put(fault, folder, f"{fault}.jpg", fault.encode())
            doomed.append(self.start(fault, fault=f"drive_poll.{fault}:1", node={"lease": "2s"}, queues={fault: 1}))
            jobs[fault] = self.job(fault, fault)
        for node in doomed:
            wait_for("the node to die", lambda node=node: node.process.poll() is not None)
        rescuer = self.start("rescuer", node={"lease": "2s"}, queues={fault: 1 for fault in downloads})
        for fault, job in jobs.items():
            with self.subTest(fault):
                self.assertEqual(self.ended(job)[0], "completed")
                self.assertEqual(self.db.execute("SELECT drive_file_name, seen FROM studio.jobs WHERE user_id = %s", (fault,)),
                                 [(f"{fault}.jpg", 1)])
                self.assertEqual(self.drive.count("files.media", fault), downloads[fault])
        whole = [p for p in self.spool.iterdir() if not p.name.startswith(".")]
        self.assertEqual(sorted(p.read_bytes() for p in whole), sorted(f.encode() for f in downloads))
        self.assertEqual(rescuer.stop()[0], 0)

    def test_troubles_of_one_file_are_told_and_those_that_pass_are_looked_at_again(self):
        self.start()
        self.db.execute("UPDATE rowcrew.job_type SET backoff_base_ms = 1, backoff_cap_ms = 10 WHERE name = 'drive_poll'")
        self.poll()
        self.poll()
        self.put("bad.jpg", "corrupted")
        self.assertEqual(self.poll()["problems"], 1)
        self.assertEqual(self.photos(), [("bad.jpg", "file_changed")])
        self.assertEqual(self.poll()["found"], 1)
        self.put("cut.jpg", "truncated")  # a connection that breaks off: the job is tried again by itself
        self.assertEqual(self.poll()["new"], 1)
        self.put("harmful.jpg", Refusal(403, "cannotDownloadAbusiveFile"))
        self.assertEqual(self.poll()["problems"], 1)
        self.assertEqual(self.poll(), {"found": 0, "new": 0, "young": 0})
        self.put("late.jpg", "slow")
        self.put("quick.jpg")
        self.assertEqual(self.poll(), {"found": 1, "new": 2, "young": 0, "problems": 1})
        self.assertEqual(self.poll(), {"found": 1, "new": 0, "young": 0})
        self.assertEqual(self.photos(), [("bad.jpg", None), ("cut.jpg", None), ("harmful.jpg", "file_unreadable"), ("late.jpg", None),
                                         ("quick.jpg", None)])
        self.assertEqual(len(list(self.spool.iterdir())), 4)

    def test_limits_wait_without_an_attempt_and_an_owner_who_left_is_told_once_per_look(self):
        node = self.start()
        self.poll()
        self.drive.trouble("changes.list", Refusal(403, "userRateLimitExceeded", "User Rate Limit Exceeded.", **{"Retry-After": "1"}))
        self.drive.trouble("files.list", Refusal(403, "rateLimitExceeded", "Rate Limit Exceeded.", **{"Retry-After": "1"}))
        self.poll()
        self.poll()
        self.assertEqual(self.db.value("SELECT max(attempts) FROM rowcrew.job_queue"), 1)
        self.assertEqual(len(node.wait_lines("drive_poll.closed", 2)), 2)
        self.drive.expire_access()
        self.assertEqual(self.poll()["found"], 0)
        self.assertEqual(self.drive.count("token"), 2)
        self.drive.trouble("changes.list", "html")
        self.db.execute("UPDATE rowcrew.job_type SET backoff_base_ms = 1, backoff_cap_ms = 10 WHERE name = 'drive_poll'")
        self.poll()

        self.drive.revoke(self.token)
        self.assertEqual(self.ended(self.job())[::2], ("failed", "google_drive_disconnected"))
        asked = self.drive.count("token")
        self.assertEqual(self.ended(self.job())[::2], ("failed", "google_drive_disconnected"))
        self.assertEqual(self.drive.count("token"), asked)
        self.assertEqual(self.db.value("SELECT poll_status FROM studio.drive_polls"), "google_drive_disconnected")
        self.drive.put("ada", self.folder, "meanwhile.jpg", b"meanwhile")
        self.db.execute("UPDATE studio.users SET drive_refresh_token = pgp_sym_encrypt(%s, %s)", (self.drive.connect("ada"), KEY))
        self.assertEqual(self.poll()["new"], 1)
        self.drive.change(self.folder, trashed=True)
        self.assertEqual(self.ended(self.job())[::2], ("failed", "folder_missing"))

    def test_polls_of_one_folder_on_two_nodes_at_once_all_complete(self):
        for i in range(30):
            self.drive.put("ada", self.folder, f"{i}.jpg", b"ada%d" % i * 20_000)
        for name in ("one", "two"):
            self.start(name, queues={"default": 1})
        for job in [self.job() for _ in range(4)]:
            self.assertEqual(self.ended(job)[0], "completed")
        self.assertEqual(self.db.value("SELECT count(*) FROM studio.jobs WHERE problem IS NULL"), 30)
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_attempt WHERE outcome <> 'snooze'"), 0)
        self.assertEqual(len(list(self.spool.iterdir())), 30)

    def test_a_hundred_photos_of_two_people_come_in_looks_of_their_own(self):
        self.drive.page_size = 30
        bob = self.drive.connect("bob")
        folder = self.drive.folder("bob")
        self.user("bob", bob, folder)
        for i in range(50):
            self.drive.put("ada", self.folder, f"{i}.jpg", b"ada%d" % i)
            self.drive.put("bob", folder, f"{i}.jpg", b"bob%d" % i)
        self.start()
        jobs = [self.job(user) for user in ("ada", "bob") for _ in range(2)]
        for job in jobs:
            self.assertEqual(self.ended(job)[0], "completed")
        self.poll("ada")
        self.poll("bob")
        self.assertEqual(self.db.execute("SELECT user_id, count(*) FROM studio.jobs GROUP BY 1 ORDER BY 1"), [("ada", 50), ("bob", 50)])
        for path, sha256 in self.db.execute("SELECT path, sha256 FROM studio.jobs"):
            self.assertEqual(hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest(), sha256)
        self.assertEqual(self.drive.count("token"), 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
