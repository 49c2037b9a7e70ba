#!/usr/bin/python3
"""The provider comfyui on real nodes, with a server that behaves as ComfyUI does: one run per picture whatever dies."""
import json
import pathlib
import shutil
import signal
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from PIL import Image  # noqa: E402
from support.comfyui import Comfyui, graph_of  # noqa: E402
from support.fleet import FleetTest, wait_for  # noqa: E402
from support.side_by_side import main  # noqa: E402

PRESET = {"graph": graph_of(), "prompt": {"node": "6", "input": "text"}, "seed": {"node": "3", "input": "seed"}, "output": "9"}


class ComfyTest(FleetTest):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-comfy-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.out = self.folder / "out"
        self.out.mkdir()
        self.preset("drawn", PRESET)

    def server(self, new=True):
        server = Comfyui(new).start()
        self.addCleanup(server.close)
        return server

    def preset(self, name, workflow):
        self.db.execute("INSERT INTO rowcrew.preset (name, workflow) VALUES (%s, %s)", (name, json.dumps(workflow)))

    def worker(self, *servers, name="node", allowed=True, comfyui=None, **more):
        settings = {"servers": [s.url for s in servers], "poll": "50ms", **(comfyui or {})}
        more.setdefault("node", {"lease": "2s"})
        return self.node(name, program="rowcrewd", kinds={"generation": {"timeout": "20s", "comfyui": settings}},
                         egress={"allow": [f"127.0.0.1:{s.port}" for s in servers] if allowed else []}, **more)

    def generate(self, name="a.png", preset="drawn", prompt="a dog in the rain", source=None, queue="generation", attempts=5):
        inputs = {"target": str(self.out / name), "preset": preset}
        if source:
            inputs["source"] = str(source)
        return self.db.value(
            "INSERT INTO rowcrew.processing_jobs (type, provider, prompt, inputs, queue, max_attempts) "
            "VALUES ('generation', 'comfyui', %s, %s, %s, %s) RETURNING id", (prompt, json.dumps(inputs), queue, attempts))

    def row(self, job):
        return self.db.execute("SELECT status, error_code, error_message, outputs, attempts, external_id FROM rowcrew.processing_jobs "
                               "WHERE id = %s", (job,))[0]

    def ended(self, job, within=30):
        wait_for(f"generation {job} to end: {self.row(job)}", lambda: self.row(job)[0] in ("completed", "failed", "cancelled"), within)
        return self.row(job)

    def completed(self, job, within=30):
        row = self.ended(job, within)
        self.assertEqual(row[0], "completed", f"{row[1]}: {row[2]}")
        return row

    def files(self):
        return sorted(p.name for p in self.out.iterdir())

    def once(self, server, runs=1):
        """No run was begun twice, nobody else's was ended."""
        self.assertEqual((sum(server.executions.values()), max(server.executions.values())), (runs, 1), server.executions)
        self.assertNotIn(None, server.interrupts)


