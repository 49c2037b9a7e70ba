"""OpenAI's Images API and Gemini's generateContent as far as a fleet can tell the difference: one server, two groups of paths.

A prompt that holds "moderation-input", "moderation-output", "quoted-back", "block-<REASON>", "finish-<REASON>" or "text-only" gets what that
stands for; script() says what single calls get. The journal counts what each
prompt was billed for, so that a test can compare it with the ledger.
"""
import base64
import email.parser
import email.policy
import hashlib
import http.server
import json
import re
import struct
import threading
import time
import zlib

GPT_MODELS = ("gpt-image-2", "gpt-image-1.5")
GEMINI_MODELS = ("gemini-nano-banana-2.1",)
RETIRED = ("gpt-image-1", "dall-e-3", "gemini-2.5-flash-image")
MOST_IMAGE = 50 << 20


def png(seed, side=64):
    """A small picture that is another one for each seed, and holds what a finished one must not: a comment."""
    shade = hashlib.sha256(str(seed).encode()).digest()

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((shade[x % 16] ^ y & 0xFF, shade[16 + y % 16], x & 0xFF)[c] for x in range(side) for c in range(3))
                    for y in range(side))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) +
            chunk(b"tEXt", b"Comment\0made by a stand-in") + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Reply:
    """What one call is answered, instead of what it would be."""

    def __init__(self, status=200, body=None, headers=(), delay=0.0, reset=None, billed=False, cut=False):
        self.status, self.body, self.headers, self.delay = status, body, dict(headers), delay
        self.reset = reset    # "before" or "after" the work: the connection breaks
        self.billed = billed  # although it is no picture
        self.cut = cut        # the body ends in its middle, the connection properly


def openai_error(status, code, kind="invalid_request_error", message="No.", **more):
    return Reply(status, {"error": {"message": message, "type": kind, "param": None, "code": code, **more}})


def google_error(status, word, message="No.", details=(), array=False):
    body = {"error": {"code": status, "message": message, "status": word, "details": list(details)}}
    return Reply(status, [body] if array else body)


