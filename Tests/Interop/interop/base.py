"""Ground of the interoperability tests: where things are, waiting with a deadline, ports, processes ended by their id."""

import atexit
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parents[1]
DTD = HERE / "postacert.dtd"

#: The long run (200 and more kills) instead of the one for CI.
LONG = os.environ.get("INTEROP_LONG") == "1"
#: Everything random comes from here; printed by the runner, set again by INTEROP_SEED.
SEED = int(os.environ.get("INTEROP_SEED") or random.SystemRandom().randrange(1, 2**31))


def executable() -> str:
    """The gateway under test: CERALACCA, or the release build of this repository."""
    return os.environ.get("CERALACCA") or str(REPOSITORY / ".build" / "release" / "ceralacca")


def have(*tools: str) -> bool:
    """Whether all these programs can be run; the sbin folders count too."""
    return all(find(tool) for tool in tools)


def find(tool: str) -> str | None:
    return shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/lib/postfix/sbin")


def note(text: str) -> None:
    """A line of progress."""
    print(f"      {text}", flush=True)


class TimedOut(AssertionError):
    """Something did not come about before its deadline."""


def poll(condition, seconds: float, what: str, every: float = 0.02):
    """Calls `condition` until it gives something true and returns that; `TimedOut` when the time is up.

    `what` is a string or a function that says, at the end of the time, what was still missing.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimedOut(f"not within {seconds:g} s: {what() if callable(what) else what}")
        time.sleep(every)


def raise_file_limit(wanted: int) -> int:
    """Raises the number of descriptors this process and its children may have; returns what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return soft
    if hard != resource.RLIM_INFINITY and hard < wanted and os.geteuid() == 0:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return wanted
        except (ValueError, OSError):
            pass
    new = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (new, hard))
    return new


# Ports


def port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


_dice = random.SystemRandom()
_given: set[int] = set()


def _share() -> tuple[int, int]:
    """The ports that this runner takes from: a share of its own where several run beside each other (INTEROP_PORTS, "1/3")."""
    slot, slots = (int(word) for word in os.environ.get("INTEROP_PORTS", "0/1").split("/"))
    width = 20000 // slots
    return 12000 + slot * width, 12000 + (slot + 1) * width


def free_block(count: int) -> int:
    """The first of `count` neighbouring ports that nobody has now, below the range the kernel takes for outgoing connections."""
    lowest, end = _share()
    for _ in range(500):
        base = _dice.randrange(lowest, end - count)
        block = range(base, base + count)
        if _given.isdisjoint(block) and all(port_is_free(port) for port in block):
            _given.update(block)
            return base
    raise RuntimeError("no free block of ports found")


# Folders and processes

_folders: list[Path] = []
_children: list[subprocess.Popen] = []
#: What nobody sends, and a program gets for a fault of its own.
_CRASHES = {signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV}


def new_folder(name: str) -> Path:
    """A fresh folder that goes when the run ends (unless INTEROP_KEEP=1). Other users may pass through it: Postfix and Dovecot must."""
    folder = Path(tempfile.mkdtemp(prefix=f"ceralacca-{name}-"))
    folder.chmod(0o755)
    _folders.append(folder)
    return folder


def spawn(arguments: list, log: Path, **options) -> subprocess.Popen:
    """Starts a program whose output goes to `log`; it is ended with the run at the latest."""
    with open(log, "ab") as output:
        child = subprocess.Popen(
            [str(argument) for argument in arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
        )
    _children.append(child)
    return child


def end(child: subprocess.Popen, seconds: float = 20) -> int:
    """Asks a child to end (SIGTERM), and makes it when it does not. Returns its exit code; one that crashed is a failure."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(10)
    if child in _children:
        _children.remove(child)
    if -child.returncode in _CRASHES:
        raise AssertionError(f"{child.args} crashed: {signal.Signals(-child.returncode).name}")
    return child.returncode


def run(arguments: list, seconds: float = 60, stdin: bytes | None = None, **options) -> subprocess.CompletedProcess:
    """Runs a program to its end and gives back code, stdout and stderr as bytes."""
    given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run([str(argument) for argument in arguments], capture_output=True, timeout=seconds, **given, **options)


def memory(pid: int) -> int:
    """Resident memory in octets."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def tail(path: Path, lines: int = 15) -> str:
    try:
        return "\n".join(path.read_text("utf-8", "replace").splitlines()[-lines:])
    except OSError as error:
        return f"({error})"


@atexit.register
def _clean() -> None:
    for child in list(_children):
        try:
            end(child, 10)
        except AssertionError as crash:
            print(crash, file=sys.stderr)
    if os.environ.get("INTEROP_KEEP") == "1":
        for folder in _folders:
            print(f"kept: {folder}", file=sys.stderr)
        return
    for folder in _folders:
        # What is in quarantine cannot be removed by everybody: its folders are closed for writing.
        for below, _, _ in os.walk(folder):
            if not os.path.islink(below):
                os.chmod(below, 0o700)
        shutil.rmtree(folder, ignore_errors=True)
