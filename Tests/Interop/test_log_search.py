"""Questions to the certified log: what `log search` answers is what a plain reading of the whole log finds, in every form and by every
field; the statistics count what was sent; days are held; and `trace` knows a message by each of its names."""

import base64
import collections
import csv
import io
import json
import random
import re
import unicodedata
import unittest
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

from interop import base, compose
from interop.base import executable, poll, run
from interop.case import InteropTest
from interop.counterpart import Counterpart, Manner, transaction
from interop.forgers import MARIO, plain
from interop.lab import ALDO, ANNA, OPERATOR, Gateway

EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE = 64, 65, 66, 69
LUCA, NOBODY, MALLORY = "luca@pec.gamma.test", "ignoto@pec.gamma.test", "mallory@evil.example.test"
SUBJECTS = [
    "Città di Forlì: perché no",
    "CITTÀ DI FORLÌ",
    "citta di forli",
    '=SOMMA(A1:A9)&"x"',
    "+39 055 123, urgente",
    "-1, meno uno",
    "@tutti gli uffici",
    'Un "titolo", con virgole, e basta',
    "Straße nach Süden €uro",
    "Contratto n. 2026/117-bis",
    "Decomposta: Citta\u0300",
    "'apostrofo iniziale",
    "punto; e virgola|barra",
    "x " + "lunghissima" * 4 + " fine",
    "日本語 e русский текст",
    "Oggetto qualsiasi",
    "riga\r\ndue righe",
    "\tTabulata",
    "\x1b[31m rosso\x07",
    "rovescio \u202eoilgof\u0085 rotto",
]
FIELDS = ("sender", "recipient", "address", "subject", "id", "msgid", "related", "event", "provider", "error", "day", "from", "to")


def folded(text: str) -> list[str]:
    """The words of a text without case and accents, of two characters and more."""
    bare = "".join(each for each in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(each) not in ("Mn", "Me"))
    return [word[:32] for word in re.findall(r"[^\W_]+", bare) if len(word) > 1]


def fits(row: dict, asked: dict) -> bool:
    """The plain reading: everything asked holds of this row."""

    def same(one: str, other: str) -> bool:
        return one.lower() == other.lower()

    def is_recipient(address: str) -> bool:
        if row.get("recipient"):
            return same(row["recipient"], address)
        return any(same(each["address"], address) for each in row["recipients"])

    day = row["time"][:10]
    checks = {
        "sender": lambda value: same(row["sender"], value),
        "recipient": is_recipient,
        "address": lambda value: same(row["sender"], value) or is_recipient(value),
        "subject": lambda value: set(folded(value)) <= set(folded(row.get("subject") or "")),
        "id": lambda value: row["pecID"] == value,
        "msgid": lambda value: row.get("msgid") == (value if value.startswith("<") else f"<{value}>"),
        "related": lambda value: value in row["related"],
        "event": lambda value: row["event"] in value,
        "provider": lambda value: row["provider"] == value,
        "error": lambda value: row.get("error") == value,
        "day": lambda value: day == value,
        "from": lambda value: day >= value,
        "to": lambda value: day <= value,
    }
    return all(checks[name](value) for name, value in asked.items())


def encoded(text: str) -> str:
    """A subject as it goes over the wire (RFC 2047)."""
    if text.isascii() and text.isprintable():
        return text
    pieces = [text[at : at + 12].encode() for at in range(0, len(text), 12)]
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(piece).decode()}?=" for piece in pieces)


def options(asked: dict) -> list[str]:
    given = []
    for name, value in asked.items():
        for each in value if isinstance(value, (list, tuple)) else [value]:
            given.append(f"--{name}={each}")
    return given


