"""`kill -9` of either of two providers at random moments, while their users write to each other: after it, every message that was
answered 250 has exactly one of each receipt that is due, and lies exactly once in each mailbox."""

import collections
import os
import random
import threading
import time

from interop import base, compose
from interop.base import executable, note, poll, run
from interop.case import InteropTest
from interop.expect import Sent
from interop.lab import ALDO, ANNA, BIANCA, BRUNO, Gateway, service_mailbox
from interop.sink import Sink

CLIENTS = 3
PEOPLE = {"alfa": [ANNA, ALDO], "beta": [BRUNO, BIANCA]}
NOBODY = "nessuno@pec.beta.test"


class Load:
    """Clients of one provider, who submit one message after another until their gateway is gone."""

    def __init__(self, gateway: Gateway, seed: str):
        self.gateway, self.seed = gateway, seed
        self.attempted: dict[str, tuple[str, list[str]]] = {}
        self.answered: set[str] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, number: int) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(number, each), daemon=True) for each in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"

    def message(self, dice: random.Random) -> Sent:
        sender = PEOPLE[self.gateway.provider][0]
        others = [each for people in PEOPLE.values() for each in people if each != sender]
        recipients = dice.sample(others, dice.randrange(1, 3))
        if sender == ANNA and dice.randrange(6) == 0:
            recipients.append(NOBODY)
        return compose.simple("Tra gestori", recipients, sender, body=b"riga di testo\r\n" * dice.choice([2, 200, 8000]))

    def _client(self, number: int, client: int) -> None:
        dice = random.Random(f"{self.seed}-{number}-{client}")
        while not self._over.is_set():
            try:
                with self.gateway.trusted(seconds=30) as session:
                    for _ in range(dice.randrange(1, 10)):
                        if self._over.is_set():
                            return
                        sent = self.message(dice)
                        with self._lock:
                            self.attempted[sent.message_id] = (sent.sender, sent.recipients)
                        session.envelope(sent.sender, sent.recipients)
                        if session.data(sent.octets).code == 250:
                            with self._lock:
                                self.answered.add(sent.message_id)
            except (OSError, AssertionError):
                if self._over.wait(0.02):
                    return


