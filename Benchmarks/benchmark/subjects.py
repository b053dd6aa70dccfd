"""The gateway as it is measured, and the mail servers it is measured against."""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from interop import base
from interop.base import end, find, poll, spawn
from interop.judge import Judge
from interop.lab import ANNA, Gateway, Yaml
from interop.postfix import Postfix, descendants
from interop.wire import Wire

from .load import RECIPIENT, Load, Sink, message_file
from .measure import Failed, Subject, Way, cpu_seconds, files, put_away, scanning

#: Where ordinary mail for our mailboxes is forwarded to.
FORWARDED = "aldo@posta.example.test"
LMTP = ("--lmtp",)
#: Further mailboxes of a gateway that has many.
MANY = 50


class Ceralacca(Subject):
    """A gateway of a laboratory's, with sinks around it: its mailboxes are behind LMTP, its next hop takes everything.

    `side`: whether it is measured at its access point (`trusted`) or its incoming point (`incoming`). `edit`: further changes of its
    configuration. `maildir`: its mailboxes are Maildirs instead.
    """

    name = "ceralacca"
    durability = "the body, the certified log, receipts and queue are synced to disk before 250 (one commit for all that wait)"

    def __init__(self, side: str = "trusted", scans: bool = True, edit=None, maildir: bool = False, make=Gateway):
        self.world, self.mailboxes = base.free_block(1), base.free_block(1)

        def configure(yaml: Yaml) -> None:
            if scans:
                scanning(yaml)
            else:
                yaml.set("off", "scanner")
            if not maildir:
                yaml.set(f'{{ lmtp: "127.0.0.1:{self.mailboxes}" }}', "mailboxes")
            yaml.limits(maximumMessagesPerSession=1_000_000, firstRetrySeconds=1, lastRetrySeconds=1, connections=5_000)
            yaml.limits(connectionsPerPeer=4_000)
            if edit:
                edit(yaml)

        self.gateway = make(self.world, configure).start()
        self.receipts = self.gateway.folder / "alfa" / "mail" / ANNA / "new" if maildir else None
        self.settles = maildir
        self.use(side)

    def use(self, side: str) -> "Ceralacca":
        """Which side mail comes in at from now on, and so where it goes."""
        self.port = self.gateway.ports.trusted if side == "trusted" else self.gateway.ports.incoming
        mailboxes = () if self.receipts else (Way(self.mailboxes, 1, LMTP),)
        # Incoming: take-charge and delivery receipt go to the sending provider.
        self.ways = (Way(self.world, 1 if side == "trusted" else 2), *mailboxes)
        return self

    def pids(self) -> list[int]:
        return [self.gateway.process.pid, *descendants(self.gateway.process.pid)]

    def cpu(self) -> float:
        # Workers of the scanner are ended and made anew now and then.
        return cpu_seconds(self.pids(), ended_too=True)

    def last_words(self) -> str:
        return base.tail(self.gateway.log, 4)

    def settled(self, count: int) -> bool:
        return not self.receipts or files(self.receipts) >= count

    def clean(self) -> None:
        if self.receipts:
            put_away(self.receipts, self.gateway.folder / "kept")

    def stop(self) -> None:
        self.gateway.stop()


def many_addresses() -> list[str]:
    return [f"casella{number}@pec.alfa.test" for number in range(MANY)]


