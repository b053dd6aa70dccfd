"""The three ways to put Ceralacca before, behind and around Postfix: the examples under Appliance/topologies, with the real servers.

Certified mail goes both ways and every receipt is read over IMAP; what goes to ordinary recipients is signed so that DMARC aligns;
ordinary mail of ordinary domains goes past Ceralacca; and each server is stopped and started under load, Ceralacca by `kill -9`, after
which every message that was answered 250 has exactly one of everything that is due.
"""

import collections
import os
import re
import threading
import time

from interop import base, compose, expect
from interop.base import note, poll
from interop.case import InteropTest
from interop.dovecot import AFTER_KILL
from interop.expect import Sent
from interop.lab import ALDO, ANNA, BRUNO, service_mailbox
from interop.mailboxes import Stored
from interop.topology import EXAMPLES, Topology
from interop.wire import Wire

GIULIA = "giulia@example.org"
WORLD = "rosa@posta.example.test"
NOBODY = "nessuno@pec.alfa.test"
SERVICE_DOMAIN = "pec.alfa.test"
#: Clients of each side, and how many messages one sends at most in a round.
CLIENTS, MESSAGES = 2, 25


def about(sent: Sent, kind: str):
    return lambda stored: stored.kind == kind and stored.header.get("X-Riferimento-Message-ID") == sent.message_id


class Load:
    """Clients of one side: each submits one message after another, over a session of its own, and goes on after whatever happens."""

    def __init__(self, connect, sender: str, recipient: str):
        self.connect, self.sender, self.recipient = connect, sender, recipient
        self.attempted: dict[str, Sent] = {}
        self.answered: set[str] = set()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"

    @property
    def runs(self) -> bool:
        """Whether any client has messages left to send."""
        return any(thread.is_alive() for thread in self._threads)

    def _client(self) -> None:
        left = MESSAGES
        while left and not self._over.is_set():
            try:
                with self.connect() as session:
                    while left and not self._over.is_set():
                        sent = compose.simple("Sotto carico", [self.recipient], self.sender, body=b"riga di testo\r\n" * 40)
                        self.attempted[sent.message_id] = sent
                        left -= 1
                        session.envelope(sent.sender, sent.recipients)
                        if session.data(sent.octets).code == 250:
                            self.answered.add(sent.message_id)
                        self._over.wait(0.05)
            except (OSError, AssertionError):
                self._over.wait(0.1)


