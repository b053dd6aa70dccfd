"""A queue that does not fit into memory: what waits is in the ledger, and comes when it is due, or when somebody asks for it."""

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