class ManyMailboxes(Gateway):
    """A gateway with more users than the laboratory's."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        users = self.folder / "alfa" / "users"
        entry = next(line for line in users.read_text().splitlines() if line.startswith(ANNA))
        with open(users, "a") as file:
            file.writelines(f"{address}{entry[entry.index(':'):]}\n" for address in many_addresses())


class Forwarder(Ceralacca):
    """A gateway whose mailboxes have their ordinary mail forwarded: taken and passed on unsigned, as it came."""

    durability = "the body, the certified log and the queue are synced to disk before 250"

    def __init__(self):
        super().__init__("incoming", scans=False, edit=lambda yaml: yaml.set(f"{{ policy: {{ forward: {FORWARDED} }} }}", "ordinaryMail"))
        self.ways = (Way(self.world),)


class Relay(Subject):
    """A Postfix that passes mail on as it is, over persistent connections."""

    name = "postfix"
    durability = "the queue file is synced to disk before 250 (one fsync for each message, no directory); nothing else is kept"

    def __init__(self, name: str = "benchmark", settings: dict[str, str] | None = None):
        sink = base.free_block(1)
        self.postfix = Postfix(
            name,
            {
                "relayhost": f"[127.0.0.1]:{sink}",
                "smtp_destination_concurrency_limit": "20",
                "smtp_destination_recipient_limit": "1000",
                "smtp_connection_cache_on_demand": "yes",
                "smtp_connection_cache_destinations": f"[127.0.0.1]:{sink}",
                "qmgr_message_active_limit": "20000",
                **(settings or {}),
            },
        ).start()
        self.port, self.ways = self.postfix.port, (Way(sink),)

    def pids(self) -> list[int]:
        return [self.postfix.master, *descendants(self.postfix.master)]

    def cpu(self) -> float:
        return cpu_seconds(self.pids(), children_of=self.postfix.master)

    def last_words(self) -> str:
        return base.tail(self.postfix.log, 4)

    def stop(self) -> None:
        self.postfix.stop()


class Store(Subject):
    """A Postfix that stores what comes in a Maildir."""

    name = "postfix storing"
    durability = "the queue file is synced to disk before 250, the Maildir's file before the queue file goes"
    settles = True

    def __init__(self):
        self.postfix = Postfix("store", {"virtual_mailbox_domains": "pec.alfa.test", "qmgr_message_active_limit": "20000"}).start()
        self.port = self.postfix.port
        self.mailbox = self.postfix.folder / "mail" / "all" / "new"

    def pids(self) -> list[int]:
        return [self.postfix.master, *descendants(self.postfix.master)]

    def cpu(self) -> float:
        return cpu_seconds(self.pids(), children_of=self.postfix.master)

    def last_words(self) -> str:
        return base.tail(self.postfix.log, 4)

    def settled(self, count: int) -> bool:
        return files(self.mailbox) >= count

    def clean(self) -> None:
        put_away(self.mailbox, self.postfix.folder / "kept")

    def stop(self) -> None:
        self.postfix.stop()


def signatures() -> str:
    """The folder of signatures that the laboratory's gateways scan with."""
    found = re.search(r"(?m)^\s*database:\s*[\"']?([^\"'\n]+?)[\"']?\s*$", (Gateway.template() / "alfa" / "ceralacca.yaml").read_text())
    if not found:
        raise Failed("the laboratory's configuration names no signatures")
    return found[1]


class Clamd:
    """A clamd with the laboratory's signatures and our limits, for peers that scan by it. Its temporary files are in memory, as ours."""

    def __init__(self):
        self.folder = base.new_folder("benchmark-clamd")
        self.socket = self.folder / "socket"
        self._temporary = folder_in_memory()
        settings = {
            "LocalSocket": self.socket, "LocalSocketMode": 666, "DatabaseDirectory": signatures(),
            "TemporaryDirectory": self._temporary, "MaxThreads": os.cpu_count() or 2, "Foreground": "yes", "LogFile": self.folder / "log",
            "SelfCheck": 0, "StreamMaxLength": "2000M", "DisableCache": "yes", "MaxScanSize": "400M", "MaxFileSize": "150M",
            "MaxRecursion": 30, "MaxFiles": 20000, "MaxScanTime": 120_000,
        }  # fmt: skip
        configuration = self.folder / "clamd.conf"
        configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        self.process = spawn([find("clamd"), "--config-file", configuration], self.folder / "output")
        poll(lambda: self.socket.exists() or self.process.poll() is not None, 60, lambda: f"clamd: {base.tail(self.folder / 'output')}")
        if self.process.poll() is not None:
            raise Failed(f"clamd ended with {self.process.returncode}: {base.tail(self.folder / 'output')}")

    def stop(self) -> None:
        end(self.process)


