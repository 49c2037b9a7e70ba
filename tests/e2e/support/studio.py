"""A photo studio on a private database: the demo app, its folders, a mailbox and a webhook receiver.

The receiver is a server of our own that checks signatures by the book (Standard Webhooks 1.0.0), so
that the sender is not checked against itself.
"""
import base64
import contextlib
import email
import email.policy
import hashlib
import hmac
import http.server
import io
import pathlib
import shutil
import tempfile
import threading
import time
import zipfile

import psycopg2

from PIL import Image

from support.fleet import BIN, SOURCE, URL, Database, Node, Stage, run, wait_for, with_database

_template = None
_template_lock = threading.Lock()
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def template():
    """A database with the demo app in it, made once per program; studios are copies."""
    global _template
    with _template_lock:
        if _template is None:
            _template = Database(migrate=False)
            run([BIN / "rowcrew", "--database", _template.url, "migrate", "--app", "demo"])
            _template.connection.close()
    return _template.name


def drop_template():
    if _template is not None:
        _template.connection = psycopg2.connect(URL)
        _template.drop()


def photo(seed, size=(600, 800), mode="RGB"):
    """A picture with enough structure for an attention crop; the same for the same seed."""
    image = Image.effect_mandelbrot(size, (-2.2 + seed * 0.01, -1.3, 0.8, 1.3), 40 + seed)
    return Image.merge("RGB", (image, image.rotate(90).resize(size), image.transpose(0))).convert(mode)


def jpeg(seed, size=(600, 800), **options):
    out = io.BytesIO()
    photo(seed, size).save(out, "JPEG", quality=88, **options)
    return out.getvalue()


def png(seed, size=(500, 500)):
    out = io.BytesIO()
    photo(seed, size).save(out, "PNG")
    return out.getvalue()


def zip_bytes():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "not a picture")
    return out.getvalue()


class Receiver:
    """Takes the webhooks of any number of studios, told apart by the path."""

    def __init__(self):
        self.lock = threading.Lock()
        self.received = {}  # path -> [(webhook-id, verified)]
        self.refuse = {}    # path -> answers to give first
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.lock:
                    answers = outer.refuse.get(self.path)
                    status = answers.pop(0) if answers else 204
                    outer.received.setdefault(self.path, []).append(
                        (self.headers["webhook-id"], outer.verified(self.headers, body), status))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def verified(headers, body):
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        mac = hmac.new(base64.b64decode(SECRET[6:]), signed, hashlib.sha256).digest()
        wanted = "v1," + base64.b64encode(mac).decode()
        fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
        return fresh and wanted in headers["webhook-signature"].split(" ")

    @property
    def address(self):
        return "127.0.0.1:%d" % self.server.server_address[1]

    def ids(self, path):
        with self.lock:
            return [i for i, _, _ in self.received.get(path, [])]

    def all_verified(self, path):
        with self.lock:
            return all(ok for _, ok, _ in self.received.get(path, []))


