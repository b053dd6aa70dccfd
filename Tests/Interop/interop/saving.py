"""What tests of backups and of restores have in common."""

import re
from collections import Counter
from pathlib import Path

from . import compose
from .base import executable, new_folder, poll, run
from .case import InteropTest
from .lab import ANNA, Gateway
from .sink import Sink

EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE, EX_CANTCREAT, EX_IOERR, EX_TEMPFAIL, EX_CONFIG = 64, 65, 66, 69, 73, 74, 75, 78
#: Other providers' addresses.
GAMMA, GAMMA_TOO = "ufficio@pec.gamma.test", "altro@pec.gamma.test"


class Saving(InteropTest):
    """A gateway in front of a sink that takes nothing yet, and a folder for its backups."""

    def setUp(self):
        #: What the world says to MAIL: nothing is taken before this is set.
        self.opens = False
        self.sink = Sink(lambda stage, _: None if self.opens or stage != "MAIL" else "451 4.3.0 not now")
        self.gateway: Gateway | None = None
        self.folder = new_folder("backups")

    def tearDown(self):
        if self.gateway:
            self.gateway.stop()
        self.sink.stop()

    # What every test does.

    def _start(self, edit=None, **limits) -> Gateway:
        given = {"firstRetrySeconds": 1, "lastRetrySeconds": 1, "segmentMegabytes": 1, "minimumFreeMegabytes": 0, **limits}

        def changes(yaml):
            yaml.limits(**given)
            if edit:
                edit(yaml)

        self.gateway = Gateway(self.sink.port, changes)
        text = self.gateway.configuration.read_text()
        self.data = Path(re.search(r'(?m)^dataDirectory: *"?([^"\n]+)', text)[1])
        if not self.data.is_absolute():
            self.data = self.gateway.configuration.parent / self.data
        return self.gateway.start()

    def _say(self, *arguments, code: int = 0, configured: bool = True, seconds: float = 120) -> str:
        named = ["--config", self.gateway.configuration] if configured else []
        done = run([executable(), *arguments, *named], seconds)
        words = (done.stdout + done.stderr).decode()
        self.assertEqual(done.returncode, code, f"{arguments}: {words}")
        return words

    def _backup(self, name: str, *arguments, code: int = 0) -> Path:
        self.words = self._say("backup", "--to", self.folder / name, *arguments, code=code)
        return self.folder / name

    def _submit(self, count: int, *recipients: str, size: int = 0) -> list:
        sent = [compose.simple(f"Numero {number}", list(recipients), body=b"riga di testo\r\n" * (size // 15 + 1)) for number in range(count)]
        with self.gateway.trusted(seconds=60) as wire:
            for each in sent:
                wire.envelope(ANNA, each.recipients)
                self.assertEqual(wire.data(each.octets).code, 250)
        return sent

    def _arrivals(self) -> Counter:
        return Counter(taken.stored.header.get("X-Riferimento-Message-ID") for taken in self.sink.taken)

    def _each_once(self, sent: list) -> None:
        wanted = Counter(each.message_id for each in sent)
        poll(lambda: all(self._arrivals()[one] for one in wanted), 90, lambda: f"{len(wanted)} messages, not {len(self._arrivals())}")
        self.assertEqual({one: self._arrivals()[one] for one in wanted}, dict(wanted))

    def _disaster(self) -> None:
        self.gateway.kill()
        self.data.rename(self.folder / "lost")
