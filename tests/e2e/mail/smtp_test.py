#!/usr/bin/python3
"""A real node, a real relay (of our own): what leaves, what is refused, what is tried again."""
import email
import email.policy
import json
import pathlib
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from smtp_server import DROP, SILENT, SmtpServer, make_certificate  # noqa: E402
from support.adopted import adopt  # noqa: E402
from support.fleet import SOURCE, FleetTest, wait_for  # noqa: E402

DATA = {"file": "Bücher 🙂.jpg", "output": "out/1.jpg", "preset": "studio", "name": "Jörg"}


class MailTest(FleetTest):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory(prefix="rowcrew-mail-")
        self.servers = []
        # What is put off stays put off until a test says otherwise.
        self.db.execute("UPDATE rowcrew.job_type SET backoff_base_ms = 3600000 WHERE name = 'email'")

    def tearDown(self):
        for server in self.servers:
            server.close()
            self.assertEqual(server.problems, [])
        super().tearDown()
        self.folder.cleanup()

    def relay(self, **options):
        server = SmtpServer(**options)
        self.servers.append(server)
        return server

    def certificate(self):
        return make_certificate(self.folder.name)

    def mailing_node(self, server, name="node", scheme="smtp", fault=None, lease="30s", **mail):
        settings = {"transport": "smtp", "url": f"{scheme}://127.0.0.1:{server.port}", "ehlo": "node.test", "tls": "off"}
        settings.update(mail)
        return self.node(name, fault=fault, node={"lease": lease}, mail=settings, egress={"allow": ["127.0.0.1"]},
                         kinds={"email": {"from": "Studio <noreply@studio.example>",
                                          "templates": str(SOURCE / "etc/mail")}}).ready()

    def send(self, to="anna@mail.example", **more):
        self.enqueue("email", payload=json.dumps({"to": to, "template": "photo_ready", "data": DATA, **more}))
        return self.db.value("SELECT id FROM rowcrew.job_queue ORDER BY created_at DESC, id DESC LIMIT 1")

    def state(self, job):
        return self.db.execute("SELECT j.status, j.attempts, coalesce(n.status, '-'), coalesce(n.error_code, '-') "
                               "FROM rowcrew.job_queue j LEFT JOIN rowcrew.email_notifications n ON n.job_id = j.id "
                               "WHERE j.id = %s", (job,))[0]

    def wait_status(self, job, *wanted, within=30):
        return wait_for(f"job to be {wanted}, is {self.state(job)}",
                        lambda: self.state(job) if self.state(job)[0] in wanted else None, within)

    def wait_goodbye(self, server):
        """A node waits for no answer to it: its mail may be on record before."""
        wait_for("the relay to hear QUIT", lambda: server.verbs()[-1:] == ["QUIT"])

    def run_again(self, job):
        self.db.execute("UPDATE rowcrew.job_queue SET scheduled_at = rowcrew.clock(), status = 'pending' "
                        "WHERE id = %s AND status = 'retrying'", (job,))


