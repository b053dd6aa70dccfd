"""How large a machine must be: what a message costs in processor, disk and memory at both sides, and what that makes of messages a day.

With as many signatures of viruses as a real database has patterns, because that is what large messages cost. A message is sent to one
recipient, and what is counted is all that follows from it: the envelope, every receipt, the log.
"""

import math
import os
import statistics
from collections.abc import Callable
from pathlib import Path

from . import mailbag, mix, rounds
from .keeping import written_so_far
from .load import Load
from .measure import Failed
from .rounds import Comparison
from .scan import DATABASES
from .scenarios import Envelopes, submitted
from .stage import Stage
from .subjects import Ceralacca

#: Octets, messages of a round, sessions.
_SIZES = ((5_000, 3_000, 50), (100_000, 200, 10), (1_000_000, 40, 4))
_QUICK = ((5_000, 200, 50), (1_000_000, 8, 4))
#: What the table takes for granted; it is printed with it.
_MESSAGES_A_DAY = (10_000, 100_000, 500_000, 2_000_000)
_BUSIEST_HOUR, _BUSY, _MONTHS, _SESSION_KILOBYTES = 0.2, 0.5, 30, 16


class Cost:
    """What a message costs at one side, by its size: a part for each message and a part for each octet, through the measured points."""

    def __init__(self, points: list[tuple[int, float]]):
        (least, low), (most, high) = min(points), max(points)
        self.octet = max(0.0, (high - low) / (most - least))
        self.message = max(0.0, low - self.octet * least)

    def of(self, size: float) -> float:
        return self.message + self.octet * size


def sizing(stage: Stage) -> None:
    """Measures each side with several sizes, and prints the table of machines."""
    folder = stage.folder / "many-signatures"
    mailbag.signatures(folder, DATABASES["many"])
    folder.chmod(0o755)
    subject = stage.own("sizing", lambda: Ceralacca(edit=lambda yaml: yaml.set(str(folder), "scanner", "database")))
    envelopes = Envelopes(stage, subject.use("incoming"))
    makers: dict[str, Callable[[int, int], Callable[[int], Load]]] = {
        "access": lambda size, sessions: submitted(stage, size, sessions),
        "incoming": lambda size, sessions: lambda count: envelopes.load(size, count, sessions),
    }
    found: dict[str, list[dict]] = {}
    for side, maker in makers.items():
        subject.use("trusted" if side == "access" else "incoming")
        comparison = Comparison(f"sizing {side}", [subject], stage.rounds, stage.minutes, stage.folder)
        found[side] = [
            _measured(stage, subject, comparison, maker(size, sessions), count) for size, count, sessions in (_QUICK if stage.quick else _SIZES)
        ]
        stage.rows += comparison.rows
        stage.failures += comparison.failures
    _say(stage, found)


def _measured(stage: Stage, subject: Ceralacca, comparison: Comparison, load: Callable[[int], Load], count: int) -> dict:
    data = subject.gateway.folder / subject.gateway.provider / "data"
    kept, disk, passed = _kept(data), written_so_far(data), 0

    def counted(number: int) -> Load:
        # Each load that is made for one subject alone is sent once.
        nonlocal passed
        passed += number
        return load(number)

    rows = comparison.measure(counted, count, max(8, count // 10), syncs=not stage.quick)
    if not rows:
        raise Failed(f"{comparison.name}: no round came to its end")
    row, after = rows[0], written_so_far(data)
    row["keptBytesPerMessage"] = round((_kept(data) - kept) / passed)
    # Whoever writes beside us on this disk is in it too.
    if disk is not None and after is not None:
        row["writtenBytesPerMessage"] = round((after - disk) / passed)
    return row


def _kept(data: Path) -> int:
    """Octets of what stays when all is delivered: the ledger with the certified log, and its seals. The spool gives its room back."""
    total = 0
    for folder, _, names in os.walk(data):
        if "spool" in Path(folder).relative_to(data).parts:
            continue
        total += sum((Path(folder) / name).stat().st_blocks * 512 for name in names if not name.endswith(("-wal", "-shm", ".sock")))
    return total


def _say(stage: Stage, found: dict[str, list[dict]]) -> None:
    print(f"\nWhat a message for one recipient costs, scanned with {DATABASES['many']:,} signatures")
    lines = [["Side", "Message", "Messages/s here", "Processor", "Written", "Kept", "Syncs"]]
    for side, rows in found.items():
        for row in rows:
            lines.append([
                side, f"{row['bytes']:,}", f"{row['messagesPerSecond']:,.1f}", f"{row['cpuMicrosecondsPerMessage'] / 1e3:,.1f} ms",
                _kilobytes(row.get("writtenBytesPerMessage")), _kilobytes(row["keptBytesPerMessage"]), f"{row['syncsPerMessage']:.1f}" if "syncsPerMessage" in row else "",
            ])  # fmt: skip
    print(rounds.table(lines))
    mean = statistics.fmean(mix.sizes())
    peak = max(row["peakMegabytes"] for rows in found.values() for row in rows)
    cost = {side: Cost([(row["bytes"], row["cpuMicrosecondsPerMessage"] / 1e6) for row in rows]) for side, rows in found.items()}
    # Rows are as long for large messages; the load of the most messages tells it best.
    kept = sum(max(rows, key=lambda row: row["messages"])["keptBytesPerMessage"] for rows in found.values())
    written = sum(_at(rows, mean, "writtenBytesPerMessage") for rows in found.values())
    print(
        f"\nMachines, when so many messages are sent and as many are received a day; their mean is {mean / 1e3:.0f} KB. {_BUSIEST_HOUR:.0%} of a "
        f"day come in its busiest hour, and processors are {_BUSY:.0%} busy then; the log is kept {_MONTHS} months; spool: what waits when a "
        "next hop is away for a day"
    )
    table = [["Sent and received a day", "Busiest hour", "Processors", "Memory", "Log and seals", "Spool", "Disk writes"]]
    for number in _MESSAGES_A_DAY:
        rate = number * _BUSIEST_HOUR / 3600
        busy = rate * sum(each.of(mean) for each in cost.values()) / _BUSY
        # One idle session for each ten messages of the busiest hour, at least a thousand.
        sessions = max(1_000, number * _BUSIEST_HOUR / 10)
        # Workers share the signatures.
        memory = peak + sessions * _SESSION_KILOBYTES / 1024
        line = {
            "messagesADay": number, "messagesPerSecond": round(rate, 2), "processors": max(1, math.ceil(busy)), "megabytes": round(memory),
            "logGigabytes": round(number * _MONTHS * 30.44 * kept / 1e9, 1), "spoolGigabytes": round(2 * number * mean / 1e9, 1),
            "writtenMegabytesPerSecond": round(rate * written / 1e6, 1),
        }  # fmt: skip
        stage.rows.append({"scenario": "sizing", "subject": "ceralacca", **line})
        table.append([
            f"{number:,}", f"{line['messagesPerSecond']:,.1f} messages/s each way", f"{line['processors']}", f"{line['megabytes']:,} MB",
            f"{line['logGigabytes']:,} GB", f"{line['spoolGigabytes']:,} GB", f"{line['writtenMegabytesPerSecond']:,} MB/s",
        ])  # fmt: skip
    print(rounds.table(table) + "\n", flush=True)


def _kilobytes(octets: float | None) -> str:
    return "" if octets is None else f"{octets / 1e3:,.1f} KB"


def _at(rows: list[dict], size: float, key: str) -> float:
    points = [(row["bytes"], float(row[key])) for row in rows if key in row]
    return Cost(points).of(size) if len(points) > 1 else 0.0
