"""Several runners beside each other: most tests wait, for a server or for a deadline, and leave the processors to others."""

import collections
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

#: Modules whose tests look at times or loads come last, one by one.
ALONE = ("test_load", "test_limits", "test_scanner_faults", "test_scanner_swap", "test_key_memory", "test_tls_grades")

_BEGINS = re.compile(r"\[\d+/\d+\] (\S+)$")


def _is_told(block: list[str]) -> bool:
    """A test, or the failure of a class that could not be set up; not what a runner says before its first test."""
    return bool(block) and (_BEGINS.match(block[0]) is not None or any(line.startswith("    FAILED") for line in block))


class Run:
    """What all workers have said so far."""

    def __init__(self, total: int):
        self.total, self.done = total, 0
        self.passed = self.skipped = 0
        self.failed: list[str] = []
        self._lock = threading.Lock()

    def tell(self, block: list[str]) -> None:
        """Takes all that a test has said, and says it in one piece."""
        with self._lock:
            begins = _BEGINS.match(block[0]) if block else None
            if begins:
                self.done += 1
                block = [f"[{self.done}/{self.total}] {begins[1]}"] + block[1:]
            print("\n".join(block), flush=True)

    def count(self, line: str) -> None:
        with self._lock:
            if line.startswith("FAILED "):
                self.failed.append(line)
            elif found := re.fullmatch(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?", line):
                self.passed += int(found[1])
                self.skipped += int(found[3] or 0)

    def lost(self, module: str, code: int) -> None:
        with self._lock:
            self.failed.append(f"FAILED {module} (its runner ended with code {code})")


def _work(runner: Path, options: list[str], modules: collections.deque, slot: int, slots: int, run: Run) -> None:
    """One worker: a runner for each share of modules, its output gathered test by test."""
    while True:
        try:
            module = modules.popleft()
        except IndexError:
            return
        environment = dict(os.environ, INTEROP_PORTS=f"{slot}/{slots}")
        child = subprocess.Popen(
            [sys.executable, str(runner), *options, "--module", module],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment,
        )
        block: list[str] = []
        ended = False
        for line in child.stdout:
            line = line.rstrip("\n")
            if _BEGINS.match(line):
                if _is_told(block):
                    run.tell(block)
                block = [line]
            elif re.match(r"took \d+ s$", line) or line.startswith("FAILED ") or re.match(r"\d+ passed, \d+ failed", line):
                if _is_told(block):
                    run.tell(block)
                block = []
                run.count(line)
                ended = ended or " passed, " in line
            else:
                block.append(line)
        code = child.wait()
        if not ended:
            if block:
                run.tell(block)
            run.lost(module, code)


def run_beside(runner: Path, options: list[str], modules: dict[str, int], jobs: int) -> int:
    """Runs modules (with their numbers of tests) in so many runners at a time. Returns the exit code."""
    began = time.monotonic()
    run = Run(sum(modules.values()))
    # The longest first, as far as the number of tests says.
    together = collections.deque(sorted((m for m in modules if m not in ALONE), key=lambda m: -modules[m]))
    alone = collections.deque(m for m in modules if m in ALONE)
    workers = [
        threading.Thread(target=_work, args=(runner, options, together, slot, jobs, run)) for slot in range(jobs)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    _work(runner, options, alone, 0, 1, run)
    for line in run.failed:
        print(line)
    print(f"took {time.monotonic() - began:.0f} s")
    skipped = f", {run.skipped} skipped" if run.skipped else ""
    print(f"{run.passed} passed, {len(run.failed)} failed{skipped}")
    return 1 if run.failed or run.passed == 0 else 0
