"""Messages that hide a payload from one reader and show it to another: each a trick with MIME, all of our own making.

Every message has CRLF line ends, lines below 998 octets and no NUL, so that an SMTP server takes it as it is."""

import base64
import binascii

HEADER = (
    b"From: anna@alfa.example.test\r\nTo: bruno@beta.example.test\r\nSubject: Prova\r\n"
    b"Date: Tue, 10 Mar 2026 09:14:58 +0100\r\nMessage-ID: <trick@alfa.example.test>\r\n"
)

VERSION = b"MIME-Version: 1.0\r\n"
OCTETS = b"Content-Type: application/octet-stream\r\n"
B64 = b"Content-Transfer-Encoding: base64\r\n"
QP = b"Content-Transfer-Encoding: quoted-printable\r\n"
NAMED = b'Content-Disposition: attachment; filename="conto.com"\r\n'
TEXT = b"Content-Type: text/plain\r\n\r\nBuongiorno,\r\nin allegato il conto.\r\n"


def wrap(text: bytes, width: int = 76) -> bytes:
    return b"".join(text[i : i + width] + b"\r\n" for i in range(0, len(text), width))


def b64(payload: bytes, width: int = 76) -> bytes:
    return wrap(base64.b64encode(payload), width)


def quoted(payload: bytes, form: bytes = b"=%02X", soft: bytes = b"=\r\n") -> bytes:
    """Every octet as an escape, in short lines with soft breaks."""
    rows = [b"".join(form % byte for byte in payload[i : i + 20]) for i in range(0, len(payload), 20)]
    return soft.join(rows) + b"\r\n"


def uuencoded(payload: bytes) -> bytes:
    return b"".join(binascii.b2a_uu(payload[i : i + 45])[:-1] + b"\r\n" for i in range(0, len(payload), 45)) + b"`\r\n"


def yenc(payload: bytes) -> bytes:
    out = b""
    for byte in payload:
        value = (byte + 42) % 256
        out += b"=" + bytes([(value + 64) % 256]) if value in (0, 10, 13, 61) else bytes([value])
    return wrap(out, 128)


def binhex(payload: bytes) -> bytes:
    letters = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
    name = b"conto.com"
    head = bytes([len(name)]) + name + b"\0APPLdosx\0\0" + len(payload).to_bytes(4, "big") + b"\0\0\0\0"
    data = head + binascii.crc_hqx(head, 0).to_bytes(2, "big") + payload + binascii.crc_hqx(payload, 0).to_bytes(2, "big") + b"\0\0"
    data = data.replace(b"\x90", b"\x90\0")
    data += b"\0" * (-len(data) % 3)
    text = b""
    for i in range(0, len(data), 3):
        word = int.from_bytes(data[i : i + 3], "big")
        text += bytes(letters[word >> shift & 63] for shift in (18, 12, 6, 0))
    return wrap(b":" + text + b":", 64)


def der(tag: int, *inner: bytes) -> bytes:
    body = b"".join(inner)
    size = len(body)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + body


DATA_OID = bytes.fromhex("06092a864886f70d010701")
SIGNED_OID = bytes.fromhex("06092a864886f70d010702")


def signed_data(content: bytes) -> bytes:
    """Opaque SignedData without signers, definite lengths."""
    inner = der(0x30, DATA_OID, der(0xA0, der(0x04, content)))
    return der(0x30, SIGNED_OID, der(0xA0, der(0x30, b"\x02\x01\x01", der(0x31), inner, der(0x31))))


def signed_data_pieces(content: bytes) -> bytes:
    """The same with indefinite lengths and the content in small pieces, as streaming signers write it."""
    pieces = b"".join(der(0x04, content[i : i + 20]) for i in range(0, len(content), 20))
    end = b"\0\0"
    inner = b"\x30\x80" + DATA_OID + b"\xa0\x80\x24\x80" + pieces + end + end + end
    return b"\x30\x80" + SIGNED_OID + b"\xa0\x80\x30\x80\x02\x01\x01" + der(0x31) + inner + der(0x31) + end + end + end


