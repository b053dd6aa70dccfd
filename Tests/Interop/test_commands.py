"""The operator's commands: what they print for people and machines, and their exit codes (sysexits)."""

import json
import os
import re

from interop import base, compose
from interop.base import executable, new_folder, poll, run
from interop.case import InteropTest
from interop.lab import ALDO, ANNA, OPERATOR, Gateway
from interop.sink import Sink

EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE, EX_CONFIG = 64, 65, 66, 69, 78


def ceralacca(*arguments, seconds: float = 60):
    done = run([executable(), *arguments], seconds)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Help(InteropTest):
    def test_every_command_explains_itself(self):
        for verb in (
            [],
            ["serve"],
            ["check"],
            ["lab"],
            ["demo"],
            ["queue"],
            ["queue", "list"],
            ["queue", "show"],
            ["queue", "retry"],
            ["queue", "drop"],
            ["queue", "bounce"],
            ["queue", "hold"],
            ["queue", "release"],
            ["queue", "drain"],
            ["queue", "summary"],
            ["log"],
            ["log", "tail"],
            ["verify"],
            ["doctor"],
        ):
            code, out, _ = ceralacca(*verb, "--help")
            self.assertEqual(code, 0, verb)
            self.assertRegex(out, "(?i)usage", verb)

    def test_examples(self):
        for verb in (["serve"], ["check"], ["lab"], ["demo"], ["queue", "list"], ["log", "tail"], ["verify"], ["doctor"]):
            _, out, _ = ceralacca(*verb, "--help")
            self.assertRegex(out, "(?i)example|ceralacca " + " ".join(verb) + " [^\n]*[-/.]", f"no example in the help of {verb}")

    def test_wrong_usage(self):
        for arguments in (["frobnicate"], ["serve"], ["doctor"], ["check"], ["verify"], ["queue", "show"], ["serve", "--konfig", "x"]):
            code, _, err = ceralacca(*arguments)
            self.assertEqual(code, EX_USAGE, arguments)
            self.assertTrue(err, arguments)


