"""Limits of connections and of patience: silence, dripping, crowds, and what ten thousand idle connections cost."""

import json
import socket
import time

from interop import base, compose
from interop.base import memory, note, poll
from interop.case import InteropTest
from interop.faults import MAIL
from interop.lab import ANNA, Gateway
from interop.sink import Sink
from interop.wire import Wire, client_context


class Patience(InteropTest):
    """Time-outs and limits of connections, on a gateway whose limits are short."""

    @classmethod
    def setUpClass(cls):
        cls.sink = Sink()
        cls.gateway = Gateway(
            cls.sink.port,
            lambda yaml: yaml.limits(
                commandTimeoutSeconds=2,
                bodyTimeoutSeconds=2,
                handshakeTimeoutSeconds=2,
                slowestBodyBytesPerSecond=10_000,
                slowBodyGraceSeconds=2,
                connectionsPerPeer=10,
                maximumMessagesPerSession=3,
                maximumFaults=5,
            ),
        ).start()

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()
        cls.sink.stop()

    def ended(self, wire: Wire, seconds: float = 20) -> None:
        """421 4.4.2 and the end, or the end alone where nothing can be said."""
        wire.socket.settimeout(seconds)
        reply = wire.reply()
        self.assertEqual((reply.code, reply.enhanced), (421, "4.4.2"), reply)
        self.assertTrue(wire.closed())

    def test_silence_between_commands(self):
        with self.gateway.trusted() as wire:
            self.ended(wire)

    def test_silence_after_half_a_command(self):
        with self.gateway.trusted() as wire:
            wire.send(b"MAIL FR")
            self.ended(wire)

    def test_silence_in_a_message(self):
        with self.gateway.trusted() as wire:
            wire.envelope(ANNA, ["x@posta.example.test"])
            wire.expect("DATA", 354)
            wire.send(b"From: x\r\n")
            self.ended(wire)

    def test_a_message_that_drips(self):
        """Never silent, but far too slow: given up all the same."""
        with self.gateway.trusted() as wire:
            wire.envelope(ANNA, ["x@posta.example.test"])
            wire.expect("DATA", 354)
            wire.socket.settimeout(0.2)
            began, got = time.monotonic(), b""
            while time.monotonic() - began < 25 and b"421" not in got:
                try:
                    wire.send(b"x\r\n")
                    got += wire.socket.recv(1000)
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
            self.assertIn(b"421", got)

    def test_silence_in_the_handshake(self):
        with socket.create_connection(("127.0.0.1", self.gateway.ports.implicit_tls), 20) as plain:
            plain.sendall(b"\x16\x03\x01")
            began = time.monotonic()
            try:
                _drain(plain)
            except ConnectionError:
                pass
            self.assertLess(time.monotonic() - began, 18)

    def test_too_many_connections_from_one_peer(self):
        held = []
        try:
            for _ in range(10):
                held.append(Wire(self.gateway.ports.submission))
            with Wire(self.gateway.ports.submission) as eleventh:
                self.assertEqual(eleventh.greeting.code, 421)
                self.assertTrue(eleventh.closed())
            with Wire(self.gateway.ports.submission, source="127.0.0.3") as other:
                self.assertEqual(other.greeting.code, 220, "another address is served")
        finally:
            for wire in held:
                wire.close()

        def again() -> bool:
            with Wire(self.gateway.ports.submission) as wire:
                return wire.greeting.code == 220

        poll(again, 20, "service after the others have gone")

    def test_too_many_messages_in_one_session(self):
        with self.gateway.trusted() as wire:
            for number in range(3):
                sent = compose.simple(f"Numero {number}")
                wire.envelope(ANNA, sent.recipients)
                self.assertEqual(wire.data(sent.octets).code, 250)
            reply = wire.command(MAIL)
            self.assertEqual((reply.code, reply.enhanced), (421, "4.7.0"), reply)


