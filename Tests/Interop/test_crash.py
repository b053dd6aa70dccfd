"""`kill -9` at random moments under load: what was answered 250 is never lost, no receipt appears twice, every signature verifies."""

import collections
import hashlib
import json
import os
import random
import threading
import time
import zlib
from dataclasses import dataclass

from interop import base, compose, expect
from interop.base import executable, note, poll, run
from interop.case import InteropTest
from interop.expect import Sent
from interop.lab import ALDO, ANNA, Gateway
from interop.mailboxes import Stored
from interop.pec import PECMessage
from interop.sink import Sink
from interop.wire import Wire

CLIENTS = 6


@dataclass
class Packed:
    """A message that was sent, compressed: a long run sends tens of thousands."""

    sender: str
    recipients: list[str]
    message_id: str
    octets: bytes

    @staticmethod
    def of(sent: Sent) -> "Packed":
        return Packed(sent.sender, sent.recipients, sent.message_id, zlib.compress(sent.octets, 1))

    @property
    def sent(self) -> Sent:
        return Sent(zlib.decompress(self.octets), self.sender, self.recipients, "Sotto carico", self.message_id)


@dataclass
class Arrived:
    """An envelope that reached the world or Aldo: what has to be compared, and a way to have all of it again."""

    message_id: str
    digest: bytes
    reached: tuple[str, ...]
    is_local: bool
    again: object


