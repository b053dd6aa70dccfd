"""Seals of the certified log: made, stamped by whoever of the authorities does it well, unbroken through kills, and every change found."""

import json
import os
import pwd
import random
import re
import shutil
import signal
import ssl
import subprocess
import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from interop import base, compose, processes
from interop.base import executable, find, note, poll, run
from interop.case import InteropTest
from interop.evidence import (
    EX_DATAERR,
    Intruder,
    canonical,
    check_seals,
    columns_with_bits,
    command,
    flip_column,
    flipped,
    laboratory_authority,
    openssl_seal,
    seal_folder,
    seals_folder,
    sha256,
    stamping,
)
from interop.lab import ALDO, ANNA, Gateway
from interop.sink import Sink
from interop.stamps import NAME, StampServer

MISSING, STAMPED, SEALED = "marca-temporale-mancante", "marca-temporale", "sigillo"
FAR = "ordinario@example.test"


class SealTest(InteropTest):
    """A gateway of its own for each test, and an authority of openssl's."""

    @classmethod
    def setUpClass(cls):
        cls.stamps = StampServer()
        cls.sink = Sink()

    @classmethod
    def tearDownClass(cls):
        cls.stamps.stop()
        cls.sink.stop()

    def made(self, *authorities: str, environment: dict | None = None, **log) -> Gateway:
        def edit(yaml):
            stamping(yaml, *authorities)
            for key, value in log.items():
                yaml.set(str(value), "certifiedLog", key)

        gateway = Gateway(self.sink.port, edit, environment)
        self.addCleanup(gateway.stop)
        return gateway

    def submit(self, gateway: Gateway, count: int = 1, recipients=(ALDO,), subject: str = "Prova") -> None:
        with gateway.trusted(seconds=30) as wire:
            for _ in range(count):
                sent = compose.simple(subject, list(recipients))
                wire.envelope(ANNA, sent.recipients)
                self.assertEqual(wire.data(sent.octets).code, 250)

    def seals(self, gateway: Gateway) -> list[dict]:
        return gateway.operator("seal", "list")

    def rows(self, gateway: Gateway, kind: str) -> list[dict]:
        return [event for event in gateway.events() if event["event"] == kind]

    def all_is_well(self, gateway: Gateway) -> None:
        """By our own commands, and by our own reading of the files."""
        self.assertIn("all of it is as it was written", command(gateway, "seal", "verify"))
        self.assertIn("all of it is as it was written", command(gateway, "log", "verify"))
        self.fine(check_seals(seals_folder(gateway)), "the store of seals")