class Way(InteropTest):
    """What holds for all three."""

    name = ""

    @classmethod
    def setUpClass(cls):
        if cls.name:
            for tool in ("postfix", "dovecot", "opendkim", "opendkim-genkey", "openssl", "xmllint"):
                if not base.find(tool):
                    raise AssertionError(f"{tool} is missing (Debian: postfix dovecot-imapd dovecot-lmtpd opendkim opendkim-tools)")
            cls.here = Topology(cls.name)
            cls.addClassCleanup(cls.here.stop)
            cls.here.start()

    def submit(self, sent: Sent, implicit: bool = False) -> None:
        with self.here.submission_to("127.0.0.1", sent.sender, implicit) as session:
            session.envelope(sent.sender, sent.recipients)
            reply = session.data(sent.octets)
        self.assertEqual(reply.code, 250, reply)

    def in_world(self, condition, seconds: float = 40) -> Stored:
        found = poll(
            lambda: [taken for taken in list(self.here.sink.taken) if condition(taken.stored)],
            seconds,
            lambda: f"a message for the world; it has {len(self.here.sink.taken)}\n{base.tail(self.here.mail_log)}",
        )
        self.assertEqual(len(found), 1)
        return found[0].stored

    def aligned(self, stored: Stored) -> None:
        """A DKIM signature that verifies, of the very domain that the reader sees in From (RFC 7489 §3.1.1, strict)."""
        domain = re.search(r"@([\w.-]+)>?\s*$", stored.header.get("From"))[1]
        self.assertEqual(self.here.dkim(stored.octets, domain), domain)

    # Conversations

    def conversation_out(self):
        """Anna writes to Bruno, at the other provider, and to Rosa, who has ordinary mail."""
        here = self.here
        for implicit in (False, True):
            sent = compose.simple("Al mondo", [BRUNO, WORLD], body=b".\r\nRiga\r\n..\r\n" + b"q" * 998 + b"\r\n")
            self.submit(sent, implicit)
            accepted = here.imap(ANNA, about(sent, "accettazione"), what="the acceptance receipt")
            self.assertEqual(dict(accepted.message.data.recipients), {BRUNO: "certificato", WORLD: "esterno"})
            envelope = here.mailbox(BRUNO).wait(about(sent, "posta-certificata"), 40)[0]
            outside = self.in_world(about(sent, "posta-certificata"))
            delivered = here.imap(ANNA, about(sent, "avvenuta-consegna"), what="the delivery receipt")
            here.imap(service_mailbox("alfa"), about(sent, "presa-in-carico"), what="the take-charge receipt")
            for each in (accepted, envelope, outside):
                self.fine(self.signed(each, here), each.kind)
            self.fine(here.judge_of("beta").fast(delivered.message))
            self.assertEqual(delivered.message.data.delivered_to, BRUNO)
            self.assertEqual(envelope.message.original, outside.message.original)
            self.assertTrue(envelope.message.original.endswith(b".\r\nRiga\r\n..\r\n" + b"q" * 998 + b"\r\n"))
            self.assertEqual(outside.header.get("From").rpartition("<")[2], f"posta-certificata@{SERVICE_DOMAIN}>")
            self.aligned(outside)

    def conversation_in(self):
        """Bruno writes to Anna and to somebody who has no mailbox there."""
        here = self.here
        sent = compose.simple("Dall'altro gestore", [ANNA, NOBODY], BRUNO, body=b"Buongiorno.\r\n.\r\n")
        with here.beta.submission(BRUNO) as session:
            session.envelope(BRUNO, sent.recipients)
            self.assertEqual(session.data(sent.octets).code, 250)
        envelope = here.imap(ANNA, about(sent, "posta-certificata"), what="the envelope")
        self.fine(here.judge_of("beta").fast(envelope.message) + here.judge_of("beta").openssl(envelope.octets))
        bruno = here.mailbox(BRUNO)
        delivered = bruno.wait(about(sent, "avvenuta-consegna"), 40)[0]
        self.fine(self.signed(delivered, here))
        self.assertEqual(delivered.message.data.delivered_to, ANNA)
        self.assertEqual(delivered.message.original, envelope.message.original)
        failed = bruno.wait(about(sent, "errore-consegna"), 40)[0]
        self.assertEqual((failed.message.data.delivered_to, failed.message.data.error), (NOBODY, "no-dest"))
        charges = here.mailbox(service_mailbox("beta")).wait(about(sent, "presa-in-carico"), 40)
        self.assertEqual(len(charges), 1, "one receipt for one transaction")
        self.assertEqual(sorted(charges[0].message.data.received), sorted([ANNA, NOBODY]))

    def full_mailbox(self):
        """Bruno writes to Aldo what his mailbox has no room for: Dovecot is asked, and Bruno has the reason in a notice."""
        here = self.here
        before = len(here.fetched(ALDO))
        sent = compose.simple("Troppo", [ALDO], BRUNO, body=(b"0123456789" * 7 + b"\r\n") * 130_000)
        with here.beta.submission(BRUNO) as session:
            session.envelope(BRUNO, sent.recipients)
            self.assertEqual(session.data(sent.octets).code, 250)
        failed = here.mailbox(BRUNO).wait(about(sent, "errore-consegna"), 60)[0]
        self.assertEqual((failed.message.data.delivered_to, failed.message.data.error), (ALDO, "altro"))
        self.assertRegex(failed.message.data.extended_error, r"^5\.2\.2 - .*552 5\.2\.2 Mailbox is full")
        self.assertEqual(len(here.mailbox(service_mailbox("beta")).wait(about(sent, "presa-in-carico"), 40)), 1)
        self.assertEqual(len(here.fetched(ALDO)), before)

    def between_holders(self):
        """Anna writes to Aldo: both are here."""
        sent = compose.simple("In casa", [ALDO])
        self.submit(sent)
        for kind in ("accettazione", "avvenuta-consegna"):
            self.here.imap(ANNA, about(sent, kind), what=kind)
        self.here.imap(ALDO, about(sent, "posta-certificata"), what="the envelope")

    def ordinary_mail(self):
        """Not certified: for Anna as the policy says, for Giulia past Ceralacca; and Giulia's own mail is nobody's but Postfix's."""
        here = self.here
        # From the world to Anna: an anomaly envelope, and no receipt.
        sent = compose.simple("Saluti", [ANNA], WORLD)
        with Wire(here.port(25)) as session:
            session.ehlo("mx.example.test")
            session.envelope(WORLD, [ANNA])
            self.assertEqual(session.data(sent.octets).code, 250)
        anomaly = here.imap(ANNA, lambda stored: sent.message_id.encode() in stored.octets, what="the anomaly envelope")
        self.assertEqual(anomaly.kind, "errore")
        # From the world to Giulia, at the MX of her domain.
        sent = compose.simple("Posta ordinaria", [GIULIA], WORLD)
        with Wire(here.port(25), host=self.ordinary_host) as session:
            session.ehlo("mx.example.test")
            session.envelope(WORLD, [GIULIA])
            self.assertEqual(session.data(sent.octets).code, 250)
        got = here.imap(GIULIA, lambda stored: stored.header.get("Message-ID") == sent.message_id)
        self.assertEqual((got.kind, got.octets.endswith(sent.octets)), ("", True))
        with Wire(here.port(25), host=self.ordinary_host) as session:
            session.ehlo("mx.example.test")
            session.envelope(WORLD, ["postmaster@example.org"])
            self.assertEqual(session.data(compose.simple("Per il responsabile", to="postmaster@example.org").octets).code, 250)
        here.imap(GIULIA, lambda stored: stored.header.get("Subject") == "Per il responsabile")
        # From Giulia to the world and to Anna.
        sent = compose.simple("Da Giulia", [WORLD, ANNA], GIULIA)
        with here.submission_to("127.0.0.2", GIULIA) as session:
            session.envelope(GIULIA, sent.recipients)
            self.assertEqual(session.data(sent.octets).code, 250)
        out = self.in_world(lambda stored: stored.header.get("Message-ID") == sent.message_id)
        self.assertEqual(out.kind, "")
        self.aligned(out)
        anomaly = here.imap(ANNA, lambda stored: sent.message_id.encode() in stored.octets, what="Giulia's mail in an anomaly envelope")
        self.assertEqual(anomaly.kind, "errore")
        # Anna writes to Giulia: an envelope in an ordinary mailbox of the same machine, signed for DMARC too.
        sent = compose.simple("A Giulia", [GIULIA])
        self.submit(sent)
        envelope = here.imap(GIULIA, about(sent, "posta-certificata"), what="the envelope in an ordinary mailbox")
        self.fine(self.signed(envelope, here))
        self.assertEqual(here.events(envelope.message.data.pec_id)[0]["event"], "accettazione")
        here.imap(ANNA, about(sent, "accettazione"))

    #: Where the ordinary domain's MX is.
    ordinary_host = "127.0.0.2"

    def refusals(self):
        """Nobody sends in another's name, nobody relays, and what would go round is refused."""
        here = self.here
        for host, user, other in (("127.0.0.1", ANNA, ALDO), ("127.0.0.2", GIULIA, ANNA), ("127.0.0.2", ANNA, ANNA)):
            with here.submission_to(host, user) as session:
                first = session.command(f"MAIL FROM:<{other}>")
                reply = session.command(f"RCPT TO:<{WORLD}>") if first.code == 250 else first
                self.assertEqual(reply.code, 553, f"{user} as {other} at {host}: {reply}")
        for host in {"127.0.0.1", self.ordinary_host}:
            with Wire(here.port(25), host=host) as session:
                session.ehlo("mx.example.test")
                session.expect(f"MAIL FROM:<{WORLD}>", 250)
                self.assertIn(session.command(f"RCPT TO:<{WORLD}>").code, (550, 554))
        with Wire(here.port(10026)) as session:
            session.ehlo("mx.alfa.test")
            session.expect(f"MAIL FROM:<{BRUNO}>", 250)
            self.assertEqual(session.command(f"RCPT TO:<{ANNA}>").code, 554, "the certified domain is not handed back")

    # Stops

    def under_load(self):
        """Each server away for a moment, while mail goes both ways."""
        here = self.here
        loads = [
            Load(lambda: here.submission_to("127.0.0.1", ANNA), ANNA, BRUNO),
            Load(here.beta.trusted, BRUNO, ANNA),
        ]
        outages = {
            "Postfix": (here.stop_postfix, here.start_postfix),
            "Dovecot": (here.stop_dovecot, here.start_dovecot),
            "Ceralacca": (here.kill, here.start_gateway),
            "Dovecot, by kill -9": (here.kill_dovecot, here.start_dovecot),
            "Ceralacca and Dovecot, by kill -9": (
                lambda: (here.kill(), here.kill_dovecot()),
                lambda: (here.start_dovecot(), here.start_gateway()),
            ),
        }
        for what, (stop, start) in outages.items():
            began = [len(load.answered) for load in loads]
            for load in loads:
                load.start()
            poll(lambda: all(len(load.answered) >= had + 3 for load, had in zip(loads, began)), 30, f"mail before {what} is stopped")
            stop()
            time.sleep(0.5)  # not synchronisation: the outage itself
            start()
            after = [len(load.answered) for load in loads]
            poll(
                lambda: all(len(load.answered) > had or not load.runs for load, had in zip(loads, after)),
                60,
                f"mail after {what} was started again",
            )
            for load in loads:
                load.stop()
        here.settled(AFTER_KILL)
        answered = [len(load.answered) for load in loads]
        note(f"{here.name}: {answered} messages answered 250 of {[len(load.attempted) for load in loads]} begun")
        self.assertGreaterEqual(min(answered), 9)
        self.fine(self.judged(loads[0], "alfa") + self.judged(loads[1], "beta"))

    def judged(self, load: Load, provider: str) -> list[str]:
        """Exactly one of everything, for all messages of one side, and nothing handed over to a mailbox twice."""
        problems, again = [], collections.Counter()

        def found(address: str, kind: str) -> dict[str, list[Stored]]:
            by_name: dict[str, dict[str, Stored]] = collections.defaultdict(dict)
            for stored in self.here.mailbox(address).matching(lambda stored: stored.kind == kind):
                same = by_name[stored.header.get("X-Riferimento-Message-ID")]
                known = same.setdefault(stored.header.get("Message-ID"), stored)
                if known is not stored:
                    # Postfix's own Received line, with the identifier of its queue file, says who did it.
                    who = "by one file of Postfix's queue" if stored.octets == known.octets else "handed over twice"
                    again[f"{kind} of {address}, {who}"] += 1
                    if known.message.signed != stored.message.signed:
                        problems.append(f"{kind} {stored.header.get('Message-ID')} is twice with {address}, and differs")
            return {name: list(same.values()) for name, same in by_name.items()}

        accepted, delivered = found(load.sender, "accettazione"), found(load.sender, "avvenuta-consegna")
        failed = found(load.sender, "errore-consegna")
        envelopes, charges = found(load.recipient, "posta-certificata"), found(service_mailbox(provider), "presa-in-carico")
        for name in load.attempted:
            count = len(accepted.get(name, []))
            if count > 1 or (not count and name in load.answered):
                problems.append(f"{name}: {count} acceptance receipts, answered 250: {name in load.answered}")
            for what, there in (("envelopes", envelopes), ("delivery receipts", delivered), ("take-charge receipts", charges)):
                if len(there.get(name, [])) != count:
                    problems.append(f"{name}: {len(there.get(name, []))} {what} for {count} acceptance receipts")
            if name in failed:
                problems.append(f"{name}: a notice of non-delivery: {failed[name][0].message.data.extended_error}")
        if again:
            problems.append(f"there twice, with the same Message-ID and octets: {dict(again)}")
        return problems


