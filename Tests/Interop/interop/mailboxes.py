"""Folders where messages appear: Maildirs, and the world. Each file is read once; waiting has a deadline."""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .base import poll
from .pec import Header, PECMessage, header_end


@dataclass
class Stored:
    """A message as it was found in a folder."""

    path: Path | None
    #: The message's octets with CRLF line ends, without the lines that the folder's keeper put before it.
    octets: bytes
    envelope_from: str | None = None
    envelope_to: tuple[str, ...] = ()
    return_path: str | None = None

    @cached_property
    def header(self) -> Header:
        return Header(self.octets[: header_end(self.octets)])

    @cached_property
    def message(self) -> PECMessage:
        return PECMessage.read(self.octets, certified=self.kind != "errore")

    @property
    def untraced(self) -> bytes:
        """The octets without the trace that the incoming point has put on top (RFC 5321 §4.4)."""
        return re.sub(rb"(?i)\A(?:(?:received|delivered-to):.*\r\n(?:[ \t].*\r\n)*)+", b"", self.octets)

    @property
    def kind(self) -> str:
        """`accettazione`, `posta-certificata`, … by the outer header, or an empty string for ordinary mail."""
        return self.header.get("X-Ricevuta") or self.header.get("X-Trasporto") or ""

    @staticmethod
    def load(path: Path | None, octets: bytes) -> "Stored":
        if b"\r\n" not in octets[:2000]:
            octets = octets.replace(b"\n", b"\r\n")  # kept with LF: converted back, nothing else
        sender, recipients, back = None, [], None
        while found := re.match(rb"(?i)(X-Envelope-From|X-Envelope-To|Return-Path):[ \t]*([^\r\n]*)\r\n", octets):
            name, value = found[1].lower(), found[2].decode("utf-8").strip()
            if name == b"return-path":
                if back is not None or sender is not None:
                    break
                back = value
            elif name == b"x-envelope-from":
                sender = value.strip("<>")
            else:
                recipients += [each.strip(" <>") for each in value.split(",") if each.strip(" <>")]
            octets = octets[found.end() :]
        return Stored(path, octets, sender, tuple(recipients), back)


class Folder:
    """`new` and `cur` of a Maildir (or the world): `all` gives what has appeared so far, in the order of its coming."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self._known: dict[str, Stored] = {}

    @property
    def all(self) -> list[Stored]:
        for name in ("new", "cur"):
            try:
                entries = sorted(
                    (entry for entry in os.scandir(self.path / name) if entry.is_file()), key=lambda each: each.stat().st_mtime_ns
                )
            except FileNotFoundError:
                continue
            for entry in entries:
                key = entry.name.split(":2,")[0]
                if key not in self._known:
                    try:
                        self._known[key] = Stored.load(Path(entry.path), Path(entry.path).read_bytes())
                    except FileNotFoundError:
                        pass
        return list(self._known.values())

    def matching(self, condition) -> list[Stored]:
        return [stored for stored in self.all if condition(stored)]

    def wait(self, condition, seconds: float = 30, count: int = 1, what: str = "the message") -> list[Stored]:
        """The messages that meet the condition, as soon as there are `count`."""
        return poll(
            lambda: found if len(found := self.matching(condition)) >= count else None,
            seconds,
            lambda: f"{what}: {len(self.matching(condition))} of {count} in {self.path} (which holds {len(self._known)})",
        )
