"""Gateways that have much already: a long queue, a long log. How fast they are beside one that begins, and how soon they are back after a
crash.

What is queued was made by a gateway: messages pass through its access point while nobody answers at the next hop. Then the rows of the
queue are multiplied in its file, so that ten entries name the same octets, as with messages that go to many places. The log is filled by
`ledger-benchmark` of the tree.
"""

import functools
import os
import random
import shutil
import socket
import sqlite3
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from interop import base
from interop.base import executable, poll, spawn
from interop.lab import Gateway

from .load import Load, Sink, message_file, monotonic_seconds
from .log import filler, folder_on_disk
from .measure import Failed, answers, cpu_seconds, proportional_memory
from .rounds import Comparison
from .scenarios import report
from .stage import Stage
from .subjects import LMTP, Ceralacca

_SIZE = 5_000
#: Entries that name the same octets.
_SHARING = 10
_LENGTHS, _QUICK_LENGTHS = (10_000, 100_000, 1_000_000), (20_000,)
_ROWS, _QUICK_ROWS = (100_000, 1_000_000, 10_000_000), (100_000,)
#: What an entry takes on disk at the most, and a row of the log.
_ENTRY_BYTES, _ROW_BYTES = 4_000, 1_200
#: Messages and sessions of a round: many short ones in turn, because a machine that others share changes its pace within seconds.
_ROUND, _QUICK_ROUND = (1_500, 50), (300, 50)
#: How many times as many rounds as elsewhere: what is looked for is a difference of a twentieth.
_MORE_ROUNDS = 3
#: How many crashes are looked at.
_CRASHES, _QUICK_CRASHES = 5, 2
#: Messages that pass before a crash.
_BEFORE_A_CRASH = 200

Filling = Callable[[Path], None]


class Filled(Gateway):
    """A gateway that finds something in its data folder when it starts."""

    def __init__(self, filling: Filling, *arguments, **options):
        super().__init__(*arguments, **options)
        self.data = self.folder / self.provider / "data"
        filling(self.data)


def _need(octets: int) -> None:
    free = shutil.disk_usage(base.REPOSITORY).free
    if free < octets:
        raise Failed(f"{octets / 1e9:.0f} GB of disk are needed, {free / 1e9:.0f} GB are free")


# Queues


def _patient(yaml) -> None:
    yaml.limits(firstRetrySeconds=3600, lastRetrySeconds=7200)