class LogTest(InteropTest):
    """A log of some hundred messages: out, in, refused, receipts, ordinary mail; nothing is added to it while it is asked."""

    @classmethod
    def setUpClass(cls):
        if "rows" in LogTest.__dict__:
            return
        LogTest.gateway = Gateway(None, lambda yaml: yaml.set("off", "scanner").limits(firstRetrySeconds=1, lastRetrySeconds=2))
        unittest.addModuleCleanup(LogTest.gateway.stop)
        LogTest.gamma = Counterpart(LogTest.gateway, Manner(unknown=(NOBODY,)), port=LogTest.gateway.ports.world)
        unittest.addModuleCleanup(LogTest.gamma.stop)
        LogTest.gateway.start()
        LogTest.fill(random.Random(base.SEED))
        LogTest.rows = LogTest.gateway.events()

    @classmethod
    def fill(cls, dice: random.Random) -> None:
        cls.sents, cls.refused, cls.letters = [], [], []
        people = [ALDO, ANNA, LUCA, NOBODY, "Ordinario@posta.example.test", "altro@posta.example.test"]
        for number in range(110):
            sender = ANNA if number % 3 else ALDO
            subject = SUBJECTS[number % len(SUBJECTS)]
            chosen = dice.sample([each for each in people if each != sender], dice.randrange(1, 4))
            # Every tenth breaks a formal rule (From is somebody else) and is not accepted.
            cls.sents.append(compose.simple(encoded(subject), chosen, sender, from_=MALLORY if number % 10 == 9 else None))
            if number % 10 == 9:
                cls.refused.append(cls.sents[-1])
        with cls.gateway.trusted() as session:
            for sent in cls.sents:
                session.envelope(sent.sender, sent.recipients)
                assert session.data(sent.octets).code == 250
        for number in range(24):
            recipients = [ANNA, ALDO, "nessuno@pec.alfa.test"][: 1 + number % 3]
            cls.letters.append(cls.gamma.envelope(MARIO, recipients, SUBJECTS[number % 16]))
        with ThreadPoolExecutor(4) as pool:
            octets = list(pool.map(lambda letter: letter.octets, cls.letters))
        with cls.gamma.session() as wire:
            for letter, each in zip(cls.letters, octets):
                assert transaction(wire, letter.mail_from, letter.recipients, each).code == 250
            cls.anomalies = 6
            for number in range(cls.anomalies):
                assert transaction(wire, MALLORY, [ANNA], plain(MALLORY, subject=f"Offerta numero {number}")).code == 250
        accepted = [sent for sent in cls.sents if sent not in cls.refused]
        cls.accepted = accepted
        foreign = [[each for each in sent.recipients if each in (LUCA, NOBODY)] for sent in accepted]
        wanted = sum(len(each) + 1 for each in foreign if each)
        poll(lambda: len(cls.gamma.answers) >= wanted, 120, lambda: f"{wanted} answers of Gamma; there are {len(cls.gamma.answers)}")
        cls.gateway.settled()

    def search(self, asked: dict, *more: str, code: int | None = None):
        done = run([executable(), "log", "search", *options(asked), *more, "--config", self.gateway.configuration])
        if code is not None:
            self.assertEqual(done.returncode, code, f"{asked} {more}: {done.stderr.decode()}")
        return done.returncode, done.stdout.decode(), done.stderr.decode()


