"""What processes use, what the machine can do at all, and where the time goes."""

import os
import re
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from interop.base import find, poll, run
from interop.lab import Gateway, Yaml
from interop.wire import Wire

TICKS = os.sysconf("SC_CLK_TCK")
_SMALL_BYTES = 200_000


class Failed(RuntimeError):
    """A round did not come to its end."""


#: What a round may end with; the run goes on and ends with 1.
FAILURES = (Failed, RuntimeError, AssertionError, OSError, subprocess.TimeoutExpired)


@dataclass(frozen=True)
class Way:
    """Where a subject's mail goes: the port of a sink, how many messages go there for each one that came in, and the sink's manners."""

    port: int
    per_message: int = 1
    words: tuple[str, ...] = ()


class Subject:
    """One that is measured: `port` takes mail, `ways` are where its mail goes (none: it sends nothing)."""

    name: str
    port: int
    ways: tuple[Way, ...] = ()
    #: What is on disk, and synced, before it says 250.
    durability = "unknown"
    #: Whether it stores messages itself: then `settled` says when they are there.
    settles = False

    def pids(self) -> list[int]:
        raise NotImplementedError

    def cpu(self) -> float:
        raise NotImplementedError

    def settled(self, count: int) -> bool:
        """Whether everything that follows from `count` messages is done, apart from what the sink counts."""
        return True

    def clean(self) -> None:
        """Between rounds."""

    def last_words(self) -> str:
        """The end of its log, for what went wrong."""
        return ""

    def stop(self) -> None:
        raise NotImplementedError


def scanning(yaml: Yaml) -> Yaml:
    """A gateway that scans every message, also when it comes again, and greets nobody before its scanner is ready."""
    return yaml.set("0", "scanner", "cachedVerdicts").set("{ submission: connection, incoming: connection }", "scanner", "whenDown")


def files(folder: Path) -> int:
    try:
        return len(os.listdir(folder))
    except FileNotFoundError:
        return 0


def put_away(mailbox: Path, kept: Path) -> None:
    """Empties a Maildir's folder between rounds. Small files are moved, not deleted: after thousands of deletions ext4 creates files more
    slowly for a while (it passes over inodes that were freed a moment ago), and the next round would pay for that."""
    if not mailbox.exists():
        return
    kept.mkdir(exist_ok=True)
    for entry in os.scandir(mailbox):
        if entry.stat().st_size > _SMALL_BYTES:
            os.unlink(entry)
        else:
            os.rename(entry, kept / entry.name)


def answers(port: int) -> bool:
    """Whether somebody listens there. (That nobody can bind the port says less: connections of an earlier sink may linger.)"""
    try:
        with Wire(port, seconds=5) as wire:
            return wire.greeting.code == 220
    except (OSError, AssertionError):
        return False


# What processes use