class Studio(Stage):
    def __init__(self, receiver, name="studio", tier="creator"):
        self.receiver = receiver
        self.path = "/" + name
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-studio-"))
        self.inbox = self.home / "inbox"
        self.portraits = self.home / "portraits"
        self.mail = self.home / "mail"
        self.inbox.mkdir()
        self.portraits.mkdir()
        self.nodes = []
        source = template()
        self.db = Database(migrate=False)
        self.db.connection.close()
        with contextlib.closing(psycopg2.connect(URL)) as admin:
            admin.autocommit = True
            admin.cursor().execute(f'DROP DATABASE "{self.db.name}"')
            admin.cursor().execute(f'CREATE DATABASE "{self.db.name}" TEMPLATE "{source}"')
        self.db.connection = psycopg2.connect(with_database(URL, self.db.name))
        self.db.connection.autocommit = True
        self.db.execute("SELECT rowcrew.takeover()")
        self.db.execute("UPDATE rowcrew.schedule SET enabled = false WHERE name LIKE 'rowcrew.%'")
        self.db.execute("SELECT demo.join_studio('Ada', 'ada@example.com', %s, 'inbox', %s, %s)",
                        (tier, str(self.inbox), str(self.portraits)))
        self.db.execute(
            "INSERT INTO rowcrew.webhook_endpoints (app, url, events, secret) VALUES ('demo', %s, %s, %s)",
            (f"http://{receiver.address}{self.path}", ["photo.ready", "photo.failed", "photo.blocked"], SECRET))

    def __exit__(self, *exception):
        super().__exit__(*exception)
        shutil.rmtree(self.home, ignore_errors=True)

    def drop_in(self, name, content):
        """As a careful program does it: written beside, then renamed."""
        beside = self.inbox / (".part-" + hashlib.sha256(name.encode()).hexdigest()[:8])
        beside.write_bytes(content)
        beside.rename(self.inbox / name)

    def node(self, name="node", fault=None, env=None, **settings):
        settings.setdefault("queues", {"default": 8, "generation": 2})
        settings.setdefault("mail", {"transport": "maildir", "maildir": str(self.mail)})
        settings.setdefault("egress", {"allow": [self.receiver.address]})
        kinds = {"email": {"templates": str(SOURCE / "etc/mail")}}
        kinds.update(settings.pop("kinds", {}))
        node_settings = {"lease": "2s"}
        node_settings.update(settings.pop("node", {}))
        node = Node(self.db, name, program="rowcrewd", fault=fault, env=env, kinds=kinds, node=node_settings, **settings)
        self.nodes.append(node)
        return node

    def progress(self):
        return self.db.execute("SELECT found, waiting, processed, failed, blocked, messages_waiting FROM demo.progress")[0]

    def settled(self, found):
        f, waiting, *_, messages = self.progress()
        return f >= found and waiting == 0 and messages == 0 and self.db.unfinished("processing_jobs") == 0

    def wait_settled(self, found, within=60):
        """All files taken, processed, and told about."""
        wait_for(f"{found} photos to be done with", lambda: self.settled(found), within, every=0.05)

    def outputs(self):
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(self.portraits.iterdir())}

    def mails(self):
        return [email.message_from_bytes(p.read_bytes(), policy=email.policy.default)
                for p in sorted((self.mail / "new").iterdir())] if (self.mail / "new").exists() else []

    def result(self):
        """What must not depend on what happened on the way: all but ids, times and counts of tries."""
        ids = self.receiver.ids(self.path)
        return {
            "photos": self.db.execute(
                "SELECT name, status, error_code, error_message, output_sha256, "
                "regexp_replace(output_path, '^.*/', '') FROM demo.photo ORDER BY 1"),
            "usage": self.db.execute(
                "SELECT images_processed, images_failed, images_blocked, images_overage, overage_charged_cents, "
                "credits_spent FROM demo.usage_tracking"),
            "mails": self.db.execute(
                "SELECT template, status, count(*), count(DISTINCT message_id) FROM rowcrew.email_notifications GROUP BY 1, 2 ORDER BY 1"),
            "deliveries": self.db.execute(
                "SELECT event, status, count(*) FROM rowcrew.webhook_deliveries GROUP BY 1, 2 ORDER BY 1"),
            "jobs": self.db.execute(
                "SELECT status, error_code, count(*) FROM rowcrew.processing_jobs GROUP BY 1, 2 ORDER BY 1, 2"),
            "claims": self.db.value("SELECT count(*) FROM rowcrew.processing_jobs_claim"),
            "outputs": self.outputs(),
            "mailbox": sorted(str(m["Subject"]) for m in self.mails()),
            "message ids": len({m["Message-ID"] for m in self.mails()}),
            "webhooks": len(set(ids)),
            "verified": self.receiver.all_verified(self.path),
        }