class Searching(LogTest):
    def questions(self) -> list[dict]:
        """Each field with values that are there and some that are not, and combinations of facts of one row or of several."""
        dice, rows = random.Random(base.SEED), self.rows
        today = rows[-1]["time"][:10]
        other = lambda days: (date.fromisoformat(today) + timedelta(days)).isoformat()  # noqa: E731
        events = sorted({row["event"] for row in rows})
        asked = [{"event": [each]} for each in events] + [{"event": ["accettazione", "avvenuta-consegna"]}, {"event": ["scarto"]}]
        asked += [{"error": each} for each in ("nessuno", "altro", "no-dest", "virus")]
        asked += [{"provider": each} for each in ("Alfa PEC S.p.A.", "Gamma PEC S.p.A.", "alfa pec s.p.a.", "Alfa")]
        people = (ANNA, ALDO.upper(), LUCA, NOBODY, MARIO, MALLORY, "ORDINARIO@posta.example.test", "nessuno@pec.alfa.test", "anna")
        asked += [{field: each} for field in ("sender", "recipient", "address") for each in people]
        words = ("citta", "CITTÀ", "citta\u0300", "forli", "Straße", "strasse", "somma", "39", "x", "日本語", "Русский")
        asked += [{"subject": [each]} for each in (*words, "uro", "lunghissima", "lunghissima" * 4, "Città di")]
        asked += [{"subject": each} for each in (["virgole", "Titolo"], ["117", "bis"], ["città", "titolo"], ["Süden", "EURO"])]
        asked += [{"day": today}, {"day": other(-1)}, {"from": today}, {"to": today}, {"from": other(1)}, {"to": other(-1)}]
        asked += [{"from": other(-40), "to": other(40)}, {"from": other(1), "to": other(-1)}]
        for row in dice.sample([row for row in rows if row["related"] and row.get("msgid")], 4):
            asked += [{"id": row["pecID"]}, {"msgid": row["msgid"]}, {"msgid": row["msgid"].strip("<>")}, {"related": row["related"][0]}]
        asked += [{"id": "niente"}, {"msgid": "<niente@x>"}, {"related": "niente"}]
        for row in dice.sample([row for row in rows if row["sender"]], 24):
            recipient = row.get("recipient") or dice.choice(row["recipients"])["address"]
            facts = {"sender": row["sender"], "recipient": recipient, "day": row["time"][:10], "event": [row["event"]]}
            facts |= {"address": dice.choice([row["sender"], recipient])} | ({"provider": row["provider"]} if row["provider"] else {})
            known = folded(row.get("subject") or "")
            for name, value in (("subject", dice.sample(known, 1) if known else None), ("error", row.get("error"))):
                if value:
                    facts[name] = value
            facts |= {"id": row["pecID"]} | ({"msgid": row["msgid"]} if row.get("msgid") else {})
            chosen = {name: facts[name] for name in dice.sample(sorted(facts), dice.randrange(2, 5))}
            if dice.randrange(4) == 0:
                chosen["recipient"] = dice.choice(people)
            asked.append(chosen)
        return asked

    def test_every_field_against_a_plain_reading(self):
        self.assertGreater(len(self.rows), 700)
        problems = []

        def look(asked: dict) -> bool:
            reading = dict(asked)
            if "subject" in reading:
                reading["subject"] = " ".join(reading["subject"])
            wanted = [row for row in self.rows if fits(row, reading)]
            code, out, err = self.search(asked, "--json", "--limit", "100000")
            got = [json.loads(line) for line in out.splitlines()]
            if got != wanted:
                found, due = ({row["number"] for row in rows} for rows in (got, wanted))
                problems.append(
                    f"{asked}: {len(got)} rows instead of {len(wanted)}; extra {sorted(found - due)[:5]}, missing {sorted(due - found)[:5]}, "
                    f"in the order of their numbers: {sorted(found) == [row['number'] for row in got]}; {err.strip()}"
                )
            if code != (0 if wanted else EX_NOINPUT):
                problems.append(f"{asked}: exit code {code}")
            return not wanted

        asked = self.questions()
        self.assertEqual(set(FIELDS), {name for each in asked for name in each})
        with ThreadPoolExecutor(4) as pool:
            empty = sum(pool.map(look, asked))
        self.fine(problems)
        base.note(f"{len(asked)} questions about {len(self.rows)} rows, {empty} of them without an answer")

    def test_order_and_limit(self):
        numbers = [row["number"] for row in self.rows if row["sender"] == ANNA]
        for more, wanted in (
            (["--newest"], numbers[::-1][:1000]),
            (["--newest", "--limit", "7"], numbers[::-1][:7]),
            (["--limit", "1"], numbers[:1]),
            ([], numbers[:1000]),
        ):
            _, out, err = self.search({"sender": ANNA}, "--json", *more, code=0)
            self.assertEqual([json.loads(line)["number"] for line in out.splitlines()], wanted)
            if len(wanted) < len(numbers) and "--limit" in more:
                self.assertIn(f"the first {len(wanted)} rows; --limit shows more", err)

    def test_csv(self):
        """Python's csv reads it back; what a spreadsheet would take for a formula has an apostrophe before it."""
        for asked in ({"sender": ANNA}, {"subject": ["somma"]}, {"subject": ["titolo"]}, {"event": ["busta-anomalia", "mancata-consegna"]}):
            _, out, _ = self.search(asked, "--csv", "--limit", "100000", code=0)
            read = list(csv.DictReader(io.StringIO(out, newline="")))
            reading = {name: " ".join(value) if name == "subject" else value for name, value in asked.items()}
            wanted = [row for row in self.rows if fits(row, reading)]
            self.assertEqual([int(line["row"]) for line in read], [row["number"] for row in wanted])
            for line, row in zip(read, wanted):
                self.assertNotIn(None, line)
                expected = {
                    **{name: row[name] for name in ("time", "event", "sender", "provider")},
                    **{name: row.get(name) or "" for name in ("recipient", "subject", "msgid", "error", "detail")},
                    **{"id": row["pecID"], "bytes": str(row["bytes"]), "related": " ".join(row["related"])},
                    "recipients": " ".join(each["address"] for each in row["recipients"]),
                }
                for name, value in expected.items():
                    self.assertEqual(line[name], f"'{value}" if value[:1] in tuple("=+-@\t\r") else value, name)
        _, out, _ = self.search({"subject": ["somma"]}, "--csv", code=0)
        self.assertIn("'=SOMMA(A1:A9)", out)

    def test_control_characters(self):
        """What a subject holds of them moves no terminal, and a line end in it makes no line."""
        for word in ("rosso", "tabulata", "righe", "rovescio"):
            wanted = sum(fits(row, {"subject": word}) for row in self.rows)
            _, out, _ = self.search({"subject": [word]}, code=0)
            self.assertEqual({each for each in out if unicodedata.category(each) == "Cc"}, {"\n"}, word)
            self.assertEqual(sum(line[:1].isdigit() for line in out.splitlines()), wanted)
            self.assertEqual(out.count("\n"), 1 + wanted + out.count("\n          "))

    def test_table(self):
        """Each row on a line with its number, time, event, sender, recipient and subject; nothing of it can move the terminal."""
        _, out, err = self.search({"subject": ["titolo"]}, code=0)
        lines = out.splitlines()
        self.assertRegex(lines[0], r"ROW\s+TIME\s+EVENT\s+FROM\s+TO\s+SUBJECT")
        wanted = [row for row in self.rows if fits(row, {"subject": "titolo"})]
        found = {int(line.split()[0]): line for line in lines[1:] if re.match(r"\d", line)}
        self.assertEqual(list(found), [row["number"] for row in wanted])
        for row in wanted:
            to = row.get("recipient") or row["recipients"][0]["address"]
            for word in (row["time"], row["event"], row["sender"], to, row["subject"]):
                self.assertIn(word, found[row["number"]])
            self.assertIn(f"id {row['pecID']}", out)
        self.assertIn(f"{len(wanted)} rows", err)

    def test_wrong_questions(self):
        for asked in ({"day": "ieri"}, {"from": "2026-02-30"}, {"to": "31/04/2026"}, {"event": ["frobnicazione"]}):
            _, out, err = self.search(asked, code=EX_USAGE)
            self.assertEqual(out, "")
            self.assertTrue(err)
        self.assertIn("accettazione", self.search({"event": ["x"]}, code=EX_USAGE)[2])
        # Days as Italians write them.
        day = date.fromisoformat(self.rows[-1]["time"][:10])
        italian = self.search({"day": day.strftime("%d/%m/%Y")}, "--json", "--limit", "100000", code=0)[1]
        self.assertEqual(len(italian.splitlines()), sum(row["time"].startswith(day.isoformat()) for row in self.rows))


