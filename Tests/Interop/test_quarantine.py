"""The operator's view of the quarantine: what is there, what of it, out of it for an analyst, and out for good when the law allows."""

import datetime
import json
import os
import re
import stat
import subprocess
from pathlib import Path

from interop.base import executable, find, new_folder, run
from interop.forgers import MARIO
from interop.guarded import EICAR, EICAR_NAME, check_kept, is_root, kept_content, nobody, quarantine
from interop.lab import ANNA, OPERATOR
from interop.provider import Letter
from interop.virus_case import VirusTest
from interop.virusmail import PLAIN, Infected, attachment, mixed

OUTSIDE = "ordinario@posta.example.test"
MALLORY = "mallory@evil.example.test"
EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_CANTCREAT, EX_NOPERM = 64, 65, 66, 73, 77
SHAPE = Infected("", mixed(PLAIN, attachment(EICAR, "conto.com")))


class QuarantineTest(VirusTest):
    keys = {"infectedOrdinaryMail": "discard"}

    def setUp(self):
        self.folder = new_folder("desk")

    def command(self, *arguments, code: int = 0, at: str | None = None) -> str:
        """`ceralacca quarantine …`; what it says. `at`: the time that the command shall see."""
        clock = [find("faketime"), "-f", at] if at else []
        done = run([*clock, executable(), "quarantine", *arguments, "--config", self.gateway.configuration])
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout.decode()}{done.stderr.decode()}")
        return (done.stdout + done.stderr).decode()

    def rows(self, *arguments, code: int = 0) -> list[dict]:
        return [json.loads(line) for line in self.command(*arguments, "--json", code=code).splitlines() if line.startswith("{")]

    def fill(self) -> dict[str, dict]:
        """One entry of each kind that a test can make at once; the rows, by kind."""
        sent = SHAPE.sent([OUTSIDE])
        self.submit(sent)
        letter: Letter = self.gamma.envelope(MARIO, [ANNA], original=SHAPE.original([ANNA], MARIO))
        envelope = letter.octets
        self.post(envelope, MARIO, [ANNA])
        ordinary = SHAPE.sent([ANNA], MALLORY).octets
        self.post(ordinary, MALLORY, [ANNA])
        self.notice(sent)
        self.gateway.settled()
        octets = {"submission": sent.octets, "envelope": envelope, "ordinary": ordinary}
        rows = {
            kind: [row for row in quarantine(self.gateway) if row["kind"] == kind and kept_content(row) == octets[kind]] for kind in octets
        }
        self.assertEqual({kind: len(found) for kind, found in rows.items()}, dict.fromkeys(octets, 1))
        self.octets = octets
        return {kind: found[0] for kind, found in rows.items()}