class BothProviders(InteropTest):
    def test_loop(self):
        rounds = int(os.environ.get("INTEROP_ROUNDS") or (200 if base.LONG else 12))
        dice = random.Random(base.SEED)
        sink = Sink()
        self.addCleanup(sink.stop)
        edit = lambda yaml: yaml.limits(firstRetrySeconds=1, lastRetrySeconds=2, segmentMegabytes=4)  # noqa: E731
        alfa = Gateway(sink.port, edit)
        beta = Gateway(sink.port, edit, provider="beta", beside=alfa)
        gateways = [alfa, beta]
        for gateway in gateways:
            self.addCleanup(gateway.stop)
            gateway.start()
        loads = [Load(gateway, f"{base.SEED}-{gateway.provider}") for gateway in gateways]
        for number in range(rounds):
            for load in loads:
                load.start(number)
            time.sleep(dice.uniform(0.05, 0.6))  # not synchronisation: the random moment itself
            victims = dice.choice([[alfa], [beta], [alfa, beta]])
            for victim in victims:
                victim.kill()
            for load in loads:
                load.stop()
            # Once in a while it is killed again before it has found out what the last kill left behind.
            if number % 4 == 3:
                victims[0].process = base.spawn([executable(), "serve", "--config", victims[0].configuration], victims[0].log)
                time.sleep(dice.uniform(0, 0.3))
                victims[0].kill()
            for victim in victims:
                victim.start()
        answered = sum(len(load.answered) for load in loads)
        note(f"{rounds} rounds of kills, {answered} messages answered 250, {sum(len(load.attempted) for load in loads)} begun")
        self.assertGreater(answered, rounds)
        self.settle(gateways)
        problems = [each for load in loads for each in self.judge(load, alfa)]
        self.fine(problems, f"{len(problems)} problems (seed {base.SEED})")
        self.sample(alfa, dice)

    def settle(self, gateways: list[Gateway]) -> None:
        """Both queues are empty, and still are when the other's was seen empty: what one sends appears in the other's before it leaves."""
        poll(
            lambda: all(gateway.queue() == [] for gateway in gateways * 2),
            240,
            lambda: f"empty queues: {[(gateway.provider, len(gateway.queue()), gateway.queue()[:1]) for gateway in gateways]}",
            every=0.5,
        )

    def judge(self, load: Load, world: Gateway) -> list[str]:
        """Exactly one of everything, for all messages of one provider's users."""
        provider = load.gateway.provider
        sender = PEOPLE[provider][0]
        receipts: dict[str, list] = collections.defaultdict(list)
        for stored in world.mailbox(sender).matching(lambda stored: bool(stored.header.get("X-Ricevuta"))):
            receipts[stored.header.get("X-Riferimento-Message-ID")].append(stored)
        charges: dict[str, list[str]] = collections.defaultdict(list)
        for stored in world.mailbox(service_mailbox(provider)).all:
            charges[stored.header.get("X-Riferimento-Message-ID")] += stored.message.data.received
        copies: dict[str, collections.Counter] = {}
        for people in PEOPLE.values():
            for person in people:
                lying = world.mailbox(person).matching(lambda stored: stored.kind == "posta-certificata")
                copies[person] = collections.Counter(stored.header.get("X-Riferimento-Message-ID") for stored in lying)
        problems, judges = [], {each: world.judge_of(each) for each in PEOPLE}
        for name, (_, recipients) in load.attempted.items():
            mine = receipts[name]
            accepted = [stored for stored in mine if stored.kind == "accettazione"]
            if len(accepted) > 1 or (not accepted and name in load.answered):
                problems.append(f"{name}: {len(accepted)} acceptance receipts, answered 250: {name in load.answered}")
            due = set(recipients) if accepted else set()
            words = collections.Counter(stored.message.data.delivered_to for stored in mine if stored.kind != "accettazione")
            if words != collections.Counter(due):
                problems.append(f"{name}: last words about {dict(words)}, due for {sorted(due)}")
            if sorted(charges[name]) != sorted(due):
                problems.append(f"{name}: taken in charge {sorted(charges[name])}, due for {sorted(due)}")
            for stored in mine:
                kind, about = stored.kind, stored.message.data.delivered_to
                if kind != "accettazione" and kind != ("errore-consegna" if about == NOBODY else "avvenuta-consegna"):
                    problems.append(f"{name}: {kind} about {about}")
                signer = (stored.header.get("From") or "").partition("@pec.")[2].partition(".")[0]
                problems += [f"{name}, {kind}: {each}" for each in judges[signer].fast(stored.message)]
            for person, counted in copies.items():
                if counted[name] != (person in due):
                    problems.append(f"{name}: {counted[name]} copies in the mailbox of {person}")
        identifiers = collections.Counter(stored.header.get("Message-ID") for found in receipts.values() for stored in found)
        problems += [f"Message-ID {name} stands {count} times" for name, count in identifiers.items() if count > 1]
        problems += [f"receipts about a message that nobody sent: {name}" for name in receipts if name not in load.attempted]
        return problems

    def sample(self, world: Gateway, dice: random.Random) -> None:
        """Some of all kinds, by openssl and by `ceralacca verify`."""
        every = [stored for people in PEOPLE.values() for person in people for stored in world.mailbox(person).all]
        chosen = dice.sample(every, min(40, len(every)))
        for stored in chosen[:15]:
            self.fine(world.judge.openssl(stored.octets), stored.kind)
        verified = run([executable(), "verify", "--ca", world.ca, *(stored.path for stored in chosen)], seconds=120)
        self.assertEqual(verified.returncode, 0, verified.stdout.decode(errors="replace")[-2000:])
