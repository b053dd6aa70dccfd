"""How soon messages are answered: at half of what can be carried, and at three times as much."""

import os
import re
import statistics
import time
from pathlib import Path

from interop.base import find, poll, run

from . import rounds
from .load import Load, Sink, message_file
from .measure import Failed, Subject
from .rounds import one_round
from .scenarios import submitted
from .stage import Stage
from .subjects import Ceralacca

_SIZE, _SESSIONS = 5_000, 50
#: Connections that press upon the gateway when there is more than it can carry.
_CROWD = 400
#: Within what part of its best the throughput must stay under three times the load.
_KEPT = 0.9
#: How many times their fair turn those who were accepted may have waited.
_TURNS = 3


def best(stage: Stage, subject: Subject) -> float:
    """Messages a second in a closed loop: what was measured in this run, or is measured now."""
    if (known := stage.best(subject)) is None:
        load = submitted(stage, _SIZE, _SESSIONS)
        one_round(subject, load(100))
        known = one_round(subject, load(200 if stage.quick else 2_000))["messagesPerSecond"]
        stage.note_best(subject.name, known)
    return known


def sync_seconds(folder: Path) -> float:
    """The median of an fdatasync of 4 KB that lie in a file whose octets were written before."""
    path, took = folder / "sync-probe", []
    path.write_bytes(b"\0" * (1 << 20))
    with open(path, "r+b") as probe:
        os.fsync(probe.fileno())
        for number in range(64):
            probe.seek(number * 4096)
            probe.write(os.urandom(4096))
            probe.flush()
            began = time.perf_counter()
            os.fdatasync(probe.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return statistics.median(took)


def signature_seconds() -> float:
    """One RSA-2048 signature on one core."""
    done = run([find("openssl"), "speed", "-seconds", "1", "rsa2048"])
    found = re.search(r"rsa\s*2048 bits\s+\S+s\s+\S+s\s+([\d.]+)", done.stdout.decode())
    if not found:
        raise Failed(f"openssl speed: {done.stderr.decode(errors='replace')[-300:]}")
    return 1 / float(found[1])


def latency(stage: Stage) -> None:
    """Goal 12: how long a 250 takes at half load, ours and that of a Postfix which scans too; each at half of its own best."""
    subjects: list[Subject] = [stage.access_point, stage.milter]
    stage.milter.prove()
    rates = {subject.name: best(stage, subject) / 2 for subject in subjects}
    seconds = 2 if stage.quick else 12
    measured: dict[str, list[dict]] = {subject.name: [] for subject in subjects}
    syncs, signatures = [], []
    path = message_file(stage.folder, _SIZE)
    deadline = time.monotonic() + stage.minutes * 60
    for number in range(stage.rounds):
        if time.monotonic() > deadline and number > 0:
            print("  the time is up: no more rounds of this kind")
            break
        syncs.append(sync_seconds(stage.folder))
        if not signatures or not stage.quick:
            signatures.append(signature_seconds())
        for subject in subjects if number % 2 == 0 else subjects[::-1]:
            rate = rates[subject.name]
            row = one_round(subject, Load(_SIZE, max(1, int(rate * seconds)), _SESSIONS, path, rate=rate, words=("--buckets",)))
            stage.latencies.setdefault(f"{subject.name}, {rate:.0f} msg/s", []).extend(row.pop("buckets"))
            measured[subject.name].append(row)
            print(
                f"  latency, {rate:6.1f} messages a second, round {number + 1}, {subject.name:23}: 250 after the final dot p50 "
                f"{row['answerP50Milliseconds']:.1f} ms, p99 {row['answerP99Milliseconds']:.1f} ms",
                flush=True,
            )
    rows = []
    for subject in subjects:
        about = {"rate": round(rates[subject.name], 1), "durability": subject.durability}
        rows.append({"scenario": "latency", **rounds.median(measured[subject.name]), **about})
    stage.rows += rows
    sync, signature = statistics.median(syncs), statistics.median(signatures)
    bound = (4 * sync + 2 * signature) * 1e3
    ours, theirs = (row["answerP99Milliseconds"] for row in rows)
    stage.floors["fdatasync in a file that was written before, microseconds"] = round(sync * 1e6)
    stage.floors["RSA-2048 signature on one core, microseconds"] = round(signature * 1e6)
    stage.goals.found(12, ours / bound, 0)
    stage.goals.found(12, ours / theirs, 1)
    cells = [["subject", "msg/s", "p50 ms", "p99 ms", "worst p99", "from the meant start p99"]] + [
        [
            row["subject"], f"{row['rate']:.1f}", f"{row['answerP50Milliseconds']:.2f}", f"{row['answerP99Milliseconds']:.2f}",
            f"{max(each['answerP99Milliseconds'] for each in measured[row['subject']]):.2f}", f"{row['wholeP99Milliseconds']:.2f}",
        ]
        for row in rows
    ]  # fmt: skip
    print(f"\n250 after the final dot at half load, {_SIZE:,} octets, {_SESSIONS} connections\n{rounds.table(cells, (0,))}")
    print(f"  four fdatasyncs of {sync * 1e6:.0f} µs and two signatures of {signature * 1e6:.0f} µs: {bound:.2f} ms")
    for line in rounds.durabilities(rows):
        print(f"  durable: {line}")
    print(flush=True)


def overload(stage: Stage) -> None:
    """Three times as many messages as can be carried: the throughput must stay, and who is accepted must not wait for ever."""
    ours, crowd = stage.access_point, submitted(stage, _SIZE, _CROWD)
    one_round(ours, crowd(_CROWD))
    # In turn, and by the same connections: what a machine that others share can do changes within seconds.
    calm: list[dict] = []
    floods: list[dict] = []
    for number in range(stage.rounds):
        calm.append(one_round(ours, crowd(400 if stage.quick else 2_000)))
        most = calm[-1]["acceptedPerSecond"]
        found = _flood(stage, ours, 3 * most, 2 if stage.quick else 10)
        found |= {"kept": found["acceptedPerSecond"] / most, "turns": found["answerMicroseconds"]["p99"] / 1e6 * most / _CROWD}
        floods.append(found)
        refused = ", ".join(f"{count} × {code}" for code, count in found["refused"].items()) or "none"
        p50, p99 = (found["answerMicroseconds"][key] / 1e3 for key in ("p50", "p99"))
        print(
            f"  overload, round {number + 1}: {3 * most:.0f} messages a second asked of {most:.0f}: accepted "
            f"{found['acceptedPerSecond']:.1f}, 250 after the final dot p50 {p50:.0f} ms, p99 {p99:.0f} ms; refused: {refused}; "
            f"never begun: {found['unstarted']}; lost: {found['lost']}",
            flush=True,
        )
    after = one_round(ours, submitted(stage, _SIZE, _SESSIONS)(200 if stage.quick else 1_000))
    rate = after["messagesPerSecond"]
    print(f"\nOverload, {_CROWD} connections: every message that was accepted arrived, once; afterwards {rate:.1f} msg/s\n")
    keys = ("rate", "accepted", "refused", "lost", "unstarted", "acceptedPerSecond", "answerMicroseconds", "examples", "kept", "turns")
    stage.rows.append(
        {
            "scenario": "overload", "subject": ours.name, "bytes": _SIZE, "sessions": _CROWD,
            "best": [round(each["acceptedPerSecond"], 1) for each in calm], "messagesPerSecondAfter": after["messagesPerSecond"],
            "rounds": [{key: each[key] for key in keys if key in each} for each in floods],
        }
    )  # fmt: skip
    kept, turns = statistics.median(each["kept"] for each in floods), statistics.median(each["turns"] for each in floods)
    stage.check("overload: accepted a second under three times the load, of the best", kept, _KEPT)
    stage.check("overload: p99 of what is accepted, in fair turns", turns, _TURNS, at_most=True)
    stage.check("overload: messages lost without an answer", sum(each["lost"] for each in floods), 0, at_most=True)


def _flood(stage: Stage, subject: Ceralacca, rate: float, seconds: float) -> dict:
    """Messages at a rate for some seconds; then all that was accepted must be with the sinks, and no more than that."""
    sinks = [Sink(way.port, *way.words) for way in subject.ways]
    try:
        load = Load(_SIZE, int(rate * seconds), _CROWD, message_file(stage.folder, _SIZE), rate=rate, words=("--seconds", seconds))
        found = load.send(subject.port, wants_all=False)
        poll(lambda: subject.gateway.queue() == [], 120, "an empty queue after the overload", every=0.2)
        counts = [sink.stop()["messages"] for sink in sinks]
        if any(count != found["accepted"] for count in counts):
            raise Failed(f"overload: {found['accepted']} messages were accepted, and the sinks have {counts}")
        return found
    finally:
        for sink in sinks:
            sink.close()
