"""Holders' requests for extracts by mail: opened, answered with their own messages and nothing else, each once, whatever happens."""

import base64
import collections
import email
import email.policy
import quopri
import random
import re
import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from interop import base, compose, expect
from interop.base import new_folder, poll
from interop.case import InteropTest
from interop.evidence import EX_DATAERR, command, laboratory_authority, seal_folder, stamping
from interop.extracts import Bundle, due
from interop.lab import ALDO, ANNA, BIANCA, BRUNO, OPERATOR, Gateway, World
from interop.mailboxes import Stored
from interop.sink import Sink

MAILBOX = "registro@pec.alfa.test"
EX_NOINPUT = 66
TODAY = f"{datetime.now(ZoneInfo('Europe/Rome')):%d/%m/%Y}"
#: Last words of the subject of each answer.
OPENED, EXTRACT, NOTHING = "presa in carico", "dei messaggi", "nessun evento trovato"
UNCLEAR, NOT_YOURS, WAITING, REFUSED = "da completare", "non ammessa", "in lavorazione", "respinta"


def form(**fields: str) -> bytes:
    return "".join(f"{name.capitalize()}: {value}\r\n" for name, value in fields.items()).encode()


class Answer:
    """A mail from the mailbox for requests, as its asker reads it."""

    def __init__(self, stored: Stored):
        self.stored = stored
        self.mail = email.message_from_bytes(stored.message.original, policy=email.policy.default)
        self.kind = str(self.mail["Subject"]).removeprefix("Estratto del registro").lstrip(":").strip().removeprefix("richiesta ")
        self.about = str(self.mail["In-Reply-To"] or "").strip()
        body = self.mail.get_body(("plain",))
        self.text = body.get_content().replace("\r\n", "\n") if body else ""

    @property
    def archive(self) -> bytes | None:
        return next((part.get_content() for part in self.mail.iter_attachments() if part.get_content_type() == "application/zip"), None)

    def bundle(self) -> Bundle:
        path = new_folder("answer") / "estratto.zip"
        path.write_bytes(self.archive)
        return Bundle.unpacked(path)


def answers(world: World, asker: str) -> dict[str, list[Answer]]:
    """What the mailbox for requests wrote to somebody, in its order, by the request's Message-ID."""
    found = collections.defaultdict(list)
    for stored in world.mailbox(asker).matching(lambda stored: stored.kind == "posta-certificata"):
        if MAILBOX in (stored.header.get("From") or ""):
            answer = Answer(stored)
            found[answer.about].append(answer)
    return found


