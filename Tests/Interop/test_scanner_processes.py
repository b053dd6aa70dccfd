"""Where the engine lives: in processes of their own that have no rights, no network and no key, and that never outlast the gateway."""

import os
import re
import stat
import subprocess
from pathlib import Path

from interop import base, compose, processes
from interop.base import executable, poll, run
from interop.case import InteropTest
from interop.guarded import EICAR, Guarded, Signatures, is_root, nobody
from interop.lab import ANNA, Gateway
from interop.sink import Sink
from interop.virus_case import VirusTest
from interop.virusmail import PLAIN, Infected, attachment, mixed, nested_zips

OUTSIDE = "ordinario@posta.example.test"
#: Of linux/capability.h: none.
NO_RIGHTS = "0000000000000000"
SEQPACKET = 5


def program() -> Path:
    return Path(executable()).with_name(processes.NAME)


class Confined(VirusTest):
    """On a gateway that has scanned mails, infected and clean ones."""

    keys = {"workers": 3}

    def setUp(self):
        ill = Infected("", mixed(PLAIN, attachment(nested_zips(EICAR, 2), "conto.zip"))).sent([OUTSIDE])
        self.submit(*(compose.simple(f"Nota {number}", [OUTSIDE]) for number in range(4)), ill)
        self.notice(ill)
        self.gateway_id = self.gateway.process.pid
        self.parents, self.workers = processes.scanners(self.gateway_id), processes.workers(self.gateway_id)
        self.assertEqual((len(self.parents), len(self.workers)), (1, 3))

    def test_who_maps_the_engine(self):
        self.assertFalse("libclamav" in Path(f"/proc/{self.gateway_id}/maps").read_text(), "the gateway maps libclamav")
        linked = subprocess.run(["ldd", executable()], capture_output=True, text=True).stdout
        self.assertNotRegex(linked, "clamav")
        for process in self.parents + self.workers:
            # Otherwise the sentence above says nothing.
            self.assertTrue(process.maps("libclamav"), process)
            self.assertFalse(process.maps("libssl"), "a scanner that maps the code for keys and certificates' network")

    def test_rights(self):
        for process in self.parents + self.workers:
            self.assertEqual(process.status("Seccomp"), "2", process)
            self.assertEqual(process.status("NoNewPrivs"), "1", process)
            for right in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                self.assertEqual(process.status(right), NO_RIGHTS, (right, process))
            users, groups = process.status("Uid").split(), process.status("Gid").split()
            expected = str(nobody()) if is_root() else str(os.geteuid())
            self.assertEqual(users, [expected] * 4, process)
            self.assertNotIn("0", users + groups + process.status("Groups").split(), process)
            self.assertEqual(process.status("Threads"), "1", process)

    def test_limits(self):
        for worker in self.workers:
            limits = (worker.folder / "limits").read_text()
            self.assertRegex(limits, r"Max core file size +0 +0 ")
            self.assertRegex(limits, r"Max processes +0 +0 ")
            self.assertRegex(limits, r"Max address space +\d+ +\d+ +bytes")

    def test_what_they_hold(self):
        """No file but their own temporary ones, and no socket but the one that the gateway gave each of them."""
        if not is_root():
            self.skipTest("only root sees the descriptors of processes that are not to be debugged")
        sockets = processes.unix_sockets()
        secret = re.compile(r"\.pem|\.key|/tls|users|ledger|spool|quarantine|\.eml")
        for process in self.parents + self.workers:
            kinds = process.descriptors()
            inodes = [int(found[1]) for where in kinds.values() if (found := re.fullmatch(r"socket:\[(\d+)\]", where))]
            self.assertEqual(len(inodes), 1, f"{process}: {kinds}")
            self.assertEqual(sockets.get(inodes[0]), (SEQPACKET, ""), f"{process}: {kinds}")
            for where in kinds.values():
                self.assertNotRegex(where, secret, f"{process} holds {where}")
                # Its own temporary folder, and what tells it how much memory it has.
                own = (f"/dev/shm/ceralacca-scan-{self.gateway_id}-", "socket:", "pipe:", "anon_inode:", "/memfd:")
                log = [str(self.gateway.log)] if process in self.parents else []
                allowed = where.startswith(own) or where in ["/dev/null", *log, f"/proc/{process.id}/statm"]
                self.assertTrue(allowed, f"{process} holds {where}")
        held = {where for where in processes.read(self.gateway_id).descriptors().values()}
        self.assertTrue(any("ledger" in where for where in held), "the gateway's own descriptors show what is looked for")

    def test_environment(self):
        if not is_root():
            self.skipTest("only root sees the environment of processes that are not to be debugged")
        for process in self.parents + self.workers:
            names = {entry.partition(b"=")[0] for entry in (process.folder / "environ").read_bytes().split(b"\0") if entry}
            self.assertLessEqual(names, {b"LANG", b"LD_LIBRARY_PATH"}, process)

    def test_reloading_leaves_one(self):
        """The process of the old signatures ends when the new ones are in use, and its folder goes."""
        before = {process.id for process in processes.family(self.gateway_id)}
        for _ in range(3):
            self.gateway.reloaded()
        poll(lambda: not any(processes.alive(each) for each in before), 30, "the end of the old processes")
        poll(lambda: len(processes.family(self.gateway_id)) == 4, 30, "one process and three workers")
        poll(lambda: len(list(Path("/dev/shm").glob(f"ceralacca-scan-{self.gateway_id}-*"))) == 1, 30, "one temporary folder")


