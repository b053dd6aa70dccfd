"""Formal checks F1–F8 (pec-rules 3.2): one notice that names every fault, and nothing in the world."""

import os
import re

from interop import compose, expect
from interop.case import InteropTest
from interop.expect import Sent
from interop.lab import ALDO, ANNA, Gateway, World
from interop.mailboxes import Stored
from interop.sink import Sink

GIULIA = "giulia@posta.example.test"

#: How each fault is recognised in the description, whatever its exact wording.
SIGNS = {
    "F1": r"RFC 5322|8 bit|ripetut|malformat|non conform|intestazion|linea|riga",
    "F2": r"\bFrom\b|mittente",
    "F3": r"\bTo\b|destinatari",
    "F4": r"non coincide|non corrisponde|divers|MAIL FROM|reverse",
    "F5": r"l'indirizzo email {address} non appare nei campi To o Cc",
    "F6": r"\bBcc\b|\bCcn\b",
    "F7": r"destinatari|prodotto|moltiplicat",
    "F8": r"dimension|limit|MB|byte",
}


def letter(fields: str, body: bytes = b"ciao\r\n", recipients: list[str] | None = None) -> Sent:
    """A message from header lines; a fresh Message-ID is added at the end."""
    mark = f"<{compose.token()}@client.example.test>"
    head = "".join(line + "\r\n" for line in fields.strip("\n").split("\n")).replace("\\t", "\t")
    found = re.search(r"(?m)^Subject: ([ -~]*)\r$", head)
    subject = found[1] if found and "=?" not in found[1] else ...
    return Sent((head + f"Message-ID: {mark}\r\n").encode() + b"\r\n" + body, ANNA, recipients or [GIULIA], subject, mark)


DATE = "Date: Tue, 10 Mar 2026 09:14:58 +0100"


