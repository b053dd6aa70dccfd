"""No message is twice in a mailbox. LMTP and SMTP have no memory: what was handed over and not answered may be there or not, so the
mailbox is asked by IMAP before it is handed over again. The servers are a real Dovecot, and a real Postfix that keeps Maildirs and reports;
the line to them can be cut at the worst moments."""

import re
import sqlite3

from interop import compose
from interop.base import note, poll
from interop.case import InteropTest
from interop.cutting import Line
from interop.dovecot import AFTER_KILL, Dovecot
from interop.guarded import EICAR, Guarded, Signatures, quarantine
from interop.lab import ALDO, ANNA, BRUNO, SERVICE, Gateway
from interop.postfix import Postfix
from interop.provider import Letter
from interop.sink import Sink
from interop.wire import Reply, Wire
from test_mailboxes import BehindPostfix, Mailboxes, mailboxes

#: How long a hand-over that was cut off rests before the mailbox is asked.
REST = 3
WORLD = "giulia@posta.example.test"


class Doubles(Mailboxes):
    def start(self, asks: bool = True, **limits) -> None:
        self.gateway_ = self.gateway("{ maildir: mail }", **{"uncertainSeconds": REST, **limits})
        self.judge = self.gateway_.judge
        self.dovecot = Dovecot(self.users(self.gateway_)).start()
        self.addCleanup(self.dovecot.stop)
        self.lmtp, self.imap = Line(self.dovecot.port), Line(self.dovecot.imap)
        for line in (self.lmtp, self.imap):
            self.addCleanup(line.stop)
        imap = f", imap: {self.dovecot.asked(self.imap.port)}" if asks else ""
        text = self.gateway_.configuration.read_text()
        self.gateway_.configuration.write_text(mailboxes(text, f'{{ lmtp: "127.0.0.1:{self.lmtp.port}"{imap} }}'))
        self.gateway_.start()

    def letter(self, *recipients: str, **options) -> Letter:
        return self.post(self.gateway_, list(recipients), **options)

    def arrives(self, letter: Letter, *recipients: str, seconds: float = 60) -> None:
        """One delivery receipt about each, and one copy in each mailbox."""
        self.final(self.gateway_, letter, dict.fromkeys(recipients, "avvenuta-consegna"), seconds)
        for each in recipients:
            self.holds(self.dovecot.mailbox(each), letter)

    def details(self, letter: Letter, recipient: str) -> list[str]:
        """What the certified log says of a delivery."""
        rows = self.gateway_.events(letter.certified.pec_id)
        return [row.get("detail") or "" for row in rows if row["event"] == "avvenuta-consegna" and row.get("recipient") == recipient]

    def cut(self, manner: str, after: int = 0, cuts: int = 1) -> None:
        """The next message meets a cut line; the ones after it do not."""
        self.lmtp.manner, self.lmtp.after = manner, after
        self.due = self.lmtp.cuts + cuts

    def was_cut(self) -> None:
        poll(lambda: self.lmtp.cuts >= self.due, 30, "a cut of the line")
        self.lmtp.manner = "pass"

    def log(self) -> str:
        return self.gateway_.log.read_text("utf-8", "replace")


