"""What the scanners are given: messages that are all different, and a large database of invented signatures."""

import base64
import io
import random
import zipfile
from pathlib import Path

#: Whoever scans looks at HTML as it came, too: our scanner sees to that by itself, clamd is told so by its database.
RAW_HTML = "DOCUMENT:0xffffffef:0:255"
#: Found in the messages that must be caught; the database knows it.
INVENTED = b"CERALACCA-BENCHMARK-" + b"PATTERN"
_WORDS = (
    "la domanda di iscrizione si trova in allegato con la ricevuta del versamento e il documento del richiedente per la pratica numero "
    "presso il comune entro il termine previsto dal bando pubblicato nel mese scorso"
).split()
#: What a message may be made of, and the words for it.
MIXED, PLAIN = "text and HTML with an attachment", "plain"
#: A larger message is one letter with an attachment of the rest.
_LETTER_BYTES = 3_000


def signatures(folder: Path, count: int) -> None:
    """Writes `count` different signatures: half of them patterns, of which some have gaps, half of them sizes and digests of files."""
    dice = random.Random(4)
    folder.mkdir(exist_ok=True)
    patterns = [f"Ceralacca-Benchmark:0:*:{INVENTED.hex()}"]
    for number in range(count // 2 - 1):
        body = dice.randbytes(dice.randrange(24, 64)).hex()
        gap = ("{-12}", "*")[number % 2] if number % 4 == 0 else ""
        # Any file, programs, HTML, mail.
        target = (0, 1, 3, 4)[number % 4]
        patterns.append(f"Ceralacca-Pattern-{number}:{target}:*:{body[:24]}{gap}{body[24:]}")
    digests = []
    for number in range(count - count // 2):
        digests.append(f"{dice.randbytes(16).hex()}:{dice.randrange(200, 4_000_000)}:Ceralacca-Digest-{number}")
    for name, lines in (("invented.ndb", patterns), ("invented.hdb", digests), ("options.cfg", [RAW_HTML])):
        (folder / name).write_text("\n".join(lines) + "\n")
        (folder / name).chmod(0o644)


def _prose(dice: random.Random, size: int) -> str:
    words, length = [], 0
    while length < size:
        line = " ".join(dice.choices(_WORDS, k=10)) + f" {dice.getrandbits(32)}."
        words.append(line)
        length += len(line) + 2
    return "\r\n".join(words)


def _archive(dice: random.Random, size: int) -> bytes:
    """A zip as office programs write them: a picture that cannot be made smaller, and compressed XML."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        text = "<p>" + _prose(dice, min(size // 2, 60_000)).replace("\r\n", "</p><p>") + "</p>"
        archive.writestr("content.xml", text, zipfile.ZIP_DEFLATED)
        room = size - len(inner.getvalue()) - 400
        archive.writestr("image.bin", dice.randbytes(max(100, room)), zipfile.ZIP_STORED)
    return inner.getvalue()


def message(dice: random.Random, size: int, number: int, infected: bool = False) -> bytes:
    """A message of about `size` octets: text and HTML; a larger one with an attachment, a zip or plain octets by turns."""
    head = (
        f"Message-ID: <{dice.getrandbits(64):x}@mua.pec.alfa.test>\r\nDate: Sat, 21 Nov 2026 09:00:00 +0100\r\n"
        "From: Anna Rossi <anna@pec.alfa.test>\r\nTo: bruno@pec.beta.test\r\nSubject: Domanda di iscrizione\r\nMIME-Version: 1.0\r\n"
    )
    letter = min(size - 900, _LETTER_BYTES)
    text, html = _prose(dice, letter // 2), _prose(dice, letter // 2).replace("\r\n", "<br>\r\n")
    if infected:
        text += "\r\n" + INVENTED.decode()
    body = (
        'Content-Type: multipart/alternative; boundary="inner"\r\n\r\n--inner\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n'
        f"{text}\r\n--inner\r\nContent-Type: text/html; charset=us-ascii\r\n\r\n<html><body><p>{html}</p></body></html>\r\n--inner--\r\n"
    )
    rest = size - len(head) - len(body)
    if rest < 1_000:
        return (head + body).encode()
    octets = int(rest * 0.73)
    attached = _archive(dice, octets) if number % 2 else dice.randbytes(octets)
    name = "domanda.odt" if number % 2 else "domanda.bin"
    lines = base64.encodebytes(attached).replace(b"\n", b"\r\n")
    return (
        f'{head}Content-Type: multipart/mixed; boundary="outer"\r\n\r\n--outer\r\n{body}\r\n--outer\r\n'
        f'Content-Type: application/octet-stream; name="{name}"\r\nContent-Disposition: attachment; filename="{name}"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode() + lines + b"--outer--\r\n"


def plain_message(dice: random.Random, size: int) -> bytes:
    """A message of about `size` octets of text and nothing else."""
    head = (
        f"Message-ID: <{dice.getrandbits(64):x}@mua.pec.alfa.test>\r\nDate: Sat, 21 Nov 2026 09:00:00 +0100\r\n"
        "From: Anna Rossi <anna@pec.alfa.test>\r\nTo: bruno@pec.beta.test\r\nSubject: Domanda di iscrizione\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
    )
    return f"{head}{_prose(dice, size - len(head))}\r\n".encode()


def fill(folder: Path, size: int, count: int, kind: str = MIXED) -> None:
    """Puts `count` messages of a kind, all different, into a folder, unless it is there."""
    if folder.exists():
        return
    folder.mkdir()
    dice = random.Random(size)
    for number in range(count):
        octets = plain_message(dice, size) if kind == PLAIN else message(dice, size, number)
        (folder / f"{number:06}.eml").write_bytes(octets)


def infect(folder: Path) -> None:
    """Puts a message into a folder that must be caught."""
    folder.mkdir(exist_ok=True)
    (folder / "infected.eml").write_bytes(message(random.Random(1), 5_000, 0, infected=True))
