"""Provider Gamma at work: an incoming point that answers what it gets, as its manner says: late, twice, not at all, wrongly signed.

Its mail reaches it where the laboratory's world is, so a gateway's route to the world leads here.
"""

import heapq
import itertools
import re
import threading
import time
from dataclasses import dataclass, field

from .authority import Identity
from .lab import World
from .provider import MODERN, Dialect, Letter, Provider, about, broken
from .mailboxes import Stored
from .sink import Sink, Taken
from .wire import Reply, Wire, client_context


@dataclass
class Manner:
    """How it behaves. Counts are of messages sent: 0 drops, 2 sends the very same message twice."""

    take_charges: int = 1
    receipts: int = 1
    #: Seconds that each kind of answer waits for; the receipt may go before the take-charge receipt.
    take_charge_after: float = 0
    receipt_after: float = 0
    #: One take-charge receipt for every recipient instead of one for all.
    split: bool = False
    unknown: tuple[str, ...] = ()
    infected: tuple[str, ...] = ()
    #: `good`, `broken` (a letter is changed after signing) or `stranger` (signed with the forger's key).
    signature: str = "good"
    dialect: Dialect = MODERN


@dataclass(order=True)
class _Due:
    at: float
    number: int
    what: object = field(compare=False)


class Counterpart(Provider):
    """`received` are the envelopes it took; `answers` what it sent, each with the reply it got."""

    def __init__(self, world: World, manner: Manner | None = None, port: int = 0):
        super().__init__(Identity(world.folder / "gamma" / "signer.pem"))
        self.manner = manner or Manner()
        self.dialect = self.manner.dialect
        self.forger = Identity(world.folder / "forge" / "signer.pem")
        self.lab = world
        self.answers: list[tuple[str, Letter, Reply | None]] = []
        self.problems: list[str] = []
        self.sink = Sink(port=port)
        self._numbers = itertools.count()
        self._due: list[_Due] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def at(self, world: World) -> "Counterpart":
        """The gateways it talks to (their ports are known only after its own)."""
        self.lab = world
        return self

    def stop(self) -> None:
        self._over.set()
        self._thread.join(30)
        self.sink.stop()

    # What it received

    def taken(self, kind: str, condition=lambda stored: True) -> list[Stored]:
        return [stored for stored in (taken.stored for taken in list(self.sink.taken)) if stored.kind == kind and condition(stored)]

    def about_letter(self, letter: Letter, kind: str | None = None) -> list[Stored]:
        """Receipts and notices about an envelope of ours."""
        found = []
        for taken in list(self.sink.taken):
            stored = taken.stored
            if stored.header.get("X-Ricevuta") and stored.message.data.pec_id == letter.certified.pec_id and kind in (None, stored.kind):
                found.append(stored)
        return found

    # What it sends

    def post(self, letter: Letter | bytes, to: str = "alfa", sender: str | None = None, recipients=None, tls: bool = True) -> Reply:
        """One transaction at an incoming point. Gives the reply to the message; a refusal before it is given too."""
        octets = letter if isinstance(letter, bytes) else letter.octets
        sender = letter.mail_from if sender is None else sender
        with self.session(to, tls) as wire:
            return transaction(wire, sender, recipients or letter.recipients, octets)

    def session(self, to: str = "alfa", tls: bool = True) -> Wire:
        wire = Wire(self.lab.at(to).ports.incoming)
        wire.ehlo("mx.gamma.test")
        if tls:
            wire.start_tls(client_context(self.lab.ca))
            wire.ehlo("mx.gamma.test")
        return wire

    # Answering

    def _work(self) -> None:
        seen = 0
        while not self._over.wait(0.01):
            while seen < len(self.sink.taken):
                taken, seen = self.sink.taken[seen], seen + 1
                try:
                    self._answer(taken)
                except Exception as error:  # told by the test, not lost in a thread
                    self.problems.append(f"{type(error).__name__}: {error}")
            while self._due and self._due[0].at <= time.monotonic():
                self._send(*heapq.heappop(self._due).what)

    def _answer(self, taken: Taken) -> None:
        stored, manner = taken.stored, self.manner
        if stored.kind != "posta-certificata":
            return
        facts = about(stored)
        home = "beta" if stored.message.data.sender.endswith("@pec.beta.test") else "alfa"
        ours = [each for each in taken.recipients if each.lower().endswith("@" + self.domain)]
        if not ours:
            return
        self.problems += [f"what came in: {each}" for each in self.lab.judge_of(home).fast(stored.message)]
        mailbox = f"servizio@pec.{home}.test"
        for group in [[each] for each in ours] if manner.split else [ours]:
            self._plan(manner.take_charges, manner.take_charge_after, home, self.take_charge(facts, group, mailbox))
        for recipient in ours:
            if recipient in manner.infected:
                letter = self.virus_detection(facts, recipient, mailbox)
            elif recipient in manner.unknown:
                letter = self.non_delivery(facts, recipient)
            else:
                letter = self.delivery(facts, recipient, stored.message.original)
            self._plan(manner.receipts, manner.receipt_after, home, letter)

    def _plan(self, count: int, after: float, home: str, letter: Letter) -> None:
        letter.dialect = self.manner.dialect
        if self.manner.signature == "stranger":
            letter.signers = [self.forger]
        elif self.manner.signature == "broken":
            letter.after = broken
        octets = letter.octets if count else b""
        for _ in range(count):
            heapq.heappush(self._due, _Due(time.monotonic() + after, next(self._numbers), (home, letter, octets, 0)))

    def _send(self, home: str, letter: Letter, octets: bytes, attempts: int) -> None:
        """A next hop that is away is tried again, as any mail server does."""
        try:
            reply = self.post(octets, home, letter.mail_from, letter.recipients)
        except (OSError, AssertionError) as error:
            reply = Reply(451, [str(error)])
        if 400 <= reply.code < 500 and attempts < 200 and not self._over.is_set():
            heapq.heappush(self._due, _Due(time.monotonic() + 0.25, next(self._numbers), (home, letter, octets, attempts + 1)))
            return
        self.answers.append((home, letter, reply))


def transaction(wire: Wire, sender: str, recipients: list[str], octets: bytes) -> Reply:
    """MAIL, RCPT, DATA; what was refused before the message is the answer then. Without a final CRLF, or with bare ones, by BDAT."""
    body = " BODY=8BITMIME" if "8BITMIME" in wire.extensions and any(octet > 127 for octet in octets) else ""
    reply = wire.command(f"MAIL FROM:<{sender}>{body}")
    if reply.code != 250:
        return reply
    for recipient in recipients:
        reply = wire.command(f"RCPT TO:<{recipient}>")
        if reply.code not in (250, 251):
            wire.command("RSET")
            return reply
    if not octets.endswith(b"\r\n") or re.search(rb"(?<!\r)\n|\r(?!\n)", octets):
        return wire.bdat(octets, [len(octets)])
    return wire.data(octets)
