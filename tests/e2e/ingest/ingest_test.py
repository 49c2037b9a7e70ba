#!/usr/bin/python3
"""The real rowcrew-ingest on a socket, with a login that is a member of rowcrew_ingest only."""
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

import psycopg2
import psycopg2.errors

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, SOURCE, URL, Database, run, wait_for  # noqa: E402

PROGRAM = str(BIN / "rowcrew-ingest")


def environment(**more):
    """Ours, without any setting of rowcrew."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ROWCREW_") and k != "NOTIFY_SOCKET"}
    return {**kept, **more}


def drop(database):
    """While autovacuum looks at the database, WITH (FORCE) is refused to all but superusers."""
    def dropped():
        try:
            database.drop()
            return True
        except psycopg2.errors.InsufficientPrivilege:
            return False
    wait_for("autovacuum to leave", dropped, every=0.2)


class Ingest:
    """One running rowcrew-ingest; its log is read from a file."""

    def __init__(self, url, command=(PROGRAM,), listen="127.0.0.1:0", wait=True, env=None, **popen):
        self.log = tempfile.NamedTemporaryFile("w+", prefix="rowcrew-ingest-", suffix=".log")
        self.process = subprocess.Popen(
            [*command, "--log", "json"], stdout=self.log, stderr=subprocess.STDOUT,
            env=environment(ROWCREW_DATABASE_URL=url, ROWCREW_INGEST_LISTEN=listen, **(env or {})), **popen)
        self.port = self.event("ingest.ready")["port"] if wait else None

    def text(self):
        return pathlib.Path(self.log.name).read_text()

    def lines(self, event):
        found = [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == event]

    def event(self, event):
        def look():
            if self.process.poll() is not None:
                raise AssertionError(f"rowcrew-ingest ended with {self.process.returncode}:\n{self.text()}")
            return self.lines(event)
        return wait_for(event, look)[0]

    def request(self, method, path, body=None, timeout=30, **headers):
        """(status, headers, body as JSON)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, answer.headers, json.loads(text) if text else None
        finally:
            connection.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()


class IngestTest(unittest.TestCase):
    def setUp(self):
        self.db = Database()
        self.login = self.db.name + "_login"
        self.db.execute(f"CREATE ROLE {self.login} LOGIN PASSWORD '{self.login}'; GRANT rowcrew_ingest TO {self.login};"
                        # Only so that the tests may end its sessions.
                        f"GRANT {self.login} TO current_user")
        self.url = self.as_login(self.db.url)
        self.running = []
        self.key = self.make_key("shop", "mail,*")

    def tearDown(self):
        for ingest in self.running:
            ingest.close()
        self.db.execute(f"DROP ROLE {self.login}")
        drop(self.db)

    def as_login(self, url):
        parts = urllib.parse.urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return urllib.parse.urlunsplit(parts._replace(netloc=f"{self.login}:{self.login}@{host}"))

    def make_key(self, name, job_types):
        return run([BIN / "rowcrew", "--database", self.db.url, "key", "create", "--name", name,
                    "--job-types", job_types]).stdout.strip()

    def start(self, *args, **more):
        self.running.append(Ingest(*(args or (self.url,)), **more))
        return self.running[-1]

    def post(self, ingest, body, key=None, **headers):
        text = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return ingest.request("POST", "/v1/jobs", text, Authorization=f"Bearer {key or self.key}",
                              Content_Type="application/json", **headers)

    def jobs(self):
        return self.db.value("SELECT count(*) FROM rowcrew.job_queue")

    def end_sessions(self):
        self.db.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", (self.login,))