class Front(Way):
    """Users and providers come to Ceralacca; Postfix sends on; mailboxes by LMTP."""

    name = "front"

    def test_conversations(self):
        self.conversation_out()
        self.conversation_in()
        self.between_holders()

    def test_ordinary_mail(self):
        self.ordinary_mail()

    def test_refusals(self):
        self.refusals()

    def test_a_full_mailbox(self):
        self.full_mailbox()

    def test_stops_under_load(self):
        self.under_load()


class Behind(Way):
    """Postfix faces the world."""

    name = "behind"
    ordinary_host = "127.0.0.1"

    def test_conversations(self):
        self.conversation_out()
        self.conversation_in()
        self.between_holders()

    def test_ordinary_mail(self):
        self.ordinary_mail()

    def test_refusals(self):
        self.refusals()

    def test_a_full_mailbox(self):
        self.full_mailbox()

    def test_stops_under_load(self):
        self.under_load()

    def test_the_client_hears_ceralaccas_word(self):
        """Submission is answered by Ceralacca through Postfix: while it is away nothing is taken, and nothing waits unseen."""
        with self.here.submission_to("127.0.0.1", ANNA) as session:
            self.assertNotIn("8BITMIME", session.extensions)
            session.envelope(ANNA, [BRUNO])
            self.here.kill()
            try:
                reply = session.data(compose.simple("Adesso no").octets) if (first := session.command("NOOP")).code == 250 else first
            except AssertionError as refused:
                reply = refused
            self.assertRegex(str(reply), r"\b4\d\d ")
        self.here.start_gateway()
        self.assertEqual(self.here.postfix_queue(), [])


