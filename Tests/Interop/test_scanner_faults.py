"""Workers that are killed or stopped, and a scanner that is lost, under load: no message lost, none unscanned, none receipted twice."""

import collections
import random
import signal
import threading
import time
import zlib

from interop import base, processes
from interop.base import note, poll
from interop.expect import differences
from interop.forgers import MARIO
from interop.guarded import EICAR, kept_content, quarantine
from interop.lab import ALDO, ANNA
from interop.notices import found
from interop.pec import PECMessage
from interop.scanload import FAULT, Item, Load, submission
from interop.virus_case import VirusTest
from interop.virusmail import PLAIN, attachment, mixed

MESSAGES = 10_000 if base.LONG else 400
ENVELOPES = 200 if base.LONG else 30


class Chaos(threading.Thread):
    """Kills workers all the time, stops some and once in a while kills the process that they were forked from.

    `plan`: seconds after the start, and what is done then. Else workers are killed as long as there are messages to come: a scanner whose
    workers die one after the other without a message is given up as a whole.
    """

    def __init__(self, load: Load, seed: int, plan: list[tuple[float, str]]):
        super().__init__(daemon=True)
        self.load, self.gateway_id, self.dice, self.plan = load, load.gateway.process.pid, random.Random(seed), sorted(plan)
        self.counts: collections.Counter[str] = collections.Counter()
        self.stopped: set[int] = set()
        self.over = threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        while not self.over.wait(self.dice.uniform(0.02, 0.2)):
            what = self.plan[0][1] if self.plan and time.monotonic() - began >= self.plan[0][0] else "kill"
            # The stopped ones are the gateway's to find.
            workers = [each for each in processes.workers(self.gateway_id) if each.id not in self.stopped]
            if what == "parent":
                done = any(parent.signal(signal.SIGKILL) for parent in processes.scanners(self.gateway_id)[:1])
            elif not workers or what == "kill" and self.load.is_drained:
                continue
            else:
                worker = self.dice.choice(workers)
                done = worker.signal(signal.SIGSTOP if what == "stop" else signal.SIGKILL)
                if done and what == "stop":
                    self.stopped.add(worker.id)
            if done:
                self.counts[what] += 1
                if what != "kill":
                    self.plan.pop(0)


def plan() -> list[tuple[float, str]]:
    """The short one loses its process first, so that the worker that is stopped stays so until the gateway has had enough of it."""
    if not base.LONG:
        return [(0.5, "parent"), (2.0, "parent"), (3.5, "stop"), (3.6, "stop")]
    # A process that is lost within a minute of the one before it costs pauses that grow up to a minute.
    return [(8.0 + 62 * number, "parent") for number in range(20)] + [(3.0 + 15 * number, "stop") for number in range(80)]