def folder_in_memory() -> Path:
    """A fresh folder in memory where there is such, for all to write in; it goes with the run."""
    made = Path(tempfile.mkdtemp(prefix="ceralacca-benchmark-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    made.chmod(0o777)
    base._folders.append(made)
    return made


def prove_that_it_scans(subject: Subject) -> None:
    """Sends EICAR's test string, which all scanners know, and raises `Failed` when the message is taken."""
    # In pieces, so that no scanner takes this file for infected.
    string = b"".join((b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$", b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE", b"!$H+H*"))
    head = f"From: {ANNA}\r\nTo: {RECIPIENT}\r\nSubject: Prova\r\nMessage-ID: <infected@client.example.test>\r\n\r\n".encode()
    with Wire(subject.port) as wire:
        wire.ehlo()
        wire.send(f"MAIL FROM:<{ANNA}>\r\n".encode())
        replies = [wire.reply()]
        for command in (f"RCPT TO:<{RECIPIENT}>\r\n".encode(), b"DATA\r\n", head + string + b"\r\n.\r\n"):
            wire.send(command)
            replies.append(wire.reply())
    if [reply.code for reply in replies] != [250, 250, 354, 550]:
        raise Failed(f"{subject.name} answered an infected message {replies[-1]}")


class ScanningRelay(Relay):
    """A Postfix that has every message scanned by clamav-milter before it answers."""

    name = "postfix + clamav-milter"
    durability = "scanned by clamd, then the queue file is synced to disk before 250"

    def __init__(self):
        self._clamd = Clamd()
        port = base.free_block(1)
        settings = {
            "MilterSocket": f"inet:{port}@127.0.0.1", "ClamdSocket": f"unix:{self._clamd.socket}", "Foreground": "yes",
            "MaxFileSize": "150M", "OnClean": "Accept", "OnInfected": "Reject", "OnFail": "Defer", "AddHeader": "No",
            "LogFile": self._clamd.folder / "milter.log", "TemporaryDirectory": folder_in_memory(),
        }  # fmt: skip
        configuration = self._clamd.folder / "clamav-milter.conf"
        configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        output = self._clamd.folder / "milter.output"
        self._milter = spawn([find("clamav-milter"), "--config-file", configuration], output)
        poll(lambda: not base.port_is_free(port) or self._milter.poll() is not None, 30, lambda: f"clamav-milter: {base.tail(output)}")
        if self._milter.poll() is not None:
            raise Failed(f"clamav-milter ended with {self._milter.returncode}: {base.tail(output)}")
        # A milter that cannot be reached puts mail off: nothing passes unseen.
        super().__init__("milter", {"smtpd_milters": f"inet:127.0.0.1:{port}", "milter_default_action": "tempfail"})

    def prove(self) -> None:
        """It must refuse what is infected: who does not look is fast."""
        prove_that_it_scans(self)

    def pids(self) -> list[int]:
        return [*super().pids(), self._clamd.process.pid, self._milter.pid]

    def cpu(self) -> float:
        return super().cpu() + cpu_seconds([self._clamd.process.pid, self._milter.pid])

    def stop(self) -> None:
        super().stop()
        end(self._milter)
        self._clamd.stop()


class NaiveGateway(Subject):
    """A PEC gateway as one would write it in an afternoon: aiosmtpd and `cryptography`, a process for each core on the same port."""

    name = "naive python"
    durability = "scanned by clamd, then a spool file is fsynced (no directory) before 250; no log, nothing taken up again after a crash"

    def __init__(self, processes: int = 2):
        self._clamd = Clamd()
        self.port, world, mailboxes = base.free_block(1), base.free_block(1), base.free_block(1)
        self.ways = (Way(world), Way(mailboxes, 1, LMTP))
        self.folder = base.new_folder("naive")
        identity = Gateway.template() / "alfa" / "signer.pem"
        words = [find("python3") or sys.executable, Path(__file__).with_name("naive.py"), self.port, world, mailboxes]
        if os.access("/usr/bin/python3", os.X_OK):
            words[0] = "/usr/bin/python3"
        self._children = []
        for number in range(processes):
            spool = self.folder / f"spool-{number}"
            spool.mkdir()
            self._children.append(spawn([*words, identity, spool, self._clamd.socket], self.folder / f"output-{number}"))
        for number, child in enumerate(self._children):
            output = self.folder / f"output-{number}"
            poll(lambda: "ready" in base.tail(output) or child.poll() is not None, 30, lambda: f"the naive gateway: {base.tail(output)}")
            if child.poll() is not None:
                raise Failed(f"the naive gateway ended with {child.returncode}: {base.tail(output)}")

    def prove(self) -> None:
        """What it signs must hold, and it must refuse what is infected."""
        prove_that_it_scans(self)
        taken = [self.folder / name for name in ("envelope.eml", "receipt.eml")]
        sinks = []
        try:
            for way, path in zip(self.ways, taken):
                sinks.append(Sink(way.port, *way.words, "--once", path, messages=1))
            Load(5_000, 1, 1, message_file(self.folder, 5_000)).send(self.port)
            for sink in sinks:
                sink.wait(20)
        finally:
            for sink in sinks:
                sink.close()
        judge = Judge(Gateway.template() / "ca.pem")
        for path in taken:
            if problems := judge.openssl(path.read_bytes()):
                raise Failed(f"the naive gateway's {path.stem}: {problems[0]}")

    def pids(self) -> list[int]:
        return [child.pid for child in self._children] + [self._clamd.process.pid]

    def cpu(self) -> float:
        return cpu_seconds(self.pids())

    def last_words(self) -> str:
        return "\n".join(base.tail(path, 4) for path in sorted(self.folder.glob("output-*")))

    def stop(self) -> None:
        for child in self._children:
            end(child)
        self._clamd.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
