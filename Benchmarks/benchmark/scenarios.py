"""The scenarios that need no more than rounds: both sides of the gateway, relaying, and large messages."""

import dataclasses
import functools
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from interop import base
from interop.base import find, run
from interop.lab import ANNA

from . import rounds
from .envelopes import SENDER, Maker
from .load import RECIPIENT, Load, Sink, message_file
from .measure import FAILURES, Failed, Subject, where_the_time_goes
from .rounds import Comparison, one_round
from .stage import Stage
from .subjects import LMTP, Ceralacca, folder_in_memory, signatures

#: Who writes ordinary mail.
_STRANGER = "carla@posta.example.test"


def submitted(stage: Stage, size: int, sessions: int) -> Callable[[int], Load]:
    """Loads of messages of Anna's for somebody in the world."""
    path = message_file(stage.folder, size)
    return lambda count: Load(size, count, sessions, path)


def report(stage: Stage, comparison: Comparison, words: str) -> None:
    """Shows a comparison, and keeps it."""
    stage.rows += comparison.rows
    stage.failures += comparison.failures
    if not comparison.rows:
        return
    print(f"\n{words}\n{rounds.table(rounds.lines(comparison.rows))}")
    for line in rounds.durabilities(comparison.rows):
        print(f"  durable: {line}")
    print(flush=True)


def ratio(rows: list[dict], peer: str) -> float | None:
    """Ours against a peer in the rows of one load."""
    return next((row["ratio"] for row in rows if row["subject"] == peer and "ratio" in row), None)


def explain(stage: Stage, subject: Subject, load: Load, name: str) -> None:
    """A profile of one more round."""
    if not stage.profiles:
        return
    try:
        found = where_the_time_goes(subject, lambda: one_round(subject, load), stage.folder)
        stage.details.append({"side": name, **found})
    except FAILURES as error:
        stage.failures.append(f"profile of {name}, {load.size} octets: {error}")


def rsa_limit() -> float:
    """RSA-2048 signatures a second of all cores together, and nothing else, halved: each message takes two."""
    done = run([find("openssl"), "speed", "-multi", os.cpu_count() or 1, "-seconds", "1", "rsa2048"])
    found = re.search(r"rsa\s*2048 bits\s+\S+s\s+\S+s\s+([\d.]+)", done.stdout.decode())
    if not found:
        raise Failed(f"openssl speed: {done.stderr.decode(errors='replace')[-300:]}")
    return float(found[1]) / 2


def scan_limit(stage: Stage, message: Path) -> float | None:
    """Scans of a message a second by libclamav alone, a process on each core; nil where it cannot be built."""
    compiler, configured = find("gcc"), run(["pkg-config", "--cflags", "--libs", "libclamav"]) if find("pkg-config") else None
    if not compiler or not configured or configured.returncode:
        return None
    program, source = stage.folder / "scanalone", Path(__file__).with_name("scanalone.c")
    if not program.exists():
        built = run([compiler, "-O2", "-o", program, source, *configured.stdout.decode().split()])
        if built.returncode:
            raise Failed(f"gcc: {built.stderr.decode(errors='replace')[-300:]}")
    done = run([program, signatures(), folder_in_memory(), message, os.cpu_count() or 1, 1000])
    if done.returncode:
        raise Failed(f"libclamav alone: {done.stderr.decode(errors='replace')[-300:]}")
    return float(done.stdout)


