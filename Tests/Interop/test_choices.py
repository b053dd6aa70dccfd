"""Holders' choices, set by the operator while two providers run: what becomes of ordinary mail, words about arrivals, kinds of receipts.
Each holds for the next message, and after a crash."""

import email
import email.policy
import json
import re
import secrets

from interop import compose
from interop.base import executable, poll, run
from interop.case import InteropTest
from interop.compose import belongs, receipt
from interop.counterpart import transaction
from interop.expect import Sent
from interop.forgers import plain
from interop.lab import ALDO, ANNA, BIANCA, BRUNO, OPERATOR, Gateway, Yaml, service_address, service_mailbox
from interop.mailboxes import Stored
from interop.receipts import check_delivery
from interop.sink import Sink

EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE = 64, 65, 66, 69
GIULIA, MALLORY = "giulia@posta.example.test", "mallory@evil.example.test"
WORDS = "avvisi@posta.example.test"


def impatient(yaml: Yaml) -> Yaml:
    return yaml.limits(firstRetrySeconds=1, lastRetrySeconds=2)


def configured(yaml: Yaml) -> Yaml:
    """One mailbox about which the configuration has a word already."""
    return impatient(yaml).set(f'{{ policy: anomaly, mailboxes: {{ "{ALDO}": refuse }} }}', "ordinaryMail")


def command(gateway: Gateway, *arguments: str):
    """Exit code and words of `ceralacca mailbox …`."""
    done = run([executable(), "mailbox", *arguments, "--config", gateway.configuration])
    return done.returncode, (done.stdout + done.stderr).decode()


class Notice:
    """A word about an arrival, read as a mail client would."""

    def __init__(self, taken):
        self.taken = taken
        self.mail = email.message_from_bytes(taken.octets, policy=email.policy.default)
        self.text = self.mail.get_content().replace("\r\n", "\n")

    def line(self, name: str) -> str:
        return re.search(rf"^{name}: (.*)$", self.text, re.M)[1]


