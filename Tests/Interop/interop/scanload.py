"""Load for a guarded gateway: clients that submit clean and infected messages, and retry what is put off, as mail programs do."""

import collections
import random
import threading
import time
import zlib
from dataclasses import dataclass, field

from . import compose
from .counterpart import transaction
from .expect import Sent
from .guarded import EICAR, Guarded
from .lab import ANNA
from .provider import Letter
from .virusmail import PLAIN, attachment, mixed, nested_zips

#: The answer to a message that two workers died of: it is kept for the analyst, and the client is to come again much later.
FAULT = "could not be checked for viruses"


@dataclass
class Item:
    """One message of the load. `letter`: an envelope of Gamma's for the incoming point, otherwise a submission of Anna's."""

    key: str
    packed: bytes
    recipients: list[str]
    is_infected: bool
    letter: Letter | None = None
    #: Replies in order, and seconds that the last one took.
    codes: list[int] = field(default_factory=list)
    seconds: float = 0
    is_held: bool = False

    @property
    def octets(self) -> bytes:
        return zlib.decompress(self.packed)

    @property
    def sent(self) -> Sent:
        return Sent(self.octets, ANNA, self.recipients, ..., self.key)

    @property
    def is_answered(self) -> bool:
        return bool(self.codes) and self.codes[-1] == 250


def submission(dice: random.Random, number: int, is_infected: bool) -> Item:
    """A message that no other is like, so that no verdict is remembered for it."""
    size = dice.choices([500, 5000, 60_000, 500_000], [30, 55, 12, 3])[0]
    lines = [b"%032x numero %d" % (dice.getrandbits(128), number) for _ in range(size // 45 + 1)]
    text = b"Content-Type: text/plain; charset=us-ascii\r\n\r\n" + b"\r\n".join(lines) + b"\r\n"
    parts = [PLAIN, text]
    if is_infected:
        ill = dice.choice([attachment(EICAR, "conto.com"), attachment(nested_zips(EICAR, 2), "conto.zip"), text + EICAR + b"\r\n"])
        parts.insert(dice.randrange(3), ill)
    elif dice.randrange(3) == 0:
        parts.append(attachment(nested_zips(b"".join(lines), 1, "righe.txt"), "righe.zip"))
    recipients = [f"c{number}@posta.example.test"]
    identifier = f"<{compose.token()}@client.example.test>"
    head = (
        f"Date: Tue, 10 Mar 2026 09:14:58 +0100\r\nFrom: {ANNA}\r\nTo: {recipients[0]}\r\nSubject: Carico\r\nMessage-ID: {identifier}\r\n"
    )
    return Item(identifier, zlib.compress(head.encode() + mixed(*parts), 1), recipients, is_infected)


class Load:
    """Works through items with some connections at once. A message that is put off is tried again until `patience` seconds are over."""

    def __init__(self, gateway: Guarded, clients: int = 6, patience: float = 120, pause: float = 0.05):
        self.gateway, self.clients, self.patience, self.pause = gateway, clients, patience, pause
        self.replies: collections.Counter[str] = collections.Counter()
        self.done: list[Item] = []
        #: True when every item is with a client, or done.
        self.is_drained = False
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, items) -> "Load":
        """`items` is taken from as long as it gives any, or until `stop`."""
        self._items = iter(items)
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._over.set()
        self.join()

    def join(self, seconds: float = 900) -> "Load":
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
            assert not thread.is_alive(), "a client hangs"
        return self

    @property
    def is_over(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def _next(self) -> Item | None:
        with self._lock:
            item = None if self._over.is_set() else next(self._items, None)
            self.is_drained = item is None
            return item

    def _client(self) -> None:
        sessions, count = {}, 0
        while item := self._next():
            self._deliver(item, sessions)
            count += 1
            if count % 200 == 0:
                for point in list(sessions):
                    sessions.pop(point).close()
            with self._lock:
                self.done.append(item)
        for session in sessions.values():
            session.close()

    def _deliver(self, item: Item, sessions: dict) -> None:
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            point = "incoming" if item.letter else "trusted"
            began = time.monotonic()
            try:
                if point not in sessions:
                    sessions[point] = getattr(self.gateway, point)(seconds=150)
                began = time.monotonic()
                sender = item.letter.mail_from if item.letter else ANNA
                reply = transaction(sessions[point], sender, item.recipients, item.octets)
            except (OSError, AssertionError) as error:
                if point in sessions:
                    sessions.pop(point).close()
                with self._lock:
                    self.replies[type(error).__name__ + ": " + str(error)[:80]] += 1
                self._over.wait(self.pause)
                continue
            item.seconds = time.monotonic() - began
            item.codes.append(reply.code)
            with self._lock:
                self.replies[f"{reply.code} {' '.join(reply.text.split()[1:7])}" if reply.code != 250 else "250"] += 1
            if reply.code == 250:
                return
            if FAULT in reply.text:
                # Remembered for a quarter of an hour: it will be no better in a moment.
                item.is_held = True
                return
            # A client that is put off comes again with a new connection: the gateway bounds what one may do.
            sessions.pop(point).close()
            self._over.wait(self.pause)
