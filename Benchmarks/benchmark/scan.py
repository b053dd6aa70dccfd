"""The virus scanner beside clamd: the same messages, signatures, limits and options, both caches off."""

import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from interop import base
from interop.base import end, executable, find, poll, run, spawn
from interop.lab import Gateway, Yaml
from interop.postfix import descendants

from . import mailbag
from .measure import FAILURES, Failed, cpu_seconds, proportional_memory

#: Signatures of the two databases: with a few one sees what the way of a message costs, with many what the engine does.
DATABASES = {"few": 2, "many": 200_000}
_SOURCE = Path(__file__).with_name("instream.c")


def folder_on(parent: str) -> Path:
    """A fresh folder there, which goes with the run and lets the scanner's user through."""
    made = Path(tempfile.mkdtemp(prefix="ceralacca-benchmark-", dir=parent))
    made.chmod(0o755)
    base._folders.append(made)
    return made


def file_system(path: Path) -> str:
    """Kind of the file system that a path lies on."""
    best = ("", "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split(" ")
        if (point == "/" or path == Path(point) or Path(point) in path.parents) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def place(path: Path) -> str:
    """Where temporary files are, in short: the first two folders at most, and what kind of file system that is."""
    return f"{'/'.join(path.parts[:3] if path.parts[1] == 'dev' else path.parts[:2])} ({file_system(path)})".replace("//", "/")


def in_flight(workers: int) -> int:
    """Messages under way at once: none of the workers has to wait for the next."""
    return 2 * workers


class Ceralacca:
    """`ceralacca scan`: its own processes for each round, started and loaded before the clock starts."""

    def __init__(self, signatures: Path, temporary: Path, workers: int):
        self.name = "ceralacca"
        self.words = f"temporary: {place(temporary)}"
        self._workers = workers
        home = Gateway.template() / "alfa"
        yaml = Yaml((home / "ceralacca.yaml").read_text())
        # The other limits are our defaults, which clamd is given too.
        yaml.set(f"{{ database: {signatures}, workers: {workers}, temporary: {temporary}, cachedVerdicts: 0 }}", "scanner")
        self._configuration = home / f"scan-{signatures.name}-{workers}.yaml"
        self._configuration.write_text(yaml.text)

    def command(self, *words) -> list:
        return [executable(), "scan", "--config", self._configuration, "--jobs", in_flight(self._workers), "--summary", "--json", *words]

    def scan(self, messages: Path, count: int, expected: int = 0) -> float:
        """Scans a folder; messages a second. `expected`: 0 when all must be clean, 1 when all must be caught."""
        done = run(self.command(messages), seconds=300)
        if done.returncode != expected:
            raise Failed(f"ceralacca scan ended with {done.returncode}: {(done.stdout + done.stderr).decode(errors='replace')[-500:]}")
        totals = json.loads(done.stdout.decode().splitlines()[-1])
        if totals["infected" if expected else "clean"] != count:
            raise Failed(f"ceralacca scan: of {count} messages {totals['clean']} were clean and {totals['infected']} infected")
        return totals["messagesPerSecond"]

    def stop(self) -> None:
        pass


class Clamd:
    """A clamd with as many threads as we have workers, fed by INSTREAM over a Unix socket."""

    def __init__(self, signatures: Path, temporary: Path, workers: int, driver: Path):
        self._folder = base.new_folder("clamd")
        self.name = f"clamd {place(temporary)}"
        self.words = f"TemporaryDirectory: {place(temporary)}"
        self._workers, self._driver, self._socket = workers, driver, self._folder / "socket"
        settings = {
            "LocalSocket": self._socket, "DatabaseDirectory": signatures, "TemporaryDirectory": temporary, "MaxThreads": workers,
            "Foreground": "yes", "LogFile": self._folder / "log", "SelfCheck": 0, "StreamMaxLength": "2000M", "DisableCache": "yes",
            # The defaults of scanner: in our configuration.
            "MaxScanSize": "400M", "MaxFileSize": "150M", "MaxRecursion": 30, "MaxFiles": 20000, "MaxScanTime": 120_000,
            "AlertExceedsMax": "yes", "AlertEncryptedArchive": "yes", "AlertEncryptedDoc": "yes", "HeuristicAlerts": "yes",
            "DetectPUA": "no",
        }  # fmt: skip
        configuration = self._folder / "clamd.conf"
        configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        self.process = spawn([find("clamd"), "--config-file", configuration], self._folder / "output")

    def ready(self) -> None:
        poll(
            lambda: self._socket.exists() or self.process.poll() is not None, 120, lambda: f"clamd: {base.tail(self._folder / 'output')}"
        )
        if self.process.poll() is not None:
            raise Failed(f"clamd ended with {self.process.returncode}: {base.tail(self._folder / 'output')}")

    def scan(self, messages: Path, count: int, expected: int = 0) -> float:
        """As `Ceralacca.scan`."""
        names = "".join(f"{each}\n" for each in sorted(messages.iterdir()))
        done = run([self._driver, self._socket, in_flight(self._workers)], seconds=300, stdin=names.encode())
        if done.returncode:
            raise Failed(f"{self.name}: {done.stderr.decode()[-500:]}")
        seconds, total, clean, infected = done.stdout.decode().split()
        if int(total) != count or int(infected if expected else clean) != count:
            raise Failed(f"{self.name}: of {count} messages {clean} were clean and {infected} infected")
        return count / float(seconds)

    def stop(self) -> None:
        end(self.process)


class Scanning:
    """The whole comparison. `rows` and `memory` are the results, `failures` what went wrong."""

    #: By database: octets, messages in a round; and their kind, where they are not of text and HTML with an attachment.
    sizes = {
        "few": [(5_000, 1000, mailbag.PLAIN), (5_000, 1000), (50_000, 300), (1_000_000, 30), (20_000_000, 3)],
        "many": [(5_000, 800, mailbag.PLAIN), (5_000, 800), (50_000, 100), (1_000_000, 10)],
    }
    quick = {"few": [(5_000, 200, mailbag.PLAIN), (5_000, 200), (1_000_000, 6)], "many": [(5_000, 150, mailbag.PLAIN), (5_000, 150)]}

    def __init__(self, quick: bool, rounds: int, minutes: float):
        self._quick, self._rounds = quick, rounds
        self._deadline = time.monotonic() + minutes * 60
        self._folder = base.new_folder("scan")
        self._memory_folder = folder_on("/dev/shm" if os.path.isdir("/dev/shm") else "/tmp")
        self._disk_folder = folder_on("/tmp")
        self._driver = self._folder / "instream"
        self.rows: list[dict] = []
        self.memory: list[dict] = []
        self.failures: list[str] = []

    def measure(self) -> "Scanning":
        built = run(["gcc", "-O2", "-pthread", _SOURCE, "-o", self._driver])
        if built.returncode:
            raise Failed(f"gcc: {built.stderr.decode()[-500:]}")
        for database, count in DATABASES.items():
            mailbag.signatures(self._folder / database, count)
        mailbag.infect(self._folder / "infected")
        for database, sizes in (self.quick if self._quick else self.sizes).items():
            for workers in (1, 2):
                self._attempt(f"{database} signatures, {workers} workers", lambda: self._database(database, workers, sizes))
        self._attempt("memory", self._engines)
        return self

    def _attempt(self, what: str, work) -> None:
        try:
            work()
        except FAILURES as error:
            self.failures.append(f"{what}: {error}")
            print(f"  FAILED: {self.failures[-1]}", flush=True)

    # Throughput

    def _database(self, database: str, workers: int, sizes: list[tuple]) -> None:
        signatures = self._folder / database
        # With many signatures the quick look leaves out the disk.
        folders = [self._memory_folder] if self._quick and database == "many" else [self._memory_folder, self._disk_folder]
        places = []
        for parent in folders:
            places.append(parent / f"clamd-{database}-{workers}")
            places[-1].mkdir()
        daemons: list[Clamd] = []
        try:
            daemons = [Clamd(signatures, each, workers, self._driver) for each in places]
            subjects = [Ceralacca(signatures, self._memory_folder, workers), *daemons]
            for each in daemons:
                each.ready()
            # Both must find what there is to be found: who does not look is fast.
            for each in subjects:
                each.scan(self._folder / "infected", 1, expected=1)
            for size, count, *kind in sizes:
                self._size(database, workers, subjects, size, count, *kind)
        finally:
            for each in daemons:
                each.stop()

    def _size(self, database: str, workers: int, subjects: list, size: int, count: int, kind: str = mailbag.MIXED) -> None:
        messages = self._folder / f"messages-{size}-{count}-{kind.replace(' ', '-')}"
        mailbag.fill(messages, size, count, kind)
        octets = sum(each.stat().st_size for each in messages.iterdir())
        measured: dict[str, list[float]] = {each.name: [] for each in subjects}
        for number in range(self._rounds):
            if time.monotonic() > self._deadline and number > 0:
                print("the time is up: no more rounds of this size")
                break
            for each in subjects if number % 2 == 0 else subjects[::-1]:
                measured[each.name].append(each.scan(messages, count))
                print(
                    f"  scan {size:>10,} octets ({kind}), {database:4} signatures, {workers} workers, round {number + 1}, {each.name:20}: "
                    f"{measured[each.name][-1]:9.1f} msg/s",
                    flush=True,
                )
        ours = statistics.median(measured["ceralacca"])
        for each in subjects:
            rates = measured[each.name]
            rate = statistics.median(rates)
            row = {
                "database": database, "signatures": DATABASES[database], "bytes": size, "kind": kind, "messages": count, "workers": workers,
                "subject": each.name, "temporary": each.words, "messagesPerSecond": round(rate, 2),
                "megabytesPerSecond": round(rate * octets / count / 1e6, 2), "rounds": len(rates),
                "spread": round(max(rates) / min(rates), 2),
            }  # fmt: skip
            if each.name != "ceralacca":
                row["ratio"] = round(ours / rate, 3)
            self.rows.append(row)

    # Memory

    def _engines(self) -> None:
        signatures, messages = self._folder / "many", self._folder / "messages-memory"
        mailbag.fill(messages, 5_000, 200)
        for workers in (1, 2, 4):
            self.memory.append(self._ours_at_work(signatures, messages, workers))
            if not self._quick:
                self.memory.append(self._clamd_at_work(signatures, messages, workers))

    def _ours_at_work(self, signatures: Path, messages: Path, workers: int) -> dict:
        subject = Ceralacca(signatures, self._memory_folder, workers)
        child = spawn(subject.command("--repeat", 1_000_000, messages), self._folder / "memory.log")
        try:
            poll(lambda: child.poll() is not None or self._busy(child.pid) >= workers, 120, lambda: f"{workers} workers at work")
            if child.poll() is not None:
                raise Failed(f"ceralacca scan ended with {child.returncode}: {base.tail(self._folder / 'memory.log', 5)}")
            return self._proportional("ceralacca", workers, lambda: scanners(child.pid))
        finally:
            child.kill()
            child.wait()

    @staticmethod
    def _busy(pid: int) -> int:
        """Workers that have scanned for a while: children of the process that loaded the engine."""
        return sum(cpu_seconds([each]) >= 0.3 for parent in scanners(pid) for each in children(parent))

    def _clamd_at_work(self, signatures: Path, messages: Path, workers: int) -> dict:
        temporary = self._memory_folder / f"clamd-memory-{workers}"
        temporary.mkdir()
        daemon = Clamd(signatures, temporary, workers, self._driver)
        try:
            daemon.ready()
            daemon.scan(messages, 200)
            return self._proportional("clamd", workers, lambda: [daemon.process.pid])
        finally:
            daemon.stop()

    @staticmethod
    def _proportional(subject: str, workers: int, pids) -> dict:
        shares, resident = [], []
        for _ in range(5):
            shares.append(proportional_memory(pids())[0])
            resident.append(sum(base.memory(each) for each in pids()))
            time.sleep(0.1)
        return {
            "subject": subject,
            "workers": workers,
            "processes": len(pids()),
            "proportionalMegabytes": round(statistics.median(shares) / 2**20, 1),
            "residentMegabytes": round(statistics.median(resident) / 2**20, 1),
        }


def scanners(pid: int) -> list[int]:
    """The scanner's processes below `ceralacca scan`."""
    found = []
    for each in descendants(pid):
        try:
            # Not their memory's map: who may not be debugged hides it, from root too.
            if Path(f"/proc/{each}/comm").read_text().strip() == "ceralacca-scanner"[:15]:
                found.append(each)
        except OSError:
            continue
    return found


def children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def report(found: Scanning) -> None:
    columns = ["signatures", "size", "message", "workers", "subject", "msg/s", "MB/s", "rounds", "spread", "ours / this"]
    lines = [columns] + [
        [
            f"{row['signatures']:,}", f"{row['bytes']:,}", row["kind"], f"{row['workers']}",
            f"{row['subject'].split()[0]}, {row['temporary']}",
            f"{row['messagesPerSecond']:.1f}", f"{row['megabytesPerSecond']:.1f}", f"{row['rounds']}", f"{row['spread']:.2f}",
            f"{row['ratio']:.2f}" if "ratio" in row else "",
        ]
        for row in found.rows
    ]  # fmt: skip
    print("\nVirus scanner")
    print_table(lines, left=4)
    print("every message differs; all caches are off; so many connections (clamd) or jobs (ours) at once as twice the workers or threads;")
    print("clamd: a connection for each message, INSTREAM over a Unix socket; ours / this: medians of msg/s")
    print(f"\nMemory of the scanner with {DATABASES['many']:,} signatures, while it scans")
    lines = [["subject", "workers", "processes", "PSS MB", "sum of RSS MB"]] + [
        [row["subject"], f"{row['workers']}", f"{row['processes']}", f"{row['proportionalMegabytes']}", f"{row['residentMegabytes']}"]
        for row in found.memory
    ]
    print_table(lines, left=0)
    print("PSS: what is shared is divided among those who share it, so the sum is what the machine really gives (our parent included)")
    for failure in found.failures:
        print(f"FAILED: {failure}")


def print_table(lines: list[list[str]], left: int) -> None:
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for line in lines:
        print("  ".join(text.ljust(width) if at == left else text.rjust(width) for at, (text, width) in enumerate(zip(line, widths))))
