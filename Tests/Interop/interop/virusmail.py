"""Messages with something in them that a scanner must find, or that it cannot look into. All of it is made here and harms nobody."""

import base64
import io
import quopri
import subprocess
import tarfile
import zipfile
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from .base import find
from .compose import token
from .corpus import base64_lines, multipart
from .expect import Sent
from .guarded import BINARY_NAME, BINARY_PATTERN, EICAR, EICAR_NAME, TEXT_NAME, TEXT_PATTERN
from .lab import ANNA

PLAIN = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nBuongiorno, in allegato quanto richiesto.\r\n"
DAY = (2026, 3, 10, 9, 14, 58)


def zipped(name: str, octets: bytes, stored: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name, DAY), octets, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
    return out.getvalue()


def nested_zips(octets: bytes, depth: int, name: str = "conto.com") -> bytes:
    for level in range(depth):
        octets, name = zipped(name, octets), f"livello-{level}.zip"
    return octets


def many_files(count: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(count):
            archive.writestr(zipfile.ZipInfo(f"nota-{number}.txt", DAY), f"nota numero {number}\n")
    return out.getvalue()


def tarred(name: str, octets: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(octets)
        archive.addfile(entry, io.BytesIO(octets))
    return out.getvalue()


def encrypted_zip(octets: bytes, folder: Path, password: str = "segreta-1") -> bytes:
    """By 7z, with the cipher that every zip program has."""
    (folder / "atto.txt").write_bytes(octets)
    archive = folder / f"{token()}.zip"
    command = [find("7z"), "a", "-tzip", f"-p{password}", "-mem=ZipCrypto", archive, folder / "atto.txt"]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 0, done.stdout.decode(errors="replace")
    return archive.read_bytes()


def attachment(octets: bytes, name: str, kind: str = "application/octet-stream") -> bytes:
    head = f'Content-Type: {kind}; name="{name}"\r\nContent-Transfer-Encoding: base64\r\n'
    return f'{head}Content-Disposition: attachment; filename="{name}"\r\n\r\n'.encode() + base64_lines(octets)


def quoted(octets: bytes) -> bytes:
    return quopri.encodestring(octets).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def mixed(*parts: bytes, boundary: bytes = b"=_parti") -> bytes:
    """The message's own MIME fields, the empty line and the body."""
    return b"MIME-Version: 1.0\r\n" + multipart(b"mixed", boundary, list(parts))


@dataclass
class Infected:
    """A message from its MIME fields on, and how the name of what is in it begins."""

    name: str
    rest: bytes
    threat: str = EICAR_NAME
    encoding: str = "7bit"

    def head(self, sender: str, recipients: list[str], identifier: str | None) -> bytes:
        lines = [f"Date: {formatdate(localtime=True)}", f"From: {sender}", "To: " + ",\r\n ".join(recipients), "Subject: Conto e ricevuta"]
        if identifier:
            lines.append(f"Message-ID: {identifier}")
        return "".join(line + "\r\n" for line in lines).encode()

    def sent(self, recipients: list[str], sender: str = ANNA) -> Sent:
        """As a client submits it."""
        identifier = f"<{token()}@client.example.test>"
        return Sent(self.head(sender, recipients, identifier) + self.rest, sender, list(recipients), "Conto e ricevuta", identifier)

    def original(self, recipients: list[str], sender: str) -> bytes:
        """As it stands in another provider's envelope, which puts its own identifier on it."""
        return self.head(sender, recipients, None) + self.rest


def attached_message(octets: bytes) -> bytes:
    inner = b"From: giulia@posta.example.test\r\nTo: anna@pec.alfa.test\r\nSubject: inoltro\r\nDate: Tue, 10 Mar 2026 09:14:58 +0100\r\n"
    return (
        b'Content-Type: message/rfc822; name="inoltro.eml"\r\n\r\n'
        + inner
        + mixed(PLAIN, attachment(octets, "conto.com"), boundary=b"=_dentro")
    )


def html(octets: bytes) -> bytes:
    page = b"<html><body><p>Gentile cliente,</p>\r\n<!--\r\n" + octets + b"\r\n-->\r\n</body></html>\r\n"
    return b"MIME-Version: 1.0\r\nContent-Type: text/html; charset=us-ascii\r\n\r\n" + page


def at_the_end(size: int, octets: bytes) -> bytes:
    """`size` octets of harmless base64 before it, all lines distinct."""
    lines = (
        base64.b64encode(b"riga %09d di un allegato che non dice nulla, %09d" % (number, number)) + b"\r\n" for number in range(size // 74)
    )
    body = b"".join(lines)
    big = b'Content-Type: application/octet-stream; name="grande.bin"\r\nContent-Transfer-Encoding: base64\r\n\r\n' + body
    return mixed(PLAIN, big, attachment(octets, "conto.com"))


def everything(large: int = 25 * 10**6) -> list[Infected]:
    """Every shape that must be caught at both points; `large`: octets before the virus in the largest."""
    text = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n"
    return [
        Infected("plain", b"\r\n" + EICAR + b"\r\n"),
        Infected("plain, in a part", mixed(PLAIN, b"Content-Type: text/plain\r\n\r\n" + EICAR + b"\r\n")),
        Infected("base64", mixed(PLAIN, attachment(EICAR, "conto.com"))),
        Infected(
            "quoted-printable", text + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted(TEXT_PATTERN + b" = "), TEXT_NAME
        ),
        Infected("zip", mixed(PLAIN, attachment(nested_zips(EICAR, 1), "conto.zip", "application/zip"))),
        Infected("zip in a zip", mixed(PLAIN, attachment(nested_zips(EICAR, 2), "conti.zip", "application/zip"))),
        Infected("tar.gz", mixed(PLAIN, attachment(tarred("conto.com", EICAR), "conto.tar.gz", "application/gzip"))),
        Infected("attached message", mixed(PLAIN, attached_message(EICAR))),
        Infected("zip in an attached message", mixed(PLAIN, attached_message(nested_zips(EICAR, 2)))),
        Infected("html", html(EICAR)),
        Infected("no text at all", mixed(PLAIN, attachment(b"\x7fELF" + BINARY_PATTERN, "programma")), BINARY_NAME),
        Infected(
            "eight bits around it", text.replace(b"us-ascii", b"utf-8") + b"\r\nPerch\xc3\xa9?\r\n" + EICAR + b"\r\n", encoding="8bit"
        ),
        Infected("at the end of 25 MB", at_the_end(large, EICAR)),
    ]
