"""What clients get wrong, over real sockets and real TLS: the right code, and a session that stays in step."""

import random
import socket
import ssl

from interop import base, compose
from interop.base import memory, note
from interop.case import InteropTest
from interop.faults import COMMANDS, MAIL, RCPT
from interop.lab import ANNA
from interop.wire import OutOfStep, Wire, client_context, one_by_one

DATA_END = b"\r\n.\r\n"


class Table(InteropTest):
    def session(self, kind: str) -> Wire:
        if kind == "trusted":
            return self.lab.trusted()
        if kind == "clear":
            wire = Wire(self.lab.ports.submission)
            wire.ehlo()
            return wire
        return self.lab.submission(user=ANNA if kind == "user" else None)

    @staticmethod
    def right(reply, wanted) -> bool:
        """`503 5.5.1`, `503`, `550 5.6`, or a tuple of such."""
        if isinstance(wanted, tuple):
            return any(Table.right(reply, each) for each in wanted)
        code, _, enhanced = wanted.partition(" ")
        return str(reply.code) == code and (reply.enhanced or "").startswith(enhanced)

    def play(self, row, chunked: bool) -> list[str]:
        """One row on a connection of its own; `chunked` sends every octet by itself."""
        name, kind, before, said = row
        problems = []
        with self.session(kind) as wire:
            for line in before:
                wire.expect(line, 250, 354)
            for octets, *wanted in said:
                octets = octets.encode() if isinstance(octets, str) else octets
                if octets == b"BDAT" and isinstance(wanted[0], bytes):
                    body = wanted.pop(0)
                    octets = b"BDAT %d LAST\r\n" % len(body) + body
                    end = b""
                else:
                    # The octets of a chunk have no line end after them.
                    end = b"" if octets.startswith(b"BDAT ") and b"\r\n" in octets else b"\r\n"
                for piece in one_by_one(octets + end) if chunked and len(octets) < 600 else [octets + end]:
                    wire.send(piece)
                for one in wanted:
                    try:
                        reply = wire.reply()
                    except OSError as error:
                        return problems + [f"{name}: {error} where {one} was due for {octets[:60]!r}"]
                    if not self.right(reply, one):
                        problems.append(f"{name}: {octets[:60]!r} wanted {one}, got {reply}")
                    if reply.code >= 400 and reply.enhanced is None:
                        problems.append(f"{name}: no enhanced code in {reply}")
                    if reply.code == 354 and octets.upper().endswith(b"DATA") and (octets, *wanted) == said[-1]:
                        wire.send(b".\r\n")
                        wire.reply()
            if said[-1][0] == b"NOOP\nNOOP":
                return problems
            # In step: a word of our own comes back, and a message goes through.
            try:
                if (reply := wire.command("NOOP in step")).code != 250:
                    problems.append(f"{name}: afterwards NOOP got {reply}")
                if kind in ("trusted", "user"):
                    wire.expect("RSET", 250)
                    if "XCLIENT" not in name:
                        wire.envelope(ANNA, ["giulia@posta.example.test"])
                wire.expect("QUIT", 221)
                if not wire.closed():
                    problems.append(f"{name}: octets after the reply to QUIT")
            except (AssertionError, OSError) as error:
                problems.append(f"{name}: out of step afterwards: {error}")
        return problems

    def test_table(self):
        self.assertGreaterEqual(len(COMMANDS), 100)
        problems = []
        for chunked in (False, True):
            for row in COMMANDS:
                try:
                    problems += self.play(row, chunked)
                except (AssertionError, OSError) as error:
                    problems.append(f"{row[0]}: {type(error).__name__}: {error}")
        note(f"{len(COMMANDS)} dialogues, each in one piece and octet by octet")
        self.fine(problems, f"{len(problems)} of {2 * len(COMMANDS)}")


