"""What the scenarios of a run share: how long they may take, where they work, and the servers they start, each once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from .goals import Goals
from .measure import FAILURES, Subject
from .subjects import Ceralacca, Forwarder, ManyMailboxes, NaiveGateway, Relay, ScanningRelay

_S = TypeVar("_S", bound=Subject)


@dataclass
class Stage:
    """One run. `rows`, `details`, `checks`, `floors` and `goals` are what the scenarios found, `failures` what went wrong."""

    folder: Path
    quick: bool
    rounds: int
    minutes: float
    profiles: bool
    goals: Goals = field(default_factory=Goals)
    rows: list[dict] = field(default_factory=list)
    details: list[dict] = field(default_factory=list)
    #: What is held against a bound without being one of the goals.
    checks: list[dict] = field(default_factory=list)
    #: What the machine can do at all, measured between rounds.
    floors: dict[str, float] = field(default_factory=dict)
    #: Latency distributions: buckets of milliseconds and counts, by what they are of.
    latencies: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _started: dict[str, Subject] = field(default_factory=dict)

    def _subject(self, name: str, make: Callable[[], _S]) -> _S:
        if name not in self._started:
            self._started[name] = make()
        return self._started[name]  # type: ignore[return-value]

    @property
    def access_point(self) -> Ceralacca:
        """A gateway that scans, signs, and has its mailboxes behind LMTP; measured at its access point."""
        return self._subject("access point", Ceralacca).use("trusted")

    @property
    def incoming_point(self) -> Ceralacca:
        """The same gateway, measured at its incoming point."""
        return self._subject("access point", Ceralacca).use("incoming")

    @property
    def unscanned(self) -> Ceralacca:
        """A gateway that signs and does not scan, and has many mailboxes."""
        return self._subject("unscanned", lambda: Ceralacca(scans=False, make=ManyMailboxes)).use("trusted")

    @property
    def forwarder(self) -> Forwarder:
        return self._subject("forwarder", Forwarder)

    @property
    def postfix(self) -> Relay:
        return self._subject("postfix", Relay)

    @property
    def milter(self) -> ScanningRelay:
        return self._subject("milter", ScanningRelay)

    @property
    def naive(self) -> NaiveGateway:
        return self._subject("naive", NaiveGateway)

    def own(self, name: str, make: Callable[[], _S]) -> _S:
        """A subject of one scenario; it is stopped with the others."""
        return self._subject(name, make)

    def best(self, subject: Subject) -> float | None:
        """The throughput that was measured of a subject with 5 KB and many sessions, in the `access-point` and `latency` scenarios."""
        return self.floors.get(f"best {subject.name}")

    def note_best(self, name: str, rate: float) -> None:
        self.floors[f"best {name}"] = max(rate, self.floors.get(f"best {name}", 0))

    def check(self, name: str, value: float, bound: float, at_most: bool = False) -> None:
        met = value <= bound if at_most else value >= bound
        self.checks.append({"name": name, "value": round(value, 4), "bound": bound, "atMost": at_most, "met": met})

    def close(self) -> None:
        """Stops everything that was started, the last first."""
        for name, subject in reversed(self._started.items()):
            try:
                subject.stop()
            except FAILURES as error:
                self.failures.append(f"the end of {name}: {error}")
        self._started.clear()
