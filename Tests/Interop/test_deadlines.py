"""Silence speaks (pec-rules 8.1): whoever gets no receipt is told after twelve hours and before twenty-four, once, whatever happens to the
gateway in between; and nobody else is."""

import collections
import json
import random
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from interop import base, compose
from interop.base import note, poll
from interop.case import InteropTest
from interop.counterpart import Counterpart, Manner
from interop.expect import Sent
from interop.lab import ALDO, ANNA, Gateway
from interop.mailboxes import Stored
from interop.provider import about
from interop.sink import Sink
from interop.timeouts import FIRST, KIND, SECOND, Elsewhen, check_rows, check_timeout, stage_of

SERVICE_MAILBOX = "servizio@pec.alfa.test"
#: What happens to a recipient, by the word that his address begins with, and the notices due about him (pec-rules 8.1).
DUE = {
    "muto": (1, 2),
    "preso": (2,),
    "presto": (),
    "preso.presto": (),
    "tardi": (1,),
    "preso.tardi": (),
    "tardi.preso": (1, 2),
    "dopo": (1, 2),
    "ignoto": (),
    "infetto": (),
    "ignoto.tardi": (1,),
}
#: What comes back before, between and after the deadlines.
TAKEN = {"before": ("preso", "preso.presto", "preso.tardi"), "between": ("tardi.preso",)}
DELIVERED = {"before": ("presto", "preso.presto"), "between": ("tardi", "preso.tardi"), "after": ("dopo",)}
REFUSED = {"before": ("ignoto",), "between": ("ignoto.tardi",)}
INFECTED = {"before": ("infetto",)}


def fate(address: str) -> str | None:
    """The word; None for who is not Gamma's."""
    return re.sub(r"\.?\d+$", "", address.partition("@")[0]) if address.endswith("@pec.gamma.test") else None


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class Silence(InteropTest):
    def notices(self, gateway: Gateway, pec_id: str | None = None) -> list[Stored]:
        return gateway.mailbox(ANNA).matching(lambda each: each.kind == KIND and pec_id in (None, each.message.data.pec_id))

    def submit(self, gateway: Gateway, sents: list[Sent]) -> None:
        with gateway.trusted() as session:
            for sent in sents:
                session.envelope(sent.sender, sent.recipients)
                self.assertEqual(session.data(sent.octets).code, 250)

    def judged(
        self, gateway: Gateway, events: list[dict], sent: Sent, accepted: Stored, due: set[tuple[str, int]], openssl: bool = True
    ) -> list[str]:
        """Exactly these notices about a message, each right in everything, at its time, with its row."""
        pec_id, when = accepted.message.data.pec_id, accepted.message.data.when
        found = self.notices(gateway, pec_id)
        got = collections.Counter((each.message.data.delivered_to, stage_of(each)) for each in found)
        problems = []
        if got != collections.Counter(due):
            problems.append(f"{sent.recipients[0]}…: wanted {sorted(due)}, got {sorted(got.items())}")
        deadlines = {1: self.first, 2: self.second}
        for stored in found:
            data, stage = stored.message.data, stage_of(stored)
            problems += check_timeout(stored, sent, pec_id, data.delivered_to, stage) + self.signed(stored, gateway, openssl)
            late = (data.when - when).total_seconds() - deadlines[stage]
            if not 0 <= late <= self.patience:
                problems.append(f"notice {stage} about {data.delivered_to} came {late:+.0f} s from its deadline")
        return problems + check_rows(events, found, pec_id)

    def traced(self, gateway: Gateway, what: str) -> dict:
        """`ceralacca trace … --json` of one message."""
        lines = gateway.command("trace", what, "--json").splitlines()
        self.assertEqual(len(lines), 1)
        return json.loads(lines[0])

    def why(self, trace: dict, address: str) -> str:
        return next(each["why"] for each in trace["recipients"] if each["address"] == address)


