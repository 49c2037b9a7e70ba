"""A relay for tests: speaks SMTP as RFC 5321 has it, with STARTTLS and AUTH, in threads.

What it answers may be scripted per verb: `server.script["RCPT"] = ["550 5.1.1 no such user"]` is used
up reply by reply, then the usual answer holds. "END" is the reply to a message. Beside replies a script
may say DROP (close the connection at once) or SILENT (answer nothing until the peer goes away).
"""
import base64
import collections
import contextlib
import pathlib
import socket
import ssl
import subprocess
import threading

DROP = object()
SILENT = object()


class Gone(Exception):
    pass


def make_certificate(folder, name="localhost"):
    """A self-signed certificate for `name` and 127.0.0.1; returns (certificate, key)."""
    certificate, key = pathlib.Path(folder, "cert.pem"), pathlib.Path(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1",
                    "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


class Session:
    """One connection. RFC 5321 order is enforced: a client that skips a step gets 503."""

    def __init__(self, server, connection):
        self.server, self.connection = server, connection
        self.buffer = b""
        self.tls = False
        self.reset(greeted=False)
        self.user = None

    def reset(self, greeted=True):
        self.greeted, self.sender, self.recipients = greeted, None, []

    def line(self):
        while b"\r\n" not in self.buffer:
            chunk = self.connection.recv(65536)
            if not chunk:
                raise Gone
            self.buffer += chunk
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        if b"\n" in line or b"\r" in line:
            raise AssertionError(f"a bare line end reached the relay: {line!r}")
        return line

    def say(self, reply):
        if reply is DROP:
            raise Gone
        if reply is SILENT:
            while self.connection.recv(65536):
                pass
            raise Gone
        self.connection.sendall(reply.encode() + b"\r\n")

    def answer(self, verb, usual, taken=None):
        """Says the scripted reply or the usual one; returns whether it was a success. What was `taken` by a
        success is noted before it is said: who hears it may look at once."""
        with self.server.lock:
            script = self.server.script[verb]
            reply = script.pop(0) if script else usual
            if taken and isinstance(reply, str) and reply[0] in "23":
                self.server.accepted.append(taken)
        self.say(reply)
        return reply[0] in "23"

    def run(self):
        if self.server.implicit_tls:
            self.start_tls()
        if not self.answer("CONNECT", "220 relay.test ESMTP"):
            return
        while True:
            line = self.line().decode("ascii")
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            with self.server.lock:
                self.server.commands.append((verb, rest, self.tls))
            if verb == "QUIT":
                self.answer("QUIT", "221 2.0.0 bye")
                return
            getattr(self, "on_" + verb.lower(), self.on_unknown)(rest)

    def on_unknown(self, _):
        self.say("500 5.5.1 unknown command")

    def on_ehlo(self, name):
        lines = [f"relay.test greets {name}", "8BITMIME", "SIZE 1000000", "ENHANCEDSTATUSCODES"]
        if self.server.starttls and not self.tls:
            lines.append("STARTTLS")
        if self.server.password is not None:
            lines.append("AUTH PLAIN LOGIN")
        usual = "\r\n".join([f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"])
        self.reset(greeted=self.answer("EHLO", usual))

    def on_starttls(self, _):
        if self.tls or not self.server.starttls:
            return self.say("503 5.5.1 no")
        if self.answer("STARTTLS", "220 2.0.0 go ahead"):
            self.buffer = b""  # nothing said in clear counts
            self.start_tls()
            self.reset(greeted=False)

    def start_tls(self):
        self.connection = self.server.tls_context.wrap_socket(self.connection, server_side=True)
        self.tls = True

    def on_auth(self, rest):
        mechanism, _, initial = rest.partition(" ")
        if mechanism == "PLAIN":
            if not initial:
                self.say("334 ")
                initial = self.line().decode()
            _, user, password = base64.b64decode(initial).decode().split("\0")
        elif mechanism == "LOGIN":
            self.say("334 VXNlcm5hbWU6")
            user = base64.b64decode(self.line()).decode()
            self.say("334 UGFzc3dvcmQ6")
            password = base64.b64decode(self.line()).decode()
        else:
            return self.say("504 5.5.4 unknown mechanism")
        good = (user, password) == (self.server.user, self.server.password)
        if self.answer("AUTH", "235 2.7.0 welcome" if good else "535 5.7.8 bad credentials"):
            self.user = user

    def on_mail(self, rest):
        if not self.greeted or self.sender is not None:
            return self.say("503 5.5.1 out of order")
        if self.server.password is not None and self.user is None:
            return self.say("530 5.7.0 authentication required")
        if self.answer("MAIL", "250 2.1.0 ok"):
            self.sender = rest[len("FROM:"):].split(" ")[0].strip("<>")

    def on_rcpt(self, rest):
        if self.sender is None:
            return self.say("503 5.5.1 out of order")
        if self.answer("RCPT", "250 2.1.5 ok"):
            self.recipients.append(rest[len("TO:"):].split(" ")[0].strip("<>"))

    def on_data(self, _):
        if not self.recipients:
            return self.say("554 5.5.1 no valid recipients")
        if not self.answer("DATA", "354 end with a dot"):
            return self.reset()
        lines = []
        while (line := self.line()) != b".":
            lines.append(line[1:] if line.startswith(b".") else line)
        message = b"".join(line + b"\r\n" for line in lines)
        with self.server.lock:
            # Before the reply: what the relay does with it is the relay's business from here on.
            self.server.received.append((self.sender, tuple(self.recipients), message))
        self.answer("END", f"250 2.0.0 queued as {len(self.server.received)}", (self.sender, tuple(self.recipients), message))
        self.reset()

    def on_noop(self, _):
        self.say("250 2.0.0 ok")

    def on_rset(self, _):
        self.reset()
        self.say("250 2.0.0 ok")


class SmtpServer:
    """Listens on 127.0.0.1; `certificate` is what make_certificate() returned."""

    def __init__(self, starttls=False, implicit_tls=False, certificate=None, user=None, password=None):
        self.starttls, self.implicit_tls = starttls, implicit_tls
        self.user, self.password = user, password
        self.tls_context = None
        if certificate:
            self.tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls_context.load_cert_chain(*map(str, certificate))
        self.script = collections.defaultdict(list)
        self.commands = []  # (verb, the rest, whether under TLS)
        self.received = []  # (sender, recipients, bytes): every message that came in whole
        self.accepted = []  # those that were answered with 250
        self.problems = []  # exceptions of sessions: protocol violations of the client
        self.lock = threading.Lock()
        self.open = set()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with self.lock:
            self.open.add(connection)
        session = Session(self, connection)
        try:
            session.run()
        except (Gone, OSError):
            pass
        except Exception as problem:  # shown by the test
            self.problems.append(problem)
        finally:
            with contextlib.suppress(OSError):
                session.connection.close()
            with self.lock:
                self.open.discard(connection)

    def verbs(self):
        with self.lock:
            return [verb for verb, _, _ in self.commands]

    def close(self):
        self.socket.close()
        with self.lock:
            for connection in self.open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
