"""Log lines that programs for Postfix's log understand: pflogsumm counts what the gateway did, and JSON lines have the same facts."""

import json
import re

from interop import compose, forgers
from interop.base import find, poll, run
from interop.case import InteropTest
from interop.counterpart import transaction
from interop.forgers import MARIO, plain
from interop.lab import ALDO, ANNA, BRUNO, Gateway, service_mailbox
from interop.provider import Provider
from interop.sink import Sink

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d mx\S+ ceralacca/[a-z]+\[\d+\]: \S")
MALLORY = "mallory@evil.example.test"


class Readers(InteropTest):
    def world(self, form: str) -> tuple[Gateway, Sink]:
        later = []

        def policy(stage: str, argument: str) -> str | None:
            if stage == "RCPT" and "rinviato@" in argument and not later:
                later.append(argument)
                return "450 4.2.1 Try later (a policy)"
            return "550 5.1.1 No such user" if stage == "RCPT" and "respinto@" in argument else None

        sink = Sink(policy)
        self.addCleanup(sink.stop)
        gateway = Gateway(
            sink.port, lambda yaml: yaml.limits(firstRetrySeconds=1, lastRetrySeconds=1).set(f"{{ format: {form}, level: info }}", "log")
        ).start()
        self.addCleanup(gateway.stop)
        return gateway, sink

    def traffic(self, gateway: Gateway) -> int:
        """Things of every kind; the octets of what was taken."""
        gamma = Provider(forgers.Identity(gateway.folder / "gamma" / "signer.pem"))
        first = compose.simple("Uno", ["ok@posta.example.test"])
        second = compose.simple("Due", ["ok2@posta.example.test", "respinto@posta.example.test", "rinviato@posta.example.test"])
        faulty = compose.simple("Tre", from_="altri@pec.alfa.test")
        with gateway.submission(None) as wire:
            self.assertEqual(wire.auth_plain(ANNA, "falsch").code, 535)
            self.assertEqual(wire.auth_plain(ANNA, "anna-secret").code, 235)
            for sent in (first, second, faulty):
                wire.envelope(ANNA, sent.recipients)
                self.assertEqual(wire.data(sent.octets).code, 250)
            self.assertEqual(wire.command(f"MAIL FROM:<{ALDO}>").code, 553)
        letter = gamma.envelope(MARIO, [ANNA])
        ordinary = plain(MALLORY, body=b"Saluti\r\n")
        with gateway.incoming(tls=True) as wire:
            self.assertEqual(transaction(wire, MARIO, [ANNA], letter.octets).code, 250)
            self.assertEqual(transaction(wire, MALLORY, [ANNA], ordinary).code, 250)
            self.assertEqual(transaction(wire, MALLORY, [ANNA], plain(BRUNO)).code, 550)
            wire.expect(f"MAIL FROM:<{MALLORY}>", 250)
            self.assertEqual(wire.command("RCPT TO:<giulia@posta.example.test>").code, 550)
        for kind in ("accettazione", "non-accettazione"):
            poll(lambda kind=kind: any(each.kind == kind for each in gateway.mailbox(ANNA).all), 30, kind)
        gateway.settled()
        return sum(map(len, (first.octets, second.octets, faulty.octets, letter.octets, ordinary)))

    def delivered(self, gateway: Gateway, sink: Sink) -> int:
        boxes = sum(len(gateway.mailbox(address).all) for address in (ANNA, ALDO, service_mailbox("alfa")))
        return boxes + sum(len(taken.recipients) for taken in sink.taken)

    def test_pflogsumm(self):
        self.need("pflogsumm")
        gateway, sink = self.world("syslog")
        octets = self.traffic(gateway)
        gateway.stop()
        lines = [line for line in gateway.log.read_text("utf-8", "replace").splitlines() if not line.startswith("ceralacca: listening")]
        for line in lines:
            self.assertRegex(line, LINE)
        report = run([find("pflogsumm"), "--syslog-name=ceralacca", gateway.log], env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}).stdout.decode()

        def count(what: str) -> int:
            found = re.search(rf"^ *(\d+)k? +{what}", report, re.MULTILINE)
            self.assertTrue(found, f"{what} in\n{report}")
            return int(found.group(1))

        self.assertEqual(count("received"), 5, report)
        self.assertEqual(count("delivered"), self.delivered(gateway, sink), report)
        self.assertEqual(count("deferred"), 1, report)
        self.assertIn("(1  deferrals)", report)
        self.assertEqual(count("bounced"), 1, report)
        self.assertEqual(count("rejected"), 3, report)
        self.assertEqual(count("bytes received"), octets, report)
        self.assertNotIn("no size data", report)
        self.assertIn("No such user", report)
        self.assertRegex(report, r"RCPT\n\s+Relay access denied: no mailbox of ours has this domain \(total: 1\)")
        self.assertRegex(report, r"Warnings\n-+\n(?:\s+gateway .*\n(?:\s+\d+ .*\n)+)?\s+smtpd \(total: 1\)")
        self.assertIn("authentication failed", report)

    def test_json_has_the_same_facts(self):
        gateway, sink = self.world("json")
        self.traffic(gateway)
        gateway.stop()
        rows = [json.loads(line) for line in gateway.log.read_text().splitlines() if line.startswith("{")]
        self.assertFalse([row for row in rows if "mailLines" in row])
        by = {word: [row for row in rows if row["message"] == word] for word in ("accepted", "not accepted", "delivered", "deferred", "failed")}
        self.assertEqual({word: len(found) for word, found in by.items() if word != "delivered"}, {"accepted": 2, "not accepted": 1, "deferred": 1, "failed": 1})
        self.assertEqual(len(by["delivered"]), self.delivered(gateway, sink))
        refused = [(row["stage"], row["reply"][:9]) for row in rows if row["message"] == "refused"]
        self.assertEqual(sorted(refused), [("MAIL", "553 5.7.1"), ("RCPT", "550 5.7.1")])
        bounced = by["failed"][0]
        self.assertEqual((bounced["dsn"], bounced["relay"], bounced["to"]), ("5.1.1", f"127.0.0.1[127.0.0.1]:{sink.port}", "respinto@posta.example.test"))
        self.assertEqual(by["deferred"][0]["dsn"], "4.2.1")
        self.assertEqual({row["client"] for row in by["accepted"]}, {"127.0.0.1"})