class SelfTest(InteropTest):
    def key(self) -> Path:
        return Gateway.template() / "alfa" / "signer.pem"

    def test_everything_is_denied(self):
        done = run([program(), "--self-test", "--key", self.key()])
        out = done.stdout.decode()
        self.assertEqual(done.returncode, 0, out + done.stderr.decode())
        self.assertNotIn("ALLOWED", out)
        self.assertIn("All of it is denied.", out)
        for who in ("The parent:", "A worker:"):
            table = out.partition(who)[2]
            for what in (
                "open the key file",
                "open an Internet socket (TCP)",
                "open a Unix socket",
                "connect",
                "run a program",
                "trace a process",
            ):
                self.assertRegex(table, rf"(?m)^  {re.escape(what)} +denied: ", f"{who} {what}")
        self.assertGreater(out.count("denied: "), 80)

    def test_with_signatures(self):
        done = run([program(), "--self-test", "--key", self.key(), "--database", Signatures().folder])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout.decode(), r"scans with ClamAV .*\(3 signatures\): clean")

    def test_it_can_fail(self):
        """Something that it cannot have tried is not taken for denied."""
        done = run([program(), "--self-test", "--key", "/nonexistent/key.pem"])
        self.assertEqual(done.returncode, 1, done.stdout)
        for arguments in (["--self-test"], ["--self-test", "--key"], ["--scan", "x"], ["--self-test", "--key", "a", "--key", "b"]):
            done = run([program(), *arguments])
            self.assertEqual(done.returncode, 64, (arguments, done.stdout))
            self.assertIn(b"usage:", done.stdout + done.stderr)

    def test_nothing_to_be_had_by_hand(self):
        """Started by a person, with no channel or with something else where it should be."""
        for options in ({}, {"pass_fds": ()}):
            done = run([program()], 20, **options)
            self.assertEqual(done.returncode, 64, done.stderr)
            self.assertIn(b"usage:", done.stdout + done.stderr)
        self.assertRegex(run([program(), "--version"]).stdout.decode(), r"^ceralacca-scanner \(ClamAV \d+\.\d+")


class Ending(InteropTest):
    """However the gateway ends, no scanner process goes on, and nothing stays in the temporary folder."""

    def start(self) -> Guarded:
        self.sink = Sink()
        self.addCleanup(self.sink.stop)
        self.temporary = base.new_folder("scan-temporary")
        gateway = Guarded(self.sink.port, Signatures(), temporary=f'"{self.temporary}"')
        self.addCleanup(gateway.stop)
        gateway.start()
        self.family = processes.family(gateway.process.pid)
        self.assertEqual(len(self.family), 3)
        self.assertEqual(len(self.folders()), 1)
        facts = self.folders()[0].stat()
        self.assertEqual(stat.S_IMODE(facts.st_mode), 0o700)
        self.assertEqual(facts.st_uid, nobody() if is_root() else os.geteuid())
        return gateway

    def folders(self) -> list[Path]:
        return sorted(self.temporary.iterdir())

    def gone(self) -> None:
        poll(lambda: not any(processes.alive(each.id) for each in self.family), 20, lambda: f"the end of {self.family}")

    def submit(self, gateway: Guarded, body: bytes) -> None:
        sent = compose.simple("Nota", [OUTSIDE], body=body)
        with gateway.trusted() as wire:
            wire.envelope(ANNA, [OUTSIDE])
            self.assertEqual(wire.data(sent.octets).code, 250)

    def test_a_stop(self):
        gateway = self.start()
        self.submit(gateway, b"ciao\r\n")
        self.assertEqual(gateway.stop(), 0)
        self.assertEqual([each for each in self.family if processes.alive(each.id)], [], "processes that outlast the stop")
        self.assertEqual(self.folders(), [])

    def test_a_kill(self):
        gateway = self.start()
        gateway.kill()
        self.gone()
        # What it could not clear away the next one does.
        left = self.folders()
        gateway.start()
        self.assertEqual(len(self.folders()), 1)
        self.assertFalse(set(left) & set(self.folders()))
        self.submit(gateway, b"ciao\r\n")
        self.assertEqual(gateway.stop(), 0)
        self.assertEqual(self.folders(), [])

    def test_a_lost_process(self):
        """The scanner's process dies: its workers go with it, another takes its place, and the gateway stays."""
        gateway = self.start()
        gateway_id = gateway.process.pid
        parent = processes.scanners(gateway_id)[0]
        self.assertTrue(parent.signal(9))
        self.gone()
        gateway.scanning()
        self.assertEqual(gateway.process.pid, gateway_id)
        self.assertIsNone(gateway.process.poll())
        self.assertRegex(gateway.said, r"critical scanner: the virus scanner is down: .*killed by signal 9")
        self.submit(gateway, b"ciao\r\n")
        poll(lambda: len(self.folders()) == 1, 20, "the lost process' folder to go")