class Choices(InteropTest):
    def setUp(self):
        self.sink = Sink()
        self.addCleanup(self.sink.stop)
        self.alfa = Gateway(self.sink.port, configured)
        self.addCleanup(self.alfa.stop)
        self.beta = Gateway(self.sink.port, impatient, provider="beta", beside=self.alfa)
        self.addCleanup(self.beta.stop)
        self.alfa.start()
        self.beta.start()

    def set(self, gateway: Gateway, holder: str, **choices: str) -> str:
        options = [word for name, value in choices.items() for word in (f"--{name.replace('_', '-')}", value)]
        code, words = command(gateway, "set", holder, *options)
        self.assertEqual(code, 0, words)
        return words

    def holds(self, gateway: Gateway, holder: str) -> dict[str, tuple[str, str]]:
        row = gateway.operator("mailbox", "show", holder)[0]
        return {name: (row[name]["value"], row[name]["from"]) for name in ("ordinary", "notify", "notifyAnomalies", "receipt")}

    def ordinary(self, gateway: Gateway, recipient: str, sender: str = MALLORY, **options) -> tuple[int, str]:
        """Ordinary mail from outside: the reply's code, and the mark by which it is found again."""
        mark = secrets.token_hex(8)
        octets = f"X-Prova: {mark}\r\n".encode() + plain(sender or "MAILER-DAEMON@evil.example.test", recipient, **options)
        with gateway.incoming() as wire:
            return transaction(wire, sender, [recipient], octets).code, mark

    def lying(self, gateway: Gateway, address: str, mark: str) -> list[Stored]:
        return gateway.mailbox(address).matching(lambda stored: mark.encode() in stored.octets)

    def submit(self, gateway: Gateway, sent: Sent) -> Sent:
        with gateway.trusted(seconds=30) as wire:
            wire.envelope(sent.sender, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        return sent

    def at_rest(self) -> None:
        """Nothing waits anywhere: what came in at one provider may have made something at the other."""
        for gateway in (self.alfa, self.beta, self.alfa, self.beta):
            gateway.settled()

    def notices(self, address: str = WORDS) -> list[Notice]:
        return [Notice(taken) for taken in list(self.sink.taken) if taken.recipients == (address,)]


class Commands(Choices):
    def test_what_holds_and_who_says_so(self):
        standard = {
            "ordinary": ("anomaly", "configuration"),
            "notify": ("none", "default"),
            "notifyAnomalies": ("no", "default"),
            "receipt": ("complete", "default"),
        }
        self.assertEqual(self.holds(self.alfa, ANNA), standard)
        self.assertEqual(self.holds(self.alfa, ALDO)["ordinary"], ("refuse", "configuration"))
        self.assertEqual(command(self.alfa, "list"), (0, "Nothing is chosen for any mailbox or domain: the configuration decides.\n"))
        self.set(self.alfa, "PEC.Alfa.test", ordinary="discard", notify=WORDS, receipt="brief")
        words = self.set(self.alfa, ANNA.upper(), ordinary=f"forward:{GIULIA}", notify_anomalies="yes")
        self.assertEqual(words, f"{ANNA}: ordinary default -> forward:{GIULIA}, notify-anomalies default -> yes\n")
        anna = {
            "ordinary": (f"forward:{GIULIA}", "mailbox"),
            "notify": (WORDS, "domain"),
            "notifyAnomalies": ("yes", "mailbox"),
            "receipt": ("brief", "domain"),
        }
        self.assertEqual(self.holds(self.alfa, ANNA), anna)
        # The operator's word for the domain goes before the configuration's for the mailbox.
        self.assertEqual(self.holds(self.alfa, ALDO)["ordinary"], ("discard", "domain"))
        self.assertEqual(self.holds(self.alfa, "pec.alfa.test")["receipt"], ("brief", "domain"))
        rows = self.alfa.operator("mailbox", "list")
        self.assertEqual([row["holder"] for row in rows], [ANNA, "pec.alfa.test"])
        self.assertEqual((rows[0]["ordinary"], rows[0].get("receipt"), rows[0]["notifyAnomalies"]), (f"forward:{GIULIA}", None, True))
        code, text = command(self.alfa, "show", ANNA)
        self.assertEqual(code, 0)
        self.assertRegex(text, rf"ordinary mail +forward:{re.escape(GIULIA)} +\(mailbox\)")
        self.assertRegex(command(self.beta, "show", BRUNO)[1], r"ordinary mail +anomaly +\(configuration, ordinaryMail\.policy\)")
        # Taken away again; the log has a row for each change, with the old and the new value, and none for what changes nothing.
        self.set(self.alfa, "pec.alfa.test", ordinary="default", notify="default", receipt="default")
        self.assertIn("nothing changes", self.set(self.alfa, "pec.alfa.test", ordinary="default"))
        self.assertEqual([row["holder"] for row in self.alfa.operator("mailbox", "list")], [ANNA])
        rows = [event["detail"] for event in self.alfa.events() if event["event"] == "scelta-del-titolare"]
        self.assertEqual(
            rows,
            [
                f"by {OPERATOR}: pec.alfa.test: ordinary default -> discard, notify default -> {WORDS}, receipt default -> brief",
                f"by {OPERATOR}: {words.strip()}",
                f"by {OPERATOR}: pec.alfa.test: ordinary discard -> default, notify {WORDS} -> default, receipt brief -> default",
            ],
        )
        self.assertEqual(run([executable(), "log", "verify", "--config", self.alfa.configuration]).returncode, 0)

    def test_what_is_refused(self):
        for holder, choice, words in (
            ("pec.beta.test", ("--receipt", "brief"), "is no domain of this provider"),
            (BRUNO, ("--receipt", "brief"), "in no domain of this provider"),
            ("nessuno@pec.alfa.test", ("--receipt", "brief"), "there is no mailbox"),
            (service_mailbox("alfa"), ("--ordinary", "refuse"), "provider's own address"),
            (ANNA, ("--ordinary", "drop"), "write refuse, discard, anomaly"),
            (ANNA, ("--ordinary", f"forward:{ALDO}"), "the mail would come back"),
            (ANNA, ("--ordinary", f"forward:{BRUNO}"), "certified domain"),
            (ANNA, ("--notify", ANNA), "the mail would come back"),
            (ANNA, ("--notify", "dove?"), "is no mail address"),
            (ANNA, ("--notify-anomalies", "perhaps"), "write yes, no or default"),
            (ANNA, ("--receipt", "breve"), "write complete, brief, concise"),
        ):
            code, said = command(self.alfa, "set", holder, *choice)
            self.assertEqual(code, EX_DATAERR, (holder, choice, said))
            self.assertIn(words, said)
        self.assertEqual(command(self.alfa, "set", ANNA)[0], EX_USAGE)
        for nobody in (BRUNO, "pec.beta.test", "anna"):
            self.assertEqual(command(self.alfa, "show", nobody)[0], EX_NOINPUT)
        self.assertEqual(self.alfa.operator("mailbox", "list"), [])
        self.assertEqual([event for event in self.alfa.events() if event["event"] == "scelta-del-titolare"], [])
        self.alfa.stop()
        self.assertEqual(command(self.alfa, "set", ANNA, "--receipt", "brief")[0], EX_UNAVAILABLE)
        self.assertEqual(self.holds(self.alfa, ANNA)["receipt"], ("complete", "default"))


class OrdinaryMail(Choices):
    def test_each_choice_at_once(self):
        """Five words after one another, each for the very next message, in a session that was open before."""
        with self.alfa.incoming() as wire:
            for word, code in (("refuse", 550), ("discard", 250), ("anomaly", 250), (f"forward:{GIULIA}", 250), ("default", 250)):
                self.set(self.alfa, ANNA, ordinary=word)
                mark = secrets.token_hex(8)
                reply = transaction(wire, MALLORY, [ANNA], f"X-Prova: {mark}\r\n".encode() + plain(MALLORY))
                self.assertEqual(reply.code, code, (word, reply))
                self.alfa.settled()
                lying = [stored.kind for stored in self.lying(self.alfa, ANNA, mark)]
                self.assertEqual(lying, ["errore"] if word in ("anomaly", "default") else [], word)
                forwarded = [taken for taken in self.sink.taken if mark.encode() in taken.octets]
                self.assertEqual([taken.recipients for taken in forwarded], [(GIULIA,)] if word.startswith("forward") else [], word)
        kinds = [event["event"] for event in self.alfa.events()]
        for kind in ("posta-ordinaria-rifiutata", "posta-ordinaria-scartata", "busta-anomalia", "posta-ordinaria-inoltrata"):
            self.assertIn(kind, kinds)

    def test_who_goes_before_whom(self):
        """The mailbox before its domain, that before the configuration; and nobody gets forged mail who gets no ordinary mail."""
        self.assertEqual(self.ordinary(self.alfa, ALDO)[0], 550)
        self.set(self.alfa, "pec.alfa.test", ordinary="anomaly")
        code, mark = self.ordinary(self.alfa, ALDO)
        self.assertEqual(code, 250)
        poll(lambda: self.lying(self.alfa, ALDO, mark), 30, "the anomaly envelope")
        self.set(self.alfa, ALDO, ordinary="discard")
        code, mark = self.ordinary(self.alfa, ALDO)
        self.assertEqual(code, 250)
        self.assertEqual(self.ordinary(self.alfa, ALDO, sender=f"x@{BRUNO.partition('@')[2]}")[0], 250, "forged mail, silently dropped")
        self.alfa.settled()
        self.assertEqual(self.lying(self.alfa, ALDO, mark), [])
        self.set(self.alfa, ALDO, ordinary="default")
        self.set(self.alfa, "pec.alfa.test", ordinary="default")
        self.assertEqual(self.ordinary(self.alfa, ALDO)[0], 550)
        # The other provider has choices of its own.
        self.set(self.beta, BRUNO, ordinary="refuse")
        self.assertEqual(self.ordinary(self.beta, BRUNO)[0], 550)
        self.assertEqual(self.ordinary(self.beta, BIANCA)[0], 250)

    def test_a_forward_that_comes_back(self):
        self.set(self.alfa, ANNA, ordinary=f"forward:{GIULIA}")
        code, mark = self.ordinary(self.alfa, ANNA)
        self.assertEqual(code, 250)
        taken = poll(lambda: [taken for taken in self.sink.taken if mark.encode() in taken.octets], 30, "the forwarded mail")[0]
        with self.alfa.incoming() as wire:
            self.assertEqual(transaction(wire, GIULIA, [ANNA], taken.octets).code, 550)


class Notices(Choices):
    def told(self, count: int, address: str = WORDS) -> list[Notice]:
        """Waits for so many words, and no more."""
        poll(lambda: len(self.notices(address)) >= count, 40, lambda: f"{count} words; there are {len(self.notices(address))}")
        self.at_rest()
        found = self.notices(address)
        self.assertEqual(len(found), count, [notice.mail["Subject"] for notice in found])
        return found

    def test_an_arrival(self):
        """One word for one message: where, who, what about, when; and nothing of what is in it."""
        self.set(self.beta, BRUNO, notify=WORDS)
        # Anna gets receipts, which are not told of.
        self.set(self.alfa, "pec.alfa.test", notify="alfa@posta.example.test")
        secret = f"segreto {secrets.token_hex(8)}"
        subject = "=?utf-8?q?Perch=C3=A9_no=3F_=E2=80=AE_=0D=0ABcc:_x?="
        sent = self.submit(self.alfa, compose.simple(subject, [BRUNO, BIANCA], body=f"{secret}\r\n".encode()))
        notice = self.told(1)[0]
        mail = notice.mail
        self.assertEqual(notice.taken.sender, "", "the null reverse path")
        self.assertEqual(mail.defects, [])
        self.assertEqual([(name, len(mail.get_all(name))) for name in mail.keys() if len(mail.get_all(name)) > 1], [])
        self.assertEqual((str(mail["From"]), str(mail["To"])), (service_address("beta"), WORDS))
        self.assertEqual(mail["Auto-Submitted"], "auto-generated")
        self.assertEqual((mail.get_content_type(), mail.get_content_charset()), ("text/plain", "utf-8"))
        self.assertEqual([name for name in mail.keys() if name.lower().startswith("x-") or name == "Bcc"], [])
        title = str(mail["Subject"])
        self.assertTrue(title.startswith("Avviso di arrivo di posta certificata: Perché no? \\u{202e} "), title)
        self.assertNotIn("\u202e", title + notice.text)
        for names in (("Mittente", "Oggetto"), ("Sender", "Subject")):
            self.assertEqual(notice.line(names[0]), ANNA)
            self.assertTrue(notice.line(names[1]).startswith("Perché no? "))
        self.assertIn(f"\n{BRUNO}\n", notice.text)
        self.assertNotIn(BIANCA, notice.text)
        self.assertNotIn(secret, notice.text)
        delivered = receipt(self.alfa.mailbox(ANNA), sent, "avvenuta-consegna")
        self.assertTrue(all(each.isascii() for each in notice.taken.octets.decode("latin-1")))
        rows = [event for event in self.beta.events(delivered.message.data.pec_id) if event["event"].startswith("avviso-di-arrivo")]
        self.assertEqual([(row["event"], row["recipient"]) for row in rows], [("avviso-di-arrivo", BRUNO)])
        self.assertNotIn(WORDS, str(rows), "the log tells those who write to him nothing of where he is told")
        self.assertEqual(self.notices("alfa@posta.example.test"), [])
        self.assertEqual(run([executable(), "log", "verify", "--config", self.beta.configuration]).returncode, 0)
        # One for each mailbox; and to a mailbox of one's own provider as well.
        self.set(self.beta, "pec.beta.test", notify=WORDS)
        self.submit(self.alfa, compose.simple("Due", [BRUNO, BIANCA, ALDO]))
        self.told(1, "alfa@posta.example.test")
        self.assertEqual(sorted(re.search(r"\n(\S+@\S+)\n", each.text)[1] for each in self.told(3)), sorted([BRUNO, BRUNO, BIANCA]))
        self.set(self.beta, BRUNO, notify="none")
        self.submit(self.alfa, compose.simple("Tre", [BRUNO]))
        self.told(3)

    def test_anomaly_envelopes(self):
        """Where that is wanted; never what a machine sent, so that nothing of ours comes round again."""
        self.set(self.beta, BRUNO, notify=WORDS)
        self.ordinary(self.beta, BRUNO)
        self.told(0)
        self.set(self.beta, BRUNO, notify_anomalies="yes")
        self.assertEqual(self.ordinary(self.beta, BRUNO, subject="Offerta")[0], 250)
        notice = self.told(1)[0]
        self.assertEqual(str(notice.mail["Subject"]), "Avviso di arrivo di una busta di anomalia: Offerta")
        self.assertEqual(notice.line("Mittente"), MALLORY)
        for options in (
            {"extra": "Auto-Submitted: auto-replied\r\n"},
            {"sender": ""},
            {"extra": "Auto-Submitted: auto-generated\r\n", "body": b"x" * 300_000 + b"\r\n"},
        ):
            code, mark = self.ordinary(self.beta, BRUNO, **options)
            self.assertEqual(code, 250)
            poll(lambda mark=mark: self.lying(self.beta, BRUNO, mark), 30, "the anomaly envelope")
        self.told(1)
        # The word itself, sent back by a forward that hides where it came from.
        octets = notice.taken.octets.replace(service_address("beta").encode(), GIULIA.encode())
        with self.beta.incoming() as wire:
            self.assertEqual(transaction(wire, GIULIA, [BRUNO], octets).code, 250)
        self.told(1)

    def test_a_flood(self):
        """Ordinary mail from anywhere does not make us flood an address outside: the last word says that more may come untold."""
        yaml = Yaml(self.beta.configuration.read_text()).limits(arrivalNoticesPerMailboxPerHour=2)
        self.beta.configuration.write_text(yaml.text)
        self.assertEqual(run([executable(), "reload", "--config", self.beta.configuration]).returncode, 0)
        for holder in (BRUNO, BIANCA):
            self.set(self.beta, holder, ordinary="anomaly", notify=WORDS, notify_anomalies="yes")
        marks = []
        for _ in range(5):
            code, mark = self.ordinary(self.beta, BRUNO)
            self.assertEqual(code, 250)
            marks.append(mark)
            self.beta.settled()
        found = self.told(2)
        self.assertEqual(["senza avviso" in notice.text for notice in found], [False, True])
        self.assertEqual(["without one" in notice.text for notice in found], [False, True])
        for mark in marks:
            self.assertEqual(len(self.lying(self.beta, BRUNO, mark)), 1, "each message is in the mailbox, told or not")
        bounds = json.loads(run([executable(), "status", "--json", "--config", self.beta.configuration]).stdout)["sessions"]["bounds"]
        self.assertEqual(bounds["arrivalNoticesPerMailboxPerHour"], 3)
        # Each mailbox has its own.
        self.assertEqual(self.ordinary(self.beta, BIANCA)[0], 250)
        self.told(3)

    def test_a_word_that_nobody_takes(self):
        """Refused for good: a row, and nothing more; the sender's receipt is as it was."""
        self.sink.policy = lambda stage, argument: "550 5.1.1 No such user" if (stage, argument) == ("RCPT", WORDS) else None
        self.set(self.beta, BRUNO, notify=WORDS)
        sent = self.submit(self.alfa, compose.simple("Prova", [BRUNO]))
        delivered = receipt(self.alfa.mailbox(ANNA), sent, "avvenuta-consegna")
        self.at_rest()
        rows = [event["event"] for event in self.beta.events(delivered.message.data.pec_id)]
        self.assertEqual([row for row in rows if row.startswith("avviso-di-arrivo")], ["avviso-di-arrivo-non-inviato"])
        self.assertEqual(rows.count("avvenuta-consegna"), 1)
        self.assertEqual(self.notices(), [])

    def test_a_crash_in_between(self):
        """The next hop is down when the message arrives, and then we are: one word, once."""
        self.set(self.beta, BRUNO, notify=WORDS, ordinary="refuse")
        self.sink.stop()
        sent = self.submit(self.alfa, compose.simple("Prova", [BRUNO]))
        receipt(self.alfa.mailbox(ANNA), sent, "avvenuta-consegna")
        waiting = poll(lambda: [entry for entry in self.beta.queue() if entry["kind"] == "arrivalNotice"], 30, "the word in the queue")
        self.assertEqual((len(waiting), waiting[0]["sender"], waiting[0]["recipients"]), (1, "", [WORDS]))
        self.beta.kill()
        self.sink.start()
        self.beta.start()
        self.assertEqual(len(self.told(1)), 1)
        # What was chosen holds as before the crash.
        self.assertEqual(self.holds(self.beta, BRUNO)["notify"], (WORDS, "mailbox"))
        self.assertEqual(self.ordinary(self.beta, BRUNO)[0], 550)
        self.submit(self.alfa, compose.simple("Ancora", [BRUNO]))
        self.told(2)


class Receipts(Choices):
    def asked(self, sent: Sent) -> tuple[str | None, Stored]:
        """What the envelope asks for, and the receipt that came of it."""
        carried = self.beta.mailbox(BRUNO).wait(belongs(sent, "posta-certificata"), what="the envelope")[0]
        return carried.header.get("X-TipoRicevuta"), receipt(self.alfa.mailbox(sent.sender), sent, "avvenuta-consegna")

    def test_kinds(self):
        for word, field, form in (
            ("default", None, "completa"),
            ("brief", "breve", "breve"),
            ("concise", "sintetica", "sintetica"),
            ("complete", None, "completa"),
        ):
            self.set(self.alfa, ANNA, receipt=word)
            sent = self.submit(self.alfa, compose.simple("Prova", [BRUNO]))
            header, got = self.asked(sent)
            self.assertEqual(header, field, word)
            pec_id = got.message.data.pec_id
            self.fine(check_delivery(got, sent, pec_id, BRUNO, form, form, "beta", None), word)
            self.fine(self.signed(got, self.beta, openssl=False))

    def test_who_asks_gets_what_he_asks_for(self):
        self.set(self.alfa, "pec.alfa.test", receipt="concise")
        for line, form in ((b"X-TipoRicevuta: completa\r\n", "completa"), (b"X-TipoRicevuta: breve\r\n", "breve"), (b"", "sintetica")):
            sent = self.submit(self.alfa, compose.simple("Prova", [BRUNO], extra=line))
            header, got = self.asked(sent)
            self.assertEqual(header, form)
            self.fine(check_delivery(got, sent, got.message.data.pec_id, BRUNO, form, form, "beta", None), form)
        # Only our own senders are meant.
        sent = self.submit(self.beta, compose.simple("Prova", [ALDO], BRUNO))
        got = receipt(self.beta.mailbox(BRUNO), sent, "avvenuta-consegna")
        self.fine(check_delivery(got, sent, got.message.data.pec_id, ALDO, "completa", "completa", "alfa", None))