def access_point(stage: Stage) -> None:
    """Goals 1, 2, 3: the whole access point against a plain relay, the limit of RSA, and a naive gateway."""
    ours = stage.access_point
    stage.naive.prove()
    limit = functools.cache(rsa_limit) if stage.quick else rsa_limit
    scans = scan_limit(stage, message_file(stage.folder, 5_000))
    comparison = Comparison("access-point", [ours, stage.postfix, stage.naive], stage.rounds, stage.minutes, stage.folder, between=limit)
    size, count, sessions = (5_000, 300, 50) if stage.quick else (5_000, 3_000, 50)
    rows = comparison.measure(submitted(stage, size, sessions), count, 100 if stage.quick else 500)
    most = statistics.median(comparison.floors) if comparison.floors else None
    report(stage, comparison, "Access point: checked, scanned, signed twice, logged, durable, receipt by LMTP and envelope by SMTP")
    for row in rows:
        stage.note_best(row["subject"], row["messagesPerSecond"])
    if (found := ratio(rows, "postfix")) is not None:
        stage.goals.found(1, found)
    if (found := ratio(rows, "naive python")) is not None:
        stage.goals.found(3, found)
    if most and rows and rows[0]["subject"] == ours.name:
        stage.floors["two signatures a message on all cores, and nothing else, messages a second"] = round(most, 1)
        share = rows[0]["messagesPerSecond"] / most
        print(f"  RSA alone, two signatures a message on all cores, between the rounds: {most:.0f} msg/s; ours is {share:.2f} of it\n")
        stage.goals.found(2, share)
        if scans:
            stage.floors["libclamav alone on all cores, messages a second"] = scans
            print(f"  libclamav alone, on all cores: {scans:.0f} msg/s; ours is {rows[0]['messagesPerSecond'] / scans:.2f} of it\n")
        stage.goals.found(10, rows[0]["peakMegabytes"], 2)
    explain(stage, ours, submitted(stage, size, sessions)(count), "access-point")


def relay(stage: Stage) -> None:
    """Goal 4: ordinary mail that comes for a mailbox of ours and is forwarded, unsigned, against a relay."""
    comparison = Comparison("relay", [stage.forwarder, stage.postfix], stage.rounds, stage.minutes, stage.folder)
    size, count, sessions = (5_000, 600, 50) if stage.quick else (5_000, 6_000, 50)
    path = message_file(stage.folder, size, _STRANGER, [ANNA])
    few = 200 if stage.quick else 500
    rows = comparison.measure(lambda number: Load(size, number, sessions, path, _STRANGER, [ANNA]), count, few, not stage.quick)
    report(stage, comparison, "Ordinary mail, passed on unsigned and unscanned")
    if (found := ratio(rows, "postfix")) is not None:
        stage.goals.found(4, found)
    explain(stage, stage.forwarder, Load(size, count, sessions, path, _STRANGER, [ANNA]), "relay")


def large(stage: Stage) -> None:
    """Goal 5: large messages, signed and not scanned."""
    comparison = Comparison("large", [stage.unscanned, stage.postfix], stage.rounds, stage.minutes, stage.folder)
    sizes = [(1_000_000, 24, 8), (20_000_000, 3, 3)] if stage.quick else [(1_000_000, 150, 8), (20_000_000, 12, 4)]
    for part, (size, count, sessions) in enumerate(sizes):
        rows = comparison.measure(submitted(stage, size, sessions), count, sessions, not stage.quick)
        if (found := ratio(rows, "postfix")) is not None:
            stage.goals.found(5, found, part)
    report(stage, comparison, "Large messages at the access point, signed and not scanned")
    size, count, sessions = sizes[0]
    explain(stage, stage.unscanned, submitted(stage, size, sessions)(count), "large")


