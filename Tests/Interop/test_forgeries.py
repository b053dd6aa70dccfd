"""Forged, damaged and unusual messages through the real incoming point: each must be treated as `forgeries.tsv` says."""

import collections
import re
import threading
from concurrent.futures import ThreadPoolExecutor

from interop import compose, forgeries_form
from interop.base import HERE, note, poll
from interop.case import InteropTest
from interop.counterpart import transaction
from interop.expect import differences
from interop.forgers import SERVICE_MAILBOX, Kit, Shot
from interop.lab import ALDO, ANNA, Gateway
from interop.mailboxes import Stored
from interop.pec import Malformed
from interop.receipts import check_anomaly
from interop.sink import Sink
from interop.wire import Reply

CASES = forgeries_form.CASES
TREATMENTS = {"envelope", "notification", "service", "unknown", "anomaly", "ordinary", "refused", "kept-out"}
KEPT_OUT = {"anomaly", "ordinary", "refused"}
WORKERS = 4


def table() -> dict[str, tuple[str, str]]:
    """name → (treatment, reason)"""
    rows = {}
    for line in (HERE / "forgeries.tsv").read_text("utf-8").splitlines()[1:]:
        if line and not line.startswith(("#", "name\t")):
            name, treatment, reason = line.split("\t")
            assert name not in rows, f"{name} stands twice in the table"
            rows[name] = (treatment, reason)
    return rows


def allowed(treatment: str, recipient: str) -> set[str]:
    """What may become of it for this recipient."""
    for word in treatment.split():
        who, equals, what = word.partition("=")
        if equals and recipient.lower().startswith(who):
            treatment = what
            break
    words = set(treatment.split("|"))
    return words | KEPT_OUT if "kept-out" in words else words


class Table(InteropTest):
    def test_it_names_what_is_made(self):
        rows = table()
        self.assertEqual(set(rows), set(CASES), "the table and the cases do not name the same")
        self.assertGreaterEqual(len(rows), 150)
        for name, (treatment, reason) in rows.items():
            self.assertTrue(reason.strip(), f"{name} has no reason")
            for recipient in CASES[name][1]:
                self.assertLessEqual(allowed(treatment, recipient), TREATMENTS, name)


