"""The benchmark's load generator and sink, `smtp-load`: what either end reports is what happened, whatever the other end does."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from interop import base, lab
from interop.authority import SERVER, Authority
from interop.base import poll
from interop.case import InteropTest
from interop.wire import Wire, one_by_one, stuffed

_PLACE = "%%%%%%%%%%%%%%%%"


def program() -> str:
    """SMTP_LOAD, or what stands beside the gateway under test."""
    return os.environ.get("SMTP_LOAD") or str(Path(base.executable()).with_name("smtp-load"))


class Sink:
    """`smtp-load sink` on a port that is free."""

    def __init__(self, *words: object):
        self._child = subprocess.Popen(
            [program(), "sink", "--port", "0", *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        base._children.append(self._child)
        line = self._child.stderr.readline().decode()
        if not (found := re.match(r"listening (\d+)$", line)):
            self._child.wait(20)
            raise AssertionError(f"the sink said {line!r}, ended with {self._child.returncode}")
        self.port = int(found[1])

    def kill(self) -> None:
        self._child.kill()
        self._child.communicate(timeout=20)
        base._children.remove(self._child)

    def stop(self) -> dict:
        """What it counted, after SIGTERM."""
        self._child.terminate()
        return self.ended()

    def ended(self) -> dict:
        """What it counted, when it ends by itself."""
        printed, words = self._child.communicate(timeout=60)
        base._children.remove(self._child)
        assert self._child.returncode == 0, f"the sink ended with {self._child.returncode}: {words.decode(errors='replace')}"
        return json.loads(printed)


def generator(port: int, *words: object) -> list[str]:
    return [program(), "send", f"127.0.0.1:{port}", *map(str, words)]


class LoadTest(InteropTest):
    def setUp(self):
        if not os.access(program(), os.X_OK):
            self.fail(f"there is no {program()}: swift build -c release --product smtp-load, or name one in SMTP_LOAD")

    def send(self, port: int, *words: object, code: int = 0) -> tuple[dict, str]:
        """The generator's report, empty where it has none, and its words. It must end with this code."""
        done = base.run(generator(port, *words), seconds=120)
        said = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, code, said)
        return (json.loads(done.stdout) if done.stdout.strip() else {}), said

    def folder(self) -> Path:
        return base.new_folder("load")

    def captured(self, message: bytes, *words: object) -> bytes:
        """A message as the sink got it."""
        folder = self.folder()
        (folder / "sent").write_bytes(message)
        sink = Sink("--once", folder / "got", "--messages", 1)
        self.send(sink.port, "--message", folder / "sent", "-m", 1, "-c", 1, *words)
        self.assertEqual(sink.ended()["messages"], 1)
        return (folder / "got").read_bytes()