def outgoing(stage: Stage) -> None:
    """All sizes through the access point, with its mailboxes in Maildirs, against a plain relay."""
    ours = stage.own("maildir", lambda: Ceralacca(maildir=True))
    comparison = Comparison("outgoing", [ours, stage.postfix], stage.rounds, stage.minutes, stage.folder)
    sizes = [(5_000, 2000, 10), (5_000, 2000, 50), (50_000, 800, 10), (1_000_000, 80, 5), (20_000_000, 8, 4)]
    quick = [(5_000, 300, 10), (5_000, 300, 50), (50_000, 150, 10), (1_000_000, 20, 5), (20_000_000, 3, 3)]
    for size, count, sessions in quick if stage.quick else sizes:
        comparison.measure(submitted(stage, size, sessions), count, max(sessions, count // 10), syncs=size == 5_000)
    report(stage, comparison, "Outgoing side by size: scanned, signed twice, receipt in a Maildir, envelope by SMTP")
    for size, count, sessions in ((5_000, 1000, 10), (1_000_000, 80, 5)):
        explain(stage, ours, submitted(stage, size, sessions)(count), "outgoing")


def incoming(stage: Stage) -> None:
    """Goal 6: envelopes of another provider, verified, taken in charge, delivered by LMTP and receipted, against a plain relay."""
    comparison = Comparison("incoming", [stage.incoming_point, stage.postfix], stage.rounds, stage.minutes, stage.folder)
    sizes = [(5_000, 2000, 50), (50_000, 600, 10), (1_000_000, 60, 5), (20_000_000, 8, 4)]
    quick = [(5_000, 300, 50)]
    envelopes = Envelopes(stage)
    _prove_receipts(stage, envelopes.load(5_000, 60, 10))
    for number, (size, count, sessions) in enumerate(quick if stage.quick else sizes):
        few = max(sessions, count // 10)
        rows = comparison.measure(lambda given: envelopes.load(size, given, sessions), count, few, syncs=number == 0 and not stage.quick)
        if number == 0 and (found := ratio(rows, "postfix")) is not None:
            stage.goals.found(6, found)
    report(stage, comparison, "Incoming side: verified, scanned, take-charge receipt, mailbox by LMTP, complete delivery receipt")
    if stage.profiles:
        explain(stage, stage.incoming_point, envelopes.load(5_000, 1000, 50), "incoming")


def recipients(stage: Stage) -> None:
    """How throughput goes down as messages get more recipients; all of them outside, and so one envelope for all."""
    ours = stage.access_point
    comparison = Comparison("recipients", [ours, stage.postfix], stage.rounds, stage.minutes, stage.folder)
    for number, count in ((1, 1000), (10, 600), (100, 150), (500, 40)):
        addresses = [RECIPIENT] + [f"persona{each}@posta.example.test" for each in range(1, number)]
        path = message_file(stage.folder, 5_000 + 40 * number, recipients=addresses)
        messages = count // 5 if stage.quick else count
        # RFC 5321 §4.5.3.1.8: who sends counts on a hundred of a message, and no more.
        ours.ways = (dataclasses.replace(ours.ways[0], per_message=-(-number // 100)), *ours.ways[1:])
        for row in comparison.measure(lambda each: Load(5_000, each, 20, path, recipients=addresses), messages, 20, syncs=False):
            row["recipients"] = number
    ours.use("trusted")
    report(stage, comparison, "Recipients: 1, 10, 100 and 500 of a message, scanned and signed")


def _prove_receipts(stage: Stage, load: Load) -> None:
    """A round that is not measured, with a sink that reads: a take-charge and a delivery receipt for each envelope, each once. In the
    others they are counted."""
    subject = stage.incoming_point
    words = [sys.executable, Path(__file__).with_name("sink.py"), subject.world, load.count]
    reader = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    base._children.append(reader)
    mailboxes = Sink(subject.mailboxes, *LMTP, messages=load.count)
    try:
        base.poll(lambda: not base.port_is_free(subject.world), 10, "the sink that reads")
        load.send(subject.port)
        mailboxes.wait(60)
        printed, _ = reader.communicate(timeout=60)
    finally:
        mailboxes.close()
        base.end(reader)
    found, due = json.loads(printed), {"presa-in-carico": load.count, "avvenuta-consegna": load.count}
    if found["counts"] != due or found["distinct"] != due:
        raise Failed(f"the sending provider was to get {due}, each once; it got {found['counts']}, distinct {found['distinct']}")


class Envelopes:
    """Loads of transport envelopes of another provider, each with its own PEC id and signature, made before the clock starts."""

    def __init__(self, stage: Stage, subject: Ceralacca | None = None):
        """`subject`: the gateway that they are for, when it is not the stage's incoming point."""
        self._folder, self._number = stage.folder / "envelopes", 0
        self._folder.mkdir(exist_ok=True)
        self._maker = Maker((subject or stage.incoming_point).gateway.folder)

    def load(self, size: int, count: int, sessions: int) -> Load:
        """The folder of the load before is emptied: nothing is sent to one subject twice."""
        for old in self._folder.iterdir():
            for each in old.iterdir():
                each.unlink()
            old.rmdir()
        self._number += 1
        made = self._folder / f"{self._number}"
        made.mkdir()
        for number, envelope in enumerate(self._maker.make(size, count)):
            (made / f"{number:06}.eml").write_bytes(envelope.octets)
        return Load(size, count, sessions, made, SENDER, [ANNA], keeps=True)
