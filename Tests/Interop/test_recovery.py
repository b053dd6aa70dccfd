"""What fails around the gateway, what it answers meanwhile, what it calls for, and that it goes on by itself."""

import errno
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from interop import compose
from interop.base import executable, new_folder, poll, run, spawn
from interop.case import InteropTest
from interop.counterpart import transaction
from interop.lab import ANNA, Gateway
from interop.sink import Sink
from interop.wire import Wire

#: Megabytes of the small disk, and how many of them must be free for mail to be taken.
DISK, LEAST = 160, 40

#: A program that holds a ledger's lock until it is told to end.
LOCK = """import sqlite3, sys
ledger = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
ledger.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


class SmallDisk(Gateway):
    """A gateway whose data directory is a small disk of its own, in memory, that nobody else sees."""

    def __init__(self, sink: Sink):
        super().__init__(sink.port, edit=lambda yaml: yaml.set(f"{{ minimumFreeMegabytes: {LEAST}, segmentMegabytes: 4 }}", "limits"))
        found = re.search(r'(?m)^dataDirectory: *"?([^"\n]+)', self.configuration.read_text())[1]
        self.data = found if found.startswith("/") else f"{self.configuration.parent}/{found}"
        os.makedirs(self.data, exist_ok=True)

    def start(self, seconds: float = 60) -> "SmallDisk":
        script = f"mount -t tmpfs -o size={DISK}m,mode=700 small '{self.data}' && exec '{executable()}' serve --config '{self.configuration}'"
        self.process = spawn(["unshare", "--mount", "--propagation", "private", "sh", "-c", script], self.log)
        poll(self.answers, seconds, lambda: f"a greeting:\n{self.log.read_text()[-2000:]}")
        return self

    def answers(self) -> bool:
        try:
            with Wire(self.ports.trusted, seconds=5) as wire:
                return wire.greeting.code == 220
        except (OSError, AssertionError):
            return False

    @property
    def disk(self) -> Path:
        """The disk, seen from outside."""
        return Path(f"/proc/{self.process.pid}/root{self.data}")

    @property
    def inside(self) -> list[str]:
        """What runs a program where the disk is."""
        return ["nsenter", "-t", str(self.process.pid), "-m", "--"]

    def report(self) -> dict:
        return json.loads(run(self.inside + [executable(), "status", "--json", "--config", str(self.configuration)]).stdout)

    def alarms(self) -> set[str]:
        return {alarm["name"] for alarm in self.report()["alarms"]}

    def fill(self, left: int) -> Path:
        """Takes all room but so many megabytes; to the last octet for 0."""
        filler = self.disk / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while left == 0 or os.statvfs(self.disk).f_bavail * 4096 > left << 20:
                    file.write(bytes(65536))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        return filler

    def mail(self) -> int:
        with self.trusted() as session:
            return session.command(f"MAIL FROM:<{ANNA}>").code


class FailingDisk(SmallDisk):
    """A gateway whose data directory is an ext4 of its own, which goes read-only with the first fault, as a server's disk does."""

    def __init__(self, sink: Sink, environment: dict):
        super().__init__(sink)
        self.environment.update(environment)
        self.image = self.folder / "disk.img"
        with open(self.image, "wb") as file:
            file.truncate(DISK << 20)
        run(["mkfs.ext4", "-q", self.image], check=True)

    def start(self, seconds: float = 60) -> "FailingDisk":
        script = (
            f"[ -d /sys/fs ] || mount -t sysfs sysfs /sys; e2fsck -p '{self.image}' > /dev/null; mount -o loop,errors=remount-ro '{self.image}' '{self.data}' && chmod 700 '{self.data}'"
            f" && exec '{executable()}' serve --config '{self.configuration}'"
        )
        self.process = spawn(["unshare", "--mount", "--propagation", "private", "sh", "-c", script], self.log, env=self.environment)
        poll(self.answers, seconds, lambda: f"a greeting:\n{self.log.read_text()[-2000:]}")
        return self

    @property
    def device(self) -> str:
        mounts = Path(f"/proc/{self.process.pid}/mounts").read_text().splitlines()
        return next(os.path.basename(line.split()[0]) for line in mounts if line.split()[1] == self.data)

    @property
    def trigger(self) -> Path:
        """What makes the kernel find a fault in the file system."""
        return Path(f"/proc/{self.process.pid}/root/sys/fs/ext4/{self.device}/trigger_fs_error")

    def writable(self) -> bool:
        try:
            (self.disk / "probe").write_bytes(b"x")
            return True
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            return False