class Seals(SealTest):
    def test_now_and_by_openssl(self):
        gateway = self.made(self.stamps.settings).start()
        self.submit(gateway, 3, [ALDO, FAR])
        gateway.settled()
        self.assertIn("seal 1 over rows 1 to ", command(gateway, "seal", "now"))
        (seal,) = self.seals(gateway)
        rows = gateway.events()
        self.assertEqual(seal["rows"], seal["last"])
        self.assertIn(NAME, seal["authority"])
        self.assertEqual([row["event"] for row in rows[seal["last"] :]], [SEALED, STAMPED])
        self.assertIn(seal["digest"], rows[seal["last"]]["detail"])
        name = pwd.getpwuid(os.geteuid()).pw_name
        self.assertIn(f"(asked; by operator {name} (uid {os.geteuid()}))", rows[seal["last"]]["detail"])
        self.fine(openssl_seal(seal_folder(gateway, 1), gateway.ca, self.stamps.ca))
        self.all_is_well(gateway)
        # Each row of the log stands in the seal as the log shows it.
        sealed: list[bytes] = []
        check_seals(seals_folder(gateway), sealed)
        for line, shown in zip((json.loads(line) for line in sealed), rows):
            same = [(line["id"], shown["pecID"])] + [(line[key], shown[key]) for key in ("number", "event", "sender", "time", "related")]
            self.assertEqual([one for one, _ in same], [other for _, other in same])
        listed = command(gateway, "seal", "list")
        self.assertIn("1 seals in", listed)
        self.assertIn("2 rows wait", listed)
        # Whose certificate vouches for the newest seal, and until when.
        (ends,) = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-in", self.stamps.identity.path], capture_output=True, text=True, check=True).stdout.splitlines()
        expected = ssl.cert_time_to_seconds(ends.partition("=")[2])

        def shown() -> list[dict]:
            done = run([executable(), "status", "--json", "--config", gateway.configuration])
            return [each for each in json.loads(done.stdout)["certificates"] if each["use"] == "stamp"]

        poll(shown, 20, "the authority's certificate in status")
        (stamp,) = shown()
        self.assertEqual(stamp["notAfter"], expected)
        self.assertIn(NAME, stamp["name"])
        # The folder is the gateway's alone, and nothing in it is ever written again.
        for path in seal_folder(gateway, 1).rglob("*"):
            self.assertEqual(path.stat().st_mode & 0o277 if path.is_file() else path.stat().st_mode & 0o077, 0, path)

    def test_after_so_many_rows(self):
        limit = 30
        gateway = self.made(self.stamps.settings, sealEveryRows=limit).start()
        self.submit(gateway, 12)
        gateway.settled()
        waiting = lambda: len(gateway.events()) - sum(each["rows"] for each in self.seals(gateway))  # noqa: E731
        poll(lambda: waiting() < limit, 30, lambda: f"seals that nobody asked for; {waiting()} rows wait", every=0.2)
        self.assertTrue(self.seals(gateway))
        for each in self.seals(gateway):
            manifest = json.loads((seal_folder(gateway, each["seal"]) / "manifest.json").read_bytes())
            self.assertEqual(manifest["reason"], "size")
            self.assertGreaterEqual(manifest["count"], limit)
        self.all_is_well(gateway)

    def test_each_day(self):
        """What an hour ago was written, before the hour of the seal, is sealed as soon as the gateway runs after it."""
        self.need("faketime")
        hour = datetime.now().astimezone() - timedelta(minutes=30)
        gateway = self.made(self.stamps.settings, sealDailyAt=f'"{self.legal(hour)}"')
        # The log of the laboratory whose folder was copied is of today.
        shutil.rmtree(gateway.folder / gateway.provider / "data")
        earlier = base.spawn([find("faketime"), "-f", "-1h", executable(), "serve", "--config", gateway.configuration], gateway.log)
        poll(lambda: self.greets(gateway), 60, lambda: f"the gateway an hour ago:\n{base.tail(gateway.log)}")
        self.submit(gateway)
        gateway.settled()
        self.assertEqual(self.seals(gateway), [])
        (child,) = processes.children(earlier.pid)
        child.signal(signal.SIGTERM)
        earlier.wait(30)
        gateway.start()
        poll(lambda: self.seals(gateway), 30, "the seal of the day", every=0.2)
        manifest = json.loads((seal_folder(gateway, 1) / "manifest.json").read_bytes())
        self.assertEqual(manifest["reason"], "daily")
        self.assertGreater(manifest["madeUtc"] - manifest["fromUtc"], 3500)
        self.all_is_well(gateway)

    @staticmethod
    def greets(gateway: Gateway) -> bool:
        try:
            with gateway.trusted(seconds=5):
                return True
        except (OSError, AssertionError):
            return False

    @staticmethod
    def legal(moment: datetime) -> str:
        """The clock's hand in Italy."""
        return f"{moment.astimezone(ZoneInfo('Europe/Rome')):%H:%M}"

    def test_kills(self):
        """kill -9 while rows come, seals are made and stamps asked for: the chain of seals is whole, and each is stamped in the end."""
        dice = random.Random(base.SEED)
        gateway = self.made(self.stamps.settings, sealEveryRows=25)
        rounds = 30 if base.LONG else 5
        for number in range(rounds):
            gateway.start()
            self.submit(gateway, 4)
            asked = base.spawn([executable(), "seal", "now", "--config", gateway.configuration], gateway.log)
            time.sleep(dice.uniform(0, 0.25))  # not synchronisation: the random moment itself
            gateway.kill()
            asked.wait(30)
        gateway.start()
        gateway.settled()
        command(gateway, "seal", "now")
        seals = self.seals(gateway)
        self.assertGreaterEqual(len(seals), 2)
        self.assertEqual([each["seal"] for each in seals], list(range(1, len(seals) + 1)))
        self.assertEqual([each["first"] for each in seals[1:]], [each["last"] + 1 for each in seals[:-1]])
        self.assertTrue(all(each.get("stampedAt") for each in seals))
        self.assertEqual(len(self.rows(gateway, SEALED)), len(seals))
        self.all_is_well(gateway)
        for seal in seals:
            self.fine(openssl_seal(seal_folder(gateway, seal["seal"]), gateway.ca, self.stamps.ca))
        leftovers = [each.name for each in seals_folder(gateway).iterdir() if not each.name.isdigit()]
        self.assertEqual(leftovers, [], "what an interrupted sealing left")
        note(f"{rounds} kills, {len(seals)} seals over {seals[-1]['last']} rows")


