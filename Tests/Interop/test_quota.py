"""Whether a mailbox has room is asked of a real Dovecot before anything goes there: by LMTP, and into Maildirs that the gateway writes
itself. Who is full gets nothing, his sender a word; and while nobody can say, nothing is lost."""

import json
import os
import re
import signal
import subprocess

from interop.base import executable, free_block, poll, run
from interop.case import InteropTest
from interop.compose import belongs, simple
from interop.counterpart import transaction
from interop.dovecot import QUOTA_STATUS, Dovecot
from interop.forgers import MARIO, Identity
from interop.lab import ALDO, ANNA, Gateway
from interop.mailboxes import Folder, Stored
from interop.provider import Letter, Provider
from interop.sink import Sink
from interop.wire import Reply

TIZIO = "tizio@posta.example.test"
FAST = {"firstRetrySeconds": 1, "lastRetrySeconds": 2}
LINE = b"0123456789" * 7 + b"\r\n"
#: Of a mailbox of 300 KB one has room, and a second has not.
BIG = LINE * 2800


def encoded(name: str) -> str:
    """The name of a file in a Maildir of the gateway."""
    return "".join(each if re.match(r"[A-Za-z0-9._+@=-]", each) else f"%{ord(each):02x}" for each in name)


class Quota(InteropTest):
    def setUp(self):
        self.need("dovecot", "doveadm", "openssl", "xmllint")
        self.sink = Sink()
        self.addCleanup(self.sink.stop)

    def start(self, maildir: bool, over_tcp: bool = False) -> tuple[Gateway, Dovecot]:
        """`maildir`: the gateway writes the mailboxes, and Dovecot, whose user is the gateway's, looks at them."""
        if maildir and os.geteuid() != 0:
            self.skipTest("needs root")
        # One lane, and so one connection to the service: a test that stops a process stops the one that is asked.
        gateway = Gateway(self.sink.port, lambda yaml: yaml.limits(**FAST).set("1", "lanes"))
        self.addCleanup(gateway.stop)
        text = gateway.configuration.read_text()
        users = gateway.folder / "alfa" / re.search(r"passwdFile: *\"?([^\"}\s]+)", text)[1]
        port = free_block(1)
        more = QUOTA_STATUS.format(kilobytes=300, port=port)
        if maildir:
            more += f"mail_location = maildir:{gateway.folder}/alfa/mail/%u:INDEX={gateway.folder}/alfa/indexes/%u\n"
        dovecot = Dovecot(users, more).start()
        self.addCleanup(dovecot.stop)
        quota = f"127.0.0.1:{port}" if over_tcp else f"unix:{dovecot.folder}/run/quota-status"
        way = "maildir: mail" if maildir else f'lmtp: "127.0.0.1:{dovecot.port}"'
        text = re.sub(r"(?m)^mailboxes:.*$", lambda _: f'mailboxes: {{ {way}, quota: "{quota}" }}', text)
        gateway.configuration.write_text(text + ("user: nobody\n" if maildir else ""))
        if maildir:
            subprocess.run(["chown", "-R", "nobody:nogroup", str(gateway.folder)], check=True)
            gateway.folder.chmod(0o755)
            gateway.log.touch()
        gateway.start()
        self.gamma = Provider(Identity(gateway.folder / "gamma" / "signer.pem"))
        self.maildir = maildir
        return gateway, dovecot

    def mailbox(self, gateway: Gateway, dovecot: Dovecot, user: str) -> Folder:
        return gateway.mailbox(user) if self.maildir else dovecot.mailbox(user)

    def post(self, gateway: Gateway, recipients: list[str], body: bytes = b"Buongiorno.\r\n") -> Letter:
        """An envelope of another provider: it is taken, whatever the mailboxes are like."""
        letter = self.gamma.envelope(MARIO, recipients, body=body)
        with gateway.incoming() as wire:
            reply = transaction(wire, MARIO, recipients, letter.octets)
        self.assertEqual(reply.code, 250, reply)
        return letter

    def ordinary(self, gateway: Gateway, recipients: list[str], subject: str, body: bytes = BIG) -> Reply:
        octets = f"Message-ID: <{subject}@posta.example.test>\r\nFrom: {TIZIO}\r\nTo: {', '.join(recipients)}\r\nSubject: {subject}\r\n\r\n"
        with gateway.incoming() as wire:
            return transaction(wire, TIZIO, recipients, octets.encode() + body)

    def words(self, letter: Letter, *kinds: str) -> list[Stored]:
        taken = [taken.stored for taken in list(self.sink.taken) if taken.stored.kind in kinds]
        return [stored for stored in taken if stored.message.data.pec_id == letter.certified.pec_id]

    def final(self, gateway: Gateway, letter: Letter, wanted: dict[str, str]) -> dict[str, Stored]:
        """One take-charge receipt, and one word about each recipient: `avvenuta-consegna`, or the `errore` of a non-delivery."""
        kinds = ("avvenuta-consegna", "errore-consegna")
        poll(lambda: len(self.words(letter, *kinds)) >= len(wanted), 90, lambda: f"words about {set(wanted)}: {self.words(letter, *kinds)}")
        gateway.settled()
        found = {stored.message.data.delivered_to: stored for stored in self.words(letter, *kinds)}
        got = {each: stored.message.data.error if stored.kind == "errore-consegna" else stored.kind for each, stored in found.items()}
        self.assertEqual(got, wanted)
        self.assertEqual(len(self.words(letter, *kinds)), len(wanted), "one word about each")
        self.assertEqual(len(self.words(letter, "presa-in-carico")), 1)
        return found

    def holds(self, folder: Folder, letter: Letter, count: int) -> None:
        same = lambda stored: stored.header.get("Message-ID") == f"<{letter.certified.pec_id}>"  # noqa: E731
        self.assertEqual(len(folder.wait(same) if count else folder.matching(same)), count)

    def reports(self, subject: str) -> list[bytes]:
        """What senders of ordinary mail were told by delivery reports."""
        taken = [taken.stored.octets for taken in list(self.sink.taken)]
        return [octets for octets in taken if b"multipart/report" in octets and subject.encode() in octets]

    def full_and_emptied(self, maildir: bool, over_tcp: bool) -> None:
        gateway, dovecot = self.start(maildir, over_tcp)
        anna, aldo = (self.mailbox(gateway, dovecot, each) for each in (ANNA, ALDO))
        first = self.post(gateway, [ANNA], BIG)
        self.final(gateway, first, {ANNA: "avvenuta-consegna"})
        # An envelope is taken in charge; its sender learns from the delivery point, in the service's words, that there was no room.
        second = self.post(gateway, [ANNA, ALDO], BIG)
        found = self.final(gateway, second, {ANNA: "altro", ALDO: "avvenuta-consegna"})
        error = found[ANNA].message.data.extended_error
        self.assertRegex(error, r"(?i)^5\.2\.2 - .* quota")
        self.assertIn("552 5.2.2 Mailbox is full", error)
        self.fine(self.signed(found[ANNA], gateway, openssl=False))
        self.holds(anna, second, 0)
        self.holds(aldo, second, 1)
        # A small one has room yet.
        self.final(gateway, self.post(gateway, [ANNA]), {ANNA: "avvenuta-consegna"})
        # Ordinary mail is refused while its server still has it: nobody is sent a report.
        self.assertEqual((self.ordinary(gateway, [ANNA], "tutti-pieni").code), 552)
        reply = self.ordinary(gateway, [ANNA, ALDO], "tutti-e-due-pieni")
        self.assertEqual((reply.code, reply.text.split()[0]), (552, "5.2.2"), reply)
        refused = [event for event in gateway.events() if event["event"] == "posta-ordinaria-rifiutata"]
        self.assertEqual(len(refused), 2, [event["event"] for event in gateway.events()])
        # Aldo has room again and Anna has not: taken for him, and the sender is told of her.
        dovecot.empty(ALDO)
        self.assertEqual(self.ordinary(gateway, [ANNA, ALDO], "una-piena").code, 250)
        carried = lambda stored: b"Message-ID: <una-piena@posta.example.test>" in stored.octets  # noqa: E731
        aldo.wait(carried)
        report = poll(lambda: self.reports("una-piena"), 30, "a report to the sender")[0]
        self.assertIn(b"Status: 5.2.2", report)
        self.assertIn(ANNA.encode(), report)
        self.assertNotIn(f"rfc822;{ALDO}".encode(), report.replace(b" ", b""))
        gateway.settled()
        self.assertEqual(anna.matching(carried), [])
        self.assertEqual(self.reports("pieni"), [])
        # Room for all.
        dovecot.empty(ANNA)
        dovecot.empty(ALDO)
        self.assertEqual(self.ordinary(gateway, [ANNA, ALDO], "posto-per-tutti", LINE * 500).code, 250)
        third = self.post(gateway, [ANNA, ALDO], LINE * 500)
        self.final(gateway, third, {ANNA: "avvenuta-consegna", ALDO: "avvenuta-consegna"})
        for folder in (anna, aldo):
            folder.wait(lambda stored: b"Message-ID: <posto-per-tutti@posta.example.test>" in stored.octets)
            self.holds(folder, third, 1)

    def test_full_and_emptied_by_lmtp(self):
        self.full_and_emptied(maildir=False, over_tcp=True)

    def test_full_and_emptied_maildir(self):
        self.full_and_emptied(maildir=True, over_tcp=False)

    def test_the_service_away_and_back(self):
        """Certified mail is taken and waits, ordinary mail stays with its server, a holder's receipts wait: and then all of it arrives."""
        gateway, dovecot = self.start(maildir=True)
        dovecot.stop()
        letters = [self.post(gateway, [ANNA, ALDO]) for _ in range(3)]
        self.assertEqual(self.ordinary(gateway, [ANNA], "aspetta").code, 451)
        sent = simple("Da Anna", [ALDO])
        with gateway.trusted() as wire:
            wire.envelope(ANNA, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        waiting = poll(
            lambda: entries if (entries := gateway.queue()) and all(entry["attempts"] for entry in entries) else None, 30, "failed attempts"
        )
        self.assertTrue(all("quota service" in entry["lastError"] for entry in waiting), waiting)
        self.assertEqual([self.words(each, "avvenuta-consegna", "errore-consegna") for each in letters], [[]] * 3)
        self.assertEqual(gateway.mailbox(ANNA).all, [])
        dovecot.start()
        for letter in letters:
            self.final(gateway, letter, {ANNA: "avvenuta-consegna", ALDO: "avvenuta-consegna"})
            for user in (ANNA, ALDO):
                self.holds(gateway.mailbox(user), letter, 1)
        for kind in ("accettazione", "avvenuta-consegna"):
            gateway.mailbox(ANNA).wait(belongs(sent, kind))
        self.assertEqual(self.ordinary(gateway, [ANNA], "aspetta", LINE).code, 250)

    def test_a_quiet_night_after_an_outage(self):
        """The alarm ends when the service is back, though no mail comes that would ask it."""
        gateway, dovecot = self.start(maildir=False, over_tcp=True)
        dovecot.stop()
        self.assertEqual(self.ordinary(gateway, [ANNA], "notte", LINE).code, 451)
        silence = lambda: json.loads(run([executable(), "status", "--json", "--config", gateway.configuration]).stdout)["quotaSilenceSeconds"]  # noqa: E731
        # It is asked again, and nothing is heard: the silence is one.
        poll(lambda: silence() > 20, 60, lambda: f"a silence that goes on, not {silence()}")
        dovecot.start()
        poll(lambda: silence() == 0, 60, lambda: f"an answer, not {silence()}")
        said = gateway.log.read_text("utf-8", "replace").count("does not say whether")
        self.assertEqual(said, 1, "what nobody waits for is no line of the log")

    def test_a_connection_that_ended_meanwhile(self):
        """The service's processes are ended between two questions: the next is asked again over another connection, and nothing waits."""
        gateway, dovecot = self.start(maildir=False)
        self.final(gateway, self.post(gateway, [ANNA]), {ANNA: "avvenuta-consegna"})
        children = [int(pid) for pid in run(["pgrep", "-P", dovecot.process.pid, "-f", "quota-status"]).stdout.split()]
        self.assertTrue(children, "no process of quota-status")
        for child in children:
            os.kill(child, signal.SIGKILL)
        for _ in range(3):
            self.final(gateway, self.post(gateway, [ANNA]), {ANNA: "avvenuta-consegna"})
            self.assertEqual(self.ordinary(gateway, [ANNA], "di-nuovo", LINE).code, 250)
        self.assertNotIn("does not say whether", gateway.log.read_text("utf-8", "replace"))

    def test_a_service_that_says_nothing(self):
        """Its process hangs: it is given up after a time, nobody is refused for it, and the next attempt has another process."""
        gateway, dovecot = self.start(maildir=True)
        self.final(gateway, self.post(gateway, [ANNA]), {ANNA: "avvenuta-consegna"})
        children = [int(pid) for pid in run(["pgrep", "-P", dovecot.process.pid, "-f", "quota-status"]).stdout.split()]
        self.assertTrue(children, "no process of quota-status")
        for child in children:
            os.kill(child, signal.SIGSTOP)
            self.addCleanup(os.kill, child, signal.SIGKILL)
        letter = self.post(gateway, [ANNA])
        self.final(gateway, letter, {ANNA: "avvenuta-consegna"})
        self.assertIn("no answer within 30 s", gateway.log.read_text("utf-8", "replace"))
        self.holds(gateway.mailbox(ANNA), letter, 1)

    def test_what_is_there_already_is_delivered(self):
        """A mailbox may be full of the very message that is tried again: that is a delivery, and no notice says otherwise."""
        gateway, dovecot = self.start(maildir=True)
        dovecot.stop()
        letter = self.post(gateway, [ANNA, ALDO], BIG)
        entry = poll(
            lambda: next((entry for entry in gateway.queue() if entry["attempts"] and ANNA in entry["recipients"]), None), 30, "an attempt"
        )
        # As if the first attempt had been cut off behind the rename; and both mailboxes have no room.
        for user in (ANNA, ALDO):
            for part in ("new", "cur", "tmp"):
                (gateway.folder / "alfa" / "mail" / user / part).mkdir(parents=True, exist_ok=True)
        (gateway.folder / "alfa" / "mail" / ANNA / "new" / encoded(entry["id"])).write_bytes(letter.octets)
        (gateway.folder / "alfa" / "mail" / ALDO / "new" / "altro").write_bytes(b"Subject: altro\r\n\r\n" + BIG)
        subprocess.run(["chown", "-R", "nobody:nogroup", str(gateway.folder / "alfa" / "mail")], check=True)
        dovecot.start()
        self.final(gateway, letter, {ANNA: "avvenuta-consegna", ALDO: "altro"})
        self.holds(gateway.mailbox(ANNA), letter, 1)
        self.holds(gateway.mailbox(ALDO), letter, 0)
