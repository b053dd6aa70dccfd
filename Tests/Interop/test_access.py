"""The access point by three kinds of client: what is announced, who may send, and what comes of a message."""

import email.message
import email.policy
import smtplib
import ssl

from interop import compose
from interop.base import find, new_folder, run
from interop.case import InteropTest
from interop.expect import Sent
from interop.lab import ALDO, ANNA, PASSWORDS
from interop.wire import Wire, client_context

#: Both an address of a certified domain and an ordinary one.
MIXED = ["ufficio@pec.gamma.test", "giulia@posta.example.test"]


class Announcements(InteropTest):
    def test_submission_before_and_after_tls(self):
        with Wire(self.lab.ports.submission) as wire:
            self.assertEqual(wire.greeting.code, 220)
            before = wire.ehlo()
            self.assertIn("STARTTLS", before)
            self.assertNotIn("AUTH", before, "AUTH must not be offered before TLS")
            wire.start_tls(client_context(self.lab.ca))
            after = wire.ehlo()
        self.assertNotIn("STARTTLS", after)
        self.assertEqual(set(after.get("AUTH", "").split()), {"PLAIN", "LOGIN"})
        for keyword in ("PIPELINING", "SIZE", "CHUNKING", "ENHANCEDSTATUSCODES"):
            self.assertIn(keyword, after)
            self.assertIn(keyword, before)
        self.assertGreaterEqual(int(after["SIZE"]), 30 * 2**20)
        for keyword in ("8BITMIME", "SMTPUTF8", "BINARYMIME", "DSN", "XCLIENT"):
            self.assertNotIn(keyword, after, "pec-rules 4.7 and 13.8")

    def test_implicit_tls(self):
        with self.lab.submission(user=None, implicit=True) as wire:
            self.assertNotIn("STARTTLS", wire.extensions)
            self.assertIn("AUTH", wire.extensions)
            self.assertIn(wire.socket.version(), ("TLSv1.2", "TLSv1.3"))

    def test_trusted_listener(self):
        with self.lab.trusted() as wire:
            self.assertNotIn("AUTH", wire.extensions)
            self.assertIn("PIPELINING", wire.extensions)
            self.assertNotIn("8BITMIME", wire.extensions)

    def test_certificate_of_the_listeners(self):
        """Verified against DIR/ca.pem by Python and by openssl s_client."""
        for port, extra in ((self.lab.ports.submission, ["-starttls", "smtp"]), (self.lab.ports.implicit_tls, [])):
            for version in ("-tls1_2", "-tls1_3"):
                seen = run(
                    [
                        find("openssl"),
                        "s_client",
                        "-connect",
                        f"127.0.0.1:{port}",
                        "-CAfile",
                        self.lab.ca,
                        "-verify_return_error",
                        version,
                        *extra,
                    ],
                    stdin=b"QUIT\r\n",
                )
                self.assertEqual(seen.returncode, 0, seen.stderr.decode()[-800:])


