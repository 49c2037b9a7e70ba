#!/usr/bin/python3
"""rowcrew web: what a browser is told, and what it may do."""
import concurrent.futures
import contextlib
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, FleetTest, run, wait_for, with_user  # noqa: E402
from support.proxy import Proxy  # noqa: E402

NOBODY = "0190b0d4-7c5a-7000-8000-000000000000"


class Page:
    """One rowcrew web, and what a browser would ask it."""

    def __init__(self, url, *options):
        self.out = tempfile.NamedTemporaryFile("w+", prefix="rowcrew-web-", suffix=".log")
        self.process = subprocess.Popen([str(BIN / "rowcrew"), "--database", url, "web", "--listen", "127.0.0.1:0", "--log", "json", *options],
                                        stdout=self.out, stderr=subprocess.STDOUT)
        found = wait_for("its address", lambda: re.search(r"(http://[^/]+/)(?:#token=(\S+))?\n", self.output()))
        self.address, self.token = found[1], found[2]

    def output(self):
        return pathlib.Path(self.out.name).read_text()

    def lines(self, event):
        found = []
        for line in self.output().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return [line for line in found if line["event"] == event]

    def fetch(self, path, body=None, token=..., method=None):
        """(status, headers, body)"""
        token = self.token if token is ... else token
        request = urllib.request.Request(self.address + path, method=method, data=None if body is None else json.dumps(body).encode())
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read().decode()

    def get(self, name, /, **query):
        status, _, body = self.fetch(f"api/{name}?{urllib.parse.urlencode(query)}")
        if status != 200:
            raise AssertionError(f"{name}: {status} {body}")
        return json.loads(body)

    def refused(self, path, body=None, **more):
        status, _, text = self.fetch(path, body, **more)
        return status, json.loads(text)["error"]

    def act(self, name, /, **body):
        status, _, text = self.fetch(f"api/{name}", body)
        if status != 200:
            raise AssertionError(f"{name}: {status} {text}")
        return json.loads(text)["answer"]

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