class Counting(LogTest):
    def test_statistics(self):
        """Against what was sent, and against the rows of each day."""
        days = sorted({row["time"][:10] for row in self.rows})
        done = run([executable(), "statistics", "--from", days[0], "--to", days[-1], "--config", self.gateway.configuration])
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        lines = list(csv.DictReader(io.StringIO(done.stdout.decode(), newline="")))
        self.assertEqual([line["day"] for line in lines], days)
        kinds = {
            "out": ["accettazione"],
            "in": ["presa-in-carico"],
            "refused": ["non-accettazione", "non-accettazione-virus"],
            "delivered": ["avvenuta-consegna"],
            "not_delivered": ["mancata-consegna", "mancata-consegna-virus"],
            "silent_12h": ["mancata-consegna-12h"],
            "silent_24h": ["mancata-consegna-24h"],
            "infected": [],
        }
        for line in lines:
            counts = collections.Counter(row["event"] for row in self.rows if row["time"].startswith(line["day"]))
            for name, events in kinds.items():
                self.assertEqual(int(line[name]), sum(counts[each] for each in events), f"{name} on {line['day']}")
        total = {name: sum(int(line[name]) for line in lines) for name in kinds}
        local = sum(any(each in (ANNA, ALDO) for each in sent.recipients) for sent in self.accepted)
        unknown = sum("nessuno@pec.alfa.test" in letter.recipients for letter in self.letters)
        mailboxes = sum(each in (ANNA, ALDO) for sent in self.accepted for each in sent.recipients)
        mailboxes += sum(each in (ANNA, ALDO) for letter in self.letters for each in letter.recipients)
        self.assertEqual(total["out"], len(self.accepted))
        self.assertEqual(total["refused"], len(self.refused))
        self.assertEqual(total["in"], local + len(self.letters))
        self.assertEqual(total["delivered"], mailboxes)
        self.assertEqual(total["not_delivered"], unknown)
        self.assertEqual((total["silent_12h"], total["silent_24h"], total["infected"]), (0, 0, 0))
        users = (self.gateway.folder / "alfa" / "users").read_text().splitlines()
        known = sum(line.partition(":")[0].endswith("@pec.alfa.test") for line in users)
        self.assertEqual(lines[-1]["mailboxes_pec.alfa.test"], str(known))

    def test_other_periods(self):
        statistics = [executable(), "statistics", "--config", self.gateway.configuration]
        done = run(statistics)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertEqual(run([*statistics, "--from", "2026-03-02", "--to", "2026-03-01"]).returncode, EX_USAGE)
        self.assertEqual(run([*statistics, "--from", "marzo"]).returncode, EX_USAGE)