class Pictures(ComfyTest):
    def test_a_graph_of_a_preset_makes_a_picture_of_words(self):
        server = self.server()
        self.worker(server, comfyui={"price_per_second": "0.5", "headers": {"X-Team": "studio"}})
        first, second = self.generate("a.png"), self.generate("b.jpg", prompt='"], "9": {"class_type": "Evil"}')
        outputs, external = self.completed(first)[3::2]
        self.completed(second)
        with Image.open(self.out / "a.png") as picture:
            picture.load()
            self.assertEqual((picture.format, picture.size), ("PNG", (64, 48)))
            self.assertNotIn("prompt", picture.info)  # the graph, in the server's own picture
        with Image.open(self.out / "b.jpg") as picture:
            self.assertEqual(picture.format, "JPEG")
        self.assertEqual(self.files(), ["a.png", "b.jpg"])
        self.assertEqual((outputs["prompt_id"], outputs["server"]), (external, f"127.0.0.1:{server.port}"))
        graph = server.graphs[external]
        other = next(g for i, g in server.graphs.items() if i != external)
        self.assertEqual(graph["6"]["inputs"]["text"], "a dog in the rain")
        self.assertEqual(other["6"]["inputs"]["text"], '"], "9": {"class_type": "Evil"}')
        self.assertNotEqual(graph["3"]["inputs"]["seed"], other["3"]["inputs"]["seed"])
        for node, inputs in (("3", "seed"), ("6", "text"), ("9", "filename_prefix")):
            graph[node]["inputs"][inputs] = other[node]["inputs"][inputs] = PRESET["graph"][node]["inputs"][inputs]
        self.assertEqual((graph, other), (PRESET["graph"], PRESET["graph"]))
        self.assertTrue(all(h.get("X-Team") == "studio" and "Origin" not in h for h in server.headers))
        calls = self.db.execute("SELECT provider, model, outcome, estimated, cost_micros, (units ->> 'gpu_ms')::int FROM rowcrew.provider_call "
                                "WHERE external_id = %s", (external,))
        self.assertEqual(len(calls), 1)
        self.assertEqual(calls[0][:4], ("comfyui", "drawn", "done", False))
        self.assertEqual(calls[0][4], calls[0][5] * 500)
        self.once(server, 2)

    def test_a_picture_goes_through_a_graph_and_is_developed(self):
        server = self.server(new=False)
        self.preset("retouched", {"graph": graph_of(source=True), "source": {"node": "10", "input": "image"}, "output": "9",
                                  "steps": [{"step": "fit", "width": 20, "height": 20}]})
        source = self.folder / "in.jpg"
        Image.new("RGB", (400, 300), (200, 30, 30)).save(source, exif=b"Exif\0\0secret-maker")
        server.forget_uploads = 1
        self.worker(server, comfyui={"max_side": 100})
        self.completed(self.generate(preset="retouched", prompt=None, source=source))
        with Image.open(self.out / "a.png") as picture:
            self.assertEqual(picture.size, (20, 15))
        self.assertEqual(self.files(), ["a.png"])
        self.assertEqual(len({name for name, _ in server.uploads}), 1)
        self.assertEqual(len(server.uploads), 2)  # the first one was gone when the graph came
        content = server.uploads[0][1]
        self.assertNotIn(b"secret-maker", content)
        (self.folder / "sent.png").write_bytes(content)
        with Image.open(self.folder / "sent.png") as sent:
            self.assertEqual((sent.format, sent.size), ("PNG", (100, 75)))
        self.once(server)

    def test_every_refusal_has_its_word(self):
        server = self.server()
        server.max_upload = 2000
        big = self.folder / "big.png"
        Image.effect_noise((300, 300), 90).save(big)
        broken = json.loads(json.dumps(PRESET))
        broken["graph"]["4"]["inputs"]["ckpt_name"] = "other.safetensors"
        self.preset("no_model", broken)
        unknown = json.loads(json.dumps(PRESET))
        unknown["graph"]["8"]["class_type"] = "UpscalerOfMine"
        self.preset("no_node", unknown)
        self.preset("odd", {**PRESET, "colour": 1})
        preview = json.loads(json.dumps(PRESET))
        preview["graph"]["9"]["class_type"] = "PreviewImage"
        self.preset("preview", preview)
        self.preset("retouched", {"graph": graph_of(source=True), "source": {"node": "10", "input": "image"}, "output": "9"})
        expected = {
            self.generate("a.png", "no_model"): ("comfyui_graph_refused", "node 4 CheckpointLoaderSimple: value_not_in_list"),
            self.generate("b.png", "no_node"): ("comfyui_node_missing", "UpscalerOfMine"),
            self.generate("c.png", "odd"): ("preset_invalid", "colour"),
            self.generate("d.png", "preview"): ("comfyui_no_output", "node 9"),
            self.generate("e.png", "retouched", None, big): ("comfyui_too_large", "max-upload-size"),
            self.generate("f.png", "retouched", None): ("bad_payload", "source"),
        }
        self.worker(server)
        for job, (word, part) in expected.items():
            status, code, message, _, attempts, _ = self.ended(job)
            self.assertEqual((status, code, attempts), ("failed", word, 1), message)
            self.assertIn(part, message)
            self.assertNotIn("dog", message)
        server.fail = [("RuntimeError", "bad shape at 'a dog in the rain'")]
        status, code, message = self.ended(self.generate("g.png"))[:3]
        self.assertEqual((status, code), ("failed", "comfyui_run_failed"))
        self.assertNotIn("dog", message)
        self.assertEqual(self.files(), [])

    def test_a_loopback_server_that_is_not_allowed_is_said_and_costs_nothing(self):
        server = self.server()
        node = self.worker(server, allowed=False)
        job = self.generate()
        line = node.wait_event("comfyui.closed")
        self.assertEqual(line["code"], "comfyui_egress_refused")
        self.assertIn("egress.allow", line["msg"])
        wait_for("the job to wait", lambda: self.row(job)[0] != "processing")
        self.assertEqual(self.row(job)[4], 0)
        self.assertEqual(server.calls, [])