class RawSocket(InteropTest):
    def test_trusted_message_to_a_mixed_list(self):
        sent = compose.simple("Domanda di iscrizione", MIXED, body=b"Alleghiamo la domanda.\r\n.\r\n..\r\nSaluti\r\n")
        with self.lab.trusted() as wire:
            wire.envelope(ANNA, sent.recipients)
            reply = wire.data(sent.octets)
            self.assertEqual((reply.code, (reply.enhanced or "")[:2]), (250, "2."), reply)
        receipt, carried = self.accepted(self.lab, sent)
        self.assertEqual(set(carried.envelope_to), set(MIXED))

    def test_submission_by_starttls_with_both_mechanisms(self):
        for login in ("auth_plain", "auth_login"):
            for initial in ((True, False) if login == "auth_plain" else (None,)):
                with self.subTest(login=login, initial=initial), self.lab.submission(user=None) as wire:
                    given = {} if initial is None else {"initial": initial}
                    self.assertEqual(getattr(wire, login)(ANNA, PASSWORDS[ANNA], **given).code, 235)
                    sent = compose.simple(f"Prova con {login}")
                    wire.envelope(ANNA, sent.recipients)
                    self.assertEqual(wire.data(sent.octets).code, 250)
                    wire.quit()
                    self.accepted(self.lab, sent)

    def test_implicit_tls_with_pipelining_and_bdat(self):
        with self.lab.submission(implicit=True) as wire:
            sent = compose.simple("A pezzi", body=b"x" * 500 + b"\r\n" + b"senza fine riga")
            wire.envelope(ANNA, sent.recipients, pipelined=True)
            self.assertEqual(wire.bdat(sent.octets, [10, 1, 300, 0, 0], pipelined=True).code, 250)
            self.accepted(self.lab, sent)

    def test_several_messages_in_one_session(self):
        with self.lab.trusted() as wire:
            sents = [compose.simple(f"Numero {number}") for number in range(5)]
            for sent in sents:
                wire.envelope(ANNA, sent.recipients)
                self.assertEqual(wire.data(sent.octets).code, 250)
            wire.quit()
        ids = {self.accepted(self.lab, sent, openssl=False)[0].message.data.pec_id for sent in sents}
        self.assertEqual(len(ids), 5)

    def test_local_recipient_gets_the_envelope_in_his_maildir(self):
        sent = compose.simple("Per Aldo", [ALDO])
        with self.lab.submission() as wire:
            wire.envelope(ANNA, [ALDO])
            self.assertEqual(wire.data(sent.octets).code, 250)
        _, carried = self.accepted(self.lab, sent, destination=self.lab.mailbox(ALDO))
        self.assertEqual((carried.return_path or "").strip("<>"), ANNA, "final delivery writes Return-Path from MAIL FROM")

    def test_local_and_foreign_recipients_together(self):
        sent = compose.simple("Per tutti", [ALDO, *MIXED])
        with self.lab.trusted() as wire:
            wire.envelope(ANNA, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        _, carried = self.accepted(self.lab, sent)
        local = compose.envelope(self.lab.mailbox(ALDO), sent)
        self.assertEqual(set(carried.envelope_to), set(MIXED))
        self.assertEqual(local.octets, carried.octets, "one envelope, the same octets everywhere")

    def test_recipient_without_a_mailbox(self):
        """Its domain is ours but there is no such user: a signed non-delivery notice (errore no-dest)."""
        from interop.expect import check_non_delivery

        nobody = "nessuno@pec.alfa.test"
        sent = compose.simple("A nessuno", [nobody, "giulia@posta.example.test"])
        with self.lab.trusted() as wire:
            wire.envelope(ANNA, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        self.accepted(self.lab, sent, openssl=False)
        notice = compose.receipt(self.lab.mailbox(ANNA), sent, "errore-consegna")
        self.fine(check_non_delivery(notice, sent, nobody, ("no-dest",)) + self.signed(notice, self.lab))
        self.fine(self.lab.judge.dtd(notice.message.xml))

    def test_same_recipient_twice_counts_once(self):
        sent = compose.simple("Due volte", ["giulia@posta.example.test"])
        with self.lab.trusted() as wire:
            wire.envelope(ANNA, ["giulia@posta.example.test", "giulia@posta.example.test", "Giulia@POSTA.example.test"])
            self.assertEqual(wire.data(sent.octets).code, 250)
        receipt, carried = compose.receipt(self.lab.mailbox(ANNA), sent), compose.envelope(self.lab.world, sent)
        self.assertEqual(len(receipt.message.data.recipients), 1)
        self.assertEqual(len(carried.envelope_to), 1)


class Entitlement(InteropTest):
    def test_sender_must_belong_to_the_user(self):
        with self.lab.submission(ANNA) as wire:
            reply = wire.command(f"MAIL FROM:<{ALDO}>")
            self.assertEqual((reply.code, reply.enhanced), (553, "5.7.1"), reply)
            reply = wire.command("MAIL FROM:<anna@posta.example.test>")
            self.assertEqual(reply.code, 553, reply)
            reply = wire.command("MAIL FROM:<>")
            self.assertEqual(reply.code, 553, reply)
            wire.expect(f"MAIL FROM:<{ANNA.upper()}>", 250)

    def test_no_mail_without_authentication(self):
        with self.lab.submission(user=None) as wire:
            reply = wire.command(f"MAIL FROM:<{ANNA}>")
            self.assertEqual((reply.code, reply.enhanced), (530, "5.7.0"), reply)
        with Wire(self.lab.ports.submission) as wire:
            wire.ehlo()
            self.assertEqual(wire.command(f"MAIL FROM:<{ANNA}>").code, 530)

    def test_wrong_passwords(self):
        for user, password in ((ANNA, "anna-secret "), (ANNA, ""), (ALDO, PASSWORDS[ANNA]), ("nessuno@pec.alfa.test", "x"), ("", "x")):
            with self.subTest(user=user, password=password), self.lab.submission(user=None) as wire:
                self.assertIn(wire.auth_plain(user, password).code, (535, 501))
                self.assertEqual(wire.command(f"MAIL FROM:<{ANNA}>").code, 530)
                self.assertEqual(wire.auth_plain(ANNA, PASSWORDS[ANNA]).code, 235, "a right password after a wrong one")

    def test_trusted_listener_knows_its_users_only(self):
        with self.lab.trusted() as wire:
            for sender in ("nessuno@pec.alfa.test", "x@posta.example.test"):
                self.assertIn(wire.command(f"MAIL FROM:<{sender}>").code, (550, 553))
            wire.expect(f"MAIL FROM:<{ANNA}>", 250)

    def test_failed_logins_end_the_session(self):
        with self.lab.submission(user=None) as wire:
            codes = []
            for _ in range(30):
                codes.append(wire.auth_plain(ANNA, "falsch").code)
                if codes[-1] == 421:
                    break
                if codes[-1] != 535:
                    self.fail(f"AUTH answered {codes}")
                if len(codes) >= 3:
                    wire.socket.settimeout(3)
                    try:
                        wire.send(b"NOOP\r\n")
                        if wire.reply().code == 421:
                            codes.append(421)
                            break
                    except (AssertionError, OSError):
                        break
            self.assertLess(len(codes), 30, "password guessing goes on and on")


class Smtplib(InteropTest):
    def message(self, subject: str) -> tuple[email.message.EmailMessage, str]:
        message = email.message.EmailMessage()
        mark = f"<{compose.token()}@client.example.test>"
        message["From"], message["To"], message["Subject"], message["Message-ID"] = ANNA, "giulia@posta.example.test", subject, mark
        message["Date"] = "Tue, 10 Mar 2026 09:14:58 +0100"
        message.set_content("È un messaggio di prova.\n", cte="quoted-printable")
        message.add_attachment(b"\x00\x01" * 3000, maintype="application", subtype="octet-stream", filename="allegato.bin")
        return message, mark

    def check(self, client: smtplib.SMTP, subject: str) -> None:
        message, mark = self.message(subject)
        message.set_boundary(f"confine-{compose.token()}")
        self.assertEqual(client.send_message(message), {})
        octets = message.as_bytes(policy=email.policy.SMTP)
        sent = Sent(octets, ANNA, ["giulia@posta.example.test"], subject, mark)
        self.accepted(self.lab, sent)

    def test_starttls(self):
        with smtplib.SMTP("127.0.0.1", self.lab.ports.submission, timeout=30) as client:
            client.starttls(context=client_context(self.lab.ca))
            client.login(ANNA, PASSWORDS[ANNA])
            self.check(client, "Da smtplib, con però un accento")

    def test_implicit_tls(self):
        with smtplib.SMTP_SSL("127.0.0.1", self.lab.ports.implicit_tls, context=client_context(self.lab.ca), timeout=30) as client:
            client.login(ANNA, PASSWORDS[ANNA])
            self.check(client, "Da smtplib 日本語")

    def test_trusted(self):
        with smtplib.SMTP("127.0.0.1", self.lab.ports.trusted, timeout=30) as client:
            self.check(client, "Da smtplib, in chiaro")

    def test_tls_1_1_is_refused(self):
        context = client_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            Wire(self.lab.ports.implicit_tls, implicit_tls=context)


class Swaks(InteropTest):
    def swaks(self, *options: str, attach: bool = False) -> None:
        self.need("swaks")
        mark = f"<{compose.token()}@client.example.test>"
        subject = "Da swaks"
        mail = compose.simple(subject, ["giulia@posta.example.test"], message_id=mark)
        path = new_folder("swaks") / "mail"
        path.write_bytes(mail.octets.replace(b"\r\n", b"\n"))
        done = run(
            [
                find("swaks"),
                "--server",
                "127.0.0.1",
                "--from",
                ANNA,
                "--to",
                "giulia@posta.example.test",
                "--helo",
                "client.example.test",
                "--data",
                f"@{path}",
                "--timeout",
                "30",
                *options,
            ]
        )
        self.assertEqual(done.returncode, 0, done.stdout.decode(errors="replace")[-3000:])
        got = compose.receipt(self.lab.mailbox(ANNA), mail)
        carried = compose.envelope(self.lab.world, mail)
        # swaks ends DATA with an additional line end; what it sent is what came between, to the octet.
        told = Sent(
            mail.octets + b"\r\n" if carried.message.original.endswith(b"\r\n\r\n") else mail.octets, ANNA, mail.recipients, subject
        )
        from interop import expect

        self.fine(expect.check_acceptance(got, told) + self.signed(got, self.lab))
        self.fine(expect.check_envelope(carried, told) + self.signed(carried, self.lab))

    def test_starttls_plain(self):
        self.swaks(
            "--port", str(self.lab.ports.submission), "--tls", "--auth", "PLAIN", "--auth-user", ANNA, "--auth-password", PASSWORDS[ANNA]
        )

    def test_starttls_login(self):
        self.swaks(
            "--port", str(self.lab.ports.submission), "--tls", "--auth", "LOGIN", "--auth-user", ANNA, "--auth-password", PASSWORDS[ANNA]
        )

    def test_implicit_tls(self):
        self.swaks(
            "--port",
            str(self.lab.ports.implicit_tls),
            "--tls-on-connect",
            "--auth",
            "PLAIN",
            "--auth-user",
            ANNA,
            "--auth-password",
            PASSWORDS[ANNA],
        )

    def test_trusted(self):
        self.swaks("--port", str(self.lab.ports.trusted))

    def test_pipelined(self):
        self.swaks("--port", str(self.lab.ports.trusted), "--pipeline")
