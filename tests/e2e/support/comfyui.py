"""A ComfyUI server as the provider meets it: one executor, a heap of pending prompts, a history in memory, files on disk.

What it refuses and says it derives from rules, as versions 0.8 and later do (NEW: prompt ids are checked, and answered with 409
when they are known). Trouble is switched on by attributes; the journal tells what was asked of it.
"""
import collections
import heapq
import http.server
import json
import pathlib
import random
import re
import shutil
import struct
import tempfile
import threading
import time
import urllib.parse
import uuid
import zlib

CHECKPOINTS = ["base.safetensors"]
SAMPLERS = ["euler", "heun"]
# class -> (inputs: name -> (type or list of choices, least, most), class outputs, is an output node)
NODES = {
    "CheckpointLoaderSimple": ({"ckpt_name": (CHECKPOINTS, None, None)}, ["MODEL", "CLIP", "VAE"], False),
    "CLIPTextEncode": ({"text": ("STRING", None, None), "clip": ("CLIP", None, None)}, ["CONDITIONING"], False),
    "EmptyLatentImage": ({"width": ("INT", 16, 16384), "height": ("INT", 16, 16384), "batch_size": ("INT", 1, 64)}, ["LATENT"], False),
    "KSampler": ({"model": ("MODEL", None, None), "seed": ("INT", 0, 2**64 - 1), "steps": ("INT", 1, 10000),
                  "sampler_name": (SAMPLERS, None, None), "positive": ("CONDITIONING", None, None),
                  "latent_image": ("LATENT", None, None)}, ["LATENT"], False),
    "VAEEncode": ({"pixels": ("IMAGE", None, None), "vae": ("VAE", None, None)}, ["LATENT"], False),
    "VAEDecode": ({"samples": ("LATENT", None, None), "vae": ("VAE", None, None)}, ["IMAGE"], False),
    "LoadImage": ({"image": ("UPLOAD", None, None)}, ["IMAGE", "MASK"], False),
    "SaveImage": ({"images": ("IMAGE", None, None), "filename_prefix": ("STRING", None, None)}, [], True),
    "PreviewImage": ({"images": ("IMAGE", None, None)}, [], True),
}


