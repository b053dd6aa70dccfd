"""What the provider chooses: encrypted content, what is beyond the limits, no scanner at all, and a scanner that is away."""

import re
import time

from interop import base, compose
from interop.base import executable, poll, run
from interop.case import InteropTest
from interop.counterpart import transaction
from interop.expect import Sent
from interop.forgers import MARIO
from interop.guarded import EICAR, EICAR_NAME, Guarded, Signatures, quarantine
from interop.lab import ANNA, Yaml
from interop.mailboxes import Stored
from interop.notices import found, threat_of
from interop.sink import Sink
from interop.virus_case import VirusTest
from interop.virusmail import PLAIN, Infected, attachment, encrypted_zip, many_files, mixed, nested_zips
from interop.wire import Wire

OUTSIDE = "ordinario@posta.example.test"
CIPHER = "contenuto cifrato, non verificabile: "
LIMITS = "contenuto oltre i limiti di verifica: "


class Policies(VirusTest):
    """Encrypted content passes and the log says so; what is beyond the limits is treated as infected: the usual policy."""

    # Room for a mail with an attached archive, not for an archive in archives.
    keys = {"depth": 6, "files": 60}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = base.new_folder("archives")

    def both_ways(self, rest: bytes) -> tuple[Sent, Stored, str]:
        """Submits it and sends it in an envelope. The answer that Anna got, and what Gamma's provider was told."""
        shape = Infected("", rest)
        sent = shape.sent([OUTSIDE])
        self.submit(sent)
        mailbox = self.gateway.mailbox(ANNA)
        either = mailbox.wait(lambda stored: stored.header.get("X-Riferimento-Message-ID") == sent.message_id and stored.kind != "", 60)
        letter = self.gamma.envelope(MARIO, [ANNA], original=shape.original([ANNA], MARIO))
        self.post(letter.octets, MARIO, [ANNA])
        self.answered({letter.certified.pec_id: 2})
        outcome = sorted(set(self.about_letter(letter)) - {"presa-in-carico"})
        self.assertEqual(len(outcome), 1, outcome)
        self.letter = letter
        return sent, either[0], outcome[0]

    def passes(self, rest: bytes, words: str) -> None:
        sent, answer, outcome = self.both_ways(rest)
        self.assertEqual((answer.kind, outcome), ("accettazione", "avvenuta-consegna"))
        details = [event["detail"] for event in found(self.gateway.events(answer.message.data.pec_id), "accettazione")]
        details += [event["detail"] for event in found(self.gateway.events(self.letter.certified.pec_id), "ricezione-busta")]
        for detail in details:
            self.assertIn(words, detail)
            self.assertIn("ClamAV ", detail)
        self.assertEqual(len(details), 2)
        poll(lambda: [taken for taken in self.sink.taken if OUTSIDE in taken.recipients], 30, "the envelope")

    def stops(self, rest: bytes, threat: str) -> None:
        sent, answer, outcome = self.both_ways(rest)
        self.assertEqual((answer.kind, outcome), ("non-accettazione", "rilevazione-virus"))
        kept, events = self.rest()
        self.fine(self.judge_refusal(sent, threat, kept, events))
        told = self.about_letter(self.letter)["rilevazione-virus"][0]
        self.assertTrue(threat_of(told).startswith(threat), threat_of(told))
        self.assertEqual(len([row for row in kept if row["pecID"] == self.letter.certified.pec_id]), 1)

    def locked(self, octets: bytes = b"Atto riservato.\r\n" * 40) -> bytes:
        return attachment(encrypted_zip(octets, self.folder), "atto.zip", "application/zip")

    def test_encrypted(self):
        self.need("7z")
        self.passes(mixed(PLAIN, self.locked()), "encrypted content (Heuristics.Encrypted.Zip")

    def test_too_deep(self):
        self.stops(mixed(PLAIN, attachment(nested_zips(b"nulla di male\r\n" * 9, 12, "nota.txt"), "nota.zip", "application/zip")), LIMITS)

    def test_too_many(self):
        self.stops(mixed(PLAIN, attachment(many_files(200), "note.zip", "application/zip")), LIMITS)

    def test_within_the_limits(self):
        self.passes(mixed(PLAIN, attachment(many_files(20), "note.zip", "application/zip")), "scanned clean by")

    def test_a_virus_counts_for_more(self):
        """Beside something encrypted, and beside something too deep."""
        self.need("7z")
        deep = attachment(nested_zips(b"nulla\r\n" * 9, 12, "nota.txt"), "nota.zip", "application/zip")
        for other in (self.locked(), deep):
            for parts in ([other, attachment(EICAR, "conto.com")], [attachment(EICAR, "conto.com"), other]):
                self.stops(mixed(PLAIN, *parts), EICAR_NAME)