class Formal(InteropTest):
    def refuse(
        self, sent: Sent, faults: list[str], world: World | None = None, destination=None, f5: list[str] = (), words: bool = True
    ) -> Stored:
        """Sends, gets 250, and demands the one notice; the world must not hear of the message."""
        world = world or self.lab
        with world.trusted(seconds=60) as wire:
            wire.envelope(sent.sender, sent.recipients)
            reply = wire.data(sent.octets) if sent.octets.endswith(b"\r\n") else wire.bdat(sent.octets, [len(sent.octets)])
            self.assertEqual(reply.code, 250, reply)
        mailbox = world.mailbox(sent.sender)
        notice = compose.receipt(mailbox, sent, "non-accettazione")
        self.fine(expect.check_non_acceptance(notice, sent, words) + self.signed(notice, world), f"notice for {faults}")
        self.fine(world.judge.dtd(notice.message.xml))
        text, extended = notice.message.text, notice.message.data.extended_error
        problems = []
        for fault in faults:
            for address in (f5 if fault == "F5" else [None]):
                sign = SIGNS[fault].replace("{address}", re.escape(f"<{address}>") + "|l'indirizzo email " + re.escape(str(address)))
                for where, what in (("text", text), ("errore-esteso", extended)):
                    if not re.search(sign, re.sub(r"\s+", " ", what)):
                        problems.append(f"{fault} is not named in the {where}: {what}")
        listed = len(re.findall(r"(?m)^ *- ", text.replace("\r\n", "\n")))
        wanted = len(faults) - ("F5" in faults) + len(f5)
        if listed and listed != wanted:
            problems.append(f"{listed} faults listed, {wanted} wanted: {text}")
        self.fine(problems)
        # A good message after it has come through, so what the bad one would have sent would be there too.
        with world.trusted() as wire:
            after = compose.simple("Dopo")
            wire.envelope(ANNA, after.recipients)
            self.assertEqual(wire.data(after.octets).code, 250)
        compose.receipt(world.mailbox(ANNA), after)
        compose.envelope(destination or world.world, after)
        about = [stored for stored in mailbox.all if stored.header.get("X-Riferimento-Message-ID") == sent.message_id]
        self.assertEqual(len(about), 1, f"one notice and nothing else, found {[stored.kind for stored in about]}")
        mark = sent.message_id.encode()
        for folder in (destination or world.world, world.mailbox(ALDO)):
            self.assertFalse([stored.path for stored in folder.all if mark in stored.octets[:20000]], "the refused message went out")
        self.assertNotIn(b"ciao-segreto", notice.octets)
        return notice

    def test_f1_malformed_header(self):
        cases = {
            "a line without a colon": f"{DATE}\nquesta non e' un'intestazione\nFrom: {ANNA}\nTo: {GIULIA}\nSubject: x",
            "a From line of mbox": f"From anna Tue Mar 10\nFrom: {ANNA}\nTo: {GIULIA}\nSubject: x",
            "white space in a name": f"{DATE}\nX Cosa: 1\nFrom: {ANNA}\nTo: {GIULIA}\nSubject: x",
            "two Subjects": f"{DATE}\nFrom: {ANNA}\nTo: {GIULIA}\nSubject: x\nSubject: y",
            "two To fields": f"{DATE}\nFrom: {ANNA}\nTo: {GIULIA}\nTo: {GIULIA}\nSubject: x",
        }
        for name, fields in cases.items():
            with self.subTest(name):
                sent = letter(fields)
                sent.subject = ...
                self.refuse(sent, ["F1"])

    def test_f1_two_message_ids(self):
        """RFC 5322 §3.6 allows one; and which of them would be the client's?"""
        sent = letter(f"{DATE}\nFrom: {ANNA}\nTo: {GIULIA}\nSubject: prova")
        sent.octets = f"Message-ID: {sent.message_id}\r\n".encode() + sent.octets
        self.refuse(sent, ["F1"])

    def test_f1_eight_bit_octets(self):
        """Not announced, so refused as F1 (pec-rules 4.7): in the header and in the body."""
        sent = letter(f"{DATE}\nFrom: {ANNA}\nTo: {GIULIA}\nSubject: prova", "però\r\n".encode())
        self.refuse(sent, ["F1"])
        sent = letter(f"{DATE}\nFrom: {ANNA}\nTo: {GIULIA}\nSubject: però")
        self.refuse(sent, ["F1"], words=False)

    def test_f2_from(self):
        for name, line in (
            ("missing", None),
            ("empty", "From:"),
            ("no address", "From: Anna"),
            ("no domain", "From: anna"),
            ("two authors", f"From: {ANNA}, {ALDO}"),
            ("not closed", f"From: <{ANNA}"),
            ("group only", "From: nessuno:;"),
        ):
            with self.subTest(name):
                fields = "\n".join(each for each in (DATE, line, f"To: {GIULIA}", "Subject: prova") if each)
                self.refuse(letter(fields), ["F2"])

    def test_f3_to(self):
        for name, lines in (
            ("missing", f"Cc: {GIULIA}"),
            ("empty", f"To:\nCc: {GIULIA}"),
            ("undisclosed", f"To: undisclosed-recipients:;\nCc: {GIULIA}"),
            ("no address", f"To: Giulia\nCc: {GIULIA}"),
            ("one broken", f"To: {GIULIA}, <rotto@\nCc: {GIULIA}"),
        ):
            with self.subTest(name):
                self.refuse(letter(f"{DATE}\nFrom: {ANNA}\n{lines}\nSubject: prova"), ["F3"])

    def test_f4_sender(self):
        for author in (ALDO, "anna@posta.example.test", f"Anna <x{ANNA}>"):
            with self.subTest(author):
                self.refuse(letter(f"{DATE}\nFrom: {author}\nTo: {GIULIA}\nSubject: prova"), ["F4"])

    def test_f5_recipients(self):
        others = ["marco@posta.example.test", "ufficio@pec.gamma.test"]
        self.refuse(letter(f"{DATE}\nFrom: {ANNA}\nTo: {GIULIA}\nSubject: prova", recipients=[GIULIA, *others]), ["F5"], f5=others)
        sent = letter(
            f"{DATE}\nFrom: {ANNA}\nTo: {GIULIA}\nReply-To: x@posta.example.test\nSubject: prova", recipients=["x@posta.example.test"]
        )
        self.refuse(sent, ["F5"], f5=["x@posta.example.test"])

    def test_f6_blind_copies(self):
        for value in (GIULIA, "Giulia <giulia@posta.example.test>", "x", "gruppo:;"):
            with self.subTest(value):
                self.refuse(letter(f"{DATE}\nFrom: {ANNA}\nTo: {GIULIA}\nBcc: {value}\nSubject: prova"), ["F6"])

    def test_f7_size_by_recipients(self):
        two = [GIULIA, "marco@posta.example.test"]
        body = (b"x" * 76 + b"\r\n") * (16 * 2**20 // 78)
        self.refuse(letter(f"{DATE}\nFrom: {ANNA}\nTo: {', '.join(two)}\nSubject: grande", body, two), ["F7"])

    def test_f7_just_below(self):
        two = [GIULIA, "marco@posta.example.test"]
        sent = compose.simple("Quasi", two, body=(b"x" * 76 + b"\r\n") * ((15 * 2**20 - 2000) // 78))
        with self.lab.trusted(seconds=60) as wire:
            wire.envelope(ANNA, two)
            self.assertEqual(wire.data(sent.octets).code, 250)
        self.accepted(self.lab, sent, openssl=False)

    def test_several_at_once(self):
        fields = f"{DATE}\nriga senza due punti\nFrom: {ALDO}\nTo: Giulia\nBcc: x@posta.example.test\nSubject: prova"
        sent = letter(fields, recipients=[GIULIA])
        sent.subject = ...
        self.refuse(sent, ["F1", "F3", "F4", "F5", "F6"], f5=[GIULIA], words=False)

    def test_nothing_of_the_original_in_the_notice(self):
        sent = letter(
            f"{DATE}\nFrom: {ANNA}\nTo: {GIULIA}\nBcc: x@posta.example.test\nSubject: prova\nX-Segreto: ciao-segreto",
            b"ciao-segreto\r\n" * 10,
        )
        self.refuse(sent, ["F6"])


class Limits(InteropTest):
    """F8, and all faults together, on a gateway with low limits."""

    @classmethod
    def setUpClass(cls):
        cls.sink = Sink()
        cls.gateway = Gateway(
            cls.sink.port, lambda yaml: yaml.limits(formalMegabytes=1, sizeTimesRecipientsMegabytes=2, maximumMessageMegabytes=4)
        ).start()

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()
        cls.sink.stop()

    refuse = Formal.refuse

    class Taken:
        """The sink as a folder, for `refuse`."""

        def __init__(self, sink):
            self.sink = sink

        @property
        def all(self):
            return [taken.stored for taken in self.sink.taken]

        def wait(self, condition, seconds=30, count=1, what="the message"):
            from interop.base import poll

            return poll(lambda: [stored for stored in self.all if condition(stored)], seconds, what)

    def test_f8_alone(self):
        body = (b"x" * 76 + b"\r\n") * (2**20 // 78 + 1)
        self.refuse(letter(f"{DATE}\nFrom: {ANNA}\nTo: {GIULIA}\nSubject: prova", body), ["F8"], self.gateway, self.Taken(self.sink))

    def test_f7_and_f8(self):
        three = [GIULIA, "marco@posta.example.test", "ugo@posta.example.test"]
        body = (b"x" * 76 + b"\r\n") * (2**20 // 78 + 1)
        self.refuse(
            letter(f"{DATE}\nFrom: {ANNA}\nTo: {', '.join(three)}\nSubject: prova", body, three),
            ["F7", "F8"],
            self.gateway,
            self.Taken(self.sink),
        )

    def test_all_eight(self):
        """F2 and F4 cannot stand together with one author: a From without an address has nothing to compare."""
        two = [GIULIA, "marco@posta.example.test"]
        body = (b"x" * 76 + b"\r\n") * (3 * 2**19 // 78)
        fields = f"{DATE}\nriga senza due punti\nTo: Giulia\nBcc: x@posta.example.test\nSubject: prova"
        sent = letter(fields, body, two)
        sent.subject = ...
        self.refuse(sent, ["F1", "F2", "F3", "F5", "F6", "F7", "F8"], self.gateway, self.Taken(self.sink), f5=two, words=False)

    def test_above_the_hard_limit_it_is_smtp_that_refuses(self):
        with self.gateway.trusted(seconds=60) as wire:
            self.assertEqual(int(wire.extensions["SIZE"]), 4 * 2**20)
            reply = wire.command(f"MAIL FROM:<{ANNA}> SIZE={5 * 2**20}")
            self.assertEqual((reply.code, reply.enhanced), (552, "5.3.4"), reply)
            sent = compose.simple("Troppo", body=(b"x" * 76 + b"\r\n") * (5 * 2**20 // 78))
            wire.envelope(ANNA, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 552)
            wire.expect("NOOP", 250)
            wire.envelope(ANNA, sent.recipients)
            reply = wire.bdat(sent.octets, [3 * 2**20, 3 * 2**20], pipelined=True)
            self.assertEqual(reply.code, 552)


class Lists(InteropTest):
    """Recipient lists of 1, 50 and 500, certified and ordinary mixed."""

    def send(self, count: int) -> None:
        domains = ["pec.gamma.test", "posta.example.test", "PEC.Gamma.TEST", "altra.example.test"]
        mark = os.urandom(3).hex()
        recipients = [f"n{number:03}-{mark}@{domains[number % 4]}" for number in range(count)]
        if count > 1:
            recipients[7] = ALDO
        sent = compose.simple(f"A {count}", recipients)
        with self.lab.trusted(seconds=60) as wire:
            wire.envelope(ANNA, recipients, pipelined=True)
            self.assertEqual(wire.data(sent.octets).code, 250)
        self.accepted(self.lab, sent)
        reached: set[str] = set()

        def all_there() -> bool:
            for stored in self.lab.world.matching(compose.belongs(sent, "posta-certificata")):
                reached.update(stored.envelope_to)
            return reached >= {each for each in recipients if each != ALDO}

        from interop.base import poll

        poll(all_there, 60, lambda: f"{len(reached)} of {count} recipients reached")
        copies = self.lab.world.matching(compose.belongs(sent, "posta-certificata"))
        self.assertEqual(sum(len(stored.envelope_to) for stored in copies), len(reached), "nobody gets it twice")
        self.assertEqual(len({stored.octets for stored in copies}), 1)
        if count > 1:
            compose.envelope(self.lab.mailbox(ALDO), sent)

    def test_one(self):
        self.send(1)

    def test_fifty(self):
        self.send(50)

    def test_five_hundred(self):
        self.send(500)