class Cuts(Doubles):
    def test_the_answers_are_lost(self):
        """It is there, nobody heard it: found, and not handed over again."""
        self.start()
        self.cut("answer")
        letter = self.letter(ANNA, ALDO)
        self.was_cut()
        self.arrives(letter, ANNA, ALDO)
        for each in (ANNA, ALDO):
            self.assertEqual(self.details(letter, each), ["2.0.0 found in the mailbox, folder INBOX"])
        self.assertEqual(self.log().count("had succeeded"), 2)

    def test_without_the_key_it_comes_twice(self):
        """What the question is for: the same cut, and nobody to ask."""
        self.start(asks=False)
        self.cut("answer")
        letter = self.letter(ANNA)
        self.was_cut()
        self.final(self.gateway_, letter, {ANNA: "avvenuta-consegna"})
        self.holds(self.dovecot.mailbox(ANNA), letter, 2)

    def test_the_second_answer_is_lost(self):
        """The first recipient's answer counts, the second's mailbox is asked."""
        self.start()
        self.cut("answer", after=1)
        letter = self.letter(ANNA, ALDO)
        self.was_cut()
        self.arrives(letter, ANNA, ALDO)
        found = [self.details(letter, each)[0].startswith("2.0.0 found") for each in (ANNA, ALDO)]
        self.assertEqual(sorted(found), [False, True])

    def test_it_is_denied(self):
        """It is there, and the server says that it is not, as Dovecot does when it is stopped at the wrong moment."""
        self.start(firstRetrySeconds=1)
        self.lmtp.manner, self.lmtp.after = "deny", 1
        letter = self.letter(ANNA, ALDO)
        poll(lambda: self.lmtp.denials, 30, "a denial")
        self.lmtp.manner = "pass"
        self.arrives(letter, ANNA, ALDO)
        found = [self.details(letter, each)[0].startswith("2.0.0 found") for each in (ANNA, ALDO)]
        self.assertEqual(sorted(found), [False, True])
        self.assertNotIn("rests before it is made again", self.log())

    def test_the_message_never_arrived(self):
        """Nobody can tell from the gateway's side; the mailbox can."""
        self.start()
        self.cut("message")
        letter = self.letter(ANNA, ALDO)
        self.was_cut()
        self.arrives(letter, ANNA, ALDO)
        self.assertEqual(self.log().count("does not have what was in hand"), 2)

    def test_again_and_again(self):
        """Cut off each time, now before it arrived and now after."""
        self.start()
        self.cut("message", cuts=2)
        letter = self.letter(ANNA)
        self.was_cut()
        self.cut("answer")
        self.was_cut()
        self.arrives(letter, ANNA)
        self.assertEqual(self.details(letter, ANNA), ["2.0.0 found in the mailbox, folder INBOX"])

    def test_filed_elsewhere(self):
        """A rule, or the holder, has moved it meanwhile."""
        self.start()
        self.dovecot.doveadm("mailbox", "create", "-u", ANNA, "Archivio.Posta \"certificata\"", "Vuota")
        self.cut("answer")
        letter = self.letter(ANNA)
        self.was_cut()
        self.dovecot.doveadm("move", "-u", ANNA, "Archivio.Posta \"certificata\"", "mailbox", "INBOX", "all")
        self.final(self.gateway_, letter, {ANNA: "avvenuta-consegna"})
        self.holds(self.dovecot.folder_of(ANNA, "Archivio.Posta \"certificata\""), letter)
        self.assertEqual([each.name for each in (self.dovecot.mailbox(ANNA).path / "new").iterdir()], [])
        self.assertIn("Archivio.Posta", self.details(letter, ANNA)[0])

    def test_nothing_is_touched(self):
        """The holder sees no trace of the question: what was new and unread still is."""
        self.start()
        self.arrives(self.letter(ANNA), ANNA)
        self.cut("answer")
        letter = self.letter(ANNA)
        self.was_cut()
        self.arrives(letter, ANNA)
        self.assertEqual(len(list((self.dovecot.mailbox(ANNA).path / "new").iterdir())), 2)

    def test_another_message_with_the_same_message_id(self):
        """A stranger's Message-ID proves nothing: what was never handed over is not taken for what is there."""
        self.start()

        def stranger(text: str) -> None:
            with self.gateway_.incoming() as wire:
                for command in ("MAIL FROM:<giulia@posta.example.test>", f"RCPT TO:<{ANNA}>"):
                    wire.expect(command, 250)
                reply = wire.data(
                    f"From: giulia@posta.example.test\r\nTo: {ANNA}\r\nSubject: {text}\r\nMessage-ID: <sempre.lo.stesso@posta.example.test>\r\n"
                    f"Date: Sun, 22 Nov 2026 10:00:00 +0100\r\n\r\n{text}\r\n".encode()
                )
                self.assertEqual(reply.code, 250, reply)

        stranger("il primo")
        self.gateway_.settled()
        self.cut("message")
        stranger("il secondo")
        self.was_cut()
        self.gateway_.settled()
        for text in ("il primo", "il secondo"):
            self.assertEqual(len(self.dovecot.mailbox(ANNA).matching(lambda stored: text.encode() in stored.octets)), 1, text)

    def test_nobody_answers_the_question(self):
        """It waits, and is not lost; what is in no doubt goes on. When the question is answered, so is the wait."""
        self.start()
        self.imap.manner = "refuse"
        self.cut("answer")
        letter = self.letter(ANNA)
        self.was_cut()
        poll(lambda: "could not be asked" in self.log(), 30, "a question without answer")
        other = self.letter(ALDO)
        poll(lambda: set(self.words(other)) == {ALDO}, 30, "the delivery of what is in no doubt")
        self.holds(self.dovecot.mailbox(ALDO), other)
        self.assertEqual(self.words(letter), {})
        self.assertIn("could not be asked", self.gateway_.queue()[0]["lastError"])
        self.holds(self.dovecot.mailbox(ANNA), letter)
        self.imap.manner = "pass"
        self.arrives(letter, ANNA)

    def test_nobody_ever_answers(self):
        """Its time is over: delivery is said to be unconfirmed, which is true whether it is there or not."""
        self.start(giveUpHours=0.003)
        self.imap.manner = "refuse"
        self.cut("answer")
        letter = self.letter(ANNA)
        self.was_cut()
        words = self.final(self.gateway_, letter, {ANNA: "altro"})
        self.assertIn("non è stata confermata", words[ANNA].message.data.extended_error)
        self.holds(self.dovecot.mailbox(ANNA), letter)

    def test_an_end_in_order_forgets_no_doubt(self):
        """The gateway is stopped in order while a doubt is open, and while another's answer is outstanding."""
        self.start(uncertainSeconds=8)
        self.cut("answer")
        letter = self.letter(ANNA)
        self.was_cut()
        self.gateway_.stop()
        self.gateway_.start()
        self.arrives(letter, ANNA)
        self.assertEqual(self.details(letter, ANNA), ["2.0.0 found in the mailbox, folder INBOX"])