class Requests(IngestTest):
    def test_a_job_is_accepted_and_there(self):
        ingest = self.start()
        status, headers, body = self.post(ingest, {"job_type": "mail", "payload": {"to": "ä"}})
        self.assertEqual(status, 202)
        self.assertEqual(headers["Content-Type"], "application/json")
        self.assertIs(body["created"], True)
        row = self.db.execute("SELECT job_type, payload, status, enqueued_by FROM rowcrew.job_queue WHERE id = %s",
                              (body["id"],))
        self.assertEqual(row, [("mail", {"to": "ä"}, "pending", self.login)])
        line = ingest.event("ingest.enqueued")
        self.assertEqual((line["job"], line["job_type"], line["key"]), (body["id"], "mail", "shop"))

    def test_refusals(self):
        ingest = self.start()
        good = {"job_type": "mail", "payload": {}}
        self.assertEqual(self.post(ingest, good, key="rc_unknown")[0], 401)
        status, headers, _ = ingest.request("POST", "/v1/jobs", "{}", Content_Type="application/json")
        self.assertEqual((status, headers["WWW-Authenticate"]), (401, 'Bearer realm="rowcrew"'))
        self.assertEqual(self.post(ingest, {"job_type": "command", "payload": {"entry": "x"}})[0], 403)
        status, _, body = self.post(ingest, {"job_type": "mail", "payload": {}, "prio": 1})
        self.assertEqual(status, 400)
        self.assertTrue(body["message"].startswith("prio: unknown field"), body)
        self.assertEqual(self.post(ingest, "{")[0], 400)
        self.assertEqual(self.post(ingest, good, Idempotency_Key="x" * 201)[0], 400)
        self.assertEqual(ingest.request("POST", "/v1/jobs", "a=b", Authorization=f"Bearer {self.key}",
                                        Content_Type="application/x-www-form-urlencoded")[0], 415)
        self.assertEqual(ingest.request("GET", "/nothing")[0], 404)
        status, headers, _ = ingest.request("GET", "/v1/jobs")
        self.assertEqual((status, headers["Allow"]), (405, "POST"))
        self.assertEqual(self.jobs(), 0)
        # An answer may be here before its line.
        wait_for("a line of each", lambda: {line["status"] for line in ingest.lines("ingest.refused")} == {400, 401, 403, 404, 405, 415})
        self.assertNotIn(self.key, ingest.text())
        self.assertNotIn("rc_unknown", ingest.text())

    def test_a_key_for_commands_may_enqueue_one(self):
        ingest = self.start()
        key = self.make_key("ops", "command")
        self.assertEqual(self.post(ingest, {"job_type": "command", "payload": {"entry": "x"}}, key=key)[0], 202)
        self.assertEqual(self.post(ingest, {"job_type": "mail", "payload": {}}, key=key)[0], 403)

    def test_a_revoked_key_is_unknown_at_once(self):
        ingest = self.start()
        self.assertEqual(self.post(ingest, {"job_type": "mail", "payload": {}})[0], 202)
        run([BIN / "rowcrew", "--database", self.db.url, "key", "revoke", "shop"])
        self.assertEqual(self.post(ingest, {"job_type": "mail", "payload": {}})[0], 401)

    def test_too_large_a_body_is_413_announced_or_chunked(self):
        ingest = self.start()
        text = json.dumps({"job_type": "mail", "payload": {"x": "y" * (1 << 20)}}).encode()
        self.assertEqual(self.post(ingest, text)[0], 413)
        connection = http.client.HTTPConnection("127.0.0.1", ingest.port, timeout=30)
        connection.request("POST", "/v1/jobs", iter([text[:100], text[100:]]), encode_chunked=True, headers={
            "Authorization": f"Bearer {self.key}", "Content-Type": "application/json", "Transfer-Encoding": "chunked"})
        self.assertEqual(connection.getresponse().status, 413)
        connection.close()
        fits = json.dumps({"job_type": "mail", "payload": {"x": "y" * 1_000_000}})
        self.assertEqual(self.post(ingest, fits)[0], 202)
        self.assertEqual(self.jobs(), 1)

    def test_one_idempotency_key_is_one_job_under_twenty_posts_at_once(self):
        ingest = self.start()
        with concurrent.futures.ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(
                lambda _: self.post(ingest, {"job_type": "mail", "payload": {}}, Idempotency_Key="order 17"), range(20)))
        self.assertEqual({status for status, _, _ in answers}, {202})
        self.assertEqual(len({body["id"] for _, _, body in answers}), 1)
        self.assertEqual(sum(body["created"] for _, _, body in answers), 1)
        self.assertEqual(self.jobs(), 1)