def per_day():
    return google_error(429, "RESOURCE_EXHAUSTED", details=[
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
         "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "42s"}])


class ImageApis:
    def __init__(self, openai_key="sk-right", gemini_key="AIza-right"):
        self.keys = {"openai": openai_key, "gemini": gemini_key}
        self.calls = []   # (group, prompt, what came of it, monotonic time, headers)
        self.bodies = []  # of edits: (fields, the picture)
        self.scripts = []
        self.size = 64
        self.no_usage = False
        self.busy_until = 0.0  # monotonic: too many calls before
        self.arrived = 0       # calls, whatever became of them
        self.lock = threading.Lock()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                owner.serve(self)

            def do_GET(self):
                owner.serve(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # a node that is killed breaks its connections
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def script(self, *replies):
        """What the next calls with a right key are answered; None: as always."""
        with self.lock:
            self.scripts.extend(replies)

    def count(self, group=None, what=None, marker=""):
        with self.lock:
            return sum(1 for call in self.calls if group in (None, call[0]) and what in (None, call[2]) and marker in call[1])

    def billed(self, marker=""):
        return self.count(what="billed", marker=marker)

    # The rest is the server's own.

    def serve(self, http_call):
        body = http_call.rfile.read(int(http_call.headers.get("content-length", 0)))
        with self.lock:
            self.arrived += 1
        if http_call.path.startswith("/v1beta/"):
            group, prompt, reply = "gemini", *self.gemini(http_call, body)
        else:
            group, prompt, reply = "openai", *self.openai(http_call, body)
        if reply.reset == "before":
            what = "reset"
        else:
            what = "billed" if reply.billed else str(reply.status)
        time.sleep(reply.delay)
        with self.lock:
            self.calls.append((group, prompt, what, time.monotonic(), dict(http_call.headers)))
        if reply.reset:
            http_call.close_connection = True
            http_call.connection.close()
            return
        self.send(http_call, reply)

    @staticmethod
    def send(http_call, reply):
        raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        if reply.cut:
            raw = raw[:len(raw) // 2]
        http_call.send_response(reply.status)
        for name, value in {"content-type": "application/json", **reply.headers}.items():
            http_call.send_header(name, value)
        http_call.send_header("content-length", str(len(raw)))
        http_call.end_headers()
        http_call.wfile.write(raw)

    def too_many(self, group):
        left = self.busy_until - time.monotonic()
        if left <= 0:
            return None
        if group == "gemini":
            return google_error(429, "RESOURCE_EXHAUSTED", details=[
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{left:.3f}s"}])
        reply = openai_error(429, "rate_limit_exceeded", "images", "Rate limit reached.")
        reply.headers = {"retry-after-ms": str(int(left * 1000) + 1), "x-ratelimit-remaining-requests": "0"}
        return reply

    def scripted(self, made):
        """`made` with the next scripted reply, if any, in its place: one without a body of its own is `made`, answered in another way."""
        with self.lock:
            reply = self.scripts.pop(0) if self.scripts else None
        if reply is None:
            return made
        if reply.body is None:
            reply.status, reply.body, reply.headers = made.status, made.body, {**made.headers, **reply.headers}
            reply.billed = made.billed and reply.reset != "before"
        return reply

    # OpenAI

    def openai(self, http_call, body):
        if http_call.headers.get("authorization") != f"Bearer {self.keys['openai']}":
            return "", openai_error(401, "invalid_api_key", message="Incorrect API key provided: sk-wr***ng.")
        model = re.fullmatch(r"/v1/models/(\S+)", http_call.path)
        if model:
            known = model.group(1) in GPT_MODELS
            return "", Reply(200, {"id": model.group(1), "object": "model"}) if known else openai_error(404, "model_not_found")
        if http_call.path == "/v1/images/edits":
            fields, picture, problem = self.form(http_call, body)
        elif http_call.path == "/v1/images/generations":
            fields, picture, problem = json.loads(body), None, None
        else:
            return "", openai_error(404, None, message="Invalid URL")
        prompt = fields.get("prompt", "")
        if picture is not None:
            with self.lock:
                self.bodies.append((fields, picture))
        return prompt, problem or self.openai_refusal(fields) or self.too_many("openai") or self.scripted(self.openai_picture(fields, picture))

    @staticmethod
    def form(http_call, body):
        head = f"content-type: {http_call.headers['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        fields, pictures = {}, []
        for part in message.iter_parts():
            name = part.get_param("name", header="content-disposition")
            raw = part.get_payload(decode=True)
            if part.get_filename():
                pictures.append(raw)
            else:
                fields[name] = raw.decode()
        if "n" in fields:
            fields["n"] = int(fields["n"])
        if not 1 <= len(pictures) <= 16 or any(len(p) > MOST_IMAGE for p in pictures):
            return fields, b"", openai_error(400, "image_too_large")
        if not pictures[0].startswith((b"\xff\xd8\xff", b"\x89PNG", b"RIFF")):
            return fields, pictures[0], openai_error(400, "invalid_image_file")
        return fields, pictures[0], None

    @staticmethod
    def openai_refusal(fields):
        known = {"prompt", "model", "n", "size", "quality", "background", "output_format", "output_compression", "moderation", "user"}
        for key in fields:
            if key not in known:
                return openai_error(400, "unknown_parameter", message=f"Unknown parameter: '{key}'.")
        if fields.get("model") not in GPT_MODELS:
            return openai_error(404, "model_not_found", message=f"The model '{fields.get('model')}' does not exist.")
        if not re.fullmatch(r"auto|\d+x\d+", fields.get("size", "auto")):
            return openai_error(400, "invalid_value", message="Invalid size.")
        if "moderation-output" in fields["prompt"]:
            reply = openai_error(400, "moderation_blocked", "image_generation_user_error", "safety_violations=[x]",
                                 moderation_details={"moderation_stage": "output"})
            reply.billed = True
            return reply
        if "moderation-input" in fields["prompt"]:
            return openai_error(400, "moderation_blocked", "image_generation_user_error", "safety_violations=[x]",
                                moderation_details={"moderation_stage": "input"})
        if "quoted-back" in fields["prompt"]:
            return openai_error(400, "invalid_value", message=f"Cannot draw {fields['prompt']}")
        return None

    def openai_picture(self, fields, picture):
        output = {"low": 272, "medium": 1056, "high": 4160}.get(fields.get("quality"), 1056)
        words = max(1, len(fields["prompt"]) // 4)
        image = 0 if picture is None else 323
        body = {"created": 1763636000, "data": [{"b64_json": base64.b64encode(png(fields["prompt"], self.size)).decode()}],
                "output_format": "png", "size": fields.get("size", "1024x1024"),
                "usage": {"total_tokens": words + image + output, "input_tokens": words + image, "output_tokens": output,
                          "input_tokens_details": {"text_tokens": words, "image_tokens": image},
                          "output_tokens_details": {"image_tokens": output, "text_tokens": 0}}}
        if self.no_usage:
            del body["usage"]
        return Reply(200, body, {"x-request-id": f"req_{len(self.calls)}", "x-ratelimit-remaining-requests": "9"}, billed=True)

    # Gemini

    def gemini(self, http_call, body):
        if http_call.headers.get("x-goog-api-key") != self.keys["gemini"]:
            return "", google_error(400, "INVALID_ARGUMENT", "API key not valid.", array=True, details=[
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}])
        model = re.fullmatch(r"/v1beta/models/([\w.-]+):generateContent", http_call.path)
        if not model or model.group(1) not in GEMINI_MODELS:
            return "", google_error(404, "NOT_FOUND", "models/x is not found for API version v1beta")
        asked = json.loads(body)
        parts = asked["contents"][0]["parts"]
        prompt = " ".join(part.get("text", "") for part in parts)
        pictures = [base64.b64decode(part["inlineData"]["data"], validate=True) for part in parts if "inlineData" in part]
        if pictures:
            with self.lock:
                self.bodies.append((asked, pictures[0]))
        return prompt, self.too_many("gemini") or self.scripted(self.gemini_answer(asked, prompt, len(pictures)))

    def gemini_answer(self, asked, prompt, pictures):
        usage = {"promptTokenCount": 12 + 258 * pictures, "totalTokenCount": 12 + 258 * pictures,
                 "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}, {"modality": "IMAGE", "tokenCount": 258 * pictures}]}
        answer = {"usageMetadata": usage, "modelVersion": "x", "responseId": f"response-{len(self.calls)}"}
        blocked = re.search(r"block-(\w+)", prompt)
        finish = re.search(r"finish-(\w+)", prompt)
        if blocked:
            answer["promptFeedback"] = {"blockReason": blocked.group(1)}
        elif finish:
            answer["candidates"] = [{"index": 0, "finishReason": finish.group(1)}]
        elif "text-only" in prompt or "IMAGE" not in asked["generationConfig"]["responseModalities"]:
            answer["candidates"] = [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [{"text": "I would rather not."}]}}]
        else:
            def part(seed):
                return {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(png(seed, self.size)).decode()}}

            made = [{"thought": True, **part("draft")}, {"text": "Here it is."}, part(prompt)]
            answer["candidates"] = [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": made}}]
            usage.update(candidatesTokenCount=1120, thoughtsTokenCount=30, totalTokenCount=usage["totalTokenCount"] + 1150,
                         candidatesTokensDetails=[{"modality": "IMAGE", "tokenCount": 1120}])
        if self.no_usage:
            del answer["usageMetadata"]
        return Reply(200, answer, billed=True)