class Accepted(MailTest):
    def test_a_mail_is_delivered_readable_and_on_record(self):
        server = self.relay()
        self.mailing_node(server)
        job = self.send(name="Jörg Ö.")
        self.assertEqual(self.wait_status(job, "completed", "failed"), ("completed", 1, "sent", "-"))
        (sender, recipients, raw), = server.accepted
        self.assertEqual((sender, recipients), ("noreply@studio.example", ("anna@mail.example",)))
        raw.decode("ascii")
        self.assertLessEqual(max(map(len, raw.split(b"\r\n"))), 76)
        mail = email.message_from_bytes(raw, policy=email.policy.SMTP)
        self.assertEqual(mail.defects, [])
        self.assertEqual(mail["Subject"], "Your photo Bücher 🙂.jpg is ready")
        to, = mail["To"].addresses
        self.assertEqual((to.display_name, to.addr_spec), ("Jörg Ö.", "anna@mail.example"))
        self.assertEqual(mail["From"].addresses[0].display_name, "Studio")
        self.assertEqual(mail["Auto-Submitted"], "auto-generated")
        self.assertIn("Hello Jörg,", mail.get_body(("plain",)).get_content())
        self.assertIn("<strong>Bücher 🙂.jpg</strong>", mail.get_body(("html",)).get_content())
        message_id, transport = self.db.execute("SELECT message_id, transport FROM rowcrew.email_notifications")[0]
        self.assertEqual((f"<{message_id}>", "smtp"), (mail["Message-ID"], transport))
        self.wait_goodbye(server)
        self.assertEqual(server.verbs(), ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"])

    def test_a_job_of_an_adopted_table_with_numbers_as_keys_sends_its_mail(self):
        server = self.relay()
        self.db.execute("CREATE SCHEMA shop; CREATE TABLE shop.orders (id bigserial PRIMARY KEY, kind text, args jsonb, state text DEFAULT 'new')")
        adopt(self.db, "orders", text="schema: shop\ntable: orders\nold_worker: none\npayload: args\n"
              "states: {pending: new, processing: busy, completed: paid, failed: lost}\ncolumns: {status: state, job_type: kind}\n")
        self.mailing_node(server).wait_event("table.served")
        self.db.execute("INSERT INTO shop.orders (kind, args) VALUES ('email', %s)",
                        (json.dumps({"to": "anna@mail.example", "template": "photo_ready", "data": DATA}),))
        wait_for("the order to end", lambda: self.db.value("SELECT state FROM shop.orders") in ("paid", "lost"))
        self.assertEqual(self.db.execute("SELECT status, recipient, error_message, job_id = rowcrew.job_uuid('shop_orders', 1) FROM rowcrew.email_notifications"),
                         [("sent", "anna@mail.example", None, True)])
        self.assertEqual([recipients for _, recipients, _ in server.accepted], [("anna@mail.example",)])

    def test_a_hundred_mails_arrive_once_each(self):
        server = self.relay()
        self.mailing_node(server)
        for i in range(100):
            self.send(f"p{i}@mail.example")
        self.wait_finished()
        self.assertEqual(self.db.counts(), {"completed": 100})
        self.assertEqual(sorted(r for _, (r,), _ in server.accepted), sorted(f"p{i}@mail.example" for i in range(100)))
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.email_notifications WHERE status = 'sent'"), 100)


class Refused(MailTest):
    def test_the_relays_words_decide(self):
        server = self.relay()
        self.mailing_node(server)
        for verb, reply, state in (
                ("RCPT", "550-5.1.1 The address\r\n550 5.1.1 is unknown", ("failed", 1, "failed", "mail_refused")),
                ("RCPT", "450 4.7.1 greylisted", ("retrying", 1, "retrying", "mail_busy")),
                ("RCPT", "552 5.2.2 mailbox full", ("retrying", 1, "retrying", "mail_busy")),
                ("MAIL", "451 4.3.0 trouble", ("retrying", 1, "retrying", "mail_busy")),
                ("END", "554 5.7.1 spam", ("failed", 1, "failed", "mail_refused")),
                ("END", "452 4.3.1 no space", ("retrying", 1, "retrying", "mail_busy")),
                ("CONNECT", "554 5.7.1 blocked", ("retrying", 1, "retrying", "mail_connect"))):
            with self.subTest(reply=reply):
                server.script[verb] = [reply]
                job = self.send()
                self.assertEqual(self.wait_status(job, "failed", "retrying", "completed"), state)
                message = self.db.value("SELECT error_message FROM rowcrew.email_notifications WHERE job_id = %s", (job,))
                self.assertIn(reply.splitlines()[-1][4:], message)
                self.db.execute("DELETE FROM rowcrew.job_queue WHERE status = 'retrying'")
        self.assertEqual(server.accepted, [])

    def test_a_bad_address_reaches_no_relay_and_has_its_row(self):
        server = self.relay()
        self.mailing_node(server)
        job = self.send("a@b.example\r\nRCPT TO:<c@d.example>")
        self.assertEqual(self.wait_status(job, "failed"), ("failed", 1, "failed", "bad_address"))
        self.assertEqual(server.verbs(), [])

    def test_a_dropped_connection_after_the_message_is_repeated_byte_by_byte(self):
        server = self.relay()
        self.mailing_node(server)
        server.script["END"] = [DROP]
        job = self.send()
        self.assertEqual(self.wait_status(job, "retrying"), ("retrying", 1, "retrying", "mail_connect"))
        self.run_again(job)
        # Setting it to pending by hand is a fresh start for the engine, not for the mail.
        self.assertEqual(self.wait_status(job, "completed")[2:], ("sent", "-"))
        self.assertEqual(len(server.received), 2)
        self.assertEqual(server.received[0], server.received[1])

    def test_a_silent_relay_is_a_timeout_and_holds_up_nobody(self):
        server = self.relay()
        self.mailing_node(server, timeout="1s")
        server.script["END"] = [SILENT]
        job = self.send()
        self.wait_for_silence(server)
        began = time.monotonic()
        self.enqueue("noop", 50)
        wait_for("other jobs to run", lambda: self.db.value(
            "SELECT count(*) FROM rowcrew.job_queue WHERE job_type = 'noop' AND status = 'completed'") == 50)
        took = time.monotonic() - began
        self.assertEqual(self.wait_status(job, "retrying"), ("retrying", 1, "retrying", "mail_timeout"))
        self.assertLess(took, 5)

    def wait_for_silence(self, server):
        wait_for("the message to arrive", lambda: server.received)


class Tls(MailTest):
    def test_no_starttls_no_mail(self):
        server = self.relay()
        self.mailing_node(server, tls="required")
        job = self.send()
        self.assertEqual(self.wait_status(job, "retrying"), ("retrying", 1, "retrying", "mail_tls"))
        self.assertNotIn("MAIL", server.verbs())

    def test_starttls_with_login(self):
        certificate = self.certificate()
        server = self.relay(starttls=True, certificate=certificate, user="u", password="pä ss")
        self.mailing_node(server, tls="required", ca_file=str(certificate[0]), user="u", password="pä ss")
        job = self.send()
        self.assertEqual(self.wait_status(job, "completed", "retrying", "failed"), ("completed", 1, "sent", "-"))
        self.wait_goodbye(server)
        self.assertEqual([(verb, tls) for verb, _, tls in server.commands],
                         [("EHLO", False), ("STARTTLS", False), ("EHLO", True), ("AUTH", True), ("MAIL", True),
                          ("RCPT", True), ("DATA", True), ("QUIT", True)])

    def test_implicit_tls(self):
        certificate = self.certificate()
        server = self.relay(implicit_tls=True, certificate=certificate)
        self.mailing_node(server, scheme="smtps", tls="required", ca_file=str(certificate[0]))
        job = self.send()
        self.assertEqual(self.wait_status(job, "completed", "retrying", "failed"), ("completed", 1, "sent", "-"))

    def test_an_unknown_certificate_gets_no_mail(self):
        server = self.relay(starttls=True, certificate=self.certificate())
        for policy in ("required", "opportunistic"):
            node = self.mailing_node(server, name=policy, tls=policy)
            job = self.send()
            self.assertEqual(self.wait_status(job, "retrying"), ("retrying", 1, "retrying", "mail_tls"))
            node.stop()
        self.assertNotIn("MAIL", server.verbs())

    def test_a_wrong_password_is_the_operators_business(self):
        certificate = self.certificate()
        server = self.relay(starttls=True, certificate=certificate, user="u", password="right")
        node = self.mailing_node(server, tls="required", ca_file=str(certificate[0]), user="u", password="wrong-secret")
        job = self.send()
        self.assertEqual(self.wait_status(job, "retrying"), ("retrying", 1, "retrying", "mail_login"))
        self.assertNotIn("wrong-secret", node.log_path.read_text())
        self.assertNotIn("wrong-secret", str(self.db.execute("SELECT error_message FROM rowcrew.email_notifications")))


class Crash(MailTest):
    def test_a_node_that_dies_after_the_relays_yes_sends_the_same_bytes_again(self):
        server = self.relay()
        dying = self.mailing_node(server, name="dying", fault="email.sent:1", lease="3s")
        job = self.send()
        dying.exited()
        self.assertEqual(self.state(job)[2], "sending")
        self.mailing_node(server, name="heir", lease="3s")
        self.assertEqual(self.wait_status(job, "completed", within=90)[2:], ("sent", "-"))
        self.assertEqual(len(server.accepted), 2)
        self.assertEqual(server.accepted[0], server.accepted[1])

    def test_a_maildir_shows_it_once(self):
        box = pathlib.Path(self.folder.name, "box")
        kinds = {"email": {"templates": str(SOURCE / "etc/mail")}}
        dying = self.node("dying", fault="email.sent:1", node={"lease": "3s"}, mail={"maildir": str(box)}, kinds=kinds).ready()
        job = self.send()
        dying.exited()
        self.node("heir", node={"lease": "3s"}, mail={"maildir": str(box)}, kinds=kinds).ready()
        self.assertEqual(self.wait_status(job, "completed", within=90)[2:], ("sent", "-"))
        (mail,) = (box / "new").iterdir()
        self.assertIn(f"Message-ID: <{mail.name}@".encode(), mail.read_bytes())
        self.assertEqual(list((box / "tmp").iterdir()), [])


class Start(MailTest):
    def test_a_broken_template_stops_the_start_and_names_file_and_line(self):
        for part, text in (("subject", "s"), ("txt", "Hello\n{{#name}}\n"), ("html", "h")):
            pathlib.Path(self.folder.name, f"hello.{part}").write_text(text)
        node = self.node(kinds={"email": {"templates": self.folder.name}})
        self.assertEqual(node.exited(), 78)
        self.assertIn(f"{self.folder.name}/hello.txt:2: section name is never closed", node.log_path.read_text())


if __name__ == "__main__":
    unittest.main(verbosity=2)