class Trouble(ComfyTest):
    def test_runs_that_end_badly_run_again_within_their_budget(self):
        server = self.server()
        self.db.execute("INSERT INTO rowcrew.job_type (name, backoff_base_ms, backoff_cap_ms) VALUES ('generation', 10, 20)")
        self.worker(server)
        server.hold.clear()
        job = self.generate("a.png")
        wait_for("it to run", server.runs)
        server.interrupt()
        wait_for("it to run again", lambda: len(server.executions) == 2 and server.runs())
        server.hold.set()
        self.completed(job)
        server.drop_answers = 1
        server.cut_views = server.missing_views = 1
        server.answer[("POST", "prompt")] = [500, 500]
        self.completed(self.generate("b.png"))
        self.once(server, 3)
        self.assertEqual(self.db.execute("SELECT outcome, count(*) FROM rowcrew.provider_call GROUP BY 1 ORDER BY 1"), [("done", 2), ("lost", 1)])

    def test_memory_is_freed_before_a_run_that_lacked_it_runs_again(self):
        server = self.server()
        server.needs_free = True
        self.worker(server)
        self.assertEqual(self.completed(self.generate())[4], 2)
        self.assertEqual(server.freed, 1)
        self.once(server, 2)

    def test_a_lost_answer_of_an_old_server_is_no_second_run(self):
        server = self.server(new=False)
        server.drop_answers = 1
        self.worker(server)
        self.assertEqual(self.completed(self.generate())[4], 1)
        self.once(server)

    def test_a_restarted_server_runs_it_again_once(self):
        server = self.server()
        self.worker(server)
        server.hold.clear()
        job = self.generate()
        wait_for("it to run", server.runs)
        server.restart()
        wait_for("it to run again", server.runs)
        server.hold.set()
        self.completed(job)
        self.once(server, 2)
        self.assertEqual(self.row(job)[4], 2)

    def test_a_server_that_is_away_costs_no_attempt_and_is_found_again(self):
        server = self.server()
        server.stop()
        self.worker(server)
        job = self.generate(attempts=1)
        wait_for("the job to wait", lambda: self.db.execute(
            "SELECT 1 FROM rowcrew.processing_jobs_parked WHERE id = %s", (job,)))
        self.assertEqual(self.row(job)[4], 0)
        server._fresh()
        server.start()
        self.completed(job)
        self.once(server)

    def test_jobs_are_spread_and_each_stays_with_its_server(self):
        servers = [self.server(), self.server()]
        for server in servers:
            server.hold.clear()
        self.worker(*servers)
        jobs = [self.generate(f"{i}.png") for i in range(4)]
        wait_for("both to work", lambda: all(s.runs() and len(s.waiting()) == 1 for s in servers))
        for server in servers:
            server.hold.set()
        for job in jobs:
            self.completed(job)
        for server in servers:
            self.once(server, 2)


