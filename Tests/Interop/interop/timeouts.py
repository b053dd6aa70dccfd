"""Notices of silence (pec-rules 2.2, 2.4, 8; T5, T6), and gateways whose clock stands elsewhere."""

import itertools
import time
from pathlib import Path

from . import base
from .base import executable, run, spawn, tail
from .expect import Checker, Sent
from .lab import NAMES, Gateway
from .mailboxes import Stored
from .receipts import _notice

T5 = """Avviso di mancata consegna
Il giorno [data] alle ore [ora] ([zona]) il messaggio
"[oggetto]" proveniente da "[mittente]"
e destinato all'utente "[destinatari]"
non è stato consegnato nelle prime dodici ore dal suo invio. Non escludendo
che questo possa avvenire in seguito, si ritiene utile considerare che
l'invio potrebbe non andare a buon fine. Il sistema provvederà comunque ad
inviare un ulteriore avviso di mancata consegna se nelle prossime dodici ore
non vi sarà la conferma della ricezione da parte del destinatario.
Identificativo messaggio: [id]"""

T6 = """Avviso di mancata consegna
Il giorno [data] alle ore [ora] ([zona]) il messaggio
"[oggetto]" proveniente da "[mittente]"
e destinato all'utente "[destinatari]"
non è stato consegnato nelle ventiquattro ore successive al suo invio. Si ritiene
che la spedizione debba considerarsi non andata a buon fine.
Identificativo messaggio: [id]"""

PREFIX = "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: "
KIND = "preavviso-errore-consegna"
TEXTS = {1: T5, 2: T6}
ROWS = {1: "mancata-consegna-12h", 2: "mancata-consegna-24h"}
#: Seconds after acceptance, unless a configuration says otherwise.
FIRST, SECOND = 12 * 3600, 24 * 3600 - 15 * 60


def extended(stage: int, by: str = "alfa") -> str:
    """`errore-esteso` (pec-rules 8.2)."""
    status, hours = {1: ("4.4.1", "dodici"), 2: ("5.4.1", "ventiquattro")}[stage]
    return f"{status} - {NAMES[by]} - il messaggio non è stato consegnato nelle prime {hours} ore dal suo invio"


def stage_of(stored: Stored) -> int:
    """Which of the two a notice is, as a machine tells them apart."""
    return 2 if (stored.message.data.extended_error or "").startswith("5.4.1") else 1


def check_timeout(stored: Stored, sent: Sent, pec_id: str, recipient: str, stage: int, by: str = "alfa") -> list[str]:
    """A notice of silence about one recipient. `stage`: 1 after twelve hours, 2 before twenty-four."""
    check = Checker(stored, sent)
    _notice(check, KIND, PREFIX, by, sent.sender)
    check.demand(PREFIX.count("  ") == 0 and (stored.header.get("Subject") or "").startswith(PREFIX), "prefix of the subject")
    check.form()
    check.demand(check.message.original is None, "a notice of silence with the original inside")
    check.words(TEXTS[stage], [recipient])
    check.certified(KIND, "altro", None, delivered_to=recipient)
    check.same("identificativo", check.data.pec_id, pec_id)
    check.same("errore-esteso", check.data.extended_error, extended(stage, by))
    check.demand(stored.header.get("Message-ID") != f"<{pec_id}>", "the notice's Message-ID is the PEC id")
    return check.problems


def check_rows(events: list[dict], notices: list[Stored], pec_id: str) -> list[str]:
    """The log's rows about silence and the notices in the mailbox say the same: one row for each, naming it."""
    rows = sorted(
        (row["event"], row["recipient"], tuple(row["related"]), row["error"])
        for row in events
        if row["event"] in ROWS.values() and row["pecID"] == pec_id
    )
    wanted = sorted(
        (ROWS[stage_of(each)], each.message.data.delivered_to, (each.header.get("Message-ID").strip("<>"),), "altro") for each in notices
    )
    if rows == wanted:
        return []
    return [f"the log's rows about silence are {rows}, the notices {wanted}"]


_numbers = itertools.count(1)


class Elsewhen(Gateway):
    """A gateway that can be started at another time: what it and the commands about it take for now is moved, nothing else.

    libfaketime is loaded by its name and not by the program `faketime`, so that the process that is killed is the gateway.
    """

    offset = 0.0
    file: Path | None = None

    @staticmethod
    def library() -> Path | None:
        return next(itertools.chain(*(Path(root).glob("*/faketime/libfaketimeMT.so.1") for root in ("/usr/lib", "/lib"))), None)

    @property
    def clock(self) -> dict[str, str]:
        """For one process. Names of shared memory must be given: what the library adds to the environment hides a Swift program's
        arguments from it."""
        if not self.offset and not self.file:
            return {}
        name = f"/ceralacca-clock-{base.os.getpid()}-{next(_numbers)}"
        moved = {"LD_PRELOAD": str(self.library()), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_SHARED": f"{name}-sem {name}-shm"}
        if self.file:
            return {**moved, "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1"}
        return {**moved, "FAKETIME": f"{self.offset:+.3f}"}

    @property
    def now(self) -> float:
        """Unix seconds as this gateway sees them."""
        return time.time() + self.offset

    def begins(self, moment: float) -> "Elsewhen":
        """From its next start on it is this moment now, and time goes on from there."""
        self.offset = moment - time.time()
        return self

    def step(self, seconds: float) -> None:
        """Steps the clock of a gateway that runs, if it was started with `by_file`."""
        self.offset += seconds
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{self.offset:+.3f}\n")
        fresh.replace(self.file)

    def by_file(self) -> "Elsewhen":
        self.file = self.folder / "clock"
        self.step(0)
        return self

    def start(self, seconds: float = 60) -> "Elsewhen":
        self.environment = {**self.environment, **self.clock}
        super().start(seconds)
        return self

    def kill(self) -> None:
        super().kill()
        # The library's own, which it removes at a polite end only.
        for name in ("faketime_shm_", "sem.faketime_sem_"):
            Path(f"/dev/shm/{name}{self.process.pid}").unlink(missing_ok=True)

    def start_and_kill(self, moment: float, after: float) -> None:
        """Begins at a moment and is killed `after` seconds later, whatever it is doing then."""
        self.begins(moment)
        self.process = spawn([executable(), "serve", "--config", self.configuration], self.log, env={**self.environment, **self.clock})
        time.sleep(after)  # not synchronisation: the moment itself
        assert self.process.poll() is None, f"the gateway ended by itself:\n{tail(self.log)}"
        self.kill()

    def command(self, *arguments, code: int = 0) -> str:
        """An operator's command at the same time; what it says."""
        done = run([executable(), *arguments, "--config", self.configuration], env={**base.os.environ, **self.clock})
        assert done.returncode == code, f"{arguments}: code {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}"
        return done.stdout.decode()