class Tracing(LogTest):
    def trace(self, what: str, *more: str, code: int = 0) -> str:
        done = run([executable(), "trace", what, *more, "--config", self.gateway.configuration])
        self.assertEqual(done.returncode, code, f"{what}: {done.stderr.decode()}")
        return done.stdout.decode() + done.stderr.decode()

    def test_by_every_name(self):
        """PEC id, the sender's Message-ID, a receipt's Message-ID with and without brackets: the same life."""
        sent = next(sent for sent in self.accepted if LUCA in sent.recipients)
        rows = [row for row in self.rows if row.get("msgid") == sent.message_id]
        pec_id = rows[0]["pecID"]
        made = next(row["related"][0] for row in rows if row["event"] == "accettazione")
        said = json.loads(self.trace(pec_id, "--json"))
        for name in (sent.message_id, made, f"<{made}>"):
            self.assertEqual({**json.loads(self.trace(name, "--json")), "deadline": None}, {**said, "deadline": None})
        self.assertEqual([step["event"] for step in said["steps"]], [row["event"] for row in self.rows if row["pecID"] == pec_id])
        self.assertEqual([step["time"] for step in said["steps"]], [row["time"] for row in self.rows if row["pecID"] == pec_id])
        self.assertEqual([each["address"] for each in said["recipients"]], sent.recipients)
        self.assertEqual((said["id"], said["sender"]), (pec_id, sent.sender))
        text = self.trace(pec_id)
        for word in ("timeline", "recipients", pec_id, *sent.recipients, "avvenuta-consegna", "accettazione"):
            self.assertIn(word, text)

    def test_every_end(self):
        """Each recipient's fate is the one that the log's rows tell."""
        ends = {
            LUCA: "the receipt went to the sender",
            NOBODY: "will not be delivered",
            ANNA: "the receipt went to the sender",
            "altro@posta.example.test": "no receipt will come",
        }
        chosen = {address: next(sent for sent in self.accepted if address in sent.recipients) for address in ends}
        for address, sent in chosen.items():
            said = json.loads(self.trace(sent.message_id, "--json"))
            why = next(each["why"] for each in said["recipients"] if each["address"] == address)
            self.assertIn(ends[address], why)
        # What was not accepted says so.
        row = next(row for row in self.rows if row["event"] == "non-accettazione")
        self.assertIn("not accepted", self.trace(row["pecID"]))
        # What another provider sent us, for who has a mailbox here and for who has none.
        letter = next(letter for letter in self.letters if len(letter.recipients) == 3)
        said = json.loads(self.trace(letter.certified.pec_id, "--json"))
        fates = {each["address"]: each["why"] for each in said["recipients"]}
        self.assertEqual(set(fates), set(letter.recipients))
        self.assertIn("will not be delivered", fates["nessuno@pec.alfa.test"])
        self.assertIn("in the mailbox", fates[ANNA])

    def test_an_address(self):
        """Its latest messages, the latest first, at the most twenty."""
        text = self.trace(MARIO).splitlines()
        latest = list(dict.fromkeys(row["pecID"] for row in reversed(self.rows) if fits(row, {"address": MARIO})))
        self.assertEqual([line.split()[1] for line in text[:-1]], latest[:20])
        self.assertIn("the latest first", text[-1])
        self.assertEqual(self.trace(MARIO.upper()).splitlines()[:-1], text[:-1])

    def test_nothing_known(self):
        for what in ("niente", "<niente@x.test>", "nessuno@mai.example.test", "alfa1.20200101000000.000001.x@pec.alfa.test", ""):
            self.assertIn("knows no message", self.trace(what, code=EX_NOINPUT))


