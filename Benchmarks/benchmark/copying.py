"""How often the octets of a body are copied on their way: every memcpy of the gateway's processes, and the calls that led to it.

The gateway and its scanner run with `copies.c` loaded before the C library. What a message of 5 MB has copied more than one of 1 MB, by the
difference of their sizes, is what an octet of a body costs; what is copied once a message, or once a run, falls out. Counted are memcpy,
memmove and their kin in all libraries; not counted are the kernel's copies (reading, writing), transforms (TLS, base64, digests), and what
the compiler wrote out as instructions. What libclamav copies within itself, when it looks at a part of a message, is shown apart: it is not
the body that is passed on.
"""

import bisect
import re
import shutil
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path

from interop import base
from interop.base import executable, find, poll, run, spawn
from interop.lab import ANNA, Gateway

from .envelopes import SENDER, Maker
from .load import Load, message_file
from .measure import Failed, answers
from .rounds import one_round
from .stage import Stage
from .subjects import Ceralacca

_SMALL, _LARGE = 1_000_000, 5_000_000
#: Messages of each size.
_MESSAGES, _QUICK_MESSAGES = 12, 4
_SLOTS, _SLOT, _HEAD = 8192, struct.Struct("<16Q"), struct.Struct("<6Q")
#: Paths that copy less than this of a body's octet are not shown.
_WORTH_SHOWING = 0.003
_MOST_PATHS, _MOST_CALLS = 8, 7

#: Octets and copies by the return addresses that led to them.
Paths = dict[tuple[int, ...], tuple[int, int]]


@dataclass
class Count:
    """What one process has copied until now."""

    octets: int
    copies: int
    paths: Paths = field(default_factory=dict)

    def since(self, before: "Count") -> "Count":
        paths = {}
        for path, (octets, copies) in self.paths.items():
            old = before.paths.get(path, (0, 0))
            paths[path] = (octets - old[0], copies - old[1])
        return Count(self.octets - before.octets, self.copies - before.copies, paths)


def read(path: Path) -> Count:
    """A process's table; see `copies.c`."""
    table = path.read_bytes()
    if table[:8] != b"COPIES01":
        raise Failed(f"{path} is no table of copies")
    few, few_octets, many, many_octets, _, _ = _HEAD.unpack_from(table, 8)
    found = Count(few_octets + many_octets, few + many)
    for slot in range(_SLOTS):
        octets, copies, *frames = _SLOT.unpack_from(table, 4096 + slot * _SLOT.size)
        if frames[0]:
            old = found.paths.get(tuple(frames), (0, 0))
            found.paths[tuple(frames)] = (old[0] + octets, old[1] + copies)
    return found


def counter(folder: Path) -> Path:
    """Builds what counts."""
    made, source = folder / "copies.so", Path(__file__).with_name("copies.c")
    words = ["gcc", "-O2", "-fPIC", "-shared", "-fno-builtin", "-fno-tree-loop-distribute-patterns", "-o", made, source, "-ldl"]
    if not find("gcc"):
        raise Failed("gcc is not there")
    done = run(words)
    if done.returncode:
        raise Failed(f"gcc: {done.stderr.decode(errors='replace')[-500:]}")
    return made


