"""Next hops that break off, babble, or answer by halves; a disk that takes no log: what was said holds, and the gateway lives on."""

import os
import shutil
import subprocess

from interop import compose, expect
from interop.base import end, executable, poll
from interop.lab import ANNA, Gateway
from interop.sink import Sink
from test_postfix import NextHop

GOOD, BAD = "due@pec.gamma.test", "nessuno@pec.gamma.test"


class Breaks(NextHop):
    """The tests of the parent run in test_postfix; here are those of broken peers."""

    def test_a_refusal_heard_before_the_connection_broke_holds(self):
        """5xx for one recipient, then a cut before the reply to the message: one notice, and the other recipient alone is tried again."""
        cuts, asked = [2], []

        def policy(stage: str, argument: str) -> str | None:
            if stage == "RCPT":
                asked.append(argument)
                return "550 5.1.1 No such user" if argument == BAD else None
            if stage == "message" and cuts[0]:
                cuts[0] -= 1
                raise ConnectionError
            return None

        sink = Sink(policy)
        self.addCleanup(sink.stop)
        gateway = self.gateway(sink.port)
        sent = compose.simple("A mezza strada", [GOOD, BAD])
        self.submit(gateway, [sent])
        poll(lambda: sink.taken, 60, "the envelope in the sink")
        self.assertEqual(sink.taken[0].recipients, (GOOD,))
        notice = compose.receipt(gateway.mailbox(ANNA), sent, "errore-consegna")
        self.fine(expect.check_non_delivery(notice, sent, BAD, ("no-dest",)))
        self.assertEqual(asked.count(BAD), 1)
        self.assertEqual(len(gateway.mailbox(ANNA).matching(lambda stored: stored.kind == "errore-consegna")), 1)

    def test_half_a_reply_out_of_turn(self):
        """Octets that are no whole reply on a connection that waits for work, then many messages: all arrive, nothing is forgotten."""
        babble = [3]

        def policy(stage: str, _: str) -> str | None:
            if stage == "reply" and babble[0]:
                babble[0] -= 1
                return "250 2.0.0 Taken\r\n421-not a whole reply"
            return None

        sink = Sink(policy)
        self.addCleanup(sink.stop)
        gateway = self.gateway(sink.port, connectionsPerDestination=1)
        for number in range(4):
            self.submit(gateway, [compose.simple(f"Ciarla {number}")])
            poll(lambda: len({taken.stored.message.data.pec_id for taken in sink.taken}) == number + 1, 60, f"message {number}")
        sents = [compose.simple(f"Dopo {number}") for number in range(20)]
        self.submit(gateway, sents)
        poll(lambda: len({taken.stored.message.data.pec_id for taken in sink.taken}) == 24, 60, "all messages")
        self.assertIsNone(gateway.process.poll())

    def test_a_full_disk_under_the_log(self):
        """Log lines that cannot be written are lost, and nothing else is."""
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = Gateway(sink.port)
        with open("/dev/full", "w") as full:
            process = subprocess.Popen(
                [executable(), "serve", "--config", gateway.configuration], stdout=full, stderr=full, env=dict(os.environ)
            )
        self.addCleanup(end, process)
        gateway.process = process

        def answers() -> bool:
            self.assertIsNone(process.poll())
            try:
                gateway.trusted().close()
                return True
            except OSError:
                return False

        poll(answers, 60, "a greeting")
        sent = compose.simple("Senza diario")
        self.submit(gateway, [sent])
        compose.receipt(gateway.mailbox(ANNA), sent)
        poll(lambda: sink.taken, 30, "the envelope in the sink")
        self.assertIsNone(process.poll())


    def test_too_little_free_space(self):
        """Below minimumFreeMegabytes MAIL is answered 452, before a body is sent for nothing."""
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = self.gateway(sink.port, minimumFreeMegabytes=1048576)
        with gateway.trusted() as session:
            reply = session.command(f"MAIL FROM:<{ANNA}>")
            self.assertEqual((reply.code, reply.enhanced), (452, "4.3.1"))
            self.assertEqual(session.command("NOOP").code, 250)

    def test_a_full_disk_under_spool_and_ledger(self):
        """A disk that fills up: 4xx and nothing lost; room again: everything goes on. The disk is real, a small tmpfs."""
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = Gateway(sink.port, lambda yaml: yaml.limits(minimumFreeMegabytes=0, segmentMegabytes=1, firstRetrySeconds=1, lastRetrySeconds=2))
        data = gateway.folder / "alfa" / "data"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=700", "tmpfs", data], capture_output=True).returncode:
            self.skipTest("needs the right to mount a tmpfs")
        self.addCleanup(subprocess.run, ["umount", "-l", data])
        gateway.start()
        self.addCleanup(gateway.stop)
        filler = data / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        taken, refused = [], None
        for number in range(600):
            sent = compose.simple(f"Disco pieno {number}", body=b"riga di testo\r\n" * 3000)
            with gateway.trusted() as session:
                session.command(f"MAIL FROM:<{ANNA}>")
                session.command(f"RCPT TO:<{sent.recipients[0]}>")
                reply = session.data(sent.octets)
            if reply.code != 250:
                refused = reply
                break
            taken.append(sent)
        self.assertIsNotNone(refused, "the disk never filled up")
        self.assertIn(refused.code, (451, 452), refused)
        self.assertIsNone(gateway.process.poll())
        filler.unlink()
        after = compose.simple("Di nuovo spazio")

        def accepted() -> bool:
            with gateway.trusted() as session:
                session.envelope(ANNA, after.recipients)
                return session.data(after.octets).code == 250

        poll(accepted, 60, "250 after the disk has room again")
        for sent in taken + [after]:
            self.assertEqual(len(gateway.mailbox(ANNA).wait(compose.belongs(sent, "accettazione"), 60)), 1)
        poll(lambda: len({each.stored.message.data.pec_id for each in sink.taken}) == len(taken) + 1, 60, "all envelopes")


# The parent's own tests are not run a second time.
for name in [name for name in dir(NextHop) if name.startswith("test_")]:
    setattr(Breaks, name, None)
