"""Rounds: the same load through several subjects in turn, and what comes of it."""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from interop.base import poll

from .load import Load, Sink, monotonic_seconds
from .measure import FAILURES, Failed, Subject, SyncCount, Usage

#: What identifies a row, and is no figure.
_LABELS = ("bytes", "messages", "sessions", "startSeconds")


def one_round(subject: Subject, load: Load, seconds: float = 120) -> dict:
    """The load through one subject. The clock starts when the connections are ready, and stops when the last message is with its sink (or
    in its Maildir). More or fewer messages at a sink than there must be end the round as a failure."""
    sinks: list[Sink] = []
    usage = Usage(subject)
    try:
        for way in subject.ways:
            sinks.append(Sink(way.port, *way.words, messages=load.count * way.per_message))
        sent = load.send(subject.port, seconds)
        arrived = [sink.wait(seconds) for sink in sinks]
        poll(lambda: subject.settled(load.count), seconds, lambda: f"{load.count} messages that {subject.name} stores", every=0.002)
        end = max([each["lastArrivalNanoseconds"] for each in arrived] + [sent["endNanoseconds"]]) / 1e9
        if not arrived or subject.settles:
            end = max(end, monotonic_seconds())
        usage.stop()
        for way, found in zip(subject.ways, arrived):
            if found["messages"] != load.count * way.per_message:
                raise Failed(f"{subject.name}: a sink got {found['messages']} messages where {load.count * way.per_message} were due")
        return _row(subject, load, sent, end) | usage.per_message(load.count)
    finally:
        usage.stop()
        for sink in sinks:
            sink.close()
        subject.clean()


def _row(subject: Subject, load: Load, sent: dict, end: float) -> dict:
    seconds = end - sent["startNanoseconds"] / 1e9
    return {
        "subject": subject.name,
        "bytes": load.size,
        "messages": load.count,
        "sessions": load.sessions,
        "acceptedSeconds": sent["seconds"],
        "seconds": round(seconds, 4),
        "messagesPerSecond": round(load.count / seconds, 2),
        "acceptedPerSecond": sent["acceptedPerSecond"],
        "megabytesPerSecond": round(load.count * load.size / seconds / 1e6, 2),
        "answerP50Milliseconds": round(sent["answerMicroseconds"]["p50"] / 1e3, 3),
        "answerP99Milliseconds": round(sent["answerMicroseconds"]["p99"] / 1e3, 3),
        # From the time a message was meant to begin at to its answer.
        "wholeP99Milliseconds": round(sent["latencyMicroseconds"]["p99"] / 1e3, 3),
        "generatorMicrosecondsPerMessage": round(sent["cpuMicrosecondsPerMessage"]),
        # Asked for by --buckets.
        **({"buckets": sent["answerMicroseconds"]["buckets"]} if "buckets" in sent["answerMicroseconds"] else {}),
    }


def median(rounds: list[dict]) -> dict:
    """One row of several: medians, the highest of what is a peak, and how far apart the rounds were."""
    merged = dict(rounds[0])
    for key, value in rounds[0].items():
        if isinstance(value, (int, float)) and key not in _LABELS:
            values = [each[key] for each in rounds]
            merged[key] = max(values) if key.startswith("peak") else statistics.median(values)
    rates = [each["messagesPerSecond"] for each in rounds]
    merged["rounds"], merged["ofRounds"] = len(rounds), rates
    merged["worstMessagesPerSecond"], merged["bestMessagesPerSecond"] = min(rates), max(rates)
    merged["spread"] = round(max(rates) / min(rates), 2)
    return merged