class Forgeries(InteropTest):
    @classmethod
    def setUpClass(cls):
        cls.sink = Sink()
        cls.gateway = Gateway(cls.sink.port, lambda yaml: yaml.set("{ policy: discard, forged: refuse }", "ordinaryMail"))
        folder = cls.gateway.folder
        cls.kit = Kit(folder)
        (folder / "index.ldif").write_bytes(cls.kit.index((folder / "index.ldif").read_bytes()))
        (folder / "ca.crl").write_bytes((cls.kit.folder / "ca.crl").read_bytes())
        text = cls.gateway.configuration.read_text()
        from interop.lab import Yaml

        cls.gateway.configuration.write_text(Yaml(text).set(f"{{ file: {folder / 'index.ldif'} }}", "index").text)
        cls.gateway.start()

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()
        cls.sink.stop()

    def shots(self) -> list[Shot]:
        def make(numbered) -> Shot:
            number, (name, (maker, recipients, mail_from, tls)) = numbered
            made = maker(self.kit)
            letter = None if isinstance(made, bytes) else made
            token = f"caso-{number:03}-{compose.token()}"
            octets = letter.octets if letter else made
            sender = (letter.mail_from if letter else f"{token}@evil.example.test") if mail_from is None else mail_from
            return Shot(name, f"X-Caso: {token}\r\n".encode() + octets, sender, list(recipients), letter, tls, token)

        with ThreadPoolExecutor(WORKERS) as pool:
            return list(pool.map(make, enumerate(CASES.items())))

    def post_all(self, shots: list[Shot]) -> dict[str, Reply]:
        replies, waiting, lock = {}, list(reversed(shots)), threading.Lock()

        def work(_) -> None:
            sessions = {}
            while True:
                with lock:
                    if not waiting:
                        break
                    shot = waiting.pop()
                try:
                    if shot.tls not in sessions:
                        sessions[shot.tls] = self.gateway.incoming(tls=shot.tls)
                    replies[shot.name] = transaction(sessions[shot.tls], shot.mail_from, shot.recipients, shot.octets)
                except (OSError, AssertionError) as error:
                    replies[shot.name] = Reply(0, [f"{type(error).__name__}: {error}"])
                    if session := sessions.pop(shot.tls, None):
                        session.close()
            for session in sessions.values():
                session.close()

        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(work, range(WORKERS)))
        return replies

    def test_every_one(self):
        self.need("openssl")
        rows, shots = table(), self.shots()
        replies = self.post_all(shots)
        self.gateway.settled()
        self.collect()
        problems, seen = [], collections.Counter()
        for shot in shots:
            reply = replies[shot.name]
            for recipient in shot.recipients:
                got, wrong = self.observed(shot, recipient, reply)
                seen[got] += 1
                if got not in allowed(rows[shot.name][0], recipient):
                    wrong.insert(
                        0, f"wanted {rows[shot.name][0]} ({rows[shot.name][1]}), was {got}; the reply was {reply}; {self.why(shot)}"
                    )
                problems += [f"{shot.name}: {each}" for each in wrong]
        note(f"{len(shots)} messages: " + ", ".join(f"{count} {name}" for name, count in seen.most_common()))
        self.fine(problems, f"{len(problems)} problems")
        due = sum(500 <= replies[shot.name].code < 600 and "domain" not in shot.name for shot in shots)
        poll(lambda: len(self.reasons()) >= due, 20, lambda: f"{due} refusals in the gateway's log; there are {len(self.reasons())}")
        self.assertTrue(all(self.reasons()), "a refusal without a reason in the log")
        chosen = [stored for copies in self.copies.values() for stored in copies if stored.kind == "errore"][::12]
        for stored in chosen:
            self.fine(self.gateway.judge.openssl(stored.octets), "an anomaly envelope")

    # What became of it

    def collect(self) -> None:
        """Everything that arrived anywhere, by the token of its case or by its PEC id."""
        self.copies: dict[tuple[str, str], list[Stored]] = collections.defaultdict(list)
        self.receipts: dict[str, list[Stored]] = collections.defaultdict(list)
        self.events = self.gateway.events()
        for address in (ANNA, ALDO, SERVICE_MAILBOX):
            for stored in self.gateway.mailbox(address).all:
                found = re.search(rb"X-Caso: (\S+)", stored.octets)
                self.assertTrue(found, f"a message that nobody sent: {stored.path}")
                self.copies[found[1].decode(), address].append(stored)
        for taken in self.sink.taken:
            self.receipts[taken.stored.message.data.pec_id].append(taken.stored)

    def reasons(self) -> list[str]:
        """Of the refusals that the gateway's log tells of."""
        log = self.gateway.log.read_text("utf-8", "replace")
        return re.findall(r"(?:ordinary|forged) mail because=(.*?) peer=\S+ reply=5", log)

    def why(self, shot: Shot) -> str:
        told = [event.get("detail") or "" for event in self.events if shot.letter and event["pecID"] == shot.letter.certified.pec_id]
        return f"the log says {told}"

    def observed(self, shot: Shot, recipient: str, reply: Reply) -> tuple[str, list[str]]:
        copies = self.copies[shot.token, recipient.lower()]
        about = self.receipts[shot.letter.certified.pec_id] if shot.letter else []
        if reply.code != 250:
            word = "refused" if 500 <= reply.code < 600 else "not answered" if reply.code == 0 else "deferred"
            return word, [f"{reply} and yet something arrived"] if copies or about else []
        mine = [each for each in about if recipient.lower() in [one.lower() for one in each.message.data.received]]
        final = [each for each in about if (each.message.data.delivered_to or "").lower() == recipient.lower()]
        kinds = sorted(each.kind for each in mine + final)
        if len(copies) > 1:
            return f"{len(copies)} copies", []
        if not copies:
            if kinds == ["errore-consegna", "presa-in-carico"]:
                return "unknown", [] if final[0].message.data.error == "no-dest" else [f"errore is {final[0].message.data.error}"]
            dropped = [event for event in self.events if event["event"] == "posta-ordinaria-scartata" and event["sender"] == shot.mail_from]
            wrong = [f"receipts for what was not delivered: {kinds}"] if kinds else []
            if dropped and not dropped[0].get("detail"):
                wrong.append("dropped without a reason in the log")
            return "ordinary" if dropped else "nothing", wrong
        stored = copies[0]
        if stored.kind.lower() == "errore":
            return "anomaly", self.anomaly(stored, shot) + ([f"receipts for an anomaly: {kinds}"] if kinds else [])
        wrong = self.unchanged(stored, shot)
        if shot.letter is None or stored.kind.lower() != "posta-certificata":
            wrong += [f"receipts for a notification: {kinds}"] if kinds else []
            return "service" if recipient == SERVICE_MAILBOX else "notification", wrong
        if kinds != ["avvenuta-consegna", "presa-in-carico"]:
            wrong.append(f"receipts are {kinds}")
        unit = shot.letter.signers == [self.kit.unit]
        expected = "servizio@interno.pec.gamma.test" if unit else "servizio@pec.gamma.test"
        wrong += [f"take-charge receipt to {each.envelope_to}" for each in mine if each.envelope_to != (expected,)]
        wrong += [each for receipt in about for each in self.gateway.judge.fast(receipt.message)]
        return "envelope", wrong

    @staticmethod
    def unchanged(stored: Stored, shot: Shot) -> list[str]:
        """Nothing but trace fields may stand before it."""
        if not stored.octets.endswith(shot.octets):
            return ["it was changed: " + "; ".join(differences(stored.octets[-len(shot.octets) :], shot.octets))]
        before = stored.octets[: -len(shot.octets)]
        foreign = re.sub(rb"(?i)^(?:received|delivered-to|return-path):.*\r\n(?:[ \t].*\r\n)*", b"", before, flags=re.M)
        return [f"fields were put before it: {foreign!r}"] if foreign else []

    def anomaly(self, stored: Stored, shot: Shot) -> list[str]:
        problems = self.gateway.judge.fast(stored.message)
        try:
            return problems + check_anomaly(stored, shot.octets, shot.mail_from, None, "alfa")
        except Malformed:
            # Its header cannot be read by our strict reader; what is inside must be it all the same.
            return problems + differences(stored.message.original or b"", shot.octets)