class Desk(QuarantineTest):
    def test_list_and_show(self):
        rows = self.fill()
        self.fine(check_kept(rows["submission"], self.octets["submission"], "submission", ANNA, [OUTSIDE], EICAR_NAME))
        self.fine(check_kept(rows["envelope"], self.octets["envelope"], "envelope", MARIO, [ANNA], EICAR_NAME))
        self.fine(check_kept(rows["ordinary"], self.octets["ordinary"], "ordinary", MALLORY, [ANNA], EICAR_NAME))
        self.assertEqual(rows["envelope"]["provider"], "Gamma PEC S.p.A.")
        table = self.command("list")
        for row in rows.values():
            line = next(line for line in table.splitlines() if row["id"] in line)
            for word in (row["kind"], row["threat"], row["sender"], str(row["bytes"]), row["recipients"][0], row["time"]):
                self.assertIn(word, line)
        for kind, row in rows.items():
            for name in (row["id"], row["pecID"], f"<{row['pecID']}>"):
                text = self.command("show", name)
                for word in (
                    row["id"],
                    row["threat"],
                    row["scanner"],
                    row["sha256"],
                    row["keepUntil"],
                    row["path"],
                    "as they were put away",
                ):
                    self.assertIn(word, text)
            story = self.rows("show", row["id"])[0]
            self.assertTrue(story["isIntact"])
            self.assertEqual(story["message"], row)
            self.assertTrue(story["events"], f"the rows of the certified log about the {kind}")
            self.assertEqual({event["pecID"] for event in story["events"]}, {row["pecID"]})
        self.assertIn("by root and root only" if is_root() else "only", self.command("show", rows["envelope"]["id"]))
        self.command("show", "nessuno@pec.alfa.test", code=EX_NOINPUT)

    def test_days(self):
        row = self.fill()["submission"]
        day = datetime.date.fromisoformat(row["time"][:10])
        step = datetime.timedelta(days=1)
        all_of_them = [each["id"] for each in self.rows("list")]
        for arguments, expected in (
            (("--from", str(day)), all_of_them),
            (("--to", str(day)), all_of_them),
            (("--from", str(day), "--to", str(day)), all_of_them),
            (("--from", str(day + step)), []),
            (("--to", str(day - step)), []),
        ):
            self.assertEqual([each["id"] for each in self.rows("list", *arguments)], expected, arguments)
        for wrong in ("ieri", "2026-13-01", "2026-02-30", "01/03/2026", "2026-3-1"):
            self.assertIn("YYYY-MM-DD", self.command("list", "--from", wrong, code=EX_USAGE))

    def test_kept_for_thirty_months(self):
        row = self.fill()["submission"]
        day, until = (datetime.date.fromisoformat(text) for text in (row["time"][:10], row["keepUntil"]))
        self.assertEqual((until.year * 12 + until.month) - (day.year * 12 + day.month), 30)
        self.assertTrue(until.day == day.day or (until + datetime.timedelta(days=1)).day == 1, (day, until))

    def test_export(self):
        """For an analyst: sealed with a password, by a program that everybody has."""
        self.need("7z")
        row = self.fill()["envelope"]
        password = "Dodici-Ceralacche"
        (self.folder / "password").write_text(password + "\n")
        archive = self.folder / "campione.zip"
        self.command("export", row["id"], "--to", archive, "--password-file", self.folder / "password")
        self.assertEqual(stat.S_IMODE(archive.stat().st_mode), 0o600)
        self.assertNotIn(EICAR, archive.read_bytes())
        self.assertEqual(self.opened(archive, password), {"README.txt", "message.eml", "record.json"})
        out = self.folder / "out"
        self.assertEqual((out / "message.eml").read_bytes(), self.octets["envelope"])
        record = json.loads((out / "record.json").read_text())
        self.assertIn(row["sha256"], json.dumps(record))
        self.assertIn(row["threat"], (out / "README.txt").read_text())
        listed = run([find("7z"), "l", "-slt", f"-p{password}", archive]).stdout.decode()
        self.assertEqual(listed.count("Method = AES-256"), 3, listed)
        self.assertNotEqual(self.unpack(archive, "falsa-falsa", self.folder / "wrong").returncode, 0)
        before = archive.read_bytes()
        self.command("export", row["id"], "--to", archive, "--password-file", self.folder / "password", code=EX_CANTCREAT)
        self.assertEqual(archive.read_bytes(), before)
        self.command("export", "nessuno@pec.alfa.test", "--to", self.folder / "x.zip", code=EX_NOINPUT)
        self.assertFalse((self.folder / "x.zip").exists())
        (self.folder / "short").write_text("corta\n")
        self.command("export", row["id"], "--to", self.folder / "x.zip", "--password-file", self.folder / "short", code=EX_DATAERR)
        self.assertFalse((self.folder / "x.zip").exists())

    def test_export_with_a_password_that_is_made(self):
        self.need("7z")
        row = self.fill()["submission"]
        passwords = []
        for number in range(2):
            archive = self.folder / f"campione-{number}.zip"
            said = self.rows("export", row["id"], "--to", archive)[0]
            self.assertEqual((said["id"], said["sha256"], said["file"]), (row["id"], row["sha256"], str(archive)))
            self.assertGreaterEqual(len(said["password"]), 16)
            self.assertEqual(len(self.opened(archive, said["password"], f"out-{number}")), 3)
            passwords.append(said["password"])
        self.assertNotEqual(*passwords)

    def unpack(self, archive: Path, password: str, out: Path):
        return run([find("7z"), "x", "-y", f"-p{password}", f"-o{out}", archive])

    def opened(self, archive: Path, password: str, name: str = "out") -> set[str]:
        done = self.unpack(archive, password, self.folder / name)
        self.assertEqual(done.returncode, 0, done.stdout.decode())
        return {path.name for path in (self.folder / name).iterdir()}

    def test_who_looked(self):
        """Whoever shows and exports is written down, before he has it."""
        row = self.fill()["submission"]
        self.command("show", row["id"])
        self.command("export", row["id"], "--to", self.folder / "campione.zip")
        access = (self.gateway.data / "quarantine" / "access.log").read_text().splitlines()
        for what in (f"show {row['id']}", f"export {row['id']} to {self.folder / 'campione.zip'}"):
            lines = [line for line in access if line.endswith(what)]
            self.assertEqual(len(lines), 1, access[-5:])
            self.assertRegex(lines[0], rf"^\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\S* {re.escape(OPERATOR)}(, SUDO_USER says \S+)?: ")

    def test_who_may_look(self):
        row = self.fill()["submission"]
        store = self.gateway.data / "quarantine"
        self.assertEqual(stat.S_IMODE(store.stat().st_mode), 0o700)
        if not is_root():
            self.skipTest("only root can try as somebody else")
        for path in (Path(row["path"]) / "message.eml", Path(row["path"]) / "record.json", store / "access.log"):
            done = subprocess.run(["cat", path], user=nobody(), group=os.stat(store).st_gid + 1, extra_groups=[], capture_output=True)
            self.assertNotEqual(done.returncode, 0, path)

    def test_damage(self):
        """An entry that is not as it was put away is told, and not exported; the others are not touched by it."""
        row = self.fill()["ordinary"]
        message = Path(row["path"]) / "message.eml"
        message.chmod(0o600)
        octets = bytearray(message.read_bytes())
        octets[-3] ^= 1
        message.write_bytes(octets)
        message.chmod(0o400)
        self.assertIn("DAMAGED", self.command("show", row["id"], code=EX_DATAERR))
        self.command("export", row["id"], "--to", self.folder / "x.zip", code=EX_DATAERR)
        self.assertFalse((self.folder / "x.zip").exists())
        octets[-3] ^= 1
        message.chmod(0o600)
        message.write_bytes(octets)
        message.chmod(0o400)
        self.assertIn("as they were put away", self.command("show", row["id"]))