class Authorities(SealTest):
    #: What the laboratory's authority does, and what the log says of it.
    MANNERS = {
        "rejects": r"reject|clock has failed",
        "busy": r"503",
        "silent": r"time|answer",
        "garbage": r"tag 60 where 48 belongs",
        "wrong-imprint": r"about other data",
        "other-nonce": r"nonce|request",
        "wrong-time": r"time|clock",
        "expired": r"expired|valid|certificate",
        "stranger": r"trust|vouch|unknown|certificate",
    }

    def setUp(self):
        self.stamps.start() if not self.stamps.server else None
        self.manner = self.lab.folder / "tsa-1" / "manner"
        self.addCleanup(self.manner.unlink, missing_ok=True)
        # Keys for what it seldom does are made when they are first wanted, which takes longer than a gateway waits.
        for manner in ("expired", "stranger"):
            self.manner.write_text(manner + "\n")
            self.stamps.ask(f"http://127.0.0.1:{self.lab.ports.first + 22}/")
        self.first = laboratory_authority(self.lab.folder, self.lab.ports.first)

    def test_every_manner(self):
        """One authority that goes wrong in each way. Alone: the seal stays without a stamp and an alarm says why. With a second one
        behind it: that one's is taken, and the seals that had to wait are stamped too."""
        gateway = self.made(self.first, self.stamps.settings).start()
        before = 0
        for manner, words in self.MANNERS.items():
            with self.subTest(manner):
                self.manner.write_text(manner + "\n")
                self.stamps.stop()
                self.assertIn("1 seals without a time stamp", command(gateway, "seal", "now"))
                seal = self.seals(gateway)[-1]
                self.assertEqual((seal["seal"], seal.get("stampedAt")), (before + 1, None))
                missing = self.rows(gateway, MISSING)[-1:]
                self.assertEqual([row["related"] for row in missing], [[f"seal-{seal['seal']}"]])
                theirs, ours = re.search(r"no time stamp from (\S+: .*?); no time stamp from (\S+: .*)", missing[0]["detail"]).groups()
                self.assertRegex(theirs, rf"(?i)^http://127.0.0.1:{self.lab.ports.first + 22}/.*({words})")
                self.assertIn(self.stamps.url, ours)
                if manner == "rejects":
                    self.fine(openssl_seal(seal_folder(gateway, seal["seal"]), gateway.ca, None))
                    self.assertIn("has no time stamp", command(gateway, "seal", "verify", str(seal["seal"])))
                self.stamps.start()
                self.assertNotIn("without a time stamp", command(gateway, "seal", "now"))
                told = self.rows(gateway, STAMPED)[-2:]
                self.assertEqual([row["related"] for row in told], [[f"seal-{each}"] for each in (before + 1, before + 2)])
                before += 2
                self.assertRegex(told[0]["detail"], rf"(?i)before: no time stamp from http://127.0.0.1:\d+/.*({words})")
        self.assertIn("no time stamp", gateway.log.read_text(), "the operator's log")
        self.manner.write_text("honest\n")
        asked = self.stamps.asked
        command(gateway, "seal", "now")
        seals = self.seals(gateway)
        self.assertIn("Marche di laboratorio", seals[-1]["authority"])
        for each in seals[:-1]:
            self.assertIn(NAME, each["authority"])
            self.fine(openssl_seal(seal_folder(gateway, each["seal"]), gateway.ca, self.stamps.ca))
        self.assertEqual(self.stamps.asked, asked, "the second authority was asked though the first answered")
        self.fine(openssl_seal(seal_folder(gateway, seals[-1]["seal"]), gateway.ca, self.lab.ca))
        self.all_is_well(gateway)

    def test_nobody_answers_and_then_they_do(self):
        """No authority for a while, restarts in between: one alarm a day for each seal, and nobody has to ask for the stamps."""
        self.manner.write_text("rejects\n")
        self.stamps.stop()
        gateway = self.made(self.stamps.settings, self.first).start()
        for _ in range(3):
            command(gateway, "seal", "now")
        gateway.kill()
        opened = len(self.rows(gateway, "apertura-registro"))
        gateway.start()
        poll(lambda: len(self.rows(gateway, "apertura-registro")) > opened, 20, "the restart in the log")
        seals = self.seals(gateway)
        self.assertEqual([each.get("stampedAt") for each in seals], [None] * len(seals))
        told = [each for row in self.rows(gateway, MISSING) for each in row["related"]]
        self.assertEqual(sorted(told), [f"seal-{each['seal']}" for each in seals], "one alarm for each seal, on one day")
        self.assertEqual(gateway.stop(), 0)
        self.stamps.start()
        gateway.start()
        poll(lambda: all(each.get("stampedAt") for each in self.seals(gateway)), 30, "stamps that nobody asked for", every=0.2)
        self.all_is_well(gateway)


