"""The class that tests of the virus scanner derive from: a guarded gateway of provider Alfa, a sink for the world, and Gamma's key."""

import collections
from concurrent.futures import ThreadPoolExecutor

from . import compose
from .authority import Identity
from .base import poll
from .case import InteropTest
from .counterpart import transaction
from .expect import Sent
from .guarded import Guarded, Signatures, check_kept, quarantine
from .lab import ANNA
from .mailboxes import Stored
from .notices import check_detection_rows, check_non_acceptance_virus, check_refusal_rows, check_virus_detection
from .provider import Letter, Provider
from .receipts import check_take_charge, sent_of
from .sink import Sink
from .wire import Reply


class VirusTest(InteropTest):
    """`keys` are those of `scanner:`; the world is Gamma's incoming point as well."""

    keys: dict = {}
    edit = None

    @classmethod
    def setUpClass(cls):
        cls.signatures = Signatures()
        cls.sink = Sink()
        cls.read, cls.told = [], collections.defaultdict(list)
        cls.gateway = Guarded(cls.sink.port, cls.signatures, cls.edit, **cls.keys)
        cls.before(cls.gateway)
        cls.gateway.start()
        cls.gamma = Provider(Identity(cls.gateway.folder / "gamma" / "signer.pem"))

    @classmethod
    def before(cls, gateway: Guarded) -> None:
        """What else is to be there when it starts."""

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()
        cls.sink.stop()

    # The access point

    def submit(self, *sents: Sent, code: int = 250) -> list[Reply]:
        replies = []
        with self.gateway.submission(seconds=60) as wire:
            for sent in sents:
                replies.append(transaction(wire, sent.sender, sent.recipients, sent.octets))
                self.assertEqual(replies[-1].code, code, replies[-1])
        return replies

    def notice(self, sent: Sent) -> Stored:
        return compose.receipt(self.gateway.mailbox(sent.sender), sent, "non-accettazione", 60)

    def judge_refusal(self, sent: Sent, threat: str, kept: list[dict], events: list[dict], openssl: bool = True) -> list[str]:
        """Everything about an infected submission, once all has come to rest. `kept` and `events`: quarantine and log, as they are now."""
        mailbox = self.gateway.mailbox(sent.sender)
        about = mailbox.matching(lambda stored: stored.header.get("X-Riferimento-Message-ID") == sent.message_id)
        if [stored.kind for stored in about] != ["non-accettazione"]:
            return [f"the sender has {[stored.kind for stored in about]} instead of one notice"]
        notice, pec_id = about[0], about[0].message.data.pec_id
        problems = check_non_acceptance_virus(notice, sent, threat)
        problems += self.signed(notice, self.gateway) if openssl else self.gateway.judge.fast(notice.message)
        entries = [row for row in kept if row["pecID"] == pec_id]
        if len(entries) != 1:
            problems.append(f"{len(entries)} entries in quarantine")
        for row in entries:
            problems += check_kept(row, sent.octets, "submission", sent.sender, sent.recipients, threat)
        return problems + check_refusal_rows([event for event in events if event["pecID"] == pec_id], notice, threat)

    # The incoming point

    def post(self, octets: bytes, sender: str, recipients: list[str], code: int = 250) -> Reply:
        with self.gateway.incoming(tls=True, seconds=60) as wire:
            reply = transaction(wire, sender, recipients, octets)
        self.assertEqual(reply.code, code, reply)
        return reply

    def answers(self) -> dict[str, list[Stored]]:
        """Receipts and notices at the sink, by the PEC id that they are about. Each is read once."""
        while len(self.read) < len(self.sink.taken):
            stored = self.sink.taken[len(self.read)].stored
            self.read.append(stored)
            if stored.header.get("X-Ricevuta"):
                self.told[stored.message.data.pec_id].append(stored)
        return self.told

    def about_letter(self, letter: Letter) -> dict[str, list[Stored]]:
        """What the sink has about a letter, by kind."""
        found: dict[str, list[Stored]] = {}
        for stored in self.answers().get(letter.certified.pec_id, []):
            found.setdefault(stored.kind, []).append(stored)
        return found

    def answered(self, letters: dict[str, int], seconds: float = 60) -> None:
        """Waits until each of these PEC ids has so many receipts and notices at the sink, and all queues are empty."""

        def missing() -> list[tuple]:
            answers = self.answers()
            return [(each, len(answers.get(each, [])), count) for each, count in letters.items() if len(answers.get(each, [])) < count]

        poll(lambda: not missing(), seconds, lambda: f"receipts (PEC id, there, wanted): {missing()[:5]}", every=0.1)
        self.gateway.settled()

    def judge_detection(
        self, letter: Letter, wire: bytes, recipients: list[str], threat: str, kept: list[dict], events: list[dict], openssl: bool = True
    ) -> list[str]:
        """Everything about an infected envelope that came in one transaction for these recipients. `wire`: its octets."""
        found, facts, pec_id = self.about_letter(letter), sent_of(letter), letter.certified.pec_id
        counts = {kind: len(each) for kind, each in found.items()}
        if counts != {"presa-in-carico": 1, "rilevazione-virus": len(recipients)}:
            return [f"what came back: {counts}"]
        charge, notices = found["presa-in-carico"][0], found["rilevazione-virus"]
        problems = check_take_charge(charge, facts, pec_id, recipients, "alfa", "gamma")
        told = {(each.message.data.delivered_to or "").lower(): each for each in notices}
        if set(told) != {each.lower() for each in recipients}:
            problems.append(f"notices about {sorted(told)}")
        for recipient in recipients:
            if recipient.lower() in told:
                problems += check_virus_detection(told[recipient.lower()], facts, pec_id, recipient, "alfa", "gamma", threat)
        for stored in [charge, *notices]:
            problems += self.signed(stored, self.gateway) if openssl else self.gateway.judge.fast(stored.message)
        for recipient in recipients:
            if self.lying(pec_id, recipient):
                problems.append(f"something of it lies in the mailbox of {recipient}")
        entries = [row for row in kept if row["pecID"] == pec_id]
        if len(entries) != 1:
            problems.append(f"{len(entries)} entries in quarantine")
        for row in entries:
            problems += check_kept(row, wire, "envelope", letter.mail_from, recipients, threat)
        mine = [event for event in events if event["pecID"] == pec_id]
        return problems + check_detection_rows(mine, notices, recipients, threat)

    def lying(self, mark: str, address: str = ANNA) -> list[Stored]:
        return self.gateway.mailbox(address).matching(lambda stored: mark.encode() in stored.octets)

    # Both

    def rest(self) -> tuple[list[dict], list[dict]]:
        """Waits until nothing is under way, and gives quarantine and log."""
        self.gateway.settled()
        return quarantine(self.gateway), self.gateway.events()

    def in_parallel(self, judge, items: list) -> list[str]:
        """What `judge(item)` finds wrong with each; most of it is openssl's time."""
        with ThreadPoolExecutor(4) as pool:
            return [problem for found in pool.map(judge, items) for problem in found]

    def sound(self, stored: list[Stored]) -> list[str]:
        """daticert.xml of all of these by our DTD."""
        return self.gateway.judge.dtd(*(each.message.xml for each in stored))