class Memory(InteropTest):
    """Bodies that are coming in take all the memory there is for them."""

    def test_the_end_of_a_chunk_that_has_to_wait(self):
        """Reading stops after octets that find no room, and goes on when they are in the spool: behind the last octet of a BDAT nothing
        comes any more, and its answer does."""
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = Gateway(sink.port, lambda yaml: yaml.limits(intakeMemoryMegabytes=4)).start()
        self.addCleanup(gateway.stop)
        held: list[Wire] = []
        self.addCleanup(lambda: [each.close() for each in held])
        line = b"q" * 98 + b"\r\n"
        # 4,180,000 octets of 4,194,304; each body is less than a piece, so that it stays in memory until more of it comes.
        for _ in range(20):
            wire = gateway.trusted()
            held.append(wire)
            wire.envelope(ANNA, ["x@posta.example.test"])
            wire.expect("DATA", 354)
            wire.send(line * 2090)
        status = [base.executable(), "status", "--json", "--config", gateway.configuration]
        poll(lambda: json.loads(base.run(status).stdout)["storage"]["intakeBytes"] >= 4_170_000, 20, "the memory is all but taken")
        for size in (40_000, 41_000, 70_000):
            sent = compose.simple("Alla fine", ["x@posta.example.test"], body=line * (size // 100))
            for sizes, pipelined in (([len(sent.octets)], False), ([len(sent.octets) // 2, 1], False), ([len(sent.octets) // 2, 1], True)):
                with self.subTest(size=size, sizes=sizes, pipelined=pipelined), gateway.trusted(seconds=10) as wire:
                    wire.envelope(ANNA, sent.recipients)
                    self.assertEqual(wire.bdat(sent.octets, sizes, pipelined=pipelined).code, 250)


class Crowd(InteropTest):
    """Thousands of idle connections, each time on a fresh gateway, so that what they cost can be seen."""

    def setUp(self):
        self.sink = Sink()
        self.addCleanup(self.sink.stop)
        self.gateway = Gateway(self.sink.port, lambda yaml: yaml.limits(connections=20_000, connectionsPerPeer=20_000)).start()
        self.addCleanup(self.gateway.stop)

    def test_ten_thousand_idle(self):
        count = 10_000
        available = base.raise_file_limit(2 * count + 2000)
        if available < count + 1000:
            count = available - 1000
            note(f"only {available} descriptors may be open: {count} connections instead")
        held: list[socket.socket] = []
        self.addCleanup(lambda: [each.close() for each in held])
        pid = self.gateway.process.pid
        before, began = memory(pid), time.monotonic()
        for number in range(count):
            # Spread over the loopback network, so that outgoing ports do not run out.
            source = f"127.{1 + number % 2}.{number // 250}.{number % 250 + 1}"
            held.append(socket.create_connection(("127.0.0.1", self.gateway.ports.submission), 20, (source, 0)))
            if number % 500 == 499:
                for each in held[-500:]:
                    self.assertEqual(each.recv(4), b"220 ", f"connection {number} of {count}")
        grown = memory(pid) - before
        note(
            f"{count} idle connections in {time.monotonic() - began:.1f} s: {grown / count / 1024:.1f} KB each, "
            f"{grown / 2**20:.0f} MB together"
        )
        self.assertLess(grown / count, 64 * 1024)
        sent = compose.simple("Nella folla")
        with self.gateway.submission() as wire:
            wire.envelope(ANNA, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        compose.receipt(self.gateway.mailbox(ANNA), sent)

    def test_one_thousand_idle_under_tls(self):
        held: list[Wire] = []
        self.addCleanup(lambda: [each.close() for each in held])
        pid = self.gateway.process.pid
        before, context = memory(pid), client_context()
        for number in range(1000):
            source = f"127.3.{number // 250}.{number % 250 + 1}"
            held.append(Wire(self.gateway.ports.implicit_tls, source=source, implicit_tls=context))
        grown = memory(pid) - before
        note(f"1000 idle TLS connections: {grown / 1000 / 1024:.1f} KB each")
        self.assertLess(grown / 1000, 128 * 1024)


def _drain(plain: socket.socket) -> None:
    while plain.recv(1000):
        pass
