"""Load while a gateway changes: short sessions one after another in threads, and what became of each. Nobody may be refused."""

import collections
import json
import os
import signal
import socket
import threading
import time

from . import base, compose
from .base import executable, poll, run
from .expect import Sent
from .lab import ALDO, ANNA, Gateway
from .wire import Wire


class ShortSessions:
    """Clients that connect, send one message, and leave; every other one over TLS with a password."""

    def __init__(self, gateway: Gateway, clients: int = 6):
        self.gateway = gateway
        self.answered: list[Sent] = []
        self.problems: list[str] = []
        self.slowest = 0.0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._client, args=(number,), daemon=True) for number in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.reach(10)
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(90)

    def reach(self, more: int) -> None:
        """Waits until so many further messages were taken, or something went wrong."""
        goal = len(self.answered) + more
        poll(lambda: len(self.answered) >= goal or self.problems, 90, lambda: f"{goal} messages; there are {len(self.answered)}")

    def _client(self, number: int) -> None:
        while not self._over.is_set():
            sent = compose.simple("Vita", [ALDO])
            began = time.monotonic()
            try:
                if number % 2:
                    wire = self.gateway.submission(seconds=60)
                else:
                    wire = self.gateway.trusted(seconds=60)
                    wire.expect(f"XCLIENT LOGIN={ANNA}", 220)
                    wire.ehlo()
                with wire:
                    wire.envelope(ANNA, [ALDO])
                    reply = wire.data(sent.octets)
                    if reply.code != 250:
                        raise AssertionError(f"DATA: {reply}")
                    with self._lock:
                        self.answered.append(sent)
                    wire.send(b"QUIT\r\n")
            except Exception as error:  # whatever it is, it must not be
                with self._lock:
                    self.problems.append(f"client {number}, after {time.monotonic() - began:.2f} s: {type(error).__name__}: {error}")
                time.sleep(0.05)
            with self._lock:
                self.slowest = max(self.slowest, time.monotonic() - began)


def pid_of(gateway: Gateway) -> int:
    """The process that answers on the gateway's control socket, once it has started."""
    return poll(lambda: _status(gateway).get("numbers"), 30, "a gateway that has started")["pid"]


def _status(gateway: Gateway) -> dict:
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10)
        control.connect(str(gateway.folder / gateway.provider / "data" / "control.sock"))
        control.sendall(b'{"verb":"status"}\n')
        answer = b""
        while more := control.recv(65536):
            answer += more
    return json.loads(answer)


def operate(gateway: Gateway, *words: str, code: int = 0, seconds: float = 120) -> str:
    """An operator's command; what it said."""
    done = run([executable(), *words, "--config", gateway.configuration], seconds=seconds)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == code, f"{words} ended with {done.returncode}, not {code}: {said}\n{base.tail(gateway.log, 12)}"
    return said


def end(identifier: int, seconds: float = 60) -> None:
    """Ends a process that is no child of ours, and waits until it is gone."""
    try:
        os.kill(identifier, signal.SIGTERM)
    except ProcessLookupError:
        return
    poll(lambda: not alive(identifier), seconds, f"the end of process {identifier}")


def alive(identifier: int) -> bool:
    try:
        with open(f"/proc/{identifier}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def judge(test, gateway: Gateway, load: ShortSessions) -> None:
    """Each message that was answered 250 has one acceptance, reached Aldo once, and nothing is there that was not sent."""
    test.assertEqual(load.problems, [], "sessions that were refused or broken")
    wanted = collections.Counter(sent.message_id for sent in load.answered)
    gateway.settled(120)

    def counted(address: str, kind: str) -> collections.Counter:
        found = collections.Counter()
        for stored in gateway.mailbox(address).matching(lambda stored: stored.kind == kind):
            found[stored.header.get("X-Riferimento-Message-ID")] += 1
        return found

    for address, kind in ((ANNA, "accettazione"), (ALDO, "posta-certificata"), (ANNA, "avvenuta-consegna")):
        poll(lambda: counted(address, kind) == wanted, 60, lambda: f"{kind} for each message, once: {len(counted(address, kind))} of {len(wanted)}")
    base.note(f"{len(load.answered)} messages; the longest session took {load.slowest:.2f} s")