class Recovery(InteropTest):
    def start(self) -> tuple[SmallDisk, Sink]:
        self.need("unshare", "nsenter", "mount")
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = SmallDisk(sink)
        self.addCleanup(gateway.stop)
        return gateway.start(), sink

    def send(self, gateway: SmallDisk, subject: str) -> int:
        sent = compose.simple(subject, ["giulia@posta.example.test"])
        with gateway.trusted() as session:
            if session.command(f"MAIL FROM:<{sent.sender}>").code != 250:
                return 452
            session.expect(f"RCPT TO:<{sent.recipients[0]}>", 250)
            return session.data(sent.octets).code

    def test_the_disk_is_full(self):
        gateway, sink = self.start()
        self.assertEqual(self.send(gateway, "Prima"), 250)
        poll(lambda: len(sink.taken) == 1, 30, "the first envelope")
        self.assertEqual(gateway.alarms() & {"disk-full", "storage-broken"}, set())
        for left in (LEAST - 10, 1, 0):
            with self.subTest(f"{left} MB left"):
                filler = gateway.fill(left)
                poll(lambda: gateway.mail() == 452, 20, "MAIL is answered 452")
                poll(lambda: "disk-full" in gateway.alarms(), 20, "the alarm")
                self.assertEqual(self.send(gateway, "Durante"), 452)
                filler.unlink()
                poll(lambda: gateway.mail() == 250, 20, "MAIL is taken again")
                poll(lambda: gateway.alarms() & {"disk-full", "ledger-refuses", "storage-broken"} == set(), 20, lambda: f"no alarm: {gateway.alarms()}")
                before = len(sink.taken)
                self.assertEqual(self.send(gateway, f"Dopo, {left}"), 250)
                poll(lambda: len(sink.taken) == before + 1, 30, "the envelope")

    def test_the_ledger_takes_nothing(self):
        """Somebody holds the ledger's lock: a forgotten program, a backup tool."""
        gateway, sink = self.start()
        self.assertEqual(self.send(gateway, "Prima"), 250)
        poll(lambda: len(sink.taken) == 1, 30, "the first envelope")
        stranger = subprocess.Popen(
            gateway.inside + [sys.executable, "-c", LOCK, f"{gateway.data}/ledger.sqlite"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(stranger.communicate)
        self.assertEqual(stranger.stdout.readline(), b"held\n")
        self.assertEqual(self.send(gateway, "Durante"), 451)
        poll(lambda: "ledger-refuses" in gateway.alarms(), 60, lambda: f"the alarm, and not {gateway.alarms()}")
        stranger.communicate()
        poll(lambda: self.send(gateway, "Dopo") == 250, 60, "mail is taken again")
        poll(lambda: "ledger-refuses" not in gateway.alarms(), 20, "no alarm any more")
        poll(lambda: any("Dopo" in str(taken) for taken in sink.taken) or len(sink.taken) >= 2, 30, "the envelope")
        verified = run(gateway.inside + [executable(), "log", "verify", "--config", gateway.configuration])
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_the_disk_goes_read_only(self):
        """The kernel lets nobody write again before the file system was unmounted, which this process keeps from being done: so it says
        no more that it lives, and its manager starts it anew until it can."""
        self.need("unshare", "nsenter", "mount", "mkfs.ext4", "e2fsck")
        sink = Sink()
        self.addCleanup(sink.stop)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            place = f"{new_folder('notify')}/socket"
            manager.bind(place)
            gateway = FailingDisk(sink, {"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "600000"})
            self.addCleanup(gateway.stop)
            gateway.start()
            if not gateway.trigger.exists():
                self.skipTest("this kernel does not let a file system be told of a fault")
            self.assertEqual(self.send(gateway, "Prima"), 250)
            poll(lambda: len(sink.taken) == 1, 30, "the first envelope")
            # What is answered 250 and not delivered yet when the disk fails.
            sink.stop()
            kept = [compose.simple(f"Presa {number}", ["giulia@posta.example.test"]) for number in range(3)]
            with gateway.trusted() as session:
                for sent in kept:
                    self.assertEqual(transaction(session, sent.sender, sent.recipients, sent.octets).code, 250)
            gateway.trigger.write_text("a fault")
            self.assertFalse(gateway.writable())
            code = self.send(gateway, "Durante")
            self.assertIn(code, range(400, 500))
            poll(lambda: "storage-broken" in gateway.alarms(), 30, lambda: f"the alarm, and not {gateway.alarms()}")
            self.assertIn(gateway.mail(), range(400, 500))
            self.assertEqual(run(gateway.inside + [executable(), "status", "--health", "--config", gateway.configuration]).returncode, 2)
            # No remount by itself: the kernel wants all of it closed.
            run(gateway.inside + ["mount", "-o", "remount,rw", gateway.data])
            self.assertFalse(gateway.writable())
            self.silent(manager)
        # The manager's part: it ends who gives no sign of life, however it can.
        gateway.kill()
        # As long as nothing can be written it does not start, and says why.
        again = run(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                     f"mount -o loop,ro,noload '{gateway.image}' '{gateway.data}' && exec '{executable()}' serve --config '{gateway.configuration}'"])
        self.assertEqual(again.returncode, 69, again.stderr.decode())
        self.assertIn("cannot start", again.stderr.decode())
        sink.start()
        gateway.start()
        poll(lambda: len(sink.taken) >= 4, 60, "what was answered 250 before")
        for sent in kept:
            self.assertTrue([taken for taken in sink.taken if sent.message_id.encode() in taken.octets], sent.message_id)
        self.assertEqual(gateway.alarms() & {"storage-broken", "ledger-refuses"}, set())
        self.assertEqual(self.send(gateway, "Dopo"), 250)
        verified = run(gateway.inside + [executable(), "log", "verify", "--config", gateway.configuration])
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def silent(self, manager: socket.socket) -> None:
        """Waits until no sign of life comes for ten times as long as one takes."""
        manager.settimeout(2)
        for _ in range(60):
            try:
                manager.recv(4096)
            except TimeoutError:
                return
        self.fail("signs of life go on, although nothing can be stored")
