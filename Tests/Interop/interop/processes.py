"""The processes of a gateway's scanner, found by descent from the gateway that a test started, and signalled by that alone."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

NAME = "ceralacca-scanner"


@dataclass(frozen=True)
class Process:
    id: int
    parent: int
    name: str
    state: str
    #: Processor time that it used, in hundredths of a second.
    ticks: int

    @property
    def folder(self) -> Path:
        return Path(f"/proc/{self.id}")

    def status(self, key: str) -> str:
        for line in (self.folder / "status").read_text().splitlines():
            if line.startswith(key + ":"):
                return line.partition(":")[2].strip()
        raise KeyError(key)

    def descriptors(self) -> dict[int, str]:
        """Where its descriptors lead. Of a process that is not to be debugged only root may know."""
        found = {}
        for entry in (self.folder / "fd").iterdir():
            try:
                found[int(entry.name)] = os.readlink(entry)
            except FileNotFoundError:
                pass
        return found

    def maps(self, word: str) -> bool:
        return word in (self.folder / "maps").read_text()

    def signal(self, number: int) -> bool:
        """False when it is no longer the process that was found: an id may have passed to another one by now."""
        try:
            handle = os.pidfd_open(self.id)
        except ProcessLookupError:
            return False
        try:
            now = read(self.id)
            if now is None or (now.parent, now.name) != (self.parent, self.name):
                return False
            signal.pidfd_send_signal(handle, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)


def read(identifier: int) -> Process | None:
    try:
        text = Path(f"/proc/{identifier}/stat").read_text()
    except OSError:
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    return Process(identifier, int(fields[1]), name, fields[0], int(fields[11]) + int(fields[12]))


def alive(identifier: int) -> bool:
    process = read(identifier)
    return process is not None and process.state not in "ZX"


def children(of: int) -> list[Process]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (process := read(int(entry))) and process.parent == of and process.state not in "ZX":
            found.append(process)
    return found


def is_scanner(process: Process) -> bool:
    # The system cuts names at 15 letters; a worker may have one of its own.
    return process.name.startswith(NAME[:15])


def scanners(gateway: int) -> list[Process]:
    """The scanner processes that a gateway started: one, and two while signatures are being renewed."""
    return [child for child in children(gateway) if is_scanner(child)]


def workers(gateway: int) -> list[Process]:
    return [worker for parent in scanners(gateway) for worker in children(parent.id)]


def family(gateway: int) -> list[Process]:
    """All of them."""
    return scanners(gateway) + workers(gateway)


def unix_sockets() -> dict[int, tuple[int, str]]:
    """Inode → type and path, of every Unix socket of this namespace."""
    found = {}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        found[int(fields[6])] = (int(fields[4], 16), fields[7] if len(fields) > 7 else "")
    return found
