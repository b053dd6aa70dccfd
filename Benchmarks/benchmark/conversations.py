"""Whole conversations between two providers on one machine."""

from interop import base
from interop.lab import ANNA, BRUNO, Gateway, Ports, Yaml
from interop.postfix import descendants

from .load import Load, message_file
from .measure import Subject, Way, cpu_seconds, scanning
from .rounds import Comparison
from .scenarios import report
from .stage import Stage
from .subjects import LMTP


class TwoProviders(Subject):
    """Alfa and beta, each a gateway with its mailboxes behind LMTP.

    A message of Anna's is five signatures: acceptance receipt to her, envelope to beta, take-charge receipt to alfa's service mailbox,
    the envelope into Bruno's mailbox, delivery receipt into hers.
    """

    name = "two ceralacca"
    durability = "as for one, at both of them"

    def __init__(self):
        self._sinks = (base.free_block(1), base.free_block(1))
        self.gateways = [Gateway(base.free_block(1), self._edit(0))]
        self.gateways.append(Gateway(base.free_block(1), self._edit(1), provider="beta", beside=self.gateways[0]))
        for gateway in self.gateways:
            gateway.start()
        self.port = Ports(self.gateways[0].ports.first).trusted
        # Anna's two receipts and the take-charge receipt; Bruno's message.
        self.ways = (Way(self._sinks[0], 3, LMTP), Way(self._sinks[1], 1, LMTP))

    def _edit(self, number: int):
        def edit(yaml: Yaml) -> None:
            scanning(yaml).set(f'{{ lmtp: "127.0.0.1:{self._sinks[number]}" }}', "mailboxes")
            yaml.limits(maximumMessagesPerSession=1_000_000, firstRetrySeconds=1, lastRetrySeconds=1, connectionsPerPeer=4_000)

        return edit

    def pids(self) -> list[int]:
        return [pid for gateway in self.gateways for pid in [gateway.process.pid, *descendants(gateway.process.pid)]]

    def cpu(self) -> float:
        return cpu_seconds(self.pids())

    def last_words(self) -> str:
        return "\n".join(f"{gateway.provider}: {base.tail(gateway.log, 4)}" for gateway in self.gateways)

    def stop(self) -> None:
        for gateway in self.gateways:
            gateway.stop()


def conversations(stage: Stage) -> None:
    """Goal 7: from Anna's message to her delivery receipt, by two gateways."""
    subject = stage.own("two providers", TwoProviders)
    comparison = Comparison("conversations", [subject], stage.rounds, stage.minutes, stage.folder)
    size, count, sessions = (5_000, 150, 50) if stage.quick else (5_000, 2_000, 50)
    path = message_file(stage.folder, size, ANNA, [BRUNO])
    rows = comparison.measure(lambda number: Load(size, number, sessions, path, ANNA, [BRUNO]), count, 100, not stage.quick)
    report(stage, comparison, "Conversations between two providers: from a message to its delivery receipt")
    if rows:
        stage.goals.found(7, rows[0]["messagesPerSecond"])
