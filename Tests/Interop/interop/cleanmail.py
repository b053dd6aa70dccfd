"""Ordinary business mail in the shapes that PEC carries every day: signed files, invoices, calendars, office documents, reports."""

import base64
import binascii
import gzip
import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from .authority import openssl
from .base import new_folder
from .corpus import base64_lines, multipart
from .virusmail import DAY, PLAIN, attachment, mixed, zipped


@dataclass
class Clean:
    """A message from its MIME fields on. `is_for_submission`: false where the access point's formal checks forbid it."""

    name: str
    rest: bytes
    encoding: str = "7bit"

    @property
    def is_for_submission(self) -> bool:
        return self.encoding == "7bit"


def noise(size: int, seed: str) -> bytes:
    """Octets without any pattern, always the same."""
    out = io.BytesIO()
    for number in range(size // 64 + 1):
        out.write(hashlib.sha512(f"{seed} {number}".encode()).digest())
    return out.getvalue()[:size]


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, octets in files.items():
            made.writestr(zipfile.ZipInfo(name, DAY), octets, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def pdf() -> bytes:
    stream = zlib.compress(b"BT /F1 24 Tf 72 720 Td (Atto di prova) Tj ET")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(stream) + stream + b"\nendstream",
    ]
    out, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + content + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"xref\n0 5\n0000000000 65535 f \n" + table + b"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(out)


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    rows = b"".join(b"\0" + bytes([row]) * 48 for row in range(16))
    head = (16).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tnef(octets: bytes) -> bytes:
    """winmail.dat with one attached file (attributes and checksums as MS-OXTNEF has them)."""

    def attribute(level: int, identifier: int, data: bytes) -> bytes:
        total = sum(data) & 0xFFFF
        return bytes([level]) + identifier.to_bytes(4, "little") + len(data).to_bytes(4, "little") + data + total.to_bytes(2, "little")

    out = (0x223E9F78).to_bytes(4, "little") + b"\x01\x00" + attribute(1, 0x00089006, b"\0\0\x01\0")
    out += attribute(1, 0x00078008, b"IPM.Microsoft Mail.Note\0") + attribute(2, 0x00069002, b"\x01\0\xff\xff\xff\xff" + b"\0" * 8)
    return out + attribute(2, 0x00018010, b"nota.txt\0") + attribute(2, 0x0006800F, octets)


def invoice() -> bytes:
    lines = "".join(
        f"<DettaglioLinee><NumeroLinea>{number}</NumeroLinea><Descrizione>Prova</Descrizione></DettaglioLinee>\n" for number in range(200)
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<FatturaElettronica versione="FPR12">\n{lines}</FatturaElettronica>\n'.encode()


def calendar(lines_of: int = 1) -> bytes:
    rows = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Prova//IT", "METHOD:REQUEST"]
    for number in range(lines_of):
        rows += ["BEGIN:VEVENT", f"UID:{number}@example.test", "DTSTART:20260310T091458Z", "SUMMARY:Udienza", "END:VEVENT"]
    return "\r\n".join([*rows, "END:VCALENDAR", ""]).encode()


def office(kind: str) -> bytes:
    types = b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    body = b"<?xml version='1.0'?><document><body>" + b"<p>Capitolo di prova.</p>" * 500 + b"</body></document>"
    return archive({"[Content_Types].xml": types, f"{kind}/document.xml": body, f"{kind}/media/image1.png": png()})


def signed(identity: Path, content: bytes, *options: str) -> bytes:
    command = ("cms", "-sign", "-binary", "-signer", identity, "-inkey", identity, "-md", "sha256", *options)
    return openssl(*command, stdin=content)


def crlf(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def mime_of(octets: bytes) -> bytes:
    """What openssl wrote as a message, with the line ends of mail."""
    return crlf(octets)


def delivery_report() -> bytes:
    status = b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.test\r\n\r\n"
    status += b"Final-Recipient: rfc822; x@posta.example.test\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    original = b"Content-Type: message/rfc822\r\n\r\nFrom: a@posta.example.test\r\nTo: x@posta.example.test\r\nSubject: uno\r\n\r\nciao\r\n"
    return b"MIME-Version: 1.0\r\n" + multipart(b"report; report-type=delivery-status", b"rapporto", [PLAIN, status, original])


def related() -> bytes:
    page = b'Content-Type: text/html; charset=us-ascii\r\n\r\n<p><img src="cid:logo@prova">Gentile cliente</p>\r\n'
    image = b"Content-ID: <logo@prova>\r\n" + attachment(png(), "logo.png", "image/png")
    alternative = multipart(b"alternative", b"alternativa", [PLAIN, multipart(b"related", b"insieme", [page, image])])
    return mixed(alternative, attachment(pdf(), "atto.pdf", "application/pdf"))


def clean(identity: Path) -> list[Clean]:
    """`identity`: a PEM file with key and certificate, to sign with."""
    document, folder = pdf(), new_folder("clean")
    p7m = signed(identity, document, "-nodetach", "-outform", "DER")
    streamed = signed(identity, document, "-nodetach", "-stream", "-outform", "DER")
    (folder / "certificate.pem").write_bytes(openssl("x509", "-in", identity))
    secret = openssl("cms", "-encrypt", "-binary", "-aes256", folder / "certificate.pem", stdin=PLAIN)
    uu = b"begin 644 nota.bin\r\n" + b"".join(binascii.b2a_uu(noise(45, f"uu {row}")).rstrip(b"\n") + b"\r\n" for row in range(20))
    text = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset="
    long_name = (
        "Content-Type: application/pdf;\r\n name*0*=utf-8''Relazione%20annuale%20sull%27attivit%C3%A0;\r\n name*1*=%20svolta.pdf\r\n"
    )
    big = noise(21_900_000, "grande")
    return [
        Clean("a signed file, CAdES", mixed(PLAIN, attachment(p7m, "atto.pdf.p7m", "application/pkcs7-mime"))),
        Clean("a signed file, streamed", mixed(PLAIN, attachment(streamed, "atto.pdf.p7m"))),
        Clean(
            "a signed file in base64, signed again",
            mixed(PLAIN, attachment(signed(identity, base64_lines(p7m), "-nodetach", "-outform", "DER"), "a.p7m")),
        ),
        Clean("a signed file in PEM", mixed(PLAIN, attachment(signed(identity, document, "-nodetach", "-outform", "PEM"), "atto.p7m"))),
        Clean(
            "an invoice, signed",
            mixed(PLAIN, attachment(signed(identity, invoice(), "-nodetach", "-outform", "DER"), "IT01234567890_1.xml.p7m")),
        ),
        Clean("an invoice", mixed(PLAIN, attachment(invoice(), "IT01234567890_1.xml", "text/xml"))),
        Clean("the author's own signature", mime_of(signed(identity, PLAIN, "-crlfeol"))),
        Clean("the author's own signature, opaque", mime_of(signed(identity, PLAIN, "-nodetach"))),
        Clean("encrypted by S/MIME", mime_of(secret)),
        Clean("winmail.dat", mixed(PLAIN, attachment(tnef(b"Una nota.\r\n" * 50), "winmail.dat", "application/ms-tnef"))),
        Clean("an invitation", mixed(PLAIN, b"Content-Type: text/calendar; method=REQUEST; charset=utf-8\r\n\r\n" + calendar())),
        Clean("a calendar as a file", mixed(PLAIN, attachment(calendar(300), "udienze.ics", "text/calendar"))),
        Clean("a delivery report", delivery_report()),
        Clean("an office document", mixed(PLAIN, attachment(office("word"), "atto.docx"), attachment(office("xl"), "conti.xlsx"))),
        Clean(
            "archives",
            mixed(PLAIN, attachment(zipped("a.zip", archive({"a.pdf": document})), "a.zip"), attachment(gzip.compress(document), "a.gz")),
        ),
        Clean("pictures in a page", related()),
        Clean("a long name", mixed(PLAIN, long_name.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64_lines(document))),
        Clean("uuencode", b"\r\nEcco il file.\r\n\r\n" + uu + b"`\r\nend\r\n"),
        Clean("nothing but noise", mixed(PLAIN, attachment(noise(200_000, "rumore"), "rumore.bin"))),
        Clean("a key in PEM", mixed(PLAIN, attachment(base64.encodebytes(noise(3000, "pem")), "chiave.pem", "text/plain"))),
        Clean("8bit text", text + b"utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nPerch\xc3\xa9 cos\xc3\xac?\r\n", "8bit"),
        Clean("8bit text without a word of it", b"\r\nPerch\xe9?\r\n", "8bit"),
        Clean("30 MB", mixed(PLAIN, attachment(big, "grande.bin"))),
    ]
