"""Extracts of the certified log as whoever gets one has them: a folder or an archive, checked with tools that everybody has."""

import json
import re
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path

from .base import executable, find, new_folder, run

#: What stands in any bundle, whoever it is for.
SERVICES = ("posta-certificata", "registro", "servizio")
#: Rows that only who sent the message may see.
SENDERS_OWN = ("non-accettazione", "non-accettazione-virus")
BARE = {"PATH": "/usr/bin:/bin"}


@dataclass
class Bundle:
    folder: Path

    @staticmethod
    def unpacked(archive: Path) -> "Bundle":
        """In an empty folder, by a program that everybody has."""
        folder = new_folder("bundle") / "estratto"
        done = run([find("unzip"), "-q", archive, "-d", folder])
        assert done.returncode == 0, done.stderr.decode()
        return Bundle(folder)

    def copy(self) -> "Bundle":
        folder = new_folder("bundle") / "estratto"
        shutil.copytree(self.folder, folder)
        return Bundle(folder)

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    @property
    def names(self) -> list[str]:
        return [str(path.relative_to(self.folder)) for path in self.files]

    @property
    def rows(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "eventi.jsonl").read_text().splitlines()]

    def write(self, path: Path, octets: bytes) -> None:
        path.chmod(0o600)
        path.write_bytes(octets)

    def write_new(self, name: str, octets: bytes) -> None:
        (self.folder / name).write_bytes(octets)

    def script(self, *arguments, shell: str = "dash", script: Path | None = None) -> tuple[int, str]:
        """`verifica.sh` in an environment where there is nothing but the system's own tools."""
        words = [find("busybox"), "sh"] if shell == "busybox" else [find(shell)]
        done = run([*words, script or "verifica.sh", *arguments], cwd=self.folder, env=BARE)
        return done.returncode, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")

    def verify(self, *options) -> tuple[int, dict]:
        """`ceralacca verify`: its exit code and what it found."""
        done = run([executable(), "verify", "--json", *options, self.folder])
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {"faults": [done.stderr.decode(errors="replace")]}

    def steps(self) -> list[str]:
        """The commands that VERIFICA.txt prints, block by block."""
        text = (self.folder / "VERIFICA.txt").read_text()
        return [textwrap.dedent(block) for block in re.findall(r"(?m)(?:^    .*\n)+", text)]

    def text(self) -> dict[str, str]:
        """All that can be read in it, by file: octets as they are, and the PDF's text as it stands and without its line breaks."""
        found = {str(path.relative_to(self.folder)): path.read_bytes().decode("latin-1") for path in self.files}
        for options in (("-layout",), ("-raw",)):
            done = run([find("pdftotext"), *options, self.folder / "estratto.pdf", "-"])
            assert done.returncode == 0, done.stderr.decode()
            said = done.stdout.decode()
            found["estratto.pdf, text" + options[0]] = said + "\n" + re.sub(r"\s+", "", said)
        return found

    def naming(self, addresses: set[str]) -> dict[str, set[str]]:
        """Which of these addresses each file names, small letters or large; and every other mail address of the certified domains but
        the services', where lines are not broken."""
        found = {}
        for name, text in self.text().items():
            small = text.lower()
            found[name] = {each for each in addresses if each in small}
            if not name.startswith("estratto.pdf"):
                every = set(re.findall(r"(?<![\w.+-])([a-z]+@pec\.(?:alfa|beta|gamma)\.test)", small))
                found[name] |= {each for each in every if each.partition("@")[0] not in SERVICES}
        return found


def due(events: list[dict], ids: set[str], holder: str) -> set[int]:
    """Numbers of the rows that a holder may see of these messages, by the rule alone: all of those he sent; of those he got, what is
    about him or about the message as a whole."""
    numbers = set()
    for event in events:
        if event["pecID"] not in ids:
            continue
        about = event.get("recipient")
        concerned = about == holder if about else holder in [each["address"] for each in event["recipients"]]
        if event["sender"] == holder or (concerned and event["event"] not in SENDERS_OWN):
            numbers.add(event["number"])
    return numbers
