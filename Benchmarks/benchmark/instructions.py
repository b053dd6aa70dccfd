"""Instructions of the machines that every message passes, counted by callgrind: the same on every machine and in every run, so that a slip
of a few per cent is seen where times say nothing."""

import json
import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from interop import base
from interop.base import find, run

from .load import build
from .measure import Failed

THRESHOLDS = Path(__file__).resolve().parents[1] / "instructions" / "thresholds.json"
#: What a machine may take above its threshold before the run fails. Library versions move it a little.
ROOM = 1.05
#: A machine is run so many times, and so many times more: the difference is what the work itself takes, without the start.
FEW, MANY = 20, 120


def executable() -> Path:
    beside = Path(base.executable()).with_name("instruction-count")
    return beside if os.access(beside, os.X_OK) else build("instruction-count")


def _collected(program: Path, machine: str, times: int) -> int:
    command = [find("valgrind"), "--tool=callgrind", "--callgrind-out-file=/dev/null", program, machine, str(times)]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=300, check=False)
    counted = re.search(rb"Collected : (\d+)", done.stderr)
    if done.returncode or not counted:
        raise Failed(f"callgrind of '{machine}': {done.stderr.decode(errors='replace')[-500:]}")
    return int(counted[1])


def count() -> dict[str, int]:
    """Instructions for one message, by machine."""
    with tempfile.TemporaryDirectory(prefix="instructions-") as folder:
        # Valgrind does not know this form of debugging information.
        program = Path(folder) / "instruction-count"
        stripped = run([find("strip"), "--strip-debug", "-o", program, executable()], seconds=60)
        if stripped.returncode:
            raise Failed(f"strip: {stripped.stderr.decode(errors='replace')}")
        machines = run([program, "list"]).stdout.decode().splitlines()

        def one(machine: str) -> int:
            return (_collected(program, machine, MANY) - _collected(program, machine, FEW)) // (MANY - FEW)

        with ThreadPoolExecutor(2) as pool:
            return dict(zip(machines, pool.map(one, machines)))


def judge(counted: dict[str, int], thresholds: dict[str, int]) -> list[str]:
    """What is wrong: machines above their threshold, or without one, and thresholds without a machine."""
    wrong = [f"{name}: no threshold in {THRESHOLDS.name}" for name in counted if name not in thresholds]
    wrong += [f"{name}: a threshold for a machine that is not there" for name in thresholds if name not in counted]
    for name, threshold in thresholds.items():
        if name in counted and counted[name] > threshold * ROOM:
            wrong.append(f"{name}: {counted[name]:,} instructions, {counted[name] / threshold - 1:.1%} more than {threshold:,}")
    return wrong


class Instructions:
    """What was counted, and what is wrong with it."""

    def __init__(self):
        self.counted = count()
        self.thresholds = json.loads(THRESHOLDS.read_text())
        self.failures = judge(self.counted, self.thresholds)


def report(found: Instructions) -> None:
    counted, thresholds = found.counted, found.thresholds
    width = max(map(len, counted))
    print(f"{'machine':{width}}  instructions  threshold  of it")
    for name, instructions in counted.items():
        kept = thresholds.get(name)
        print(f"{name:{width}}  {instructions:12,}  {kept or 0:9,}  {instructions / kept if kept else 0:5.3f}")
    for line in found.failures:
        print(f"FAILED: {line}")
    if found.failures:
        print("If more is meant to be done for a message, say so in the commit, and write the new counts into thresholds.json.")
