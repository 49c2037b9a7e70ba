"""Google Drive v3 and Google's token endpoint in one process, as far as watched folders need them, with troubles on demand.

What the real one refuses is refused here: calls without `fields` are journalled, unknown fields are an error, access tokens
end, a bearer token in a URL is journalled. Uploads, permissions and push channels are not part of it.
"""
import hashlib
import json
import re
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.google_drive_query import Query, Refusal, only, parse_fields

FOLDER = "application/vnd.google-apps.folder"
FILE_FIELDS = {"kind", "id", "name", "mimeType", "size", "md5Checksum", "sha256Checksum", "modifiedTime", "createdTime", "parents",
               "trashed", "version", "headRevisionId", "webViewLink", "appProperties", "resourceKey"}
KNOWN_FIELDS = {
    "files.list": {"kind": None, "nextPageToken": None, "incompleteSearch": None, "files": FILE_FIELDS},
    "files.get": {field: None for field in FILE_FIELDS},
    "changes.list": {"kind": None, "nextPageToken": None, "newStartPageToken": None,
                     "changes": {"kind", "changeType", "removed", "time", "fileId", "file", "drive", "driveId"}},
    "changes.getStartPageToken": {"kind": None, "startPageToken": None},
}
CLIENT = ("client-1.apps.example", "client-secret-1")


class Hang(Exception):
    """The connection ends without an answer."""


