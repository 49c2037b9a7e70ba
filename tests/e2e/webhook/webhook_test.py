#!/usr/bin/python3
"""Webhooks from the event to the receiver: a real node sends, `rowcrew listen` verifies."""
import http.server
import io
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, FleetTest, run, wait_for  # noqa: E402

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER_SECRET = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
KINDS = {"command": {"allow": {"yes": {"argv": ["/bin/true"]}, "no": {"argv": ["/bin/false"]}}},
         "webhook": {"retry_schedule": ["100ms", "100ms", "500ms", "2s", "5s"], "timeout": "5s"}}


class Listener:
    """One `rowcrew listen`; its lines are read as they come."""

    def __init__(self, *arguments, secret=SECRET):
        self.process = subprocess.Popen([str(BIN / "rowcrew"), "listen", *arguments], stdout=subprocess.PIPE, text=True,
                                        env={"ROWCREW_LISTEN_SECRET": secret, "PATH": os.environ["PATH"]})
        first = self.process.stdout.readline()
        self.url = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", first).group(1)
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_lines(self, count, within=30.0):
        wait_for(f"{count} lines of listen, got {self.lines}", lambda: len(self.lines) >= count, within)
        return self.lines

    def stop(self):
        """Returns all lines, the summary last."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)
        self.reader.join(timeout=10)
        self.process.stdout.close()
        return self.lines


class Receiver:
    """Answers every POST with one status and keeps what came."""

    def __init__(self, status, headers=()):
        self.got = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((dict(self.headers), body))
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("content-length", "3")
                self.end_headers()
                self.wfile.write(b"bye")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Webhooks(FleetTest):
    def listen(self, *arguments, **more):
        listener = Listener(*arguments, **more)
        self.addCleanup(listener.stop)
        return listener

    def sender(self, name="sender", **settings):
        return self.node(name, kinds=KINDS, egress={"allow": ["127.0.0.1"]}, **settings).ready()

    def endpoint(self, url, events="{*}", secret=SECRET):
        return self.db.value("INSERT INTO rowcrew.webhook_endpoints (url, events, secret) VALUES (%s, %s, %s) "
                             "RETURNING endpoint_id::text", (url, events, secret))

    def emit(self, event="photo.ready", data="{}"):
        self.db.execute("SELECT rowcrew.emit(%s, %s::jsonb, 'job_queue', rowcrew.uuid7(), 'generation')", (event, data))

    def delivery(self):
        return self.db.execute("SELECT status, attempts, response_status, error_code FROM rowcrew.webhook_deliveries")

    def wait_delivery(self, *expected):
        wait_for(f"the delivery to be {expected}, is {self.delivery()}", lambda: self.delivery() == [expected])

    def webhook_id(self):
        return "msg_" + self.db.value("SELECT replace(delivery_id::text, '-', '') FROM rowcrew.webhook_deliveries")

    def test_a_job_that_completes_is_told_to_the_receiver_who_can_verify_it(self):
        listener = self.listen()
        self.endpoint(listener.url + "/hooks?a=b")
        self.sender()
        self.enqueue("command", payload='{"entry": "yes"}')
        line = listener.wait_lines(1)[0]
        self.assertRegex(line, rf"^20\S+Z job\.completed {self.webhook_id()} verified$")
        self.wait_delivery("delivered", 1, 204, None)
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, payload, max_attempts) "
                        "VALUES ('command', '{\"entry\": \"no\"}', 1)")
        self.wait_finished()
        self.assertIn("job.failed", listener.wait_lines(2)[1])
        # The webhook jobs' own ends are told to nobody.
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE job_type = 'webhook'"), 2)
        self.assertEqual(listener.stop()[-1], "2 deliveries: 2 verified, 0 repeated, 0 refused")

    def test_a_receiver_that_fails_at_first_gets_the_same_message_again(self):
        listener = self.listen("--fail", "2", "--count", "3")
        self.endpoint(listener.url)
        self.sender()
        self.emit()
        lines = listener.wait_lines(4)
        self.wait_delivery("delivered", 3, 204, None)
        self.assertEqual([self.webhook_id() in line for line in lines], [True, True, True, False])
        self.assertTrue(lines[2].endswith("verified, delivery 3 of this id"), lines[2])
        self.assertEqual(lines[3], "3 deliveries: 3 verified, 2 repeated, 0 refused")
        self.assertEqual(listener.process.wait(timeout=10), 0)
        self.assertEqual(self.db.execute("SELECT failing_since FROM rowcrew.webhook_endpoints"), [(None,)])

    def test_an_endpoint_that_is_down_gets_its_delivery_when_it_is_back(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.endpoint(f"http://127.0.0.1:{port}/")
        self.sender()
        self.emit()
        wait_for("a failed attempt", lambda: self.delivery()[0][0::3] == ("retrying", "http_connect"))
        self.assertIsNotNone(self.db.value("SELECT failing_since FROM rowcrew.webhook_endpoints"))
        listener = self.listen("--port", str(port))
        self.assertIn(f"{self.webhook_id()} verified", listener.wait_lines(1)[0])
        wait_for("the delivery", lambda: self.delivery()[0][0] == "delivered")
        self.assertIsNone(self.db.value("SELECT failing_since FROM rowcrew.webhook_endpoints"))

    def test_another_secret_is_refused_and_during_rotation_both_are_good(self):
        old = self.listen()
        endpoint = self.endpoint(old.url)
        self.db.execute("UPDATE rowcrew.webhook_endpoints SET secret = %s", (OTHER_SECRET,))
        self.sender()
        self.emit()
        self.assertTrue(old.wait_lines(1)[0].endswith(" verified"))
        self.wait_delivery("delivered", 1, 204, None)
        self.db.execute("UPDATE rowcrew.webhook_endpoints SET previous_secret = NULL")
        self.emit("photo.late")
        self.assertIn("photo.late", old.wait_lines(2)[1])
        self.assertIn("not by this secret", old.lines[1])
        wait_for("a refusal", lambda: (401,) in self.db.execute("SELECT response_status FROM rowcrew.webhook_deliveries"))
        self.db.execute("DELETE FROM rowcrew.webhook_endpoints WHERE endpoint_id = %s", (endpoint,))
        self.wait_finished()
        self.assertEqual(self.db.execute("SELECT status, error_message FROM rowcrew.webhook_deliveries "
                                         "WHERE event = 'photo.late'"),
                         [("cancelled", "The endpoint was deleted.")])

    def test_410_disables_the_endpoint(self):
        receiver = Receiver(410)
        self.addCleanup(receiver.close)
        self.endpoint(receiver.url)
        self.sender()
        self.emit()
        self.wait_delivery("failed", 1, 410, "endpoint_gone")
        self.assertEqual(self.db.execute("SELECT enabled, disabled_reason FROM rowcrew.webhook_endpoints"),
                         [(False, "The receiver answered 410: it wants no more events.")])
        self.assertEqual(self.db.value("SELECT response_excerpt FROM rowcrew.webhook_deliveries"), "bye")
        headers, body = receiver.got[0]
        self.assertEqual({name.lower() for name in headers},
                         {"host", "user-agent", "content-type", "content-length", "webhook-id", "webhook-timestamp",
                          "webhook-signature"} | ({"accept"} & {name.lower() for name in headers}))
        self.assertEqual(body.decode(), self.db.value("SELECT body FROM rowcrew.webhook_deliveries"))
        self.emit()
        self.assertEqual(len(self.delivery()), 1)

    def test_a_redirection_is_not_followed_and_every_attempt_sends_the_same_bytes(self):
        target = Receiver(200)
        receiver = Receiver(307, [("location", target.url)])
        self.addCleanup(target.close)
        self.addCleanup(receiver.close)
        self.endpoint(receiver.url)
        self.sender()
        self.emit(data='{"note": "na\u00efve \u2713"}')
        wait_for("three attempts", lambda: len(receiver.got) >= 3)
        self.assertEqual(len({body for _, body in receiver.got}), 1)
        self.assertEqual(len({headers["webhook-id"] for headers, _ in receiver.got}), 1)
        self.assertEqual(json.loads(receiver.got[0][1])["data"]["note"], "na\u00efve \u2713")
        self.assertEqual(target.got, [])
        wait_for("a record", lambda: self.delivery()[0][2:] == (307, "http_307"))

    def test_an_address_inside_is_forbidden(self):
        self.endpoint("http://10.0.0.1/")
        self.sender()
        self.emit()
        self.wait_delivery("failed", 1, None, "endpoint_forbidden")
        self.assertEqual(self.db.value("SELECT error_message FROM rowcrew.webhook_deliveries"),
                         "Nothing was sent: the endpoint's URL leads where webhooks must not go.")

    def test_a_node_that_dies_after_sending_sends_the_same_message_again(self):
        listener = self.listen()
        self.endpoint(listener.url)
        first = self.node("first", kinds=KINDS, egress={"allow": ["127.0.0.1"]}, fault="webhook.sent:1",
                          node={"lease": "2s"}).ready()
        self.emit()
        self.assertEqual(first.exited(), -signal.SIGKILL)
        self.sender("second", node={"lease": "2s"})
        self.assertTrue(listener.wait_lines(2)[1].endswith("verified, delivery 2 of this id"), listener.lines)
        self.wait_delivery("delivered", 1, 204, None)

    def test_copied_events_are_delivered_too(self):
        listener = self.listen("--count", "3")
        self.endpoint(listener.url)
        self.sender()
        rows = "".join(f"photo.ready\tjob_queue\t018f2f6e-7c5a-7b3c-9d1e-2f3a4b5c6d7{i}\tgeneration\n" for i in range(3))
        with self.db.connection.cursor() as cursor:
            cursor.copy_expert("COPY rowcrew.job_event (event, job_table, job_id, job_type) FROM STDIN", io.StringIO(rows))
        self.assertEqual(listener.wait_lines(4)[-1], "3 deliveries: 3 verified, 0 repeated, 0 refused")
        self.wait_finished()


class Listening(unittest.TestCase):
    def test_what_is_wrong_on_the_command_line_is_told_without_the_secret(self):
        with tempfile.NamedTemporaryFile("w", suffix=".secret") as file:
            file.write("whsec_verysecretbutnokey")
            file.flush()
            done = run([BIN / "rowcrew", "listen", "--secret-file", file.name], check=False)
        self.assertEqual(done.returncode, 64)
        self.assertIn("--secret-file", done.stderr)
        self.assertNotIn("verysecret", done.stderr)
        self.assertEqual(run([BIN / "rowcrew", "listen"], check=False, env={"PATH": os.environ["PATH"]}).returncode, 64)

    def test_json_lines_are_objects_from_the_first_to_the_last(self):
        process = subprocess.Popen([str(BIN / "rowcrew"), "listen", "--json"], stdout=subprocess.PIPE, text=True,
                                   env={"ROWCREW_LISTEN_SECRET": f"{SECRET} {OTHER_SECRET}"})
        self.assertRegex(json.loads(process.stdout.readline())["listening"], r"^http://127\.0\.0\.1:\d+$")
        process.send_signal(signal.SIGINT)
        self.assertEqual([json.loads(line) for line in process.stdout],
                         [{"deliveries": 0, "verified": 0, "repeated": 0, "refused": 0}])
        self.assertEqual(process.wait(timeout=10), 0)
        process.stdout.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
