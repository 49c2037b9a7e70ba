#!/usr/bin/python3
"""Headshots by Magic Hour: a real node on a stand-in."""
import json
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest, wait_for  # noqa: E402
from support.image_apis import png  # noqa: E402
from support.magic_hour import MagicHour  # noqa: E402


class MagicHourHeadshots(FleetTest):
    def setUp(self):
        super().setUp()
        self.api = MagicHour()
        self.addCleanup(self.api.close)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-headshots-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        (self.folder / "source.png").write_bytes(png("source", 80))
        self.db.execute("INSERT INTO rowcrew.preset (name, workflow) VALUES ('headshot', '{}')")

    def start(self, name="node", fault=None, key="mh-right"):
        magic_hour = {"api_key": key, "base_url": self.api.url, "poll_every": "100ms", "credit": "0.0012"}
        return self.node(name, program="rowcrewd", fault=fault, node={"lease": "2s"}, kinds={"generation": {"magic_hour": magic_hour}},
                         egress={"allow": ["127.0.0.1"]})

    def ask(self):
        target = self.folder / f"out-{len(list(self.folder.iterdir()))}.png"
        inputs = {"source": str(self.folder / "source.png"), "target": str(target), "preset": "headshot"}
        self.db.execute("INSERT INTO rowcrew.processing_jobs (type, provider, inputs) VALUES ('generation', 'magic_hour', %s)", (json.dumps(inputs),))
        target.parent.joinpath(target.name + ".asked").touch()
        return target

    def finished(self):
        self.wait_finished(30, "processing_jobs")
        return self.db.execute("SELECT status, error_code, cost_micros FROM rowcrew.processing_jobs ORDER BY created_at DESC, id DESC LIMIT 1")[0]

    def tearDown(self):
        try:
            self.check_secrets()
        finally:
            super().tearDown()

    def check_secrets(self):
        for node in self.nodes:
            self.assertNotIn("mh-right", node.log_path.read_text(errors="replace"))
        self.assertEqual([path.name for path in self.folder.iterdir() if path.name.endswith(".part")], [])

    def test_a_headshot_comes_out_and_costs_its_credits(self):
        self.start().ready()
        self.api.expire_links = 1
        target = self.ask()
        self.assertEqual(self.finished(), ("completed", None, 60000))
        self.assertTrue(target.read_bytes().startswith(b"\x89PNG"))
        self.assertTrue(next(iter(self.api.uploads.values())).startswith(b"\xff\xd8\xff"))
        self.assertEqual(self.db.execute("SELECT calls, cost_micros FROM rowcrew.spend"), [(1, 60000)])

    def test_what_fails_there_costs_nothing_and_what_may_pass_is_tried_once_more(self):
        self.start().ready()
        for ends, expected in ((("no_source_face",), ("failed", "magic_hour_no_source_face", 0)),
                               (("unknown_error", "complete"), ("completed", None, 60000)),
                               (("canceled",), ("failed", "magic_hour_canceled", 0))):
            self.api.script(*ends)
            self.ask()
            self.assertEqual(self.finished(), expected)
        self.assertEqual(self.api.credits, 10_000 - 50)

    def test_a_node_that_is_killed_while_it_waits_pays_once(self):
        self.api.takes = 2.5
        node = self.start("killed").ready()
        target = self.ask()
        wait_for("the headshot's name to be kept", lambda: self.db.value("SELECT max(checkpoint ->> 'id') FROM rowcrew.job_progress"))
        node.kill()
        self.start("rescuer").ready()
        self.assertEqual(self.finished(), ("completed", None, 60000))
        self.assertTrue(target.exists())
        self.assertEqual(len(self.api.shots), 1)

    def test_no_credits_are_said_once_and_cost_no_attempt(self):
        node = self.start().ready()
        self.api.credits = 10
        for _ in range(4):
            self.ask()
        wait_for("all to wait", lambda: self.db.value(
            "SELECT bool_and(status = 'pending' AND scheduled_at > now() AND attempts = 0) FROM rowcrew.processing_jobs"))
        self.assertEqual([(line["level"], line["code"]) for line in node.wait_lines("provider.closed")], [("error", "magic_hour_quota")])


if __name__ == "__main__":
    unittest.main()
