"""Who the peer is: behind proxies (PROXY protocol, by hand and by HAProxy) and behind mail servers (XCLIENT, XFORWARD, by Postfix)."""

import json
import socket
import struct

from interop import compose, forgers
from interop.base import executable, free_block, poll, run
from interop.case import InteropTest
from interop.counterpart import transaction
from interop.forgers import MARIO
from interop.haproxy import HAProxy
from interop.lab import ALDO, ANNA, Gateway
from interop.postfix import Postfix
from interop.provider import Provider
from interop.sink import Sink
from interop.wire import Wire, client_context, one_by_one

#: Where listed peers connect from; 127.0.0.1 is nobody special.
LISTED = "127.0.0.2"
CLIENT = "198.51.100.9"


def v1(source: str = CLIENT, port: int = 40000) -> bytes:
    family, to = ("TCP6", "2001:db8::1") if ":" in source else ("TCP4", "192.0.2.1")
    return f"PROXY {family} {source} {to} {port} 25\r\n".encode()


def v2(source: str | None = CLIENT, port: int = 40000, fields: bytes = b"") -> bytes:
    """`source` None: LOCAL."""
    if source is None:
        body, command, family = b"", 0x20, 0
    elif ":" in source:
        body = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "2001:db8::1") + struct.pack("!HH", port, 25)
        command, family = 0x21, 0x21
    else:
        body = socket.inet_aton(source) + socket.inet_aton("192.0.2.1") + struct.pack("!HH", port, 25)
        command, family = 0x21, 0x11
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", command, family, len(body + fields)) + body + fields


class Peers(InteropTest):
    """A gateway with more listeners, on ports by name."""

    #: Listeners beside the laboratory's: YAML with `{port}`.
    listeners: dict[str, str] = {}
    limits: dict[str, object] = {}
    form = "text"

    @classmethod
    def setUpClass(cls):
        cls.sink = Sink()
        first = free_block(max(1, len(cls.listeners)))
        cls.ports = {name: first + number for number, name in enumerate(cls.listeners)}

        def edit(yaml):
            for name, keys in cls.listeners.items():
                yaml.add(f"{{ address: 127.0.0.1, port: {cls.ports[name]}, {keys} }}", "listeners")
            yaml.limits(firstRetrySeconds=1, lastRetrySeconds=2, **cls.limits)
            yaml.set(f"{{ format: {cls.form}, level: debug }}", "log")

        cls.gateway = Gateway(cls.sink.port, edit).start()
        cls.gamma = Provider(forgers.Identity(cls.gateway.folder / "gamma" / "signer.pem"))

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()
        cls.sink.stop()

    def open(self, name: str, header: bytes = b"", source: str = LISTED, pieces=None) -> Wire:
        """A connection that begins with these octets."""
        wire = Wire(self.ports[name], source=source, greet=False)
        for piece in (pieces or (lambda octets: [octets]))(header):
            wire.send(piece)
        return wire

    def greeted(self, name: str, header: bytes = b"", **options) -> Wire:
        wire = self.open(name, header, **options)
        wire.greeting = wire.reply()
        self.assertEqual(wire.greeting.code, 220, wire.greeting)
        wire.ehlo("mx.gamma.test")
        return wire

    def secured(self, name: str, header: bytes) -> Wire:
        """With TLS from the first octet behind the header."""
        wire = self.open(name, header)
        wire.socket = client_context(self.gateway.ca).wrap_socket(wire.socket, server_hostname="localhost")
        wire.greeting = wire.reply()
        wire.ehlo()
        return wire

    def log(self) -> str:
        return self.gateway.log.read_text("utf-8", "replace")

    def logged(self, *words: str) -> None:
        """A log line that holds all of these."""
        poll(lambda: any(all(word in line for word in words) for line in self.log().splitlines()), 20, lambda: f"{words} in\n{self.log()[-3000:]}")

    def delivered(self, letter, address: str = ANNA):
        """The envelope in the mailbox, and our own trace line on top of it."""
        mark = letter.certified.pec_id.encode()
        stored = self.gateway.mailbox(address).wait(lambda one: mark in one.octets and b"busta" not in one.octets[:100], 30)[0]
        trace = stored.octets.split(b"Received: ", 1)[1].split(b"\r\n\tby ", 1)[0]
        return stored, trace.decode()