class Stops(Doubles):
    def run_row(self) -> tuple[int, int]:
        ledger = self.gateway_.folder / "alfa" / "data" / "ledger.sqlite"
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as rows:
            return rows.execute("SELECT is_ended, doubtful_until FROM runs").fetchone()

    def logins(self) -> int:
        return self.dovecot.log.read_text("utf-8", "replace").count("imap-login: Info: Login")

    def test_ends_in_order_under_load(self):
        """SIGTERM waits for what is in hand: nothing is in doubt, and nobody is asked anything."""
        self.start()
        letters = []
        for _ in range(4):
            letters += [self.letter(ANNA, ALDO) for _ in range(8)]
            self.assertEqual(self.gateway_.stop(), 0)
            self.assertEqual(self.run_row(), (1, -(2**63)))
            self.gateway_.start()
        for letter in letters:
            self.arrives(letter, ANNA, ALDO)
        self.assertEqual(self.logins(), 0)

    def test_kills_of_the_gateway_under_load(self):
        self.kills(lambda: (self.gateway_.kill(), self.gateway_.start()))
        self.assertEqual(self.run_row()[0], 0)

    def test_kills_of_dovecot_under_load(self):
        self.kills(lambda: (self.dovecot.kill(), self.dovecot.start()))

    def test_kills_of_both_under_load(self):
        self.kills(lambda: (self.gateway_.kill(), self.dovecot.kill(), self.dovecot.start(), self.gateway_.start()))

    def kills(self, strike) -> None:
        """Again and again, at moments when envelopes are being handed over: one copy and one receipt each."""
        self.start(connectionsPerDestination=4)
        letters: list[Letter] = []
        for size in (6, 9, 12, 7):
            letters += [self.letter(ANNA, ALDO) for _ in range(size)]
            strike()
        for letter in letters:
            self.arrives(letter, ANNA, ALDO, seconds=AFTER_KILL)
        found = len(re.findall("had succeeded", self.log()))
        note(f"found in a mailbox and not handed over again: {found}")