class Counting(LoadTest):
    def test_both_ends_agree(self):
        """With DATA and BDAT, several recipients, connections that change, and no pipelining."""
        many = ("--rcpts", 3, "--to", "u{n}@x.test", "--to-count", 50)
        for of_sink in ((), ("--no-pipelining",), ("--threads", 2)):
            for words in ((), ("--bdat",), many, (*many, "--bdat"), ("--per-connection", 7), ("--size", 300_000, "--bdat")):
                with self.subTest(sink=of_sink, words=words):
                    sink = Sink(*of_sink)
                    found, _ = self.send(sink.port, "-m", 200, "-c", 10, *words)
                    counted = sink.stop()
                    recipients = 600 if "--rcpts" in words else 200
                    self.assertEqual((found["accepted"], found["recipientsAccepted"]), (200, recipients))
                    self.assertEqual((counted["messages"], counted["recipients"]), (200, recipients))
                    self.assertEqual((found["lost"], found["refused"], counted["aborted"]), (0, {}, 0))
                    if "--per-connection" in words:
                        self.assertGreaterEqual(counted["connections"], 200 // 7)
                    else:
                        self.assertEqual((found["connectionsOpened"], counted["connections"]), (10, 10))

    def test_octets_of_messages(self):
        """What is counted is what was sent: sizes are the message's own."""
        sink = Sink()
        found, _ = self.send(sink.port, "-m", 50, "-c", 3, "--size", 5_000, "--bdat")
        counted = sink.stop()
        self.assertEqual(counted["octets"] % 50, 0)
        self.assertTrue(4_900 < counted["octets"] / 50 <= 5_000, counted)
        self.assertGreater(found["octetsSent"], counted["octets"])

    def test_the_clock_is_everybodys(self):
        """Times of both ends are those of CLOCK_MONOTONIC, so that they can be taken from one another."""
        before = time.monotonic_ns()
        sink = Sink()
        found, _ = self.send(sink.port, "-m", 20, "-c", 2)
        counted = sink.stop()
        order = [before, found["startNanoseconds"], counted["firstArrivalNanoseconds"], counted["lastArrivalNanoseconds"]]
        order += [found["endNanoseconds"], time.monotonic_ns()]
        self.assertEqual(order, sorted(order))

    def test_messages_as_they_are(self):
        """--keep: dots, bare line feeds and a missing last line end come out as the same lines with CRLF."""
        lines = [b"Subject: dots", b"", b".", b"..", b".x", b"a.", b"", b"."]
        for name, message in (("CRLF", b"\r\n".join(lines) + b"\r\n"), ("LF", b"\n".join(lines) + b"\n"), ("no end", b"\r\n".join(lines))):
            for words in (("--keep",), ("--keep", "--bdat")):
                with self.subTest(name=name, words=words):
                    self.assertEqual(self.captured(message, *words), b"\r\n".join(lines) + b"\r\n")

    def test_messages_made_unlike(self):
        """A token goes into the Message-ID, or wherever the header has a place for it, and nowhere else."""
        plain = b"Subject: s\r\nMessage-ID: <a@b.test>\r\n\r\n" + _PLACE.encode() + b"\r\n"
        one, other = (self.captured(plain) for _ in range(2))
        form = re.compile(rb"Subject: s\r\nMessage-ID: <([0-9a-z]{16})\.a@b\.test>\r\n\r\n%{16}\r\n")
        self.assertTrue(form.fullmatch(one) and form.fullmatch(other), one)
        self.assertNotEqual(one, other)
        got = self.captured(f"Subject: {_PLACE}\r\nMessage-ID: <{_PLACE}@b.test>\r\n\r\nbody\r\n".encode())
        found = re.fullmatch(rb"Subject: ([0-9a-z]{16})\r\nMessage-ID: <([0-9a-z]{16})@b\.test>\r\n\r\nbody\r\n", got)
        self.assertTrue(found and found[1] == found[2], got)


class TheSink(LoadTest):
    def test_ends_of_bodies(self):
        """Bodies octet by octet and in one piece with the next command: one answer each, and the right count of octets."""
        bodies = [b"\r\n", b"x\r\n", b"a\r\r\n", b".\r\n.x\r\n", b"\r\n\r\n.\rX\r\n", b"\n.\n\r\n"]
        bodies.append(b"." * 500 + b"\r\n" + b"a.b.c\r\n" * 300)
        sink, octets = Sink(), 0
        with Wire(sink.port) as wire:
            wire.ehlo()
            for body in bodies:
                for writes in (one_by_one, lambda octets: [octets]):
                    wire.send(b"MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n")
                    self.assertEqual([wire.reply().code for _ in range(3)], [250, 250, 354])
                    sent = stuffed(body)
                    for piece in writes(sent + b".\r\nNOOP\r\n"):
                        wire.send(piece)
                    self.assertEqual([wire.reply().code for _ in range(2)], [250, 250], body)
                    octets += len(sent)
            wire.quit()
        counted = sink.stop()
        self.assertEqual((counted["messages"], counted["octets"]), (2 * len(bodies), octets))

    def test_refusals_are_shares(self):
        """A tenth of the messages and a fifth of the recipients, exactly, and both ends agree."""
        for words in ((), ("--bdat",)):
            sink = Sink("--refuse", "0.1:451", "--refuse-recipients", "0.2:550")
            found, _ = self.send(sink.port, "-m", 500, "-c", 5, "--rcpts", 5, "--to", "u{n}@x.test", "--to-count", 5, *words)
            counted = sink.stop()
            self.assertEqual((found["accepted"], found["refused"]), (450, {"451": 50}))
            self.assertEqual((counted["messages"], counted["refusedMessages"]), (450, 50))
            self.assertEqual((found["recipientsRefused"], counted["refusedRecipients"]), ({"550": 500}, 500))
            self.assertEqual(found["recipientsAccepted"], counted["recipients"])
            self.assertRegex(found["examples"]["451"], r"^451 4\.7\.0 ")

    def test_a_server_that_closes(self):
        """421 ends the connection, and the rest goes over new ones."""
        sink = Sink("--refuse", "0.05:421")
        found, _ = self.send(sink.port, "-m", 100, "-c", 2)
        self.assertEqual((found["accepted"], found["refused"], found["lost"]), (95, {"421": 5}, 0))
        self.assertGreater(sink.stop()["connections"], 2)

    def test_lmtp_answers_for_each_recipient(self):
        sink = Sink("--lmtp", "--refuse", "0.5:452")
        with Wire(sink.port) as wire:
            wire.expect("LHLO x", 250)
            for address in ("a@x.test", "b@x.test"):
                wire.expect("MAIL FROM:<>" if address[0] == "a" else "NOOP", 250)
                wire.expect(f"RCPT TO:<{address}>", 250)
            wire.expect("DATA", 354)
            wire.send(b"x\r\n.\r\n")
            self.assertEqual([wire.reply().code for _ in range(2)], [250, 452])
            wire.quit()
        counted = sink.stop()
        self.assertEqual((counted["messages"], counted["recipients"]), (1, 1))

    def test_ends_after_the_last_message(self):
        sink = Sink("--messages", 30)
        self.send(sink.port, "-m", 30, "-c", 3)
        self.assertEqual(sink.ended()["messages"], 30)


class Delays(LoadTest):
    """Bounds from below only: what a slow machine adds can break none of them."""

    def test_intended_times(self):
        """More than can be carried, at a fixed rate: who waits for a connection waits. In a closed loop nobody is seen to."""
        sink = Sink("--delay", 50)
        closed, _ = self.send(sink.port, "-c", 4, "-m", 40)
        self.assertGreaterEqual(closed["latencyMicroseconds"]["p50"], 50_000)
        # Four connections carry eighty a second at the most.
        pressed, _ = self.send(sink.port, "-c", 4, "--rate", 200, "--seconds", 2)
        self.assertEqual(pressed["messages"] + pressed["unstarted"], 400)
        self.assertGreater(pressed["unstarted"], 200)
        self.assertGreater(pressed["latencyMicroseconds"]["p99"], 600_000)
        self.assertGreaterEqual(pressed["answerMicroseconds"]["p50"], 50_000)
        self.assertEqual(sink.stop()["messages"], closed["accepted"] + pressed["accepted"])

    def test_a_rate_that_is_kept(self):
        """The last message begins no sooner than it is meant to."""
        sink = Sink()
        found, _ = self.send(sink.port, "-c", 4, "--rate", 100, "-m", 50)
        self.assertEqual((found["accepted"], found["unstarted"]), (50, 0))
        self.assertGreaterEqual(found["endNanoseconds"] - found["startNanoseconds"], 490_000_000)
        sink.stop()

    def test_percentiles_are_those_of_the_buckets(self):
        sink = Sink("--delay", 2)
        found, _ = self.send(sink.port, "-c", 4, "-m", 300, "--buckets")
        sink.stop()
        seen, latency = 0, found["latencyMicroseconds"]
        self.assertEqual(sum(count for _, count in latency["buckets"]), 300)
        for microseconds, count in latency["buckets"]:
            seen += count
            if seen >= 297:
                self.assertEqual(min(microseconds, latency["max"]), latency["p99"])
                break


class Peers(LoadTest):
    """Servers that misbehave: words and counts, no crash, and an end."""

    def server(self, behave) -> int:
        """A port where every connection meets `behave`."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def meet(connection: socket.socket) -> None:
            with connection:
                try:
                    connection.settimeout(20)
                    behave(connection)
                except OSError:
                    pass

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=meet, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return listener.getsockname()[1]

    def test_noise(self):
        """No greeting that is one: the run is given up in words, in time."""
        for name, octets in (
            ("noise", bytes(range(256)) * 8), ("no code", b"hello\r\n"), ("an endless line", b"220 " + b"x" * 20_000),
            ("half a line", b"220 half"), ("nothing", b""), ("out of turn", b"354 go on\r\n"), ("a refusal", b"554 go away\r\n"),
        ):  # fmt: skip
            with self.subTest(name):
                port = self.server(lambda connection, octets=octets: connection.sendall(octets))
                found, words = self.send(port, "-m", 5, "-c", 2, "--timeout", 1, code=1)
                self.assertIn("was ready in time", words)
                self.assertEqual(found["messages"], 0)
                self.assertGreater(found["connectionsFailed"], 0)

    def test_breaks_within_a_session(self):
        """A server that goes in the middle, or answers what nobody asked: messages are lost, and counted as that."""
        greeting = b"220 x\r\n"
        cases = {
            "goes after the message": [b"250 x\r\n", b"250 a\r\n250 b\r\n354 c\r\n", None],
            "too many answers": [b"250 x\r\n", b"250 a\r\n250 b\r\n354 c\r\n250 d\r\n250 e\r\n250 f\r\n", None],
            "noise for an answer": [b"250 x\r\n", b"\xff\xfe\x00\r\n", None],
        }
        for name, answers in cases.items():

            def behave(connection: socket.socket, answers=answers) -> None:
                connection.sendall(greeting)
                for answer in answers:
                    connection.recv(65_536)
                    if answer is None:
                        return
                    connection.sendall(answer)

            with self.subTest(name):
                found, _ = self.send(self.server(behave), "-c", 1, "--seconds", 1, "--timeout", 2)
                self.assertGreater(found["lost"], 0)

    def test_nobody_listens(self):
        found, words = self.send(base.free_block(1), "-m", 5, "-c", 2, code=1)
        self.assertIn("connection refused", words)
        self.assertEqual(found["accepted"], 0)

    def test_a_sink_that_dies(self):
        """In the middle of a run: what it had taken is counted, the rest lost, and the run ends when its time is over."""
        sink = Sink("--delay", 5)
        words = generator(sink.port, "-c", 4, "--seconds", 2, "--timeout", 2)
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        base._children.append(child)
        poll(lambda: self._connections(sink.port) >= 4, 20, "the generator's connections")
        sink.kill()
        printed, _ = child.communicate(timeout=60)
        base._children.remove(child)
        found = json.loads(printed)
        self.assertGreater(found["connectionsFailed"], 0)
        self.assertEqual(found["messages"], found["accepted"] + found["lost"])

    @staticmethod
    def _connections(port: int) -> int:
        """Connections to this port that stand."""
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        return sum(1 for fields in map(str.split, lines) if fields[1].endswith(f":{port:04X}") and fields[3] == "01")

    def test_an_interrupt(self):
        """SIGTERM ends a closed loop after the answers that are due, with its line."""
        sink = Sink()
        child = subprocess.Popen(generator(sink.port, "-c", 4, "--seconds", 60), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        base._children.append(child)
        poll(lambda: self._connections(sink.port) >= 4, 20, "the generator's connections")
        child.send_signal(signal.SIGTERM)
        printed, _ = child.communicate(timeout=30)
        base._children.remove(child)
        self.assertEqual(json.loads(printed)["accepted"], sink.stop()["messages"])


class Bounds(LoadTest):
    def test_this_machine_only(self):
        """Nobody else is ever sent to, and nobody else may come."""
        for target in ("192.0.2.1:25", "mail.example.test:25", "0.0.0.0:25", "127.0.0.1.example.test:25", "0177.0.0.1:25", "[::]:25"):
            done = base.run([program(), "send", target, "-m", "1"])
            self.assertEqual(done.returncode, 64, target)
            self.assertIn("not a loopback address", done.stderr.decode())
        for host in ("0.0.0.0", "::", "192.0.2.1"):
            done = base.run([program(), "sink", "--host", host])
            self.assertEqual(done.returncode, 64, host)
            self.assertIn("not a loopback address", done.stderr.decode())

    def test_words_that_mean_nothing(self):
        for words in ("-m 0", "-c 0 -m 1", "", "-m 1 --rcpts 501", "-m 1 --to a>b", "-m 1 --rate 0"):
            done = base.run([program(), "send", "127.0.0.1:25", *words.split()])
            self.assertEqual(done.returncode, 64, words)


class Secured(LoadTest):
    @classmethod
    def setUpClass(cls):
        folder = base.new_folder("load-authority")
        cls.authority = Authority(folder / "ca")
        cls.identity = cls.authority.issue("server", "/CN=localhost", profile=SERVER).path

    def sink(self, *words: object) -> Sink:
        return Sink("--cert", self.identity, "--key", self.identity, *words)

    def test_tls_both_ways(self):
        """STARTTLS and TLS from the first octet, with the certificate looked at and without, small and large."""
        ca = ("--ca", self.authority.certificate, "--server-name", "localhost")
        for of_sink, words in (
            ((), ("--starttls",)), ((), ("--starttls", *ca)), (("--tls",), ("--tls",)), (("--tls",), ("--tls", *ca)),
            ((), ("--starttls", "--size", 20_000_000, "-m", 4)), (("--tls",), ("--tls", "--bdat", "--size", 20_000_000, "-m", 4)),
        ):  # fmt: skip
            with self.subTest(words=words):
                sink = self.sink(*of_sink)
                count = () if "-m" in words else ("-m", 200)
                found, _ = self.send(sink.port, "-c", 4, *count, *words)
                counted = sink.stop()
                self.assertEqual(found["accepted"], counted["messages"])
                self.assertEqual(found["lost"], 0)

    def test_a_certificate_of_somebody_else(self):
        stranger = Authority(base.new_folder("load-stranger") / "ca", subject="/O=Altri/CN=altra CA")
        sink = self.sink()
        words = ("--starttls", "--ca", stranger.certificate, "--server-name", "localhost", "--timeout", 1)
        found, said = self.send(sink.port, "-m", 1, "-c", 1, *words, code=1)
        self.assertEqual(found["accepted"], 0)
        self.assertIn("was ready in time", said)
        sink.stop()

    def test_who_one_is(self):
        """AUTH and XCLIENT where they are offered, and words where they are not."""
        words = ("--auth", "u:p", "--xclient-login", "u", "-m", 20, "-c", 2)
        sink = Sink("--auth", "--xclient")
        found, _ = self.send(sink.port, *words)
        self.assertEqual((found["accepted"], sink.stop()["messages"]), (20, 20))
        sink = Sink()
        _, said = self.send(sink.port, *words, code=1)
        self.assertIn("does not offer", said)
        _, said = self.send(sink.port, "--starttls", "-m", 1, code=1)
        self.assertIn("does not offer STARTTLS", said)
        sink.stop()

    def test_a_gateway(self):
        """Against the gateway's own submission: STARTTLS, AUTH, and a message that it takes."""
        folder = self.folder()
        head = f"From: {lab.ANNA}\r\nTo: giulia@posta.example.test\r\nSubject: Prova\r\nDate: Tue, 10 Mar 2026 09:14:58 +0100\r\n"
        (folder / "message").write_bytes(f"{head}Message-ID: <load@client.example.test>\r\n\r\nBuongiorno.\r\n".encode())
        words = ("--starttls", "--auth", f"{lab.ANNA}:{lab.PASSWORDS[lab.ANNA]}", "--from", lab.ANNA, "--to", "giulia@posta.example.test")
        found, _ = self.send(self.lab.ports.submission, "--message", folder / "message", "-m", 10, "-c", 2, *words)
        self.assertEqual((found["accepted"], found["refused"]), (10, {}))