class Sessions(InteropTest):
    """Things that need more than a row."""

    def test_commands_before_ehlo(self):
        for line in (MAIL, RCPT, "DATA"):
            with Wire(self.lab.ports.trusted) as wire:
                self.assertEqual(wire.command(line).code, 503, line)
                wire.ehlo()
                wire.expect(MAIL, 250)

    def test_too_many_recipients(self):
        with self.lab.trusted(seconds=60) as wire:
            wire.expect(MAIL, 250)
            wire.send(b"".join(b"RCPT TO:<r%d@posta.example.test>\r\n" % number for number in range(1001)))
            codes = [wire.reply() for _ in range(1001)]
            self.assertEqual({reply.code for reply in codes[:1000]}, {250})
            self.assertEqual((codes[1000].code, codes[1000].enhanced), (452, "4.5.3"))
            wire.expect("RSET", 250)

    def test_too_many_faults_end_the_session(self):
        with self.lab.trusted() as wire:
            for number in range(200):
                reply = wire.command("FALSCH")
                if reply.code != 500:
                    break
                if number >= 18:
                    wire.socket.settimeout(0.3)
                    try:
                        reply = wire.reply()
                        break
                    except TimeoutError:
                        wire.socket.settimeout(30)
            self.assertEqual(reply.code, 421)
            self.assertTrue(wire.closed())

    def test_untrusted_peer_is_refused_at_connect(self):
        """127.0.0.2 is loopback too, but not in the list of peers."""
        with self.assertRaises((OutOfStep, ConnectionError, AssertionError)):
            with Wire(self.lab.ports.trusted, source="127.0.0.2", seconds=10) as wire:
                if wire.greeting.code < 400:
                    wire.ehlo()
                    self.assertEqual(wire.command(MAIL).code, 250)
                    self.fail("a stranger was served by the trusted listener")
                raise AssertionError("refused with a reply")

    def test_pipelined_octet_by_octet(self):
        with self.lab.trusted() as wire:
            sent = compose.simple("A pezzetti")
            octets = (
                f"{MAIL}\r\n".encode()
                + f"RCPT TO:<{sent.recipients[0]}>\r\n".encode()
                + b"BDAT %d LAST\r\n" % len(sent.octets)
                + sent.octets
                + b"QUIT\r\n"
            )
            for piece in one_by_one(octets):
                wire.send(piece)
            self.assertEqual([wire.reply().code for _ in range(4)], [250, 250, 250, 221])
        self.accepted(self.lab, sent, openssl=False)

    def test_a_whole_session_in_one_write(self):
        sent = compose.simple("Tutto insieme")
        with Wire(self.lab.ports.trusted) as wire:
            wire.send(f"EHLO x\r\n{MAIL}\r\nRCPT TO:<{sent.recipients[0]}>\r\nDATA\r\n".encode() + sent.octets + b".\r\nNOOP\r\nQUIT\r\n")
            self.assertEqual([wire.reply().code for _ in range(7)], [250, 250, 250, 354, 250, 250, 221])
        self.accepted(self.lab, sent, openssl=False)

    def test_closed_in_the_middle_of_a_message(self):
        """Nothing is accepted, by DATA or by BDAT, however the connection ends."""
        marks = []
        for way in ("close", "reset", "half"):
            for how in ("data", "bdat", "bdat without last", "dot missing"):
                sent = compose.simple("Interrotto")
                marks.append(sent.message_id)
                wire = self.lab.trusted()
                wire.envelope(ANNA, sent.recipients)
                if how == "data":
                    wire.expect("DATA", 354)
                    wire.send(sent.octets)
                elif how == "dot missing":
                    wire.expect("DATA", 354)
                    wire.send(sent.octets + b".")
                elif how == "bdat":
                    wire.send(b"BDAT %d LAST\r\n" % (len(sent.octets) + 1) + sent.octets)
                else:
                    wire.send(b"BDAT %d\r\n" % len(sent.octets) + sent.octets)
                    self.assertEqual(wire.reply().code, 250)
                if way == "half":
                    wire.socket.shutdown(socket.SHUT_WR)
                    wire.socket.settimeout(20)
                    try:
                        while wire.socket.recv(4096):
                            pass
                    except TimeoutError:
                        self.fail("a half-closed connection is held open")
                    except ConnectionError:
                        pass
                if way == "reset":
                    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                wire.close()
        after = compose.simple("Dopo")
        with self.lab.trusted() as wire:
            wire.envelope(ANNA, after.recipients)
            self.assertEqual(wire.data(after.octets).code, 250)
        self.accepted(self.lab, after, openssl=False)
        self.assertFalse([stored.path for stored in self.lab.mailbox(ANNA).all if stored.header.get("X-Riferimento-Message-ID") in marks])

    def test_half_close_after_the_message_still_gets_the_answer(self):
        sent = compose.simple("Mezzo chiuso")
        with self.lab.trusted() as wire:
            wire.envelope(ANNA, sent.recipients)
            wire.expect("DATA", 354)
            wire.send(sent.octets + b".\r\nQUIT\r\n")
            wire.socket.shutdown(socket.SHUT_WR)
            self.assertEqual([wire.reply().code, wire.reply().code], [250, 221])
        self.accepted(self.lab, sent, openssl=False)

    def test_client_that_never_reads(self):
        """Thousands of replies that nobody takes: the session is held back, memory does not grow, others are served."""
        before = memory(self.lab.process.pid)
        wire = self.lab.trusted()
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.socket.settimeout(2)
        total = 0
        try:
            for _ in range(400):
                wire.socket.sendall(b"HELP\r\n" * 10_000)
                total += 60_000
        except (TimeoutError, ConnectionError):
            pass
        note(f"{total / 1e6:.1f} MB of commands taken before the session was held back")
        self.assertLess(memory(self.lab.process.pid) - before, 64 * 2**20)
        sent = compose.simple("Intanto")
        with self.lab.trusted() as other:
            other.envelope(ANNA, sent.recipients)
            self.assertEqual(other.data(sent.octets).code, 250)
        wire.close()