class ByReports(Way):
    """Ceralacca in front; the mailboxes' Postfix proves delivery by its reports."""

    name = "dsn"

    def test_conversations(self):
        self.conversation_out()
        self.conversation_in()
        self.between_holders()

    def test_ordinary_mail(self):
        self.ordinary_mail()

    def test_refusals(self):
        self.refusals()

    def test_a_full_mailbox(self):
        self.full_mailbox()

    def test_stops_under_load(self):
        self.under_load()

    def test_the_receipt_waits_for_the_report(self):
        """Postfix has taken the message and cannot store it: no receipt. The mailbox is back: the report, and the receipt."""
        here = self.here
        mailbox = here.mailbox(ALDO).path
        mailbox.parent.mkdir(parents=True, exist_ok=True)
        if mailbox.exists():
            mailbox.rename(mailbox.with_name("kept"))
        mailbox.write_text("in the way of the Maildir")
        sent = compose.simple("Con prova", [ALDO])
        self.submit(sent)
        here.imap(ANNA, about(sent, "accettazione"))
        poll(lambda: "status=deferred" in here.mail_log.read_text("utf-8", "replace"), 30, "a failed attempt of virtual(8)")
        self.assertFalse(here.mailbox(ANNA).matching(about(sent, "avvenuta-consegna")))
        mailbox.unlink()
        here.imap(ANNA, about(sent, "avvenuta-consegna"), what="the delivery receipt")
        here.imap(ALDO, about(sent, "posta-certificata"), what="the envelope")


