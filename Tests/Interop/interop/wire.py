"""An SMTP client on a bare socket: says exactly the octets it is told to, and is strict about the replies."""

import base64
import re
import socket
import ssl
from dataclasses import dataclass

_REPLY_LINE = re.compile(rb"\A([2-5][0-9]{2})([ -])([^\r\n\x00]*)\r\n\Z")


class OutOfStep(AssertionError):
    """The server's octets are not a reply (RFC 5321 §4.2)."""


@dataclass
class Reply:
    code: int
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def enhanced(self) -> str | None:
        """`5.5.1` of `503 5.5.1 …`, nil when there is none (RFC 2034)."""
        found = re.match(r"([245]\.\d{1,3}\.\d{1,3})(?: |$)", self.lines[0])
        return found.group(1) if found else None

    def __str__(self) -> str:
        return f"{self.code} {' / '.join(self.lines)}"


def client_context(ca=None, minimum=None, maximum=None) -> ssl.SSLContext:
    """TLS as a mail client speaks it; without `ca` the certificate is not looked at."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        context.load_verify_locations(str(ca))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    return context


class Wire:
    """One connection. Every read has a time limit."""

    def __init__(
        self,
        port: int,
        host: str = "127.0.0.1",
        seconds: float = 30,
        source: str | None = None,
        greet: bool = True,
        implicit_tls: ssl.SSLContext | None = None,
    ):
        self.socket = socket.create_connection((host, port), seconds, (source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.extensions: dict[str, str] = {}
        if implicit_tls:
            self.socket = implicit_tls.wrap_socket(self.socket, server_hostname="localhost")
        self.greeting = self.reply() if greet else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        try:
            self.socket.close()
        except OSError:
            pass

    # Octets

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def line(self) -> bytes:
        """The next line with its CRLF, or what there was when the server closed."""
        while b"\n" not in self.buffer:
            more = self.socket.recv(65536)
            if not more:
                rest, self.buffer = self.buffer, b""
                return rest
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    def reply(self) -> Reply:
        lines, code = [], None
        while True:
            line = self.line()
            if not line:
                raise OutOfStep("the server closed the connection where a reply was due")
            found = _REPLY_LINE.match(line)
            if not found or len(line) > 512:
                raise OutOfStep(f"not a reply: {line[:200]!r}")
            if code is not None and int(found.group(1)) != code:
                raise OutOfStep(f"the code changed within a reply: {line!r} after {code}")
            code = int(found.group(1))
            lines.append(found.group(3).decode("ascii"))
            if found.group(2) == b" ":
                return Reply(code, lines)

    def closed(self) -> bool:
        """True when the server closes without another octet."""
        try:
            return self.buffer == b"" and self.socket.recv(1) == b""
        except (ConnectionError, ssl.SSLError):
            return True

    # Commands

    def command(self, text: str | bytes) -> Reply:
        self.send((text.encode("utf-8") if isinstance(text, str) else text) + b"\r\n")
        return self.reply()

    def expect(self, text: str | bytes, *codes: int) -> Reply:
        reply = self.command(text)
        if reply.code not in codes:
            raise AssertionError(f"{text!r}: wanted {codes}, got {reply}")
        return reply

    def ehlo(self, name: str = "client.example.test") -> dict[str, str]:
        reply = self.expect(f"EHLO {name}", 250)
        self.extensions = {}
        for line in reply.lines[1:]:
            keyword, _, rest = line.partition(" ")
            self.extensions[keyword.upper()] = rest
        return self.extensions

    def start_tls(self, context: ssl.SSLContext | None = None) -> None:
        self.expect("STARTTLS", 220)
        self.socket = (context or client_context()).wrap_socket(self.socket, server_hostname="localhost")

    def auth_plain(self, user: str, password: str, initial: bool = True) -> Reply:
        response = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        if initial:
            return self.command(f"AUTH PLAIN {response}")
        challenge = self.command("AUTH PLAIN")
        return self.command(response) if challenge.code == 334 else challenge

    def auth_login(self, user: str, password: str) -> Reply:
        challenge = self.command("AUTH LOGIN")
        if challenge.code != 334:
            return challenge
        challenge = self.command(base64.b64encode(user.encode()))
        return self.command(base64.b64encode(password.encode())) if challenge.code == 334 else challenge

    def quit(self) -> None:
        self.expect("QUIT", 221)
        self.close()

    # Messages

    def envelope(self, sender: str, recipients: list[str], pipelined: bool = False) -> None:
        if pipelined:
            lines = [f"MAIL FROM:<{sender}>"] + [f"RCPT TO:<{recipient}>" for recipient in recipients]
            self.send("".join(line + "\r\n" for line in lines).encode())
            for line in lines:
                reply = self.reply()
                if reply.code != 250:
                    raise AssertionError(f"{line}: {reply}")
            return
        self.expect(f"MAIL FROM:<{sender}>", 250)
        for recipient in recipients:
            self.expect(f"RCPT TO:<{recipient}>", 250, 251)

    def data(self, message: bytes, writes=None) -> Reply:
        """The message by DATA. It must end in CRLF. `writes` cuts octets into the pieces of single writes."""
        assert message.endswith(b"\r\n"), "DATA cannot carry a message without a final CRLF"
        self.expect("DATA", 354)
        for piece in (writes or whole)(stuffed(message) + b".\r\n"):
            self.send(piece)
        return self.reply()

    def bdat(self, message: bytes, chunks: list[int], writes=None, pipelined: bool = False) -> Reply:
        """The message by BDAT in chunks of these sizes (the last takes what is left)."""
        at, reply, waiting = 0, None, 0
        for number, size in enumerate(chunks):
            last = number == len(chunks) - 1
            piece = message[at:] if last else message[at : at + size]
            at += len(piece)
            head = f"BDAT {len(piece)}{' LAST' if last else ''}\r\n".encode()
            for octets in (writes or whole)(head + piece):
                self.send(octets)
            waiting += 1
            if pipelined and not last:
                continue
            for _ in range(waiting):
                reply = self.reply()
                if reply.code != 250:
                    return reply
            waiting = 0
        return reply


def stuffed(message: bytes) -> bytes:
    """Dots doubled at the beginning of lines (RFC 5321 §4.5.2)."""
    out = message.replace(b"\r\n.", b"\r\n..")
    return b"." + out if out.startswith(b".") else out


def whole(octets: bytes):
    yield octets


def one_by_one(octets: bytes):
    for at in range(len(octets)):
        yield octets[at : at + 1]


def cut_randomly(dice, largest: int):
    """A cutter for `data` and `bdat`: pieces of 1 to `largest` octets."""

    def cut(octets: bytes):
        at = 0
        while at < len(octets):
            size = dice.randint(1, largest)
            yield octets[at : at + size]
            at += size

    return cut