class Looking(FleetTest):
    def setUp(self):
        super().setUp()
        self.pages = []

    def tearDown(self):
        for page in self.pages:
            page.process.kill()
            page.process.wait()
        super().tearDown()

    def page(self, *options, url=None):
        self.pages.append(Page(url or self.db.url, *options))
        return self.pages[-1]

    def add(self, **columns):
        names = ", ".join(columns)
        marks = ", ".join(["%s"] * len(columns))
        return self.db.value(f"INSERT INTO rowcrew.job_queue ({names}) VALUES ({marks}) RETURNING id", tuple(columns.values()))

    def test_the_page_is_anybodys_but_nothing_of_the_database_is(self):
        page = self.page()
        status, headers, body = page.fetch("", token=None)
        self.assertEqual(status, 200)
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        self.assertIn("rowcrew", body)
        for name in re.findall(r'(?:src|href)="/?([^"#:]+)"', body):
            self.assertEqual(page.fetch(name, token=None)[0], 200, name)
        for token in (None, "", "rc_x", page.token[:-1], page.token + "x"):
            for path in ("fleet", "jobs", f"job?job={NOBODY}", "limits", "limit?name=x", "schedules", "audit", "nothing"):
                self.assertEqual(page.refused("api/" + path, token=token), (401, "unauthorized"), (token, path))
            self.assertEqual(page.refused("api/cancel", {"job": NOBODY}, token=token), (401, "unauthorized"))
        self.assertNotIn(page.token, page.output().split("\n", 1)[1], "the log must not tell the token")

    def test_it_shows_what_the_commands_print(self):
        self.node(name="first", queues={"default": 4}).ready()
        failed = self.add(job_type="fail", queue="default", tenant="<b>acme</b>", max_attempts=1)
        waiting = self.add(job_type="noop", queue="nobodys")
        later = self.db.value("SELECT rowcrew.enqueue('noop', p_scheduled_at => now() + interval '1 day')")
        self.db.execute("SELECT rowcrew.limit_set('tenants', p_by => 'tenant', p_running => 3)")
        limited = self.add(job_type="noop", queue="nobodys", tenant="<b>acme</b>")
        self.db.execute("INSERT INTO rowcrew.schedule (name, cron, job_type) VALUES ('nightly', '0 3 * * *', 'noop')")
        wait_for("it to fail", lambda: self.db.value("SELECT status FROM rowcrew.job_queue WHERE id = %s", (failed,)) == "failed")
        page = self.page()
        fleet = page.get("fleet")
        self.assertEqual((fleet["acts"], fleet["database"]), (False, self.db.name))
        self.assertEqual([n["name"] for n in fleet["status"]["nodes"]], ["first"])
        queues = {q["name"]: q for t in fleet["status"]["tables"] for q in t["queues"]}
        self.assertEqual((queues["nobodys"]["ready"], queues["default"]["parked"]["scheduled"]), (1, 1))
        self.assertEqual([j["job"] for j in page.get("jobs")["jobs"]], [limited, later, waiting, failed])
        found = page.get("jobs", status="failed", tenant="<b>acme</b>", limit=1)["jobs"]
        self.assertEqual([(j["job"], j["error_code"] is not None) for j in found], [(failed, True)])
        told = page.get("job", job=failed)
        self.assertEqual((told["why"]["reason"], [a["outcome"] for a in told["attempts"]], told["attempts"][0]["node"]), ("failed", ["failed"], "first"))
        self.assertEqual(told["line"], run([BIN / "rowcrew", "--database", self.db.url, "why", failed]).stdout.strip())
        self.assertEqual([(x["name"], x["running"]) for x in page.get("limits")["limits"]], [("tenants", 3)])
        self.assertEqual(page.get("limit", name="tenants")["keys"][0]["key"], "tenants:<b>acme</b>")
        self.assertEqual([s["due"][11:] for s in page.get("schedules")["schedules"] if s["name"] == "nightly"], ["03:00:00Z"])
        self.assertEqual(page.get("audit")["acts"][0]["action"], "setting.insert")
        wait_for("the minute's bucket", lambda: sum(m["failed"] for m in page.get("fleet")["minutes"]) == 1)

    def test_it_shows_jobs_of_adopted_tables(self):
        self.db.execute("CREATE TABLE public.orders (id int PRIMARY KEY, status text NOT NULL DEFAULT 'pending', kind text NOT NULL DEFAULT 'noop')")
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write("schema: public\ntable: orders\nkey: id\ncolumns: {status: status, job_type: kind}\n"
                       "states: {pending: pending, processing: running, completed: done, failed: failed}\nold_worker: none\n")
            file.flush()
            run([BIN / "rowcrew", "--database", self.db.url, "adopt", "--map", file.name])
        self.db.execute("INSERT INTO public.orders (id) VALUES (7)")
        page = self.page("--acts")
        self.assertEqual([a["name"] for a in page.get("fleet")["status"]["adopted"]], ["public_orders"])
        self.assertEqual([j["job"] for j in page.get("jobs", table="public_orders")["jobs"]], ["public_orders:7"])
        self.assertEqual(page.get("job", job="public_orders:7")["why"]["details"]["table"], "public_orders")
        self.node(queues={"default": 1}).ready()
        self.db.execute("INSERT INTO public.orders (id, kind) VALUES (6, 'fail')")
        wait_for("its executions", lambda: [a["error_code"] for a in page.get("job", job="public_orders:6")["attempts"]])
        self.db.execute("INSERT INTO public.orders (id, kind) VALUES (9, 'nobodys')")
        self.assertEqual(page.act("cancel", job="public_orders:9"), "requested")
        self.assertEqual(page.refused("api/redrive", {"job": "public_orders:7"}), (400, "bad_value"))
        for job in ("public_orders:8", "public_orders:x", "nothing:7"):
            self.assertEqual(page.refused("api/job?" + urllib.parse.urlencode({"job": job})), (404, "not_found"))

    def test_without_acts_it_changes_nothing(self):
        job = self.add(job_type="noop")
        page = self.page()
        for name, body in (("cancel", {"job": job}), ("redrive", {"job": job}), ("pause", {"scope": "queue", "name": "default"}),
                           ("resume", {"scope": "queue", "name": "default"})):
            self.assertEqual(page.refused("api/" + name, body), (403, "read_only"))
        self.assertEqual((self.db.counts(), self.db.value("SELECT count(*) FROM rowcrew.pause")), ({"pending": 1}, 0))

    def test_acts_are_done_audited_and_logged(self):
        job = self.add(job_type="noop")
        failed = self.add(job_type="noop")
        self.db.execute("UPDATE rowcrew.job_queue SET status = 'failed' WHERE id = %s", (failed,))
        page = self.page("--acts")
        self.assertTrue(page.get("fleet")["acts"])
        self.assertEqual(page.act("pause", scope="queue", name="default", reason="moving house", for_ms=3600000), "paused")
        self.assertEqual([(p["scope"], p["name"], p["reason"]) for p in page.get("fleet")["pauses"]], [("queue", "default", "moving house")])
        self.assertEqual(page.act("cancel", job=job, reason="not needed"), "cancelled")
        self.assertEqual(page.act("cancel", job=job), "ended")
        self.assertEqual(page.act("redrive", job=failed), "redriven")
        self.assertEqual(page.act("redrive", job=failed), "pending")
        self.assertEqual(page.act("resume", scope="queue", name="default"), "resumed")
        self.assertEqual(page.act("resume", scope="queue", name="default"), "was not paused")
        self.assertEqual(self.db.counts(), {"cancelled": 1, "pending": 1})
        self.assertEqual([a["action"] for a in page.get("audit")["acts"][:5]], ["resume", "job.redrive", "job.cancel", "job.cancel", "pause"])
        wait_for("the log", lambda: len(page.lines("web.acted")) == 7)
        self.assertEqual(page.lines("web.acted")[1]["subject"], job)

    def test_what_cannot_be_asked_is_refused_with_a_sentence(self):
        page = self.page("--acts")
        for path, body, expected in (
                ("nothing", None, (404, "not_found")), ("api/nothing", None, (404, "not_found")), ("api/", None, (404, "not_found")),
                ("api/cancel", None, (405, "method_not_allowed")), ("api/jobs", {}, (405, "method_not_allowed")), ("", {}, (405, "method_not_allowed")),
                ("api/job", None, (400, "bad_value")), ("api/job?job=5", None, (400, "bad_value")), (f"api/job?job={NOBODY}", None, (404, "not_found")),
                ("api/jobs?limit=0", None, (400, "bad_value")), ("api/jobs?limit=501", None, (400, "bad_value")), ("api/jobs?colour=red", None, (400, "bad_value")),
                ("api/jobs?status=asleep", None, (400, "bad_value")), ("api/jobs?created_after=soon", None, (400, "bad_value")), ("api/jobs?type=%00", None, (400, "bad_query")),
                ("api/limit?name=nobody", None, (400, "bad_value")), ("api/limit?name=%ff", None, (400, "bad_value")),
                ("api/pause", {"scope": "queue", "name": "x", "reason": "a\0b"}, (400, "bad_value")), ("api/cancel", {"job": "x"}, (400, "bad_value")), ("api/cancel", {"job": NOBODY}, (404, "not_found")),
                ("api/cancel", [], (400, "bad_body")), ("api/pause", {"scope": "planet", "name": "x"}, (400, "bad_value")),
                ("api/cancel", {"job": NOBODY, "reason": "x" * 20000}, (413, "body_too_large"))):
            self.assertEqual(page.refused(path, body), expected, (path, body))

    def test_a_viewer_looks_and_an_operator_acts(self):
        job = self.add(job_type="noop")
        roles = {name: f"web_{name}_{self.db.name}" for name in ("viewer", "operator")}
        for name, role in roles.items():
            self.db.execute(f"CREATE ROLE {role} LOGIN IN ROLE rowcrew_{name}")
        try:
            page = self.page("--acts", url=with_user(self.db.url, roles["viewer"]))
            self.assertEqual(page.get("fleet")["role"], roles["viewer"])
            self.assertEqual(len(page.get("jobs")["jobs"]), 1)
            page.get("job", job=job), page.get("limits"), page.get("schedules")
            self.assertEqual(page.refused("api/audit"), (403, "forbidden"))
            self.assertEqual(page.refused("api/cancel", {"job": job}), (403, "forbidden"))
            operator = self.page("--acts", url=with_user(self.db.url, roles["operator"]))
            self.assertEqual(operator.act("cancel", job=job), "cancelled")
            self.assertEqual(operator.get("audit")["acts"][0]["actor"], roles["operator"])
        finally:
            for page in self.pages:
                page.close()
            for role in roles.values():
                self.db.execute(f"DROP ROLE {role}")

    def test_a_database_that_is_away_is_said_and_met_again(self):
        with Proxy(self.db.url) as proxy:
            page = self.page(url=proxy.url)
            page.get("fleet")
            proxy.black_hole()
            proxy.cut()
            wait_for("it to be said", lambda: page.refused("api/jobs")[0] == 503)
            proxy.restore()
            proxy.cut()
            wait_for("it to be back", lambda: page.fetch("api/jobs")[0] == 200)
            self.assertEqual(page.close(), 0)

    def test_texts_without_end_do_not_become_lists_without_end(self):
        self.db.execute("CREATE TABLE public.orders (id int PRIMARY KEY, status text NOT NULL DEFAULT 'pending', kind text, whose text, error text)")
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write("schema: public\ntable: orders\nkey: id\ncolumns: {status: status, job_type: kind, tenant: whose, error_message: error}\n"
                       "states: {pending: pending, processing: running, completed: done, failed: failed}\nold_worker: none\n")
            file.flush()
            run([BIN / "rowcrew", "--database", self.db.url, "adopt", "--map", file.name])
        self.db.execute("INSERT INTO public.orders SELECT n, 'failed', x, x, x FROM generate_series(1, 20) n, repeat('<b>', 100000) x")
        job = self.add(job_type="noop")
        self.db.execute("UPDATE rowcrew.job_queue SET status = 'failed', error_code = repeat('c', 300000), error_message = repeat('m', 300000)")
        page = self.page()
        for query in ("table=public_orders", "status=failed"):
            status, _, body = page.fetch("api/jobs?" + query)
            self.assertEqual(status, 200, body)
            self.assertLess(len(body), 100_000)
        self.assertEqual(page.get("jobs", status="failed")["jobs"][0]["job"], job)
        self.assertEqual(page.get("jobs", status="failed")["jobs"][0]["error_message"], "m" * 2000)

    def test_many_browsers_that_idle_keep_nobody_out(self):
        page = self.page()
        port = urllib.parse.urlsplit(page.address).port
        with contextlib.ExitStack() as idle:
            for _ in range(64):
                one = idle.enter_context(socket.create_connection(("127.0.0.1", port)))
                one.sendall(b"GET /say.js HTTP/1.1\r\nHost: h\r\n\r\n")
                self.assertIn(b" 200 ", one.recv(4096))
            wait_for("room", lambda: page.fetch("api/fleet")[0] == 200, 5)

    def test_many_who_look_at_a_slow_database_read_it_once(self):
        self.db.execute("CREATE SEQUENCE public.readings")
        self.db.execute("CREATE OR REPLACE FUNCTION rowcrew.clock() RETURNS timestamptz LANGUAGE plpgsql STABLE AS "
                        "$$ BEGIN PERFORM nextval('public.readings'), pg_sleep(0.05); RETURN now(); END $$")
        readings = lambda: self.db.value("SELECT last_value FROM public.readings")
        page = self.page()

        def next_reading():
            before = readings()
            wait_for("the answer to be old", lambda: page.get("fleet") and readings() > before)
            return readings() - before

        next_reading()
        one = next_reading()
        with concurrent.futures.ThreadPoolExecutor(30) as browsers:
            before, began = readings(), time.monotonic()
            end = began + 4  # long enough for three answers to become old

            def look(_):
                found = set()
                while time.monotonic() < end:
                    found.add(page.fetch("api/fleet")[0])
                return found

            self.assertEqual(set().union(*browsers.map(look, range(30))), {200})
            took = time.monotonic() - began
        self.assertLessEqual(readings() - before, one * (took + 1))

    def test_a_token_of_ones_own_is_not_printed(self):
        with tempfile.NamedTemporaryFile("w", suffix=".token") as file:
            file.write("a-token-of-ones-own\n")
            file.flush()
            page = self.page("--token-file", file.name)
            self.assertIsNone(page.token)
            self.assertNotIn("a-token-of", page.output())
            self.assertEqual(page.fetch("api/jobs", token="a-token-of-ones-own")[0], 200)
        for text in ("short", "two words of any length", ""):
            with tempfile.NamedTemporaryFile("w", suffix=".token") as file:
                file.write(text)
                file.flush()
                done = run([BIN / "rowcrew", "--database", self.db.url, "web", "--token-file", file.name], check=False)
                self.assertEqual(done.returncode, 64, done.stderr)
                self.assertNotIn("any length", done.stderr)


if __name__ == "__main__":
    unittest.main()