class Examples(InteropTest):
    def test_every_file_is_used(self):
        """The three folders hold what a host needs, and their README names every file of theirs that is not a map of Postfix's."""
        for name in ("front", "behind", "dsn"):
            folder = EXAMPLES / name
            files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
            for wanted in ("postfix/main.cf", "postfix/master.cf", "dovecot/dovecot.conf", "ceralacca/ceralacca.yaml", "opendkim.conf"):
                self.assertIn(f"etc/{wanted}", files)
            readme = (folder / "README.md").read_text(encoding="utf-8")
            maps = set(re.search(r"for map in ([\w ]+);", readme)[1].split())
            there = {each.rpartition("/")[2] for each in files if each.startswith("etc/postfix/")}
            # What systemd runs is a program, and no map.
            units = [(folder / each).read_text() for each in files if each.startswith("etc/systemd/")]
            programs = {each for each in there if any(f"=/etc/postfix/{each}\n" in unit for unit in units)}
            for each in programs:
                self.assertTrue(os.access(folder / "etc/postfix" / each, os.X_OK), f"{name}: {each} cannot be run")
                self.assertIn(f"/etc/postfix/{each}", readme)
            self.assertEqual(there - {"main.cf", "master.cf"} - programs, maps)
            used = (folder / "etc/postfix/main.cf").read_text() + (folder / "etc/postfix/master.cf").read_text()
            for each in maps:
                self.assertIn(f"hash:/etc/postfix/{each}", used, f"{name}: the map {each} is not used")


del Way  # a base, not a test
