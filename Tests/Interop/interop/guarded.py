"""A gateway with a virus scanner whose signatures belong to the test, and what can be asked of it: its status and its quarantine."""

import hashlib
import json
import os
import secrets
import signal
import socket
from pathlib import Path

from .base import new_folder, poll, tail
from .lab import Gateway, World

#: EICAR's test string, which every scanner takes for a virus and which harms nobody. In pieces, so that no scanner stumbles over this file.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE" + b"!$H+H*"
TEXT_PATTERN = b"CERALACCA-PROVA-" + b"MODELLO-UNO"
#: No text: it travels encoded.
BINARY_PATTERN = b"\x00\xce\xca\xe1\xac" + b"PROVA-DUE" + b"\xff\x00\xfe\xff"
#: What only one of two providers knows.
LATE_PATTERN = b"CERALACCA-PROVA-" + b"SOLO-BETA"

EICAR_NAME, TEXT_NAME, BINARY_NAME, LATE_NAME = "Eicar-Test-Signature", "Prova-Testo-1", "Prova-Binario-2", "Prova-Tarda-3"
USUAL = {EICAR_NAME: EICAR, TEXT_NAME: TEXT_PATTERN, BINARY_NAME: BINARY_PATTERN}


class Signatures:
    """A folder of signatures, as freshclam fills one: files appear by renaming and never half written."""

    def __init__(self, names: dict[str, bytes] | None = None):
        self.folder = new_folder("signatures")
        self.file = self.folder / "prova.ndb"
        self.write(USUAL if names is None else names)

    def write(self, names: dict[str, bytes], more: int = 0) -> None:
        """These patterns, anywhere in anything, and `more` invented ones that make the database large."""
        lines = [f"{name}:0:*:{pattern.hex()}\n" for name, pattern in names.items()]
        for number in range(more):
            lines.append(f"Riempitivo-{number}:0:*:{hashlib.sha256(b'riempitivo %d' % number).hexdigest()}\n")
        self.replace("".join(lines).encode())

    def replace(self, octets: bytes) -> None:
        fresh = self.folder / f".nuovo-{secrets.token_hex(4)}"
        fresh.write_bytes(octets)
        fresh.chmod(0o644)
        fresh.rename(self.file)

    def remove(self) -> None:
        self.file.unlink()


def scanner(database: Path, **keys) -> str:
    """The configuration's `scanner:` in flow style."""
    given = {"workers": 2, "databaseCheckSeconds": 3600, **keys}
    return "{ " + ", ".join([f'database: "{database}"', *(f"{name}: {value}" for name, value in given.items())]) + " }"


class Guarded(Gateway):
    """A gateway that is ready when its scanner is. `keys` are those of `scanner:`."""

    def __init__(self, world_port: int | None, signatures: Signatures | None, edit=None, provider: str = "alfa", beside=None, **keys):
        def settings(yaml):
            yaml.limits(firstRetrySeconds=1, lastRetrySeconds=2)
            yaml.set(scanner(signatures.folder, **keys) if signatures else "off", "scanner")
            if edit:
                edit(yaml)

        super().__init__(world_port, settings, provider=provider, beside=beside)
        self.signatures = signatures

    def start(self, seconds: float = 60) -> "Guarded":
        super().start(seconds)
        if self.signatures:
            self.scanning()
        return self

    def scanning(self, seconds: float = 60) -> None:
        """Waits until messages are looked at."""
        poll(
            lambda: self.status().get("scannerUp"),
            seconds,
            lambda: f"a scanner that is up; the log's last words:\n{tail(self.log)}",
            every=0.05,
        )

    @property
    def data(self) -> Path:
        return self.folder / self.provider / "data"

    def status(self) -> dict[str, int]:
        """The running numbers, from the control socket; none while the gateway is still starting."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(20)
            control.connect(str(self.data / "control.sock"))
            control.sendall(b'{"verb":"status"}\n')
            octets = b""
            while not octets.endswith(b"\n") and (more := control.recv(65536)):
                octets += more
        return json.loads(octets).get("numbers", {})

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def reloaded(self, seconds: float = 60) -> None:
        """Asks for the signatures that are there now, and waits until they are in use."""
        before = self.status()["scannerGenerations"]
        self.reload()
        poll(
            lambda: self.status()["scannerGenerations"] > before, seconds, lambda: f"new signatures; the log:\n{tail(self.log)}", every=0.05
        )

    @property
    def said(self) -> str:
        """The service log so far."""
        return self.log.read_text("utf-8", "replace")


def quarantine(world: World) -> list[dict]:
    return world.operator("quarantine", "list")


def kept_about(world: World, pec_id: str) -> list[dict]:
    return [row for row in quarantine(world) if row["pecID"] == pec_id]


def kept_content(row: dict) -> bytes:
    return (Path(row["path"]) / "message.eml").read_bytes()


def check_kept(row: dict, octets: bytes, kind: str, sender: str, recipients: list[str], threat: str) -> list[str]:
    """What is wrong with an entry of the quarantine. `threat`: how the name of what was found begins."""
    problems = []

    def same(what: str, got, wanted) -> None:
        if got != wanted:
            problems.append(f"quarantine, {what}: wanted {str(wanted)[:300]!r}, got {str(got)[:300]!r}")

    same("kind", row["kind"], kind)
    same("sender", row["sender"], sender)
    same("recipients", sorted(each.lower() for each in row["recipients"]), sorted(each.lower() for each in recipients))
    same("the threat", row["threat"][: len(threat)], threat)
    same("the scanner's name", row["scanner"].startswith("ClamAV "), True)
    content = kept_content(row)
    if content != octets:
        problems.append(
            f"quarantine: {len(content)} octets that are not the {len(octets)} that came, from {first_difference(content, octets)}"
        )
    same("SHA-256", row["sha256"], hashlib.sha256(octets).hexdigest())
    same("size", row["bytes"], len(octets))
    folder = Path(row["path"])
    same("mode of the folder", oct(folder.stat().st_mode & 0o777), oct(0o500))
    for name in ("message.eml", "record.json"):
        same(f"mode of {name}", oct((folder / name).stat().st_mode & 0o777), oct(0o400))
    return problems


def first_difference(one: bytes, other: bytes) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))


def nobody() -> int:
    import pwd

    return pwd.getpwnam("nobody").pw_uid


def is_root() -> bool:
    return os.geteuid() == 0