class Tricks:
    def __init__(self, payload: bytes, header: bytes):
        self.payload = payload
        self.header = header
        self.code = b64(payload)
        self.part = OCTETS + B64 + NAMED + b"\r\n" + self.code
        self.all: list[tuple[str, bytes]] = []

    def add(self, name: str, mime: bytes, body: bytes, version: bytes = VERSION) -> None:
        self.all.append((name, self.header + version + mime + b"\r\n" + body))

    def parts(self, name: str, parts: list[bytes], subtype: bytes = b"mixed", extra: bytes = b"") -> None:
        body = b"".join(b"--rosso\r\n" + part for part in parts) + b"--rosso--\r\n"
        self.add(name, b"Content-Type: multipart/" + subtype + b'; boundary="rosso"\r\n' + extra, body)

    def mixed(self, name: str, content_type: bytes, opening: bytes = b"--rosso", closing: bytes = b"--rosso--\r\n") -> None:
        """A multipart whose Content-Type or boundary lines are odd."""
        line = opening + b"\r\n"
        self.add(name, content_type, line + TEXT + line + self.part + closing)

    def plainest(self) -> None:
        self.add("raw text", b"", self.payload + b"\r\n", b"")
        self.add("base64", OCTETS + B64, self.code)
        self.add("base64 in text/html", b"Content-Type: text/html\r\n" + B64, self.code)
        self.add("quoted-printable", b"Content-Type: text/plain\r\n" + QP, quoted(self.payload))
        self.parts("attachment", [TEXT, self.part])
        self.parts("only part", [self.part])
        self.parts("image", [TEXT, self.part.replace(b"application/octet-stream", b"image/png")])
        self.parts("signature part", [TEXT, self.part], b"signed", b"")
        self.parts("third part of signed", [TEXT, OCTETS + b"\r\nx\r\n", self.part], b"signed")
        inner = self.header + VERSION + OCTETS + B64 + b"\r\n" + self.code
        self.parts("signed, text behind the real part", [b"Content-Type: message/rfc822\r\n\r\n" + inner, TEXT], b"signed")
        self.parts("attached message", [TEXT, b"Content-Type: message/rfc822\r\n\r\n" + inner])

    def encodings(self) -> None:
        words = {
            "upper case": b"BASE64",
            "quoted": b'"base64"',
            "comment behind": b"base64 (davvero)",
            "comment before": b"(davvero) base64",
            "semicolon": b"base64;",
            "parameter": b"base64; x=y",
            "folded": b"\r\n\tbase64",
            "two words": b"7bit base64",
            "two words, the other way": b"base64 7bit",
            "with x": b"x-base64",
            "with a hyphen": b"base-64",
            "short": b"b64",
            "empty": b"",
            "unknown": b"x-unknown",
            "binary": b"binary",
            "encoded word": b"=?us-ascii?Q?base64?=",
            "dot": b"base64.",
            "comma": b"7bit, base64",
            "control character": b"base64\x01",
            "eight bit": b"base64\xa0",
            "inner comment": b"base(x)64",
            "wrongly quoted-printable": b"quoted-printable",
            "wrongly 8bit": b"8bit",
        }
        for name, word in words.items():
            field = b"Content-Transfer-Encoding: " + word + b"\r\n"
            self.add("encoding said " + name, OCTETS + field, self.code)
            self.parts("encoding of a part said " + name, [TEXT, OCTETS + field + NAMED + b"\r\n" + self.code])
        seven = b"Content-Transfer-Encoding: 7bit\r\n"
        for name, fields in {
            "7bit, then base64": seven + B64,
            "base64, then 7bit": B64 + seven,
            "base64, then quoted-printable": B64 + QP,
            "quoted-printable, then base64": QP + B64,
            "with a space before its colon": b"Content-Transfer-Encoding : base64\r\n",
            "with a tab before its colon": b"Content-Transfer-Encoding\t: base64\r\n",
            "without its colon": b"Content-Transfer-Encoding base64\r\n",
            "with an equals sign": b"Content-Transfer-Encoding= base64\r\n",
            "with an underscore": b"Content_Transfer_Encoding: base64\r\n",
            "indented": b" Content-Transfer-Encoding: base64\r\n",
            "behind a broken line": b"questo non va\r\n" + B64,
            "behind a blank fold": b"X-Vuoto: a\r\n \r\n" + B64,
        }.items():
            self.parts("encoding field " + name, [TEXT, OCTETS + fields + b"\r\n" + self.code])
            self.add("encoding field of the message " + name, OCTETS + fields, self.code)

    def base64_bodies(self) -> None:
        flat = base64.b64encode(self.payload)
        bodies = {
            "junk between the letters": wrap(b"!".join(flat[i : i + 1] for i in range(len(flat))), 70),
            "spaces between the letters": wrap(b" ".join(flat[i : i + 3] for i in range(0, len(flat), 3)), 60),
            "one letter in a line": wrap(flat, 1),
            "three letters in a line": wrap(flat, 3),
            "lines of seven": wrap(flat, 7),
            "blank lines between": wrap(flat, 20).replace(b"\r\n", b"\r\n\r\n"),
            "lines of dots between": wrap(flat, 20).replace(b"\r\n", b"\r\n...\r\n"),
            "lines of dashes between": wrap(flat, 20).replace(b"\r\n", b"\r\n-- --\r\n"),
            "a boundary that is none between": wrap(flat, 20).replace(b"\r\n", b"\r\n--rossa!\r\n"),
            "lines of words between": wrap(flat, 40).replace(b"\r\n", b"\r\nquesta riga, si salta\r\n"),
            "padding at each line": b"".join(b64(self.payload[i : i + 10]) for i in range(0, len(self.payload), 10)),
            "padding that means nothing": flat[:22] + b"==" + flat[22:] + b"\r\n",
            "padding in a group": flat[:21] + b"=" + flat[21:41] + b"=" + flat[41:] + b"\r\n",
            "a line of padding": flat[:40] + b"\r\n====\r\n" + flat[40:] + b"\r\n",
            "padding first": b"====\r\n" + flat + b"\r\n",
            "padding too much": flat + b"======\r\n",
            "padding missing": flat.rstrip(b"=") + b"\r\n",
            "text behind the padding": flat + b"\r\nsaluti\r\n",
            "text before": b"Ecco il file, tutto intero:\r\n" + flat + b"\r\n",
            "one line": flat + b"\r\n",
            "tabs before the lines": wrap(flat, 40).replace(b"\r\n", b"\r\n\t"),
            "form feeds": wrap(flat, 40).replace(b"\r\n", b"\x0c\r\n"),
            "eight-bit junk": wrap(flat, 10).replace(b"\r\n", b"\xe0\xe8\r\n"),
            "two streams": b64(b"Buongiorno a tutti") + b64(self.payload),
            "two streams, the second behind a blank line": b64(b"Buongiorno a tutti!!") + b"\r\n" + b64(self.payload),
            "web alphabet": base64.urlsafe_b64encode(b"\xfb\xff\xbf" * 8 + self.payload) + b"\r\n",
        }
        for name, body in bodies.items():
            self.parts("base64 with " + name, [TEXT, OCTETS + B64 + NAMED + b"\r\n" + body])
            self.add("the whole in base64 with " + name, OCTETS + B64, body)

    def quoted_bodies(self) -> None:
        half = len(self.payload) // 2
        bodies = {
            "small letters": quoted(self.payload, b"=%02x"),
            "spaces behind soft breaks": quoted(self.payload, soft=b"= \t\r\n"),
            "a bad escape before": b"=ZZ=\r\n" + quoted(self.payload),
            "a soft break in the middle": self.payload[:half] + b"=\r\n" + self.payload[half:] + b"\r\n",
            "soft breaks at each letter": b"=\r\n".join(self.payload[i : i + 1] for i in range(len(self.payload))) + b"\r\n",
            "empty soft breaks": self.payload[:half] + b"=\r\n=\r\n=\r\n" + self.payload[half:] + b"\r\n",
            "a bad escape inside": quoted(self.payload[:half], soft=b"=\r\n")[:-2] + b"=\r\n" + quoted(self.payload[half:]),
        }
        for name, body in bodies.items():
            for field in (QP, b"Content-Transfer-Encoding: Quoted-Printable (x)\r\n", b"Content-Transfer-Encoding: q\r\n"):
                title = f"quoted-printable with {name}, {field.split()[1].decode()}{len(field)}"
                self.parts(title, [TEXT, OCTETS + field + NAMED + b"\r\n" + body])
                self.add("the whole in " + title, OCTETS + field, body)

    def types(self) -> None:
        good = b'Content-Type: multipart/mixed; boundary="rosso"\r\n'
        plain = b"Content-Type: text/plain\r\n"
        for name, field in {
            "said twice, plain first": plain + good,
            "said twice, plain last": good + plain,
            "said twice, another boundary first": good.replace(b"rosso", b"verde") + good,
            "said twice, another boundary last": good + good.replace(b"rosso", b"verde"),
            "with two boundaries, the other first": b"Content-Type: multipart/mixed; boundary=verde; boundary=rosso\r\n",
            "with two boundaries, the other last": b"Content-Type: multipart/mixed; boundary=rosso; boundary=verde\r\n",
            "with a boundary in pieces": b'Content-Type: multipart/mixed; boundary*0="ros"; boundary*1="so"\r\n',
            "with a boundary in pieces and another": b"Content-Type: multipart/mixed; boundary=verde; boundary*0=ros; boundary*1=so\r\n",
            "with an encoded boundary": b"Content-Type: multipart/mixed; boundary*=us-ascii'it'%72osso\r\n",
            "with a boundary as encoded word": b'Content-Type: multipart/mixed; boundary="=?us-ascii?Q?rosso?="\r\n',
            "with backslashes": b'Content-Type: multipart/mixed; boundary="r\\o\\sso"\r\n',
            "with a comment": b'Content-Type: multipart/mixed (x; boundary="verde"); boundary="rosso"\r\n',
            "with a comment in the type": b'Content-Type: multi(x)part/mixed; boundary="rosso"\r\n',
            "with spaces around the slash": b'Content-Type: multipart / mixed; boundary="rosso"\r\n',
            "with spaces around the equals sign": b'Content-Type: multipart/mixed; boundary = "rosso"\r\n',
            "without semicolon": b'Content-Type: multipart/mixed boundary="rosso"\r\n',
            "with a comma": b'Content-Type: multipart/mixed, boundary="rosso"\r\n',
            "with many semicolons": b'Content-Type: multipart/mixed;;; ; boundary="rosso";\r\n',
            "with an open quote": b'Content-Type: multipart/mixed; boundary="rosso\r\n',
            "with single quotes": b"Content-Type: multipart/mixed; boundary='rosso'\r\n",
            "with a trailing space in the boundary": b'Content-Type: multipart/mixed; boundary="rosso "\r\n',
            "with words behind the quotes": b'Content-Type: multipart/mixed; boundary="rosso"verde\r\n',
            "without boundary": b"Content-Type: multipart/mixed\r\n",
            "with an empty boundary": b'Content-Type: multipart/mixed; boundary=""\r\n',
            "with a name that holds a boundary": b'Content-Type: multipart/mixed; name="a; boundary=verde"; boundary=rosso\r\n',
            "in capitals": b'CONTENT-TYPE: MULTIPART/MIXED; BOUNDARY="rosso"\r\n',
            "with a space before its colon": b'Content-Type : multipart/mixed; boundary="rosso"\r\n',
            "folded before the slash": b'Content-Type:\r\n multipart\r\n /mixed;\r\n boundary\r\n ="rosso"\r\n',
            "not folded": b'Content-Type: multipart/mixed;\r\nboundary="rosso"\r\n',
            "with a blank line inside": b'Content-Type: multipart/mixed;\r\n \r\n boundary="rosso"\r\n',
            "as an encoded word": b"Content-Type: =?us-ascii?Q?multipart/mixed;_boundary=3Drosso?=\r\n",
            "without subtype": b'Content-Type: multipart; boundary="rosso"\r\n',
            "with a subtype nobody knows": b'Content-Type: multipart/insieme; boundary="rosso"\r\n',
            "of the wrong kind": b'Content-Type: text/plain; boundary="rosso"\r\n',
            "missing": b"",
            "behind a broken line": b"questo non va\r\n" + good,
            "behind a mailbox line": b"From anna Tue Mar 10 09:14:58 2026\r\n" + good,
            "with capitals in the boundary": b'Content-Type: multipart/mixed; boundary="ROSSO"\r\n',
            "with a hyphen more": b'Content-Type: multipart/mixed; boundary="-rosso"\r\n',
        }.items():
            self.mixed("type " + name, field)
        self.mixed("no MIME-Version", good)
        self.all[-1] = (self.all[-1][0], self.all[-1][1].replace(VERSION, b""))
        self.mixed("another MIME-Version", good)
        self.all[-1] = (self.all[-1][0], self.all[-1][1].replace(VERSION, b"MIME-Version: 2.0\r\n"))
        for subtype in "alternative related parallel digest report encrypted appledouble form-data header-set".split():
            self.parts("multipart/" + subtype, [TEXT, self.part], subtype.encode())

    def boundaries(self) -> None:
        good = b'Content-Type: multipart/mixed; boundary="rosso"\r\n'
        self.mixed("boundary line with white space", good, b"--rosso \t")
        self.mixed("boundary line with more words", good, b"--rosso x")
        self.mixed("boundary line that goes on", good, b"--rossoverde")
        self.mixed("boundary line with a comment", good, b"--(x)rosso")
        self.mixed("boundary line in capitals", good, b"--ROSSO")
        self.mixed("boundary line with a hyphen less", good, b"-rosso")
        self.mixed("boundary line with a hyphen more", good, b"---rosso")
        self.mixed("boundary line indented", good, b" --rosso")
        self.mixed("boundary line in quotes", good, b'--"rosso"')
        self.mixed("not closed", good, closing=b"")
        text, part, line, end = TEXT, self.part, b"--rosso\r\n", b"--rosso--\r\n"
        self.add("part behind the end", good, line + text + end + line + part + end)
        self.add("part behind the end, without boundary", good, line + text + end + part)
        self.add("part before the first boundary", good, part + line + text + end)
        self.add("header before the first boundary", good, B64 + b"\r\n" + self.code + line + text + end)
        self.add("closed first", good, end + line + part + end)
        cut = self.code[:40] + b"\r\n--rosso\r\n" + self.code[40:]
        self.add("boundary in the middle of base64", good, line + OCTETS + B64 + b"\r\n" + cut + end)
        nested = b'Content-Type: multipart/mixed; boundary="%s"\r\n\r\n'
        for name, inner in {"the same": b"rosso", "a longer one": b"rossobruno", "a shorter one": b"ros", "in capitals": b"Rosso"}.items():
            body = line + nested % inner + b"--" + inner + b"\r\n" + text + b"--" + inner + b"\r\n" + part + b"--" + inner + b"--\r\n" + end
            self.add("nested boundary " + name, good, body)
        body = line + nested % b"verde" + b"--verde\r\n" + text + line + part + end
        self.add("inner multipart not closed", good, body)
        body = b""
        for level in range(20):
            body += b"--l%dx\r\n" % level + nested % (b"l%dx" % (level + 1))
        self.add("twenty levels", b'Content-Type: multipart/mixed; boundary="l0x"\r\n', body + b"--l20x\r\n" + part + b"--l20x--\r\n")
        long = b"r" * 200
        field = b'Content-Type: multipart/mixed; boundary="' + long + b'"\r\n'
        self.mixed("boundary of 200 octets", field, b"--" + long, b"--" + long + b"--\r\n")

    def headers(self) -> None:
        for name, part in {
            "empty lines before the header": b"\r\n\r\n" + self.part,
            "an empty line in the header": OCTETS + b"\r\n" + B64 + NAMED + b"\r\n" + self.code,
            "two empty lines in the header": OCTETS + b"\r\n\r\n" + B64 + NAMED + b"\r\n" + self.code,
            "a line of spaces for the empty line": OCTETS + B64 + b" \t\r\n" + self.code,
            "no empty line": OCTETS + B64 + self.code,
            "a line of spaces in the header": OCTETS + b"  \r\n" + B64 + b"\r\n" + self.code,
            "a continuation first": b" x\r\n" + self.part,
            "an odd quote": b'Content-Type: application/octet-stream; name="a\r\n' + B64 + b"\r\n" + self.code,
            "a semicolon at the end": b"Content-Type: application/octet-stream;\r\n" + B64 + b"\r\n" + self.code,
            "a comment over lines": b"Content-Type: application/octet-stream (\r\n " + B64 + b" )\r\n" + B64 + b"\r\n" + self.code,
            "a long field": OCTETS + b"X-Lungo: " + b"a" * 980 + b"\r\n" + B64 + b"\r\n" + self.code,
            "many fields": OCTETS + b"X-Campo: a\r\n" * 1500 + B64 + b"\r\n" + self.code,
            "a type nobody knows": b"Content-Type: foo/bar\r\n" + B64 + b"\r\n" + self.code,
            "a type without slash": b"Content-Type: octets\r\n" + B64 + b"\r\n" + self.code,
            "no type": B64 + NAMED + b"\r\n" + self.code,
            "the type of a font": b"Content-Type: font/woff\r\n" + B64 + b"\r\n" + self.code,
        }.items():
            self.parts("part with " + name, [TEXT, part])

    def messages(self) -> None:
        inner = self.header + VERSION + b'Content-Type: multipart/mixed; boundary="verde"\r\n\r\n--verde\r\n' + TEXT
        inner += b"--verde\r\n" + self.part + b"--verde--\r\n"
        odd = inner.replace(b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: b64")
        rfc822 = b"Content-Type: message/rfc822\r\n"
        octets = OCTETS + b'Content-Disposition: attachment; filename="posta.eml"\r\n'
        self.parts("attached message in base64", [TEXT, rfc822 + B64 + b"\r\n" + b64(inner)])
        self.parts("attached message in quoted-printable", [TEXT, rfc822 + QP + b"\r\n" + quoted(inner)])
        self.parts("odd message as a file", [TEXT, octets + B64 + b"\r\n" + b64(odd)])
        holder = HEADER + VERSION + octets + B64 + b"\r\n" + b64(odd)
        self.parts("odd message in a message, both as files", [TEXT, octets + B64 + b"\r\n" + b64(holder)])
        self.parts("message/partial", [b"Content-Type: message/partial; id=a; number=1; total=1\r\n\r\n" + inner])
        self.add("the whole as message/partial", b"Content-Type: message/partial; id=a; number=1; total=1\r\n", inner)
        self.parts("message/external-body", [b"Content-Type: message/external-body; access-type=x\r\n\r\n" + self.part])
        self.parts("message/global", [b"Content-Type: message/global\r\n\r\n" + inner])
        self.parts("message nobody knows", [b"Content-Type: message/x-posta\r\n\r\n" + inner])
        self.parts("message in text/plain", [b"Content-Type: text/plain\r\n\r\n" + inner])
        body = b"--rosso\r\n" + TEXT + b"--rosso\r\n" + self.part + b"--rosso--\r\n"
        good = b'Content-Type: multipart/mixed; boundary="rosso"\r\n'
        self.add("multipart in base64", good + B64, b64(body))
        self.add("multipart in quoted-printable", good + QP, quoted(body))
        self.parts("inner multipart in base64", [good.replace(b"rosso", b"verde") + B64 + b"\r\n" + b64(body.replace(b"rosso", b"verde"))])

    def codes(self) -> None:
        block = b"begin 644 conto.com\r\n" + uuencoded(self.payload) + b"end\r\n"
        plain = b"Content-Type: text/plain\r\n"
        uu = b"Content-Transfer-Encoding: x-uuencode\r\n"
        for name, body in {
            "uuencode": block,
            "uuencode in capitals": block.replace(b"begin", b"BEGIN"),
            "uuencode with two spaces": block.replace(b"begin 644", b"begin  644"),
            "uuencode without mode": block.replace(b"begin 644", b"begin"),
            "uuencode with a long mode": block.replace(b"begin 644", b"begin 100644"),
            "uuencode without begin": block.split(b"\r\n", 1)[1],
            "uuencode without end": block.rsplit(b"`", 1)[0],
            "uuencode with spaces": block.replace(b"`", b" "),
            "base64 in uuencode's clothes": b"begin-base64 644 conto.com\r\n" + self.code + b"====\r\n",
            "yEnc": b"=ybegin line=128 size=%d name=conto.com\r\n" % len(self.payload) + yenc(self.payload) + b"=yend\r\n",
            "BinHex": b"(This file must be converted with BinHex 4.0)\r\n\r\n" + binhex(self.payload),
            "BinHex without its line": binhex(self.payload),
        }.items():
            self.add(name + " in a plain message", b"", b"Ecco.\r\n\r\n" + body, b"")
            self.parts(name + " in text", [plain + b"\r\nEcco.\r\n\r\n" + body])
            self.parts(name + " as x-uuencode", [TEXT, OCTETS + uu + b"\r\n" + body])

    def containers(self) -> None:
        mime = OCTETS + B64 + NAMED + b"\r\n" + self.code
        p7m = b'Content-Type: application/pkcs7-mime; smime-type=signed-data; name="smime.p7m"\r\n' + B64
        file = b'Content-Type: application/octet-stream; name="conto.pdf.p7m"\r\n' + B64
        self.add("opaque signature", p7m, b64(signed_data(mime)))
        self.add("opaque signature in pieces", p7m, b64(signed_data_pieces(mime)))
        self.parts("signed file, its content in pieces", [TEXT, file + b"\r\n" + b64(signed_data_pieces(self.payload))])
        self.parts("signed file in base64 twice", [TEXT, file + b"\r\n" + b64(b64(signed_data_pieces(self.payload)))])
        pem = b"-----BEGIN PKCS7-----\n" + b64(signed_data_pieces(self.payload), 64).replace(b"\r\n", b"\n") + b"-----END PKCS7-----\n"
        self.parts("signed file in PEM", [TEXT, file + b"\r\n" + b64(pem)])
        self.parts("signed file in a signed file", [TEXT, file + b"\r\n" + b64(signed_data_pieces(signed_data_pieces(self.payload)))])

    def cards(self) -> None:
        flat = base64.b64encode(self.payload)
        folded = wrap(flat, 60).replace(b"\r\n", b"\r\n ")[:-3]
        head, tail = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\n", b"\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        attach = b"ATTACH;ENCODING=BASE64;VALUE=BINARY:"
        event = head + attach + folded + tail
        card = b"BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Anna\r\n%s\r\nEND:VCARD\r\n"
        calendar, vcard = b"Content-Type: text/calendar; method=REQUEST\r\n", b"Content-Type: text/vcard\r\n"
        for name, field, body in (
            ("calendar", calendar, event),
            ("calendar in one line", calendar, head + attach + flat + tail),
            ("calendar in small letters", calendar, head.lower() + attach.lower() + folded + tail.lower()),
            ("calendar in text/plain", b"Content-Type: text/plain\r\n", event),
            ("calendar with a data URI", calendar, head + b"ATTACH:data:application/zip;base64," + folded + tail),
            ("visiting card", vcard, card % (b"PHOTO;ENCODING=b;TYPE=JPEG:" + folded)),
            ("visiting card with a data URI", vcard, card % (b"PHOTO:data:image/jpeg;base64," + folded)),
            ("visiting card of 2.1", b"Content-Type: text/x-vcard\r\n", card % (b"PHOTO;JPEG;BASE64:\r\n " + folded + b"\r\n")),
        ):
            self.parts("file in a " + name, [TEXT, field + b"\r\n" + body])
            self.parts("file in a " + name + ", quoted-printable", [TEXT, field + QP + b"\r\n" + quoted(body)])
            self.add("file in a " + name + ", base64 of the whole", field + B64, b64(body))


def tricks(payload: bytes, header: bytes = HEADER) -> list[tuple[str, bytes]]:
    """All tricks with `payload` in them, each with a name of its own. `header` holds From, To, Subject, Date and Message-ID."""
    made = Tricks(payload, header)
    made.plainest()
    made.encodings()
    made.base64_bodies()
    made.quoted_bodies()
    made.types()
    made.boundaries()
    made.headers()
    made.messages()
    made.codes()
    made.containers()
    made.cards()
    return made.all