class HandedOverAgain(InteropTest):
    """A mail server of ours that did not hear our 250 hands the same queue file over again: one message, and not two."""

    def setUp(self):
        self.sink = Sink()
        self.addCleanup(self.sink.stop)
        self.gateway = Gateway(self.sink.port, lambda yaml: yaml.limits(firstRetrySeconds=1, lastRetrySeconds=2))
        self.addCleanup(self.gateway.stop)
        self.gateway.start()

    @staticmethod
    def trace(name: str) -> bytes:
        return f"Received: from client.example.test (unknown [192.0.2.9])\r\n\tby mail.example.test (Postfix) with ESMTPSA id {name}\r\n\tfor <{BRUNO}>; Sun, 22 Nov 2026 10:00:00 +0100 (CET)\r\n".encode()

    def hand_over(self, octets: bytes, recipients=(BRUNO, WORLD), hears: bool = True) -> Reply | None:
        with self.gateway.trusted() as wire:
            wire.envelope(ANNA, list(recipients))
            if hears:
                return wire.data(octets)
            # The peer is stopped behind its last octet: it has no answer, and keeps its queue file.
            before = self.accepted()
            wire.expect("DATA", 354)
            wire.send(octets + b".\r\n")
            poll(lambda: self.accepted() > before, 30, "the acceptance that nobody hears of")
            return None

    def accepted(self) -> int:
        return sum(event["event"] == "accettazione" for event in self.gateway.events())

    def test_the_answer_is_lost(self):
        """Again and again, also after a restart and a kill: the identifier that was given first, and nothing else happens."""
        sent = compose.simple("Una volta", [BRUNO, WORLD])
        octets = self.trace("4F0B21ABCD") + sent.octets
        self.hand_over(octets, hears=False)
        said = [self.hand_over(octets)]
        first = next(event["pecID"] for event in self.gateway.events() if event["event"] == "accettazione")
        self.gateway.kill()
        self.gateway.start()
        said.append(self.hand_over(octets, (WORLD, BRUNO)))
        self.assertEqual(len({str(reply) for reply in said}), 1, said)
        self.assertEqual(said[0].code, 250)
        self.assertIn(first, str(said[0]))
        self.assertIn("handed over before", str(said[0]))
        self.assertEqual(self.accepted(), 1)
        about = lambda stored: stored.header.get("X-Riferimento-Message-ID") == sent.message_id  # noqa: E731
        poll(lambda: any(about(taken.stored) for taken in self.sink.taken), 30, "the envelope for who has ordinary mail")
        self.assertEqual(sum(about(taken.stored) for taken in self.sink.taken), 1)
        self.assertEqual(len(self.gateway.mailbox(ANNA).wait(lambda stored: about(stored) and stored.kind == "accettazione")), 1)

    def test_another_queue_file_is_another_message(self):
        """The user sends the same again, or to somebody else; and peers that write no trace line mean what they send."""
        letter = compose.simple("Ancora", [BRUNO, WORLD]).octets
        cases = [
            (self.trace("4F0B21AAAA") + letter, (BRUNO, WORLD)),
            (self.trace("4F0B21BBBB") + letter, (BRUNO, WORLD)),
            (self.trace("4F0B21AAAA") + letter, (BRUNO,)),
            (letter, (BRUNO, WORLD)),
            (letter, (BRUNO, WORLD)),
            (self.trace("NOQUEUE") + letter, (BRUNO, WORLD)),
            (self.trace("NOQUEUE") + letter, (BRUNO, WORLD)),
        ]
        said = [str(self.hand_over(octets, recipients)) for octets, recipients in cases]
        self.assertEqual(len(set(said)), len(cases), said)
        self.assertEqual(self.accepted(), len(cases))

    def test_users_are_never_taken_for_it(self):
        """Who submits in his own name is certified each time."""
        octets = self.trace("4F0B21CCCC") + compose.simple("Due volte", [BRUNO]).octets
        for _ in range(2):
            with self.gateway.submission() as session:
                session.envelope(ANNA, [BRUNO])
                self.assertEqual(session.data(octets).code, 250)
        self.assertEqual(self.accepted(), 2)

    def test_a_refusal_is_told_once(self):
        """A notice of non-acceptance is not written twice either."""
        octets = self.trace("4F0B21DDDD") + compose.simple("Rifiutato", [BRUNO]).octets.replace(b"From: ", b"X-From: ")
        self.assertEqual(self.hand_over(octets, (BRUNO,)).code, 250)
        self.assertIn("handed over before", str(self.hand_over(octets, (BRUNO,))))
        refused = [event for event in self.gateway.events() if event["event"] == "non-accettazione"]
        self.assertEqual(len(refused), 1)


