#!/usr/bin/python3
"""Webhooks that come in: from Stripe's signature over the real rowcrew-ingest to a function of the application, once."""
import hashlib
import hmac
import json
import pathlib
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from ingest_test import PROGRAM, IngestTest  # noqa: E402
from support.fleet import BIN, Node, run, wait_for  # noqa: E402

SECRET = "whsec_of_stripe"
SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.webhook_events (event_id text PRIMARY KEY, event_type text NOT NULL, payload jsonb NOT NULL, applied integer NOT NULL DEFAULT 1);
CREATE FUNCTION shop.stripe_event(args jsonb) RETURNS void LANGUAGE sql AS $$
  INSERT INTO shop.webhook_events (event_id, event_type, payload) VALUES (args ->> 'id', args ->> 'type', args -> 'event')
  ON CONFLICT (event_id) DO UPDATE SET applied = shop.webhook_events.applied + 1 $$;
"""


class Hooks(IngestTest):
    def setUp(self):
        super().setUp()
        self.db.execute(SCHEMA)
        self.folder = tempfile.TemporaryDirectory(prefix="rowcrew-hooks-")
        self.addCleanup(self.folder.cleanup)

    def hook(self, key=None, **more):
        """A running ingest with the hook "stripe"."""
        hook = {"scheme": "stripe", "secret": SECRET, "api_key": key or self.make_key("stripe", "sql"), "job_type": "sql",
                "entry": "stripe_event", **more}
        file = pathlib.Path(self.folder.name) / "ingest.yaml"
        file.write_text(json.dumps({"hooks": {"stripe": hook}}))
        return self.start(self.url, command=(PROGRAM, "--config", str(file)))

    def send(self, ingest, event, secret=SECRET, age=0, path="/v1/hooks/stripe"):
        body = event if isinstance(event, str) else json.dumps(event)
        stamp = str(int(time.time()) - age)
        mac = hmac.new(secret.encode(), f"{stamp}.{body}".encode(), hashlib.sha256).hexdigest()
        return ingest.request("POST", path, body, Content_Type="application/json; charset=utf-8",
                              Stripe_Signature=f"t={stamp},v1={mac}")

    def events(self):
        return self.db.execute("SELECT event_id, event_type, applied FROM shop.webhook_events ORDER BY 1")

    def test_an_event_reaches_the_application_once_however_often_it_is_sent(self):
        ingest = self.hook()
        node = Node(self.db, kinds={"sql": {"allow": {"stripe_event": {"function": "shop.stripe_event"}}}}).ready()
        self.addCleanup(node.close)
        paid = {"id": "evt_1", "type": "invoice.paid", "data": {"object": {"amount": 12345678901234567890}}}
        answers = [self.send(ingest, paid) for _ in range(3)] + [self.send(ingest, {"id": "evt_2", "type": "invoice.created"})]
        self.assertEqual([status for status, _, _ in answers], [202] * 4)
        self.assertEqual([body["created"] for _, _, body in answers], [True, False, False, True])
        wait_for("both events", lambda: len(self.events()) == 2 and self.db.unfinished() == 0)
        self.assertEqual(self.send(ingest, paid)[2]["created"], False)  # after its job has ended, too
        self.assertEqual(self.events(), [("evt_1", "invoice.paid", 1), ("evt_2", "invoice.created", 1)])
        self.assertEqual(self.db.value("SELECT payload #>> '{data,object,amount}' FROM shop.webhook_events WHERE event_id = 'evt_1'"),
                         "12345678901234567890")

    def test_what_is_not_signed_by_the_sender_now_is_refused_and_no_secret_is_logged(self):
        ingest = self.hook()
        event = {"id": "evt_1", "type": "invoice.paid", "card": "4242424242424242"}
        self.assertEqual(self.send(ingest, event, secret="whsec_guessed")[0], 401)
        self.assertEqual(self.send(ingest, event, age=600)[0], 401)
        self.assertEqual(ingest.request("POST", "/v1/hooks/stripe", json.dumps(event))[0], 401)
        self.assertEqual(self.send(ingest, event, path="/v1/hooks/other")[0], 404)
        self.assertEqual(ingest.request("GET", "/v1/hooks/stripe")[0], 405)
        self.assertEqual(self.send(ingest, "[]")[0], 400)
        self.assertEqual(self.jobs(), 0)
        wait_for("a line of each", lambda: len(ingest.lines("ingest.refused")) == 6)
        for secret in (SECRET, "4242424242424242", "whsec_guessed"):
            self.assertNotIn(secret, ingest.text())

    def test_while_a_secret_is_rolled_both_are_taken(self):
        ingest = self.hook(previous_secret="whsec_before")
        self.assertEqual(self.send(ingest, {"id": "evt_1", "type": "a"}, secret="whsec_before")[0], 202)
        self.assertEqual(self.send(ingest, {"id": "evt_2", "type": "a"})[0], 202)

    def test_events_that_nobody_wants_are_taken_and_dropped(self):
        ingest = self.hook(events=["invoice.paid"])
        status, _, body = self.send(ingest, {"id": "evt_1", "type": "charge.updated"})
        self.assertEqual((status, body), (200, {"ignored": True}))
        self.assertEqual(self.send(ingest, {"id": "evt_2", "type": "invoice.paid"})[0], 202)
        self.assertEqual(self.jobs(), 1)

    def test_a_key_that_is_revoked_makes_the_sender_come_again(self):
        ingest = self.hook()
        run([BIN / "rowcrew", "--database", self.db.url, "key", "revoke", "stripe"])
        status, headers, _ = self.send(ingest, {"id": "evt_1", "type": "a"})
        self.assertEqual((status, headers["Retry-After"]), (503, "60"))
        line = wait_for("a line", lambda: ingest.lines("ingest.refused"))[0]
        self.assertEqual((line["level"], line["reason"], line["hook"]), ("warning", "hook_unusable", "stripe"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
