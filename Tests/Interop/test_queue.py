"""A queue that does not fit into memory: what waits is in the ledger, and comes when it is due, or when somebody asks for it."""

import socketserver
import threading
from collections import Counter

from interop import compose
from interop.base import executable, poll, run
from interop.case import InteropTest
from interop.lab import ANNA, Gateway
from interop.sink import Sink

GAMMA = "ufficio@pec.gamma.test"


class Long(InteropTest):
    """Ten entries fit into memory, and far more wait."""

    def setUp(self):
        self.opens = False
        self.sink = Sink(lambda stage, _: None if self.opens or stage != "MAIL" else "451 4.3.0 not now")

    def tearDown(self):
        self.gateway.stop()
        self.sink.stop()

    def _start(self, retry_seconds: int) -> None:
        limits = {"activeEntries": 10, "firstRetrySeconds": retry_seconds, "lastRetrySeconds": retry_seconds}
        self.gateway = Gateway(self.sink.port, lambda yaml: yaml.limits(**limits)).start()

    def _command(self, *arguments) -> tuple[int, str]:
        done = run([executable(), *arguments, "--config", self.gateway.configuration])
        return done.returncode, (done.stdout + done.stderr).decode()

    def _submit(self, count: int) -> list:
        sent = [compose.simple(f"In coda {number}", [GAMMA]) for number in range(count)]
        with self.gateway.trusted(seconds=60) as wire:
            for each in sent:
                wire.envelope(ANNA, each.recipients)
                self.assertEqual(wire.data(each.octets).code, 250)
        return sent

    def _rows(self) -> list[dict]:
        return [row for row in self.gateway.queue() if row["recipients"] == [GAMMA]]

    def _arrivals(self) -> Counter:
        return Counter(taken.stored.header.get("X-Riferimento-Message-ID") for taken in self.sink.taken if GAMMA in taken.recipients)

    def _tried(self, count: int) -> list[dict]:
        """The entries, once each was tried."""

        def rows() -> list[dict] | None:
            found = self._rows()
            return found if len(found) == count and all(row["attempts"] > 0 for row in found) else None

        return poll(rows, 60, lambda: f"{count} entries that were tried, not {Counter(row['attempts'] for row in self._rows())}")

    def _all_arrive_once(self, count: int) -> None:
        poll(lambda: not self._rows(), 90, lambda: f"an empty queue, not {len(self._rows())} entries")
        arrivals = self._arrivals()
        self.assertEqual((len(arrivals), set(arrivals.values())), (count, {1}))

    def test_entries_that_are_not_due_for_long(self):
        self._start(3600)
        self._submit(60)
        rows = self._tried(60)
        code, words = self._command("queue", "drop", rows[7]["id"])
        self.assertEqual(code, 0, words)
        poll(lambda: rows[7]["id"] not in [row["id"] for row in self._rows()], 30, "the entry leaving the queue")
        self.gateway.kill()
        self.gateway.start()
        self.opens = True
        code, words = self._command("queue", "retry", rows[23]["id"])
        self.assertEqual(code, 0, words)
        poll(lambda: rows[23]["id"] not in [row["id"] for row in self._rows()], 30, "the delivery of the entry that was hurried")
        self.assertEqual(sum(self._arrivals().values()), 1)
        # What comes meanwhile goes out at once.
        self._submit(1)
        poll(lambda: sum(self._arrivals().values()) == 2, 30, "the new message")
        self.assertEqual(len(self._rows()), 58)
        code, words = self._command("queue", "retry", "--all")
        self.assertEqual((code, words.strip()), (0, "tried as soon as there is room: 58 entries"))
        self._all_arrive_once(60)
        dropped = [event for event in self.gateway.events() if event["event"] == "rimosso-dal-gestore"]
        self.assertEqual(len(dropped), 1)

    def test_more_is_due_than_there_is_room_for(self):
        self._start(1)
        self._submit(80)
        self._tried(80)
        self.gateway.kill()
        self.gateway.start()
        self._submit(20)
        self._tried(100)
        self.opens = True
        self._all_arrive_once(100)


class Mute(socketserver.ThreadingTCPServer):
    """A next hop that greets when it may, answers EHLO, and never again."""

    daemon_threads, block_on_close = True, False

    def __init__(self):
        self.may_greet, self.sessions = threading.Event(), 0
        super().__init__(("127.0.0.1", 0), None)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.may_greet.set()
        self.shutdown()
        self.server_close()

    def verify_request(self, request, client_address) -> bool:
        self.sessions += 1
        return True

    def finish_request(self, client, client_address) -> None:
        self.may_greet.wait(60)
        try:
            client.sendall(b"220 mute.example.test ESMTP\r\n")
            if client.recv(1000):
                client.sendall(b"250 mute.example.test\r\n")
            while client.recv(65536):
                pass
        except OSError:
            pass


class InLine(InteropTest):
    """A next hop that says nothing keeps nobody waiting for longer than once."""

    def test_silence_is_waited_for_once(self):
        mute = Mute()
        self.addCleanup(mute.stop)
        limits = {"firstRetrySeconds": 600, "replyTimeoutSeconds": 10, "connectionsPerDestination": 1}
        gateway = Gateway(mute.port, lambda yaml: yaml.limits(**limits).set("1", "lanes"))
        self.addCleanup(gateway.stop)
        gateway.start()
        rows = lambda: [row for row in gateway.queue() if row["recipients"] == [GAMMA]]  # noqa: E731
        with gateway.trusted(seconds=60) as wire:
            for number in range(5):
                sent = compose.simple(f"In fila {number}", [GAMMA])
                wire.envelope(ANNA, sent.recipients)
                self.assertEqual(wire.data(sent.octets).code, 250)
        poll(lambda: len(rows()) == 5 and mute.sessions, 30, "five envelopes in line")
        mute.may_greet.set()
        poll(lambda: all(row["attempts"] == 1 for row in rows()), 60, lambda: f"a first attempt of each: {[row['attempts'] for row in rows()]}")
        self.assertTrue(all("silence" in row["lastError"] for row in rows()), rows())
        self.assertEqual(mute.sessions, 1)