class Load:
    """Clients that submit one message after another until the gateway is gone."""

    def __init__(self, gateway: Gateway, seed: int):
        self.gateway, self.seed = gateway, seed
        self.attempted: dict[str, Packed] = {}
        self.answered: set[str] = set()
        self.refusals: list[str] = []
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self, round_number: int) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(round_number, number), daemon=True) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs although the gateway is dead"

    def _message(self, dice: random.Random) -> Sent:
        recipients = [f"c{dice.randrange(1000)}@posta.example.test"]
        if dice.randrange(4) == 0:
            recipients.append("ufficio@pec.gamma.test")
        if dice.randrange(4) == 0:
            recipients.append(ALDO)
        size = dice.choices([200, 4000, 60_000, 400_000, 1_500_000], [20, 60, 15, 4, 1])[0]
        line = bytes(dice.choice(b"abcdefgh .-") for _ in range(70)) + b"\r\n"
        return compose.simple("Sotto carico", recipients, body=line * (size // len(line) + 1))

    def _client(self, round_number: int, number: int) -> None:
        dice = random.Random(f"{self.seed}-{round_number}-{number}")
        while not self._over.is_set():
            try:
                with self.gateway.submission(seconds=30) if number == 0 else self.gateway.trusted(seconds=30) as session:
                    for _ in range(dice.randrange(1, 30)):
                        sent = self._message(dice)
                        with self._lock:
                            self.attempted[sent.message_id] = Packed.of(sent)
                        session.envelope(sent.sender, sent.recipients, pipelined=bool(dice.randrange(2)))
                        reply = session.data(sent.octets) if dice.randrange(2) else session.bdat(sent.octets, [len(sent.octets) // 2, 0])
                        with self._lock:
                            if reply.code == 250:
                                self.answered.add(sent.message_id)
                            else:
                                self.refusals.append(str(reply))
            except (OSError, AssertionError):
                if self._over.wait(0.01):
                    return


class Kill(InteropTest):
    def test_loop(self):
        rounds = int(os.environ.get("INTEROP_ROUNDS") or (220 if base.LONG else 12))
        dice = random.Random(base.SEED)
        flaky = random.Random(base.SEED + 1)

        def policy(stage: str, _: str) -> str | None:
            # The world is not perfect either: refusals for the time being, and connections that break before the reply.
            if stage == "RCPT" and flaky.random() < 0.01:
                return "451 4.2.0 Not now"
            if stage == "reply" and flaky.random() < 0.005:
                raise ConnectionError
            return None

        sink = Sink(policy)
        self.addCleanup(sink.stop)
        gateway = Gateway(
            sink.port, lambda yaml: yaml.limits(firstRetrySeconds=1, lastRetrySeconds=2, segmentMegabytes=4, connectionsPerPeer=200)
        )
        self.addCleanup(gateway.stop)
        load = Load(gateway, base.SEED)
        moments = []
        for number in range(rounds):
            if number % 5 == 4:
                # Once in a while killed while it is still finding out what the last kill left behind.
                gateway.process = base.spawn([executable(), "serve", "--config", gateway.configuration], gateway.log)
                time.sleep(dice.uniform(0, 0.3))
                gateway.kill()
            gateway.start()
            load.start(number)
            moment = dice.uniform(0.02, 1.5)
            moments.append(round(moment, 3))
            time.sleep(moment)  # not synchronisation: the random moment itself
            gateway.kill()
            load.join()
            if (number + 1) % 10 == 0 or number + 1 == rounds:
                note(
                    f"{number + 1} kills, {len(load.answered)} messages answered 250, {len(load.attempted)} begun, "
                    f"{len(sink.taken)} taken by the world"
                )
        note(f"seed {base.SEED}; killed after {moments[:20]}{' …' if len(moments) > 20 else ''} s")
        self.assertGreater(len(load.answered), rounds, f"hardly any load; refusals: {collections.Counter(load.refusals).most_common(5)}")
        gateway.start()
        self.settle(gateway, sink, load)
        self.judge(gateway, sink, load)

    def settle(self, gateway: Gateway, sink: Sink, load: Load) -> None:
        """The last gateway finishes what it found."""

        def queue() -> list:
            listed = run([executable(), "queue", "list", "--config", gateway.configuration, "--json"])
            assert listed.returncode == 0, listed.stderr.decode()
            return [json.loads(line) for line in listed.stdout.decode().splitlines()]

        poll(lambda: queue() == [], 120, lambda: f"an empty queue; there are {len(queue())} entries: {queue()[:2]}", every=0.3)

    def judge(self, gateway: Gateway, sink: Sink, load: Load) -> None:
        receipts, problems = collections.defaultdict(list), []
        message_ids, pec_ids = collections.Counter(), collections.Counter()
        mailbox, judge = gateway.mailbox(ANNA), gateway.judge
        delivered = collections.Counter()
        for stored in mailbox.all:
            message = PECMessage.read(stored.octets)
            if stored.kind == "avvenuta-consegna":
                # Aldo is of the same provider: pec-rules 13.1.
                delivered[stored.header.get("X-Riferimento-Message-ID")] += 1
                problems += [f"delivery receipt {stored.path}: {each}" for each in judge.fast(message)]
                continue
            self.assertEqual(stored.kind, "accettazione", f"a surprising {stored.kind} in {stored.path}")
            receipts[stored.header.get("X-Riferimento-Message-ID")].append(message.data.pec_id)
            message_ids[stored.header.get("Message-ID")] += 1
            pec_ids[message.data.pec_id] += 1
            problems += [f"receipt {stored.path}: {each}" for each in judge.fast(message)]
        problems += [f"receipt {name} stands {count} times" for name, count in message_ids.items() if count > 1]
        problems += [f"{count} receipts for PEC id {name}" for name, count in pec_ids.items() if count > 1]
        problems += [f"a receipt for a message that nobody sent: {name}" for name in receipts if name not in load.attempted]
        envelopes = self.arrived(gateway, sink)
        duplicates = 0
        for name, packed in load.attempted.items():
            got, carried = receipts.get(name, []), envelopes.get(name, [])
            if len(got) > 1 or not got and name in load.answered:
                problems.append(f"{name} {'was answered 250 and ' if name in load.answered else ''}has {len(got)} receipts")
            if not got:
                if carried:
                    problems.append(f"{name} has an envelope and no receipt")
                continue
            reached = {address for each in carried for address in each.reached}
            if reached != set(packed.recipients):
                problems.append(f"{name}: envelope reached {sorted(reached)} instead of {packed.recipients}")
            if {each.message_id for each in carried} != {f"<{got[0]}>"}:
                problems.append(f"{name}: envelopes with another Message-ID than <{got[0]}>")
            if len({each.digest for each in carried}) > 1:
                problems.append(f"{name}: envelopes of different octets")
            if carried:
                message = PECMessage.read(carried[0].again().octets)
                problems += [f"{name}: {each}" for each in judge.fast(message)]
                problems += [f"{name}: {each}" for each in expect.differences(message.original, packed.sent.with_identifiers(got[0]))]
            local = sum(1 for each in carried if each.is_local)
            if delivered[name] != (ALDO in packed.recipients):
                problems.append(f"{name} has {delivered[name]} delivery receipts about {packed.recipients}")
            if local > 1:
                problems.append(f"{name} lies {local} times in Aldo's mailbox")
            duplicates += len(carried) - local - len({each.reached for each in carried if not each.is_local})
        every = [each for found in envelopes.values() for each in found]
        note(f"{len(mailbox.all)} receipts, {len(every)} envelopes, of which {duplicates} came to the world a second time")
        self.fine(problems, f"{len(problems)} problems (seed {base.SEED})")
        self.sampled(gateway, mailbox.matching(lambda stored: stored.kind == "accettazione"), every)

    def arrived(self, gateway: Gateway, sink: Sink) -> dict[str, list[Arrived]]:
        """Every envelope, by the client's Message-ID."""
        found = collections.defaultdict(list)

        def note_down(stored: Stored, is_local: bool, again) -> None:
            found[stored.header.get("X-Riferimento-Message-ID")].append(
                Arrived(
                    stored.header.get("Message-ID"),
                    hashlib.sha256(stored.octets).digest(),
                    (ALDO,) if is_local else stored.envelope_to,
                    is_local,
                    again,
                )
            )

        for taken in sink.taken:
            note_down(taken.stored, False, lambda taken=taken: taken.stored)
        for path in (gateway.folder / "alfa" / "mail" / ALDO / "new").iterdir():

            def load(path=path) -> Stored:
                return Stored.load(path, path.read_bytes())

            note_down(load(), True, load)
        return found

    def sampled(self, gateway: Gateway, receipts, envelopes) -> None:
        """Some of them by openssl, and very many by `ceralacca verify`."""
        dice = random.Random(base.SEED)
        chosen = dice.sample(receipts, min(300, len(receipts))) + [
            each.again() for each in dice.sample(envelopes, min(300, len(envelopes)))
        ]
        for stored in dice.sample(chosen, min(40, len(chosen))):
            self.fine(gateway.judge.openssl(stored.octets) + gateway.judge.dtd(stored.message.xml))
        folder = base.new_folder("sample")
        names = []
        for number, stored in enumerate(chosen):
            names.append(folder / f"{number}.eml")
            names[-1].write_bytes(stored.octets)
        verified = run([executable(), "verify", "--ca", gateway.ca, *names], seconds=300)
        self.assertEqual(
            verified.returncode, 0, verified.stdout.decode(errors="replace")[-2000:] + verified.stderr.decode(errors="replace")[-2000:]
        )


class Ending(InteropTest):
    """The polite end, and a start on what is there."""

    def test_terminate_while_messages_wait(self):
        """SIGTERM with a world that does not answer: exit code 0, and after a new start everything is delivered."""
        sink = Sink()
        sink.stop()
        gateway = Gateway(sink.port, lambda yaml: yaml.limits(firstRetrySeconds=1, lastRetrySeconds=2)).start()
        self.addCleanup(gateway.stop)
        sents = [compose.simple(f"Aspetta {number}") for number in range(10)]
        with gateway.trusted() as session:
            for sent in sents:
                session.envelope(sent.sender, sent.recipients)
                self.assertEqual(session.data(sent.octets).code, 250)
        self.assertEqual(gateway.stop(), 0, base.tail(gateway.log))
        sink.start()
        self.addCleanup(sink.stop)
        gateway.start()
        poll(lambda: len(sink.taken) >= 10, 60, lambda: f"{len(sink.taken)} of 10 envelopes")
        for sent in sents:
            compose.receipt(gateway.mailbox(ANNA), sent)
        self.assertEqual(len(gateway.mailbox(ANNA).all), 10)
        self.assertEqual(len(sink.taken), 10)

    def test_client_gone_before_the_answer(self):
        """The connection closes after the last octet: accepted or not, but receipt and envelope go together."""
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = Gateway(sink.port).start()
        self.addCleanup(gateway.stop)
        sents = []
        for number in range(20):
            sents.append(compose.simple(f"Via subito {number}"))
            session = gateway.trusted()
            session.envelope(ANNA, sents[-1].recipients)
            session.expect("DATA", 354)
            session.send(sents[-1].octets + b".\r\n")
            session.close()
        last = compose.simple("Ultimo")
        with gateway.trusted() as session:
            session.envelope(ANNA, last.recipients)
            self.assertEqual(session.data(last.octets).code, 250)
        compose.receipt(gateway.mailbox(ANNA), last)
        poll(lambda: any(last.message_id.encode() in taken.octets for taken in sink.taken), 30, "the last envelope")
        poll(
            lambda: {stored.header.get("X-Riferimento-Message-ID") for stored in gateway.mailbox(ANNA).all}
            == {taken.stored.header.get("X-Riferimento-Message-ID") for taken in sink.taken},
            30,
            "receipts and envelopes in pairs",
        )
        with Wire(gateway.ports.trusted) as wire:
            self.assertEqual(wire.greeting.code, 220)
