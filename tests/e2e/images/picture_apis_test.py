#!/usr/bin/python3
"""Pictures by model APIs, from the job to the file and the ledger: a real node on a stand-in of OpenAI and Gemini."""
import json
import pathlib
import shutil
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest, wait_for  # noqa: E402
from support.image_apis import ImageApis, Reply, per_day, png  # noqa: E402

PRESETS = {
    "openai": {"model": "gpt-image-2", "prompt": "A photo of {prompt}", "size": "1024x1024", "quality": "low"},
    "gemini": {"model": "gemini-nano-banana-2.1", "prompt": "A photo of {prompt}", "aspect_ratio": "1:1"},
    "small": {"model": "gpt-image-2", "steps": [{"step": "fit", "width": 32, "height": 32}]},
    "unpriced": {"model": "gpt-image-9"},
}
SECRET = "grandmother on the moon"  # of every prompt; it must be nowhere but there


class PictureApis(FleetTest):
    def setUp(self):
        super().setUp()
        self.apis = ImageApis()
        self.addCleanup(self.apis.close)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-pictures-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        for name, workflow in PRESETS.items():
            self.db.execute("INSERT INTO rowcrew.preset (name, workflow) VALUES (%s, %s)", (name, json.dumps(workflow)))

    def start(self, name="node", openai_key="sk-right", fault=None, **more):
        prices = {"text_input": "5", "image_input": "8", "text_output": "10", "image_output": "30", "estimate": "0.04"}
        kinds = {"generation": {
            "openai": {"api_key": openai_key, "base_url": self.apis.url + "/v1", "models": {"gpt-image-2": prices}, **more},
            "gemini": {"api_key": "AIza-right", "base_url": self.apis.url, "models": {"gemini-nano-banana-2.1": prices}, **more}}}
        return self.node(name, program="rowcrewd", fault=fault, node={"lease": "2s"}, kinds=kinds, egress={"allow": ["127.0.0.1"]})

    def ask(self, provider="openai", words="", source=None, preset=None, count=1):
        """Enqueues pictures and returns where they will be."""
        targets = []
        for _ in range(count):
            target = self.folder / f"out-{len(list(self.folder.iterdir()))}-{time.monotonic_ns()}.png"
            inputs = {"target": str(target), "preset": preset or provider}
            if source:
                inputs["source"] = str(source)
            self.db.execute("INSERT INTO rowcrew.processing_jobs (type, provider, prompt, inputs) VALUES ('generation', %s, %s, %s)",
                            (provider, f"{SECRET} {words}".strip(), json.dumps(inputs)))
            targets.append(target)
        return targets[0] if count == 1 else targets

    def source(self):
        path = self.folder / "source.png"
        path.write_bytes(png("source", 80))
        return path

    def finished(self, within=30.0):
        self.wait_finished(within, "processing_jobs")
        return self.db.execute("SELECT status, attempts, error_code, cost_micros FROM rowcrew.processing_jobs ORDER BY id")

    def ledger(self):
        return self.db.execute("SELECT provider, outcome, cost_micros, estimated FROM rowcrew.provider_call ORDER BY at")

    def leftovers(self):
        return [path.name for path in self.folder.iterdir() if path.name.endswith(".part")]

    def tearDown(self):
        try:
            self.check_secrets()
        finally:
            super().tearDown()

    def check_secrets(self):
        # Whatever happened: neither words nor keys nor pictures are in any log, nor in what is kept of jobs.
        for node in self.nodes:
            log = node.log_path.read_text(errors="replace")
            for secret in (SECRET, "sk-right", "AIza-right", "iVBOR", "/9j/"):
                self.assertNotIn(secret, log)
        for table in ("processing_jobs", "job_progress", "job_attempt", "job_event", "provider_call"):
            prompt = " - 'prompt'" if table == "processing_jobs" else ""
            self.assertEqual(self.db.value(f"SELECT count(*) FROM rowcrew.{table} t WHERE position(%s in (to_jsonb(t){prompt})::text) > 0", (SECRET,)), 0)

    def test_a_picture_comes_out_of_words_and_costs_what_was_billed(self):
        self.start().ready()
        for provider, cost in (("openai", 8160), ("gemini", 60 + 33600 + 300)):
            target = self.ask(provider)
            self.finished()
            self.assertTrue(target.read_bytes().startswith(b"\x89PNG"))
            self.assertNotIn(b"made by a stand-in", target.read_bytes())
            status, external, spent, result = self.db.execute(
                "SELECT status, external_id, cost_micros, outputs FROM rowcrew.processing_jobs ORDER BY id DESC LIMIT 1")[0]
            self.assertEqual(status, "completed")
            tokens = 5 * (len(f"A photo of {SECRET}") // 4) if provider == "openai" else 0
            self.assertEqual(spent, cost + tokens)
            self.assertEqual(result["external_id"], external)
            self.assertEqual((result["width"], result["height"], result["model"]), (64, 64, PRESETS[provider]["model"]))
            self.assertEqual(self.db.execute("SELECT calls, in_vain, cost_micros, estimated FROM rowcrew.spend WHERE provider = %s", (provider,)),
                             [(1, 0, spent, False)])
        self.assertEqual(self.apis.billed(), 2)
        # A source is shown without what is private in it.
        self.ask("openai", source=self.source())
        self.ask("gemini", source=self.source())
        self.assertEqual({row[0] for row in self.finished()}, {"completed"})
        self.assertEqual(len(self.apis.bodies), 2)
        for _, picture in self.apis.bodies:
            self.assertTrue(picture.startswith(b"\xff\xd8\xff"))
            self.assertNotIn(b"made by a stand-in", picture)
        self.assertEqual(self.leftovers(), [])

    def test_steps_finish_the_picture_and_wrong_presets_cost_nothing(self):
        self.start().ready()
        self.ask(preset="small")
        self.ask(preset="unpriced")
        self.db.execute("INSERT INTO rowcrew.preset (name, workflow) VALUES ('bad', %s)",
                        (json.dumps({"model": "gpt-image-2", "steps": [{"step": "enlarge"}]}),))
        self.ask(preset="bad")
        rows = self.finished()
        self.assertEqual([row[2] for row in rows], [None, "preset_invalid", "preset_invalid"])
        self.assertEqual(self.db.value("SELECT outputs ->> 'width' FROM rowcrew.processing_jobs WHERE status = 'completed'"), "32")
        self.assertEqual(self.apis.billed(), 1)

    def test_refusals_fail_with_their_code_and_are_billed_as_often_as_they_were_made(self):
        self.start().ready()
        for provider, words, code, calls in (
                ("openai", "moderation-input", "content_policy", 0), ("openai", "moderation-output", "content_policy", 2),
                ("openai", "quoted-back", "openai_bad_request", 0), ("gemini", "block-SAFETY", "content_policy", 1),
                ("gemini", "finish-IMAGE_SAFETY", "content_policy", 2), ("gemini", "finish-NO_IMAGE", "gemini_no_picture", 3),
                ("gemini", "text-only", "gemini_no_picture", 2), ("gemini", "finish-MAX_TOKENS", "gemini_cut_off", 1)):
            self.ask(provider, words)
            self.finished()
            job, error = self.db.execute("SELECT id::text, error_code FROM rowcrew.processing_jobs ORDER BY created_at DESC, id DESC LIMIT 1")[0]
            self.assertEqual((words, error), (words, code))
            booked = self.db.value("SELECT count(*) FROM rowcrew.provider_call WHERE job_id = %s AND outcome = 'blocked'", (job,))
            self.assertEqual((words, booked, self.apis.billed(words)), (words, calls, calls))
        self.assertEqual(self.leftovers(), [])

    def test_too_many_calls_cost_no_attempt_and_few_calls_and_the_jobs_wake_by_themselves(self):
        node = self.start().ready()
        self.apis.busy_until = time.monotonic() + 1.5
        self.ask(count=8)
        self.assertEqual({row[:3] for row in self.finished()}, {("completed", 1, None)})
        # The four that ran at once, and the one that went first afterwards, perhaps a moment too early.
        self.assertLessEqual(self.apis.count("openai", "429"), 6)
        self.assertEqual({(line["level"], line["code"]) for line in node.lines("provider.closed")}, {("warning", "openai_rate_limited")})
        self.assertEqual(self.apis.billed(), 8)
        # A day that is used up waits for California.
        self.apis.script(per_day())
        self.ask("gemini")
        wait_for("the job to wait", lambda: self.db.value(
            "SELECT scheduled_at > now() + interval '1 minute' AND attempts = 0 FROM rowcrew.processing_jobs WHERE status = 'pending'"))

    def test_a_refused_key_is_said_once_and_all_is_done_when_it_is_mended(self):
        node = self.start(openai_key="sk-wrong").ready()
        targets = self.ask(count=6)
        wait_for("all to wait", lambda: self.db.value(
            "SELECT bool_and(status = 'pending' AND scheduled_at > now()) FROM rowcrew.processing_jobs"))
        self.assertLessEqual(self.apis.count(what="401"), 4)
        self.assertEqual([(line["level"], line["code"]) for line in node.wait_lines("provider.closed")], [("error", "openai_refuses_us")])
        self.assertNotIn("sk-wr", node.log_path.read_text())
        node.stop()
        self.start("mended").ready()
        self.db.execute("UPDATE rowcrew.processing_jobs SET scheduled_at = now()")
        self.assertEqual({row[:3] for row in self.finished()}, {("completed", 1, None)})
        self.assertTrue(all(target.exists() for target in targets))
        self.assertEqual(self.ledger(), [("openai", "done", self.ledger()[0][2], False)] * 6)

    def test_a_node_that_is_killed_between_answer_and_end_pays_once_and_books_once(self):
        for point, provider in (("generation.answered", "gemini"), ("generation.booked", "openai")):
            before = self.apis.billed()
            node = self.start("killed", fault=point).ready()
            target = self.ask(provider)
            node.exited()
            self.assertEqual(self.apis.billed(), before + 1)
            rescuer = self.start("rescuer").ready()
            self.finished()
            self.assertTrue(target.exists())
            self.assertEqual(self.apis.billed(), before + 1)
            self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.provider_call"), before + 1)
            rescuer.kill()
        self.assertEqual(self.leftovers(), [])

    def test_a_node_that_is_killed_in_its_call_repeats_it_once(self):
        node = self.start("killed").ready()
        self.apis.script(Reply(delay=8))
        target = self.ask()
        wait_for("the call to be told of", lambda: self.db.value("SELECT max(checkpoint ->> 'state') FROM rowcrew.job_progress") == "sent")
        node.kill()
        self.start("rescuer").ready()
        self.assertEqual(self.finished()[0][0], "completed")
        self.assertTrue(target.exists())
        self.assertEqual([row[1:] for row in self.ledger()], [("lost", 40000, True), ("done", self.ledger()[1][2], False)])
        self.assertEqual(self.leftovers(), [])

    def test_answers_that_break_off_are_booked_and_asked_for_once_more(self):
        self.start().ready()
        self.apis.script(Reply(cut=True), Reply(reset="after"))
        self.ask()
        self.assertEqual(self.finished()[0][:3], ("failed", 1, "openai_lost"))
        self.assertEqual([row[1] for row in self.ledger()], ["lost", "lost"])
        self.assertEqual(self.apis.billed(), 2)


if __name__ == "__main__":
    unittest.main()
