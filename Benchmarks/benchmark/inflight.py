"""Large messages that are under way for long: by clients that send slowly, and to a next hop that reads slowly.

A burst's peak says little of what a message takes: it depends on how many of its pieces happen to wait for the disk at once. Here all
messages come, and then go, at a steady pace, and memory is read again and again while they do.
"""

import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

from interop.base import poll
from interop.lab import ANNA

from .load import RECIPIENT, Sink
from .measure import Failed, proportional_memory
from .subjects import LMTP, Ceralacca

_PIECE = 64 * 1024
#: Memory is looked at while every message is within these parts of its way.
_FROM, _TO = 0.15, 0.85
_EVERY_SECONDS = 0.1


class _Paced:
    """A thread that moves pieces at a pace; `moved` is where it is."""

    def __init__(self, rate: float):
        self._rate, self.moved, self.failure = rate, 0, ""
        self._began = time.monotonic()

    def begin(self) -> None:
        self._began = time.monotonic()
        self.moved = 0

    def wait(self) -> None:
        """Until the next piece is due."""
        due = self._began + self.moved / self._rate
        if (left := due - time.monotonic()) > 0:
            time.sleep(left)


class _Sender(_Paced):
    """A client that sends one message."""

    def __init__(self, port: int, octets: bytes, rate: float):
        super().__init__(rate)
        self._octets, self._socket = octets, socket.create_connection(("127.0.0.1", port), 60)
        self._lines = self._socket.makefile("rb")
        self._reply()
        for line in ("EHLO slow.example.test", f"MAIL FROM:<{ANNA}>", f"RCPT TO:<{RECIPIENT}>", "DATA"):
            self._socket.sendall(f"{line}\r\n".encode())
            self._reply()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _reply(self) -> None:
        while (line := self._lines.readline())[3:4] == b"-":
            pass
        if line[:1] not in (b"2", b"3"):
            raise Failed(f"a slow client was answered {line!r}")

    def _run(self) -> None:
        try:
            self.begin()
            while self.moved < len(self._octets):
                self.wait()
                piece = self._octets[self.moved : self.moved + _PIECE]
                self._socket.sendall(piece)
                self.moved += len(piece)
            self._socket.sendall(b".\r\n")
            self._reply()
        except (OSError, Failed) as error:
            self.failure = f"{error}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


class _SlowReader(_Paced):
    """A session of a next hop that reads slowly."""

    def __init__(self, connection: socket.socket, rate: float, size: int):
        super().__init__(rate)
        self._socket, self._size, self.is_reading, self.messages = connection, size, False, 0
        # What the system holds for a reader is not to be half of the message.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * _PIECE)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(b"220 slow.example.test\r\n")
            lines = self._socket.makefile("rb", buffering=_PIECE)
            while line := lines.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    self._socket.sendall(b"354 Go on\r\n")
                    self._message(lines)
                self._socket.sendall(b"221 Bye\r\n" if verb == b"QUIT" else b"250 Ok\r\n")

    def _message(self, lines) -> None:
        self.begin()
        self.is_reading, tail = True, b""
        while not tail.endswith(b"\r\n.\r\n"):
            self.wait()
            piece = lines.read1(_PIECE)
            if not piece:
                raise OSError("the gateway went away")
            tail = (tail + piece)[-5:]
            self.moved += len(piece)
        self.is_reading, self.messages = False, self.messages + 1

    @property
    def is_midway(self) -> bool:
        return self.is_reading and _FROM * self._size < self.moved < _TO * self._size


class _SlowHop:
    """A next hop of slow readers."""

    def __init__(self, port: int, rate: float, size: int):
        self._rate, self._size, self.readers = rate, size, []
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.readers.append(_SlowReader(self._listener.accept()[0], self._rate, self._size))

    @property
    def messages(self) -> int:
        return sum(reader.messages for reader in self.readers)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _plateau(subject: Ceralacca, midway: Callable[[], int], is_over: Callable[[], bool], seconds: float) -> tuple[list[tuple], int]:
    """Memory, again and again while messages are midway: (how many, all of it, without files) each; and how many there were at the most."""
    found, deadline = [], time.monotonic() + seconds
    while not is_over():
        before = midway()
        memory = proportional_memory(subject.pids())
        # Counted only where nothing began or ended meanwhile.
        if before and midway() == before:
            found.append((before, *memory))
        if time.monotonic() > deadline:
            raise Failed(f"the slow messages were not through after {seconds:g} s")
        time.sleep(_EVERY_SECONDS)
    most = max((count for count, *_ in found), default=0)
    return [each for each in found if each[0] == most], most


def _each(found: list[tuple], most: int, rest: tuple[int, int]) -> tuple[float, float]:
    """Megabytes of a message, without files and with them."""
    if len(found) < 3:
        raise Failed(f"memory was looked at only {len(found)} times while {most} messages were midway")
    whole, anonymous = (statistics.median(each[at] for each in found) for at in (1, 2))
    return (anonymous - rest[1]) / most / 2**20, (whole - rest[0]) / most / 2**20


def measure(subject: Ceralacca, message: Path, count: int, rate: float, rest: tuple[int, int]) -> dict:
    """Memory of each of `count` messages that come at `rate` octets a second each, and of each that goes as slowly. `rest`: the gateway's
    memory without them, all of it and without files."""
    octets = message.read_bytes()
    size = len(octets)
    limit = 6 * size / rate + 60
    hop, mailboxes = _SlowHop(subject.world, rate, size), Sink(subject.mailboxes, *LMTP)
    senders = [_Sender(subject.port, octets, rate) for _ in range(count)]
    try:
        for sender in senders:
            sender.thread.start()
        coming, most_coming = _plateau(
            subject,
            lambda: sum(_FROM * size < sender.moved < _TO * size for sender in senders),
            lambda: not any(sender.thread.is_alive() for sender in senders), limit,
        )  # fmt: skip
        if failures := [sender.failure for sender in senders if sender.failure]:
            raise Failed(f"a slow client: {failures[0]}")
        going, most_going = _plateau(
            subject, lambda: sum(reader.is_midway for reader in hop.readers), lambda: hop.messages >= count, limit
        )
        poll(lambda: subject.gateway.queue() == [], 60, "an empty queue behind the slow messages", every=0.3)
    finally:
        hop.close()
        mailboxes.close()
        for sender in senders:
            sender.close()
    anonymous, whole = _each(coming, most_coming, rest)
    anonymous_going, whole_going = _each(going, most_going, rest)
    return {
        "coming": most_coming, "comingMegabytes": round(anonymous, 3), "comingWithFilesMegabytes": round(whole, 3),
        "going": most_going, "goingMegabytes": round(anonymous_going, 3), "goingWithFilesMegabytes": round(whole_going, 3),
    }  # fmt: skip