class Comparison:
    """One kind of load through several subjects, ours first. `rows` are the results, `failures` what went wrong.

    `between`: called between two rounds of a size; what it gives back is a figure of its own (`floors`).
    """

    def __init__(
        self,
        name: str,
        subjects: Sequence[Subject],
        rounds: int,
        minutes: float,
        folder: Path,
        between: Callable[[], float] | None = None,
    ):
        self.name, self.subjects, self._rounds, self._folder, self._between = name, list(subjects), rounds, folder, between
        self._deadline = time.monotonic() + minutes * 60
        self.rows: list[dict] = []
        self.floors: list[float] = []
        self.failures: list[str] = []

    def measure(self, load: Callable[[int], Load], count: int, few: int, syncs: bool = True) -> list[dict]:
        """All rounds of one kind of load, after one to warm up (and, if asked for, one to count syncs in), which are `few` messages long.
        `load`: makes the load of a round of so many messages. Gives back the rows of this load."""
        first = load(few)
        able = [subject for subject in self.subjects if self._attempt(subject, first)]
        # Nothing is sent to one subject twice: some know a message again.
        second = load(few) if syncs else first
        counted = {subject.name: self._syncs(subject, second) for subject in able} if syncs else {}
        measured: dict[str, list[dict]] = {subject.name: [] for subject in able}
        for number in range(self._rounds):
            if time.monotonic() > self._deadline and number > 0:
                print("  the time is up: no more rounds of this kind")
                break
            if self._between:
                self.floors.append(self._between())
            this = load(count)
            for subject in able if number % 2 == 0 else able[::-1]:
                if row := self._attempt(subject, this):
                    measured[subject.name].append(row)
                    self._say(row, number)
                else:
                    able = [each for each in able if each is not subject]
        rows = [self._merged(subject, measured[subject.name], counted) for subject in self.subjects if measured.get(subject.name)]
        self._relate(rows)
        self.rows += rows
        return rows

    def _merged(self, subject: Subject, rounds: list[dict], counted: dict) -> dict:
        row = {"scenario": self.name, **median(rounds), "durability": subject.durability}
        found = counted.get(subject.name)
        return row | ({"syncsPerMessage": found[0], "syncsBy": found[1]} if found else {})

    def _relate(self, rows: list[dict]) -> None:
        """Ours against each of the others, where ours is there."""
        if not rows or rows[0]["subject"] != self.subjects[0].name:
            return
        ours = rows[0]
        for theirs in rows[1:]:
            pairs = sorted(mine / other for mine, other in zip(ours["ofRounds"], theirs["ofRounds"]))
            theirs["ratio"] = round(ours["messagesPerSecond"] / theirs["messagesPerSecond"], 3)
            theirs["ratioOfRounds"] = [round(pairs[0], 2), round(pairs[-1], 2)]
            theirs["cpuRatio"] = round(ours["cpuMicrosecondsPerMessage"] / max(1, theirs["cpuMicrosecondsPerMessage"]), 3)

    def _attempt(self, subject: Subject, load: Load) -> dict | None:
        try:
            return one_round(subject, load)
        except FAILURES as error:
            self.failures.append(f"{self.name}, {subject.name}, {load.size:,} octets: {error}")
            print(f"  FAILED: {self.failures[-1]}\n  The last words of {subject.name}: {subject.last_words()}", flush=True)
            return None

    def _syncs(self, subject: Subject, load: Load) -> tuple[float, str] | None:
        """Syncs a message, in a round that is not measured; nil when nothing here may count them."""
        counter = SyncCount(subject.pids(), self._folder)
        try:
            if not self._attempt(subject, load):
                return None
        finally:
            counter.stop()
        return (round(counter.count / load.count, 2), counter.by) if counter.count is not None else None

    def _say(self, row: dict, number: int) -> None:
        print(
            f"  {self.name} {row['bytes']:>10,} octets, {row['sessions']:3} sessions, round {number + 1}, {row['subject']:23}: "
            f"{row['messagesPerSecond']:8.1f} msg/s, {row['cpuMicrosecondsPerMessage']} µs CPU a message",
            flush=True,
        )


_COLUMNS = (
    ("octets", lambda row: f"{row['bytes']:,}"),
    ("to", lambda row: f"{row.get('recipients', 1)}"),
    ("sessions", lambda row: f"{row['sessions']}"),
    ("subject", lambda row: row["subject"]),
    ("msg/s", lambda row: f"{row['messagesPerSecond']:.1f}"),
    ("worst", lambda row: f"{row['worstMessagesPerSecond']:.1f}"),
    ("spread", lambda row: f"{row['spread']:.2f}"),
    ("accepted/s", lambda row: f"{row['acceptedPerSecond']:.1f}"),
    ("MB/s", lambda row: f"{row['megabytesPerSecond']:.1f}"),
    ("250 p99 ms", lambda row: f"{row['answerP99Milliseconds']:.1f}"),
    ("CPU µs/msg", lambda row: f"{row['cpuMicrosecondsPerMessage']:.0f}"),
    ("syncs/msg", lambda row: f"{row['syncsPerMessage']:.2f}" if "syncsPerMessage" in row else "?"),
    ("peak MB", lambda row: f"{row['peakMegabytes']:.0f}"),
    ("without files", lambda row: f"{row['peakAnonymousMegabytes']:.0f}"),
    ("ours/theirs", lambda row: f"{row['ratio']:.2f}" if "ratio" in row else ""),
    ("of rounds", lambda row: "{:.2f}-{:.2f}".format(*row["ratioOfRounds"]) if "ratioOfRounds" in row else ""),
    ("CPU ratio", lambda row: f"{row['cpuRatio']:.2f}" if "cpuRatio" in row else ""),
)


def lines(rows: list[dict]) -> list[list[str]]:
    """The rows as a table's cells, the head first."""
    return [[title for title, _ in _COLUMNS]] + [[show(row) for _, show in _COLUMNS] for row in rows]


def table(cells: list[list[str]], left: tuple[int, ...] = (3,)) -> str:
    """For the terminal; `left`: columns of words."""
    widths = [max(len(line[at]) for line in cells) for at in range(len(cells[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) if at in left else text.rjust(width) for at, (text, width) in enumerate(zip(line, widths))).rstrip()
        for line in cells
    )


def durabilities(rows: list[dict]) -> list[str]:
    """What each subject has on disk before it says 250, once each."""
    return [f"{name}: {words}" for name, words in dict((row["subject"], row["durability"]) for row in rows).items()]