class Intrusions(SealTest):
    """What somebody changes who may write everything is found, and told by its place."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        gateway = Gateway(cls.sink.port, lambda yaml: stamping(yaml, cls.stamps.settings)).start()
        for _ in range(3):
            cls.submit(cls(), gateway, 2, [ALDO, FAR], "Prova con parole")
            gateway.settled()
            command(gateway, "seal", "now")
        gateway.kill()
        # Rows without a seal behind the seals: those of this start, and of the messages after it.
        gateway.start()
        cls.submit(cls(), gateway, 2)
        gateway.settled()
        gateway.stop()
        cls.intruder = Intruder(gateway)
        cls.count = len(gateway.events())
        cls.sealed = [each["last"] for each in gateway.operator("seal", "list")]

    def setUp(self):
        self.intruder.restore()
        self.assertEqual(self.intruder.verify("log", "verify"), (0, []))
        self.dice = random.Random(f"{base.SEED}-{self.id()}")

    def changed(self, *statements, what: tuple[str, ...] = ("log", "verify")) -> list[str]:
        """The faults found after these SQL statements, each with its parameters."""
        self.intruder.restore()
        database = self.intruder.open()
        for statement, *values in statements:
            database.execute(statement, values)
        database.close()
        code, faults = self.intruder.verify(*what)
        self.assertEqual(code, EX_DATAERR, f"not found: {statements}")
        return faults

    def named(self, faults: list[str]) -> set[int]:
        return {int(row) for fault in faults for row in re.findall(r"\brow (-?\d+):", fault)}

    def test_bits_of_rows(self):
        """One bit of a value in every third row at a time, until every column had its turn: these rows are named and no others."""
        untried = None
        for turn in range(12 if base.LONG else 5):
            self.intruder.restore()
            database = self.intruder.open()
            values = columns_with_bits(database)
            untried = {column for _, column in values} if untried is None else untried
            changes = {}
            for row in range(1 + turn % 3, self.count + 1, 3):
                columns = [column for number, column in values if number == row]
                column = next((each for each in columns if each in untried), None) or self.dice.choice(columns)
                untried.discard(column)
                changes[row] = flip_column(database, row, column, self.dice)
            database.close()
            code, faults = self.intruder.verify("log", "verify")
            self.assertEqual(code, EX_DATAERR)
            self.assertEqual(self.named(faults), set(changes), f"{changes}\n{faults}")
        self.assertEqual(untried, set())

    def test_rows_removed_added_and_moved(self):
        database = self.intruder.open()
        columns = ", ".join(line[1] for line in database.execute("PRAGMA table_info(events)") if line[1] != "number")
        database.close()
        put = f"INSERT INTO events (number, {columns}) SELECT ?, {columns} FROM events WHERE number = ?"
        middle, last, free = self.sealed[0] + 4, self.count, self.count + 1
        for row in (1, 2, self.sealed[0], middle, self.sealed[-1], self.sealed[-1] + 1, last - 1, last):
            with self.subTest(removed=row, of=last, sealed=self.sealed):
                self.assertIn(row, self.named(self.changed(("DELETE FROM events WHERE number = ?", row))))
        for row in (0, -7, free):
            with self.subTest(added=row, behind=last):
                self.assertIn(row, self.named(self.changed((put, row, middle))))
        with self.subTest("added behind a gap"):
            self.assertIn(free, self.named(self.changed((put, free + 10, middle))))
        for one, two in ((middle, middle + 1), (3, middle), (middle, last)):
            with self.subTest(swapped=(one, two)):
                faults = self.changed(
                    ("UPDATE events SET number = 1000000 WHERE number = ?", one),
                    ("UPDATE events SET number = ? WHERE number = ?", one, two),
                    ("UPDATE events SET number = ? WHERE number = 1000000", two),
                )
                self.assertLessEqual({one, two}, self.named(faults), faults)
        with self.subTest("slipped in, and all behind it moved up by one"):
            faults = self.changed(
                ("UPDATE events SET number = -number WHERE number > ?", middle),
                ("UPDATE events SET number = 1 - number WHERE number < 0",),
                (put, middle + 1, middle),
            )
            self.assertIn(middle + 1, self.named(faults), faults)
        # The ledger is made to say that the first rows' time was over: they are of today, and no row of the log tells of it.
        for end in (5, self.sealed[0]):
            purge = ("INSERT INTO purges (first, last, at, chain) SELECT 1, number, at, chain FROM events WHERE number = ?", end)
            with self.subTest("a purge that never was", end=end):
                self.changed(purge)
            with self.subTest("removed, as if purged", end=end):
                self.changed(purge, ("DELETE FROM events WHERE number <= ?", end))

    def test_a_forger_who_knows_the_chain(self):
        """A row is changed, and every chain value behind it made anew: the ledger fits itself, and not the seals."""
        row = next(number for number, event in self.events() if event["event"] == "accettazione" and number > self.sealed[0])
        database = self.intruder.open()
        database.execute("UPDATE events SET subject = 'Altro' WHERE number = ?", (row,))
        (chain,) = database.execute("SELECT chain FROM events WHERE number = ?", (row - 1,)).fetchone()
        for number, octets in canonical(database):
            if number >= row:
                chain = sha256(b"\x02" + chain + sha256(b"\x00" + octets))
                database.execute("UPDATE events SET chain = ? WHERE number = ?", (chain, number))
        # The ledger's memory of the seals is made to fit, too.
        for seal, last in enumerate(self.sealed, 1):
            found = "(SELECT lower(hex(chain)) FROM events WHERE number = ?)"
            database.execute(f"UPDATE seals SET chain = {found} WHERE number = ?", (last, seal))
        database.close()
        code, faults = self.intruder.verify("log", "verify")
        self.assertEqual(code, EX_DATAERR)
        self.assertTrue(all(fault.startswith("seal 2, ") for fault in faults[:1]), faults)
        code, faults = self.intruder.verify("seal", "verify")
        self.assertEqual(code, EX_DATAERR)
        self.assertTrue(any(fault.startswith("seal 2, ") for fault in faults), faults)
        self.assertFalse(any(fault.startswith("seal 1") for fault in faults), faults)

    def events(self) -> list[tuple[int, dict]]:
        database = self.intruder.open()
        found = [(number, json.loads(octets)) for number, octets in canonical(database)]
        database.close()
        sealed: list[bytes] = []
        self.fine(check_seals(self.intruder.seals, sealed))
        self.assertEqual([json.loads(line) for line in sealed], [event for _, event in found[: len(sealed)]], "the form of a row")
        self.intruder.restore()
        return found

    def test_what_the_ledger_remembers_of_seals(self):
        for column in ("first", "last", "at", "digest", "root", "chain", "stamped_at", "authority"):
            value = {"digest": "0" * 64, "root": "0" * 64, "chain": "0" * 64, "authority": "Nessuno"}.get(column)
            change = "?" if value else f"{column} + ?"
            faults = self.changed((f"UPDATE seals SET {column} = {change} WHERE number = 2", value or 1), what=("seal", "verify"))
            self.assertTrue(any(fault.startswith("seal 2") for fault in faults), f"{column}: {faults}")
        faults = self.changed(("DELETE FROM seals WHERE number = 3",), ("DELETE FROM seals WHERE number = 2",), what=("seal", "verify"))
        self.assertTrue(any(fault.startswith("seal 3") for fault in faults), faults)

    def test_bits_of_files(self):
        """One bit in each file of a seal."""
        folder = self.intruder.seals / "000002"
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        self.assertGreaterEqual(len(files), 10)
        for path in files:
            octets = path.read_bytes()
            name = str(path.relative_to(folder))
            for _ in range(8 if base.LONG else 1):
                bit = self.dice.randrange(len(octets) * 8)
                with self.subTest(name, bit=bit):
                    self.intruder.write(path, flipped(octets, bit))
                    code, faults = self.intruder.verify("seal", "verify")
                    self.assertEqual(code, EX_DATAERR)
                    # A list that was changed names a file that it did not name, or another digest: both places are told.
                    own = [fault for fault in faults if fault.startswith("seal 2, ")]
                    lists = name.startswith(("contents", "additions"))
                    self.assertTrue(own and (lists or any(fault.startswith(f"seal 2, {name}") for fault in own)), faults)
                    self.assertFalse([fault for fault in faults if fault.startswith("seal 1")], faults)
            self.intruder.write(path, octets)

    def test_a_row_in_a_sealed_export(self):
        """The row itself is named, not only its file."""
        path = self.intruder.seals / "000002" / "rows.jsonl"
        octets = path.read_bytes()
        lines = octets.splitlines(keepends=True)
        first, at = self.sealed[0] + 1, len(lines) // 2
        cases = {
            "a bit": (flipped(octets, (sum(map(len, lines[:at])) + 60) * 8 + 1), {first + at}),
            "removed": (b"".join(lines[:at] + lines[at + 1 :]), {first + at}),
            "added": (b"".join(lines[:at] + lines[at - 1 : at] + lines[at:]), {first + at - 1, first + at}),
            "swapped": (b"".join(lines[: at - 1] + [lines[at], lines[at - 1]] + lines[at + 1 :]), {first + at - 1, first + at}),
        }
        for name, (changed, rows) in cases.items():
            with self.subTest(name):
                self.intruder.write(path, changed)
                code, faults = self.intruder.verify("seal", "verify")
                self.assertEqual(code, EX_DATAERR)
                named = self.named([fault for fault in faults if fault.startswith("seal 2, rows.jsonl")])
                self.assertTrue(named & rows, faults)

    def test_files_and_seals_removed_and_added(self):
        folder = self.intruder.seals / "000002"
        for name in sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()):
            with self.subTest(removed=name):
                self.intruder.restore()
                (folder / name).unlink()
                code, faults = self.intruder.verify("seal", "verify")
                self.assertEqual(code, EX_DATAERR, name)
                self.assertTrue(any(fault.startswith("seal 2") for fault in faults), faults)
        cases = {
            "a file too many": (lambda: (folder / "note.txt").write_text("x"), "seal 2, note.txt"),
            "the last seal away": (lambda: shutil.rmtree(self.intruder.seals / "000003"), "seal 3"),
            "a seal in the middle away": (lambda: shutil.rmtree(folder), "seal 2"),
            "a seal too many": (lambda: shutil.copytree(folder, self.intruder.seals / "000005"), "seal 5"),
            "two changed over": (self._swap, "seal 1"),
            "a stranger": (lambda: (self.intruder.seals / "conto.txt").write_text("x"), "conto.txt"),
        }
        for name, (change, place) in cases.items():
            with self.subTest(name):
                self.intruder.restore()
                change()
                code, faults = self.intruder.verify("seal", "verify")
                self.assertEqual(code, EX_DATAERR)
                self.assertTrue(any(fault.startswith(place) for fault in faults), faults)

    def _swap(self) -> None:
        one, two, aside = (self.intruder.seals / name for name in ("000001", "000002", "aside"))
        os.rename(one, aside)
        os.rename(two, one)
        os.rename(aside, two)