class HandedOverByPostfix(InteropTest):
    """The same with a real Postfix, whose queue does what queues do."""

    def test_the_answer_is_lost(self):
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = Gateway(sink.port, lambda yaml: yaml.limits(firstRetrySeconds=1, lastRetrySeconds=2))
        self.addCleanup(gateway.stop)
        gateway.start()
        line = Line(gateway.ports.trusted)
        self.addCleanup(line.stop)
        postfix = Postfix("submission", {"relayhost": f"[127.0.0.1]:{line.port}"}).start()
        self.addCleanup(postfix.stop)
        line.manner = "answer"
        sent = compose.simple("Una volta", [WORLD])
        with Wire(postfix.port) as wire:
            wire.ehlo("client.example.test")
            wire.envelope(ANNA, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        poll(lambda: line.cuts >= 2, 30, "two cuts of the line")
        line.manner = "pass"
        poll(lambda: postfix.logged("handed over before"), 30, lambda: f"the word about it:\n{postfix.log.read_text()[-1500:]}")
        poll(lambda: not postfix.waits(), 30, "Postfix's empty queue")
        gateway.settled()
        accepted = [event for event in gateway.events() if event["event"] == "accettazione"]
        self.assertEqual(len(accepted), 1)
        about = lambda stored: stored.header.get("X-Riferimento-Message-ID") == sent.message_id  # noqa: E731
        self.assertEqual(sum(about(taken.stored) for taken in sink.taken), 1)
        self.assertEqual(len(gateway.mailbox(ANNA).wait(lambda stored: about(stored) and stored.kind == "accettazione")), 1)


class InfectedHandedOverAgain(InteropTest):
    """The same of a message with a virus: one notice of non-acceptance, and one folder in quarantine, which the log's row names."""

    def test_quarantined_once(self):
        gateway = Guarded(None, Signatures())
        self.addCleanup(gateway.stop)
        gateway.start()
        octets = HandedOverAgain.trace("4F0B21EEEE") + compose.simple("Con un ospite", [BRUNO], body=EICAR + b"\r\n").octets
        said = []
        for _ in range(3):
            with gateway.trusted() as wire:
                wire.envelope(ANNA, [BRUNO])
                said.append(str(wire.data(octets)))
        refused = [event for event in gateway.events() if event["event"] == "non-accettazione-virus"]
        self.assertEqual(len(refused), 1)
        for reply in said[1:]:
            self.assertIn(f"handed over before, as {refused[0]['pecID']}", reply)
        self.assertEqual([row["pecID"] for row in quarantine(gateway)], [refused[0]["pecID"]])
        # The operator hears once of one virus.
        self.assertEqual(gateway.said.count("a virus was found"), 1)


class CutsBehindPostfix(BehindPostfix):
    """A server that queues what it takes, and reports of envelopes when they are in the mailbox."""

    def test_the_answer_is_lost(self):
        """Postfix has the message and its 250 is lost: it is not handed over again before Postfix's report could come, and so never."""
        gateway, postfix = self.start(settings={"defer_transports": "virtual"}, cut=True, uncertainSeconds=600)
        self.line.manner = "answer"
        letter = self.post(gateway, [ANNA, ALDO])
        poll(lambda: self.line.cuts, 30, "a cut of the line")
        self.line.manner = "pass"
        poll(lambda: "rests before it is made again" in gateway.log.read_text(), 30, "the second attempt, put off")
        postfix.configure(defer_transports="")
        self.final(gateway, letter, {ANNA: "avvenuta-consegna", ALDO: "avvenuta-consegna"})
        gateway.settled()
        for each in (ANNA, ALDO):
            self.holds(self.folder(postfix, each), letter)
        self.assertNotIn("attesa-conferma", self.kinds(gateway, letter), "the report came first")

    def test_what_never_arrived_is_handed_over_again(self):
        """The same from here, and no report comes: after a while it goes once more."""
        gateway, postfix = self.start(cut=True, uncertainSeconds=2)
        self.line.manner = "message"
        letter = self.post(gateway, [ANNA])
        poll(lambda: self.line.cuts, 30, "a cut of the line")
        self.line.manner = "pass"
        self.final(gateway, letter, {ANNA: "avvenuta-consegna"})
        self.holds(self.folder(postfix, ANNA), letter)

    def test_the_mailbox_has_it_and_no_report_comes(self):
        """The answer is lost, and the way of the reports is closed: the mailbox is asked, and what it has proves the delivery."""
        gateway, postfix = self.start(more_transports={SERVICE: "retry:away"}, cut=True, asks=True, uncertainSeconds=2)
        self.line.manner = "answer"
        letter = self.post(gateway, [ANNA, ALDO])
        poll(lambda: self.line.cuts, 30, "a cut of the line")
        self.line.manner = "pass"
        self.final(gateway, letter, {ANNA: "avvenuta-consegna", ALDO: "avvenuta-consegna"})
        for each in (ANNA, ALDO):
            self.holds(self.folder(postfix, each), letter)
        self.assertEqual(gateway.log.read_text().count("had succeeded"), 2)

    def test_a_receipt_whose_answer_is_lost(self):
        """Nobody reports of receipts: the mailbox is asked, and has one; without anybody to ask there are two."""
        for asks, count in ((True, 1), (False, 2)):
            with self.subTest(asks=asks):
                gateway, postfix = self.start(cut=True, asks=asks, uncertainSeconds=2)
                sent = compose.simple("Da Anna", ["qualcuno@posta.example.test"])
                self.line.manner = "answer"
                with gateway.trusted() as wire:
                    wire.envelope(ANNA, sent.recipients)
                    self.assertEqual(wire.data(sent.octets).code, 250)
                poll(lambda: self.line.cuts, 30, "a cut of the line")
                self.line.manner = "pass"
                gateway.settled()
                poll(lambda postfix=postfix: not postfix.waits(), 30, "Postfix's empty queue")
                found = [compose.belongs(sent, "accettazione")(stored) for stored in self.folder(postfix, ANNA).all]
                self.assertEqual(found, [True] * count)

    def test_the_server_goes_down_with_what_it_took(self):
        """Its 250 is lost, the message is in its queue, and it is away for longer than a message in doubt rests: it has that time again
        when it is back, and comes with its report."""
        for asks in (True, False):
            with self.subTest(asks=asks):
                gateway, postfix = self.start(settings={"defer_transports": "virtual"}, cut=True, asks=asks, uncertainSeconds=15)
                self.line.manner = "answer"
                letter = self.post(gateway, [ANNA, ALDO])
                poll(lambda: self.line.cuts, 30, "a cut of the line")
                poll(lambda postfix=postfix: postfix.logged("status=deferred"), 30, "the deferral")
                postfix.stop(kill=True)
                self.line.manner = "pass"
                words = "it may have it already"
                poll(lambda gateway=gateway: any(words in (each["lastError"] or "") for each in gateway.queue()), 60, f"'{words}' in the queue")
                postfix.start()
                postfix.configure(defer_transports="")
                self.final(gateway, letter, {ANNA: "avvenuta-consegna", ALDO: "avvenuta-consegna"})
                for each in (ANNA, ALDO):
                    self.holds(self.folder(postfix, each), letter)
                self.assertEqual(self.line.cuts, 1)
                self.assertNotIn("attesa-conferma", self.kinds(gateway, letter), "the report came first")
