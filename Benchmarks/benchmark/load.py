"""The load generator and the sink of this tree, `smtp-load`: both ends of every measurement over SMTP."""

import hashlib
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from interop import base
from interop.base import executable, find, poll, run
from interop.lab import ANNA

from .measure import Failed

#: Who messages go to: a mailbox in the world outside.
RECIPIENT = "giulia@posta.example.test"


def build(product: str) -> Path:
    """Builds a program of the tree, where the one that is looked for is not there."""
    print(f"building {product}", flush=True)
    built = run([find("swift") or "swift", "build", "-c", "release", "--product", product], seconds=3600, cwd=base.REPOSITORY)
    if built.returncode:
        raise Failed(f"swift build: {(built.stdout + built.stderr).decode(errors='replace')[-800:]}")
    return base.REPOSITORY / ".build" / "release" / product


def program() -> Path:
    """SMTP_LOAD, or what stands beside the gateway under test, or in this tree; built when there is none."""
    named = os.environ.get("SMTP_LOAD")
    places = [Path(named)] if named else [Path(executable()).with_name("smtp-load"), base.REPOSITORY / ".build" / "release" / "smtp-load"]
    for place in places:
        if os.access(place, os.X_OK):
            return place
    if named:
        raise Failed(f"SMTP_LOAD: {named} is no program")
    return build("smtp-load")


class Sink:
    """`smtp-load sink`: takes messages and counts them. With `messages` it ends by itself after so many."""

    def __init__(self, port: int, *words: object, messages: int | None = None):
        limit = ["--messages", messages] if messages else []
        self._notices = tempfile.TemporaryFile()
        self.port, self._wanted = port, messages
        self._child = subprocess.Popen(
            [str(word) for word in [program(), "sink", "--port", port, *limit, *words]],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._notices,
        )  # fmt: skip
        base._children.append(self._child)
        poll(lambda: b"listening" in self._said() or self._child.poll() is not None, 10, lambda: f"a sink on port {port}", every=0.002)
        if self._child.poll() is not None:
            raise Failed(f"a sink on port {port}: {self._said().decode(errors='replace')[-300:]}")

    def _said(self) -> bytes:
        self._notices.seek(0)
        return self._notices.read(2000)

    def wait(self, seconds: float) -> dict:
        """What it had when it ended by itself; `Failed` when that does not come about in time."""
        try:
            return self._report(seconds)
        except subprocess.TimeoutExpired:
            found = self.stop()
            raise Failed(f"the sink on port {self.port} has {found['messages']} of {self._wanted} messages after {seconds:g} s") from None

    def stop(self) -> dict:
        """Ends it, and says what it had."""
        if self._child.poll() is None:
            self._child.terminate()
        try:
            return self._report(20)
        except subprocess.TimeoutExpired:
            base.end(self._child, 1)
            raise Failed(f"the sink on port {self.port} did not end") from None

    def _report(self, seconds: float) -> dict:
        printed, _ = self._child.communicate(timeout=seconds)
        if self._child in base._children:
            base._children.remove(self._child)
        if self._child.returncode:
            words = self._said().decode(errors="replace")[-300:]
            raise Failed(f"the sink on port {self.port} ended with {self._child.returncode}: {words}")
        return json.loads(printed)

    def close(self) -> None:
        """For rounds that failed: ends it, whatever it says."""
        if self._child.poll() is None:
            base.end(self._child, 5)
        elif self._child in base._children:
            base._children.remove(self._child)


@dataclass
class Load:
    """What is sent in a round."""

    #: Octets of a message, messages, connections.
    size: int
    count: int
    sessions: int
    #: A message file, or a folder of them.
    messages: Path
    sender: str = ANNA
    recipients: list[str] = field(default_factory=lambda: [RECIPIENT])
    #: Sent as they are: each is unlike the others already.
    keeps: bool = False
    #: Messages a second at fixed times; none: each connection sends its next when the last was answered.
    rate: float | None = None
    #: What else is said to the generator.
    words: tuple[object, ...] = ()

    def send(self, port: int, seconds: float = 300, wants_all: bool = True) -> dict:
        """Sends it all, and gives back the generator's report. `wants_all`: anything but 250 for each message is a failure."""
        found = send(
            port, "--message", self.messages, "--messages", self.count, "--connections", min(self.sessions, self.count),
            "--from", self.sender, *(word for each in self.recipients for word in ("--to", each)),
            *(["--keep"] if self.keeps else []), *(["--rate", self.rate] if self.rate else []), *self.words, seconds=seconds,
        )  # fmt: skip
        if wants_all and found["accepted"] != self.count:
            about = {key: found[key] for key in ("accepted", "refused", "lost", "unstarted", "examples") if found.get(key)}
            raise Failed(f"the load on port {port}: {self.count} messages were sent, and this came of them: {about}")
        return found


def send(port: int, *words: object, seconds: float = 300) -> dict:
    """Runs `smtp-load send` against a port of this machine, and gives back what it reports."""
    done = run([program(), "send", f"127.0.0.1:{port}", *words], seconds=seconds)
    if done.returncode:
        raise Failed(f"the load on port {port}: {done.stderr.decode(errors='replace')[-500:]}")
    return json.loads(done.stdout)


def message_file(folder: Path, size: int, sender: str = ANNA, recipients: list[str] | None = None) -> Path:
    """A message of about `size` octets: correct by the formal checks, so with From and To. The generator makes each unlike the others."""
    to = ",\r\n ".join(recipients or [RECIPIENT])
    path = folder / f"message-{size}-{hashlib.sha256(f'{sender} {to}'.encode()).hexdigest()[:12]}"
    if path.exists():
        return path
    head = (
        f"Date: Tue, 10 Mar 2026 09:14:58 +0100\r\nFrom: Anna Rossi <{sender}>\r\nTo: {to}\r\n"
        "Subject: Domanda di iscrizione\r\nMessage-ID: <benchmark@client.example.test>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    ).encode()
    line = b"QmVuY2htYXJr" * 6 + b"CRLF\r\n"
    path.write_bytes(head + line * max(1, (size - len(head)) // len(line)))
    path.chmod(0o644)
    return path


def monotonic_seconds() -> float:
    """The clock of the generator's and the sink's reports."""
    return time.monotonic_ns() / 1e9