class OfSeconds(Silence):
    """Short deadlines and a clock that nobody touches."""

    first, second, patience = 2, 5, 20

    def test_a_provider_that_says_nothing(self):
        """Taken by the next hop, not taken, ordinary, and our own: notices for the two certified ones, at both deadlines."""
        silent, closed, ordinary = "muto@pec.gamma.test", "chiuso@pec.gamma.test", "ordinario@posta.example.test"

        def policy(stage: str, argument: str) -> str | None:
            return "451 4.2.0 Chiuso per ferie" if stage == "RCPT" and argument == closed else None

        sink = Sink(policy)
        self.addCleanup(sink.stop)
        # Ten minutes until the next attempt: between two deadlines nothing but time may have an effect.
        gateway = Elsewhen(
            sink.port,
            lambda yaml: yaml.set("off", "scanner").limits(
                firstRetrySeconds=600, deadlines=f"{{ firstSeconds: {self.first}, secondSeconds: {self.second} }}"
            ),
        )
        self.addCleanup(gateway.stop)
        gateway.start()
        sent = compose.simple("Nessuna risposta", [ordinary, silent, closed, ALDO])
        alone = compose.simple("Solo posta ordinaria", [ordinary])
        self.submit(gateway, [sent, alone])
        accepted = compose.receipt(gateway.mailbox(ANNA), sent)
        other = compose.receipt(gateway.mailbox(ANNA), alone)
        pec_id = accepted.message.data.pec_id
        poll(lambda: len(self.notices(gateway, pec_id)) >= 4, 60, lambda: f"4 notices; there are {len(self.notices(gateway, pec_id))}")
        trace = self.traced(gateway, sent.message_id)
        self.assertIsNone(trace.get("deadline"))
        self.assertIn("The sender was told after 24 hours", self.why(trace, silent))
        self.assertIn("has not left us yet", self.why(trace, closed))
        self.assertIn("Chiuso per ferie", self.why(trace, closed))
        self.assertIn("no receipt will come", self.why(trace, ordinary))
        self.assertIn("in the mailbox", self.why(trace, ALDO))
        self.assertEqual(gateway.stop(), 0)
        gateway.start()
        events = gateway.events()
        problems = self.judged(gateway, events, sent, accepted, {(each, stage) for each in (silent, closed) for stage in (1, 2)})
        problems += self.judged(gateway, events, alone, other, set())
        self.fine(problems + gateway.judge.dtd(*(each.message.xml for each in self.notices(gateway))))