class GoogleDrive:
    def __init__(self, expires_in=3599):
        self.lock = threading.RLock()
        self.expires_in = expires_in
        self.files = {}
        self.changes = []  # (file id, user or None for everybody)
        self.users = {}    # refresh token -> {"name", "state"}
        self.tokens = {}   # access token -> (refresh token, end)
        self.hidden = set()  # files that the list does not show yet
        self.scripts = []  # [call, left, what]
        self.calls = []    # journal: (call, user)
        self.without_fields = []
        self.secrets_in_urls = []
        self.now = self.most = 0
        self.serial = 0
        self.page_size = 1000
        drive = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                drive.serve(self)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # of clients that went away
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def settings(self, spool):
        """What kinds.drive_poll.google_drive of a node wants to know."""
        return {"client_id": CLIENT[0], "client_secret": CLIENT[1], "spool": str(spool), "api": f"{self.url}/drive/v3",
                "token_url": f"{self.url}/token"}

    # What people do in their browsers.

    def _id(self):
        self.serial += 1
        return f"1{self.serial:05d}_aBc-dEf"

    def _changed(self, file):
        file["version"] = str(int(file["version"]) + 1)
        self.changes.append(file["id"])

    def connect(self, name):
        """The user gives access: his refresh token."""
        with self.lock:
            token = f"1//{name}-{self._id()}"
            self.users[token] = {"name": name, "state": "ok"}
            return token

    def revoke(self, token, state="revoked"):
        with self.lock:
            self.users[token]["state"] = state
            self.tokens = {access: kept for access, kept in self.tokens.items() if kept[0] != token}

    def expire_access(self):
        with self.lock:
            self.tokens.clear()

    def folder(self, user, name="in"):
        return self.put(user, None, name, None, mime=FOLDER)

    def put(self, user, folder, name, content, mime="image/jpeg", modified="2026-11-01T10:00:00.000Z", listed=True):
        with self.lock:
            file = {"kind": "drive#file", "id": self._id(), "name": name, "mimeType": mime, "modifiedTime": modified, "createdTime": modified,
                    "parents": [folder] if folder else ["root"], "trashed": False, "version": "0", "users": {user}, "content": content}
            self.files[file["id"]] = file
            if not listed:
                self.hidden.add(file["id"])
            self._changed(file)
            return file["id"]

    def change(self, file_id, **values):
        """content, name, parents, trashed; modifiedTime only where it is given, as a client keeps a camera's."""
        with self.lock:
            self.files[file_id].update(values)
            self._changed(self.files[file_id])

    def delete(self, file_id):
        with self.lock:
            del self.files[file_id]
            self.changes.append(file_id)

    def list_catches_up(self):
        with self.lock:
            self.hidden.clear()

    def trouble(self, call, what, times=1):
        """`what`: a Refusal, or one of reset, truncated, corrupted, html, slow."""
        with self.lock:
            self.scripts.append([call, times, what])

    def count(self, call, user=None):
        with self.lock:
            return sum(1 for c, u in self.calls if c == call and user in (None, u))

    # HTTP.

    def serve(self, http):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            length = int(http.headers.get("Content-Length") or 0)
            body = http.rfile.read(length)
            status, headers, content = self.answer(http, body)
        except Hang:
            http.close_connection = True
            http.connection.close()
            return
        finally:
            with self.lock:
                self.now -= 1
        http.send_response(status)
        for name, value in headers.items():
            http.send_header(name, value)
        http.end_headers()
        if headers.get("X-Truncated"):
            content = content[:len(content) // 2]
            http.close_connection = True
        http.wfile.write(content)

    def answer(self, http, body):
        parts = urllib.parse.urlsplit(http.path)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        try:
            if parts.path == "/token":
                return self.reply(self.token(dict(urllib.parse.parse_qsl(body.decode()))))
            user = self.authorised(http, parts, query)
            call, target = self.route(parts.path, query)
            with self.lock:
                self.calls.append((call, user))
                trouble = self.scripted(call)
            if isinstance(trouble, Refusal):
                raise trouble
            if trouble == "reset":
                raise Hang()
            if trouble == "html":
                return 502, {"Content-Length": "11", "Content-Type": "text/html"}, b"Bad Gateway"
            if trouble == "slow":
                time.sleep(3)
            if call == "files.media":
                return self.media(user, target, http.headers.get("Range"), trouble)
            with self.lock:
                full = getattr(self, call.replace(".", "_"))(user, target, query)
            return self.reply(self.filtered(call, query, full))
        except Refusal as refusal:
            error = {"domain": "global", "reason": refusal.reason, "message": refusal.message}
            text = {"error": {"errors": [error], "code": refusal.status, "message": refusal.message}}
            if parts.path == "/token":
                text = {"error": refusal.reason, "error_description": refusal.message}
            return self.reply(text, refusal.status, refusal.headers)

    @staticmethod
    def reply(value, status=200, more=None):
        content = json.dumps(value).encode()
        return status, {"Content-Type": "application/json; charset=UTF-8", "Content-Length": str(len(content)), **(more or {})}, content

    def scripted(self, call):
        for script in self.scripts:
            if script[0] == call and script[1] > 0:
                script[1] -= 1
                return script[2]
        return None

    @staticmethod
    def route(path, query):
        if path == "/drive/v3/files":
            return "files.list", None
        if path == "/drive/v3/changes":
            return "changes.list", None
        if path == "/drive/v3/changes/startPageToken":
            return "changes.getStartPageToken", None
        match = re.fullmatch(r"/drive/v3/files/([A-Za-z0-9_-]+)", path)
        if not match:
            raise Refusal(404, "notFound", "Not Found")
        return ("files.media" if query.get("alt") == "media" else "files.get"), match.group(1)

    def filtered(self, call, query, full):
        known = KNOWN_FIELDS[call]
        if "fields" not in query:
            if call not in ("changes.getStartPageToken",):
                self.without_fields.append(call)
            return full
        asked = parse_fields(query["fields"])
        for field, below in asked.items():
            if field not in known and field != "*":
                raise Refusal(400, "invalidParameter", f"Invalid field selection {field}")
            for name, deeper in (below or {}).items():
                if name not in known[field]:
                    raise Refusal(400, "invalidParameter", f"Invalid field selection {name}")
                for last in deeper or {}:
                    if last not in FILE_FIELDS:
                        raise Refusal(400, "invalidParameter", f"Invalid field selection {last}")
        return only(full, asked)

    # OAuth.

    def token(self, form):
        with self.lock:
            self.calls.append(("token", self.users.get(form.get("refresh_token"), {}).get("name")))
            trouble = self.scripted("token")
            if isinstance(trouble, Refusal):
                raise trouble
            if form.get("grant_type") != "refresh_token":
                raise Refusal(400, "unsupported_grant_type")
            if (form.get("client_id"), form.get("client_secret")) != CLIENT:
                raise Refusal(401, "invalid_client", "The OAuth client was not found.")
            user = self.users.get(form.get("refresh_token"))
            if user is None:
                raise Refusal(400, "invalid_grant", "Bad Request")
            if user["state"] == "revoked":
                raise Refusal(400, "invalid_grant", "Token has been expired or revoked.")
            access = f"ya29.{self._id()}"
            self.tokens[access] = (form["refresh_token"], time.monotonic() + self.expires_in)
            return {"access_token": access, "expires_in": self.expires_in, "scope": "drive.readonly", "token_type": "Bearer"}

    def authorised(self, http, parts, query):
        if "access_token" in query or "ya29" in parts.query or "1//" in urllib.parse.unquote(parts.query):
            self.secrets_in_urls.append(parts.query)
        scheme, _, access = (http.headers.get("Authorization") or "").partition(" ")
        with self.lock:
            refresh, end = self.tokens.get(access, (None, 0))
            if scheme != "Bearer" or refresh is None or time.monotonic() > end:
                raise Refusal(401, "authError", "Invalid Credentials")
            return self.users[refresh]["name"]

    # The API.

    @staticmethod
    def shown(file):
        value = {key: file[key] for key in FILE_FIELDS if key in file}
        if file["content"] is not None:
            value.update(size=str(len(file["content"])), md5Checksum=hashlib.md5(file["content"]).hexdigest(),
                         sha256Checksum=hashlib.sha256(file["content"]).hexdigest())
        return value

    def visible(self, user, file_id):
        file = self.files.get(file_id)
        if file is None or user not in file["users"]:
            raise Refusal(404, "notFound", f"File not found: {file_id}.")
        return file

    def files_get(self, user, file_id, _):
        return self.shown(self.visible(user, file_id))

    def files_list(self, user, _, query):
        text = query.get("q", "")
        for folder in re.findall(r"'([^']*)' in parents", text):
            self.visible(user, folder)
        test = Query(text).test if text else lambda file: True
        found = [f for f in self.files.values() if user in f["users"] and f["id"] not in self.hidden and test(f)]
        for key in reversed([k for k in query.get("orderBy", "").split(",") if k]):
            name, _, direction = key.partition(" ")
            if name not in ("modifiedTime", "createdTime", "name"):
                raise Refusal(400, "invalid", "Invalid Value")
            found.sort(key=lambda f: f[name], reverse=direction == "desc")
        start = self.page_start(query)
        size = min(int(query.get("pageSize", 100)), self.page_size)
        answer = {"kind": "drive#fileList", "incompleteSearch": False, "files": [self.shown(f) for f in found[start:start + size]]}
        if start + size < len(found):
            answer["nextPageToken"] = f"page-{start + size}"
        return answer

    @staticmethod
    def page_start(query):
        token = query.get("pageToken", "page-0")
        if not re.fullmatch(r"page-\d+", token):
            raise Refusal(400, "invalid", "Invalid Value")
        return int(token[5:])

    def changes_getStartPageToken(self, *_):
        return {"kind": "drive#startPageToken", "startPageToken": str(len(self.changes) + 1000)}

    def changes_list(self, user, _, query):
        token = query.get("pageToken", "")
        if not token.isdigit() or not 0 <= int(token) - 1000 <= len(self.changes):
            raise Refusal(400, "invalid", "Invalid Value")
        start = int(token) - 1000
        end = min(start + min(int(query.get("pageSize", 100)), self.page_size), len(self.changes))
        found = []
        for at in range(start, end):
            file_id = self.changes[at]
            if file_id in self.changes[at + 1:]:
                continue  # only the latest state is told
            file = self.files.get(file_id)
            if file is None or user not in file["users"]:
                found.append({"kind": "drive#change", "changeType": "file", "removed": True, "fileId": file_id})
            else:
                found.append({"kind": "drive#change", "changeType": "file", "removed": False, "fileId": file_id, "file": self.shown(file)})
        answer = {"kind": "drive#changeList", "changes": found}
        answer["newStartPageToken" if end == len(self.changes) else "nextPageToken"] = str(end + 1000)
        return answer

    def media(self, user, file_id, ranges, trouble):
        with self.lock:
            file = self.visible(user, file_id)
            content = file["content"]
        if content is None:
            raise Refusal(403, "fileNotDownloadable", "Only files with binary content can be directly downloaded.")
        if trouble == "corrupted":
            content = bytes(255 - b for b in content)
        status, headers = 200, {"Content-Type": file["mimeType"]}
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", ranges or "")
        if match:
            first, last = int(match.group(1)), int(match.group(2) or len(content) - 1)
            if first >= len(content):
                raise Refusal(416, "requestedRangeNotSatisfiable", "Range")
            status, headers["Content-Range"] = 206, f"bytes {first}-{last}/{len(content)}"
            content = content[first:last + 1]
        headers["Content-Length"] = str(len(content))
        if trouble == "truncated":
            headers["X-Truncated"] = "1"
        return status, headers, content
