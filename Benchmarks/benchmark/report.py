"""A run as a page that needs nothing else: goals, throughput, latencies, where the time goes, growth."""

import html
import math
from pathlib import Path

from . import plot, rounds
from .stage import Stage

_TITLES = {
    "access-point": "The whole access point", "relay": "Ordinary mail passed on", "large": "Large messages",
    "incoming": "The incoming side", "outgoing": "The access point by size", "recipients": "Many recipients",
    "conversations": "Conversations between two providers", "mix": "Mail of all sizes", "queued": "Beside a long queue",
    "logged": "With a long log",
}  # fmt: skip


def _words(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _by_load(rows: list[dict]) -> dict[tuple, list[dict]]:
    """The rows of each load together."""
    found: dict[tuple, list[dict]] = {}
    for row in rows:
        found.setdefault((row["bytes"], row["sessions"], row.get("recipients", 1), row.get("beside", "")), []).append(row)
    return found


def _cpu_name(row: dict) -> str:
    """The subject and the load."""
    to = f", to {row['recipients']}" if row.get("recipients", 1) > 1 else ""
    if row.get("beside"):
        return row["subject"] if row["beside"] == row["subject"] else f"{row['subject']} ({row['beside']})"
    return f"{row['subject']}, {row['bytes']:,}{to}"


def _throughput(name: str, rows: list[dict]) -> list[str]:
    parts = [f"<h2>{html.escape(_TITLES.get(name, name))}</h2>"]
    for (size, sessions, recipients, _), some in _by_load(rows).items():
        to = f", {recipients} recipients" if recipients > 1 else ""
        title = f"{size:,} octets, {sessions} connections{to}: median of {some[0]['rounds']} rounds, lowest to highest"
        bars = plot.Bars(title, "messages a second")
        for row in some:
            bars.bar(row["subject"], row["messagesPerSecond"], (row["worstMessagesPerSecond"], row["bestMessagesPerSecond"]))
        parts.append(bars.svg())
    used = plot.Bars("CPU a message", "µs")
    for row in rows:
        used.bar(_cpu_name(row), row["cpuMicrosecondsPerMessage"])
    return [*parts, used.svg(), plot.table(rounds.lines(rows)), "<p>Durable before 250:</p>", _words(rounds.durabilities(rows))]


def _growth(name: str, rows: list[dict]) -> list[str]:
    """Lines over sizes or recipients, where there are several."""
    parts = []
    for key, across, figure, unit in (
        ("bytes", "octets of a message", "megabytesPerSecond", "MB/s"),
        ("recipients", "recipients of a message", "messagesPerSecond", "messages/s"),
        ("recipients", "recipients of a message", "recipientsPerSecond", "recipients/s"),
    ):
        places = sorted({row.get(key, 1) for row in rows})
        if len(places) < 3:
            continue
        # By doublings: sizes lie far apart.
        ticks = [(math.log2(place / places[0]) + 1, f"{place:,}") for place in places]
        chart = plot.Chart(f"Growth: {_TITLES.get(name, name)}", unit, across, [(0, ""), *ticks])
        for subject in dict.fromkeys(row["subject"] for row in rows):
            best: dict[float, float] = {}
            for row in rows:
                if row["subject"] == subject:
                    place = math.log2(row.get(key, 1) / places[0]) + 1
                    value = row["messagesPerSecond"] * row.get("recipients", 1) if figure == "recipientsPerSecond" else row[figure]
                    best[place] = max(best.get(place, 0), value)
            chart.line(subject, sorted(best.items()))
        parts.append(chart.svg())
    return parts


def _fullness(name: str, rows: list[dict]) -> list[str]:
    """Throughput by what is there already: each length was measured beside a gateway without."""
    key, across = ("queued", "messages in the queue") if name == "queued" else ("logRows", "rows in the log")
    full = sorted((row for row in rows if row.get(key)), key=lambda row: row[key])
    if not full:
        return []
    # By powers of ten, behind a place for nothing.
    places = {row[key]: math.log10(row[key]) - math.log10(full[0][key]) + 1 for row in full}
    ticks = [(0, "0"), *((place, f"{amount:,}") for amount, place in places.items())]
    empty = [row for row in rows if row.get(key) == 0]
    rate = plot.Chart(f"Growth: {_TITLES[name]}", "messages a second", across, ticks)
    nothing = max((row["messagesPerSecond"] for row in empty), default=0)
    rate.line("ceralacca", [(0, nothing), *((places[row[key]], row["messagesPerSecond"]) for row in full)])
    rate.line("empty, in turn with it", [(places[mine[key]], other["messagesPerSecond"]) for mine, other in zip(full, empty)])
    last = max(places.values())
    share = plot.Chart(f"Growth: {_TITLES[name]}", "share of an empty one's throughput", across, ticks)
    share.line("median of the pairs", [(0, 1), *((places[row[key]], row["share"]) for row in full if "share" in row)])
    share.line("goal: at least 0.95", [(0, 0.95), (last, 0.95)], dashed=True)
    return [rate.svg(), share.svg()]


def _starts(rows: list[dict]) -> list[str]:
    parts = []
    for row in rows:
        title = f"Start after a crash, {row['queued']:,} messages queued: until it greets (bar) and delivers (line's end)"
        bars = plot.Bars(title, "s")
        for number, part in enumerate(row["parts"]):
            reach = (part["greeting"], max(part["greeting"], part["delivering"]))
            words = "files in memory" if part["kind"] == "warm" else "files on disk only"
            bars.bar(f"{words}, {number + 1}", part["greeting"], reach)
        parts += ["<h2>Starting</h2>", bars.svg(), f"<p>{row['megabytes']:,.0f} MB of memory afterwards.</p>"]
    return parts


def _copies(rows: list[dict]) -> list[str]:
    parts = ["<h2>Copies</h2>"] if rows else []
    for row in rows:
        bars = plot.Bars(f"{row['way']}: copies of an octet of a body", "times")
        bars.bar("gateway", row["copiesOfAnOctet"]).bar("scanner", row["byScanner"]).bar("libclamav within itself", row["byLibclamav"])
        lines = [[f"{path['copiesOfAnOctet']:.3f}", path.get("process", "gateway"), " < ".join(path["calls"])] for path in row["paths"]]
        parts += [bars.svg(), plot.table([["times", "process", "calls, the nearest first"], *lines])]
    return parts


def _memory(rows: list[dict]) -> list[str]:
    parts = ["<h2>Memory</h2>"] if rows else []
    for row in rows:
        flight = row["inFlight"]
        bars = plot.Bars("A message of 30 MB under way, without mapped files", "MB")
        bars.bar(f"coming slowly, {flight['coming']} at once", flight["comingMegabytes"])
        bars.bar(f"going slowly, {flight['going']} at once", flight["goingMegabytes"])
        parts += [f"<p>An idle session over TLS: {row['idleSessionKilobytes']:.1f} KB ({row['idleSessions']} of them).</p>", bars.svg()]
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
        growth = _fullness if name in ("queued", "logged") else _growth
        parts += _throughput(name, rows) + growth(name, rows)
    for name, show in (("start", _starts), ("memory", _memory), ("copies", _copies)):
        parts += show([row for row in stage.rows if row["scenario"] == name])
    parts += _percentiles(stage.latencies) + _profiles(stage.details)
    if stage.failures:
        parts += ["<h2>Failures</h2>", _words(stage.failures)]
    plot.page(path, "Ceralacca, measured", parts)
