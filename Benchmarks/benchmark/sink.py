"""An SMTP sink that plays the sending provider: counts take-charge and delivery receipts, each by what it refers to, and keeps nothing.

  sink.py PORT COUNT

A process of its own. It ends when it has COUNT of each kind, or when nothing has come for a while, and then prints what it got as JSON.
It reads every receipt's header, which a sink that is measured with has no time for.
"""

import json
import re
import selectors
import socket
import sys
import time

_END = b"\r\n.\r\n"
_REPLIES = {
    b"EHLO": b"250-sink.example.test\r\n250-PIPELINING\r\n250-SIZE 200000000\r\n250 8BITMIME\r\n",
    b"DATA": b"354 Go on\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}
_OK = b"250 2.0.0 Ok\r\n"
#: A receipt's own header lies within these first octets.
_HEAD_BYTES = 16_384
#: Silence after which it gives up.
_SILENCE_SECONDS = 30


class Session:
    def __init__(self, connection: socket.socket):
        self.connection, self.buffer = connection, b""
        self.in_body, self.head, self.tail = False, b"", b""

    def feed(self, octets: bytes, taken) -> bytes:
        """The replies to what came in; `taken` is called with the beginning of every message that is complete."""
        replies = b""
        while octets or b"\n" in self.buffer:
            if self.in_body:
                # The end may lie across two pieces; what is behind it are commands again.
                seen, octets = self.tail + octets, b""
                at = seen.find(_END)
                if len(self.head) < _HEAD_BYTES:
                    self.head += seen[len(self.tail) :][:_HEAD_BYTES]
                if at < 0:
                    self.tail = seen[1 - len(_END) :]
                    return replies
                taken(self.head)
                replies += _OK
                self.in_body, self.buffer = False, seen[at + len(_END) :]
                continue
            self.buffer += octets
            octets = b""
            line, found, rest = self.buffer.partition(b"\r\n")
            if not found:
                return replies
            self.buffer = rest
            verb = line[:4].upper()
            replies += _REPLIES.get(verb, _OK)
            if verb == b"DATA":
                # The line end before the first line counts: a body may be just the final dot.
                self.in_body, self.head, self.tail = True, b"", b"\r\n"
                octets, self.buffer = self.buffer, b""
        return replies


class Sink:
    def __init__(self, port: int, wanted: int):
        self._wanted = wanted
        self._references: dict[str, set[bytes]] = {}
        self.counts: dict[str, int] = {}
        self._heard = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def _taken(self, head: bytes) -> None:
        def value(name: bytes) -> bytes:
            found = re.search(rb"(?im)^" + name + rb":[ \t]*([^\r\n]*)", head)
            return found[1] if found else b""

        kind = (value(b"X-Ricevuta") or value(b"X-Trasporto") or b"ordinary").decode("ascii", "replace")
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self._references.setdefault(kind, set()).add(value(b"X-Riferimento-Message-ID"))

    def _has_all(self) -> bool:
        return all(len(self._references.get(kind, ())) >= self._wanted for kind in ("presa-in-carico", "avvenuta-consegna"))

    def run(self) -> dict:
        while not self._has_all() and time.monotonic() < self._heard + _SILENCE_SECONDS:
            for key, _ in self._selector.select(1):
                self._heard = time.monotonic()
                if key.fileobj is self._listener:
                    connection, _ = self._listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._selector.register(connection, selectors.EVENT_READ, Session(connection))
                    connection.sendall(b"220 sink.example.test ESMTP\r\n")
                    continue
                session = key.data
                try:
                    octets = session.connection.recv(262_144)
                    replies = session.feed(octets, self._taken) if octets else b""
                    if replies:
                        session.connection.sendall(replies)
                except OSError:
                    octets = b""
                if not octets:
                    self._selector.unregister(session.connection)
                    session.connection.close()
        return {"counts": self.counts, "distinct": {kind: len(found) for kind, found in self._references.items()}}


if __name__ == "__main__":
    print(json.dumps(Sink(int(sys.argv[1]), int(sys.argv[2])).run()), flush=True)
