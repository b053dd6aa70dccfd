"""The certified log: how fast it takes rows and how fast it answers as it grows to ten million of them, and what writing it costs.

A small program of the tree (`ledger-benchmark`) fills a ledger as a busy gateway would. Then the access point's throughput is measured as
in `outgoing`, with the log and without it (`ceralacca serve --measuring-without-log`), in turn.
"""

import html
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from interop import base
from interop.base import executable, poll, spawn
from interop.lab import Gateway

from . import plot
from .load import Load, build, message_file
from .measure import FAILURES, Failed, answers
from .rounds import one_round
from .subjects import Ceralacca

SIZES = [0, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000]
QUICK_SIZES = [0, 200_000]
#: What a row takes in the file at the most, with room for the empty logs beside it.
_BYTES_PER_ROW = 1_200
#: The goals, at the last size.
_SEARCH_MILLISECONDS = 100
_APPEND_RATIO = 0.9
_COST_RATIO = 0.9
#: Octets of a message, messages in a round, sessions. Many short rounds in turn: a machine that others share changes its pace within
#: seconds.
_MESSAGES = (5_000, 500, 10)
_QUICK_MESSAGES = (5_000, 300, 10)


def filler() -> Path:
    """The program that fills a ledger: beside the gateway under test, or built here."""
    beside = Path(executable()).with_name("ledger-benchmark")
    if os.access(beside, os.X_OK):
        return beside
    return build("ledger-benchmark")


def folder_on_disk() -> Path:
    """A fresh folder on the disk that the tree lies on (the system's temporary folder may be memory); it goes with the run."""
    below = base.REPOSITORY / ".build"
    below.mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="benchmark-log-", dir=below))
    base._folders.append(made)
    return made


class WithoutLog(Gateway):
    """A gateway that writes no row of the log."""

    def start(self, seconds: float = 60) -> Gateway:
        words = [executable(), "serve", "--config", self.configuration, "--measuring-without-log"]
        self.process = spawn(words, self.log, env=self.environment)
        poll(lambda: self.process.poll() is not None or answers(self.ports.trusted), seconds, "a greeting of the gateway without its log")
        if self.process.poll() is not None:
            raise Failed(f"the gateway without its log ended with {self.process.returncode}: {base.tail(self.log)}")
        return self