class OfHours(Silence):
    """The deadlines of the law; the gateway is killed and started at other times, and Gamma answers when the test says so."""

    first, second = FIRST, SECOND
    #: What a test that kills and starts around a deadline may need to come to it.
    patience = 600

    def setUp(self):
        if not Elsewhen.library():
            self.fail("libfaketime is missing (Debian: faketime)")
        self.dice = random.Random(base.SEED)
        self.gateway = Elsewhen(None, lambda yaml: yaml.set("off", "scanner").limits(firstRetrySeconds=1, lastRetrySeconds=2))
        self.gamma = Counterpart(self.gateway, Manner(take_charges=0, receipts=0), port=self.gateway.ports.world)
        self.addCleanup(self.gamma.stop)
        self.addCleanup(self.gateway.stop)

    def kill_around(self, moment: float, times: int) -> None:
        """Killed several times while the deadline comes and its notices are made and delivered."""
        moments = []
        for number in range(times):
            moments.append(round(self.dice.uniform(0.3, 1.4), 2))
            self.gateway.start_and_kill(moment - 1 + number, moments[-1])
        note(f"killed {moments} s after the start, which was a second before the deadline and later")

    def answer(self, part: str) -> None:
        """What Gamma says in this part of the day."""
        letters = []
        for stored in self.gamma.taken("posta-certificata"):
            facts = about(stored)
            ours = [each for each, _ in facts.recipients if fate(each) is not None]

            def of(table: dict) -> list[str]:
                return [each for each in ours if fate(each) in table.get(part, ())]

            if of(TAKEN):
                letters.append(self.gamma.take_charge(facts, of(TAKEN), SERVICE_MAILBOX))
            letters += [self.gamma.delivery(facts, each) for each in of(DELIVERED)]
            letters += [self.gamma.non_delivery(facts, each) for each in of(REFUSED)]
            letters += [self.gamma.virus_detection(facts, each, SERVICE_MAILBOX) for each in of(INFECTED)]
        with ThreadPoolExecutor(4) as pool:
            ready = list(pool.map(lambda letter: (letter, letter.octets), letters))
        with self.gamma.session() as wire:
            for letter, octets in ready:
                wire.envelope(letter.mail_from, letter.recipients)
                reply = wire.data(octets)
                self.assertEqual(reply.code, 250, reply)
        self.gateway.settled()
        wanted = len(letters)

        def heard() -> int:
            return sum(row["event"].startswith("ricezione-") for row in self.gateway.events()) - self.heard

        poll(lambda: heard() >= wanted, 30, lambda: f"{wanted} answers in the log; there are {heard()}", every=0.1)
        self.heard += wanted

    heard = 0

    def test_the_whole_table(self):
        gateway = self.gateway.start()
        sents = [compose.simple(f"Uno: {word}", [f"{word}@pec.gamma.test"]) for word in DUE]
        many = [f"{word}.{number}@pec.gamma.test" for number in range(4) for word in DUE][:40]
        many += [f"ordinario{number}@posta.example.test" for number in range(9)] + [ALDO]
        self.dice.shuffle(many)
        sents.append(compose.simple("Cinquanta", many))
        self.assertEqual(len(sents[-1].recipients), 50)
        self.submit(gateway, sents)
        accepted = {sent.message_id: compose.receipt(gateway.mailbox(ANNA), sent) for sent in sents}
        poll(lambda: len(self.gamma.taken("posta-certificata")) >= len(sents), 30, "all envelopes at Gamma")
        gateway.settled()
        self.answer("before")
        times = sorted(each.message.data.when.timestamp() for each in accepted.values())
        begun, last = times[0], times[-1]

        self.say(gateway, sents, accepted, "before", begun)
        # Before the deadline: had it looked at anything too early, a notice would bear an earlier time.
        gateway.kill()
        gateway.begins(begun + FIRST - 60).start()
        gateway.kill()
        self.kill_around(begun + FIRST, 2)
        gateway.begins(last + FIRST + 10).start()
        self.wait_for(sents, accepted, 1)
        self.say(gateway, sents, accepted, "between", begun)
        self.answer("between")
        gateway.kill()
        # The clock goes back to the morning, and nothing is said twice.
        gateway.begins(begun + 60).start()
        gateway.kill()
        self.kill_around(begun + SECOND, 2)
        gateway.begins(last + SECOND + 10).start()
        self.wait_for(sents, accepted, 2)
        self.answer("after")
        self.say(gateway, sents, accepted, "after", begun)
        gateway.kill()
        gateway.begins(begun + 30 * 3600).start()
        gateway.settled()
        self.assertEqual(self.gamma.problems, [])

        problems, events = [], gateway.events()
        for sent in sents:
            due = {(each, stage) for each in sent.recipients for stage in DUE.get(fate(each), ())}
            problems += self.judged(gateway, events, sent, accepted[sent.message_id], due, openssl=len(sent.recipients) == 1)
        self.fine(problems + gateway.judge.dtd(*(each.message.xml for each in self.notices(gateway))))
        for stored in self.dice.sample(self.notices(gateway), 6):
            self.fine(self.signed(stored, gateway))
        # Who is told that it failed may still hear that it did not (pec-rules 8.1).
        late = gateway.mailbox(ANNA).matching(
            lambda each: each.kind == "avvenuta-consegna" and fate(each.message.data.delivered_to) == "dopo"
        )
        self.assertEqual(len(late), 1 + sum(fate(each) == "dopo" for each in many))

    def wait_for(self, sents: list[Sent], accepted: dict[str, Stored], stage: int) -> None:
        wanted = sum(stage in DUE.get(fate(each), ()) for sent in sents for each in sent.recipients)

        def there() -> int:
            return sum(stage_of(each) == stage for each in self.notices(self.gateway))

        poll(lambda: there() >= wanted, 60, lambda: f"{wanted} notices of stage {stage}; there are {there()}")
        self.gateway.settled()
        self.assertEqual(there(), wanted)

    def say(self, gateway: Elsewhen, sents: list[Sent], accepted: dict[str, Stored], part: str, begun: float) -> None:
        """What `trace` says of each message of one recipient, and which deadline it names."""
        told = {"before": "when the deadline below passes", "between": "told after 12 hours", "after": "told after 24 hours"}[part]
        silent = {"before": ("muto", "tardi", "tardi.preso", "dopo", "ignoto.tardi"), "between": ("muto", "dopo"), "after": ("muto",)}[part]
        charged = {"before": ("preso", "preso.tardi"), "between": ("preso", "preso.tardi"), "after": ("preso", "tardi.preso")}[part]
        settled = {"before": ("presto",), "between": ("presto",), "after": ("presto", "tardi", "dopo")}[part]
        running = {"before": (*silent, *charged), "between": (*silent, *charged), "after": ()}[part]

        def look(sent: Sent) -> list[str]:
            word, problems = fate(sent.recipients[0]), []
            trace = self.traced(gateway, accepted[sent.message_id].message.data.pec_id)
            why, deadline = self.why(trace, sent.recipients[0]), trace.get("deadline")
            expected = {
                word in silent: ["neither take-charge nor delivery", told],
                word in charged: ["in charge", "no delivery receipt"],
                word in settled: ["in the mailbox"],
                word in ("ignoto", "infetto"): ["will not be delivered"],
            }.get(True, [])
            problems += [f"{part}, {word}: no {each!r} in {why!r}" for each in expected if each not in why]
            if word in running:
                stage, seconds = ("12 h", FIRST) if part == "before" else ("24 h", SECOND)
                when = accepted[sent.message_id].message.data.when.timestamp() + seconds
                found = re.search(r"the (\d+ h) notice goes out at (\S+),", deadline or "")
                if not found or found[1] != stage or unix(found[2]) != when:
                    problems.append(f"{part}, {word}: the {stage} deadline should be named: {deadline!r}")
            elif deadline and part == "after":
                problems.append(f"{part}, {word}: there is no deadline any more: {deadline!r}")
            return problems

        with ThreadPoolExecutor(4) as pool:
            self.fine([each for found in pool.map(look, sents[:-1]) for each in found])
