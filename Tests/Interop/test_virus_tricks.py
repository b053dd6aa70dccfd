"""Messages that show a virus to one reader of MIME and hide it from another: every one is caught, at both points."""

import threading

from interop import compose
from interop.base import note, poll
from interop.counterpart import transaction
from interop.expect import Sent
from interop.forgers import MARIO
from interop.guarded import EICAR, EICAR_NAME
from interop.lab import ANNA
from interop.tricks import tricks
from interop.virus_case import VirusTest

OUTSIDE = "ordinario@posta.example.test"
CLIENTS = 4
#: Lines that are no header fields, and eight bits: the access point refuses them for their form, does not scan them, and sends nothing.
FORMAL = {
    "base64 with eight-bit junk",
    "encoding field of the message behind a broken line",
    "encoding field of the message with an equals sign",
    "encoding field of the message without its colon",
    "encoding of a part said eight bit",
    "encoding said eight bit",
    "the whole in base64 with eight-bit junk",
    "type behind a broken line",
    "type behind a mailbox line",
    "type not folded",
    "yEnc as x-uuencode",
    "yEnc in a plain message",
    "yEnc in text",
}


def header(sender: str, recipient: str, identifier: str | None) -> bytes:
    lines = [f"From: {sender}", f"To: {recipient}", "Subject: Prova", "Date: Tue, 10 Mar 2026 09:14:58 +0100"]
    lines += [f"Message-ID: {identifier}"] if identifier else []
    return "".join(line + "\r\n" for line in lines).encode()


def spread(items: list, work) -> list[str]:
    """`work(item, session)` on several connections at once; what went wrong. `work.open()` opens a session."""
    problems, lock, waiting = [], threading.Lock(), iter(items)

    def client() -> None:
        session = None
        while True:
            with lock:
                item = next(waiting, None)
            if item is None:
                break
            try:
                session = session or work.open()
                reply = work(item, session)
                if reply.code != 250:
                    problems.append(f"{item.name}: {reply}")
                    session.command("RSET")
            except (OSError, AssertionError) as error:
                problems.append(f"{item.name}: {type(error).__name__}: {error}")
                session = None
        if session:
            session.close()

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    return problems


class Trick:
    def __init__(self, number: int, name: str):
        self.number, self.name, self.mark = number, name, f"<{compose.token()}@client.example.test>"


class Sending:
    """How tricks go to one of the points."""

    def __init__(self, open_session, send):
        self.open, self.send = open_session, send

    def __call__(self, item, session):
        return self.send(item, session)


class Tricks(VirusTest):
    def setUp(self):
        self.need("openssl", "xmllint")
        self.names = [name for name, _ in tricks(EICAR)]
        self.assertGreaterEqual(len(self.names), 60)
        self.assertEqual(len(set(self.names)), len(self.names), "two tricks of the same name")
        self.assertLessEqual(FORMAL, set(self.names))
        self.assertGreaterEqual(len(self.names) - len(FORMAL), 60)

    def test_submitted(self):
        items = [Trick(number, name) for number, name in enumerate(self.names)]
        for item in items:
            octets = tricks(EICAR, header(ANNA, OUTSIDE, item.mark))[item.number][1]
            item.sent = Sent(octets, ANNA, [OUTSIDE], "Prova", item.mark)
        problems = spread(
            items,
            Sending(lambda: self.gateway.trusted(seconds=60), lambda item, wire: transaction(wire, ANNA, [OUTSIDE], item.sent.octets)),
        )
        self.fine(problems, "sending")
        mailbox = self.gateway.mailbox(ANNA)
        marks = {item.mark for item in items}

        def answered() -> set[str]:
            return marks & {stored.header.get("X-Riferimento-Message-ID") for stored in mailbox.all}

        poll(lambda: len(answered()) == len(items), 60, lambda: f"{len(answered())} of {len(items)} answers", every=0.1)
        kept, events = self.rest()
        passed = [item.name for item in items if mailbox.matching(compose.belongs(item.sent, "accettazione"))]
        formal = {
            item.name
            for item in items
            if (notices := mailbox.matching(compose.belongs(item.sent, "non-accettazione"))) and notices[0].message.data.error == "altro"
        }
        note(f"{len(items)} tricks, {len(items) - len(formal)} refused for a virus, {len(formal)} for their form")
        self.assertEqual(passed, [], "accepted")
        self.assertEqual(formal, FORMAL, "refused for their form")
        self.assertFalse([taken for taken in self.sink.taken if taken.stored.kind == "posta-certificata"], "something left")
        judged = [item for item in items if item.name not in FORMAL]

        def judge(item: Trick) -> list[str]:
            found = self.judge_refusal(item.sent, EICAR_NAME, kept, events, openssl=False)
            notice = mailbox.matching(compose.belongs(item.sent, "non-accettazione"))[0]
            return [f"{item.name}: {each}" for each in found + self.gateway.judge.openssl(notice.octets)]

        self.fine(self.in_parallel(judge, judged))
        self.fine(self.sound(mailbox.matching(lambda stored: stored.kind == "non-accettazione")))

    def test_in_envelopes(self):
        items = [Trick(number, name) for number, name in enumerate(self.names)]

        def prepare(item: Trick) -> list[str]:
            original = tricks(EICAR, header(MARIO, ANNA, None))[item.number][1]
            item.letter = self.gamma.envelope(MARIO, [ANNA], "Prova", original=original)
            item.letter.original_encoding = "8bit" if any(octet > 127 for octet in original) else "7bit"
            item.octets = item.letter.octets
            return []

        self.in_parallel(prepare, items)
        problems = spread(
            items,
            Sending(lambda: self.gateway.incoming(tls=True, seconds=60), lambda item, wire: transaction(wire, MARIO, [ANNA], item.octets)),
        )
        self.fine(problems, "sending")
        self.answered({item.letter.certified.pec_id: 2 for item in items})
        kept, events = self.rest()
        delivered = [item.name for item in items if self.lying(item.letter.certified.pec_id)]
        self.assertEqual(delivered, [], "delivered")

        def judge(item: Trick) -> list[str]:
            found = self.judge_detection(item.letter, item.octets, [ANNA], EICAR_NAME, kept, events, openssl=False)
            for stored in self.about_letter(item.letter).get("rilevazione-virus", []):
                found += self.gateway.judge.openssl(stored.octets)
            return [f"{item.name}: {each}" for each in found]

        self.fine(self.in_parallel(judge, items))
        self.fine(self.sound([stored for item in items for each in self.about_letter(item.letter).values() for stored in each]))
        note(f"{len(items)} infected envelopes, all taken in charge and told to their provider")