class Faults(VirusTest):
    # A worker that is stopped holds its place until the gateway loses patience with it: a quarter after the limit of one scan, or five seconds.
    keys = {"workers": 4, "seconds": 1}

    @staticmethod
    def edit(yaml):
        yaml.limits(connectionsPerPeer=200)

    def letters(self) -> list[Item]:
        """Envelopes of Gamma's; every third one infected."""
        items = []
        for number in range(ENVELOPES):
            ill = number % 3 == 0
            rest = mixed(PLAIN, attachment(EICAR if ill else b"nota %d" % number, "conto.com"))
            head = f"From: {MARIO}\r\nTo: {ALDO}\r\nSubject: Busta {number}\r\nDate: Tue, 10 Mar 2026 09:14:58 +0100\r\n".encode()
            letter = self.gamma.envelope(MARIO, [ALDO], f"Busta {number}", original=head + rest)
            items.append(Item(letter.certified.pec_id, zlib.compress(letter.octets, 1), [ALDO], ill, letter))
        return items

    def test_under_load(self):
        dice = random.Random(base.SEED)
        letters = self.letters()
        spacing = max(1, MESSAGES // (len(letters) + 1))

        def stream():
            waiting = list(letters)
            for number in range(MESSAGES):
                yield submission(dice, number, number % 10 == 9)
                if number % spacing == spacing - 1 and waiting:
                    yield waiting.pop()
            yield from waiting

        gateway_id, began = self.gateway.process.pid, time.monotonic()
        load = Load(self.gateway, patience=150).start(stream())
        chaos = Chaos(load, base.SEED, plan())
        chaos.start()
        try:
            load.join(7200 if base.LONG else 240)
        finally:
            chaos.over.set()
            chaos.join(20)
        note(f"{len(load.done)} messages in {time.monotonic() - began:.0f} s; what was done to the scanner: {dict(chaos.counts)}")
        note(f"replies: {dict(load.replies.most_common(8))}")
        self.assertIsNone(self.gateway.process.poll(), f"the gateway died: {base.tail(self.gateway.log)}")
        self.assertEqual(self.gateway.process.pid, gateway_id)
        self.assertGreater(chaos.counts["kill"], 5, "hardly anything was killed")
        self.assertGreaterEqual(min(chaos.counts["stop"], chaos.counts["parent"]), 2, chaos.counts)
        self.assertEqual(len(load.done), MESSAGES + len(letters))
        self.gateway.settled(300)
        numbers = self.gateway.status()
        note(f"scanner: {({name: value for name, value in numbers.items() if 'can' in name or name == 'infected'})}")
        self.assertGreater(numbers["scansRetried"], 0, "no message met a dying worker")
        self.assertIn("no answer in 6 seconds", self.gateway.said, "no worker that was stopped met a message")
        self.judge(load)
        # And it goes on as if nothing had been.
        last = [submission(dice, MESSAGES + number, number == 0) for number in range(5)]
        Load(self.gateway, patience=60).start(last).join(120)
        self.assertTrue(all(item.is_answered for item in last), [item.codes for item in last])
        self.gateway.settled()

    def judge(self, load: Load) -> None:
        problems = [f"{item.key}: never taken, {item.codes[-5:]}" for item in load.done if not item.is_answered and not item.is_held]
        held = [item for item in load.done if item.is_held]
        if len(held) > max(4, len(load.done) // 50):
            problems.append(f"{len(held)} messages could not be scanned by two workers")
        events, kept = self.gateway.events(), quarantine(self.gateway)
        problems += self.judge_submissions([item for item in load.done if not item.letter], events, kept)
        problems += self.judge_letters([item for item in load.done if item.letter], events)
        infected = {item.key for item in load.done if item.is_infected}
        for event in found(events, "accettazione") + found(events, "ricezione-busta"):
            if event["pecID"] not in infected and "scanned clean by ClamAV" not in (event.get("detail") or ""):
                problems.append(f"{event['event']} of {event['pecID']} without the scanner's word: {event.get('detail')!r}")
        faults = len(found(events, "verifica-sicurezza-fallita"))
        note(f"{len(held)} messages held, {faults} rows of scans that failed, {len(kept)} in quarantine")
        self.fine(problems, f"{len(problems)} problems (seed {base.SEED})")

    def judge_submissions(self, items: list[Item], events: list[dict], kept: list[dict]) -> list[str]:
        problems = []
        answers = collections.defaultdict(list)
        for stored in self.gateway.mailbox(ANNA).all:
            answers[stored.header.get("X-Riferimento-Message-ID")].append(stored)
        carried = collections.defaultdict(list)
        for taken in self.sink.taken:
            if (stored := taken.stored).kind == "posta-certificata":
                carried[stored.header.get("X-Riferimento-Message-ID")].append(stored)
        by_id = collections.defaultdict(list)
        for row in kept:
            by_id[row["pecID"]].append(row)
        known, judge = set(), self.gateway.judge
        for item in items:
            kinds = [stored.kind for stored in answers[item.key]]
            wanted = [] if item.is_held else ["non-accettazione"] if item.is_infected else ["accettazione"]
            if kinds != wanted:
                problems.append(f"{item.key} (infected: {item.is_infected}, replies {item.codes[-4:]}): {kinds} instead of {wanted}")
                continue
            if len(carried[item.key]) != (wanted == ["accettazione"]):
                problems.append(f"{item.key} (infected: {item.is_infected}): {len(carried[item.key])} envelopes in the world")
                continue
            for stored in answers[item.key]:
                message = PECMessage.read(stored.octets)
                known.add(message.data.pec_id)
                problems += [f"{item.key}: {each}" for each in judge.fast(message)]
                if item.is_infected:
                    rows = by_id[message.data.pec_id]
                    if [row["kind"] for row in rows] != ["submission"] or kept_content(rows[0]) != item.octets:
                        problems.append(f"{item.key}: in quarantine {[row['kind'] for row in rows]}")
                else:
                    inner = carried[item.key][0].message.original
                    problems += [f"{item.key}: {each}" for each in differences(inner, item.sent.with_identifiers(message.data.pec_id))]
        rest = [row for row in kept if row["pecID"] not in known and row["kind"] not in ("envelope", "unscanned")]
        if rest:
            problems.append(f"{len(rest)} entries in quarantine that belong to nobody: {rest[:2]}")
        lost = [key for key in set(answers) | set(carried) if key not in {item.key for item in items} and key in answers]
        if lost:
            problems.append(f"answers to messages that nobody sent: {lost[:5]}")
        return problems

    def judge_letters(self, items: list[Item], events: list[dict]) -> list[str]:
        problems = []
        back = collections.defaultdict(list)
        for taken in self.sink.taken:
            if (stored := taken.stored).header.get("X-Ricevuta"):
                back[stored.message.data.pec_id].append(stored.kind)
        boxes = collections.Counter(
            (stored.header.get("Message-ID") or "").strip("<>")
            for stored in self.gateway.mailbox(ALDO).matching(lambda stored: stored.kind == "posta-certificata")
        )
        for item in items:
            wanted = [] if item.is_held else sorted(["presa-in-carico", "rilevazione-virus" if item.is_infected else "avvenuta-consegna"])
            if sorted(back[item.key]) != wanted or boxes[item.key] != (0 if item.is_infected or item.is_held else 1):
                problems.append(
                    f"envelope {item.key} (infected: {item.is_infected}): {back[item.key]}, {boxes[item.key]} times in the mailbox"
                )
        return problems

    def test_both_workers_of_a_message_die(self):
        """Tried once more in a fresh worker, then 451: kept for the analyst, told to the log, receipted to nobody."""
        # Large, so that its scan takes long enough to be met.
        dice = random.Random(base.SEED + 1)
        heavy = submission(dice, 77, False)
        heavy.packed = zlib.compress(heavy.octets + b"".join(b"%064x\r\n" % dice.getrandbits(256) for _ in range(240_000)), 1)
        over = threading.Event()

        def kill_busy() -> None:
            while not over.wait(0.002):
                for worker in processes.workers(self.gateway.process.pid):
                    # A fresh one has done nothing yet; who has used this much has the message.
                    if worker.state == "R" and worker.ticks >= 4:
                        worker.signal(signal.SIGKILL)

        killer = threading.Thread(target=kill_busy, daemon=True)
        killer.start()
        try:
            with self.gateway.trusted(seconds=120) as wire:
                wire.envelope(ANNA, heavy.recipients)
                reply = wire.data(heavy.octets)
        finally:
            over.set()
            killer.join(20)
        self.assertEqual((reply.code, reply.enhanced), (451, "4.7.1"), reply)
        poll(lambda: self.gateway.status()["scannerUp"], 90, "the scanner again", every=0.1)
        self.gateway.settled()
        self.assertEqual(self.gateway.mailbox(ANNA).matching(lambda stored: stored.header.get("X-Riferimento-Message-ID") == heavy.key), [])
        self.assertIn(FAULT, reply.text)
        rows = [row for row in quarantine(self.gateway) if row["kind"] == "unscanned"]
        self.assertEqual(len(rows), 1)
        self.assertEqual(kept_content(rows[0]), heavy.octets)
        told = [event for event in found(self.gateway.events(), "verifica-sicurezza-fallita") if event["pecID"] == rows[0]["pecID"]]
        self.assertEqual(len(told), 1)
        self.assertEqual(told[0]["detail"].count("killed by signal 9"), 2, told)
        self.assertIn("2 workers failed over one message", self.gateway.said)
        # It comes again at once: nobody wants to see it until a quarter of an hour is over, and no worker dies of it.
        with self.gateway.trusted(seconds=120) as wire:
            wire.envelope(ANNA, heavy.recipients)
            again = wire.data(heavy.octets)
        self.assertEqual((again.code, again.enhanced), (451, "4.7.1"), again)
        self.gateway.settled()
        self.assertEqual(len([row for row in quarantine(self.gateway) if row["kind"] == "unscanned"]), 1, "a second copy")
        self.assertEqual(len(found(self.gateway.events(), "verifica-sicurezza-fallita")), 1, "a second row")
        self.assertIn("given up a short while ago", self.gateway.said)