def png(seed, width, height, texts):
    """Pixels that follow from the seed alone; `texts` as the server writes the graph into its pictures."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    row = random.Random(seed).randbytes(3 * width)
    pixels = zlib.compress(b"".join(b"\0" + row for _ in range(height)), 1)
    extra = b"".join(chunk(b"tEXt", key.encode() + b"\0" + json.dumps(value).encode()) for key, value in texts.items())
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + extra +
            chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


def graph_of(seed=5, prefix="studio", text="a cat", source=False):
    """A graph in API format that this server takes."""
    graph = {
        "3": {"class_type": "KSampler", "inputs": {"seed": seed, "steps": 4, "sampler_name": "euler", "model": ["4", 0],
                                                   "positive": ["6", 0], "latent_image": ["5", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINTS[0]}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 48, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": prefix}},
    }
    if source:
        graph["10"] = {"class_type": "LoadImage", "inputs": {"image": "example.png"}}
        graph["5"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["10", 0], "vae": ["4", 2]}}
    return graph


class Comfyui:
    """start() and close(); restart() loses the queue and the history, as the real one does, and keeps the files."""

    def __init__(self, new=True):
        self.new = new
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-comfyui-"))
        for name in ("input", "output", "temp"):
            (self.folder / name).mkdir()
        self.port = 0
        self.executions = collections.Counter()  # prompt id -> runs begun
        self.ended = []                          # (prompt id, "success", "error" or "interrupted")
        self.calls = []                          # (method, path) in order
        self.graphs = {}                         # prompt id -> graph
        self.uploads, self.headers = [], []
        self.interrupts = []                     # of each POST /interrupt the id, None: of whatever runs
        # Trouble.
        self.hold = threading.Event()            # cleared: what runs does not end
        self.hold.set()
        self.fail = []                           # exceptions of the next runs: (type, message)
        self.needs_free = False                  # runs out of memory until somebody frees it
        self.drop_answers = 0                    # so many POST /prompt are done, and their connection closed
        self.answer = {}                         # (method, path) -> [status, …] for the next calls
        self.max_upload = 100 << 20
        self.forget_uploads = 0                  # so many vanish at once
        self.missing_views = 0                   # so many find no file
        self.cut_views = 0                       # so many break off in the middle
        self.freed = 0
        self.lock = threading.RLock()
        self._fresh()

    def _fresh(self):
        self.pending, self.running, self.history, self.cache = [], None, collections.OrderedDict(), {}
        self.interrupted = set()
        self.number = 0
        self.stopped = False
        self.wake = threading.Condition(self.lock)

    # -- the process

    def start(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                server.serve(self, "GET")

            def do_POST(self):
                server.serve(self, "POST")

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_):  # a client that went away is no news
                pass

        self.listener = Listener(("127.0.0.1", self.port), Handler)
        self.port = self.listener.server_address[1]
        threading.Thread(target=self.listener.serve_forever, args=(0.02,), daemon=True).start()
        self.executor = threading.Thread(target=self._execute_all, args=(self.wake,), daemon=True)
        self.executor.start()
        return self

    def stop(self):
        """The process ends: what ran and waited is lost."""
        self.listener.shutdown()
        self.listener.server_close()
        with self.lock:
            self.stopped = True
            self.wake.notify_all()
        held = not self.hold.is_set()
        self.hold.set()
        self.executor.join(10)
        if held:
            self.hold.clear()

    def restart(self):
        self.stop()
        self._fresh()
        self.start()

    def close(self):
        self.stopped or self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    # -- the executor

    def _execute_all(self, wake):
        while True:
            with self.lock:
                while not self.pending and not self.stopped:
                    wake.wait()
                if self.stopped:
                    return
                item = heapq.heappop(self.pending)
                self.running = item
            status, outputs, messages = self._execute(item)
            with self.lock:
                if self.stopped:
                    return
                self.running = None
                word = "success" if status == "success" else "error"
                self.ended.append((item[1], status))
                self.history[item[1]] = {"prompt": list(item), "outputs": outputs, "meta": {},
                                         "status": {"status_str": word, "completed": word == "success", "messages": messages}}

    def _execute(self, item):
        _, prompt_id, graph, extra, wanted = item
        self.executions[prompt_id] += 1

        def message(name, **more):
            return [name, {"prompt_id": prompt_id, "timestamp": int(time.time() * 1000), **more}]

        messages = [message("execution_start")]
        while not self.hold.wait(0.01):
            if prompt_id in self.interrupted or self.stopped:
                break
        if prompt_id in self.interrupted or self.stopped:
            return "interrupted", {}, messages + [message("execution_interrupted", node_id="3", node_type="KSampler", executed=[])]
        trouble = None
        if self.needs_free:
            trouble = ("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory.")
        elif self.fail:
            trouble = self.fail.pop(0)
        if trouble:
            return "error", {}, messages + [message("execution_error", node_id="3", node_type="KSampler", executed=["4"],
                                                    exception_type=trouble[0], exception_message=trouble[1], traceback=[])]
        outputs, cached = {}, []
        for node in wanted:
            key = json.dumps([graph[node], graph], sort_keys=True)
            if key in self.cache:
                cached.append(node)
                # The quirk: without a client id a cached node's output does not come into the history.
                if extra.get("client_id"):
                    outputs[node] = self.cache[key]
                continue
            outputs[node] = self.cache[key] = self._save(graph, node)
        if cached:
            messages.append(message("execution_cached", nodes=cached))
        return "success", outputs, messages + [message("execution_success")]

    def _save(self, graph, node):
        inputs = graph[node]["inputs"]
        kind = "output" if graph[node]["class_type"] == "SaveImage" else "temp"
        prefix = inputs.get("filename_prefix", "preview")
        seed = next((n["inputs"]["seed"] for n in graph.values() if n["class_type"] == "KSampler"), 0)
        size = next(((n["inputs"]["width"], n["inputs"]["height"]) for n in graph.values() if n["class_type"] == "EmptyLatentImage"), (40, 30))
        folder = self.folder / kind
        counter = 1 + len(list(folder.glob(prefix + "_*_.png")))
        name = f"{prefix}_{counter:05}_.png"
        (folder / name).write_bytes(png(seed, *size, {"prompt": graph}))
        return {"images": [{"filename": name, "subfolder": "", "type": kind}]}

    # -- the routes

    def serve(self, request, method):
        if self.stopped:  # a kept connection to a process that is no more
            request.close_connection = True
            return None
        url = urllib.parse.urlsplit(request.path)
        path = url.path.removeprefix("/api")
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        with self.lock:
            self.calls.append((method, path.split("/")[1] if path.startswith("/history/") else path.lstrip("/")))
            self.headers.append(dict(request.headers))
            scripted = self.answer.get((method, path.lstrip("/")))
        if "Origin" in request.headers and request.headers["Origin"] != f"http://{request.headers.get('Host')}":
            return self._answer(request, 403)
        if scripted:
            return self._answer(request, scripted.pop(0))  # without having done anything
        if method == "GET":
            return self._get(request, path, dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)))
        return self._post(request, path, body, length)

    def _get(self, request, path, query):
        with self.lock:
            if path == "/queue":
                running = [list(self.running)] if self.running else []
                return self._answer(request, 200, {"queue_running": running, "queue_pending": [list(i) for i in sorted(self.pending)]})
            if path.startswith("/history/"):
                prompt_id = path.split("/")[2]
                found = {prompt_id: self.history[prompt_id]} if prompt_id in self.history else {}
                return self._answer(request, 200, found)
            if path == "/view":
                return self._view(request, query)
        return self._answer(request, 404)

    def _view(self, request, query):
        file = self.folder / query.get("type", "output") / query.get("subfolder", "") / query["filename"]
        if self.missing_views > 0 or not file.is_file():
            self.missing_views -= 1
            return self._answer(request, 404)
        content = file.read_bytes()
        if self.cut_views > 0:
            self.cut_views -= 1
            request.send_response(200)
            request.send_header("Content-Length", str(len(content)))
            request.end_headers()
            request.wfile.write(content[: len(content) // 2])
            request.close_connection = True
            return None
        return self._answer(request, 200, content, "image/png")

    def _post(self, request, path, body, length):
        if path == "/upload/image":
            return self._upload(request, body, length)
        data = json.loads(body or b"{}")
        with self.lock:
            if path == "/prompt":
                return self._prompt(request, data)
            if path == "/queue":
                gone = set(data.get("delete", []))
                self.pending = [i for i in self.pending if i[1] not in gone]
                heapq.heapify(self.pending)
                return self._answer(request, 200)
            if path == "/interrupt":
                self.interrupts.append(data.get("prompt_id"))
                if self.running and data.get("prompt_id") in (None, self.running[1]):
                    self.interrupted.add(self.running[1])
                return self._answer(request, 200)
            if path == "/free":
                self.freed += 1
                self.needs_free = False
                return self._answer(request, 200)
        return self._answer(request, 404)

    def _upload(self, request, body, length):
        if length > self.max_upload:
            return self._answer(request, 413)
        parts = self._parts(request.headers["Content-Type"].partition("boundary=")[2], body)
        if "image" not in parts or not parts["image"][0]:
            return self._answer(request, 400)
        name, content = parts["image"]
        overwrite = parts.get("overwrite", ("", b""))[1] in (b"true", b"1")
        with self.lock:
            target, n = self.folder / "input" / name, 1
            while not overwrite and target.exists() and target.read_bytes() != content:
                target = self.folder / "input" / f"{pathlib.Path(name).stem} ({n}){pathlib.Path(name).suffix}"
                n += 1
            target.write_bytes(content)
            self.uploads.append((target.name, content))
            if self.forget_uploads > 0:
                self.forget_uploads -= 1
                target.unlink()
        return self._answer(request, 200, {"name": target.name, "subfolder": "", "type": "input"})

    @staticmethod
    def _parts(boundary, body):
        """name -> (file name, content), byte for byte."""
        parts = {}
        for part in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            words = dict(re.findall(r'(name|filename)="([^"]*)"', head.decode()))
            parts[words["name"]] = (words.get("filename", ""), content)
        return parts

    def _prompt(self, request, data):
        prompt_id = str(data.get("prompt_id") or uuid.uuid4())
        if self.new:
            known = [i[1] for i in self.pending] + ([self.running[1]] if self.running else []) + list(self.history)
            if not self._is_canonical(prompt_id):
                return self._answer(request, 400, {"error": {"type": "invalid_prompt_id", "message": "prompt_id must be a UUID"}, "node_errors": {}})
            if prompt_id in known:
                return self._answer(request, 409, {"error": "prompt_id already exists"})
        graph = data.get("prompt")
        if not isinstance(graph, dict):
            return self._refuse(request, "no_prompt", "No prompt provided")
        for node_id, node in graph.items():
            if node.get("class_type") not in NODES:
                kind = "missing_node_type" if self.new else "invalid_prompt"
                return self._refuse(request, kind, f"Cannot execute because node {node.get('class_type')} does not exist.",
                                    extra={"node_id": node_id, "class_type": node.get("class_type")})
        wanted = [n for n, node in graph.items() if NODES[node["class_type"]][2]]
        if not wanted:
            return self._refuse(request, "prompt_no_outputs", "Prompt has no outputs")
        errors = {}
        good = [n for n in wanted if self._validate(graph, n, n, errors)]
        if not good:
            return self._refuse(request, "prompt_outputs_failed_validation", "Prompt outputs failed validation", errors=errors)
        self.number += 1
        number = -self.number if data.get("front") else self.number
        extra = {**data.get("extra_data", {}), "create_time": int(time.time() * 1000)}
        if data.get("client_id"):
            extra["client_id"] = data["client_id"]
        heapq.heappush(self.pending, (number, prompt_id, graph, extra, good))
        self.graphs[prompt_id] = graph
        self.wake.notify_all()
        if self.drop_answers > 0:
            self.drop_answers -= 1
            request.close_connection = True
            return None
        return self._answer(request, 200, {"prompt_id": prompt_id, "number": number, "node_errors": errors})

    @staticmethod
    def _is_canonical(text):
        try:
            return str(uuid.UUID(text)) == text
        except ValueError:
            return False

    def _validate(self, graph, node_id, output, errors):
        """Whether this node and what it takes from others are right; else `errors` says what is not."""
        node, sound, wrong = graph[node_id], True, None
        for name, (kind, least, most) in NODES[node["class_type"]][0].items():
            if name not in node["inputs"]:
                wrong = ("required_input_missing", "Required input is missing", name, name)
            else:
                value = node["inputs"][name]
                if isinstance(value, list):
                    outputs = NODES[graph[value[0]]["class_type"]][1] if value[0] in graph else []
                    if value[0] not in graph or value[1] >= len(outputs):
                        wrong = ("bad_linked_input", "Bad linked input", name, f"{name}, {value}")
                    elif outputs[value[1]] != kind:
                        wrong = ("return_type_mismatch", "Return type mismatch", name, f"{name}, {outputs[value[1]]} != {kind}")
                    else:
                        sound = self._validate(graph, value[0], output, errors) and sound
                else:
                    wrong = self._wrong_value(name, value, kind, least, most) or wrong
            if wrong:
                break
        if wrong:
            entry = errors.setdefault(node_id, {"errors": [], "dependent_outputs": [], "class_type": node["class_type"]})
            if output not in entry["dependent_outputs"]:
                entry["dependent_outputs"].append(output)
            if not entry["errors"]:
                entry["errors"].append({"type": wrong[0], "message": wrong[1], "details": wrong[3], "extra_info": {"input_name": wrong[2]}})
        return sound and not wrong

    def _wrong_value(self, name, value, kind, least, most):
        if kind == "UPLOAD":
            if not (self.folder / "input" / str(value)).is_file():
                return ("custom_validation_failed", "Custom validation failed for node", name, f"{name} - Invalid image file: {value}")
        elif isinstance(kind, list):
            if value not in kind:
                return ("value_not_in_list", "Value not in list", name, f"{name}: '{value}' not in {kind}")
        elif kind == "INT":
            if not isinstance(value, int):
                return ("invalid_input_type", "Failed to convert an input value to a INT value", name, f"{name}, {value}")
            if value < least:
                return ("value_smaller_than_min", f"Value {value} smaller than min of {least}", name, name)
            if value > most:
                return ("value_bigger_than_max", f"Value {value} bigger than max of {most}", name, name)
        elif kind != "STRING":
            return ("bad_linked_input", "Bad linked input, must be a length-2 list", name, f"{name}, {value}")
        return None

    def _refuse(self, request, kind, words, errors=None, extra=None):
        return self._answer(request, 400, {"error": {"type": kind, "message": words, "details": "", "extra_info": extra or {}},
                                           "node_errors": errors or {}})

    @staticmethod
    def _answer(request, status, content=b"", kind="application/json"):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    # -- for tests

    def interrupt(self):
        """Somebody else ends what runs."""
        self.interrupted.add(self.running[1])

    def runs(self):
        """The id of what runs, or None."""
        return (self.running or (None, None))[1]

    def waiting(self):
        with self.lock:
            return [i[1] for i in sorted(self.pending)]