class RequestTest(InteropTest):
    def send(self, world: World, sent: expect.Sent) -> expect.Sent:
        at = world.at("beta") if sent.sender.endswith("beta.test") and world.provider != "beta" else world
        with at.trusted(seconds=30) as wire:
            wire.envelope(sent.sender, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        return sent

    def ask(self, world: World, body: bytes, sender: str = ANNA, extra: bytes = b"") -> expect.Sent:
        return self.send(world, compose.simple("Richiesta", [MAILBOX], sender, body, extra))

    def told(self, world: World, sent: expect.Sent, *kinds: str, seconds: float = 40) -> list[Answer]:
        """Waits for these answers to a request, and nothing more than these."""

        def there():
            return [each.kind for each in answers(world, sent.sender)[sent.message_id]]

        def come() -> bool:
            if len(there()) < len(kinds):
                command(world, "seal", "now")  # which wakes who answers, too
            return len(there()) >= len(kinds)

        poll(come, seconds, lambda: f"{kinds} for {sent.message_id}; there are {there()}", every=0.1)
        self.assertEqual(there(), list(kinds))
        return answers(world, sent.sender)[sent.message_id]

    def request(self, world: World, sent: expect.Sent) -> dict:
        """The operator's view of a request."""
        (pec_id,) = {event["pecID"] for event in world.events() if event.get("msgid") == sent.message_id}
        (row,) = [row for row in world.operator("requests", "list", "--all") if row["message"] == pec_id]
        return row


class Requests(RequestTest):
    """In the shared laboratory, from Anna and Aldo of Alfa and Bruno of Beta."""

    @classmethod
    def setUpClass(cls):
        cls.word = compose.token().replace("-", "")

    def conversation(self) -> tuple[list[expect.Sent], list[dict]]:
        """Anna to Bruno, Anna to both of Beta, Aldo to Bruno; and the log when all is over."""
        plan = [(ANNA, [BRUNO]), (ANNA, [BRUNO, BIANCA]), (ALDO, [BRUNO])]
        sents = [self.send(self.lab, compose.simple(self.word, recipients, sender)) for sender, recipients in plan]
        for _ in range(2):
            self.lab.settled()
            self.lab.at("beta").settled()
        return sents, self.lab.events()

    def ids(self, events: list[dict], *sents: expect.Sent) -> set[str]:
        return {event["pecID"] for event in events if event.get("msgid") in {sent.message_id for sent in sents}}

    def test_the_whole_way(self):
        """Opened, then the extract, by PEC; envelopes and bundle verified; the asker's own messages only; and an end in the log."""
        (one, two, _), events = self.conversation()
        body = form(mittente=ANNA, destinatario=BRUNO, data=TODAY, oggetto=self.word, nominativo="Anna Bianchi")
        html = (
            f"<html><body><p>Gentili signori,</p><table><tr><td><b>Mittente:</b></td><td>{ANNA}</td></tr>"
            f"<tr><td>Destinatario</td><td><a href='mailto:{BRUNO}'>{BRUNO}</a></td></tr><tr><td>Data:</td><td>{TODAY}</td></tr>"
            f"<tr><td>Oggetto:</td><td>{self.word}</td></tr></table></body></html>\r\n"
        ).encode()
        identifier = next(iter(self.ids(events, one)))
        aldo_word = form(mittente=ALDO, destinatario=BRUNO, data=f"dal {TODAY} al {TODAY}", oggetto=self.word)
        asked = {
            "plain": (self.ask(self.lab, body), (one, two)),
            "html": (self.ask(self.lab, html, extra=b"MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n"), (one, two)),
            "base64": (
                self.ask(
                    self.lab,
                    base64.encodebytes(body).replace(b"\n", b"\r\n"),
                    extra=b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n",
                ),
                (one, two),
            ),
            "identifier only": (self.ask(self.lab, form(identificativo=identifier)), (one,)),
            "client's identifier only": (self.ask(self.lab, form(identificativo=two.message_id)), (two,)),
        }
        aldo = self.ask(self.lab, aldo_word, ALDO)
        for name, (sent, expected) in asked.items():
            with self.subTest(name):
                opened, extract = self.told(self.lab, sent, OPENED, EXTRACT)
                self.assertIsNone(opened.archive)
                bundle = extract.bundle()
                self.assertEqual({row["number"] for row in bundle.rows}, due(events, self.ids(events, *expected), ANNA))
                self.assertIn(f"{len(bundle.rows)} eventi", extract.text)
                for file, found in bundle.naming({ALDO, "aldo"}).items():
                    self.assertNotIn(ALDO, found, file)
                for answer in (opened, extract):
                    self.fine(self.signed(answer.stored, self.lab, openssl=name == "plain"))
                    self.assertEqual((answer.mail["From"], answer.mail["To"]), (MAILBOX, ANNA))
                    self.assertEqual(answer.mail["Auto-Submitted"], "auto-replied")
                if name in ("plain", "identifier only"):
                    self.assertEqual(bundle.script("-c", self.lab.ca, "-t", self.lab.ca)[0], 0)
                    code, found = bundle.verify("--ca", self.lab.ca)
                    self.assertEqual((code, found["faults"]), (0, []))
        _, extract = self.told(self.lab, aldo, OPENED, EXTRACT)
        for file, found in extract.bundle().naming({ANNA, BIANCA}).items():
            self.assertLessEqual(found, {ALDO, BRUNO}, file)
        row = self.request(self.lab, asked["plain"][0])
        self.assertEqual((row["state"], row["asker"]), ("answered", ANNA))
        self.assertEqual([step["state"] for step in row["history"]], ["open", "open", "answered"])
        self.assertIn("rows about 2 messages", row["outcome"])
        shown = command(self.lab, "requests", "show", row["request"])
        for word in (ANNA, BRUNO, "answered", "Anna Bianchi", row["message"], row["answer"]):
            self.assertIn(word, shown)
        command(self.lab, "requests", "show", "nessuna", code=EX_NOINPUT)
        self.assertNotIn(row["request"], command(self.lab, "requests", "list"))
        self.assertIn(row["request"], command(self.lab, "requests", "list", "--all"))
        self.assertIn("answered already", command(self.lab, "requests", "answer", row["request"], code=EX_DATAERR))
        self.assertEqual(len(answers(self.lab, ANNA)[asked["plain"][0].message_id]), 2)
        log = self.lab.events()
        about = [event["event"] for event in log if row["request"] in (event.get("detail") or "") or row["request"] in event["related"]]
        self.assertIn("richiesta-estratto", about)

    def test_what_cannot_be_answered_with_an_extract(self):
        words = compose.token()
        theirs = self.send(self.lab, compose.simple(words, [BIANCA], ALDO))
        self.send(self.lab, compose.simple(words, [BRUNO], ANNA))
        self.lab.settled()
        events = self.lab.events()
        cases = {
            # One form for each asker and day, so that these are two askers.
            "half a form": (form(mittente=ANNA, data=TODAY), ANNA, [UNCLEAR]),
            "not yours": (form(mittente=ANNA, destinatario=BIANCA, data=TODAY), ALDO, [NOT_YOURS]),
            "nothing": (form(mittente=ANNA, destinatario=BIANCA, data="01/02/2025"), ANNA, [OPENED, NOTHING]),
            "another's identifier": (form(identificativo=next(iter(self.ids(events, theirs)))), ANNA, [OPENED, NOTHING]),
            "from the other provider": (form(mittente=ANNA, destinatario=BRUNO, data=TODAY), BRUNO, [REFUSED]),
        }
        asked = {name: (self.ask(self.lab, body, sender), kinds) for name, (body, sender, kinds) in cases.items()}
        texts = {}
        for name, (sent, kinds) in asked.items():
            with self.subTest(name):
                told = self.told(self.lab, sent, *kinds)
                texts[name] = told[-1].text
                self.assertTrue(all(answer.archive is None for answer in told))
                self.fine(self.signed(told[-1].stored, self.lab, openssl=False))
                state = {UNCLEAR: "returned", NOT_YOURS: "returned", NOTHING: "answered", REFUSED: "refused"}[kinds[-1]]
                self.assertEqual(self.request(self.lab, sent)["state"], state)
        for name in ("half a form", "not yours", "nothing"):
            self.assertRegex(texts[name], r"(?s)Mittente:.*Destinatario:.*Data:", f"{name}: the form to fill")
        self.assertRegex(texts["half a form"], rf"Manca: Destinatario\.(?s:.*)Mittente: {ANNA}")
        self.assertNotIn(BIANCA, texts["another's identifier"])
        self.assertIn("proprio gestore", texts["from the other provider"])
        # The form that came back, filled in.
        again = re.sub(r"(?m)^Destinatario: *$", f"Destinatario: {BRUNO}", texts["half a form"])
        self.assertIn(f"Destinatario: {BRUNO}", again)
        quoted = "".join(f"> {line}\r\n" for line in again.splitlines() if line.strip())
        octets = quopri.encodestring(quoted.replace("\r\n", "\n").encode()).replace(b"\n", b"\r\n")
        head = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
        sent = self.ask(self.lab, octets, extra=head)
        self.told(self.lab, sent, OPENED, EXTRACT)

    def test_what_nobody_wrote(self):
        """Replies of machines, lists and receipts to the mailbox are no requests: no answer, no request, no loop."""
        body = form(mittente=ANNA, destinatario=BRUNO, data=TODAY)
        before = {row["request"] for row in self.lab.operator("requests", "list", "--all")}
        silent = [
            self.ask(self.lab, body, extra=extra)
            for extra in (
                b"Auto-Submitted: auto-replied\r\n",
                b"Auto-Submitted: auto-generated; reason=ferie\r\n",
                b"Precedence: bulk\r\n",
                b"List-Id: <elenco.example.test>\r\n",
            )
        ]
        # The last one is a true request: when it is answered the others had their time.
        true = self.ask(self.lab, form(mittente=ANNA, destinatario=BIANCA, data="01/02/2025"), extra=b"Auto-Submitted: no\r\n")
        self.told(self.lab, true, OPENED, NOTHING)
        self.lab.settled()
        found = answers(self.lab, ANNA)
        self.assertEqual([found[sent.message_id] for sent in silent], [[]] * len(silent))
        after = {row["request"] for row in self.lab.operator("requests", "list", "--all")}
        self.assertEqual(len(after - before), 1)
        # The mailbox has got the receipts of its own answers, and wrote to nobody about them.
        kinds = collections.Counter(stored.kind for stored in self.lab.mailbox(MAILBOX).all)
        self.assertGreater(kinds["accettazione"], 0)
        self.assertGreater(kinds["avvenuta-consegna"], 0)
        senders = {row["asker"] for row in self.lab.operator("requests", "list", "--all")}
        self.assertLessEqual(senders, {ANNA, ALDO, BRUNO, BIANCA})


class AloneWithTheOperator(RequestTest):
    """In a gateway of its own: what waits for the operator, and what a kill interrupts."""

    def made(self) -> Gateway:
        sink = Sink()
        self.addCleanup(sink.stop)
        first = laboratory_authority(self.lab.folder, self.lab.ports.first)
        gateway = Gateway(sink.port, lambda yaml: stamping(yaml, first, seconds=5))
        self.addCleanup(gateway.stop)
        return gateway

    def holders(self, gateway: Gateway, *names: str) -> list[str]:
        """More holders of Alfa's, before its gateway starts."""
        users = gateway.folder / "alfa" / "users"
        field = next(line for line in users.read_text().splitlines() if line.startswith(f"{ANNA}:")).partition(":")[2]
        addresses = [f"{name}@pec.alfa.test" for name in names]
        with users.open("a") as file:
            file.writelines(f"{address}:{field}\n" for address in addresses)
        return addresses

    def waiting(self, gateway: Gateway, sent: expect.Sent) -> dict:
        """The request when the operator has it."""
        poll(lambda: self.request(gateway, sent)["state"] == "waiting", 40, lambda: f"{self.request(gateway, sent)} waits", every=0.2)
        return self.request(gateway, sent)

    def test_one_form_for_an_asker_and_day(self):
        """What is not understood: a form, and no second one to whoever answers it, man or machine. The operator has what is left."""
        gateway = self.made()
        carla, dario, elena = self.holders(gateway, "carla", "dario", "elena")
        gateway.start()
        tomorrow = f"{datetime.now(ZoneInfo('Europe/Rome')) + timedelta(days=2):%d/%m/%Y}"
        first = self.ask(gateway, b"Vorrei sapere che fine ha fatto la mia PEC di ieri.\r\n", carla)
        self.assertRegex(self.told(gateway, first, UNCLEAR)[0].text, r"(?s)Mittente:.*Destinatario:.*Data:")
        future = self.ask(gateway, form(mittente=dario, destinatario=ALDO, data=tomorrow), dario)
        self.assertIn("futuro", self.told(gateway, future, UNCLEAR)[0].text)
        large = self.ask(gateway, form(mittente=elena, destinatario=ALDO, data=TODAY) + b"Allegato in chiaro.\r\n" * 60_000, elena)
        (answer,) = self.told(gateway, large, UNCLEAR)
        self.assertIn("troppo grande", answer.text)
        self.assertNotIn("Manca:", answer.text)
        silent = self.ask(gateway, b"Sono fuori ufficio.\r\n" + b"Allegato in chiaro.\r\n" * 60_000, ALDO, b"Precedence: bulk\r\n")
        second = self.ask(gateway, b"Grazie, sono fuori ufficio.\r\n", carla)
        third = self.ask(gateway, form(mittente=ALDO, destinatario=ANNA, data=TODAY), carla)
        for sent in (second, third):
            row = self.waiting(gateway, sent)
            self.assertIn("today already", row["outcome"])
            self.assertEqual(answers(gateway, carla)[sent.message_id], [])
        said = command(gateway, "requests", "answer", self.request(gateway, second)["request"], code=EX_DATAERR)
        self.assertNotIn("answered", said)
        self.assertEqual(self.request(gateway, second)["state"], "waiting")
        command(gateway, "requests", "answer", self.request(gateway, second)["request"], "--refuse", "Non si capisce che cosa chiede.")
        self.told(gateway, second, REFUSED)
        # What can be understood is answered all the same.
        self.told(gateway, self.ask(gateway, form(mittente=carla, destinatario=ALDO, data="01/02/2025"), carla), OPENED, NOTHING)
        gateway.settled()
        self.assertEqual(answers(gateway, ALDO)[silent.message_id], [])
        self.assertEqual({row["asker"] for row in gateway.operator("requests", "list", "--all")}, {carla, dario, elena})

    def test_a_subject_as_the_mail_program_shows_it(self):
        gateway = self.made().start()
        word = compose.token().replace("-", "")
        one = self.send(gateway, compose.simple(f"Diffida {word}", [ALDO]))
        gateway.settled()
        for subject in (f"POSTA CERTIFICATA: Diffida {word}", f"R: Consegna: diffida {word}"):
            sent = self.ask(gateway, form(mittente=ANNA, destinatario=ALDO, data=TODAY, oggetto=subject))
            bundle = self.told(gateway, sent, OPENED, EXTRACT)[-1].bundle()
            (identifier,) = {event["pecID"] for event in gateway.events() if event.get("msgid") == one.message_id}
            self.assertEqual({row["id"] for row in bundle.rows}, {identifier})

    def test_one_that_fails_holds_up_no_other(self):
        """A seal's rows are gone, and what they prove cannot be given away: that waits, and the rest goes on."""
        gateway = self.made().start()
        about = self.send(gateway, compose.simple("Sotto sigillo", [ALDO]))
        gateway.settled()
        command(gateway, "seal", "now")
        rows = seal_folder(gateway, 1) / "rows.jsonl"
        aside = rows.rename(gateway.folder / "aside.jsonl")
        (identifier,) = {event["pecID"] for event in gateway.events() if event.get("msgid") == about.message_id}
        failing = self.ask(gateway, form(identificativo=identifier))
        self.told(gateway, failing, OPENED)
        others = [self.ask(gateway, form(mittente=ANNA, destinatario=ALDO, data="01/02/2025"), sender) for sender in (ANNA, ALDO)]
        for sent in others:
            self.told(gateway, sent, OPENED, NOTHING)
        self.told(gateway, failing, OPENED)
        self.assertEqual(self.request(gateway, failing)["state"], "open")
        aside.rename(rows)
        self.told(gateway, failing, OPENED, EXTRACT, seconds=90)

    def test_a_question_about_too_many_messages(self):
        """More than 500 messages: a person decides, by `requests answer`, with the extract or with a refusal."""
        gateway = self.made().start()
        with gateway.trusted(seconds=60) as wire:
            for _ in range(501):
                sent = compose.simple("Molti", [ALDO])
                wire.envelope(ANNA, sent.recipients)
                self.assertEqual(wire.data(sent.octets).code, 250)
        gateway.settled()
        body = form(mittente=ANNA, destinatario=ALDO, data=TODAY)
        one, two = self.ask(gateway, body), self.ask(gateway, body, ALDO)
        for sent in (one, two):
            opened, waiting = self.told(gateway, sent, OPENED, WAITING)
            self.assertRegex(waiting.text, r"(?s)molti messaggi.*periodo più breve")
        open_ones = {row["asker"]: row for row in gateway.operator("requests", "list")}
        self.assertEqual({asker: row["state"] for asker, row in open_ones.items()}, {ANNA: "waiting", ALDO: "waiting"})
        command(gateway, "requests", "answer", open_ones[ALDO]["request"], "--refuse", "Si rivolga allo sportello, perché è troppo.")
        refused = self.told(gateway, two, OPENED, WAITING, REFUSED)[-1]
        self.assertIn("Si rivolga allo sportello, perché è troppo.", refused.text)
        command(gateway, "requests", "answer", open_ones[ANNA]["request"], seconds=180)
        extract = self.told(gateway, one, OPENED, WAITING, EXTRACT)[-1]
        rows = extract.bundle().rows
        self.assertEqual(len({row["id"] for row in rows}), 501)
        self.assertEqual({row["number"] for row in rows}, due(gateway.events(), {row["id"] for row in rows}, ANNA))
        self.assertEqual(gateway.operator("requests", "list"), [])
        states = {row["asker"]: row["state"] for row in gateway.operator("requests", "list", "--all")}
        self.assertEqual(states, {ANNA: "answered", ALDO: "refused"})
        # Who gave the word is on record here, and the asker does not read it.
        (refusal,) = [row["outcome"] for row in gateway.operator("requests", "list", "--all") if row["state"] == "refused"]
        self.assertTrue(refusal.startswith(f"refused by {OPERATOR}: "), refusal)
        self.assertNotIn("uid", refused.text)
        for row in open_ones.values():
            command(gateway, "requests", "answer", row["request"], code=EX_DATAERR)

    def test_kills(self):
        """kill -9 at random moments while requests come and are answered: each answer once."""
        dice = random.Random(base.SEED)
        gateway = self.made().start()
        about = self.send(gateway, compose.simple("Uno", [ALDO]))
        gateway.settled()
        asked = []
        for _ in range(40 if base.LONG else 6):
            for _ in range(2):
                asked.append(self.ask(gateway, form(mittente=ANNA, destinatario=ALDO, data=TODAY)))
            woken = base.spawn([base.executable(), "seal", "now", "--config", gateway.configuration], gateway.log)
            time.sleep(dice.uniform(0, 0.6))  # not synchronisation: the random moment itself
            gateway.kill()
            woken.wait(30)
            gateway.start()
        for sent in asked:
            self.told(gateway, sent, OPENED, EXTRACT, seconds=60)
        gateway.settled()
        found = answers(gateway, ANNA)
        self.assertEqual([[each.kind for each in found[sent.message_id]] for sent in asked], [[OPENED, EXTRACT]] * len(asked))
        events = gateway.events()
        own = {event["pecID"] for event in events if event.get("msgid") == about.message_id}
        for sent in asked[:: max(1, len(asked) // 4)]:
            self.assertLessEqual(due(events, own, ANNA), {row["number"] for row in found[sent.message_id][-1].bundle().rows})
        self.assertEqual({row["state"] for row in gateway.operator("requests", "list", "--all")}, {"answered"})
        self.assertIn("all of it is as it was written", command(gateway, "log", "verify"))
        self.assertIn("all of it is as it was written", command(gateway, "seal", "verify"))
