"""A clock that cannot be believed certifies nothing (DM 2 November 2005 art. 9): mail waits outside, deliveries inside, and it is said."""

import ctypes
import json
import re
import time

from interop import compose
from interop.base import executable, poll, run
from interop.case import InteropTest
from interop.expect import Sent
from interop.forgers import MARIO, plain
from interop.lab import ANNA, Gateway
from interop.sink import Sink
from interop.timeouts import KIND, Elsewhen, stage_of

SILENT = "muto@pec.gamma.test"
EX_TEMPFAIL = 75


class Timex(ctypes.Structure):
    """`struct timex` as far as it is needed, and room for the rest."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    ]


def is_synchronized() -> bool:
    """Whether a time service keeps this machine's clock: below 16 s the kernel takes somebody's word for it."""
    found = Timex()
    return ctypes.CDLL(None).adjtimex(ctypes.byref(found)) >= 0 and found.maxerror < 16_000_000


class Clock(InteropTest):
    def gateway(self, world: int, kind=Gateway, **limits) -> Gateway:
        gateway = kind(world, lambda yaml: yaml.set("off", "scanner").limits(firstRetrySeconds=1, lastRetrySeconds=1, **limits))
        self.addCleanup(gateway.stop)
        return gateway

    def submit(self, gateway: Gateway, sent: Sent) -> str:
        """The PEC id."""
        with gateway.trusted() as session:
            session.envelope(sent.sender, sent.recipients)
            self.assertEqual(session.data(sent.octets).code, 250)
        return compose.receipt(gateway.mailbox(ANNA), sent).message.data.pec_id

    def refused(self, gateway: Gateway) -> None:
        """451 4.3.5 to MAIL, wherever it comes from, and the session goes on."""
        for session, sender in ((gateway.submission(), ANNA), (gateway.trusted(), ANNA), (gateway.incoming(), MARIO)):
            with session:
                reply = session.command(f"MAIL FROM:<{sender}>")
                self.assertEqual((reply.code, reply.enhanced), (451, "4.3.5"), reply)
                self.assertEqual(session.command(f"RCPT TO:<{ANNA}>").code, 503)
                self.assertEqual(session.command("NOOP").code, 250)


class Unsynchronized(Clock):
    """`synchronization: required` where no time service keeps the clock."""

    def setUp(self):
        if is_synchronized():
            self.skipTest("a time service keeps this machine's clock, and the kernel can be told otherwise by nobody")

    def demand(self, gateway: Gateway, word: str) -> None:
        text = gateway.configuration.read_text()
        fresh, count = re.subn(r"synchronization: \w+", f"synchronization: {word}", text)
        self.assertEqual(count, 1)
        gateway.configuration.write_text(fresh)

    def test_nothing_is_certified(self):
        sink = Sink()
        sink.stop()
        gateway = self.gateway(sink.port, deadlines="{ firstSeconds: 1, secondSeconds: 2 }").start()
        waiting = compose.simple("Aspetta", [SILENT])
        # Accepted and not yet delivered when the gateway is killed; its deadlines come while nothing may be certified.
        pec_id = self.submit(gateway, waiting)
        gateway.kill()
        silent = len(self.notices(gateway, pec_id))
        self.demand(gateway, "required")
        sink.start()
        self.addCleanup(sink.stop)
        gateway.start()
        self.refused(gateway)
        self.assertEqual(gateway.operator("log", "tail", "--lines", "2")[-1]["event"], "allarme-orologio")
        rows = gateway.events()
        alarm = rows[-1]
        self.assertIn("not synchronized", alarm["detail"])
        self.assertEqual((alarm["pecID"], alarm["sender"], alarm["recipients"], alarm["bytes"]), ("", "", [], 0))
        self.assertEqual(alarm["provider"], "Alfa PEC S.p.A.")
        self.assertEqual(rows[-2]["event"], "apertura-registro")
        self.assertIn("not synchronized", rows[-2]["detail"])
        # Even when an operator asks for it.
        run([executable(), "queue", "retry", "--all", "--config", gateway.configuration])
        sealed = run([executable(), "seal", "now", "--config", gateway.configuration])
        self.assertEqual(sealed.returncode, EX_TEMPFAIL, sealed.stderr.decode())
        self.assertIn("clock cannot be trusted", sealed.stderr.decode())
        checked = run([executable(), "check", "--config", gateway.configuration])
        said = checked.stdout.decode() + checked.stderr.decode()
        self.assertIn("NOTHING IS CERTIFIED", said)
        self.assertIn("run chronyd", said)
        time.sleep(2.5)  # not synchronisation: retries and deadlines, a second apart each, have the time to be wrong
        self.refused(gateway)
        self.assertEqual(sink.sessions, 0, "an envelope left although nothing may be certified")
        self.assertEqual(len(self.notices(gateway, pec_id)), silent)
        self.assertEqual({row["pecID"] for row in gateway.queue()}, {pec_id})
        self.assertEqual(len(gateway.events()), len(rows))
        self.assertEqual(gateway.stop(), 0)

        self.demand(gateway, "warn")
        gateway.start()
        poll(lambda: sink.taken, 30, "the envelope that waited")
        self.assertEqual(sink.taken[0].stored.message.data.pec_id, pec_id)
        poll(lambda: len(self.notices(gateway, pec_id)) >= 2, 20, "both notices")
        self.assertEqual(sorted(map(stage_of, self.notices(gateway, pec_id))), [1, 2])
        self.submit(gateway, compose.simple("Di nuovo"))
        checked = run([executable(), "check", "--config", gateway.configuration])
        said = checked.stdout.decode() + checked.stderr.decode()
        self.assertEqual(checked.returncode, 0, said)
        self.assertIn("may bear a wrong time", said)
        self.assertNotIn("NOTHING IS CERTIFIED", said)

    def notices(self, gateway: Gateway, pec_id: str):
        return gateway.mailbox(ANNA).matching(lambda each: each.kind == KIND and each.message.data.pec_id == pec_id)


class Stepped(Clock):
    """A clock that jumps while the gateway runs."""

    def test_a_step(self):
        """Two hours forward: an alarm with a row, 451 even to a message on its way, and a deadline that the step overtook stays silent."""
        if not Elsewhen.library():
            self.fail("libfaketime is missing (Debian: faketime)")
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway: Elsewhen = self.gateway(sink.port, Elsewhen, deadlines="{ firstSeconds: 3600, secondSeconds: 5400 }").by_file()
        gateway.start()
        pec_id = self.submit(gateway, compose.simple("Prima del salto", [SILENT]))
        poll(lambda: sink.taken, 30, "the envelope")
        sent, letter = compose.simple("In viaggio"), plain("mallory@evil.example.test")
        with gateway.trusted() as session, gateway.incoming() as foreign:
            session.envelope(ANNA, sent.recipients)
            foreign.envelope("mallory@evil.example.test", [ANNA])
            gateway.step(7200)
            poll(lambda: "nothing is certified" in gateway.log.read_text(), 10, "the alarm")
            for reply in (session.data(sent.octets), foreign.data(letter)):
                self.assertEqual((reply.code, reply.enhanced), (451, "4.3.5"), reply)
        self.refused(gateway)
        alarms = poll(lambda: [each for each in self.rows(gateway) if each["event"] == "allarme-orologio"], 10, "its row")
        self.assertEqual(len(alarms), 1)
        self.assertRegex(alarms[0]["detail"], r"stepped by 7[12]\d\d\d\d\d\.\d+ ms")
        self.assertEqual(gateway.mailbox(ANNA).matching(lambda each: each.kind == KIND), [])
        # It starts with a clock that has not stepped under its eyes, and the deadlines are past.
        gateway.kill()
        gateway.start()
        found = poll(
            lambda: len(found := gateway.mailbox(ANNA).matching(lambda each: each.kind == KIND)) >= 2 and found, 30, "both notices"
        )
        self.assertEqual([each.message.data.pec_id for each in found], [pec_id] * 2)
        self.assertEqual(sorted(map(stage_of, found)), [1, 2])
        after = compose.simple("Dopo il salto")
        self.submit(gateway, after)
        self.assertEqual(len([each for each in self.rows(gateway) if each["event"] == "allarme-orologio"]), 1)

    def rows(self, gateway: Elsewhen) -> list[dict]:
        return [json.loads(line) for line in gateway.command("log", "tail", "--lines", "1000000", "--json").splitlines()]
