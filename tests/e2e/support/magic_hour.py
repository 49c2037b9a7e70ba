"""Magic Hour's headshots as far as a fleet can tell the difference: uploads, a state machine, credits, links that expire.

script() says how the next headshots end: "complete", an error code, "canceled", "drop" (made, and the connection breaks before the answer).
"""
import http.server
import json
import threading
import time

from support.image_apis import png


class MagicHour:
    def __init__(self, key="mh-right", credits=10_000, takes=0.3):
        self.key, self.credits, self.takes = key, credits, takes
        self.uploads = {}   # path -> bytes
        self.shots = []     # {"id", "name", "path", "end", "due", "charged"}
        self.scripts = []
        self.expire_links = 0  # so many downloads are refused first
        self.calls = []
        self.lock = threading.RLock()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                with owner.lock:
                    owner.serve(self)

            do_GET = do_POST = do_PUT = serve

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def script(self, *ends):
        with self.lock:
            self.scripts.extend(ends)

    def serve(self, call):
        body = call.rfile.read(int(call.headers.get("content-length", 0)))
        path = call.path.split("?")[0]
        self.calls.append((call.command, path))
        right = call.headers.get("authorization") == f"Bearer {self.key}"
        if path.startswith("/bucket/"):
            # The link is the right to it; a key here would be told to strangers.
            if call.headers.get("authorization") or call.command != "PUT":
                return self.answer(call, 403, {"message": "SignatureDoesNotMatch"})
            self.uploads[path.removeprefix("/bucket/")] = body
            return self.answer(call, 200, {})
        if path.startswith("/files/"):
            if call.headers.get("authorization") or self.expire_links > 0:
                self.expire_links -= 1
                return self.answer(call, 403, {"message": "expired"})
            return self.answer(call, 200, png(path), "image/png")
        if not right:
            return self.answer(call, 401, {"message": "Unauthorized"})
        if path == "/v1/files/upload-urls":
            items = [{"upload_url": f"{self.url}/bucket/api-assets/{len(self.calls)}-{i}.{item['extension']}?signature=x",
                      "expires_at": "2099-01-01T00:00:00.000Z", "file_path": f"api-assets/{len(self.calls)}-{i}.{item['extension']}"}
                     for i, item in enumerate(json.loads(body)["items"])]
            return self.answer(call, 200, {"items": items})
        if path == "/v1/ai-headshot-generator":
            return self.create(call, json.loads(body))
        for shot in self.shots:
            if path == f"/v1/image-projects/{shot['id']}":
                return self.answer(call, 200, self.state(shot))
        return self.answer(call, 404, {"message": "Not found"})

    def create(self, call, asked):
        if asked["assets"]["image_file_path"] not in self.uploads:
            return self.answer(call, 422, {"message": "assets.image_file_path: unknown"})
        if self.credits < 50:
            return self.answer(call, 402, {"message": "Payment required"})
        self.credits -= 50
        end = self.scripts.pop(0) if self.scripts else "complete"
        shot = {"id": f"c{len(self.shots) + 1}", "name": asked["name"], "path": asked["assets"]["image_file_path"],
                "end": "complete" if end == "drop" else end, "due": time.monotonic() + self.takes, "charged": 50}
        self.shots.append(shot)
        if end == "drop":
            call.close_connection = True
            call.connection.close()
            return None
        return self.answer(call, 200, {"id": shot["id"], "credits_charged": 50})

    def state(self, shot):
        answer = {"id": shot["id"], "name": shot["name"], "image_count": 1, "type": "AI_HEADSHOT", "enabled": True, "downloads": [], "error": None}
        if time.monotonic() < shot["due"]:
            return {**answer, "status": "rendering", "credits_charged": shot["charged"]}
        if shot["end"] == "complete":
            link = {"url": f"{self.url}/files/{shot['id']}.png", "expires_at": "2099-01-01T00:00:00.000Z"}
            return {**answer, "status": "complete", "downloads": [link], "credits_charged": shot["charged"]}
        if shot["charged"]:
            self.credits += shot["charged"]
            shot["charged"] = 0
        if shot["end"] == "canceled":
            return {**answer, "status": "canceled", "credits_charged": 0}
        return {**answer, "status": "error", "credits_charged": 0, "error": {"code": shot["end"], "message": "no"}}

    @staticmethod
    def answer(call, status, body, kind="application/json"):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        call.send_response(status)
        call.send_header("content-type", kind)
        call.send_header("content-length", str(len(raw)))
        call.end_headers()
        call.wfile.write(raw)
