"""What an operator says of the queue, by entry and by destination: hold, release, drain, retry, bounce; and what he sees of it."""

import json
import threading
from collections import Counter

from interop import compose
from interop.base import executable, poll, run
from interop.case import InteropTest
from interop.lab import ANNA, OPERATOR, Gateway
from interop.sink import Sink

GAMMA, GAMMA_TOO = "ufficio@pec.gamma.test", "altro@pec.gamma.test"
OTHER = "ordinario@example.test"
DOMAIN = "pec.gamma.test"
EX_USAGE, EX_NOINPUT, EX_TEMPFAIL = 64, 66, 75


class Words(InteropTest):
    def setUp(self):
        self.opens = False
        #: What the sink says to a message waits for it.
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.verdict = None
        self.sink = Sink(self._policy)

    def tearDown(self):
        self.goes_on.set()
        self.gateway.stop()
        self.sink.stop()

    def _policy(self, stage: str, _) -> str | None:
        if stage == "message":
            self.goes_on.wait(60)
            return self.verdict
        return None if self.opens or stage != "MAIL" else "451 4.3.0 not now"

    def _start(self, retry_seconds: int = 1, **limits) -> None:
        given = {"firstRetrySeconds": retry_seconds, "lastRetrySeconds": retry_seconds, **limits}
        self.gateway = Gateway(self.sink.port, lambda yaml: yaml.limits(**given)).start()

    def _command(self, *arguments, columns: int = 120) -> tuple[int, str]:
        done = run(["env", f"COLUMNS={columns}", executable(), "queue", *arguments, "--config", self.gateway.configuration], 120)
        return done.returncode, (done.stdout + done.stderr).decode()

    def _ok(self, *arguments) -> str:
        code, words = self._command(*arguments)
        self.assertEqual(code, 0, words)
        return words

    def _submit(self, count: int, *recipients: str) -> list:
        sent = [compose.simple(f"In coda {number}", list(recipients)) for number in range(count)]
        with self.gateway.trusted(seconds=60) as wire:
            for each in sent:
                wire.envelope(ANNA, each.recipients)
                self.assertEqual(wire.data(each.octets).code, 250)
        return sent

    def _rows(self, *recipients: str) -> list[dict]:
        return [row for row in self.gateway.queue() if set(row["recipients"]) & set(recipients)]

    def _arrivals(self, recipient: str) -> Counter:
        return Counter(taken.stored.header.get("X-Riferimento-Message-ID") for taken in self.sink.taken if recipient in taken.recipients)

    def _each_arrives_once(self, sent: list, recipient: str) -> None:
        poll(lambda: len(self._arrivals(recipient)) == len(sent), 90, lambda: f"{len(sent)}, not {len(self._arrivals(recipient))}")
        poll(lambda: not self._rows(recipient), 60, lambda: f"nothing left for {recipient}")
        self.assertEqual(self._arrivals(recipient), Counter(each.message_id for each in sent))

    def _notices(self) -> Counter:
        """Notices of non-delivery, by message and recipient."""
        found = self.gateway.mailbox(ANNA).matching(lambda stored: stored.kind == "errore-consegna")
        return Counter((each.header.get("X-Riferimento-Message-ID"), each.message.data.delivered_to) for each in found)

    def test_hold_of_a_domain_while_messages_come(self):
        """What is there, what is under way and what comes later: all of it waits, through kill -9 too, and is released once."""
        self.opens = True
        self._start()
        done: list = []
        sender = threading.Thread(target=lambda: done.extend(self._submit(200, GAMMA)))
        sender.start()
        poll(lambda: len(self._arrivals(GAMMA)) > 10, 60, "the first messages")
        words = self._ok("hold", "--domain", DOMAIN, "--reason", "their disk")
        self.assertIn("held: domain pec.gamma.test", words)
        sender.join(120)
        self.assertEqual(len(done), 200)
        poll(lambda: "underWay" not in self._ok("list") and len(self._rows(GAMMA)) + len(self._arrivals(GAMMA)) == 200, 30, "the rest to rest")
        before = len(self._arrivals(GAMMA))
        self.assertLess(before, 200, "nothing was held")
        # Another domain by the same route goes on.
        other = self._submit(5, OTHER)
        self._each_arrives_once(other, OTHER)
        self.gateway.kill()
        self.gateway.start()
        other += self._submit(3, OTHER)
        self._each_arrives_once(other, OTHER)
        self.assertEqual(len(self._arrivals(GAMMA)), before, "something that was held was sent")
        rows = self._rows(GAMMA)
        self.assertEqual(len(rows), 200 - before)
        self.assertEqual({row["heldWith"] for row in rows}, {"domain pec.gamma.test: their disk"})
        words = self._ok("list", "--held", "--limit", "3")
        self.assertIn("their disk", words)
        self.assertIn("3 entries, 3 recipients; there are more", words)
        code, words = self._command("hold", "--domain", DOMAIN)
        self.assertEqual((code, "held already" in words), (EX_NOINPUT, True), words)
        code, words = self._command("retry", rows[0]["id"])
        self.assertEqual((code, "is held" in words), (EX_NOINPUT, True), words)
        self.assertIn("0 entries", self._ok("retry", "--domain", DOMAIN))
        self.assertIn(f"{200 - before} entries go on", self._ok("release", "--domain", DOMAIN))
        self._each_arrives_once(done, GAMMA)
        events = [(event["event"], event["detail"]) for event in self.gateway.events() if event["event"].startswith("recapito-")]
        words = [each for each in events if each[0] in ("recapito-sospeso", "recapito-ripreso")]
        self.assertEqual(words, [("recapito-sospeso", f"by {OPERATOR}: domain pec.gamma.test: their disk"), ("recapito-ripreso", f"by {OPERATOR}: domain pec.gamma.test")])

    def test_a_message_of_two_domains_of_which_one_is_held(self):
        self.opens = True
        self._start()
        self._ok("hold", "--domain", DOMAIN)
        sent = self._submit(3, GAMMA, OTHER)
        self._each_arrives_once(sent, OTHER)
        self.assertFalse(self._arrivals(GAMMA))
        self.assertEqual(len(self._rows(GAMMA)), 3)
        self._ok("release", "--domain", DOMAIN)
        self._ok("retry", "--all")
        self._each_arrives_once(sent, GAMMA)
        self.assertEqual(sum(self._arrivals(OTHER).values()), 3)

    def test_one_entry_and_everything(self):
        self._start(3600)
        self._submit(4, GAMMA)
        rows = poll(lambda: (found := self._rows(GAMMA)) and all(row["attempts"] for row in found) and found, 30, "attempts")
        self._ok("hold", rows[1]["id"])
        self._ok("hold", "--all", "--reason", "night")
        self.opens = True
        code, words = self._command("release", rows[0]["id"])
        self.assertEqual((code, "is held with everything" in words), (EX_NOINPUT, True), words)
        self._ok("release", rows[1]["id"])
        self._ok("hold", rows[1]["id"])
        self.assertIn("4 entries go on", self._ok("release", "--all"))
        self.assertIn("4 entries", self._ok("retry", "--route", "default"))
        poll(lambda: not self._rows(GAMMA), 30, "everything delivered")
        code, words = self._command("release", "--all")
        self.assertEqual((code, "nothing is held" in words), (EX_NOINPUT, True), words)
        code, words = self._command("hold", "--route", "nirgends")
        self.assertEqual((code, "no route 'nirgends'" in words), (EX_NOINPUT, True), words)
        code, words = self._command("hold", rows[0]["id"])
        self.assertEqual((code, "no entry" in words), (EX_NOINPUT, True), words)
        for arguments in (("hold",), ("hold", "x", "--all"), ("retry", "--all", "--route", "default")):
            self.assertEqual(self._command(*arguments)[0], EX_USAGE, arguments)

    def test_drain_of_a_route(self):
        """What is under way finishes, what stands in line behind it does not begin, and connections end with QUIT."""
        self.opens = True
        self._start(connectionsPerDestination=1)
        self.goes_on.clear()
        sent = self._submit(20, OTHER)
        poll(lambda: any(line.startswith("MAIL") for line in self.sink.commands), 30, "a message under way")
        code, words = self._command("drain", "--route", "default", "--wait", "1")
        self.assertEqual((code, "still under way" in words), (EX_TEMPFAIL, True), words)
        self.goes_on.set()
        self.assertIn("drained: route relay:default", self._ok("drain", "--route", "default"))
        begun = len(self._arrivals(OTHER))
        self.assertLess(begun, 20)
        self.assertGreater(begun, 0)
        sessions = self.sink.sessions
        poll(lambda: self.sink.commands.count("QUIT") == sessions, 30, lambda: f"QUIT on {sessions} sessions")
        self.assertEqual(len(self._rows(OTHER)), 20 - begun)
        self.assertEqual(self.sink.sessions, sessions)
        self._ok("release", "--route", "default")
        self._each_arrives_once(sent, OTHER)

    def test_bounce_of_a_domain(self):
        """One signed notice for each recipient, and the others of the same message are not touched."""
        self._start(3600, activeEntries=10)
        sent = self._submit(130, GAMMA, GAMMA_TOO, OTHER)
        poll(lambda: all(row["attempts"] for row in self._rows(GAMMA)), 90, "attempts")
        self._ok("hold", self._rows(GAMMA)[3]["id"])
        code, words = self._command("bounce", "--domain", DOMAIN)
        self.assertEqual((code, "130 entries would be given up" in words), (EX_USAGE, True), words)
        self.assertFalse(self._notices())
        self.assertIn("given up: 130 entries", self._ok("bounce", "--domain", DOMAIN, "--yes"))
        due = Counter((each.message_id, recipient) for each in sent for recipient in (GAMMA, GAMMA_TOO))
        poll(lambda: sum(self._notices().values()) >= 260, 90, lambda: f"260 notices, not {sum(self._notices().values())}")
        self.assertEqual(self._notices(), due)
        self.assertFalse(self._rows(GAMMA, GAMMA_TOO))
        self.assertEqual(len(self._rows(OTHER)), 130)
        rows = Counter(event["event"] for event in self.gateway.events())
        self.assertEqual((rows["rimosso-dal-gestore"], rows["mancata-consegna"]), (260, 260))
        self.assertIn("given up: 0 entries", self._ok("bounce", "--domain", DOMAIN, "--yes"))
        self.opens = True
        self._ok("release", "--all")
        self._ok("retry", "--all")
        self._each_arrives_once(sent, OTHER)
        self.assertFalse(self._arrivals(GAMMA))
        self.assertEqual(self._notices(), due)

    def test_bounce_of_what_is_under_way(self):
        """The attempt ends first: what it delivered is delivered, what it did not is given up."""
        self.opens = True
        self._start(3600)
        for verdict, delivered in ((None, True), ("451 4.3.0 not now", False)):
            self.verdict = verdict
            self.goes_on.clear()
            taken = len(self.sink.taken)
            messages = len(self.sink.commands)
            sent = self._submit(1, OTHER)[0]
            poll(lambda: any(line.startswith(("DATA", "BDAT")) for line in self.sink.commands[messages:]), 30, "a message under way")
            row = self._rows(OTHER)[0]
            self.assertIn("under way", self._ok("bounce", row["id"]))
            self.goes_on.set()
            poll(lambda: not self._rows(OTHER), 30, "the entry leaving the queue")
            self.assertEqual(len(self.sink.taken) - taken, int(delivered))
            self.assertEqual(self._notices()[(sent.message_id, OTHER)], int(not delivered))
            self.verdict = None

    def test_what_is_shown(self):
        self._start(3600)
        sent = self._submit(12, GAMMA) + self._submit(3, OTHER, GAMMA_TOO)
        rows = poll(lambda: (found := self._rows(GAMMA, OTHER)) and all(row["attempts"] for row in found) and found, 30, "attempts")
        self._ok("hold", "--domain", "example.test", "--reason", "a reason that is long enough to be cut somewhere if it were in a table")
        for columns in (80, 120):
            for arguments in (("list",), ("summary",)):
                code, words = self._command(*arguments, columns=columns)
                self.assertEqual(code, 0, words)
                table = [line for line in words.splitlines() if not line.startswith("held since")]
                self.assertEqual([line for line in table if len(line) > columns], [], f"{arguments} in {columns} columns")
        self.assertEqual(len(self.gateway.operator("queue", "list", "--limit", "4")), 4)
        self.assertEqual(len(self.gateway.operator("queue", "list", "--domain", "example.test")), 3)
        self.assertEqual(len(self.gateway.operator("queue", "list", "--route", "default", "--sender", ANNA.upper())), 15)
        summary = {(row["route"], row.get("domain")): row for row in self.gateway.operator("queue", "summary")}
        whole, gamma, other = (summary[("relay:default", domain)] for domain in (None, DOMAIN, "example.test"))
        self.assertEqual((whole["entries"], whole["recipients"], whole["held"]), (15, 18, 3))
        self.assertEqual((gamma["entries"], gamma["recipients"], gamma["held"], gamma["ages"]["5"]), (15, 15, 0, 15))
        self.assertEqual((other["entries"], other["held"], other.get("nextSeconds")), (3, 3, None))
        self.assertIn("not now", gamma["lastError"])
        self.assertEqual(gamma["lastErrorEntries"], 15)
        code, words = self._command("show", rows[0]["id"])
        self.assertEqual(code, 0, words)
        for word in ("fragments", "not now", "attempts    1", "busta-trasporto"):
            self.assertIn(word, words)
        shown = self.gateway.operator("queue", "show", rows[0]["id"])[0]
        self.assertEqual(sum(part["bytes"] for part in shown["fragments"]), shown["bytes"])
        done = run([executable(), "queue", "show", rows[0]["id"], "--message", "--config", self.gateway.configuration])
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.opens = True
        self._ok("retry", rows[0]["id"])
        taken = poll(lambda: self.sink.taken and self.sink.taken[0], 30, "the message")
        self.assertEqual(done.stdout, taken.octets)
        self.assertIn(taken.stored.header.get("X-Riferimento-Message-ID"), [each.message_id for each in sent])
        self.assertEqual(json.loads(self._ok("retry", "--all", "--json"))["ok"], True)
