#!/usr/bin/python3
"""Passwords and certificates that change or run out under a fleet that works."""
import os
import pathlib
import shutil
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.certificates import Authority  # noqa: E402
from support.fleet import BIN, Node, run, wait_for  # noqa: E402
from support.load import SLOTS, LoadTest  # noqa: E402
from support.servers import give_away  # noqa: E402


def put(path, content):
    """Replaces it whole, as those do who renew secrets."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.chmod(0o600)
    os.replace(new, path)


class Password(LoadTest):
    HBA = "host app app 127.0.0.1/32 scram-sha-256"

    @classmethod
    def build(cls):
        cls.secret = cls.folder.path / "password"
        put(cls.secret, b"first\n")

    @classmethod
    def start_node(cls, name):
        source = {"password_file": str(cls.secret)} if name == "n0" else \
            {"password_command": ["/bin/cat", str(cls.secret)]}
        return Node(None, name, url=cls.primary.url, queues={"default": SLOTS}, database=source)

    def test_a_password_that_is_rotated(self):
        self.primary.ask("ALTER ROLE app PASSWORD 'second'")
        self.primary.terminate_backends()
        for node in self.nodes:
            node.wait_event("db.unreachable")
            self.assertIn("password authentication failed", node.lines("db.unreachable")[0]["msg"])
        put(self.secret, b"second\n")
        self.back_at_rate("rotated password", time.monotonic())
        for node in self.nodes:
            self.assertNotRegex(node.log_path.read_text(), "first|second[^s ]")


class Certificate(LoadTest):
    HBA = "hostssl app app 127.0.0.1/32 cert"

    @classmethod
    def settings(cls):
        cls.authority = Authority(cls.folder.path / "ca")
        cls.tls = cls.folder.path / "tls"
        cls.tls.mkdir()
        give_away(cls.tls, 0o700)
        shutil.copy(cls.authority.certificate, cls.tls / "ca")
        give_away(cls.tls / "ca")
        cls.renew_server()
        cls.credentials = cls.folder.path / "credentials"
        cls.credentials.mkdir()
        shutil.copy(cls.authority.certificate, cls.credentials / "database-ca")
        cls.renew_client()
        return (f"ssl = on\nssl_ca_file = '{cls.tls}/ca'\nssl_cert_file = '{cls.tls}/certificate'\n"
                f"ssl_key_file = '{cls.tls}/key'\n")

    @classmethod
    def renew_server(cls, **how):
        for source, name in zip(cls.authority.issue("server", "db.example", **how), ("certificate", "key")):
            put(cls.tls / name, source.read_bytes())
            give_away(cls.tls / name)

    @classmethod
    def renew_client(cls, **how):
        for source, name in zip(cls.authority.issue("client", "app", **how), ("certificate", "key")):
            put(cls.credentials / f"database-{name}", source.read_bytes())

    @classmethod
    def start_node(cls, name):
        return Node(None, name, url=cls.primary.url, queues={"default": SLOTS},
                    env={"CREDENTIALS_DIRECTORY": str(cls.credentials)})

    def lose_the_sessions(self, reason):
        before = [len(node.lines("db.unreachable")) for node in self.nodes]
        self.primary.terminate_backends()
        for node, seen in zip(self.nodes, before):
            wait_for("an outage to be told", lambda n=node, s=seen: len(n.lines("db.unreachable")) > s, 20)
            self.assertRegex(node.lines("db.unreachable")[-1]["msg"], reason)

    def wait_until_expired(self):
        begin = time.monotonic()
        wait_for("a certificate to expire", lambda: time.monotonic() - begin > 2, 5)

    def test_a_server_certificate_that_expires_and_is_renewed(self):
        self.renew_server(days=0)
        self.wait_until_expired()
        self.primary.reload()
        self.lose_the_sessions("certificate verify failed|certificate has expired")
        self.renew_server()
        self.primary.reload()
        self.back_at_rate("renewed server certificate", time.monotonic())

    def test_a_client_certificate_that_expires_and_is_renewed(self):
        self.renew_client(days=0)
        self.wait_until_expired()
        self.lose_the_sessions("certificate|alert|SSL")
        self.renew_client()
        self.back_at_rate("renewed client certificate", time.monotonic())

    def test_strangers_are_refused(self):
        stranger = Authority(self.folder.path / "stranger", "stranger")
        ca, (certificate, key) = self.authority.certificate, self.authority.issue("reader", "app")
        good = f"&sslcert={certificate}&sslkey={key}"

        def status(url):
            return run([BIN / "rowcrew", "--database", url, "status"], check=False,
                       env={"CREDENTIALS_DIRECTORY": "/nonexistent"})

        refused = status(f"{self.primary.url}?sslmode=verify-full&sslrootcert={stranger.certificate}{good}")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("certificate verify failed", refused.stderr)
        # The name in the certificate counts, too.
        other = self.primary.url.replace("127.0.0.1", "127.0.0.2") + "?sslmode=verify-full"
        self.assertNotEqual(status(f"{other}&sslrootcert={ca}{good}").returncode, 0)
        self.assertEqual(status(f"{self.primary.url}?sslmode=verify-full&sslrootcert={ca}{good}").returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
