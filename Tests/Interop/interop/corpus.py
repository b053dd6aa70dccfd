"""Messages of our own making: every one correct by the formal checks, and each odd in its own way. All of it from one seed."""

import base64
import random
from dataclasses import dataclass, field

from .lab import ANNA

DATE = b"Date: Tue, 10 Mar 2026 09:14:58 +0100\r\n"


@dataclass
class Case:
    """One message of the corpus. `key` is the address by which it is found again."""

    name: str
    octets: bytes
    recipients: list[str]
    subject: object = ...
    #: How it has to be sent: `bdat` where DATA cannot (no final CRLF), otherwise free.
    only_bdat: bool = False
    key: str = field(default="")

    @property
    def size(self) -> int:
        return len(self.octets)


class Builder:
    """Collects cases. The recipient's address is made here, so that each case has its own."""

    def __init__(self, seed: int):
        self.dice = random.Random(seed)
        self.cases: list[Case] = []

    @property
    def address(self) -> str:
        return f"caso-{len(self.cases):04}@posta.example.test"

    def add(self, name: str, octets: bytes, recipients: list[str] | None = None, subject: object = ...) -> None:
        key = self.address
        self.cases.append(Case(name, octets, [key] + (recipients or []), subject, not octets.endswith(b"\r\n"), key))

    def head(
        self,
        subject: bytes | None = b"Prova",
        to: bytes | None = None,
        from_: bytes = ANNA.encode(),
        identifier: bytes | None = ...,
        date: bytes = DATE,
        cc: bytes | None = None,
    ) -> bytes:
        """A header with everything that the checks want; None leaves a field out."""
        if identifier is ...:
            identifier = b"<corpus-%d.%08x@client.example.test>" % (len(self.cases), self.dice.getrandbits(32))
        out = date + b"From: " + from_ + b"\r\nTo: " + (to or self.address.encode()) + b"\r\n"
        if cc is not None:
            out += b"Cc: " + cc + b"\r\n"
        if subject is not None:
            out += b"Subject: " + subject + b"\r\n"
        if identifier is not None:
            out += b"Message-ID: " + identifier + b"\r\n"
        return out

    def words(self, count: int) -> bytes:
        stock = (
            b"certificata posta ricevuta anno domanda iscrizione protocollo ufficio comune allegato saluti 2026 nr. prot. - = . ..".split()
        )
        return b" ".join(self.dice.choice(stock) for _ in range(count))

    def lines(self, count: int) -> bytes:
        return b"".join(self.words(self.dice.randint(1, 12)) + b"\r\n" for _ in range(count))


def mime(kind: bytes, encoding: bytes | None = None, extra: bytes = b"") -> bytes:
    out = b"MIME-Version: 1.0\r\nContent-Type: " + kind + b"\r\n"
    if encoding:
        out += b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    return out + extra


def multipart(subtype: bytes, boundary: bytes, parts: list[bytes], preamble: bytes = b"", epilogue: bytes = b"") -> bytes:
    body = preamble + b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n" + epilogue
    return b'Content-Type: multipart/%s; boundary="%s"\r\n\r\n' % (subtype, boundary) + body


def base64_lines(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


def crlf(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


PLAIN = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nParte.\r\n"


def corpus(seed: int, mixture_count: int = 30) -> list[Case]:
    """Every case, in an order that the seed decides for nothing: it is always the same."""
    from .families import FAMILIES, mixtures

    build = Builder(seed)
    for family in FAMILIES:
        family(build)
    mixtures(build, mixture_count)
    return build.cases
