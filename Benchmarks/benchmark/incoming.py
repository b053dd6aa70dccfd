"""The incoming side: transport envelopes of another provider, verified, taken in charge, delivered and receipted.

Every envelope has its own PEC id and signature, and is made before the clock starts. The clock stops when all of them are in the Maildir,
and a take-charge receipt and a delivery receipt for each are with the sink that plays the sending provider. Postfix receives the same
octets from the same load generator and stores them in a Maildir; it verifies nothing and answers nothing.
"""

import json
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

from interop import base
from interop.base import poll
from interop.lab import ANNA, Gateway
from interop.postfix import Postfix, descendants
from interop.wire import Wire

from .envelopes import RECIPIENT, SENDER, Envelope, Maker
from .measure import Clock, Failed, Subject, answers, cpu_seconds, files, put_away, scanning


class Generator:
    """Sends envelopes over several connections at once, commands pipelined (RFC 2920) as mail servers do."""

    def __init__(self, port: int, envelopes: list[Envelope], sessions: int):
        self._port, self._waiting, self._failures = port, deque(envelopes), []
        self._threads = [threading.Thread(target=self._session, daemon=True) for _ in range(min(sessions, len(envelopes)))]

    def run(self, seconds: float) -> None:
        """Returns when everything was answered 250; raises `Failed` otherwise."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        if self._failures:
            raise Failed(f"the load on port {self._port}: {self._failures[0]}")
        if any(thread.is_alive() for thread in self._threads):
            raise Failed(f"the load on port {self._port}: {len(self._waiting)} envelopes still wait after {seconds:g} s")

    def _session(self) -> None:
        try:
            with Wire(self._port, seconds=120) as wire:
                wire.ehlo("mx.gamma.test")
                while not self._failures:
                    try:
                        envelope = self._waiting.popleft()
                    except IndexError:
                        break
                    self._transaction(wire, envelope)
                wire.quit()
        except (OSError, AssertionError, Failed) as error:
            self._failures.append(f"{type(error).__name__}: {error}")

    @staticmethod
    def _transaction(wire: Wire, envelope: Envelope) -> None:
        wire.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\nDATA\r\n".encode())
        for code in (250, 250, 354):
            if (reply := wire.reply()).code != code:
                raise Failed(f"wanted {code}, got {reply}")
        for piece in envelope.pieces:
            wire.send(piece)
        if (reply := wire.reply()).code != 250:
            raise Failed(f"an envelope was answered {reply}")


class IncomingPoint(Subject):
    name = "ceralacca"

    def __init__(self):
        self.sink_port = base.free_block(1)
        self.gateway = Gateway(
            self.sink_port,
            lambda yaml: scanning(yaml).limits(maximumMessagesPerSession=1_000_000, firstRetrySeconds=1, lastRetrySeconds=1),
        ).start()
        self.port = self.gateway.ports.incoming
        self.mailbox = self.gateway.folder / "alfa" / "mail" / ANNA / "new"

    def pids(self) -> list[int]:
        return [self.gateway.process.pid, *descendants(self.gateway.process.pid)]

    def cpu(self) -> float:
        return cpu_seconds(self.pids())

    def clean(self) -> None:
        put_away(self.mailbox, self.gateway.folder / "kept")

    def stop(self) -> None:
        self.gateway.stop()


class Store(Subject):
    name = "postfix"

    def __init__(self):
        self.postfix = Postfix("store", {"virtual_mailbox_domains": "pec.alfa.test", "qmgr_message_active_limit": "20000"}).start()
        self.port = self.postfix.port
        self.mailbox = self.postfix.folder / "mail" / "all" / "new"

    def pids(self) -> list[int]:
        return [self.postfix.master, *descendants(self.postfix.master)]

    def cpu(self) -> float:
        return cpu_seconds(self.pids(), children_of=self.postfix.master)

    def clean(self) -> None:
        put_away(self.mailbox, self.postfix.folder / "kept")

    def stop(self) -> None:
        self.postfix.stop()


class Incoming:
    """Verifies, takes in charge, delivers and receipts, against a mail server that receives and stores."""

    name = "incoming"
    subjects_are = (
        "for each envelope the gateway looks for viruses, verifies a signature, makes two (take-charge receipt,\n"
        "complete delivery receipt), stores one message in a Maildir and sends two; Postfix stores the same octets in a Maildir.\n"
        "size: of the message inside; its envelope has some 5,500 octets more"
    )
    #: Octets of the message inside, envelopes in a round, sessions.
    sizes = [(5_000, 1500, 10), (5_000, 1500, 50), (50_000, 600, 10), (1_000_000, 60, 5), (20_000_000, 8, 4)]
    quick = [(5_000, 200, 10), (50_000, 80, 10), (1_000_000, 10, 5), (20_000_000, 2, 2)]

    def __init__(self, folder: Path):
        self._folder = folder
        self._gateway, self._store = IncomingPoint(), Store()
        self.subjects: list[Subject] = [self._gateway, self._store]
        self._maker = Maker(self._gateway.gateway.folder)

    def load(self, size: int, count: int) -> list[Envelope]:
        return self._maker.make(size, count)

    def one_round(self, subject: Subject, envelopes: list[Envelope], size: int, count: int, sessions: int) -> dict:
        sink = self._sink(subject, count) if subject.sink_port else None
        clock = Clock(subject)
        try:
            Generator(subject.port, envelopes, sessions).run(300)
            clock.accepted()
            if sink:
                self._answered(sink, count)
            # Looking costs the more the more files there are.
            poll(lambda: files(subject.mailbox) >= count, 120, lambda: f"{files(subject.mailbox)} of {count} stored", every=0.005)
            result = clock.done(size, count, sessions)
            if (stored := files(subject.mailbox)) != count:
                raise Failed(f"{subject.name}: {stored} messages are stored, {count} were sent")
            result["envelopeBytes"] = envelopes[0].wire_bytes
            return result
        finally:
            clock.stop()
            if sink and sink.poll() is None:
                base.end(sink)
            subject.clean()

    def _sink(self, subject: Subject, count: int) -> subprocess.Popen:
        sink = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("sink.py")), str(subject.sink_port), str(count)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        base._children.append(sink)
        poll(lambda: answers(subject.sink_port), 10, "the sink")
        return sink

    @staticmethod
    def _answered(sink: subprocess.Popen, count: int) -> None:
        """Waits for the sink to have everything: exactly that, each once."""
        printed, _ = sink.communicate(timeout=300)
        base._children.remove(sink)
        found = json.loads(printed)
        due = {"presa-in-carico": count, "avvenuta-consegna": count}
        if found["counts"] != due or found["distinct"] != due:
            raise Failed(f"the sending provider was to get {due}, each once; it got {found['counts']}, distinct {found['distinct']}")