class Proxies(Peers):
    listeners = {
        "incoming": f"kind: incoming, proxies: [{LISTED}]",
        "submission": f"kind: submission, proxies: [{LISTED}]",
        "submissions": f"kind: submissions, proxies: [{LISTED}]",
        "trusted": f"kind: trusted, peers: [{CLIENT}], user: mailFrom, proxies: [{LISTED}]",
    }
    limits = {"connectionsPerPeer": 3, "handshakeTimeoutSeconds": 2}

    def test_the_client_is_the_peer(self):
        """Both versions, both versions of IP, whole and in pieces: in the trace line and in the log."""
        cases = [
            (v1(), CLIENT), (v2(), CLIENT), (v1("2001:db8::7"), "IPv6:2001:db8::7"), (v2("2001:db8::7"), "IPv6:2001:db8::7"),
            (v2(fields=b"\x04\x00\x01\x00" + b"\x20\x01\x00" + b"x" * 256), CLIENT),
        ]  # fmt: skip
        for header, shown in cases:
            for pieces in (None, one_by_one):
                letter = self.gamma.envelope(MARIO, [ANNA])
                with self.greeted("incoming", header, pieces=pieces) as wire:
                    self.assertEqual(transaction(wire, MARIO, [ANNA], letter.octets).code, 250)
                self.assertEqual(self.delivered(letter)[1], f"from mx.gamma.test ([{shown}])")
                self.logged("envelope", letter.certified.pec_id, f"peer={shown.removeprefix('IPv6:')}")

    def test_what_comes_at_once_behind_the_header_is_not_lost(self):
        """A client that does not wait is a faulty one, and its octets are in step all the same; long ones too."""
        body = b"From: x@y.test\r\nSubject: x\r\n\r\n" + b"riga di prova\r\n" * 20_000
        said = b"EHLO a.test\r\nMAIL FROM:<x@y.test>\r\nRCPT TO:<" + ALDO.encode() + b">\r\nDATA\r\n" + body + b".\r\nQUIT\r\n"
        with self.open("incoming", v2() + said) as wire:
            self.assertEqual([wire.reply().code for _ in range(7)], [220, 250, 250, 250, 354, 250, 221])
        kept = self.gateway.mailbox(ALDO).wait(lambda one: b"riga di prova" in one.octets, 30)[0]
        self.assertIn(body.split(b"\r\n\r\n", 1)[1], kept.octets)

    def test_a_proxy_without_its_header_is_sent_away(self):
        for octets in (b"EHLO me.test\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"PROXY TCP4 1.2.3.4\r\n", v2()[:12] + b"\x11" + v2()[13:]):
            for name in ("incoming", "submissions"):
                with self.open(name, octets) as wire:
                    self.assertTrue(wire.closed(), octets)
        self.logged("refused: a listed proxy without a valid PROXY header: what came first is no PROXY header", f"peer={LISTED}")
        self.logged("refused: a listed proxy without a valid PROXY header: the PROXY header has version 1")

    def test_a_proxy_that_says_nothing_is_sent_away(self):
        with self.open("incoming") as quiet, self.open("incoming", v1()[:20]) as half:
            self.assertTrue(quiet.closed())
            self.assertTrue(half.closed())
        self.logged("no PROXY header within 2 s")

    def test_anybody_else_talks_directly(self):
        with self.greeted("incoming", source="127.0.0.1") as wire:
            self.assertEqual(wire.command(v1().strip()).code, 500)
            wire.expect("NOOP", 250)
        with self.open("incoming", v2(), source="127.0.0.1") as wire:
            self.assertEqual(wire.reply().code, 220)
            self.assertGreaterEqual(wire.reply().code, 500)

    def test_the_trusted_listener_looks_at_the_client(self):
        sent = compose.simple("Dietro un proxy")
        with self.greeted("trusted", v2()) as wire:
            wire.envelope(ANNA, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        compose.receipt(self.gateway.mailbox(ANNA), sent)
        for header in (v2("198.51.100.10"), v1("192.0.2.9"), v2(None), b"PROXY UNKNOWN\r\n"):
            with self.open("trusted", header) as wire:
                self.assertEqual((reply := wire.reply()).code, 554, reply)
                self.assertTrue(wire.closed())
        self.logged("you are not a listed peer", "peer=192.0.2.9")

    def test_connections_are_counted_by_client(self):
        held = [self.greeted("incoming", v2("203.0.113.5")) for _ in range(3)]
        with self.open("incoming", v1("203.0.113.5")) as wire:
            self.assertEqual((reply := wire.reply()).code, 421, reply)
        # Other clients, and the proxy's own questions, are not hindered by it, nor by the proxy's address.
        held += [self.greeted("incoming", v2(f"203.0.113.{number}")) for number in range(10, 20)]
        held += [self.greeted("incoming", header) for header in [v2(None), b"PROXY UNKNOWN\r\n"] * 5]
        for wire in held:
            wire.quit()
        with self.greeted("incoming", v1("203.0.113.5")) as wire:
            wire.quit()

    def test_by_haproxy(self):
        self.need("haproxy")
        ways = {
            "submission-1": (self.ports["submission"], "send-proxy"),
            "submissions-1": (self.ports["submissions"], "send-proxy"),
            "incoming-1": (self.ports["incoming"], "send-proxy"),
            "submission-2": (self.ports["submission"], "send-proxy-v2 proxy-v2-options unique-id"),
            "submissions-2": (self.ports["submissions"], "send-proxy-v2 proxy-v2-options unique-id"),
            "incoming-2": (self.ports["incoming"], "send-proxy-v2 proxy-v2-options unique-id,crc32c"),
        }
        before = self.log().count("without a valid PROXY header")
        proxy = HAProxy(ways).start()
        try:
            context = client_context(self.gateway.ca)
            for number, version in enumerate("12", start=31):
                client = f"127.0.0.{number}"
                sent = compose.simple(f"HAProxy {version}")
                with Wire(proxy.ports[f"submission-{version}"], source=client) as wire:
                    wire.ehlo()
                    wire.start_tls(context)
                    wire.ehlo()
                    self.submit(wire, sent, client)
                sent = compose.simple(f"HAProxy {version}, TLS dal principio")
                with Wire(proxy.ports[f"submissions-{version}"], source=client, implicit_tls=context) as wire:
                    wire.ehlo()
                    self.submit(wire, sent, client)
                letter = self.gamma.envelope(MARIO, [ANNA])
                with Wire(proxy.ports[f"incoming-{version}"], source=client) as wire:
                    wire.ehlo("mx.gamma.test")
                    wire.start_tls(context)
                    wire.ehlo("mx.gamma.test")
                    self.assertEqual(transaction(wire, MARIO, [ANNA], letter.octets).code, 250)
                self.assertEqual(self.delivered(letter)[1], f"from mx.gamma.test ([{client}])")
            # Its health checks say LOCAL, or nothing: no alarm comes of them.
            poll(lambda: self.log().count("connect ") > 8 + len(ways), 10, "health checks")
            self.assertEqual(self.log().count("without a valid PROXY header"), before)
        finally:
            proxy.stop()

    def submit(self, wire: Wire, sent, client: str) -> None:
        self.assertEqual(wire.auth_plain(ANNA, "falsch").code, 535)
        self.logged("authentication failed", f"peer={client}")
        self.assertEqual(wire.auth_plain(ANNA, "anna-secret").code, 235)
        wire.envelope(ANNA, sent.recipients)
        self.assertEqual(wire.data(sent.octets).code, 250)
        compose.receipt(self.gateway.mailbox(ANNA), sent)
        self.logged("accepted", f"client={client}", sent.message_id.strip("<>"))


class Forwarders(Peers):
    listeners = {"incoming": f"kind: incoming, forwarders: [{LISTED}]", "submission": f"kind: submission, forwarders: [{LISTED}]"}
    limits = {"messagesPerPeerPerMinute": 3}

    def test_announced_to_listed_peers_alone(self):
        for name in ("incoming", "submission"):
            with self.greeted(name) as wire:
                self.assertEqual(wire.extensions["XFORWARD"], "NAME ADDR PORT PROTO HELO IDENT SOURCE")
                self.assertNotIn("LOGIN", wire.extensions["XCLIENT"])
                self.assertEqual(wire.command(f"XCLIENT LOGIN={ANNA}").code, 501)
            with self.greeted(name, source="127.0.0.1") as wire:
                self.assertFalse({"XCLIENT", "XFORWARD"} & set(wire.extensions))
                self.assertEqual(wire.command("XFORWARD ADDR=192.0.2.7").code, 502)
                self.assertEqual(wire.command("XCLIENT ADDR=192.0.2.7").code, 502)
        with self.gateway.trusted() as wire:
            self.assertTrue({"XCLIENT", "XFORWARD"} <= set(wire.extensions))

    def test_xclient_makes_another_peer(self):
        letter = self.gamma.envelope(MARIO, [ANNA])
        with self.greeted("incoming") as wire:
            wire.expect("XCLIENT NAME=mx.gamma.test ADDR=IPv6:2001:db8::9 HELO=posta.gamma.test", 220)
            wire.ehlo("relay.alfa.test")
            self.assertEqual(transaction(wire, MARIO, [ANNA], letter.octets).code, 250)
        self.assertEqual(self.delivered(letter)[1], "from posta.gamma.test (mx.gamma.test [IPv6:2001:db8::9])")
        self.logged("envelope", letter.certified.pec_id, "peer=2001:db8::9")

    def test_xforward_names_and_gives_no_right(self):
        """Said before each message, it holds for one; rights stay the peer's."""
        letters = [self.gamma.envelope(MARIO, [ANNA]) for _ in range(2)]
        with self.greeted("incoming") as wire:
            wire.expect("XFORWARD NAME=mx.gamma.test ADDR=192.0.2.80 HELO=posta.gamma.test PROTO=ESMTP IDENT=4Zxy SOURCE=REMOTE", 250)
            for letter in letters:
                self.assertEqual(transaction(wire, MARIO, [ANNA], letter.octets).code, 250)
        self.assertEqual(self.delivered(letters[0])[1], "from posta.gamma.test (mx.gamma.test [192.0.2.80])")
        self.assertEqual(self.delivered(letters[1])[1], f"from mx.gamma.test ([{LISTED}])")
        self.logged("envelope", letters[0].certified.pec_id, "client=192.0.2.80", f"peer={LISTED}")

    def test_rates_count_the_original_client(self):
        """The forwarding server itself may send as much as it likes, its clients not."""
        with self.greeted("incoming") as wire:
            for address, codes in (("192.0.2.81", [250] * 3 + [450]), ("192.0.2.82", [250]), (None, [250] * 6)):
                for code in codes:
                    if address:
                        wire.expect(f"XFORWARD ADDR={address}", 250)
                    reply = wire.command("MAIL FROM:<>")
                    self.assertEqual(reply.code, code, reply)
                    wire.expect("RSET", 250)
                    if code == 450:
                        self.assertEqual(reply.enhanced, "4.7.1")
                        wire.expect("EHLO mx.gamma.test", 250)
        with self.greeted("incoming", source="127.0.0.77") as wire:
            for code in [250] * 3 + [450]:
                self.assertEqual(wire.command("MAIL FROM:<>").code, code)
                wire.expect("RSET", 250)
        self.logged("refused", "stage=MAIL", "client=192.0.2.81")

    def test_postfix_hands_incoming_mail_on(self):
        """Postfix faces the world and hands everything on as to a content filter, with XFORWARD: the gateway names who came to Postfix."""
        self.need("postfix")
        service = f"""ceralacca unix - - n - - smtp
  -o smtp_send_xforward_command=yes
  -o smtp_bind_address={LISTED}
  -o disable_mime_output_conversion=yes
"""
        settings = {
            "content_filter": f"ceralacca:[127.0.0.1]:{self.ports['incoming']}",
            "relay_domains": "pec.alfa.test",
            "smtpd_relay_restrictions": "permit_auth_destination, reject",
            "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
            "ceralacca_destination_recipient_limit": "1000",
        }
        postfix = Postfix("before", settings, service).start()
        try:
            letter = self.gamma.envelope(MARIO, [ANNA, ALDO])
            with Wire(postfix.port) as wire:
                wire.ehlo()
                wire.expect("XCLIENT NAME=mx.gamma.test ADDR=192.0.2.77 HELO=uscita.gamma.test PROTO=ESMTP", 220)
                wire.ehlo("uscita.gamma.test")
                self.assertEqual(transaction(wire, MARIO, [ANNA, ALDO], letter.octets).code, 250)
            stored, trace = self.delivered(letter)
            self.assertEqual(trace, "from uscita.gamma.test (mx.gamma.test [192.0.2.77])")
            self.assertIn(b"by before.example.test (Postfix)", stored.octets)
            self.logged("envelope", letter.certified.pec_id, "client=192.0.2.77", f"peer={LISTED}")
        finally:
            postfix.stop()


class Rates(Peers):
    limits = {"messagesPerUserPerHour": 3, "recipientsPerUserPerHour": 5, "connectionsPerPeerPerMinute": 40}

    def test_users(self):
        with self.gateway.submission(ANNA) as wire, self.gateway.submission(ANNA) as other:
            for session in (wire, other, wire):
                session.expect(f"MAIL FROM:<{ANNA}>", 250)
                session.expect("RSET", 250)
            reply = other.command(f"MAIL FROM:<{ANNA}>")
            self.assertEqual((reply.code, reply.enhanced), (450, "4.7.1"), reply)
            self.assertIn("Too many messages from this user within an hour", reply.text)
            other.expect("NOOP", 250)
        # Others are not touched, and a peer that is trusted counts for the user that it names.
        with self.gateway.trusted() as wire:
            self.assertEqual(wire.command(f"MAIL FROM:<{ANNA}>").code, 450)
            wire.expect(f"MAIL FROM:<{ALDO}>", 250)
            codes = [wire.command(f"RCPT TO:<r{number}@posta.example.test>") for number in range(6)]
            self.assertEqual([reply.code for reply in codes], [250] * 5 + [450])
            self.assertEqual(codes[5].enhanced, "4.7.1")
            sent = compose.simple("Cinque", [f"r{number}@posta.example.test" for number in range(5)], sender=ALDO)
            self.assertEqual(wire.data(sent.octets).code, 250)
        compose.receipt(self.gateway.mailbox(ALDO), sent)
        self.logged("refused", "stage=RCPT", "Too many recipients")
        bounds = self.refused()
        self.assertEqual((bounds["messagesPerUserPerHour"], bounds["recipientsPerUserPerHour"]), (2, 1))

    def refused(self) -> dict:
        """How often each bound refused somebody: nobody is named."""
        done = run([executable(), "status", "--json", "--config", self.gateway.configuration])
        return json.loads(done.stdout)["sessions"]["bounds"]

    def test_connections_of_a_peer(self):
        def attempt(port: int, source: str) -> int:
            with Wire(port, source=source, greet=False) as wire:
                return wire.reply().code

        codes = [attempt(self.gateway.ports.incoming, "127.0.0.90") for _ in range(43)]
        self.assertEqual(codes[:40], [220] * 40)
        self.assertEqual(codes[42], 421)
        self.assertEqual(self.refused()["connectionsPerPeerPerMinute"], codes.count(421))
        page = run([executable(), "status", "--config", self.gateway.configuration]).stdout.decode()
        self.assertRegex(page, r"limits refused .*\d by connectionsPerPeerPerMinute")
        self.assertEqual(attempt(self.gateway.ports.incoming, "127.0.0.91"), 220)
        # Peers that are trusted are not counted.
        self.assertEqual([attempt(self.gateway.ports.trusted, "127.0.0.1") for _ in range(45)], [220] * 45)
        self.logged("refused: too many connections from your address within a minute", "peer=127.0.0.90")