class Check(InteropTest):
    def setUp(self):
        self.good = (Gateway.template() / "alfa" / "ceralacca.yaml").read_text()
        self.folder = Gateway.template() / "alfa"

    def check(self, text: str, *options: str):
        path = self.folder / f"check-{os.getpid()}.yaml"
        path.write_text(text)
        self.addCleanup(lambda: path.unlink(missing_ok=True))
        return path, ceralacca("check", "--config", path, *options)

    def test_the_laboratorys_own(self):
        _, (code, out, err) = self.check(self.good)
        self.assertEqual(code, 0, out + err)

    def test_broken_ones_are_named_with_their_line(self):
        lines = self.good.splitlines()

        def number(start: str) -> int:
            return next(at for at, line in enumerate(lines, 1) if line.startswith(start))

        def instead(start: str, new: str) -> str:
            return "\n".join(new if line.startswith(start) else line for line in lines) + "\n"

        cases = [
            ("unknown key", self.good + "farbe: rot\n", len(lines) + 1, "farbe"),
            ("misspelt key", instead("hostname:", "hostnaem: mx.alfa.test"), number("hostname:"), "hostnaem"),
            ("a port that is none", self.good.replace("kind: submission,", "kind: submission, port: 99999, xport: 1, ", 1), None, "port"),
            ("a word where a number belongs", instead("lanes:", "lanes: many"), number("lanes:"), "lanes"),
            ("zero lanes", instead("lanes:", "lanes: 0"), number("lanes:"), "lanes"),
            ("unknown key in a part", instead("log:", "log: { format: text, farbe: rot }"), number("log:"), "farbe"),
            ("unknown word", instead("log:", "log: { format: xml }"), number("log:"), "format"),
            ("not YAML", instead("lanes:", "lanes: [1, 2"), None, ""),
            ("a tab", instead("lanes:", "\tlanes: 1"), None, ""),
            ("no routes", instead("routes:", "strade:"), number("routes:"), "strade"),
            ("missing file", re.sub(r"(?m)^index:.*$", "index: { file: nicht-da.ldif }", self.good), None, "nicht-da.ldif"),
            (
                "a limit that is no limit",
                (
                    self.good + "limits:\n  maximumFaults: 0\n"
                    if "limits:" not in self.good
                    else self.good.replace("limits:\n", "limits:\n  maximumFaults: 0\n")
                ),
                None,
                "maximumFaults",
            ),
            ("a file that is empty", "", None, ""),
        ]
        problems = []
        for name, text, line, word in cases:
            path, (code, out, err) = self.check(text)
            said = out + err
            if code != EX_CONFIG:
                problems.append(f"{name}: exit code {code}: {said}")
            if line and not re.search(rf"{re.escape(path.name)}:{line}\b", said):
                problems.append(f"{name}: line {line} is not named: {said}")
            if word not in said:
                problems.append(f"{name}: {word} is not named: {said}")
            if not line and name not in ("a file that is empty", "missing file") and not re.search(rf"{re.escape(path.name)}:\d+", said):
                problems.append(f"{name}: no line is named: {said}")
        self.fine(problems)

    def test_all_problems_at_once(self):
        _, (code, out, err) = self.check(self.good + "farbe: rot\nton: laut\n")
        self.assertEqual(code, EX_CONFIG)
        self.assertIn("farbe", out + err)
        self.assertIn("ton", out + err)

    def test_json(self):
        _, (code, out, _) = self.check(self.good, "--json")
        self.assertEqual((code, json.loads(out)["ok"]), (0, True))
        _, (code, out, _) = self.check(self.good + "farbe: rot\n", "--json")
        report = json.loads(out)
        self.assertEqual((code, report["ok"]), (EX_CONFIG, False))
        self.assertTrue(any("farbe" in error for error in report["errors"]))

    def test_a_key_that_does_not_match(self):
        key = run([base.find("openssl"), "genrsa", "2048"]).stdout
        wrong = self.folder / "wrong.key"
        wrong.write_bytes(key)
        self.addCleanup(wrong.unlink)
        _, (code, out, err) = self.check(re.sub(r"(signer: \{ certificate: [^,]+, key: )[^,]+", r"\1wrong.key", self.good))
        self.assertEqual(code, EX_CONFIG)
        self.assertIn("signer", out + err)

    def test_serve_does_not_start_with_it(self):
        path, _ = self.check(self.good + "farbe: rot\n")
        code, out, err = ceralacca("serve", "--config", path)
        self.assertEqual(code, EX_CONFIG)
        self.assertIn("farbe", out + err)

    def test_no_such_file(self):
        code, out, err = ceralacca("check", "--config", self.folder / "nicht-da.yaml")
        self.assertIn(code, (EX_NOINPUT, EX_CONFIG))
        self.assertIn("nicht-da", out + err)