class OtherPolicies(Policies):
    """The other way round."""

    keys = {**Policies.keys, "encrypted": "refuse", "beyondLimits": "accept"}

    def test_encrypted(self):
        self.need("7z")
        self.stops(mixed(PLAIN, self.locked()), CIPHER)

    def test_too_deep(self):
        rest = mixed(PLAIN, attachment(nested_zips(b"nulla di male\r\n" * 9, 12, "nota.txt"), "nota.zip", "application/zip"))
        self.passes(rest, "content beyond the scanner's limits (")

    def test_too_many(self):
        self.passes(mixed(PLAIN, attachment(many_files(200), "note.zip", "application/zip")), "content beyond the scanner's limits (")


class Off(InteropTest):
    def test_it_is_loud(self):
        """`scanner: off` is said at the start, by `check`, and in the log row of every message."""
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = Guarded(sink.port, None)
        self.addCleanup(gateway.stop)
        checked = run([executable(), "check", "--config", gateway.configuration])
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        lines = checked.stdout.decode().splitlines()
        self.assertTrue(any(re.match(r"warning +scanner: off: NOTHING IS SCANNED FOR VIRUSES", line) for line in lines), lines)
        gateway.start()
        self.assertRegex(gateway.said, r"critical .*virus scanner is OFF")
        sent = Infected("", b"\r\n" + EICAR + b"\r\n").sent([OUTSIDE])
        with gateway.trusted() as wire:
            self.assertEqual(transaction(wire, ANNA, sent.recipients, sent.octets).code, 250)
        receipt = compose.receipt(gateway.mailbox(ANNA), sent)
        rows = found(gateway.events(receipt.message.data.pec_id), "accettazione")
        self.assertEqual(rows[0]["detail"], "not scanned: the virus scanner is off by configuration")
        self.assertEqual(quarantine(gateway), [])

    def test_never_by_leaving_it_out(self):
        """Who says nothing of a scanner has an error, not a gateway that lets everything pass."""
        gateway = Guarded(None, None)
        yaml = Yaml(gateway.configuration.read_text())
        first, stop, _ = yaml.block("scanner")
        del yaml.lines[first:stop]
        gateway.configuration.write_text(yaml.text)
        for command in ("check", "serve"):
            done = run([executable(), command, "--config", gateway.configuration], 30)
            self.assertEqual(done.returncode, 78, done.stderr)
            self.assertIn("scanner", (done.stdout + done.stderr).decode())


class Check(InteropTest):
    def lines(self, **keys) -> tuple[int, str]:
        gateway = Guarded(None, self.signatures, **keys)
        done = run([executable(), "check", "--config", gateway.configuration])
        return done.returncode, done.stdout.decode()

    def setUp(self):
        self.signatures = Signatures()

    def test_what_it_says(self):
        code, out = self.lines(workers=3)
        self.assertEqual(code, 0, out)
        for pattern in (
            rf"ok +scanner: signatures in {self.signatures.folder}: 1 file, the newest prova\.ndb of \d{{4}}-\d\d-\d\d",
            r"ok +scanner: \S*/ceralacca-scanner",
            r"ok +scanner: 3 workers, .* as user nobody",
            r"scanner: temporary files in /dev/shm",
            r"ok +scanner: encrypted archives .* pass",
            r"ok +scanner: what is too large.* treated as infected",
            r"ok +scanner: infected ordinary mail is refused",
            r"ok +scanner: while it is down, submissions are answered 451 after each message, port 25 451 after each message",
        ):
            self.assertRegex(out, pattern)

    def test_the_other_choices(self):
        code, out = self.lines(
            encrypted="refuse",
            beyondLimits="accept",
            infectedOrdinaryMail="discard",
            whenDown="{ submission: message, incoming: connection }",
        )
        self.assertEqual(code, 0, out)
        for pattern in (
            r"ok +scanner: encrypted archives .* treated as infected",
            r"warning +scanner: what is too large.* PASSES",
            r"ok +scanner: infected ordinary mail is taken, kept in the quarantine",
            r"submissions are answered 451 after each message, port 25 421 at connect",
        ):
            self.assertRegex(out, pattern)

    def test_what_is_not_there(self):
        empty = base.new_folder("empty")
        for keys, word in (
            ({"executable": "/nonexistent/ceralacca-scanner"}, "/nonexistent/ceralacca-scanner"),
            ({"user": "nessuno-qui"}, "nessuno-qui"),
            ({"temporary": "/nonexistent/tmp"}, "/nonexistent/tmp"),
        ):
            code, out = self.lines(**keys)
            self.assertIn(word, out)
            self.assertEqual(code, 78, out)
        self.signatures.folder = empty
        code, out = self.lines()
        self.assertEqual(code, 78, out)
        self.assertRegex(out, rf"error +scanner: there are no signatures in {empty}")