def cpu_seconds(pids: list[int], children_of: int | None = None, ended_too: bool = False) -> float:
    """User and system time of these processes now, with that of the ended children of one of them, or of all."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
        if pid == children_of or ended_too:
            ticks += int(fields[13]) + int(fields[14])
    return ticks / TICKS


def proportional_memory(pids: list[int]) -> tuple[int, int]:
    """Octets of memory, what is shared divided among those who share it: all of it, and without mapped files."""
    total = anonymous = 0
    for pid in pids:
        try:
            found = dict(re.findall(r"(?m)^(Pss|Pss_Anon):\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text()))
        except OSError:
            continue
        total += int(found.get("Pss", 0)) * 1024
        anonymous += int(found.get("Pss_Anon", 0)) * 1024
    return total, anonymous


class MemoryWatch:
    """Samples the memory of a set of processes in a thread; peaks in octets."""

    def __init__(self, pids):
        self._pids, self._over, self.peak, self.anonymous = pids, threading.Event(), 0, 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        over = False
        while not over:
            total, anonymous = proportional_memory(self._pids())
            self.peak, self.anonymous = max(self.peak, total), max(self.anonymous, anonymous)
            over = self._over.wait(0.1)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


class Usage:
    """CPU and memory of a subject over a round."""

    def __init__(self, subject: Subject):
        self._subject, self._cpu, self._watch = subject, subject.cpu(), MemoryWatch(subject.pids)

    def stop(self) -> None:
        """Ends the watch; a second time is no harm."""
        self._watch.stop()

    def per_message(self, count: int) -> dict:
        """What was used. After `stop`."""
        return {
            "cpuMicrosecondsPerMessage": round((self._subject.cpu() - self._cpu) / count * 1e6),
            "peakMegabytes": round(self._watch.peak / 2**20, 1),
            "peakAnonymousMegabytes": round(self._watch.anonymous / 2**20, 1),
        }


_SYNCS = ("fsync", "fdatasync", "sync_file_range", "msync", "syncfs", "sync")


class SyncCount:
    """Counts the calls by which a set of processes, and those they start meanwhile, have the disk keep something.

    By perf, which hardly slows them, or by strace, which does: so it is done in a round of its own. `count` is nil where neither may look.
    """

    def __init__(self, pids: list[int], folder: Path):
        self._written, self.count, self.by = folder / "syncs", None, ""
        self._written.unlink(missing_ok=True)
        self._child = self._perf(pids) or self._strace(pids)

    def _perf(self, pids: list[int]) -> subprocess.Popen | None:
        events = ",".join(f"syscalls:sys_enter_{name}" for name in _SYNCS)
        if not find("perf") or run([find("perf"), "stat", "-x", ";", "-e", events, "-p", os.getpid(), "sleep", "0"]).returncode:
            return None
        self.by = "perf"
        return self._begin("perf", "stat", "-x", ";", "-o", self._written, "-e", events, "-p", ",".join(map(str, pids)))

    def _strace(self, pids: list[int]) -> subprocess.Popen | None:
        if not find("strace"):
            return None
        self.by = "strace"
        words = [word for pid in pids for word in ("-p", pid)]
        return self._begin("strace", "-f", "-q", "-o", self._written, "-e", f"trace={','.join(_SYNCS)}", *words)

    @staticmethod
    def _begin(*words: object) -> subprocess.Popen:
        child = subprocess.Popen(
            [find(str(words[0])), *map(str, words[1:])], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # Neither of them says when it has begun to look.
        time.sleep(0.5)
        return child

    def stop(self) -> None:
        if not self._child:
            return
        watcher, self._child = self._child, None
        if watcher.poll() is None:
            watcher.send_signal(signal.SIGINT)
        try:
            watcher.wait(10)
        except subprocess.TimeoutExpired:
            watcher.kill()
            watcher.wait(10)
        text = self._written.read_text(errors="replace") if self._written.exists() else ""
        if self.by == "perf":
            counts = re.findall(r"(?m)^(\d+);[^;]*;syscalls:", text)
            self.count = sum(map(int, counts)) if counts else None
        elif text:
            self.count = len(re.findall(r"(?m)\b(?:" + "|".join(_SYNCS) + r")\(", text))


# Floors: what the machine can do at all


def machine() -> dict:
    signer = Gateway.template() / "alfa" / "signer.pem"
    text = run([find("openssl"), "x509", "-in", signer, "-noout", "-text"]).stdout.decode()
    bits = re.search(r"Public-Key: \((\d+) bit\)", text)[1]
    speed = run([find("openssl"), "speed", "-seconds", "1", f"rsa{bits}"]).stdout.decode()
    signs = re.search(rf"rsa\s+{bits} bits.*?s\s+[\d.]+s\s+([\d.]+)", speed)
    with tempfile.NamedTemporaryFile(prefix="ceralacca-sync-") as probe:
        took = []
        for _ in range(50):
            probe.write(b"x" * 4096)
            probe.flush()
            began = time.perf_counter()
            os.fdatasync(probe.fileno())
            took.append(time.perf_counter() - began)
    model = re.search(r"(?m)^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text())
    return {
        "processor": model[1] if model else "unknown",
        "cores": os.cpu_count(),
        "signerBits": int(bits),
        "signaturesPerSecondPerCore": float(signs[1]) if signs else None,
        "fdatasyncMicroseconds": round(statistics.median(took) * 1e6),
        "loadBefore": round(os.getloadavg()[0], 2),
        "postfix": run([find("postconf"), "-d", "-h", "mail_version"]).stdout.decode().strip() if find("postconf") else None,
        "clamd": run([find("clamd"), "--version"]).stdout.decode().strip() if find("clamd") else None,
    }


# Where the time goes


def threads(pid: int) -> dict[str, float]:
    """Seconds of CPU by thread name."""
    found: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            text = (task / "stat").read_text()
        except OSError:
            continue
        name = text[text.index("(") + 1 : text.rindex(")")]
        name = re.sub(r"[-_ ]?\d+$", "", name)
        fields = text.rpartition(")")[2].split()
        found[name] = found.get(name, 0) + (int(fields[11]) + int(fields[12])) / TICKS
    return found


def counters(pid: int) -> dict[str, int]:
    found = {}
    text = Path(f"/proc/{pid}/io").read_text() + "".join((task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir())
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name in ("syscr", "syscw", "read_bytes", "write_bytes", "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"):
            found[name] = found.get(name, 0) + int(value.split()[0])
    return found


def _is_at_work(data: Path) -> bool:
    """Whether perf has written down what it begins with (the process's maps) and waits for samples."""
    before = data.stat().st_size if data.exists() else 0
    time.sleep(0.1)
    return 0 < before == data.stat().st_size


def where_the_time_goes(subject: Subject, one_round, folder: Path) -> dict:
    """One more round, looked at from inside: CPU by thread, counters of the kernel, and a profile where perf can make one."""
    pid = subject.pids()[0]
    before, kernel = threads(pid), counters(pid)
    recorder, data = None, folder / "perf.data"
    data.unlink(missing_ok=True)
    if find("perf"):
        recorder = subprocess.Popen(
            [find("perf"), "record", "-q", "-e", "cpu-clock", "-F", "997", "-g", "-p", str(pid), "-o", str(data)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        poll(lambda: _is_at_work(data) or recorder.poll() is not None, 20, "perf")
    try:
        measured = one_round()
    finally:
        if recorder:
            recorder.send_signal(2)
            recorder.wait(60)
    count = measured["messages"]
    after, kernel_after = threads(pid), counters(pid)
    result = {
        "bytes": measured["bytes"],
        "messages": count,
        "cpuMicrosecondsPerMessageByThread": {
            name: round((after[name] - before.get(name, 0)) / count * 1e6)
            for name in sorted(after, key=lambda each: before.get(each, 0) - after[each])
            if after[name] - before.get(name, 0) > 0.005
        },
        "perMessage": {name: round((value - kernel[name]) / count, 2) for name, value in kernel_after.items()},
        "cpuMicrosecondsPerMessage": measured["cpuMicrosecondsPerMessage"],
    }
    if data.exists():
        for key, order in (("byLibrary", "dso"), ("bySymbol", "dso,symbol")):
            report = run(
                [find("perf"), "report", "-i", data, "--stdio", "--no-children", "-g", "none", "--percent-limit", "1", "-s", order],
                seconds=120,
            )
            lines = [line.strip() for line in report.stdout.decode(errors="replace").splitlines() if re.match(r"\s+\d+\.\d+%", line)]
            result[key] = [re.sub(r"\s+", " ", line) for line in lines[:25]]
    return result


def explain(found: dict) -> None:
    used = found["cpuMicrosecondsPerMessage"]
    print(f"\nWhere the time goes, {found['side']} side ({found['bytes']} octets, {used} µs of CPU a message)")
    print(
        "  by thread, µs a message: " + ", ".join(f"{name} {value}" for name, value in found["cpuMicrosecondsPerMessageByThread"].items())
    )
    print("  by the kernel's counters, a message: " + ", ".join(f"{name} {value}" for name, value in found["perMessage"].items()))
    if found.get("byLibrary"):
        for key, title in (("byLibrary", "by library"), ("bySymbol", "by function")):
            print(f"  {title} (perf, samples of all threads):")
            for line in found[key][:20]:
                print(f"    {line[:130]}")
    else:
        print("  No profile: perf is not there or may not look. For counted instructions:")
        print("    valgrind --tool=callgrind --dump-instr=no ceralacca serve --config FILE     then callgrind_annotate callgrind.out.PID")
