"""Where the octets of the signer's private key are in the gateway's memory: looked at from outside, as whoever gets hold of a core dump or
of the swap would."""

import os
import re
import shutil
import signal

from interop import base, compose
from interop.authority import Authority
from interop.base import poll, run
from interop.case import InteropTest
from interop.lab import ALDO, ANNA, Gateway
from interop.sink import Sink

_NUMBERS = ("privateExponent", "prime1", "prime2", "exponent1", "exponent2", "coefficient")


def patterns(pem) -> list[bytes]:
    """32 octets from the middle of each secret number of a key, the highest octet first and the lowest first."""
    text = run(["openssl", "rsa", "-in", pem, "-noout", "-text"]).stdout.decode()
    found = []
    for name in _NUMBERS:
        digits = re.search(rf"{name}:\s+((?:[0-9a-f]{{2}}:?\s*)+)", text)[1]
        number = bytes.fromhex(re.sub(r"[:\s]", "", digits))
        found += [number[40:72], number[40:72][::-1]]
    return found


def places(pid: int, wanted: list[bytes]) -> list[tuple[str, set[str]]]:
    """The mappings of a process in which one of the patterns stands, with their flags (proc(5), VmFlags)."""
    found, mapping = [], None
    with open(f"/proc/{pid}/smaps") as lines, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in lines:
            if ends := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line):
                mapping = (int(ends[1], 16), int(ends[2], 16), ends[3], line.strip())
            elif line.startswith("VmFlags:") and mapping and mapping[2].startswith("r"):
                start, end, _, name = mapping
                try:
                    memory.seek(start)
                    octets = b"".join(iter(lambda: memory.read(min(1 << 24, end - memory.tell())), b""))
                except (OSError, ValueError):
                    continue  # The kernel's own pages, or given back meanwhile.
                if any(pattern in octets for pattern in wanted):
                    found.append((name, set(line.split()[1:])))
    return found


class KeyMemory(InteropTest):
    def setUp(self):
        self.sink = Sink()
        self.addCleanup(self.sink.stop)
        self.gateway = Gateway(self.sink.port).start()
        self.addCleanup(self.gateway.stop)
        self.pem = self.gateway.folder / "alfa" / "signer.pem"

    def submit(self, subject: str) -> None:
        sent = compose.simple(subject, [ALDO])
        with self.gateway.trusted() as wire:
            wire.envelope(ANNA, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        self.accepted(self.gateway, sent, destination=self.gateway.mailbox(ALDO))

    def words(self) -> str:
        return self.gateway.log.read_text()

    def reload(self, until: str) -> None:
        os.kill(self.gateway.process.pid, signal.SIGHUP)
        poll(lambda: until in self.words(), 30, lambda: f"'{until}' in the log: {self.words()[-500:]}")

    def held(self, wanted: list[bytes]) -> None:
        """The key is there, and nowhere but in locked memory that no core dump has."""
        found = places(self.gateway.process.pid, wanted)
        self.assertTrue(found, "the search finds the key where it is")
        for name, flags in found:
            self.assertLessEqual({"lo", "dd"}, flags, f"octets of the key in {name}")

    def test_a_key_is_in_locked_memory_and_goes_with_its_use(self):
        old = patterns(self.pem)
        for number in range(4):
            self.submit(f"Prima {number}")
        self.held(old)
        self.assertNotIn("copies of key material", self.words())
        # Another key and certificate of the same provider: the old key goes when the new one signs.
        ca = Authority(base.new_folder("key-memory") / "ca", self.gateway.folder / "ca.pem", self.gateway.folder / "ca.key")
        made = ca.issue("next", "/C=IT/O=Alfa Posta Certificata S.p.A./CN=Alfa 2", "email:posta-certificata@pec.alfa.test")
        shutil.copy(made.path, self.pem)
        self.reload("another certificate holds now")
        for number in range(4):
            self.submit(f"Dopo {number}")
        poll(lambda: not places(self.gateway.process.pid, old), 30, "the old key's octets gone")
        self.held(patterns(self.pem))

    def test_what_cannot_be_read_leaves_the_old_key(self):
        kept = self.pem.read_bytes()
        self.pem.write_text("this is no key")
        self.reload("the old key and certificate stay")
        self.pem.write_bytes(kept)
        self.submit("Con la chiave di prima")
