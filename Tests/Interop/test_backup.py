"""Backup while mail comes, backups that are killed, damaged or too large, and what a restored gateway does and does not do."""

import json
import os
import shutil
import signal
import sqlite3
import stat
import threading
import urllib.request
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

from interop.base import end, executable, poll, run, spawn, tail
from interop.saving import EX_CANTCREAT, EX_CONFIG, EX_DATAERR, EX_IOERR, EX_NOINPUT, EX_TEMPFAIL, EX_UNAVAILABLE, EX_USAGE, GAMMA, GAMMA_TOO, Saving

OTHER = "ordinario@example.test"
NOBODY = 65534
#: The tables of schema 4.
TABLES_OF_4 = set(
    (
        "day_counts deadlines events grdb_migrations holds log_days mailbox_counts purges queue queue_holds queue_recipients "
        "reception_recipients receptions recipients request_history requests seals term_parts term_runs term_sets transactions"
    ).split()
)


class Backup(Saving):
    def _notices(self) -> set[str]:
        """PEC ids of which the log says that silence was told."""
        return {event["pecID"] for event in self.gateway.events() if event["event"].startswith("mancata-consegna-")}

    def _pec_ids(self, sent: list) -> set[str]:
        known = {event["msgid"]: event["pecID"] for event in self.gateway.events() if event["event"] == "accettazione"}
        return {known[each.message_id] for each in sent}

    # Tests.

    def test_disaster_under_load(self):
        """What was answered 250 before the backup is there, waits, and goes out once when it is released; nobody is told of silence."""
        gateway = self._start(lambda yaml: yaml.set("{ port: 0 }", "metrics"), deadlines="{ firstSeconds: 25, secondSeconds: 50 }")
        # Taken by the next hop, which never says more: their senders are to be told, were it not for the restore.
        self.opens = True
        silent = self._submit(3, GAMMA_TOO)
        self._each_once(silent)
        poll(lambda: not [row for row in gateway.queue() if row["kind"] == "busta-trasporto" or GAMMA_TOO in row["recipients"]], 30, "the sink took them")
        self.opens = False
        before = self._submit(20, GAMMA, size=40_000) + self._submit(5, GAMMA, OTHER)
        self._say("seal", "now")
        over = threading.Event()
        during: list = []

        def load() -> None:
            while not over.is_set():
                during.extend(self._submit(5, GAMMA))

        senders = [threading.Thread(target=load) for _ in range(2)]
        for sender in senders:
            sender.start()
        poll(lambda: len(during) > 10, 30, "some load")
        backup = self._backup("one")
        self.assertIn("the gateway runs on", self.words)
        count = len(during)
        poll(lambda: len(during) > count, 30, "the load goes on")
        over.set()
        for sender in senders:
            sender.join(60)
        self.assertEqual(stat.S_IMODE(backup.stat().st_mode), 0o700)
        for path in backup.rglob("*"):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path)
        self.assertFalse([path for path in backup.rglob("*") if "signer" in path.name and b"PRIVATE KEY" in path.read_bytes()])
        self._say("backup", "verify", backup, configured=False)
        manifest = json.loads((backup / "backup.json").read_text())
        self.assertGreaterEqual(manifest["queued"], 25)
        old = self._pec_ids(silent) | self._pec_ids(before)

        self._disaster()
        self.opens = True
        words = self._say("restore", "--from", backup)
        self.assertIn("are held", words)
        self.assertIn("no notice of silence", words)
        gateway.start()
        status = json.loads(self._status(1))
        self.assertIn("restored", [alarm["name"] for alarm in status["alarms"]])
        self.assertEqual(status["restored"]["held"], manifest["queued"])
        # Those who watch are told, and mail is taken all the same.
        self.assertIn('ceralacca_alarm{alarm="restored"} 1', self._fetch(status, "/metrics"))
        self.assertEqual(self._fetch(status, "/ready"), "ready\n")
        self.assertEqual(stat.S_IMODE(self.data.stat().st_mode) & 0o077, 0)
        rows = {row["id"]: row for row in gateway.queue()}
        self.assertEqual(len(rows), manifest["queued"])
        self.assertTrue(all(row.get("heldWith", "").startswith("what was restored") for row in rows.values()), rows)
        self.assertIn("what was restored", self._say("queue", "list", "--limit", "1"))
        # The ledger counts in seconds: what comes in that of the backup is taken for what was restored.
        held = datetime.fromisoformat(next(iter(rows.values()))["heldSince"])
        poll(lambda: datetime.now(held.tzinfo) >= held + timedelta(seconds=1), 10, "another second than the backup's")
        fresh = self._submit(3, GAMMA_TOO)
        self._each_once(fresh)
        new = self._pec_ids(fresh)
        # Deadlines of what is new run; those of what is old have come long before.
        poll(lambda: new <= self._notices(), 90, "notices about what is new")
        self.assertEqual(self._notices() & old, set(), "a notice that may be untrue")
        self.assertEqual(set(self._arrivals()) & {each.message_id for each in before}, set(), "something held went out")
        self.assertIn("messages of before the restore wait", self._say("queue", "notices"))

        # One, a domain, the rest.
        rows = [row for row in gateway.queue() if row["recipients"] == [GAMMA] and "heldWith" in row]
        self._say("queue", "release", rows[0]["id"])
        poll(lambda: rows[0]["id"] not in {row["id"] for row in gateway.queue()}, 30, "the one that was released")
        self.assertIn("is not held", self._say("queue", "release", "--domain", "no.example", code=EX_NOINPUT))
        self.assertEqual(sum(self._arrivals()[each.message_id] for each in before), 1)
        self._say("queue", "release", "--domain", "pec.gamma.test")
        self._each_once(before[:20])
        self._say("queue", "release", "--restored")
        poll(lambda: not gateway.queue(), 60, lambda: f"an empty queue: {gateway.queue()[:2]}")
        taken = Counter(
            (one.stored.header.get("X-Riferimento-Message-ID"), recipient) for one in self.sink.taken for recipient in one.recipients
        )
        self.assertEqual(
            {key: taken[key] for key in ((each.message_id, recipient) for each in before for recipient in each.recipients)},
            {(each.message_id, recipient): 1 for each in before for recipient in each.recipients},
        )
        self._say("queue", "release", "--restored", code=EX_NOINPUT)

        # The notices are a question of their own.
        self._say("queue", "notices", "--drop", code=EX_USAGE)
        self._say("queue", "notices", "--drop", "--yes")
        self.assertIn("No notices wait", self._say("queue", "notices"))
        self._submit(1, GAMMA_TOO)
        self.assertEqual(self._notices() & old, set())
        poll(lambda: 'ceralacca_alarm{alarm="restored"} 0' in self._fetch(status, "/metrics"), 30, "the end of the alarm")
        self.assertNotIn("restored", [alarm["name"] for alarm in json.loads(self._status(None))["alarms"]])
        restored = [event for event in gateway.events() if event["event"] == "ripristino"]
        self.assertEqual(len(restored), 1)
        self.assertEqual(restored[0]["number"], manifest["lastRow"] + 1)
        self.assertIn(manifest["madeAt"], restored[0]["detail"])
        self._say("seal", "now")
        self._say("log", "verify")
        self._say("seal", "verify")

    def _fetch(self, status: dict, path: str) -> str:
        with urllib.request.urlopen(f"http://{status['metricsAddress']}{path}", timeout=20) as answer:
            return answer.read().decode()

    def _status(self, code: int | None) -> str:
        done = run([executable(), "status", "--json", "--config", self.gateway.configuration])
        if code is not None:
            self.assertIn(done.returncode, (1, 2), done.stdout)
        return done.stdout.decode()

    def test_notices_go_out_when_it_is_said(self):
        self._start(deadlines="{ firstSeconds: 8, secondSeconds: 3600 }")
        self.opens = True
        sent = self._submit(2, GAMMA_TOO)
        self._each_once(sent)
        self.gateway.settled()
        old = self._pec_ids(sent)
        backup = self._backup("one")
        self._disaster()
        self._say("restore", "--from", backup)
        self.gateway.start()
        fresh = self._submit(1, GAMMA_TOO)
        new = self._pec_ids(fresh)
        poll(lambda: new <= self._notices(), 60, "notices about what is new")
        self.assertEqual(self._notices(), new)
        self.assertIn("queue notices", self._say("queue", "release", "--all", code=EX_NOINPUT))
        self._say("queue", "notices", "--send", "--yes")
        poll(lambda: old <= self._notices(), 30, "notices about what is old")

    def test_killed_backup(self):
        """A backup that dies leaves nothing that is taken for one, and its hold on the spool ends with it."""
        gateway = self._start()
        sent = self._submit(30, GAMMA, size=300_000)
        spool = self.data / "spool"
        files = set(os.listdir(spool))
        # Something that takes a while, behind the ledger and the spool.
        with open(self.data / "filler", "wb") as filler:
            filler.truncate(2 << 30)
        target = self.folder / "one"
        child = spawn([executable(), "backup", "--to", target, "--config", gateway.configuration], self.folder / "log")
        poll(lambda: (self.folder / "one.partial" / "data" / "filler").exists(), 60, lambda: f"the filler:\n{tail(self.folder / 'log')}", every=0.005)
        child.send_signal(signal.SIGSTOP)
        self.assertFalse(target.exists())
        # All of it is delivered meanwhile, and no segment goes.
        self.opens = True
        self._each_once(sent)
        gateway.settled()
        self.assertLessEqual(files, set(os.listdir(spool)), "a segment went while it was held")
        child.kill()
        child.wait(20)
        poll(lambda: len(files & set(os.listdir(spool))) < len(files), 30, "segments go again")
        self.assertFalse(target.exists())
        self._say("restore", "--from", f"{target}.partial", code=EX_NOINPUT)
        self._say("backup", "verify", f"{target}.partial", configured=False, code=EX_NOINPUT)
        (self.data / "filler").unlink()
        self._say("backup", "verify", self._backup("one"), configured=False)
        self.assertFalse((self.folder / "one.partial").exists())

    def test_gateway_that_ends_meanwhile(self):
        self._start()
        self._submit(3, GAMMA)
        with open(self.data / "filler", "wb") as filler:
            filler.truncate(2 << 30)
        child = spawn([executable(), "backup", "--to", self.folder / "one", "--config", self.gateway.configuration], self.folder / "log")
        poll(lambda: (self.folder / "one.partial" / "data" / "filler").exists(), 60, lambda: tail(self.folder / "log"), every=0.005)
        self.assertEqual(self.gateway.stop(), 0)
        self.assertEqual(child.wait(60), EX_TEMPFAIL, tail(self.folder / "log"))
        self.assertEqual([path.name for path in self.folder.iterdir()], ["log"])
        end(child)

    def test_damage_is_named(self):
        self._start()
        self._submit(5, GAMMA, size=100_000)
        self._say("seal", "now")
        backup = self._backup("one")
        for path in [next((backup / "data" / "spool").iterdir()), backup / "data" / "ledger.sqlite", next((backup / "data" / "seals").rglob("manifest*"))]:
            whole = path.read_bytes()
            spoiled = bytearray(whole)
            spoiled[len(spoiled) // 2] ^= 1
            path.chmod(0o600)
            path.write_bytes(spoiled)
            name = str(path.relative_to(backup))
            self.assertIn(f"{name} is not what was copied", self._say("backup", "verify", backup, configured=False, code=EX_DATAERR))
            path.unlink()
            self.assertIn(f"{name} is missing", self._say("restore", "--from", backup, code=EX_DATAERR))
            path.write_bytes(whole)
        self._say("backup", "verify", backup, configured=False)

    def test_refusals(self):
        gateway = self._start()
        self._submit(2, GAMMA)
        backup = self._backup("one")
        self.assertIn("a gateway runs", self._say("restore", "--from", backup, code=EX_CANTCREAT))
        self._backup("one", code=EX_CANTCREAT)
        self._say("backup", "--to", self.data / "inside", code=EX_USAGE)
        self._backup("nowhere/one", code=EX_CANTCREAT)
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"one"})
        with open(self.data / "filler", "wb") as filler:
            filler.truncate(8 << 40)
        self._backup("two", code=EX_IOERR)
        self.assertIn("MiB are free", self.words)
        (self.data / "filler").unlink()
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"one"})
        gateway.stop()
        self.assertIn("is not empty", self._say("restore", "--from", backup, code=EX_CANTCREAT))
        self._say("restore", "--from", self.folder / "none", code=EX_NOINPUT)
        # A restore that did not end keeps every gateway away, and is begun anew.
        shutil.rmtree(self.data)
        (self.data / "restoring" / "spool").mkdir(parents=True)
        (self.data / "seals").mkdir()
        done = run([executable(), "serve", "--config", gateway.configuration])
        self.assertEqual(done.returncode, EX_UNAVAILABLE)
        self.assertIn(b"run `ceralacca restore` again", done.stderr)
        self.assertFalse((self.data / "ledger.sqlite").exists())
        self.assertIn("begun anew", self._say("restore", "--from", backup))
        self.opens = True
        gateway.start()
        self._say("queue", "release", "--all")
        gateway.settled()

    def test_killed_restore(self):
        """No gateway begins on what is half there; the restore is begun again, and then everything is."""
        gateway = self._start()
        sent = self._submit(3, GAMMA)
        gateway.stop()
        with open(self.data / "filler", "wb") as filler:
            filler.truncate(256 << 20)
        backup = self._backup("one")
        self.data.rename(self.folder / "lost")
        child = spawn([executable(), "restore", "--from", backup, "--config", gateway.configuration], self.folder / "log")
        poll((self.data / "restoring" / "filler").exists, 60, lambda: tail(self.folder / "log"), every=0.005)
        child.kill()
        child.wait(20)
        self.assertTrue((self.data / "restoring").exists(), "it had ended already")
        self.assertEqual(run([executable(), "serve", "--config", gateway.configuration]).returncode, EX_UNAVAILABLE)
        self._say("restore", "--from", backup)
        self.opens = True
        gateway.start()
        self.assertEqual(len(gateway.queue()), len(sent))
        self._say("queue", "release", "--restored")
        self._each_once(sent)

    def test_all_is_lost_but_the_backup(self):
        """Made of a stopped gateway, with the keys: configuration and users come back too."""
        gateway = self._start()
        sent = self._submit(3, GAMMA)
        gateway.stop()
        backup = self._backup("one", "--with-keys")
        self.assertIn("PRIVATE KEYS", self.words)
        self.assertIn("no gateway runs", self.words)
        kept = json.loads((backup / "backup.json").read_text())
        origins = {Path(file["origin"]): file for file in kept["files"] if "origin" in file}
        self.assertIn(gateway.configuration, origins)
        for path in origins:
            path.rename(f"{path}.lost")
        self.data.rename(self.folder / "lost")
        if os.geteuid() == 0:
            # Whose the folder is, all in it is.
            self.data.mkdir()
            os.chown(self.data, NOBODY, NOBODY)
        # What lies elsewhere is for the operator to put back.
        own = [path for path in origins if gateway.configuration.parent in path.parents]
        others = [path for path in origins if path not in own]
        self.assertTrue(own and others)
        words = self._say("restore", "--from", backup, code=EX_CONFIG)
        for path in others:
            copy = backup / origins[path]["path"]
            self.assertIn(f"copy {copy} there", words)
            self.assertFalse(path.exists(), path)
            shutil.copy(copy, path)
            path.chmod(origins[path]["mode"])
        self._say("restore", "--from", backup)
        if os.geteuid() == 0:
            owners = {path: (path.stat().st_uid, path.stat().st_gid) for path in [self.data, *self.data.rglob("*")]}
            self.assertEqual(set(owners.values()), {(NOBODY, NOBODY)}, owners)
        for path, file in origins.items():
            self.assertEqual(path.read_bytes(), Path(f"{path}.lost").read_bytes())
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), file["mode"])
        self.opens = True
        gateway.start()
        self._say("queue", "release", "--restored")
        self._each_once(sent)

    def _told(self, *arguments, code: int = 0, configured: bool = True) -> dict | None:
        """The one object that a command prints for machines; None where it prints nothing."""
        named = ["--config", self.gateway.configuration] if configured else []
        done = run([executable(), *arguments, "--json", *named], 120)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stderr.decode()}")
        self.words = done.stderr.decode()
        return json.loads(done.stdout) if done.stdout else None

    def test_what_machines_read(self):
        gateway = self._start()
        self._submit(3, GAMMA)
        backup = self.folder / "one"
        made = self._told("backup", "--to", backup)
        manifest = json.loads((backup / "backup.json").read_text())
        for key in ("madeAt", "lastRow", "lastSeal", "queued", "hasKeys", "leftOut", "damaged"):
            self.assertEqual(made[key], manifest[key], key)
        size = sum(file["bytes"] for file in manifest["files"])
        self.assertEqual((made["folder"], made["files"], made["bytes"]), (str(backup), len(manifest["files"]), size))
        found = self._told("backup", "verify", backup, configured=False)
        self.assertEqual((found["holds"], found["faults"], found["remarks"]), (True, [], []))
        self.assertEqual((found["lastRow"], found["queued"], found["bytes"]), (manifest["lastRow"], manifest["queued"], size))
        # What is wrong is in the object, and the exit code says that something is.
        spoiled = next((backup / "data" / "spool").iterdir())
        whole = spoiled.read_bytes()
        spoiled.unlink()
        found = self._told("backup", "verify", backup, configured=False, code=EX_DATAERR)
        self.assertEqual((found["holds"], found["faults"]), (False, [f"{spoiled.relative_to(backup)} is missing"]))
        spoiled.write_bytes(whole)
        # What cannot be done at all has words alone, as everywhere.
        self.assertIsNone(self._told("backup", "--to", backup, code=EX_CANTCREAT))
        self.assertIn("is there already", self.words)
        self.assertIsNone(self._told("restore", "--from", backup, code=EX_CANTCREAT))
        self.assertIn("a gateway runs", self.words)
        self._disaster()
        gateway.configuration.rename(self.folder / "configuration")
        restored = self._told("restore", "--from", backup)
        self.assertEqual((restored["folder"], restored["dataDirectory"]), (str(backup), str(self.data)))
        self.assertEqual((restored["madeAt"], restored["lastRow"]), (manifest["madeAt"], manifest["lastRow"]))
        self.assertEqual((restored["held"], restored["putBack"]), (manifest["queued"], [str(gateway.configuration)]))
        self.assertGreater(restored["notices"], 0)
        self.opens = True
        gateway.start()
        self.assertEqual(len(gateway.queue()), restored["held"])

    def test_links_to_an_earlier_backup(self):
        self._start()
        self._submit(3, GAMMA)
        self._say("seal", "now")
        first = self._backup("one")
        self._submit(3, GAMMA)
        self._say("seal", "now")
        second = self._backup("two", "--since", first)
        seal = next((first / "data" / "seals").iterdir()).name
        sealed = [path for path in (first / "data" / "seals" / seal).iterdir() if path.is_file()]
        self.assertGreater(len(sealed), 3)
        for path in sealed:
            self.assertEqual(path.stat().st_ino, (second / "data" / "seals" / seal / path.name).stat().st_ino, path.name)
        self.assertNotEqual((first / "data" / "ledger.sqlite").stat().st_ino, (second / "data" / "ledger.sqlite").stat().st_ino)
        # One that is not what it was is not lent.
        spoiled = max(sealed, key=lambda path: path.stat().st_size)
        octets = bytearray(spoiled.read_bytes())
        octets[len(octets) // 2] ^= 1
        mode = stat.S_IMODE(spoiled.stat().st_mode)
        whole = (self.data / "seals" / seal / spoiled.name).read_bytes()
        copy = self.folder / "copy"
        copy.write_bytes(octets)
        copy.chmod(mode)
        copy.rename(spoiled)
        third = self._backup("three", "--since", first)
        self.assertEqual((third / "data" / "seals" / seal / spoiled.name).read_bytes(), whole)
        self._say("backup", "verify", third, configured=False)
        shutil.rmtree(first)
        self._say("backup", "verify", second, configured=False)

    def test_ledger_of_a_newer_program(self):
        """Neither a start nor a restart goes on with it, and who runs goes on."""
        gateway = self._start()
        ledger = sqlite3.connect(self.data / "ledger.sqlite")
        known = ledger.execute("PRAGMA user_version").fetchone()[0]
        ledger.execute("PRAGMA user_version = 99")
        ledger.commit()
        words = self._say("restart", code=EX_TEMPFAIL)
        self.assertIn("this process goes on", words)
        self.assertIn(f"has schema 99, and this program knows up to {known}", words)
        self._submit(1, GAMMA)
        gateway.stop()
        done = run([executable(), "serve", "--config", gateway.configuration])
        self.assertEqual(done.returncode, EX_UNAVAILABLE)
        self.assertIn(b"use the newer program", done.stderr)
        self._backup("one", code=EX_IOERR)
        self.assertIn("schema 99", self.words)
        ledger.execute(f"PRAGMA user_version = {known}")
        ledger.commit()
        ledger.close()
        gateway.start()

    def _make_old(self) -> int:
        """Has the ledger be one of schema 4, as the program before holders' choices left it. Returns the schema that it had."""
        ledger = sqlite3.connect(self.data / "ledger.sqlite")
        known = ledger.execute("PRAGMA user_version").fetchone()[0]
        tables = {row[0] for row in ledger.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")}
        for table in tables - TABLES_OF_4:
            ledger.execute(f"DROP TABLE {table}")
        self.assertLessEqual(TABLES_OF_4, tables)
        ledger.execute("DELETE FROM grdb_migrations WHERE CAST(identifier AS INTEGER) > 4")
        ledger.execute("PRAGMA user_version = 4")
        ledger.commit()
        ledger.close()
        return known

    def test_ledger_of_an_older_program(self):
        """It is copied and brought forward, and its queue goes on; its backup is one for a newer program too."""
        gateway = self._start()
        sent = self._submit(3, GAMMA)
        gateway.stop()
        known = self._make_old()
        backup = self._backup("old")
        self.assertEqual(json.loads((backup / "backup.json").read_text())["ledgerSchema"], 4)
        self.assertIn("has schema 4", self._say("backup", "verify", backup, configured=False))
        self.opens = True
        gateway.start()
        self._each_once(sent)
        self.assertIn("the ledger has schema 4", gateway.log.read_text(errors="replace"))
        kept = self.data / f"ledger.sqlite.before-{known}"
        self.assertEqual(stat.S_IMODE(kept.stat().st_mode), 0o600)
        copy = sqlite3.connect(kept)
        self.assertEqual(copy.execute("PRAGMA user_version").fetchone()[0], 4)
        waiting = copy.execute("SELECT count(*) FROM queue_recipients WHERE address = ?", [GAMMA]).fetchone()[0]
        self.assertEqual(waiting, 3)
        copy.close()
        self._say("log", "verify")
        # Back, to what was before: only by the backup. Here the same program restores it, and brings it forward.
        self.opens = False
        gateway.stop()
        self.data.rename(self.folder / "newer")
        self._say("restore", "--from", backup)
        self.assertFalse(list(self.data.glob("*.before-*")))
        gateway.start()
        self.assertEqual({row["heldWith"][:17] for row in gateway.queue()}, {"what was restored"})
        self._say("log", "verify")
