"""Stand-ins of the text APIs of OpenAI (chat completions) and Anthropic (messages), on loopback.

They check what they are sent as the originals do, answer with a text made of the prompt's hash, count tokens each in its own way and
keep a journal of what they would bill. What else they do is asked for in the prompt, by words in double angle brackets:

    <<refuse>> <<length>> <<filter>> <<pause>> <<empty>> <<no-usage>> <<cached 40>> <<written 20>>   how a 200 ends, what it counts
    <<hold>>                       works, and answers when release() is called
    <<reset-before>> <<reset-after>> <<truncate>> <<html 502>>   what the way there does, before or after the work
    <<echo>>                       a 400 that quotes the whole prompt

or for the next calls of a provider, whatever they say: script("anthropic", "overloaded", "rate_limit:2"). Words of ERRORS are rows of
the vendors' error tables; a number behind a colon is Retry-After. With limit("openai", 2, 0.7) two requests are taken in 0.7 s: the
third is told by the headers of the limits when there is room again, and by nothing else.
"""
import datetime
import hashlib
import http.server
import json
import re
import socket
import struct
import threading
import time

ERRORS = {
    "openai": {
        "bad_request": (400, "invalid_request_error", None, "Unsupported parameter."),
        "context": (400, "invalid_request_error", "context_length_exceeded", "This model's maximum context length is 8192 tokens."),
        "policy": (400, "invalid_request_error", "invalid_prompt", "Your prompt was flagged."),
        "key": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: {key}."),
        "country": (403, "request_forbidden", "unsupported_country_region_territory", "Country, region, or territory not supported"),
        "model": (404, "invalid_request_error", "model_not_found", "The model `{model}` does not exist or you do not have access to it."),
        "timeout": (408, "timeout", None, "Timed out."),
        "rate_limit": (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests."),
        "quota": (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
        "server": (500, "server_error", None, "The server had an error."),
        "overloaded": (503, "service_unavailable_error", "server_is_overloaded", "The server is overloaded."),
    },
    "anthropic": {
        "bad_request": (400, "invalid_request_error", None, "max_tokens: is too large"),
        "balance": (400, "invalid_request_error", None, "Your credit balance is too low to access the Anthropic API."),
        "key": (401, "authentication_error", None, "invalid x-api-key"),
        "billing": (402, "billing_error", None, "Your payment failed."),
        "permission": (403, "permission_error", None, "Your API key does not have permission to use the specified resource."),
        "model": (404, "not_found_error", None, "model: {model}"),
        "rate_limit": (429, "rate_limit_error", None, "This request would exceed your organization's rate limit."),
        "spend": (429, "rate_limit_error", "enforced_spend_limit_reached", "Spend limit reached."),
        "server": (500, "api_error", None, "Internal server error"),
        "timeout": (504, "timeout_error", None, "Timed out."),
        "overloaded": (529, "overloaded_error", None, "Overloaded"),
    },
}
FIELDS = {
    "openai": {"model", "messages", "max_completion_tokens", "response_format", "temperature", "stop"},
    "anthropic": {"model", "messages", "max_tokens", "system", "output_config", "temperature", "stop_sequences"},
}
MODELS = {"openai": {"gpt-5-mini", "gpt-5-nano"}, "anthropic": {"claude-haiku-5-5", "claude-sonnet-5-5"}}
BODY_LIMIT = {"openai": 50 << 20, "anthropic": 32 << 20}


def tokens(text):
    """A toy: nobody's tokenizer, but the same every time."""
    return (len(text.encode()) + 2) // 3


def words(text):
    return dict((m[1], m[2]) for m in re.finditer(r"<<([a-z-]+)(?: (\d+))?>>", text))


def made_of(prompt):
    return "Answer " + hashlib.sha256(prompt.encode()).hexdigest()[:24] + " äöü 🐈"


def fitting(schema):
    """Some JSON of that schema, where it is simple."""
    kind = schema.get("type")
    if kind == "object":
        return {name: fitting(part) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [fitting(schema.get("items", {}))]
    return {"integer": 7, "number": 0.5, "boolean": True}.get(kind, schema.get("enum", ["text"])[0])


class Refused(Exception):
    def __init__(self, row, **more):
        super().__init__(row)
        self.row, self.more = row, more


class TextApis:
    def __init__(self, keys):
        self.keys = dict(keys)  # provider -> the key that is right
        self.journal = []  # what was billed: provider, model, prompt, usage as the provider counts it
        self.calls = []  # (provider, what it came to)
        self.scripts = {"openai": [], "anthropic": []}
        self.limits = {}
        self.lock = threading.Lock()
        self.held = threading.Event()
        self.released = threading.Event()
        self.serial = 0
        apis = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                apis.serve(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # nodes that are killed leave broken connections behind

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def script(self, provider, *steps):
        self.scripts[provider].extend(steps)

    def limit(self, provider, requests, seconds):
        self.limits[provider] = {"most": requests, "per": seconds, "left": float(requests), "at": time.monotonic()}

    def release(self):
        self.released.set()

    def billed(self, provider=None):
        with self.lock:
            return [entry for entry in self.journal if provider in (None, entry["provider"])]

    # One call.

    def serve(self, request):
        provider = {"/v1/chat/completions": "openai", "/v1/messages": "anthropic"}.get(request.path)
        if provider is None:
            return self.send(request, 404, b"<html>not found</html>", {"Content-Type": "text/html"})
        size = int(request.headers.get("Content-Length", 0))
        body = request.rfile.read(size)
        try:
            if size > BODY_LIMIT[provider]:
                return self.send(request, 413, b"<html>Request Entity Too Large</html>", {"Content-Type": "text/html"})
            asked, prompt = self.check(provider, request.headers, body)
        except Refused as refusal:
            return self.refuse(request, provider, refusal.row, **refusal.more)
        said = words(prompt)
        with self.lock:
            step = self.scripts[provider].pop(0) if self.scripts[provider] else None
        full = self.take(provider)
        if full is not None:
            return self.refuse(request, provider, "rate_limit", headers=full)
        if step:
            row, _, after = step.partition(":")
            return self.refuse(request, provider, row, after=after, model=asked["model"])
        if "echo" in said:
            return self.refuse(request, provider, "bad_request", message=f"Cannot read: {prompt}")
        if "reset-before" in said:
            return self.reset(request)
        if "html" in said:
            return self.send(request, int(said["html"]), b"<html>Bad gateway</html>", {"Content-Type": "text/html"})
        answer = self.work(provider, asked, prompt, said)
        if "hold" in said:
            self.held.set()
            self.released.wait(60)
        if "reset-after" in said:
            return self.reset(request)
        whole = json.dumps(answer, ensure_ascii=False).encode()
        self.calls.append((provider, "200"))
        return self.send(request, 200, whole, {"Content-Type": "application/json"}, cut="truncate" in said)

    def take(self, provider):
        """A token of the bucket; without one the headers that tell of it."""
        with self.lock:
            bucket = self.limits.get(provider)
            if bucket is None:
                return None
            now = time.monotonic()
            rate = bucket["most"] / bucket["per"]
            bucket["left"] = min(bucket["most"], bucket["left"] + (now - bucket["at"]) * rate)
            bucket["at"] = now
            if bucket["left"] >= 1:
                bucket["left"] -= 1
                return None
            wait = (1 - bucket["left"]) / rate
        if provider == "openai":
            return {"x-ratelimit-limit-requests": str(bucket["most"]), "x-ratelimit-remaining-requests": "0",
                    "x-ratelimit-reset-requests": f"{int(wait * 1000) + 1}ms"}
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=wait + 1)
        return {"anthropic-ratelimit-requests-limit": str(bucket["most"]), "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": until.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def check(self, provider, headers, body):
        if provider == "openai":
            right = headers.get("Authorization") == f"Bearer {self.keys[provider]}"
        else:
            right = headers.get("x-api-key") == self.keys[provider]
            if headers.get("anthropic-version") != "2023-06-01":
                raise Refused("bad_request", message="anthropic-version: header is required")
        if not right:
            raise Refused("key", key=headers.get("Authorization", "").removeprefix("Bearer "))
        asked = json.loads(body)
        unknown = set(asked) - FIELDS[provider]
        if unknown:
            raise Refused("bad_request", message=f"{sorted(unknown)[0]}: Extra inputs are not permitted")
        most = "max_completion_tokens" if provider == "openai" else "max_tokens"
        if not isinstance(asked.get(most), int) or asked[most] < 1:
            raise Refused("bad_request", message=f"{most}: Field required")
        if asked.get("model") not in MODELS[provider]:
            raise Refused("model", model=asked.get("model"))
        if not asked.get("messages") or asked["messages"][-1]["role"] != "user":
            raise Refused("bad_request", message="messages: the last one must be the user's")
        roles = {"system", "user", "assistant"} if provider == "openai" else {"user", "assistant"}
        if any(m["role"] not in roles or not m["content"] for m in asked["messages"]):
            raise Refused("bad_request", message="messages: unknown role or empty content")
        return asked, "\n".join([asked.get("system", "")] + [m["content"] for m in asked["messages"]]).strip()

    def work(self, provider, asked, prompt, said):
        schema = asked.get("response_format", {}).get("json_schema", {}).get("schema") if provider == "openai" \
            else asked.get("output_config", {}).get("format", {}).get("schema")
        text = made_of(prompt) if schema is None else json.dumps(fitting(schema))
        if "empty" in said:
            text = ""
        if "length" in said:
            text = text[:5]
        cached, written = int(said.get("cached") or 0), int(said.get("written") or 0)
        whole, made = max(tokens(prompt), cached + written), tokens(text)
        with self.lock:
            self.serial += 1
            name = f"{'chatcmpl' if provider == 'openai' else 'msg'}-{self.serial}"
        model = asked["model"]
        if provider == "openai":
            stop = "length" if "length" in said else "content_filter" if "filter" in said else "stop"
            message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
            if "refuse" in said:
                message.update(content=None, refusal=f"I cannot help with: {prompt}")
            usage = {"prompt_tokens": whole, "completion_tokens": made, "total_tokens": whole + made,
                     "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": 0},
                     "completion_tokens_details": {"reasoning_tokens": 0}}
            answer = {"id": name, "object": "chat.completion", "created": 1763636000, "model": model + "-2026-01-01", "service_tier": "default",
                      "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": stop}], "usage": usage}
        else:
            stop = "refusal" if "refuse" in said else "max_tokens" if "length" in said else "pause_turn" if "pause" in said else "end_turn"
            content = [{"type": "thinking", "thinking": "", "signature": "x"}, {"type": "text", "text": text[:6]}, {"type": "text", "text": text[6:]}]
            usage = {"input_tokens": whole - cached - written, "output_tokens": made, "cache_creation_input_tokens": written,
                     "cache_read_input_tokens": cached, "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
                     "service_tier": "standard"}
            answer = {"id": name, "type": "message", "role": "assistant", "model": model, "content": [] if stop == "refusal" else content,
                      "stop_reason": stop, "stop_sequence": None, "usage": usage,
                      "stop_details": {"type": "refusal", "category": "cyber", "explanation": prompt} if stop == "refusal" else None}
        if "no-usage" in said:
            del answer["usage"]
        with self.lock:
            self.journal.append({"provider": provider, "model": model, "id": name, "prompt": prompt, "input": whole, "cached": cached,
                                 "written": written, "output": made, "text": text})
        return answer

    def refuse(self, request, provider, row, after="", message=None, headers=None, **more):
        status, kind, code, text = ERRORS[provider][row]
        text = message or text.format(**{"key": "", "model": "", **more})
        error = {"type": kind, "message": text}
        if provider == "openai":
            body = {"error": {**error, "param": None, "code": code}}
        else:
            if code:
                error["details"] = {"error_code": code}
            body = {"type": "error", "error": error, "request_id": "req_1"}
        self.calls.append((provider, row))
        headers = {"Content-Type": "application/json", **(headers or {}), **({"Retry-After": after} if after else {})}
        self.send(request, status, json.dumps(body).encode(), headers)

    def send(self, request, status, body, headers, cut=False):
        try:
            request.send_response(status)
            for name, value in headers.items():
                request.send_header(name, value)
            request.send_header("request-id", f"req-{self.serial}")
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body[:len(body) // 2] if cut else body)
            request.wfile.flush()
            if cut:
                self.reset(request)
        except OSError:
            pass  # the caller has gone
        request.close_connection = request.close_connection or cut

    def reset(self, request):
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.connection.close()
        request.close_connection = True
