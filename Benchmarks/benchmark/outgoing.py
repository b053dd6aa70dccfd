"""The outgoing side: messages submitted by smtp-source, passed on to smtp-sink."""

import os
import re
import time
from pathlib import Path

from interop import base
from interop.base import find, poll, run, spawn
from interop.lab import ANNA, Gateway
from interop.postfix import Postfix, descendants

from .measure import Clock, Failed, Subject, answers, cpu_seconds, files, put_away, scanning

RECIPIENT = "giulia@posta.example.test"


def message_file(folder: Path, size: int) -> Path:
    """A message for smtp-source -F, with LF line ends (it writes CRLF): correct by the formal checks, so with From and To."""
    head = (
        f"Date: Tue, 10 Mar 2026 09:14:58 +0100\nFrom: Anna Rossi <{ANNA}>\nTo: {RECIPIENT}\nSubject: Domanda di iscrizione\n"
        "Message-ID: <benchmark@client.example.test>\nMIME-Version: 1.0\nContent-Type: application/octet-stream\n"
        "Content-Transfer-Encoding: base64\n\n"
    )
    line = "QmVuY2htYXJr" * 6 + "CRLF\n"
    rest = size - len(head) - head.count("\n")
    path = folder / f"message-{size}"
    path.write_text(head + line * (rest // (len(line) + 1)))
    path.chmod(0o644)
    return path


def received(log: Path) -> int:
    """How many messages smtp-sink has had, by its running counters. (With -M it would end without answering the last one, which would
    come again in the next round.)"""
    with open(log, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 200))
        counts = re.findall(rb"mesg=(\d+)\r", file.read())
    return int(counts[-1]) if counts else 0


class AccessPoint(Subject):
    name = "ceralacca"

    def __init__(self, make=Gateway):
        """`make`: how the gateway is made and started."""
        self.sink_port = base.free_block(1)
        self.gateway = make(
            self.sink_port,
            lambda yaml: scanning(yaml).limits(maximumMessagesPerSession=1_000_000, firstRetrySeconds=1, lastRetrySeconds=1),
        ).start()
        self.port = self.gateway.ports.trusted
        self.receipts = self.gateway.folder / "alfa" / "mail" / ANNA / "new"

    def pids(self) -> list[int]:
        return [self.gateway.process.pid, *descendants(self.gateway.process.pid)]

    def cpu(self) -> float:
        return cpu_seconds(self.pids())

    def settled(self, count: int) -> bool:
        return files(self.receipts) >= count

    def clean(self) -> None:
        put_away(self.receipts, self.gateway.folder / "kept")

    def stop(self) -> None:
        self.gateway.stop()


class Relay(Subject):
    name = "postfix"

    def __init__(self):
        self.sink_port = base.free_block(1)
        self.postfix = Postfix(
            "benchmark",
            {
                "relayhost": f"[127.0.0.1]:{self.sink_port}",
                "smtp_destination_concurrency_limit": "20",
                "smtp_connection_cache_on_demand": "yes",
                "smtp_connection_cache_destinations": f"[127.0.0.1]:{self.sink_port}",
                "qmgr_message_active_limit": "20000",
            },
        ).start()
        self.port = self.postfix.port

    def pids(self) -> list[int]:
        return [self.postfix.master, *descendants(self.postfix.master)]

    def cpu(self) -> float:
        return cpu_seconds(self.pids(), children_of=self.postfix.master)

    def stop(self) -> None:
        self.postfix.stop()


class Outgoing:
    """Takes, checks, signs, stores, receipts and passes on, against a plain relay."""

    name = "outgoing"
    subjects_are = (
        "for each message the gateway looks for viruses and makes two signatures, a receipt in a Maildir and an envelope; "
        "Postfix relays it as it is"
    )
    #: Octets, messages in a round, sessions.
    sizes = [(5_000, 2000, 10), (5_000, 2000, 50), (50_000, 800, 10), (1_000_000, 80, 5), (20_000_000, 8, 4)]
    quick = [(5_000, 300, 10), (5_000, 300, 50), (50_000, 150, 10), (1_000_000, 20, 5), (20_000_000, 3, 3)]

    def __init__(self, folder: Path, subjects: list[Subject] | None = None):
        self._folder = folder
        self.subjects = subjects or [AccessPoint(), Relay()]

    def load(self, size: int, count: int) -> Path:
        path = self._folder / f"message-{size}"
        return path if path.exists() else message_file(self._folder, size)

    def one_round(self, subject: Subject, path: Path, size: int, count: int, sessions: int) -> dict:
        """`count` messages through one of them; the clock stops when the last is with the sink (and the last receipt in its Maildir)."""
        log = self._folder / "sink.log"
        log.unlink(missing_ok=True)
        sink = spawn([find("smtp-sink"), "-u", "nobody", "-c", f"inet:127.0.0.1:{subject.sink_port}", "512"], log)
        poll(lambda: answers(subject.sink_port), 10, lambda: f"smtp-sink: {base.tail(log, 2)[-200:]}")
        clock = Clock(subject)
        try:
            load = ["-s", sessions, "-m", count, "-f", ANNA, "-t", RECIPIENT, "-M", "source.example.test", "-F", path]
            source = run([find("smtp-source"), "-d", *load, f"inet:127.0.0.1:{subject.port}"], seconds=300)
            clock.accepted()
            if source.returncode:
                raise Failed(f"smtp-source to {subject.name}: {source.stderr.decode()[-500:]}")
            poll(lambda: received(log) >= count, 300, lambda: f"{received(log)} of {count} messages at the sink", every=0.002)
            poll(lambda: subject.settled(count), 120, lambda: f"{count} receipts", every=0.002)
            result = clock.done(size, count, sessions)
            time.sleep(0.05)  # the last answer is on its way
            if (taken := received(log)) != count:
                raise Failed(f"{subject.name}: the sink got {taken} messages, {count} were sent")
            return result
        finally:
            clock.stop()
            base.end(sink)
            subject.clean()