class Holding(InteropTest):
    """Adds rows, and so has a log of its own."""

    def setUp(self):
        self.gateway = Gateway(None, lambda yaml: yaml.set("off", "scanner")).start()
        self.addCleanup(self.gateway.stop)

    def hold(self, *arguments: str, code: int = 0) -> str:
        done = run([executable(), "log", "hold", *arguments, "--config", self.gateway.configuration])
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout.decode()}{done.stderr.decode()}")
        return done.stdout.decode() + done.stderr.decode()

    def held(self) -> list[dict]:
        return [json.loads(line) for line in self.hold("list", "--json").splitlines()]

    def test_add_list_lift(self):
        self.assertEqual(self.held(), [])
        self.hold("add", "causa-17", "--from", "2026-03-01", "--to", "31/03/2026", "--reason", "Tribunale di Roma, RG 17")
        self.hold("add", "causa-18", "--from", "2026-03-15", "--to", "2026-03-15", "--reason", "Procura")
        rows = {row["hold"]: row for row in self.held()}
        self.assertEqual(set(rows), {"causa-17", "causa-18"})
        self.assertEqual((rows["causa-17"]["from"], rows["causa-17"]["to"]), ("2026-03-01", "2026-03-31"))
        self.assertEqual(rows["causa-17"]["reason"], "Tribunale di Roma, RG 17")
        self.assertIn("causa-18", self.hold("list"))
        self.hold("lift", "causa-17", "--reason", "sentenza passata in giudicato")
        self.assertEqual([row["hold"] for row in self.held()], ["causa-18"])
        self.hold("lift", "causa-17", code=EX_NOINPUT)
        self.hold("add", "causa-19", "--from", "2026-03-02", "--to", "2026-03-01", "--reason", "x", code=EX_USAGE)
        self.hold("add", "causa-19", "--from", "domani", "--to", "2026-03-01", "--reason", "x", code=EX_USAGE)
        events = self.gateway.events()
        made = [(row["event"], row["detail"]) for row in events if row["event"].startswith("vincolo")]
        self.assertEqual([event for event, _ in made], ["vincolo", "vincolo", "vincolo-rimosso"])
        for (_, detail), words in zip(made, (("causa-17", "Tribunale di Roma", "2026-03-31"), ("causa-18", "Procura"), ("causa-17",))):
            for word in words + (f"by {OPERATOR}: ",):
                self.assertIn(word, detail)
        self.assertEqual(self.gateway.stop(), 0)
        self.assertEqual([row["hold"] for row in self.held()], ["causa-18"])
        self.hold("add", "causa-20", "--from", "2026-03-01", "--to", "2026-03-01", "--reason", "x", code=EX_UNAVAILABLE)
        self.gateway.start()
        self.assertEqual([row["hold"] for row in self.held()], ["causa-18"])
