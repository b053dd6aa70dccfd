"""Where mailboxes are: a real Dovecot by LMTP, and a real Postfix that proves delivery by its reports (RFC 3461). Whatever happens to
them, the sender has exactly one final word about each recipient."""

import re
import sqlite3
import time

from interop import compose, forgers
from interop.base import note, poll
from interop.case import InteropTest
from interop.counterpart import transaction
from interop.cutting import Line
from interop.dovecot import QUOTA, Dovecot
from interop.forgers import MARIO
from interop.lab import ALDO, ANNA, SERVICE, Gateway
from interop.mailboxes import Folder, Stored
from interop.postfix import Postfix
from interop.provider import Letter, Provider
from interop.receipts import check_delivery, sent_of
from interop.sink import Sink
from interop.wire import Wire

NOBODY = "nessuno@pec.alfa.test"
FAST = {"firstRetrySeconds": 1, "lastRetrySeconds": 2}


def mailboxes(text: str, value: str) -> str:
    """A configuration with other mailboxes."""
    changed, count = re.subn(r"(?m)^mailboxes:.*$", lambda _: f"mailboxes: {value}", text)
    assert count == 1, "mailboxes is not a line of its own in the laboratory's configuration"
    return changed


class Mailboxes(InteropTest):
    def setUp(self):
        self.need("postfix", "dovecot", "openssl", "xmllint")
        self.sink = Sink()
        self.addCleanup(self.sink.stop)

    def gateway(self, value: str, **limits) -> Gateway:
        gateway = Gateway(self.sink.port, lambda yaml: yaml.limits(**{**FAST, **limits}))
        gateway.configuration.write_text(mailboxes(gateway.configuration.read_text(), value))
        self.addCleanup(gateway.stop)
        self.gamma = Provider(forgers.Identity(gateway.folder / "gamma" / "signer.pem"))
        return gateway

    def users(self, gateway: Gateway):
        text = gateway.configuration.read_text()
        return gateway.folder / "alfa" / re.search(r"passwdFile: *\"?([^\"}\s]+)", text)[1]

    def post(self, gateway: Gateway, recipients: list[str], body: bytes = b"Buongiorno.\r\n", **options) -> Letter:
        letter = self.gamma.envelope(MARIO, recipients, body=body, **options)
        with gateway.incoming() as wire:
            reply = transaction(wire, MARIO, recipients, letter.octets)
        self.assertEqual(reply.code, 250, reply)
        return letter

    def words(self, letter: Letter) -> dict[str, list[Stored]]:
        """Final words about a letter so far, by recipient."""
        found: dict[str, list[Stored]] = {}
        for taken in list(self.sink.taken):
            stored = taken.stored
            if stored.kind in ("avvenuta-consegna", "errore-consegna") and stored.message.data.pec_id == letter.certified.pec_id:
                words = found.setdefault(stored.message.data.delivered_to, [])
                # A sink whose 250 was not remembered any more has the same word twice.
                if all(stored.header.get("Message-ID") != known.header.get("Message-ID") for known in words):
                    words.append(stored)
        return found

    def final(self, gateway: Gateway, letter: Letter, wanted: dict[str, str], seconds: float = 60) -> dict[str, Stored]:
        """One word about each recipient, and of this kind: `avvenuta-consegna`, or the `errore` of a non-delivery."""
        poll(
            lambda: set(self.words(letter)) == set(wanted),
            seconds,
            lambda: f"words about {set(wanted)}; there are {set(self.words(letter))}",
        )
        gateway.settled(seconds)
        found = self.words(letter)
        got = {
            each: [stored.kind if stored.kind == "avvenuta-consegna" else stored.message.data.error for stored in words]
            for each, words in found.items()
        }
        self.assertEqual(got, {each: [word] for each, word in wanted.items()})
        # By Message-ID: a sink whose 250 was not remembered any more has the same receipt twice.
        receipts = {
            taken.stored.header.get("Message-ID"): taken.stored.message.data.received
            for taken in self.sink.taken
            if taken.stored.kind == "presa-in-carico" and taken.stored.message.data.pec_id == letter.certified.pec_id
        }
        charged = [each for received in receipts.values() for each in received]
        self.assertEqual(sorted(charged), sorted(wanted), "each recipient in exactly one take-charge receipt")
        self.fine([each for words in found.values() for each in self.signed(words[0], gateway, openssl=False)])
        return {each: words[0] for each, words in found.items()}

    def complete(self, letter: Letter, stored: Stored, recipient: str) -> None:
        facts = sent_of(letter)
        self.fine(check_delivery(stored, facts, letter.certified.pec_id, recipient, "completa", "completa", "alfa", letter.original))

    def holds(self, folder: Folder, letter: Letter, count: int = 1) -> None:
        """The envelope lies there so many times, and its signature holds."""
        same = lambda stored: stored.header.get("Message-ID") == f"<{letter.certified.pec_id}>"  # noqa: E731
        found = folder.wait(same, what=f"the envelope in {folder.path}") if count else folder.matching(same)
        self.assertEqual(len(found), count)
        for stored in found:
            self.fine(self.judge.openssl(stored.octets), "the envelope in the mailbox")