class TLS(InteropTest):
    def test_octets_behind_starttls_are_thrown_away(self):
        """The injection of CVE-2011-0411: what came in the clear is not carried out under TLS."""
        with Wire(self.lab.ports.submission) as wire:
            wire.ehlo()
            wire.send(b"STARTTLS\r\nEHLO injected\r\nNOOP\r\n")
            self.assertEqual(wire.reply().code, 220)
            wire.socket.settimeout(5)
            try:
                wire.socket = client_context().wrap_socket(wire.socket, server_hostname="localhost")
            except (ssl.SSLError, ConnectionError):
                return  # refusing to go on is right as well
            self.assertEqual(wire.command(MAIL).code, 503, "EHLO is due anew")
            wire.ehlo()
            wire.expect("NOOP", 250)

    def test_session_begins_anew_under_tls(self):
        with Wire(self.lab.ports.submission) as wire:
            wire.ehlo()
            wire.start_tls()
            self.assertEqual(wire.command("AUTH LOGIN").code, 503, "EHLO is due anew (RFC 3207 section 4.2)")

    def test_plain_text_on_the_implicit_port(self):
        for octets in (b"EHLO x\r\n", b"GET / HTTP/1.0\r\n\r\n", b"\r\n" * 100):
            with socket.create_connection(("127.0.0.1", self.lab.ports.implicit_tls), 10) as plain:
                plain.sendall(octets)
                got = b""
                try:
                    while more := plain.recv(4096):
                        got += more
                except ConnectionError:
                    pass
                self.assertNotIn(b"250", got)
                self.assertNotIn(b"220", got)

    def test_garbage_instead_of_a_handshake(self):
        dice = random.Random(base.SEED)
        openings = [
            b"\x16\x03\x01\x02\x00",
            b"\x16\x03\x01\xff\xff" + b"\0" * 100,
            b"\x80\x2e\x01\x00\x02" + b"\0" * 41,
            dice.randbytes(5000),
            b"\x15\x03\x03\x00\x02\x01\x00",
            b"\x17\x03\x03\x40\x00" + dice.randbytes(0x4000),
        ]
        for opening in openings:
            with self.subTest(opening=opening[:8].hex()), Wire(self.lab.ports.submission) as wire:
                wire.ehlo()
                wire.expect("STARTTLS", 220)
                wire.send(opening)
                wire.socket.shutdown(socket.SHUT_WR)
                try:
                    while more := wire.socket.recv(4096):
                        self.assertNotIn(b"250", more)
                except ConnectionError:
                    pass
        self.still_serves()

    def test_garbage_in_the_middle_of_tls(self):
        dice = random.Random(base.SEED)
        for _ in range(20):
            raw = socket.create_connection(("127.0.0.1", self.lab.ports.implicit_tls), 10)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            pipe = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
            while True:
                try:
                    pipe.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    raw.sendall(outgoing.read())
                    incoming.write(raw.recv(65536))
            raw.sendall(outgoing.read())
            pipe.write(b"EHLO x\r\n")
            broken = bytearray(outgoing.read())
            broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
            raw.sendall(broken + dice.randbytes(100))
            raw.shutdown(socket.SHUT_WR)
            try:
                while raw.recv(65536):
                    pass
            except ConnectionError:
                pass
            raw.close()
        self.still_serves()

    def test_old_versions_are_refused(self):
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with self.subTest(version.name):
                context = client_context(minimum=version, maximum=version)
                context.set_ciphers("ALL:@SECLEVEL=0")
                with Wire(self.lab.ports.submission) as wire:
                    wire.ehlo()
                    with self.assertRaises((ssl.SSLError, ConnectionError)):
                        wire.start_tls(context)

    def test_versions_1_2_and_1_3(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = client_context(self.lab.ca, minimum=version, maximum=version)
            with Wire(self.lab.ports.implicit_tls, implicit_tls=context) as wire:
                wire.ehlo()
                self.assertEqual(wire.socket.version().replace(".", "_"), version.name)

    def test_handshake_octet_by_octet(self):
        raw = socket.create_connection(("127.0.0.1", self.lab.ports.implicit_tls), 10)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        pipe = client_context(self.lab.ca).wrap_bio(incoming, outgoing, server_hostname="localhost")

        def step(action):
            while True:
                try:
                    result = action()
                except ssl.SSLWantReadError:
                    result = None
                for piece in one_by_one(outgoing.read()):
                    raw.sendall(piece)
                if result is not None:
                    return result
                incoming.write(raw.recv(65536))

        step(lambda: pipe.do_handshake() or True)
        self.assertIn(b"220", step(lambda: pipe.read(4096)))
        step(lambda: pipe.write(b"EHLO x\r\n"))
        self.assertIn(b"250", step(lambda: pipe.read(4096)))
        raw.close()

    def still_serves(self) -> None:
        sent = compose.simple("Sempre qui")
        with self.lab.submission() as wire:
            wire.envelope(ANNA, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        self.accepted(self.lab, sent, openssl=False)
