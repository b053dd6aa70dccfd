"""A run as a page that needs nothing else: goals, throughput, latencies, where the time goes, growth."""

import html
import math
from pathlib import Path

from . import plot, rounds
from .stage import Stage

_TITLES = {
    "access-point": "The whole access point", "relay": "Ordinary mail passed on", "large": "Large messages",
    "incoming": "The incoming side", "outgoing": "The access point by size", "recipients": "Many recipients",
    "conversations": "Conversations between two providers",
}  # fmt: skip


def _words(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _by_load(rows: list[dict]) -> dict[tuple, list[dict]]:
    """The rows of each load together."""
    found: dict[tuple, list[dict]] = {}
    for row in rows:
        found.setdefault((row["bytes"], row["sessions"], row.get("recipients", 1)), []).append(row)
    return found


def _throughput(name: str, rows: list[dict]) -> list[str]:
    parts = [f"<h2>{html.escape(_TITLES.get(name, name))}</h2>"]
    for (size, sessions, recipients), some in _by_load(rows).items():
        to = f", {recipients} recipients" if recipients > 1 else ""
        title = f"{size:,} octets, {sessions} connections{to}: median of {some[0]['rounds']} rounds, lowest to highest"
        bars = plot.Bars(title, "messages a second")
        for row in some:
            bars.bar(row["subject"], row["messagesPerSecond"], (row["worstMessagesPerSecond"], row["bestMessagesPerSecond"]))
        parts.append(bars.svg())
    used = plot.Bars("CPU a message", "µs")
    for row in rows:
        used.bar(f"{row['subject']}, {row['bytes']:,}", row["cpuMicrosecondsPerMessage"])
    return [*parts, used.svg(), plot.table(rounds.lines(rows)), "<p>Durable before 250:</p>", _words(rounds.durabilities(rows))]


def _growth(name: str, rows: list[dict]) -> list[str]:
    """Lines over sizes or recipients, where there are several."""
    parts = []
    for key, across, figure, unit in (
        ("bytes", "octets of a message", "megabytesPerSecond", "MB/s"),
        ("recipients", "recipients of a message", "messagesPerSecond", "messages/s"),
    ):
        places = sorted({row.get(key, 1) for row in rows})
        if len(places) < 3:
            continue
        # By doublings: sizes lie far apart.
        ticks = [(math.log2(place / places[0]) + 1, f"{place:,}") for place in places]
        chart = plot.Chart(f"Growth: {_TITLES.get(name, name).lower()}", unit, across, [(0, ""), *ticks])
        for subject in dict.fromkeys(row["subject"] for row in rows):
            best = {}
            for row in rows:
                if row["subject"] == subject:
                    place = math.log2(row.get(key, 1) / places[0]) + 1
                    best[place] = max(best.get(place, 0), row[figure])
            chart.line(subject, sorted(best.items()))
        parts.append(chart.svg())
    return parts


def _percentiles(latencies: dict[str, list[tuple[float, int]]]) -> list[str]:
    """How long the slowest tenth, hundredth and thousandth waited: the axis is stretched towards the end."""
    if not latencies:
        return []
    ticks = [(0, "0"), (math.log10(2), "p50"), (1, "p90"), (2, "p99"), (3, "p99.9"), (3.3, "")]
    chart = plot.Chart("250 after the final dot at half load", "ms", "percentile", ticks)
    for name, buckets in latencies.items():
        points, seen, total = [], 0, sum(count for _, count in buckets)
        for microseconds, count in sorted(buckets):
            seen += count
            place = math.log10(total / max(1, total - seen)) if seen < total else math.log10(total)
            points.append((min(place, 3.3), microseconds / 1e3))
        chart.line(name, points[:: max(1, len(points) // 200)] + points[-1:])
    return ["<h2>Latency</h2>", chart.svg()]


def _profiles(details: list[dict]) -> list[str]:
    parts = ["<h2>Where the time goes</h2>"] if details else []
    for detail in details:
        bars = plot.Bars(f"{detail['side']}, {detail['bytes']:,} octets: CPU a message by thread", "µs")
        for name, used in detail["cpuMicrosecondsPerMessageByThread"].items():
            bars.bar(name, used)
        parts.append(bars.svg())
        if detail.get("byLibrary"):
            parts.append(plot.table([["share and library (perf)"]] + [[line] for line in detail["byLibrary"][:12]]))
            parts.append(plot.table([["share, library and function (perf)"]] + [[line] for line in detail["bySymbol"][:20]]))
    return parts


def write(path: Path, stage: Stage, about: dict) -> None:
    parts = [plot.table([["machine", ""]] + [[key, str(value)] for key, value in about.items()])]
    if stage.goals.values:
        parts += ["<h2>Goals</h2>", plot.table(stage.goals.lines())]
    if stage.checks:
        checks = [["check", "found", "bound", ""]]
        for each in stage.checks:
            bound = f"{'≤' if each['atMost'] else '≥'} {each['bound']:g}"
            checks.append([each["name"], f"{each['value']:g}", bound, "met" if each["met"] else "missed"])
        parts.append(plot.table(checks))
    if stage.floors:
        floors = [[name, f"{value:g}"] for name, value in stage.floors.items()]
        parts.append(plot.table([["what was measured between rounds", ""], *floors]))
    measured = [row for row in stage.rows if "worstMessagesPerSecond" in row and row["scenario"] != "latency"]
    for name in dict.fromkeys(row["scenario"] for row in measured):
        rows = [row for row in measured if row["scenario"] == name]
        parts += _throughput(name, rows) + _growth(name, rows)
    parts += _percentiles(stage.latencies) + _profiles(stage.details)
    if stage.failures:
        parts += ["<h2>Failures</h2>", _words(stage.failures)]
    plot.page(path, "Ceralacca, measured", parts)