class ByLMTP(Mailboxes):
    def start(self, quota: int | None = None, **limits) -> tuple[Gateway, Dovecot]:
        gateway = self.gateway("{ maildir: mail }", **{"uncertainSeconds": 3, **limits})
        self.judge = gateway.judge
        dovecot = Dovecot(self.users(gateway), QUOTA.format(kilobytes=quota) if quota else "").start()
        self.addCleanup(dovecot.stop)
        text = gateway.configuration.read_text()
        gateway.configuration.write_text(mailboxes(text, f'{{ lmtp: "127.0.0.1:{dovecot.port}", imap: {dovecot.asked()} }}'))
        gateway.start()
        return gateway, dovecot

    def test_delivered(self):
        gateway, dovecot = self.start()
        letter = self.post(gateway, [ANNA, ALDO], b".\r\n" + b"d" * 998 + b"\r\n")
        words = self.final(gateway, letter, {ANNA: "avvenuta-consegna", ALDO: "avvenuta-consegna"})
        for each in (ANNA, ALDO):
            self.complete(letter, words[each], each)
            self.holds(dovecot.mailbox(each), letter)

    def test_each_recipients_own_answer(self):
        """One is there, one is unknown."""
        gateway, dovecot = self.start()
        letter = self.post(gateway, [ANNA, NOBODY])
        words = self.final(gateway, letter, {ANNA: "avvenuta-consegna", NOBODY: "no-dest"})
        self.assertRegex(words[NOBODY].message.data.extended_error, r"^5\.1\.1 - Alfa PEC S\.p\.A\. - ")
        self.holds(dovecot.mailbox(ANNA), letter)

    def test_full(self):
        """Over quota: errore altro, and words that say so (pec-rules 5.2)."""
        gateway, dovecot = self.start(quota=300)
        big = b"0123456789" * 7 + b"\r\n"
        first = self.post(gateway, [ANNA, ALDO], big * 3000)
        self.final(gateway, first, {ANNA: "avvenuta-consegna", ALDO: "avvenuta-consegna"})
        second = self.post(gateway, [ANNA], big * 3000)
        words = self.final(gateway, second, {ANNA: "altro"})
        self.assertRegex(words[ANNA].message.data.extended_error, r"(?i)^5\.2\.2 - .* quota")
        self.holds(dovecot.mailbox(ANNA), second, 0)
        third = self.post(gateway, [ALDO])
        self.final(gateway, third, {ALDO: "avvenuta-consegna"})

    def test_down_and_back(self):
        gateway, dovecot = self.start()
        before = self.post(gateway, [ANNA])
        self.final(gateway, before, {ANNA: "avvenuta-consegna"})
        dovecot.stop()
        letters = [self.post(gateway, [ANNA, ALDO]) for _ in range(5)]
        poll(
            lambda: all(entry["attempts"] for entry in gateway.queue() if entry["recipients"] != []) and gateway.queue(),
            30,
            "failed attempts",
        )
        self.assertEqual([self.words(each) for each in letters], [{}] * 5, "nothing is said before it is known")
        dovecot.start()
        for letter in letters:
            self.final(gateway, letter, {ANNA: "avvenuta-consegna", ALDO: "avvenuta-consegna"})
            for each in (ANNA, ALDO):
                self.holds(dovecot.mailbox(each), letter)

    def test_never_back(self):
        """Given up after the configured time: one notice each."""
        gateway, dovecot = self.start(giveUpHours=0.001)
        dovecot.stop()
        letter = self.post(gateway, [ANNA])
        words = self.final(gateway, letter, {ANNA: "altro"})
        note(words[ANNA].message.data.extended_error)

    def test_killed_in_between(self):
        """kill -9 of Dovecot and of the gateway while envelopes come: one word each, and one copy."""
        gateway, dovecot = self.start()
        letters = [self.post(gateway, [ANNA, ALDO]) for _ in range(20)]
        gateway.kill()
        dovecot.kill()
        dovecot.start()
        gateway.start()
        for letter in letters:
            self.final(gateway, letter, {ANNA: "avvenuta-consegna", ALDO: "avvenuta-consegna"})
            for each in (ANNA, ALDO):
                self.holds(dovecot.mailbox(each), letter)