class Log:
    """Both measurements. `sizes` and `cost` are the results, `goals` what they are held against, `failures` what went wrong."""

    def __init__(self, quick: bool, rounds: int, minutes: float):
        self._quick, self._rounds, self._minutes = quick, rounds, minutes
        self.sizes: list[dict] = []
        self.cost: list[dict] = []
        self.goals: list[dict] = []
        self.failures: list[str] = []

    def measure(self) -> None:
        for name, part in (("the log", self._fill), ("the log's cost", self._compare)):
            try:
                part()
            except FAILURES as error:
                self.failures.append(f"{name}: {error}")
        self._judge()

    # Rows and questions

    def _fill(self) -> None:
        sizes, folder = QUICK_SIZES if self._quick else SIZES, folder_on_disk()
        needed, free = sizes[-1] * _BYTES_PER_ROW, shutil.disk_usage(folder).free
        if free < needed:
            raise Failed(f"{needed / 1e9:.0f} GB of disk are needed, {free / 1e9:.0f} GB are free")
        words = [str(filler()), str(folder), ",".join(map(str, sizes))] + (["quick"] if self._quick else [])
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        base._children.append(child)
        for line in child.stdout:
            self.sizes.append(json.loads(line))
            self._say(self.sizes[-1])
        words = child.stderr.read()
        base._children.remove(child)
        if child.wait():
            raise Failed(f"ledger-benchmark ended with {child.returncode}: {words[-500:]}")
        for size in self.sizes:
            for search in size["searches"]:
                if search["fault"]:
                    self.failures.append(f"a search for {search['name']} in {size['rows']:,} rows: {search['fault']}")
        shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def _say(size: dict) -> None:
        slowest = max(size["searches"], key=lambda search: search["slowestMilliseconds"], default=None)
        words = f", slowest search {slowest['slowestMilliseconds']:.1f} ms ({slowest['name']})" if slowest else ""
        print(
            f"  {size['rows']:>10,} rows: {size['fileBytes'] / 1e6:8.1f} MB, {size['rowsPerSecond']:8.0f} rows/s, a new log beside it "
            f"{size['emptyRowsPerSecond']:8.0f}{words}",
            flush=True,
        )

    # The gateway with it and without it

    def _compare(self) -> None:
        subjects: list[Ceralacca] = []
        try:
            for name, make in (("with the log", Gateway), ("without it", WithoutLog)):
                subjects.append(Ceralacca(maildir=True, make=make))
                subjects[-1].name = name
            self._rounds_of(subjects)
        finally:
            for subject in subjects:
                subject.stop()

    def _rounds_of(self, subjects: list[Ceralacca]) -> None:
        size, count, sessions = _QUICK_MESSAGES if self._quick else _MESSAGES
        path, deadline = message_file(base.new_folder("benchmark-cost"), size), time.monotonic() + self._minutes * 60
        measured: dict[str, list[dict]] = {subject.name: [] for subject in subjects}
        for subject in subjects:
            one_round(subject, Load(size, count // 4, sessions, path))
        for number in range(self._rounds):
            if time.monotonic() > deadline and number > 0:
                print("the time is up: no more rounds")
                break
            for subject in subjects if number % 2 == 0 else subjects[::-1]:
                row = one_round(subject, Load(size, count, sessions, path))
                measured[subject.name].append(row)
                print(
                    f"  {size:,} octets, {sessions} sessions, round {number + 1}, {subject.name:12}: "
                    f"{row['messagesPerSecond']:8.1f} msg/s, {row['cpuMicrosecondsPerMessage']} µs CPU a message",
                    flush=True,
                )
        for name, rounds in measured.items():
            keys = ("messagesPerSecond", "acceptedPerSecond", "cpuMicrosecondsPerMessage")
            medians = {key: statistics.median(each[key] for each in rounds) for key in keys}
            spread = max(each["seconds"] for each in rounds) / min(each["seconds"] for each in rounds)
            about = {"subject": name, "bytes": size, "messages": count, "sessions": sessions, "rounds": len(rounds)}
            self.cost.append({**about, **medians, "spread": round(spread, 2)})
        pairs = zip(measured["with the log"], measured["without it"])
        ratios = sorted(other["seconds"] / ours["seconds"] for ours, other in pairs)
        self.cost[0]["ratio"] = round(statistics.median(ratios), 3)
        self.cost[0]["half of the pairs"] = [round(ratios[len(ratios) // 4], 2), round(ratios[(3 * len(ratios) - 1) // 4], 2)]

    # What it must show

    def _judge(self) -> None:
        if self.sizes:
            largest = self.sizes[-1]
            where = f"{largest['rows']:,} rows"
            slowest = max(largest["searches"], key=lambda search: search["slowestMilliseconds"])
            self._goal(
                f"slowest search in {where} ({slowest['name']}), ms", slowest["slowestMilliseconds"], _SEARCH_MILLISECONDS, at_most=True
            )
            self._goal(f"rows a second into {where}, of those into a log that has just begun", largest["ratio"], _APPEND_RATIO)
        if self.cost:
            self._goal("messages a second with the log, of those without it", self.cost[0]["ratio"], _COST_RATIO)

    def _goal(self, name: str, value: float, wanted: float, at_most: bool = False) -> None:
        met = value < wanted if at_most else value >= wanted
        self.goals.append({"name": name, "value": value, "wanted": wanted, "met": met})
        # A look is no measurement, and decides nothing.
        if not met and not self._quick:
            self.failures.append(f"{name}: {value:.2f} where {'less than' if at_most else 'at least'} {wanted:g} is wanted")


# What people see


def _print(lines: list[list[str]]) -> None:
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for line in lines:
        print("  ".join(text.rjust(width) if at else text.ljust(width) for at, (text, width) in enumerate(zip(line, widths))))


def _append_table(found: Log) -> list[list[str]]:
    head = ["rows", "file MB", "bytes/row", "rows/s", "new log", "ratio", "of stretches", "CPU µs/row", "new log", "commit ms", "worst ms"]
    return [head] + [
        [
            f"{size['rows']:,}", f"{size['fileBytes'] / 1e6:.1f}", f"{size['fileBytes'] / size['rows']:.0f}" if size["rows"] else "",
            f"{size['rowsPerSecond']:.0f}", f"{size['emptyRowsPerSecond']:.0f}", f"{size['ratio']:.3f}",
            f"{min(size['ratios']):.2f}-{max(size['ratios']):.2f}", f"{size['cpuMicrosecondsPerRow']:.1f}",
            f"{size['emptyCPUMicrosecondsPerRow']:.1f}", f"{size['commitMilliseconds']:.1f}", f"{size['worstCommitMilliseconds']:.0f}",
        ]
        for size in found.sizes
    ]  # fmt: skip


def _search_table(found: Log) -> list[list[str]]:
    largest = found.sizes[-1]
    head = [f"in {largest['rows']:,} rows", "rows found", "median ms", "slowest ms", "worst ms", "again ms", "from the disk ms"]
    return [head] + [
        [
            search["name"], f"{search['rows']:,}", f"{search['milliseconds']:.1f}", f"{search['slowestMilliseconds']:.1f}",
            f"{search['worstMilliseconds']:.1f}", f"{search['againMilliseconds']:.1f}", f"{search['coldMilliseconds']:.1f}",
        ]
        for search in largest["searches"]
    ]  # fmt: skip


def _cost_table(found: Log) -> list[list[str]]:
    head = ["gateway", "msg/s", "accepted/s", "CPU µs/msg", "rounds", "spread", "ratio", "half of the pairs"]
    return [head] + [
        [
            row["subject"], f"{row['messagesPerSecond']:.1f}", f"{row['acceptedPerSecond']:.1f}", f"{row['cpuMicrosecondsPerMessage']:.0f}",
            f"{row['rounds']}", f"{row['spread']:.2f}", f"{row['ratio']:.3f}" if "ratio" in row else "",
            "{}-{}".format(*row["half of the pairs"]) if "ratio" in row else "",
        ]
        for row in found.cost
    ]  # fmt: skip


_ABOUT_APPENDING = (
    "Batches of 50 new messages and of what became of those before, each a durable commit. rows/s: the median of stretches of 32,768 rows.",
    "The same batches go in turn into a log that has just begun; ratio: the median of the stretches'. worst ms: the slowest commit.",
)
_ABOUT_SEARCHING = (
    "The first page of 1,000 rows, oldest or newest first, of each kind of question with several values, by a connection of its own and",
    "with the file in the system's memory. median: of all; slowest: the median of the slowest value; worst: of all; again: the same",
    "connection once more; from the disk: with nothing of the file in memory, the worse of two.",
)
_ABOUT_COST = ("Messages through the access point: scanned, signed twice, receipted, passed on. ratio: the median of pairs of rounds.",)


def report(found: Log, written: Path) -> None:
    print("\nCertified log")
    if found.sizes:
        _print(_append_table(found))
        print("\n".join(_ABOUT_APPENDING) + "\n")
        _print(_search_table(found))
        print("\n".join(_ABOUT_SEARCHING) + "\n")
    if found.cost:
        _print(_cost_table(found))
        print("\n".join(_ABOUT_COST))
    for goal in found.goals:
        print(f"{'met   ' if goal['met'] else 'MISSED'}  {goal['name']}: {goal['value']:.2f} ({goal['wanted']:g} wanted)")
    if found.sizes:
        draw(found, written)
        print(f"plots: {written}")
    for failure in found.failures:
        print(f"FAILED: {failure}")


def draw(found: Log, written: Path) -> None:
    """The plots and tables as a page."""
    sizes = found.sizes
    goals = [["goal", "wanted", "found", ""]] + [
        [goal["name"], f"{goal['wanted']:g}", f"{goal['value']:.2f}", "met" if goal["met"] else "missed"] for goal in found.goals
    ]
    rate = plot.Chart("Append rate", "rows a second")
    rate.line("this log", [(size["rows"], size["rowsPerSecond"]) for size in sizes])
    rate.line("a new log beside it", [(size["rows"], size["emptyRowsPerSecond"]) for size in sizes])
    ratio = plot.Chart("Append rate against a new log's", "ratio").line("ratio", [(size["rows"], size["ratio"]) for size in sizes])
    ratio.line("goal: at least 0.9", [(sizes[0]["rows"], _APPEND_RATIO), (sizes[-1]["rows"], _APPEND_RATIO)], dashed=True)
    file = plot.Chart("File", "MB").line("log.sqlite", [(size["rows"], size["fileBytes"] / 1e6) for size in sizes])
    parts = [plot.table(goals), "<h2>Appending</h2>", rate.svg(), ratio.svg(), file.svg(), plot.table(_append_table(found))]
    parts += [_paragraph(_ABOUT_APPENDING), "<h2>Searching</h2>"]
    parts += [chart.svg() for chart in _search_charts(sizes)]
    parts += [plot.table(_search_table(found)), _paragraph(_ABOUT_SEARCHING)]
    if found.cost:
        parts += ["<h2>What the log costs</h2>", plot.table(_cost_table(found)), _paragraph(_ABOUT_COST)]
    plot.page(written, "The certified log, measured", parts)


def _paragraph(lines: tuple[str, ...]) -> str:
    return f"<p>{html.escape(' '.join(lines))}</p>"


def _search_charts(sizes: list[dict]) -> list[plot.Chart]:
    """The times of all questions, eight in a chart, the slowest at the last size first."""
    series: dict[str, list[tuple[float, float]]] = {}
    for size in sizes:
        for search in size["searches"]:
            series.setdefault(search["name"], []).append((size["rows"], search["slowestMilliseconds"]))
    names = sorted(series, key=lambda name: -series[name][-1][1])
    charts = []
    for first in range(0, len(names), 8):
        chart = plot.Chart("Slowest search of a kind, file in memory", "ms")
        for name in names[first : first + 8]:
            chart.line(name, series[name])
        if first == 0:
            chart.line(f"goal: {_SEARCH_MILLISECONDS}", [(0, _SEARCH_MILLISECONDS), (sizes[-1]["rows"], _SEARCH_MILLISECONDS)], dashed=True)
        charts.append(chart)
    return charts
