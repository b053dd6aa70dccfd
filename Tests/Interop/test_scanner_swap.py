"""New signatures under load: no refusal and hardly a pause; broken ones leave the old in force."""

import itertools
import random
import time

from interop import base, compose
from interop.base import note, poll, tail
from interop.guarded import EICAR, EICAR_NAME, LATE_NAME, USUAL
from interop.lab import ANNA
from interop.notices import found, threat_of
from interop.scanload import Load, submission
from interop.virus_case import VirusTest
from interop.virusmail import PLAIN, Infected, attachment, mixed

OUTSIDE = "ordinario@posta.example.test"
#: Signatures that make loading take a while, as the official ones do.
FILLING = 200_000 if base.LONG else 30_000
SWAPS = 20 if base.LONG else 4
SECONDS = 60 if base.LONG else 4


class Swap(VirusTest):
    @classmethod
    def before(cls, gateway):
        cls.signatures.write(USUAL, FILLING)

    def setUp(self):
        self.dice, self.numbers = random.Random(base.SEED), itertools.count()

    def stream(self):
        return (submission(self.dice, number, number % 10 == 9) for number in self.numbers)

    def caught(self, pattern: bytes) -> str | None:
        """Submits a pattern; the name of the threat that Anna's notice gives, or None when the message was accepted."""
        sent = Infected("", mixed(PLAIN, attachment(pattern, "conto.bin"))).sent([OUTSIDE])
        self.submit(sent)
        about = lambda stored: stored.header.get("X-Riferimento-Message-ID") == sent.message_id  # noqa: E731
        answer = self.gateway.mailbox(ANNA).wait(about, 30, what="an answer")[0]
        self.version = found(self.gateway.events(answer.message.data.pec_id), answer.kind + "-virus") or found(
            self.gateway.events(answer.message.data.pec_id), answer.kind
        )
        return threat_of(answer) if answer.kind == "non-accettazione" else None

    @staticmethod
    def pattern(number: int) -> bytes:
        return b"CERALACCA-PROVA-RINNOVO-%04d" % number

    def timed(self, seconds: float, meanwhile=None) -> Load:
        load = Load(self.gateway, clients=4).start(self.stream())
        began = time.monotonic()
        if meanwhile:
            meanwhile()
        time.sleep(max(0, seconds - (time.monotonic() - began)))  # not synchronisation: the length of the measurement
        load.stop()
        return load

    def test_under_load(self):
        first = self.gateway.status()["scannerGenerations"]
        self.refused_before = len(found(self.gateway.events(), "non-accettazione-virus"))
        loading: list[float] = []

        def swap() -> None:
            for number in range(SWAPS):
                self.signatures.write({**USUAL, f"Rinnovo-{number}": self.pattern(number)}, FILLING + number)
                began = time.monotonic()
                self.gateway.reloaded(120)
                loading.append(time.monotonic() - began)

        self.timed(1)  # until everything is warm
        rows = []
        for name, meanwhile in (("without swaps", None), (f"{SWAPS} swaps", swap), ("without swaps", None)):
            load = self.timed(SECONDS, meanwhile)
            seconds = sorted(item.seconds for item in load.done)
            self.assertEqual(set(load.replies), {"250"}, f"{name}: {load.replies}")
            self.assertGreater(len(seconds), 20 * SECONDS // 5)
            rows.append((name, len(seconds), seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100], seconds[-1]))
        for row in rows:
            note("%-14s %6d messages, half within %.3f s, 99 of 100 within %.3f s, all within %.3f s" % row)
        calm = max(rows[0][-1], rows[2][-1])
        note(f"a swap took {sum(loading) / len(loading):.2f} s; slowest with swaps / slowest without: {rows[1][-1] / calm:.2f}")
        self.assertGreaterEqual(self.gateway.status()["scannerGenerations"], first + SWAPS)
        self.gateway.settled(120)
        self.every_answer_is_right()
        last = self.caught(self.pattern(SWAPS - 1))
        self.assertTrue((last or "").startswith(f"Rinnovo-{SWAPS - 1}"), last)
        self.assertIn("database prova.ndb ", self.version[0]["detail"])
        self.assertIsNone(self.caught(self.pattern(0)), "a signature that is no longer there")

    def every_answer_is_right(self) -> None:
        """Of all that was submitted: infected ones refused, the others accepted and scanned; by more than one database."""
        events = self.gateway.events()
        details = {event["detail"] for event in found(events, "accettazione")}
        self.assertTrue(all(detail.startswith("scanned clean by ClamAV ") for detail in details), details)
        self.assertGreater(len(details), SWAPS // 2, "the versions in the log")
        refused = len(found(events, "non-accettazione-virus")) - self.refused_before
        self.assertEqual(refused, sum(1 for number in range(next(self.numbers)) if number % 10 == 9), "infected messages")
        self.assertTrue(all(not taken.octets.count(EICAR) for taken in self.sink.taken))

    def test_a_broken_database(self):
        """The old one goes on, and the log says so; a good one is taken again."""
        late = b"CERALACCA-PROVA-DOPO"
        # Whatever was in force before is so again.
        self.signatures.write(USUAL, FILLING)
        self.gateway.reloaded(120)
        before = self.gateway.status()["scannerGenerations"]
        for broken in (b"Rotta:0:*:nicht-hex\n", b"Rotta:0:*:" + b"ab" * 20 + b"{{{\n" + b"x" * 1000, b""):
            at = len(self.gateway.said)
            self.signatures.replace(broken)
            self.gateway.reload()
            poll(lambda at=at: "was not taken" in self.gateway.said[at:], 60, lambda: f"the refusal in the log:\n{tail(self.gateway.log)}")
            line = next(line for line in self.gateway.said[at:].splitlines() if "was not taken" in line)
            self.assertIn(" error ", line)
            self.assertIn("goes on", line)
            self.assertEqual(self.gateway.status()["scannerUp"], 1)
            self.assertTrue((self.caught(EICAR) or "").startswith(EICAR_NAME))
        self.signatures.remove()
        at = len(self.gateway.said)
        self.gateway.reload()
        poll(lambda: "was not taken" in self.gateway.said[at:], 60, "the refusal of an empty folder")
        self.assertTrue((self.caught(EICAR) or "").startswith(EICAR_NAME))
        self.assertEqual(self.gateway.status()["scannerGenerations"], before)
        self.assertIsNone(self.caught(late))
        self.signatures.write({**USUAL, LATE_NAME: late}, FILLING)
        self.gateway.reloaded(120)
        self.assertTrue((self.caught(late) or "").startswith(LATE_NAME), "a remembered verdict of the old signatures")


class Watched(VirusTest):
    """The folder is looked at by the gateway itself: nobody sends a signal."""

    keys = {"databaseCheckSeconds": 1}

    def test_new_files_are_noticed(self):
        before = self.gateway.status()["scannerGenerations"]
        late = b"CERALACCA-PROVA-SORVEGLIATA"
        self.signatures.write({**USUAL, LATE_NAME: late})
        poll(
            lambda: self.gateway.status()["scannerGenerations"] > before, 30, lambda: f"new signatures: {tail(self.gateway.log)}", every=0.1
        )
        sent = Infected("", mixed(PLAIN, attachment(late, "conto.bin")), LATE_NAME).sent([OUTSIDE])
        self.submit(sent)
        self.assertTrue(threat_of(self.notice(sent)).startswith(LATE_NAME))
        # A file more, with its own name.
        more = self.signatures.folder / "altra.ndb"
        fresh = self.signatures.folder / ".altra"
        fresh.write_text(f"Altra-5:0:*:{b'CERALACCA-PROVA-ALTRA'.hex()}\n")
        fresh.rename(more)
        poll(lambda: self.gateway.status()["scannerGenerations"] > before + 1, 30, "the other file", every=0.1)
        clean = compose.simple("Pulita", [OUTSIDE])
        self.submit(Infected("", b"\r\nCERALACCA-PROVA-ALTRA\r\n").sent([OUTSIDE]), clean)
        receipt = compose.receipt(self.gateway.mailbox(ANNA), clean)
        detail = found(self.gateway.events(receipt.message.data.pec_id), "accettazione")[0]["detail"]
        self.assertIn("altra.ndb", detail)
        self.assertIn("prova.ndb", detail)
        self.gateway.settled()
        self.assertEqual(len(found(self.gateway.events(), "non-accettazione-virus")), 2)
        # Nothing changes: nothing is loaded.
        generations = self.gateway.status()["scannerGenerations"]
        time.sleep(2.5)  # not synchronisation: longer than the pause between two looks
        self.assertEqual(self.gateway.status()["scannerGenerations"], generations)
