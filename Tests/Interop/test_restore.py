"""What a restore leaves alone, whom it keeps away, and what of a backup is put back where."""

import json
import os
import re
import shutil
import signal
import sqlite3
import stat
import unittest
from pathlib import Path

from interop.base import executable, poll, spawn, tail
from interop.saving import EX_CANTCREAT, EX_DATAERR, EX_IOERR, EX_UNAVAILABLE, GAMMA, Saving

NOBODY = 65534


class Restore(Saving):
    def _made(self, *arguments) -> Path:
        """A backup of a gateway that has stopped, with two messages in its queue."""
        self._start()
        self._submit(2, GAMMA)
        self.gateway.stop()
        return self._backup("one", *arguments)

    def test_what_is_not_the_backups_stays(self):
        """A restore that is begun again removes what the one before has put there, and nothing else."""
        backup = self._made()
        shutil.rmtree(self.data)
        mail = self.data / "mail" / "new" / "1"
        for path in (mail, self.data / "restoring" / "half", self.data / "spool" / "half"):
            path.parent.mkdir(parents=True)
            path.write_text("something")
        # Of a gateway that was started beside: what it has taken is in it.
        ledger = self.data / "ledger.sqlite"
        for path in (ledger, ledger.with_name("ledger.sqlite-wal")):
            path.write_text("somebody's")
            self.assertIn("Nothing was touched", self._say("restore", "--from", backup, code=EX_CANTCREAT))
            self.assertEqual((path.read_text(), (self.data / "restoring" / "half").exists()), ("somebody's", True))
            path.unlink()
        self.assertIn("mail is not the backup's", self._say("restore", "--from", backup))
        self.assertEqual(mail.read_text(), "something")
        self.assertFalse((self.data / "spool" / "half").exists() or (self.data / "restoring").exists())
        self.gateway.start()

    def test_two_at_once(self):
        backup = self._made()
        self.data.rename(self.folder / "lost")
        child = spawn([executable(), "restore", "--from", backup, "--config", self.gateway.configuration], self.folder / "log")
        try:
            poll((self.data / "restoring").exists, 60, lambda: tail(self.folder / "log"), every=0.001)
            child.send_signal(signal.SIGSTOP)
            if (self.data / "restoring").exists():
                self.assertIn("another restore", self._say("restore", "--from", backup, code=EX_CANTCREAT))
        finally:
            child.send_signal(signal.SIGCONT)
        self.assertEqual(child.wait(60), 0, tail(self.folder / "log"))
        self.gateway.start()

    def test_gateway_that_starts_beside(self):
        """One that looked for the mark before there was one looks again before it touches the ledger."""
        self._start()
        self.gateway.stop()
        ledger = self.data / "ledger.sqlite"
        writer = sqlite3.connect(ledger, isolation_level=None)
        writer.execute("PRAGMA journal_mode = DELETE")
        # Before the lock, which goes when this process closes the file a second time.
        whole = ledger.read_bytes()
        writer.execute("BEGIN EXCLUSIVE")
        child = spawn([executable(), "serve", "--config", self.gateway.configuration], self.folder / "log")
        process = Path(f"/proc/{child.pid}")

        def waits() -> bool:
            # Not what it has from here, before it is itself.
            if b"serve" not in (process / "cmdline").read_bytes().split(b"\0"):
                return False
            return any(os.path.realpath(each) == str(ledger) for each in (process / "fd").iterdir())

        # It looks for the mark, and then waits for the ledger to know its schema.
        poll(waits, 30, "its first look", every=0.001)
        (self.data / "restoring").mkdir()
        writer.close()
        self.assertEqual(child.wait(60), EX_UNAVAILABLE, tail(self.folder / "log"))
        self.assertIn("run `ceralacca restore` again", tail(self.folder / "log"))
        self.assertEqual(ledger.read_bytes(), whole)

    def test_data_directory_that_is_a_mount_point(self):
        """What a file system keeps at its top is in no backup, and in the way of no restore; backups of before may have it."""
        self._start()
        self.gateway.stop()
        own = self.data / "lost+found"
        own.mkdir(mode=0o700)
        (own / "#12").write_text("an inode that was found")
        backup = self._backup("one")
        listed = backup / "backup.json"
        manifest = json.loads(listed.read_text())
        self.assertEqual([each["path"] for each in manifest["folders"] + manifest["files"] if "lost+found" in each["path"]], [])
        (backup / "data" / "lost+found").mkdir()
        manifest["folders"].append({"path": "data/lost+found", "mode": 0o700})
        listed.write_text(json.dumps(manifest))
        for each in self.data.iterdir():
            if each != own:
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        self._say("restore", "--from", backup)
        self.assertEqual([each.name for each in own.iterdir()], ["#12"])
        self.gateway.start()

    def test_keys_below_the_data_directory(self):
        """They are where others are, and no more in a backup without keys than any other; a link to one is the key, too."""
        self._start()
        self.gateway.stop()
        text = self.gateway.configuration.read_text()
        keys = []
        for number, found in enumerate(sorted(set(re.findall(r'[^ "\n]+\.key\b', text)))):
            key = self.gateway.configuration.parent / found
            moved = self.data / "keys" / f"{number}.key"
            moved.parent.mkdir(exist_ok=True)
            shutil.copy(key, moved)
            text = text.replace(found, str(moved))
            keys.append(moved)
        self.assertTrue(keys)
        # One of them is named by a link from elsewhere.
        link = self.folder / "signer.key"
        link.symlink_to(keys[0])
        text = text.replace(str(keys[0]), str(link))
        self.gateway.configuration.write_text(text)

        def secret(backup: Path) -> list[str]:
            return [path.name for path in backup.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]

        backup = self._backup("one")
        self.assertEqual(secret(backup), [])
        for key in [link, *keys[1:]]:
            self.assertIn(f"{key}, which is secret", self.words)
        self.assertGreaterEqual(len(secret(self._backup("two", "--with-keys"))), len(keys))

    @unittest.skipUnless(os.geteuid() == 0, "only root can be led astray")
    def test_links_of_the_services_user(self):
        """Root follows none of them, in a restore or in a backup; its own it follows in a backup."""
        self._start()
        self._submit(1, GAMMA)
        self.gateway.stop()
        outside = self.folder / "outside"
        outside.mkdir(mode=0o755)
        (outside / "file").write_text("of root's")
        for name in ("planted", "roots"):
            (self.data / name).symlink_to(outside)
        os.chown(self.data / "planted", NOBODY, NOBODY, follow_symlinks=False)
        backup = self._backup("one")
        self.assertIn("planted, a link that is not root's", self.words)
        self.assertFalse((backup / "data" / "planted").exists())
        self.assertEqual((backup / "data" / "roots" / "file").read_text(), "of root's")
        self.data.rename(self.folder / "lost")

        (self.data / "restoring").mkdir(parents=True)
        for path in (self.data / "spool", self.data / "restoring" / "link"):
            path.symlink_to(outside)
        for path in (self.data, self.data / "restoring"):
            os.chown(path, NOBODY, NOBODY)
        self._say("restore", "--from", backup)
        self.assertEqual((stat.S_IMODE(outside.stat().st_mode), outside.stat().st_uid), (0o755, 0))
        self.assertEqual([(path.name, path.stat().st_uid) for path in outside.iterdir()], [("file", 0)])
        self._all_is_nobodys()

        # While a restore is at work the folder is root's; one that was killed has left word of whose it was.
        shutil.rmtree(self.data)
        (self.data / "restoring").mkdir(parents=True)
        self.data.chmod(0o700)
        os.chown(self.data / "restoring", NOBODY, NOBODY)
        self._say("restore", "--from", backup)
        self._all_is_nobodys()
        # Root may make a backup before the first start: its lock is the service's to take.
        self._backup("two")
        self.assertTrue((self.data / "spool" / "spool.lock").exists())
        self._all_is_nobodys()

    def _all_is_nobodys(self) -> None:
        owners = {path: (path.lstat().st_uid, path.lstat().st_gid) for path in [self.data, *self.data.rglob("*")]}
        self.assertEqual(set(owners.values()), {(NOBODY, NOBODY)}, owners)
        self.assertFalse(self.data.joinpath("restoring").exists())

    def test_configuration_comes_back_last_and_nowhere_else(self):
        """A backup says where its files were, and a restore does not believe all of it; one that fails on the way is begun again."""
        backup = self._made("--with-keys")
        listed = backup / "backup.json"
        manifest = json.loads(listed.read_text())
        own = self.gateway.configuration.parent
        named = {Path(file["origin"]): file for file in manifest["files"] if "origin" in file}
        key = next(path for path in named if path.parent == own and b"PRIVATE KEY" in path.read_bytes())
        whole = key.read_bytes()
        text = self.gateway.configuration.read_bytes()
        # Somebody has changed the list: a file that is to run as root, and one that leaves the folder.
        named[key]["mode"] = 0o6777
        stolen = self.folder / "cron"
        for number, origin in enumerate((str(stolen), f"{own}/../{self.folder.name}-out", f"{own}/link/out")):
            manifest["files"].append({**named[key], "path": f"configuration/9{number}-out", "origin": origin})
            shutil.copy(backup / named[key]["path"], backup / f"configuration/9{number}-out")
        listed.write_text(json.dumps(manifest))
        (own / "link").symlink_to(self.folder)
        self.data.rename(self.folder / "lost")
        key.unlink()
        self.gateway.configuration.unlink()
        # It cannot go on: something has the name of what is not whole yet.
        half = key.with_name(key.name + ".restoring")
        (half / "inside").mkdir(parents=True)
        self._say("restore", "--from", backup, code=EX_IOERR)
        self.assertFalse(self.gateway.configuration.exists())
        shutil.rmtree(half)
        half.write_bytes(b"half of a k")
        words = self._say("restore", "--from", backup)
        self.assertIn(f"{stolen} is not in the configuration's folder", words)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["lost", "one"])
        self.assertEqual((key.read_bytes(), stat.S_IMODE(key.stat().st_mode)), (whole, 0o644))
        self.assertEqual(self.gateway.configuration.read_bytes(), text)
        self.assertFalse(half.exists() or (own.parent / f"{self.folder.name}-out").exists())
        self.gateway.start()

    def test_log_that_was_not_whole(self):
        """What was wrong before is said when the backup is made, and keeps nothing from being restored; what came later does."""
        self._start()
        self._submit(2, GAMMA)
        self.gateway.stop()
        ledger = sqlite3.connect(self.data / "ledger.sqlite", isolation_level=None)
        row = ledger.execute("SELECT number FROM events ORDER BY number LIMIT 1 OFFSET 2").fetchone()[0]
        guards = ledger.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'events'").fetchall()
        for name, _ in guards:
            ledger.execute(f"DROP TRIGGER {name}")
        ledger.execute("UPDATE events SET at = at + 1000000 WHERE number = ?", [row])
        for _, text in guards:
            ledger.execute(text)
        ledger.close()
        backup = self._backup("one")
        self.assertIn("NOT AS IT SHOULD BE", self.words)
        faults = json.loads((backup / "backup.json").read_text())["faults"]
        self.assertTrue(faults)
        words = self._say("backup", "verify", backup, configured=False)
        self.assertIn(f"it was so before the backup: {faults[0]}", words)
        self.data.rename(self.folder / "lost")
        self._say("restore", "--from", backup)
        self.gateway.start()
        # The same fault where none was noted is one of the backup.
        listed = backup / "backup.json"
        listed.write_text(json.dumps({**json.loads(listed.read_text()), "faults": []}))
        self._say("backup", "verify", backup, configured=False, code=EX_DATAERR)

    def test_seal_that_is_renewed_meanwhile(self):
        """What comes in place of a file of a seal that went while it was to be copied is in the backup."""
        self._start()
        self._submit(1, GAMMA)
        self._say("seal", "now")
        self.gateway.stop()
        seal = next((self.data / "seals").iterdir())
        old = seal / "evidence-1.er"
        old.write_text("a record")
        # It takes a while, and its name comes before the seals'.
        with open(self.data / "filler", "wb") as filler:
            filler.truncate(1 << 30)
        backup = self.folder / "one"
        child = spawn([executable(), "backup", "--to", backup, "--config", self.gateway.configuration], self.folder / "log")
        poll((self.folder / "one.partial" / "data" / "filler").exists, 60, lambda: tail(self.folder / "log"), every=0.001)
        child.send_signal(signal.SIGSTOP)
        self.assertFalse((self.folder / "one.partial" / "data" / "seals" / seal.name / old.name).exists())
        old.rename(seal / "evidence-2.er")
        child.send_signal(signal.SIGCONT)
        self.assertEqual(child.wait(120), 0, tail(self.folder / "log"))
        self.assertEqual((backup / "data" / "seals" / seal.name / "evidence-2.er").read_text(), "a record")
        self._say("backup", "verify", backup, configured=False)