class BehindPostfix(Mailboxes):
    """Postfix keeps the mailboxes. Its reports come in at the incoming point; for that, mail to the service address goes there."""

    def start(
        self, settings: dict | None = None, more_transports: dict | None = None, cut: bool = False, asks: bool = False, **limits
    ) -> tuple[Gateway, Postfix]:
        """`cut`: there is a line to Postfix that can be cut, `self.line`. `asks`: a Dovecot shows the mailboxes by IMAP."""
        gateway = self.gateway("{ maildir: mail }", **limits)
        self.judge = gateway.judge
        maps = " ".join(f"{{ {user} = {user}/ }}" for user in (ANNA, ALDO, "servizio@pec.alfa.test"))
        transports = {SERVICE: f"smtp:[127.0.0.1]:{gateway.ports.incoming}", **(more_transports or {})}
        postfix = Postfix(
            "mailboxes",
            {
                "virtual_mailbox_domains": "pec.alfa.test",
                "virtual_mailbox_maps": f"inline:{{ {maps} }}",
                "transport_maps": "inline:{ " + " ".join(f"{{ {user} = {where} }}" for user, where in transports.items()) + " }",
                "default_transport": f"smtp:[127.0.0.1]:{gateway.ports.incoming}",
                "virtual_alias_maps": "",
                **(settings or {}),
            },
        ).start()
        self.addCleanup(postfix.stop)
        port = postfix.port
        if cut:
            self.line = Line(port)
            self.addCleanup(self.line.stop)
            port = self.line.port
        imap = ""
        if asks:
            dovecot = Dovecot(self.users(gateway), maildirs=f"{postfix.folder}/mail/%u").start()
            self.addCleanup(dovecot.stop)
            imap = f", imap: {dovecot.asked()}"
        value = f'{{ smtp: "127.0.0.1:{port}", reportsFrom: [127.0.0.1]{imap} }}'
        gateway.configuration.write_text(mailboxes(gateway.configuration.read_text(), value))
        gateway.start()
        return gateway, postfix

    @staticmethod
    def folder(postfix: Postfix, address: str) -> Folder:
        return Folder(postfix.folder / "mail" / address)

    def kinds(self, gateway: Gateway, letter: Letter) -> list[str]:
        return [event["event"] for event in gateway.events(letter.certified.pec_id)]