class Away(InteropTest):
    """A scanner without signatures: everything is put off, nothing passes, and it comes back by itself."""

    def start(self, **keys) -> Guarded:
        self.sink = Sink()
        self.addCleanup(self.sink.stop)
        self.signatures = Signatures()
        self.signatures.remove()
        gateway = Guarded(self.sink.port, self.signatures, databaseCheckSeconds=1, **keys)
        self.addCleanup(gateway.stop)
        super(Guarded, gateway).start()
        poll(lambda: "the virus scanner is not up" in gateway.said, 30, lambda: f"the alarm; the log: {gateway.said[-800:]}")
        self.assertRegex(gateway.said, r"critical scanner: the virus scanner is not up")
        return gateway

    def test_messages_are_put_off(self):
        gateway = self.start()
        sent = compose.simple("Da rimandare", [OUTSIDE])
        for open_session, recipients in ((gateway.trusted, [OUTSIDE]), (gateway.submission, [OUTSIDE]), (gateway.incoming, [ANNA])):
            with open_session() as wire:
                reply = transaction(wire, ANNA if recipients != [ANNA] else "m@evil.example.test", recipients, sent.octets)
                self.assertEqual((reply.code, reply.enhanced), (451, "4.7.1"), reply)
                wire.expect("NOOP", 250)
        gateway.settled()
        # Rows about the log itself are about no message.
        rows = [each for each in gateway.events() if each["pecID"]]
        self.assertEqual((rows, quarantine(gateway), gateway.mailbox(ANNA).all, self.sink.taken), ([], [], [], []))
        self.signatures.write({EICAR_NAME: EICAR})
        gateway.scanning(70)
        with gateway.trusted() as wire:
            self.assertEqual(transaction(wire, ANNA, [OUTSIDE], sent.octets).code, 250)
        compose.receipt(gateway.mailbox(ANNA), sent)
        gateway.settled()
        self.assertEqual(len(self.sink.taken), 1)

    def test_connections_are_put_off(self):
        """421 instead of a greeting, where the provider wants it so; the other listeners go on."""
        gateway = self.start(whenDown="{ submission: message, incoming: connection }")
        with Wire(gateway.ports.incoming) as wire:
            self.assertEqual((wire.greeting.code, wire.greeting.enhanced), (421, "4.7.1"))
            self.assertTrue(wire.closed())
        with gateway.trusted() as wire:
            self.assertEqual(wire.command("NOOP").code, 250)
        self.signatures.write({EICAR_NAME: EICAR})
        gateway.scanning(70)
        with gateway.incoming() as wire:
            self.assertEqual(wire.greeting.code, 220)

    def test_the_executable_is_missing(self):
        """Said clearly, and no mail passes."""
        self.sink = Sink()
        self.addCleanup(self.sink.stop)
        gateway = Guarded(self.sink.port, Signatures(), executable="/nonexistent/ceralacca-scanner")
        self.addCleanup(gateway.stop)
        super(Guarded, gateway).start()
        began = time.monotonic()
        poll(lambda: "/nonexistent/ceralacca-scanner" in gateway.said, 30, "the alarm")
        with gateway.trusted() as wire:
            reply = transaction(wire, ANNA, [OUTSIDE], compose.simple("Niente", [OUTSIDE]).octets)
        self.assertEqual((reply.code, reply.enhanced), (451, "4.7.1"), reply)
        self.assertLess(time.monotonic() - began, 20)