class DatabaseTrouble(IngestTest):
    def lock_key(self, once):
        """A transaction that holds the idempotency key until it ends."""
        other = psycopg2.connect(self.db.url)
        key_id = self.db.value("SELECT key_id FROM rowcrew.api_key WHERE name = 'shop'")
        other.cursor().execute("INSERT INTO rowcrew.job_unique (scope, key, job_table, job_id)"
                               " VALUES ('once:' || %s, %s, 'job_queue', gen_random_uuid())", (key_id, once))
        return other

    def wait_for_blocked(self):
        wait_for("the ingest to wait for the lock", lambda: self.db.value(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock'", (self.login,)) > 0,
            every=0.005)

    def let_in(self, allowed):
        with contextlib.closing(psycopg2.connect(URL)) as other:
            other.autocommit = True
            other.cursor().execute(f'ALTER DATABASE "{self.db.name}" ALLOW_CONNECTIONS {allowed}')

    def test_lost_sessions_are_replaced(self):
        ingest = self.start()
        self.assertEqual(self.post(ingest, {"job_type": "mail", "payload": {}})[0], 202)
        self.end_sessions()
        self.assertEqual(self.post(ingest, {"job_type": "mail", "payload": {}})[0], 202)
        self.assertEqual(self.jobs(), 2)

    def test_a_session_lost_in_the_middle_is_an_unknown_outcome_that_can_be_repeated(self):
        ingest = self.start()
        holder = self.lock_key("twice")
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            lost = threads.submit(self.post, ingest, {"job_type": "mail", "payload": {}}, Idempotency_Key="twice")
            self.wait_for_blocked()
            self.end_sessions()
            status, headers, body = lost.result()
        self.assertEqual((status, body["error"]), (503, "outcome_unknown"))
        self.assertIn("Retry-After", headers)
        holder.rollback()
        holder.close()
        self.assertEqual(self.post(ingest, {"job_type": "mail", "payload": {}}, Idempotency_Key="twice")[0], 202)
        self.assertEqual(self.jobs(), 1)

    def test_a_database_that_goes_away_and_comes_back(self):
        ingest = self.start()
        wait_for("readiness", lambda: ingest.request("GET", "/readyz")[0] == 200)
        self.let_in(False)
        self.end_sessions()
        status, headers, body = self.post(ingest, {"job_type": "mail", "payload": {}})
        self.assertEqual((status, body["error"]), (503, "unavailable"))
        self.assertIn("Retry-After", headers)
        wait_for("unreadiness", lambda: ingest.request("GET", "/readyz")[0] == 503)
        self.assertEqual(ingest.request("GET", "/healthz")[::2], (200, {"status": "ok"}))
        self.let_in(True)
        # Nobody sends a request meanwhile, as behind a load balancer.
        wait_for("readiness again", lambda: ingest.request("GET", "/readyz")[0] == 200)
        self.assertEqual(self.post(ingest, {"job_type": "mail", "payload": {}})[0], 202)
        self.assertEqual(self.jobs(), 1)
        ingest.event("db.reconnected")
        self.assertEqual(len(ingest.lines("db.unreachable")), 1)
        self.assertEqual(len(ingest.lines("db.reconnected")), 1)

    def test_a_start_without_a_database(self):
        nobody = socket.create_server(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        nobody.close()
        ingest = self.start(f"postgresql://x@127.0.0.1:{port}/x")
        self.assertEqual(ingest.request("GET", "/healthz")[0], 200)
        self.assertEqual(ingest.request("GET", "/readyz")[0], 503)
        self.assertEqual(self.post(ingest, {"job_type": "mail", "payload": {}})[0], 503)
        ingest.event("db.unreachable")
        self.assertEqual(ingest.stop(), 0)

    def test_a_database_without_the_schema(self):
        bare = Database(migrate=False)
        self.addCleanup(drop, bare)
        ingest = self.start(bare.url)
        self.assertIn("rowcrew migrate", ingest.event("ingest.not_set_up")["msg"])
        self.assertEqual(self.post(ingest, {"job_type": "mail", "payload": {}})[0], 503)
        self.assertEqual(ingest.request("GET", "/readyz")[0], 503)
        ingest.stop()  # its session would stand in the way of the migration's template
        run([BIN / "rowcrew", "--database", bare.url, "migrate"])
        ready = self.start(bare.url)
        wait_for("readiness", lambda: ready.request("GET", "/readyz")[0] == 200)

    def test_a_stop_lets_a_running_request_end(self):
        ingest = self.start()
        holder = self.lock_key("slow")
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            running = threads.submit(self.post, ingest, {"job_type": "mail", "payload": {}}, Idempotency_Key="slow")
            self.wait_for_blocked()
            ingest.process.send_signal(signal.SIGTERM)
            ingest.event("ingest.stopping")
            holder.rollback()
            self.assertEqual(running.result()[0], 202)
        holder.close()
        self.assertEqual(ingest.process.wait(timeout=30), 0)
        self.assertEqual(self.jobs(), 1)


class Process(IngestTest):
    def fails(self, *args, **env):
        return subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=30, env=environment(**env))

    def test_an_idle_one_stops_with_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            ingest = self.start()
            ingest.process.send_signal(number)
            self.assertEqual(ingest.process.wait(timeout=30), 0)

    def test_the_socket_of_a_service_manager_is_taken_over(self):
        listener = socket.create_server(("127.0.0.1", 0))
        descriptor = listener.fileno()
        ingest = self.start(self.url, pass_fds=(descriptor,), listen="127.0.0.1:1", command=(
            "/bin/bash", "-c", f'exec 3<&{descriptor}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "activate", PROGRAM))
        self.assertEqual(ingest.port, listener.getsockname()[1])
        self.assertEqual(self.post(ingest, {"job_type": "mail", "payload": {}})[0], 202)
        self.assertEqual(ingest.stop(), 0)
        listener.close()

    def test_the_service_manager_hears_ready_watchdog_and_stopping(self):
        with tempfile.TemporaryDirectory() as folder:
            manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            manager.settimeout(30)
            manager.bind(folder + "/notify")
            ingest = self.start(env={"NOTIFY_SOCKET": folder + "/notify", "WATCHDOG_USEC": "300000"})
            heard = ""
            while "READY=1" not in heard or heard.count("WATCHDOG=1") < 3:
                heard += manager.recv(4096).decode() + "\n"
            self.assertIn("STATUS=listening on 127.0.0.1", heard)
            self.assertEqual(ingest.stop(), 0)
            while "STOPPING=1" not in heard:
                heard += manager.recv(4096).decode() + "\n"
            manager.close()

    def test_wrong_usage_and_wrong_configuration_have_their_exit_codes(self):
        self.assertEqual(self.fails("--prot", "8080").returncode, 64)
        self.assertEqual(self.fails("extra").returncode, 64)
        missing = self.fails()
        self.assertEqual(missing.returncode, 78)
        self.assertRegex(missing.stderr, r"^rowcrew-ingest: database\.url: missing.*\n$")
        wrong = self.fails(ROWCREW_DATABASE_URL=self.url, ROWCREW_INGEST_MAX_BODY="much")
        self.assertEqual(wrong.returncode, 78)
        self.assertIn("ROWCREW_INGEST_MAX_BODY", wrong.stderr)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            busy = self.fails(ROWCREW_DATABASE_URL=self.url,
                              ROWCREW_INGEST_LISTEN=f"127.0.0.1:{taken.getsockname()[1]}")
        self.assertEqual(busy.returncode, 78)
        self.assertRegex(busy.stderr, r"^rowcrew-ingest: ingest\.listen: .*127\.0\.0\.1:\d+")

    def test_the_annotated_file_holds_every_key_at_its_default(self):
        defaults = self.fails("--check-config", ROWCREW_DATABASE_URL="postgresql://u:hush@/x")
        self.assertEqual(defaults.returncode, 0, defaults.stderr)
        self.assertIn("database.url = (set)\n", defaults.stdout)
        self.assertNotIn("hush", defaults.stdout)
        file = SOURCE / "etc" / "ingest.yaml"
        written = self.fails("--config", str(file), "--check-config", ROWCREW_DATABASE_URL="postgresql:///x")
        self.assertEqual(written.stdout, defaults.stdout, written.stderr)
        keys = set(re.findall(r"^(\S+) =", defaults.stdout, re.M)) - {
            # Secrets and files of secrets have no default that could be written down.
            "database.url", "database.password", "database.direct_url",
            "database.ca_file", "database.certificate_file", "database.key_file"}
        sections = {}
        for line in file.read_text().splitlines():
            if match := re.match(r"^(\w+):$", line):
                section = match[1]
            elif match := re.match(r"^  (\w+): ", line):
                sections.setdefault(section, []).append(match[1])
        self.assertEqual({f"{section}.{key}" for section, names in sections.items() for key in names}, keys)

    def test_version_and_help(self):
        self.assertRegex(self.fails("--version").stdout, r"^rowcrew-ingest \d+\.\d+\.\d+\n$")
        self.assertIn("--check-config", self.fails("--help").stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