class ByDSN(BehindPostfix):
    def test_delivered(self):
        """Taken by Postfix is not delivered; the receipt comes with the report."""
        gateway, postfix = self.start()
        letter = self.post(gateway, [ANNA, ALDO], cc=[ALDO])
        words = self.final(gateway, letter, {ANNA: "avvenuta-consegna", ALDO: "avvenuta-consegna"})
        self.complete(letter, words[ANNA], ANNA)
        self.assertIsNone(words[ALDO].message.original)
        for each in (ANNA, ALDO):
            self.holds(self.folder(postfix, each), letter)
        kinds = self.kinds(gateway, letter)
        self.assertLess(kinds.index("attesa-conferma"), kinds.index("avvenuta-consegna"), kinds)
        self.assertEqual(kinds.count("attesa-conferma"), 2)
        self.assertTrue(postfix.logged("NOTIFY") or postfix.logged("status=sent"))

    def test_own_receipts_too(self):
        """Anna's acceptance receipt goes to her mailbox by Postfix; nobody reports about a receipt."""
        gateway, postfix = self.start()
        sent = compose.simple("Da Anna", [ALDO])
        with gateway.trusted() as wire:
            wire.envelope(ANNA, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        anna = self.folder(postfix, ANNA)
        anna.wait(compose.belongs(sent, "accettazione"))
        anna.wait(compose.belongs(sent, "avvenuta-consegna"))
        gateway.settled()
        self.assertEqual(sorted(stored.kind for stored in anna.all), ["accettazione", "avvenuta-consegna"])
        self.folder(postfix, "servizio@pec.alfa.test").wait(compose.belongs(sent, "presa-in-carico"))

    def test_unknown_at_rcpt(self):
        gateway, postfix = self.start()
        letter = self.post(gateway, [ANNA, NOBODY])
        self.final(gateway, letter, {ANNA: "avvenuta-consegna", NOBODY: "no-dest"})
        self.holds(self.folder(postfix, ANNA), letter)

    def test_unknown_by_report(self):
        """Postfix takes it first and finds out later."""
        gateway, _ = self.start(settings={"smtpd_reject_unlisted_recipient": "no"})
        letter = self.post(gateway, [ANNA, NOBODY])
        words = self.final(gateway, letter, {ANNA: "avvenuta-consegna", NOBODY: "no-dest"})
        self.assertRegex(words[NOBODY].message.data.extended_error, r"^5\.1\.1 - ")

    def test_full(self):
        """Anna's mailbox is at a Dovecot behind Postfix, and full: Postfix takes the message and reports the failure."""
        first = self.gateway("{ maildir: mail }")
        dovecot = Dovecot(self.users(first), QUOTA.format(kilobytes=100)).start()
        self.addCleanup(dovecot.stop)
        gateway, postfix = self.start(more_transports={ANNA: f"lmtp:inet:127.0.0.1:{dovecot.port}"})
        letter = self.post(gateway, [ANNA, ALDO], (b"0123456789" * 7 + b"\r\n") * 3000)
        words = self.final(gateway, letter, {ANNA: "altro", ALDO: "avvenuta-consegna"})
        self.assertRegex(words[ANNA].message.data.extended_error, r"(?i)^5\.2\.2 - .* quota")
        self.holds(self.folder(postfix, ALDO), letter)
        self.holds(dovecot.mailbox(ANNA), letter, 0)

    def test_down_and_back(self):
        gateway, postfix = self.start()
        postfix.stop(kill=True)
        letters = [self.post(gateway, [ANNA, ALDO]) for _ in range(4)]
        poll(lambda: any(entry["attempts"] for entry in gateway.queue()), 30, "a failed attempt")
        self.assertEqual([self.words(each) for each in letters], [{}] * 4)
        postfix.start()
        for letter in letters:
            self.final(gateway, letter, {ANNA: "avvenuta-consegna", ALDO: "avvenuta-consegna"})
            self.holds(self.folder(postfix, ANNA), letter)

    def test_the_mailbox_behind_it_down_and_back(self):
        """Postfix has taken the message and cannot deliver it yet: no word, then one."""
        gateway, postfix = self.start(settings={"defer_transports": "virtual"})
        letter = self.post(gateway, [ANNA])
        poll(lambda: "attesa-conferma" in self.kinds(gateway, letter), 30, "Postfix's 250")
        poll(lambda: postfix.logged("status=deferred"), 30, "the deferral")
        self.assertEqual(self.words(letter), {})
        waiting = [entry for entry in gateway.queue() if entry["awaiting"]]
        self.assertEqual([entry["awaiting"] for entry in waiting], [[ANNA]])
        postfix.configure(defer_transports="")
        self.final(gateway, letter, {ANNA: "avvenuta-consegna"})

    def test_the_gateway_killed_while_it_waits(self):
        """What is awaited is on disk: the report that comes after a new start is believed."""
        gateway, postfix = self.start(settings={"defer_transports": "virtual"})
        letters = [self.post(gateway, [ANNA, ALDO]) for _ in range(3)]
        for letter in letters:
            poll(lambda letter=letter: self.kinds(gateway, letter).count("attesa-conferma") == 2, 30, "Postfix's 250")
        gateway.kill()
        postfix.configure(defer_transports="")
        poll(lambda: postfix.log.read_text().count("status=sent") >= 6, 60, lambda: f"six deliveries:\n{postfix.log.read_text()[-1500:]}")
        gateway.start()
        postfix.run_queue()
        for letter in letters:
            self.final(gateway, letter, {ANNA: "avvenuta-consegna", ALDO: "avvenuta-consegna"})

    def test_relayed_proves_nothing(self):
        """Postfix hands the message on to a server that reports nothing (by SMTP or LMTP, it is the same): its report says relayed, and
        no receipt is made; in the end the sender learns that it was never proved."""
        elsewhere = Sink(extensions=("PIPELINING", "8BITMIME"))
        self.addCleanup(elsewhere.stop)
        gateway, postfix = self.start(settings={"virtual_transport": f"smtp:[127.0.0.1]:{elsewhere.port}"}, giveUpHours=0.004)
        letter = self.post(gateway, [ANNA])
        poll(lambda: elsewhere.taken, 30, "the envelope at the other server")
        poll(lambda: postfix.logged("sender delivery status notification"), 30, "Postfix's report")
        self.assertEqual(self.words(letter), {}, "a receipt for what was merely relayed")
        self.final(gateway, letter, {ANNA: "altro"})

    def test_made_up_reports(self):
        """Reports from elsewhere, or that do not know the secret, prove nothing."""
        gateway, postfix = self.start(settings={"defer_transports": "virtual"})
        letter = self.post(gateway, [ANNA])
        poll(lambda: postfix.logged("status=deferred"), 30, "the deferral")
        known = re.search(r"ENVID=(\S+)|envid[= ](\S+)", postfix.log.read_text())
        for envelope_id, source in (
            ("indovinato", "127.0.0.1"),
            (letter.certified.pec_id, "127.0.0.1"),
            (known[1] if known else "x", "127.0.0.9"),
        ):
            report = made_up_report(envelope_id, ANNA)
            with Wire(gateway.ports.incoming, source=source) as wire:
                wire.ehlo("mailboxes.example.test")
                transaction(wire, "", [SERVICE], report)
        self.assertEqual(self.words(letter), {}, "a receipt on the word of a forger")
        self.assertEqual([entry["awaiting"] for entry in gateway.queue() if entry["awaiting"]], [[ANNA]])
        postfix.configure(defer_transports="")
        self.final(gateway, letter, {ANNA: "avvenuta-consegna"})

    def test_a_report_that_no_lane_knows_of(self):
        """The ledger waits for it and no lane has the entry, as in the first moment after a start: the report is to come again."""
        mute = Sink(extensions=("PIPELINING", "8BITMIME", "DSN"))
        self.addCleanup(mute.stop)
        gateway = self.gateway(f'{{ smtp: "127.0.0.1:{mute.port}", reportsFrom: [127.0.0.1] }}').start()
        gateway.stop()
        # Without its transaction an entry is left alone: no lane ever has it.
        ledger = next((gateway.folder / "alfa").rglob("ledger.sqlite"))
        with sqlite3.connect(ledger) as database:
            database.execute(
                "INSERT INTO queue (entry, pec_id, message_id, kind, sender, route, content, created_at, due_at, attempts, proof_token)"
                " VALUES ('e1', 'e1', 'e1', 'envelope', ?, 'mailbox', '', ?, ?, 0, 'segreto')",
                (MARIO, int(time.time()), int(time.time()) + 3600),
            )
        gateway.start()
        for envelope_id, code in (("segreto", 451), ("indovinato", 250)):
            with Wire(gateway.ports.incoming) as wire:
                wire.ehlo("mailboxes.example.test")
                reply = transaction(wire, "", [SERVICE], made_up_report(envelope_id, ANNA))
                self.assertEqual(reply.code, code, reply)

    def test_other_mailboxes_while_it_waits(self):
        """Queued for an LMTP server that was never there, and sent to Postfix after the operator changed the mailboxes: the answer is no
        proof, the report is."""
        gateway, postfix = self.start(settings={"defer_transports": "virtual"})
        gateway.stop()
        by_report = gateway.configuration.read_text()
        gateway.configuration.write_text(mailboxes(by_report, '{ lmtp: "127.0.0.1:9" }'))
        gateway.start()
        letter = self.post(gateway, [ANNA])
        poll(lambda: any(entry["attempts"] for entry in gateway.queue()), 30, "a failed attempt")
        gateway.stop()
        gateway.configuration.write_text(by_report)
        gateway.start()
        poll(lambda: "attesa-conferma" in self.kinds(gateway, letter), 30, "Postfix's 250")
        self.assertEqual(self.words(letter), {}, "a receipt on the 250 alone")
        postfix.configure(defer_transports="")
        self.final(gateway, letter, {ANNA: "avvenuta-consegna"})
        self.holds(self.folder(postfix, ANNA), letter)

    def test_a_server_without_dsn(self):
        """Nothing is handed to a server that cannot prove: the envelope waits, and is given up in the end."""
        mute = Sink(extensions=("PIPELINING", "8BITMIME", "SIZE"))
        self.addCleanup(mute.stop)
        gateway = self.gateway(f'{{ smtp: "127.0.0.1:{mute.port}", reportsFrom: [127.0.0.1] }}', giveUpHours=0.002).start()
        letter = self.post(gateway, [ANNA])
        self.final(gateway, letter, {ANNA: "altro"})
        self.assertFalse([taken for taken in mute.taken if letter.certified.pec_id.encode() in taken.octets])

    def test_the_fixture_itself(self):
        """Postfix does what these tests rest on, with a sink in the gateway's place: reports with the ENVID, `delivered` for a mailbox."""
        reports = Sink()
        self.addCleanup(reports.stop)
        postfix = Postfix(
            "fixture",
            {
                "virtual_mailbox_domains": "pec.alfa.test",
                "virtual_mailbox_maps": f"inline:{{ {{ {ANNA} = {ANNA}/ }} }}",
                "transport_maps": f"inline:{{ {{ {SERVICE} = smtp:[127.0.0.1]:{reports.port} }} }}",
                "smtpd_reject_unlisted_recipient": "no",
            },
        ).start()
        self.addCleanup(postfix.stop)
        with Wire(postfix.port) as wire:
            self.assertIn("DSN", wire.ehlo())
            wire.expect(f"MAIL FROM:<{SERVICE}> RET=HDRS ENVID=segreto7", 250)
            for each in (ANNA, NOBODY):
                wire.expect(f"RCPT TO:<{each}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;{each}", 250)
            self.assertEqual(wire.data(b"Subject: x\r\n\r\nx\r\n").code, 250)
        poll(lambda: len(reports.taken) >= 2, 30, lambda: f"two reports; {len(reports.taken)}")
        text = b"".join(taken.octets for taken in reports.taken)
        for word in (b"segreto7", b"Action: delivered", b"Action: failed", b"Status: 5.1.1"):
            self.assertIn(word, text)
        self.assertEqual({taken.sender for taken in reports.taken}, {""})


def made_up_report(envelope_id: str, recipient: str) -> bytes:
    """A delivery report as Postfix writes it."""
    return (
        "From: MAILER-DAEMON@mailboxes.example.test (Mail Delivery System)\r\nSubject: Successful Mail Delivery Report\r\n"
        f"To: {SERVICE}\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\nMessage-Id: <x1@mailboxes.example.test>\r\n"
        'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="B1"\r\n\r\n'
        "This is a MIME-encapsulated message.\r\n\r\n"
        "--B1\r\nContent-Description: Notification\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nDelivered.\r\n\r\n"
        "--B1\r\nContent-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n"
        f"Reporting-MTA: dns; mailboxes.example.test\r\nOriginal-Envelope-Id: {envelope_id}\r\nX-Postfix-Queue-ID: ABC\r\n\r\n"
        f"Final-Recipient: rfc822; {recipient}\r\nOriginal-Recipient: rfc822;{recipient}\r\nAction: delivered\r\nStatus: 2.0.0\r\n"
        "Diagnostic-Code: X-Postfix; delivered to maildir\r\n\r\n--B1--\r\n"
    ).encode()
