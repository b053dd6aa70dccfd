"""A reader of PEC messages that works on exact octets and re-serialises nothing (pec-rules 11.1: verify what was received)."""

import base64
import binascii
import codecs
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from . import der


class Malformed(AssertionError):
    """The message is not what a PEC message has to be."""


class Header:
    """Header fields in their order: name and raw value (after the colon, folds inside, without the final CRLF)."""

    def __init__(self, octets: bytes):
        self.octets = octets
        self.fields: list[tuple[str, bytes]] = []
        for line in re.findall(rb"(?s).*?\r\n(?![ \t])", octets):
            name, colon, value = line[:-2].partition(b":")
            if not colon or not re.fullmatch(rb"[!-9;-~]+", name):
                raise Malformed(f"not a header field: {line[:80]!r}")
            self.fields.append((name.decode("ascii"), value))
        if sum(len(name) + len(value) + 3 for name, value in self.fields) != len(octets):
            raise Malformed(f"octets between header fields: {octets[:200]!r}")

    def all(self, name: str) -> list[bytes]:
        return [value for each, value in self.fields if each.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The unfolded, trimmed value of a field that stands at most once."""
        values = self.all(name)
        if len(values) > 1:
            raise Malformed(f"{name} stands {len(values)} times")
        return unfolded(values[0]) if values else None

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.fields]


def unfolded(value: bytes) -> str:
    return re.sub(rb"\r\n(?=[ \t])", b"", value).strip(b" \t").decode("latin-1")


def header_end(message: bytes) -> int:
    """The offset just after the last header line; the empty line follows, or nothing."""
    if message.startswith(b"\r\n"):
        return 0
    at = message.find(b"\r\n\r\n")
    return len(message) if at < 0 else at + 2


def halves(entity: bytes) -> tuple[Header, bytes]:
    """Header and body of a message or part."""
    end = header_end(entity)
    return Header(entity[:end]), entity[end + 2 :]


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """A structured value: `multipart/mixed; boundary="x"`."""
    main, _, rest = value.partition(";")
    found = {}
    for name, quoted, token in re.findall(r'\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))\s*(?:;|$)', rest):
        found[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted or not token else token
    return main.strip().lower(), found


def parts_of(body: bytes, boundary: str) -> tuple[bytes, list[bytes], bytes]:
    """Preamble, parts and epilogue. Every line that begins with the delimiter counts (RFC 2046 §5.1.1), so a boundary must be unique."""
    delimiter = re.escape(b"--" + boundary.encode("ascii"))
    lines = list(re.finditer(rb"(?:\A|\r\n)" + delimiter + rb"([^\r\n]*)(?=\r\n|\Z)", body))
    rests = [line.group(1).rstrip(b" \t") for line in lines]
    if len(lines) < 2 or rests[-1] != b"--" or any(rests[:-1]):
        raise Malformed(f"delimiter lines of {boundary!r} end in {rests}")
    parts = [body[one.end() + 2 : two.start()] for one, two in zip(lines, lines[1:])]
    return body[: lines[0].start()], parts, body[lines[-1].end() :]


def decode_quoted_printable(octets: bytes) -> bytes:
    """Strictly: what is not quoted-printable is refused (RFC 2045 §6.7)."""
    for line in octets.split(b"\r\n"):
        if len(line) > 76 or re.search(rb"=(?![0-9A-F]{2}|\Z)", line) or re.search(rb"[^\t -~]|[ \t]\Z", line):
            raise Malformed(f"not quoted-printable: {line!r}")
    return binascii.a2b_qp(octets.replace(b"=\r\n", b""))


def decode_base64(octets: bytes) -> bytes:
    lines = octets.strip(b"\r\n").split(b"\r\n")
    if any(len(line) > 76 for line in lines):
        raise Malformed("a base64 line over 76 characters")
    return base64.b64decode(b"".join(lines), validate=True)


def decoded_words(value: str) -> str:
    """RFC 2047 encoded words decoded; adjacent words of one charset are joined before decoding."""
    value = re.sub(r"(=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=)[ \t]+(?==\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=)", r"\1", value)
    out, at, pending, charset = [], 0, b"", None

    def flush():
        nonlocal pending, charset
        if charset:
            out.append(pending.decode(charset, "replace"))
        pending, charset = b"", None

    for word in re.finditer(r"=\?([^?\s*]+)(?:\*[^?\s]*)?\?([bBqQ])\?([^?\s]*)\?=", value):
        try:
            codecs.lookup(word[1])
        except LookupError:
            continue  # an unknown charset stays as it is written
        if word.start() > at:
            flush()
            out.append(value[at : word.start()])
        octets = (
            base64.b64decode(word[3] + "=" * (-len(word[3]) % 4))
            if word[2] in "bB"
            else binascii.a2b_qp(word[3].replace("_", " "), header=False)
        )
        if charset != word[1].lower():
            flush()
        charset, pending = word[1].lower(), pending + octets
        at = word.end()
    flush()
    return "".join(out) + value[at:]


@dataclass
class CertificationData:
    """daticert.xml, read."""

    kind: str
    error: str
    sender: str
    recipients: list[tuple[str, str]]
    reply_to: str
    subject: str | None
    provider: str
    when: datetime
    day: str
    time: str
    zone: str
    pec_id: str
    client_id: str | None
    receipt_type: str | None
    delivered_to: str | None
    received: list[str]
    extended_error: str | None

    @staticmethod
    def read(xml: bytes) -> "CertificationData":
        if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
            raise Malformed("daticert.xml with a DOCTYPE")
        if not xml.startswith(b'<?xml version="1.0" encoding="UTF-8"?>'):
            raise Malformed(f"daticert.xml begins {xml[:60]!r}")
        root = ElementTree.fromstring(xml)
        head, data = root.find("intestazione"), root.find("dati")

        def text(parent, name):
            found = parent.find(name)
            return None if found is None else (found.text or "")

        stamp = data.find("data")
        day, time, zone = text(stamp, "giorno"), text(stamp, "ora"), stamp.get("zona")
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5])) * (-1 if zone[0] == "-" else 1)
        when = datetime.strptime(f"{day} {time}", "%d/%m/%Y %H:%M:%S").replace(tzinfo=timezone(offset))
        receipt = data.find("ricevuta")
        return CertificationData(
            kind=root.get("tipo"),
            error=root.get("errore", "nessuno"),
            sender=text(head, "mittente"),
            recipients=[(each.text or "", each.get("tipo", "certificato")) for each in head.findall("destinatari")],
            reply_to=text(head, "risposte"),
            subject=text(head, "oggetto"),
            provider=text(data, "gestore-emittente"),
            when=when,
            day=day,
            time=time,
            zone=zone,
            pec_id=text(data, "identificativo"),
            client_id=text(data, "msgid"),
            receipt_type=None if receipt is None else receipt.get("tipo"),
            delivered_to=text(data, "consegna"),
            received=[each.text or "" for each in data.findall("ricezione")],
            extended_error=text(data, "errore-esteso"),
        )


@dataclass
class PECMessage:
    """A signed PEC message taken apart: every piece is a copy of the octets as they came."""

    octets: bytes
    header: Header
    preamble: bytes
    signed: bytes
    cms: bytes
    text: str
    xml: bytes | None
    original: bytes | None
    part_headers: list[Header]
    signature_header: Header
    micalg: str
    protocol: str
    data: CertificationData | None = field(repr=False, default=None)

    @property
    def signature(self) -> der.Signature:
        return der.read_signature(self.cms)

    @staticmethod
    def read(octets: bytes, certified: bool = True) -> "PECMessage":
        """`certified`: whether there has to be a daticert.xml (an anomaly envelope has none)."""
        header, body = halves(octets)
        kind, given = parameters(header.get("Content-Type") or "")
        if kind != "multipart/signed":
            raise Malformed(f"Content-Type is {header.get('Content-Type')!r}")
        preamble, parts, _ = parts_of(body, given["boundary"])
        if len(parts) != 2:
            raise Malformed(f"multipart/signed with {len(parts)} parts")
        signature_header, signature = halves(parts[1])
        mixed, inner = halves(parts[0])
        kind, inside = parameters(mixed.get("Content-Type") or "")
        if kind != "multipart/mixed":
            raise Malformed(f"what is signed is {kind}")
        pieces = parts_of(inner, inside["boundary"])[1]
        text = xml = original = None
        headers = []
        for number, piece in enumerate(pieces):
            part, content = halves(piece)
            headers.append(part)
            kind, about = parameters(part.get("Content-Type") or "")
            if number == 0:
                if kind == "multipart/alternative":
                    part, content = halves(parts_of(content, about["boundary"])[1][0])
                    kind, about = parameters(part.get("Content-Type") or "")
                if kind != "text/plain" or about.get("charset", "").lower() != "iso-8859-1":
                    raise Malformed(f"the first part is {part.get('Content-Type')}")
                encoding = (part.get("Content-Transfer-Encoding") or "7bit").lower()
                decode = {"quoted-printable": decode_quoted_printable, "base64": decode_base64}.get(encoding, bytes)
                text = decode(content).decode("iso-8859-1")
            elif about.get("name") == "daticert.xml":
                xml = decode_base64(content)
            elif kind == "message/rfc822":
                original = content
        if text is None or (xml is not None) != certified:
            raise Malformed(f"no text part, or {'no' if certified else 'a'} daticert.xml")
        return PECMessage(
            octets,
            header,
            preamble,
            parts[0],
            decode_base64(signature),
            text,
            xml,
            original,
            headers,
            signature_header,
            given.get("micalg", ""),
            given.get("protocol", ""),
            CertificationData.read(xml) if certified else None,
        )
