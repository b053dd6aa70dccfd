"""A corpus of our own: every message goes in by another way, and comes out inside its envelope byte for byte (pec-rules 3.5, 3.6)."""

import queue
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from interop import base, expect, wire
from interop.base import note
from interop.case import InteropTest
from interop.corpus import Case, corpus
from interop.expect import Sent
from interop.lab import ANNA


class Corpus(InteropTest):
    def send(self, case: Case, session: wire.Wire, dice: random.Random) -> str | None:
        """Sends one case in some way; what is wrong with the answer, if anything."""
        writes = wire.whole
        if case.size < 1500 and dice.randrange(3) == 0:
            writes = wire.one_by_one
        elif dice.randrange(2):
            writes = wire.cut_randomly(dice, min(max(case.size // 8, 2), 70_000))
        session.envelope(ANNA, case.recipients, pipelined=bool(dice.randrange(2)))
        if case.only_bdat or dice.randrange(2):
            count = dice.choice([1, 1, 2, 3, 10]) if case.size > 100 else dice.choice([1, case.size])
            chunks = [dice.randrange(1, max(2, 2 * case.size // max(1, count))) for _ in range(count)]
            reply = session.bdat(case.octets, chunks, writes, pipelined=bool(dice.randrange(2)))
        else:
            reply = session.data(case.octets, writes)
        return None if reply.code == 250 else f"{case.name}: {reply}"

    def send_all(self, cases: list[Case]) -> list[str]:
        """Four connections at once: plain from a trusted peer, and both kinds of TLS."""
        waiting: queue.Queue[Case] = queue.Queue()
        for case in cases:
            waiting.put(case)
        problems: list[str] = []

        def work(number: int) -> None:
            dice = random.Random(base.SEED + number)
            open_session = [
                lambda: self.lab.trusted(seconds=60),
                lambda: self.lab.submission(seconds=60),
                lambda: self.lab.submission(implicit=True, seconds=60),
                lambda: self.lab.trusted(seconds=60),
            ][number]
            session = None
            while True:
                try:
                    case = waiting.get_nowait()
                except queue.Empty:
                    break
                try:
                    session = session or open_session()
                    problem = self.send(case, session, dice)
                    if problem:
                        problems.append(problem)
                        session.command("RSET")
                    elif dice.randrange(5) == 0:
                        session.quit()
                        session = None
                except (OSError, AssertionError) as error:
                    problems.append(f"{case.name}: {type(error).__name__}: {error}")
                    session = None
            if session:
                session.close()

        workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return problems

    def test_every_message(self):
        cases = corpus(base.SEED)
        self.assertGreaterEqual(len(cases), 220)
        note(f"{len(cases)} messages, {sum(case.size for case in cases) / 1e6:.1f} MB")
        began = time.monotonic()
        problems = self.send_all(cases)
        self.fine(problems, "sending")
        note(f"all sent and answered 250 in {time.monotonic() - began:.1f} s")
        keys = {case.key for case in cases}
        carried, receipts = {}, {}

        def collect() -> bool:
            for stored in self.lab.world.all:
                for address in stored.envelope_to:
                    if address in keys and stored.kind == "posta-certificata":
                        carried.setdefault(address, []).append(stored) if stored not in carried.get(address, []) else None
            for stored in self.lab.mailbox(ANNA).all:
                if stored.kind in ("accettazione", "non-accettazione") and stored.path not in seen:
                    seen.add(stored.path)
                    for address, _ in stored.message.data.recipients:
                        if address in keys:
                            receipts.setdefault(address, []).append(stored)
            refused = {key for key, found in receipts.items() if found[0].kind != "accettazione"}
            return keys <= set(receipts) and keys <= set(carried) | refused

        seen: set = set()
        try:
            base.poll(collect, 90, "all envelopes and receipts", every=0.2)
        except base.TimedOut:
            self.fine(
                [f"no envelope: {case.name}" for case in cases if case.key not in carried]
                + [f"no receipt: {case.name}" for case in cases if case.key not in receipts]
            )
        note(f"all there after {time.monotonic() - began:.1f} s")
        problems, documents = [], []
        with ThreadPoolExecutor(4) as pool:  # most of it is openssl's time
            judged = pool.map(lambda case: self.judge_case(case, receipts[case.key], carried.get(case.key, []), documents), cases)
            problems += [f"{case.name}: {each}" for case, found in zip(cases, judged) for each in found]
        problems += self.lab.judge.dtd(*documents)
        note(f"judged after {time.monotonic() - began:.1f} s")
        self.fine(problems, f"{len(problems)} problems (seed {base.SEED})")

    def judge_case(self, case: Case, receipts, envelopes, documents: list[bytes]) -> list[str]:
        if len(receipts) != 1:
            return [f"{len(receipts)} receipts or notices"]
        if receipts[0].kind != "accettazione":
            return [f"refused: {receipts[0].message.data.extended_error}"]
        if len(envelopes) != 1:
            return [f"{len(envelopes)} envelopes for {case.key}"]
        receipt, carried = receipts[0], envelopes[0]
        sent = Sent(case.octets, ANNA, case.recipients, case.subject)
        try:
            problems = expect.check_acceptance(receipt, sent) + expect.check_envelope(carried, sent)
            judge = self.lab.judge
            problems += judge.fast(receipt.message) + judge.fast(carried.message)
            problems += judge.openssl(receipt.octets) + judge.openssl(carried.octets)
            if receipt.message.data.pec_id != carried.message.data.pec_id:
                problems.append("receipt and envelope with different PEC ids")
        except (AssertionError, ValueError, KeyError, IndexError) as error:
            return [f"{type(error).__name__}: {error}"]
        documents += [receipt.message.xml, carried.message.xml]
        return problems