class Queues:
    """Queues of any length, made from one that a gateway filled."""

    def __init__(self, stage: Stage, longest: int):
        _need(3 * longest * _ENTRY_BYTES)
        self._folder = folder_on_disk()
        messages = max(1_000, longest // _SHARING)
        subject = Ceralacca(scans=False, edit=_patient)
        mailboxes = Sink(subject.mailboxes, *LMTP)
        try:
            print(f"  {messages:,} messages are queued by a gateway", flush=True)
            Load(_SIZE, messages, 50, message_file(stage.folder, _SIZE)).send(subject.port, seconds=3600)
            poll(lambda: self._entries(subject.gateway) == messages, 600, "receipts that are delivered", every=0.5)
            subject.stop()
            shutil.copytree(subject.gateway.folder / subject.gateway.provider / "data", self._folder / "data")
        finally:
            mailboxes.close()
            subject.stop()

    @staticmethod
    def _entries(gateway: Gateway) -> int:
        with sqlite3.connect(f"file:{gateway.folder / gateway.provider}/data/ledger.sqlite?mode=ro", uri=True) as ledger:
            return ledger.execute("SELECT count(*) FROM queue").fetchone()[0]

    def filling(self, entries: int, due: tuple[int, int]) -> Filling:
        """Puts a queue of that length into a data folder. `due`: seconds from now, the first and the last."""

        def fill(data: Path) -> None:
            shutil.copytree(self._folder / "data", data, dirs_exist_ok=True)
            ledger = sqlite3.connect(data / "ledger.sqlite", isolation_level=None)
            ledger.execute("PRAGMA cache_size = -400000")
            ledger.execute("PRAGMA synchronous = OFF")
            ledger.execute("BEGIN")
            _multiply(ledger, entries)
            dice, now = random.Random(7), int(time.time())
            ledger.create_function("due", 0, lambda: now + dice.randint(*due))
            ledger.execute("UPDATE queue SET due_at = due()")
            ledger.execute("COMMIT")
            ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            ledger.close()
            os.sync()

        return fill


def _multiply(ledger: sqlite3.Connection, wanted: int) -> None:
    """Has the queue so many entries: copies of those it has under names of their own, or fewer of them."""
    has, last = ledger.execute("SELECT count(*), max(id) FROM queue").fetchone()
    columns = [name for _, name, *_ in ledger.execute("PRAGMA table_info(queue)") if name not in ("id", "entry")]
    others = [name for _, name, *_ in ledger.execute("PRAGMA table_info(queue_recipients)") if name != "queue_id"]
    for turn in range(1, -(-wanted // has)):
        # An entry's name ends in a running number.
        ledger.execute(
            f"INSERT INTO queue (id, entry, {', '.join(columns)}) "
            f"SELECT id + ?1, entry || ?2, {', '.join(columns)} FROM queue WHERE id <= ?3 ORDER BY id",
            (turn * last, f"{turn:02}", last),
        )
        ledger.execute(
            f"INSERT INTO queue_recipients (queue_id, {', '.join(others)}) "
            f"SELECT queue_id + ?1, {', '.join(others)} FROM queue_recipients WHERE queue_id <= ?2",
            (turn * last, last),
        )
    beyond = "SELECT id FROM queue ORDER BY id LIMIT -1 OFFSET ?1"
    ledger.execute(f"DELETE FROM queue_recipients WHERE queue_id IN ({beyond})", (wanted,))
    ledger.execute(f"DELETE FROM queue WHERE id IN ({beyond})", (wanted,))
    if (found := ledger.execute("SELECT count(*) FROM queue").fetchone()[0]) != wanted:
        raise Failed(f"{wanted} entries were to be made; there are {found}")


def _settle(subject: Ceralacca, seconds: float = 1800) -> float:
    """Waits until it does nothing of its own any more; how long that took."""
    began, quiet = time.monotonic(), 0
    while quiet < 4:
        before = cpu_seconds(subject.pids())
        time.sleep(0.25)
        quiet = quiet + 1 if cpu_seconds(subject.pids()) - before <= 0.02 else 0
        if time.monotonic() > began + seconds:
            raise Failed(f"{subject.name} still works for itself after {seconds:g} s")
    return time.monotonic() - began


def _short(amount: int) -> str:
    return f"{amount // 1_000_000} million" if amount >= 1_000_000 else f"{amount // 1000} thousand"


def _beside_an_empty_one(stage: Stage, name: str, key: str, fillings: dict[int, Filling], words: str, edit=None) -> float | None:
    """Throughput with so much of something, beside a gateway without, in turn; the median of the last pairs of rounds."""
    empty = stage.own(f"{name}, empty", lambda: Ceralacca(edit=edit))
    empty.name = "empty"
    (count, sessions), rounds = _QUICK_ROUND if stage.quick else _ROUND, stage.rounds if stage.quick else _MORE_ROUNDS * stage.rounds
    path, share = message_file(stage.folder, _SIZE), None
    for amount, filling in fillings.items():
        full = Ceralacca(edit=edit, make=functools.partial(Filled, filling))
        full.name = f"{_short(amount)} {words}"
        try:
            print(f"  {full.name}: quiet {_settle(full):.1f} s after its start", flush=True)
            comparison = Comparison(name, [full, empty], rounds, stage.minutes, stage.folder)
            rows = comparison.measure(lambda number: Load(_SIZE, number, sessions, path), count, min(count, 500), syncs=False)
        finally:
            full.stop()
            shutil.rmtree(full.gateway.folder, ignore_errors=True)
        for row in rows:
            row[key], row["beside"] = amount if row["subject"] == full.name else 0, full.name
        report(stage, comparison, f"The access point with {full.name}, and empty")
        if len(rows) == 2:
            pairs = sorted(mine / other for mine, other in zip(rows[0]["ofRounds"], rows[1]["ofRounds"]))
            share = statistics.median(pairs)
            rows[0]["share"], quarter = round(share, 4), len(pairs) // 4
            half = f"{pairs[quarter]:.2f}-{pairs[-1 - quarter]:.2f}"
            print(f"  {full.name} against empty: {share:.3f} (half of the pairs: {half})\n", flush=True)
    return share


def queued(stage: Stage) -> None:
    """Goal 13, first part: throughput beside a queue that waits for later."""
    lengths = _QUICK_LENGTHS if stage.quick else _LENGTHS
    queues = Queues(stage, lengths[-1])
    fillings = {length: queues.filling(length, (3600, 4 * 3600)) for length in lengths}
    if (share := _beside_an_empty_one(stage, "queued", "queued", fillings, "queued")) is not None:
        stage.goals.found(13, share, 0)


# Logs


def _filled_log(rows: int, data: Path) -> None:
    """A log of so many rows, as a ledger has it."""
    folder = folder_on_disk()
    done = subprocess.run(
        [str(filler()), str(folder), f"{rows}", "quick"], capture_output=True, stdin=subprocess.DEVNULL, timeout=7200, check=False
    )
    if done.returncode:
        raise Failed(f"ledger-benchmark ended with {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}")
    data.mkdir(exist_ok=True, mode=0o700)
    for ending in ("", "-wal", "-shm"):
        if (made := folder / f"log.sqlite{ending}").exists():
            shutil.move(made, data / f"ledger.sqlite{ending}")
    shutil.rmtree(folder)
    os.sync()


def _seldom_sealed(yaml) -> None:
    """A log that grew was sealed as it grew; this one is not to be sealed in one go while something is measured."""
    yaml.set("1000000", "certifiedLog", "sealEveryRows")


def logged(stage: Stage) -> None:
    """Goal 13, second part: throughput with a long log behind."""
    sizes = _QUICK_ROWS if stage.quick else _ROWS
    _need(sizes[-1] * _ROW_BYTES)
    fillings = {rows: functools.partial(_filled_log, rows) for rows in sizes}
    if (share := _beside_an_empty_one(stage, "logged", "logRows", fillings, "rows in the log", _seldom_sealed)) is not None:
        stage.goals.found(13, share, 1)


# Starting


class SilentHop:
    """A next hop that takes connections and says nothing: what is tried there stays due. It knows when the first one came."""

    def __init__(self, port: int):
        self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self._came = threading.Event()
        self._connections: list[socket.socket] = []
        self.first_seconds = 0.0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                self._connections.append(self._listener.accept()[0])
            except OSError:
                return
            if not self._came.is_set():
                self.first_seconds = monotonic_seconds()
                self._came.set()

    def forget(self) -> None:
        """Whoever comes next is the first."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._came.clear()

    def wait(self, seconds: float) -> None:
        if not self._came.wait(seconds):
            raise Failed(f"nothing came to the next hop within {seconds:g} s")

    def close(self) -> None:
        # An accept that waits is woken by this, and not by closing.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.forget()


def _forget_files(folder: Path) -> None:
    """Nothing of these files is in the system's memory afterwards, as after a power cut."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def _again(gateway: Gateway, hop: SilentHop, seconds: float = 600) -> tuple[float, float]:
    """Starts it: seconds until it greets, and until the next hop hears of it."""
    hop.forget()
    began = monotonic_seconds()
    gateway.process = spawn([executable(), "serve", "--config", gateway.configuration], gateway.log, env=gateway.environment)
    poll(
        lambda: gateway.process.poll() is not None or answers(gateway.ports.trusted), seconds,
        lambda: f"a greeting: {base.tail(gateway.log)}", every=0.01,
    )  # fmt: skip
    if gateway.process.poll() is not None:
        raise Failed(f"the gateway ended with {gateway.process.returncode}: {base.tail(gateway.log)}")
    greeted = monotonic_seconds() - began
    hop.wait(seconds)
    return greeted, hop.first_seconds - began


def start(stage: Stage) -> None:
    """Goal 14: from the start of the process, after a crash, until it greets and has begun to deliver; everything queued is due."""
    length = (_QUICK_LENGTHS if stage.quick else _LENGTHS)[-1]
    filling = Queues(stage, length).filling(length, (-4 * 3600, -60))
    hops: list[SilentHop] = []

    def make(world: int, edit) -> Filled:
        hops.append(SilentHop(world))
        return Filled(filling, world, edit)

    subject = Ceralacca(edit=_patient, make=make)
    try:
        hops[0].wait(600)
        measured = _crashes(stage, subject, hops[0])
        memory = proportional_memory(subject.pids())
    finally:
        hops[0].close()
        subject.gateway.kill()
    warm = [max(each) for kind, each in measured if kind == "warm"]
    cold = [max(each) for kind, each in measured if kind == "cold"]
    print(
        f"\nStart after a crash with {length:,} queued, all of them due: {statistics.median(warm):.2f} s until it greets and delivers, "
        f"worst {max(warm):.2f} s; with nothing in the system's memory {max(cold):.2f} s; {memory[0] / 2**20:.0f} MB then\n",
        flush=True,
    )
    stage.rows.append(
        {
            "scenario": "start", "subject": subject.name, "queued": length, "seconds": [round(each, 3) for each in warm],
            "coldSeconds": [round(each, 3) for each in cold], "megabytes": round(memory[0] / 2**20, 1),
            "parts": [{"kind": kind, "greeting": round(a, 3), "delivering": round(b, 3)} for kind, (a, b) in measured],
        }
    )  # fmt: skip
    stage.goals.found(14, statistics.median(warm))


def _crashes(stage: Stage, subject: Ceralacca, hop: SilentHop) -> list[tuple[str, tuple[float, float]]]:
    path, measured = message_file(stage.folder, _SIZE), []
    kinds = ["warm"] * (_QUICK_CRASHES if stage.quick else _CRASHES) + ["cold"] * (1 if stage.quick else 2)
    for number, kind in enumerate(kinds):
        mailboxes = Sink(subject.mailboxes, *LMTP)
        try:
            # In the middle of its work.
            Load(_SIZE, _BEFORE_A_CRASH, 20, path).send(subject.port)
            subject.gateway.kill()
        finally:
            mailboxes.close()
        if kind == "cold":
            _forget_files(subject.gateway.data)
        measured.append((kind, _again(subject.gateway, hop)))
        greeted, delivering = measured[-1][1]
        print(f"  start {number + 1} ({kind}): greets after {greeted:.2f} s, delivers after {delivering:.2f} s", flush=True)
    return measured