class Watched(Gateway):
    """A gateway whose copies, and whose scanner's, are counted in the folder `tables`, a file for each process."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.tables, programs = base.new_folder("copies"), base.new_folder("copying")
        # The scanner's processes are another user's.
        self.tables.chmod(0o777)
        preload = counter(programs)
        # The scanner is given no environment, and is looked for beside the gateway.
        self._program = programs / "ceralacca"
        shutil.copy(executable(), self._program)
        scanner = programs / "ceralacca-scanner"
        original = Path(executable()).resolve().with_name("ceralacca-scanner")
        scanner.write_text(f'#!/bin/sh\nLD_PRELOAD={preload} COUNT_COPIES={self.tables} exec {original} "$@"\n')
        scanner.chmod(0o755)
        self.environment |= {"LD_PRELOAD": str(preload), "COUNT_COPIES": str(self.tables)}

    def start(self, seconds: float = 60) -> "Watched":
        self.process = spawn([self._program, "serve", "--config", self.configuration], self.log, env=self.environment)
        poll(
            lambda: self.process.poll() is not None or answers(self.ports.trusted), seconds,
            lambda: f"a greeting of the gateway whose copies are counted: {base.tail(self.log)}",
        )  # fmt: skip
        if self.process.poll() is not None:
            raise Failed(f"the gateway ended with {self.process.returncode}: {base.tail(self.log)}")
        return self

    def counts(self, pids: list[int]) -> dict[int, Count]:
        """By process. Workers of the scanner count in the table of the process that they were forked by."""
        return {int(path.name): read(path) for path in self.tables.iterdir() if int(path.name) in pids}


class Names:
    """Names of functions by the addresses of a process."""

    def __init__(self, pid: int):
        self._maps, self._files = [], {}
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            words = line.split()
            if len(words) > 5 and "x" in words[1]:
                low, high = (int(word, 16) for word in words[0].split("-"))
                self._maps.append((low, high, int(words[2], 16), words[5]))

    def _symbols(self, path: str) -> tuple[list[int], list[str], list[tuple[int, int, int]]]:
        if path not in self._files:
            lines = []
            for words in (["nm"], ["nm", "-D"]):
                lines += run([*words, path], seconds=120).stdout.decode(errors="replace").splitlines()
            found = sorted({(int(w[0], 16), w[2].partition("@")[0]) for w in map(str.split, lines) if len(w) == 3 and w[1] in "tTwWi"})
            headers = run(["readelf", "-lW", path]).stdout.decode()
            loads = [tuple(int(each, 16) for each in some) for some in re.findall(r"LOAD\s+(\S+) (\S+) \S+ (\S+)", headers)]
            self._files[path] = ([at for at, _ in found], [name for _, name in found], loads)
        return self._files[path]

    def is_ours(self, address: int) -> bool:
        """Whether it lies in a program of this tree."""
        return any(low <= address < high and Path(path).name.startswith("ceralacca") for low, high, _, path in self._maps)

    def __call__(self, address: int) -> str:
        for low, high, offset, path in self._maps:
            if low <= address < high:
                places, names, loads = self._symbols(path)
                place = address - low + offset
                place = next((place - begin + at for begin, at, size in loads if begin <= place < begin + size), place)
                index = bisect.bisect_right(places, place - 1) - 1
                library = Path(path).name
                # A stripped library's nearest exported name says nothing.
                is_ours = library.startswith("ceralacca")
                return names[index] if is_ours and index >= 0 else library
        return "?"


def _plain(names: list[str]) -> dict[str, str]:
    """As people write them, where the tool for it is there."""
    if not find("swift"):
        return {name: name for name in names}
    done = run([find("swift"), "demangle", "--simplified", "--compact"], stdin="\n".join(names).encode())
    lines = done.stdout.decode(errors="replace").splitlines()
    return dict(zip(names, lines)) if len(lines) == len(names) else {name: name for name in names}


def paths(pid: int, some: Paths, octets: float) -> list[dict]:
    """The calls that copied most, the nearest call first; `octets`: of bodies."""
    worst = sorted(some.items(), key=lambda each: -each[1][0])[:40]
    worst = [(frames, found) for frames, found in worst if found[0] / octets >= _WORTH_SHOWING]
    names = Names(pid)
    named = [([names(frame) for frame in frames if frame], found) for frames, found in worst]
    plain = _plain(sorted({name for calls, _ in named for name in calls}))
    together: dict[tuple[str, ...], list[float]] = {}
    for calls, (copied, copies) in named:
        short: list[str] = []
        for name in calls:
            words = re.sub(r"^(specialized|partial apply for|@objc) ", "", plain[name])
            if not short or short[-1] != words:
                short.append(words)
        sum_ = together.setdefault(tuple(short[:_MOST_CALLS]), [0, 0])
        sum_[0] += copied / octets
        sum_[1] += copies
    rows = sorted(together.items(), key=lambda each: -each[1][0])[:_MOST_PATHS]
    return [{"copiesOfAnOctet": round(share, 4), "copies": int(copies), "calls": list(calls)} for calls, (share, copies) in rows]


def _differences(subject: Ceralacca, gateway: Watched, loads: dict[int, Load]) -> dict[int, Count]:
    """By process: what the large messages copied more than the small ones, a message; paths for all the large ones."""
    found: dict[int, dict[int, Count]] = {}
    one_round(subject, loads[_SMALL])
    for size, load in loads.items():
        before = gateway.counts(subject.pids())
        one_round(subject, load)
        # What is done behind the last message.
        time.sleep(0.3)
        after = gateway.counts(subject.pids())
        found[size] = {pid: count.since(before[pid]) for pid, count in after.items() if pid in before}
    differences = {}
    for pid in found[_LARGE].keys() & found[_SMALL].keys():
        large, small = found[_LARGE][pid], found[_SMALL][pid]
        more = large.since(small)
        differences[pid] = Count(more.octets, more.copies, more.paths)
    return differences


def _within_libraries(pid: int, some: Paths) -> int:
    """Octets that were copied by calls from elsewhere than our own program."""
    names = Names(pid)
    return sum(octets for frames, (octets, _) in some.items() if not names.is_ours(frames[0]))


def _way(stage: Stage, subject: Ceralacca, name: str, loads: dict[int, Load]) -> float:
    gateway = subject.gateway
    octets = float(loads[_LARGE].count * (_LARGE - _SMALL))
    differences = _differences(subject, gateway, loads)
    if not (found := differences.pop(gateway.process.pid, None)):
        raise Failed("the gateway counted nothing")
    ours, rows = found.octets / octets, paths(gateway.process.pid, found.paths, octets)
    scanner, clamav = 0.0, 0.0
    for pid, each in differences.items():
        within = _within_libraries(pid, each.paths)
        scanner, clamav = scanner + (each.octets - within) / octets, clamav + within / octets
        rows += [row | {"process": "scanner"} for row in paths(pid, each.paths, octets)]
    print(
        f"\n  {name}: an octet of a body is copied {ours:.3f} times by the gateway, {scanner:.3f} times by its scanner, and "
        f"{clamav:.3f} times by libclamav within itself"
    )
    for row in rows:
        print(f"    {row['copiesOfAnOctet']:.3f}  {row.get('process', 'gateway')}: {' < '.join(row['calls'])[:220]}")
    stage.rows.append(
        {
            "scenario": "copies", "subject": subject.name, "way": name, "copiesOfAnOctet": round(ours, 4), "byScanner": round(scanner, 4),
            "byLibclamav": round(clamav, 4), "paths": rows,
        }
    )  # fmt: skip
    return ours + scanner


def copies(stage: Stage) -> None:
    """Goal 15: what is copied in user space for an octet of a body, from the socket it comes in by to those it goes out by."""
    count = _QUICK_MESSAGES if stage.quick else _MESSAGES
    subject = stage.own("copies", lambda: Ceralacca(make=Watched))
    sizes = (_SMALL, _LARGE)
    sent = {size: Load(size, count, 1, message_file(stage.folder, size)) for size in sizes}
    found = [_way(stage, subject.use("trusted"), "access point: scanned, signed, receipt by LMTP, envelope by SMTP", sent)]
    maker, folder = Maker(subject.gateway.folder), stage.folder / "copied"
    folder.mkdir(exist_ok=True)
    # Nothing is sent twice: a gateway knows what it took again.
    arriving = {size: _Fresh(maker, folder, size, count) for size in sizes}
    words = "incoming point: verified, scanned, mailbox by LMTP, receipt with the whole message"
    found.append(_way(stage, subject.use("incoming"), words, arriving))
    print(f"\n  the worst of both: {max(found):.3f}\n", flush=True)
    stage.goals.found(15, max(found))


class _Fresh(Load):
    """Envelopes that are made anew each time they are sent."""

    def __init__(self, maker: Maker, folder: Path, size: int, count: int):
        super().__init__(size, count, 1, folder, SENDER, [ANNA], keeps=True)
        self._maker, self._folder, self._turn = maker, folder, 0

    def send(self, port: int, seconds: float = 300, wants_all: bool = True) -> dict:
        self._turn += 1
        self.messages = self._folder / f"{self.size}-{self._turn}"
        self.messages.mkdir()
        for number, each in enumerate(self._maker.make(self.size, self.count)):
            (self.messages / f"{number}.eml").write_bytes(each.octets)
        try:
            return super().send(port, seconds, wants_all)
        finally:
            shutil.rmtree(self.messages, ignore_errors=True)