class Verify(InteropTest):
    @classmethod
    def setUpClass(cls):
        from interop.lab import shared

        lab = shared()
        cls.folder = new_folder("verify")
        sent = compose.simple("Da verificare", ["ufficio@pec.gamma.test", "giulia@posta.example.test"])
        with lab.trusted() as wire:
            wire.envelope(ANNA, sent.recipients)
            assert wire.data(sent.octets).code == 250
        cls.receipt = compose.receipt(lab.mailbox(ANNA), sent)
        cls.envelope = compose.envelope(lab.world, sent)

    def verify(self, octets: bytes, *options: str, name: str = "mail.eml"):
        path = self.folder / name
        path.write_bytes(octets)
        return ceralacca("verify", "--ca", self.lab.ca, *options, path)

    def test_good_ones(self):
        for stored in (self.receipt, self.envelope):
            code, out, err = self.verify(stored.octets)
            self.assertEqual(code, 0, out + err)
            self.assertIn("posta-certificata@pec.alfa.test", out)
            self.assertIn(stored.message.data.pec_id, out)

    def test_as_they_lie_in_the_folders(self):
        code, out, err = ceralacca("verify", "--ca", self.lab.ca, self.receipt.path, self.envelope.path)
        self.assertEqual(code, 0, out + err)

    def test_line_feeds_only(self):
        for stored in (self.receipt, self.envelope):
            code, out, err = self.verify(stored.octets.replace(b"\r\n", b"\n"))
            self.assertEqual(code, 0, out + err)

    def test_tampered(self):
        octets = self.envelope.octets
        message = self.envelope.message
        at = octets.index(message.signed)
        cases = {
            "a letter of the original": octets.replace(b"Buongiorno.", b"Buonasera!!", 1),
            "a space more at a line's end": octets.replace(b"Buongiorno.\r\n", b"Buongiorno. \r\n", 1),
            "a line more": octets.replace(b"Buongiorno.\r\n", b"Buongiorno.\r\n\r\n", 1),
            "the first octet that is signed": octets[:at] + b"c" + octets[at + 1 :],
            "the last octet that is signed": octets[: at + len(message.signed) - 1] + b"x" + octets[at + len(message.signed) :],
            "an octet of the signature": self.signature_broken(octets),
            "cut short": octets[: len(octets) * 2 // 3],
            "without its signature": octets.replace(b"smime.p7s", b"altro.bin")
            .replace(b"application/pkcs7-signature", b"application/octet-stream")
            .replace(b"application/x-pkcs7-signature", b"application/octet-stream"),
            "Subject and kind of another": octets.replace(b"X-Trasporto: posta-certificata", b"X-Ricevuta: accettazione", 1),
            "ordinary mail": b"From: a@b\r\nTo: c@d\r\n\r\nciao\r\n",
            "empty": b"",
            "garbage": os.urandom(10_000),
        }
        problems = []
        for name, broken in cases.items():
            self.assertNotEqual(broken, octets, name)
            code, out, err = self.verify(broken)
            if code != EX_DATAERR:
                problems.append(f"{name}: exit code {code}: {out}{err}")
            if not out.strip():
                problems.append(f"{name}: nothing is said")
        self.fine(problems)

    @staticmethod
    def signature_broken(octets: bytes) -> bytes:
        at = octets.rindex(b"\r\n\r\n--") - 100
        other = b"A" if octets[at : at + 1] != b"A" else b"B"
        return octets[:at] + other + octets[at + 1 :]

    def test_one_bad_among_good(self):
        bad = self.folder / "bad.eml"
        bad.write_bytes(self.receipt.octets.replace(b"Identificativo", b"identificativo", 1))
        code, out, _ = ceralacca("verify", "--ca", self.lab.ca, self.receipt.path, bad, self.envelope.path)
        self.assertEqual(code, EX_DATAERR, out)

    def test_another_ca(self):
        other = self.folder / "other.pem"
        run(
            [
                base.find("openssl"),
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                "/CN=Altra",
                "-keyout",
                self.folder / "k",
                "-out",
                other,
            ]
        )
        code, out, _ = ceralacca("verify", "--ca", other, self.receipt.path)
        self.assertEqual(code, EX_DATAERR, out)
        code, _, _ = ceralacca("verify", self.receipt.path)
        self.assertEqual(code, EX_DATAERR, "the laboratory's CA is not among the system's")

    def test_no_such_file(self):
        code, _, _ = ceralacca("verify", "--ca", self.lab.ca, self.folder / "nicht-da.eml")
        self.assertEqual(code, EX_NOINPUT)

    def test_json(self):
        code, out, _ = self.verify(self.envelope.octets, "--json")
        found = json.loads(out)
        self.assertEqual((code, found["holds"], found["identifier"]), (0, True, self.envelope.message.data.pec_id))
        self.assertEqual(found["sender"], ANNA)


class Queue(InteropTest):
    """A gateway whose next hop is away: what waits is listed, shown, tried again and dropped."""

    @classmethod
    def setUpClass(cls):
        cls.sink = Sink()
        cls.sink.stop()
        cls.gateway = Gateway(cls.sink.port, lambda yaml: yaml.limits(firstRetrySeconds=600, lastRetrySeconds=600)).start()

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()
        cls.sink.stop()

    def command(self, *arguments):
        return ceralacca(*arguments, "--config", self.gateway.configuration)

    def rows(self) -> list[dict]:
        code, out, err = self.command("queue", "list", "--json")
        self.assertEqual(code, 0, err)
        return [json.loads(line) for line in out.splitlines()]

    def submit(self, subject: str):
        sent = compose.simple(subject, ["ufficio@pec.gamma.test", f"{compose.token()}@posta.example.test"])
        with self.gateway.trusted() as wire:
            wire.envelope(ANNA, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        receipt = compose.receipt(self.gateway.mailbox(ANNA), sent)
        pec_id = receipt.message.data.pec_id
        row = poll(
            lambda: next((row for row in self.rows() if row["pecID"] == pec_id and row["attempts"] > 0), None),
            30,
            "the failed attempt in the queue",
        )
        return sent, pec_id, row

    def test_list_show_retry(self):
        sent, pec_id, row = self.submit("In coda")
        self.assertEqual(row["sender"], ANNA)
        self.assertEqual(set(row["recipients"]), set(sent.recipients))
        self.assertTrue(row.get("lastError"))
        self.assertGreater(row["bytes"], len(sent.octets))
        code, out, _ = self.command("queue", "list")
        self.assertEqual(code, 0)
        self.assertIn(row["id"], out)
        code, out, _ = self.command("queue", "show", row["id"])
        self.assertEqual(code, 0)
        for each in sent.recipients:
            self.assertIn(each, out)
        code, out, _ = self.command("queue", "show", row["id"], "--json")
        self.assertEqual((code, json.loads(out)["id"]), (0, row["id"]))
        self.sink.start()
        try:
            code, out, err = self.command("queue", "retry", row["id"])
            self.assertEqual(code, 0, out + err)
            poll(
                lambda: [taken for taken in self.sink.taken if sent.message_id.encode() in taken.octets], 30, "the envelope after the retry"
            )
            poll(lambda: all(each["id"] != row["id"] for each in self.rows()), 30, "the entry leaving the queue")
        finally:
            self.sink.stop()

    def test_drop(self):
        sent, pec_id, row = self.submit("Da togliere")
        code, out, err = self.command("queue", "drop", row["id"])
        self.assertEqual(code, 0, out + err)
        poll(lambda: all(each["id"] != row["id"] for each in self.rows()), 30, "the entry leaving the queue")
        self.assertFalse([taken for taken in self.sink.taken if sent.message_id.encode() in taken.octets])
        code, out, _ = self.command("log", "tail", "--json")
        events = [json.loads(line) for line in out.splitlines()]
        (removed,) = {event["detail"] for event in events if event["pecID"] == pec_id and event["event"] == "rimosso-dal-gestore"}
        self.assertEqual(removed, f"removed from the queue by {OPERATOR}")
        self.assertIn(f"{OPERATOR} asks: queue bounce entry {row['id']}", self.gateway.log.read_text())
        # His name stays here: the sender's notice has the provider's word alone.
        notice = compose.receipt(self.gateway.mailbox(ANNA), sent, "errore-consegna")
        self.assertNotIn(b"(uid ", notice.octets)

    def test_no_such_entry(self):
        for verb in ("show", "retry", "drop"):
            code, out, err = self.command("queue", verb, "gibt-es-nicht")
            self.assertNotEqual(code, 0, verb)
            self.assertIn("gibt-es-nicht", out + err)

    def test_log(self):
        """Every step with the fields of pec-rules 9.1."""
        sent = compose.simple("Nel registro", [ALDO])
        with self.gateway.trusted() as wire:
            wire.envelope(ANNA, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        receipt = compose.receipt(self.gateway.mailbox(ANNA), sent)
        compose.envelope(self.gateway.mailbox(ALDO), sent)
        pec_id = receipt.message.data.pec_id

        def events() -> list[dict]:
            code, out, err = self.command("log", "tail", "--json")
            self.assertEqual(code, 0, err)
            return [event for event in map(json.loads, out.splitlines()) if event["pecID"] == pec_id]

        due = {"accettazione", "busta-trasporto", "presa-in-carico", "avvenuta-consegna", "recapito-ricevuta"}
        poll(lambda: due <= {event["event"] for event in events()}, 30, lambda: f"{due}, got {[event['event'] for event in events()]}")
        found = {event["event"]: event for event in events()}
        accepted = found["accettazione"]
        self.assertEqual((accepted["sender"], accepted["subject"], accepted["msgid"]), (ANNA, "Nel registro", sent.message_id))
        self.assertEqual(accepted["recipients"], [{"address": ALDO, "class": "certificato"}])
        self.assertTrue(accepted["provider"])
        numbers = [event["number"] for event in events()]
        self.assertEqual(numbers, sorted(set(numbers)))
        code, out, _ = self.command("log", "tail")
        self.assertEqual(code, 0)
        self.assertIn(pec_id, out)

    def test_commands_without_a_running_gateway(self):
        gateway = Gateway(self.sink.port)
        code, _, err = ceralacca("queue", "retry", "x", "--config", gateway.configuration)
        self.assertNotEqual(code, 0)
        self.assertTrue(err)


class Demo(InteropTest):
    def test_demo(self):
        self.need("openssl")
        code, out, err = ceralacca("demo", "--dir", new_folder("demo") / "lab", seconds=180)
        self.assertEqual(code, 0, out[-3000:] + err[-3000:])
        for word in ("POSTA CERTIFICATA", "ACCETTAZIONE", "anna@pec.alfa.test", "openssl", "Bcc"):
            self.assertIn(word, out)


class Reload(InteropTest):
    def test_index_on_hangup(self):
        """SIGHUP: a new provider in the index makes its domain certified; a broken index leaves the last good one."""
        import signal

        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = Gateway(sink.port)
        index = gateway.folder / "index.ldif"
        gateway.configuration.write_text(re.sub(r"(?m)^index:.*$", f"index: {{ file: {index} }}", gateway.configuration.read_text()))
        gateway.start()
        self.addCleanup(gateway.stop)

        def classes(recipient: str) -> list[str]:
            sent = compose.simple("Indice", [recipient])
            with gateway.trusted() as wire:
                wire.envelope(ANNA, sent.recipients)
                self.assertEqual(wire.data(sent.octets).code, 250)
            return [kind for _, kind in compose.receipt(gateway.mailbox(ANNA), sent).message.data.recipients]

        self.assertEqual(classes("x@pec.delta.test"), ["esterno"])
        old = index.read_bytes()
        more = old.replace(b"managedDomains: pec.gamma.test", b"managedDomains: pec.gamma.test\nmanagedDomains: pec.delta.test")
        self.assertNotEqual(more, old)
        index.write_bytes(more)
        gateway.process.send_signal(signal.SIGHUP)
        poll(lambda: classes("x@pec.delta.test") == ["certificato"], 20, "the new index in use", every=0.2)
        self.assertEqual(classes("x@pec.gamma.test"), ["certificato"])
        index.write_bytes(b"")
        gateway.process.send_signal(signal.SIGHUP)
        poll(lambda: "index" in base.tail(gateway.log, 30).lower(), 20, "a word about the index in the log")
        self.assertEqual(classes("x@pec.delta.test"), ["certificato"], "the last good index is kept")
