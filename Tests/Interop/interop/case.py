"""The class that all tests here derive from."""

import unittest

from . import base, expect
from .compose import envelope, receipt
from .lab import Lab, World, shared
from .mailboxes import Stored


class InteropTest(unittest.TestCase):
    """Gives tests the shared laboratory and the judgements that need more than an equality."""

    longMessage = True
    maxDiff = None

    @property
    def lab(self) -> Lab:
        return shared()

    def fine(self, problems: list[str], about: str = "") -> None:
        """Fails with everything that is wrong."""
        if problems:
            self.fail(
                f"{about}\n    - "
                + "\n    - ".join(problems[:20])
                + (f"\n    … and {len(problems) - 20} more" if len(problems) > 20 else "")
            )

    def signed(self, stored: Stored, world: World, openssl: bool = True) -> list[str]:
        """The signature by our own reading and, unless told otherwise, by openssl in three ways."""
        judge = world.judge
        problems = judge.fast(stored.message)
        if openssl:
            problems += judge.openssl(stored.octets) + judge.openssl(stored.octets, "smime") + judge.openssl_detached(stored.message)
        return problems

    def accepted(self, world: World, sent: expect.Sent, destination=None, openssl: bool = True) -> tuple[Stored, Stored]:
        """Waits for receipt and envelope of a message, and demands that both are right in everything."""
        got = receipt(world.mailbox(sent.sender), sent)
        carried = envelope(destination or world.world, sent)
        self.fine(expect.check_acceptance(got, sent) + self.signed(got, world, openssl), "acceptance receipt")
        self.fine(expect.check_envelope(carried, sent) + self.signed(carried, world, openssl), "transport envelope")
        self.assertEqual(got.message.data.pec_id, carried.message.data.pec_id)
        self.assertEqual(got.message.data.when, carried.message.data.when)
        self.fine(world.judge.dtd(got.message.xml, carried.message.xml), "daticert.xml against the DTD")
        return got, carried

    def need(self, *tools: str) -> None:
        """Fails where a tool is missing: a test that quietly does not run proves nothing."""
        missing = [tool for tool in tools if not base.find(tool)]
        if missing:
            self.fail(f"programs missing: {', '.join(missing)} (Debian: swaks openssl postfix dovecot-core dovecot-lmtpd libxml2-utils)")