class Purge(QuarantineTest):
    """In a gateway of its own: what it removes is gone."""

    def test_only_what_was_kept_long_enough(self):
        self.need("faketime")
        rows = self.fill()
        until = max(row["keepUntil"] for row in rows.values())
        after = str(datetime.date.fromisoformat(until) + datetime.timedelta(days=1))
        ids = {row["id"] for row in quarantine(self.gateway)}
        for at in (None, f"{until} 12:00:00"):
            for arguments in ((), ("--yes",)):
                said = self.command("purge", *arguments, at=at)
                self.assertIn("0 messages", said)
                self.assertEqual({row["id"] for row in quarantine(self.gateway)}, ids, f"removed too early ({at})")
        trial = self.command("purge", at=f"{after} 12:00:00")
        self.assertEqual({row["id"] for row in quarantine(self.gateway)}, ids, "removed without --yes")
        for each in ids:
            self.assertIn(f"would remove {each}", trial)
        said = self.command("purge", "--yes", at=f"{after} 12:00:00")
        for each in ids:
            self.assertIn(f"removed {each}", said)
        self.assertEqual(quarantine(self.gateway), [])
        self.assertEqual([path for path in (self.gateway.data / "quarantine").rglob("message.eml")], [])
        access = (self.gateway.data / "quarantine" / "access.log").read_text()
        for each in ids:
            self.assertIn(f"purge {each}, kept until {until}", access)
        # The certified log keeps its rows.
        self.assertTrue(self.gateway.events(rows["submission"]["pecID"]))
        # It goes on taking.
        self.assertEqual(len(self.fill()), 3)