class Ends(ComfyTest):
    def cancel(self, job):
        self.db.execute("SELECT rowcrew.cancel(%s)", (job,))

    def test_a_cancelled_job_frees_the_server_and_harms_nobody_else(self):
        server = self.server(new=False)
        server.hold.clear()
        self.worker(server)
        running = self.generate("a.png")
        wait_for("it to run", server.runs)
        mine = server.runs()
        neighbour = self.generate("b.png")
        wait_for("the neighbour to wait", lambda: len(server.waiting()) == 1)
        waiting = self.generate("c.png")
        wait_for("another one behind it", lambda: len(server.waiting()) == 2)
        self.cancel(running)
        self.assertEqual(self.ended(running)[0], "cancelled")
        wait_for("the server to be free", lambda: server.ended == [(mine, "interrupted")])
        self.cancel(waiting)
        self.assertEqual(self.ended(waiting)[0], "cancelled")
        self.assertEqual(server.interrupts, [mine])  # for the waiting one an old server would end whatever runs
        wait_for("the neighbour to run alone", lambda: server.runs() not in (None, mine) and not server.waiting())
        server.hold.set()
        self.completed(neighbour)
        self.assertEqual(self.files(), ["b.png"])
        self.once(server, 2)

    def test_a_run_that_takes_too_long_is_ended_there(self):
        server = self.server()
        server.hold.clear()
        self.worker(server, comfyui={"timeout": "1s"})
        status, code = self.ended(self.generate(attempts=1))[:2]
        self.assertEqual((status, code), ("failed", "comfyui_timeout"))
        self.assertIsNone(server.runs())
        self.once(server)

    def test_a_run_may_take_longer_than_an_execution(self):
        server = self.server()
        server.hold.clear()
        self.db.execute("INSERT INTO rowcrew.job_type (name, timeout_ms) VALUES ('generation', 1000)")
        self.worker(server)
        job = self.generate(attempts=1)
        wait_for("an execution to end before it", lambda: self.db.execute(
            "SELECT count(*) FROM rowcrew.processing_jobs_parked WHERE id = %s", (job,))[0][0], 10)
        server.hold.set()
        self.completed(job)
        self.once(server)

    def test_a_node_that_stops_leaves_its_run_to_the_next(self):
        server = self.server()
        server.hold.clear()
        node = self.worker(server, node={"stop_within": "1s"})
        job = self.generate()
        wait_for("it to run", server.runs)
        node.signal(signal.SIGTERM)
        self.assertEqual(node.exited(), 0)
        self.worker(server, name="next")
        server.hold.set()
        self.assertEqual(self.completed(job)[4], 1)
        self.once(server)

    def test_a_node_killed_while_it_runs_leaves_it_to_another(self):
        server = self.server()
        server.hold.clear()
        victim = self.worker(server, name="victim")
        job = self.generate()
        wait_for("it to run", server.runs)
        victim.kill()
        self.worker(server, name="rescuer")
        wait_for("the job to be rescued", lambda: self.db.value("SELECT crashes FROM rowcrew.processing_jobs WHERE id = %s", (job,)) == 1)
        server.hold.set()
        self.completed(job)
        self.once(server)

    def test_a_node_killed_at_any_moment_costs_no_second_run(self):
        server = self.server(new=False)
        points = ("submitting", "submitted", "ended", "developed")
        victims = [self.worker(server, name=point, queues={point: 1}, fault=f"comfyui.{point}:1") for point in points]
        jobs = [self.generate(f"{point}.png", queue=point) for point in points]
        for victim in victims:
            self.assertEqual(victim.exited(), -signal.SIGKILL)
        self.worker(server, name="rescuer", queues={point: 1 for point in points})
        for job in jobs:
            self.completed(job)
        self.assertEqual(self.files(), sorted(f"{point}.png" for point in points))
        self.once(server, len(points))


if __name__ == "__main__":
    main()
