"""The certified log seen from outside: its seals checked by our own reading and by openssl, and an intruder's hand in its files."""

import hashlib
import json
import shutil
import sqlite3
from datetime import datetime, timedelta, timezone
from pathlib import Path

from .authority import ToolFailed, openssl
from .base import executable, new_folder, run
from .lab import Gateway, World, Yaml

EX_DATAERR = 65


def sha256(octets: bytes) -> bytes:
    return hashlib.sha256(octets).digest()


def root(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, by its own words."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else sha256(b"")
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + root(leaves[:split]) + root(leaves[split:]))


def flipped(octets: bytes, bit: int) -> bytes:
    """The same with one bit changed."""
    at, mask = bit // 8, 1 << bit % 8
    return octets[:at] + bytes([octets[at] ^ mask]) + octets[at + 1 :]


# Commands


def stamping(yaml: Yaml, *authorities: str, seconds: int = 1) -> Yaml:
    """Sets who stamps; each as an item of the list, in flow style."""
    return yaml.set(f"{{ authorities: [{', '.join(authorities)}], timeoutSeconds: {seconds} }}", "certifiedLog", "timeStamps")


def laboratory_authority(folder: Path, port: int, number: int = 1) -> str:
    """One of a running laboratory's own authorities."""
    return f'{{ url: "http://127.0.0.1:{port + 21 + number}/", caFile: {folder}/ca.pem }}'


def configuration(world: World) -> Path:
    return getattr(world, "configuration", world.configuration_file)


def command(world: World, *arguments, code: int = 0, file: Path | None = None, seconds: float = 60) -> str:
    """What an operator's command says. `file`: another configuration than the world's own."""
    done = run([executable(), *arguments, "--config", file or configuration(world)], seconds)
    said = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
    assert done.returncode == code, f"{arguments}: code {done.returncode}, not {code}:\n{said[-3000:]}"
    return said


def seals_folder(world: World) -> Path:
    return world.folder / world.provider / "data" / "seals"


def seal_folder(world: World, number: int) -> Path:
    return seals_folder(world) / f"{number:06d}"


# Seals by other means than the gateway's


def check_seals(folder: Path, rows: list[bytes] | None = None) -> list[str]:
    """All seals of a store: that each fits its rows and follows the one before, by the rules alone and not by our own program."""
    problems, chain, previous, last = [], bytes(32), "0" * 64, 0
    found = sorted(each for each in folder.iterdir() if each.name.isdigit())
    for number, each in enumerate(found, 1):
        manifest_octets = (each / "manifest.json").read_bytes()
        manifest = json.loads(manifest_octets)
        lines = (each / "rows.jsonl").read_bytes().splitlines()
        values = (each / "chain.txt").read_text().splitlines()
        leaves = [sha256(b"\x00" + line) for line in lines]
        if manifest["chainBefore"] != chain.hex():
            problems.append(f"seal {number} does not begin where the one before ended")
        for line, leaf, value in zip(lines, leaves, values, strict=True):
            last += 1
            chain = sha256(b"\x02" + chain + leaf)
            if json.loads(line)["number"] != last or chain.hex() != value:
                problems.append(f"seal {number}, row {last}: number or chain value")
        wanted = {
            **{"seal": number, "first": last - len(lines) + 1, "last": last, "count": len(lines), "previous": previous},
            **{"root": root(leaves).hex(), "chainAfter": chain.hex()},
        }
        problems += [f"seal {number}: {key} is {manifest[key]}, wanted {value}" for key, value in wanted.items() if manifest[key] != value]
        previous = sha256(manifest_octets).hex()
        if rows is not None:
            rows += lines
    return problems


def openssl_seal(folder: Path, ca: Path, stamp_ca: Path | None) -> list[str]:
    """Signature and time stamp of one seal by the openssl command line; `stamp_ca` None: it has no stamp."""
    problems = []
    try:
        given = ("cms", "-verify", "-binary", "-inform", "DER", "-in", folder / "seal.p7m", "-CAfile", ca)
        if openssl(*given) != (folder / "manifest.json").read_bytes():
            problems.append(f"{folder.name}: another manifest was signed")
        stamp = folder / "stamp.tst"
        if stamp_ca:
            given = ("ts", "-verify", "-token_in", "-in", stamp, "-data", folder / "seal.p7m", "-CAfile", stamp_ca)
            if b"Verification: OK" not in openssl(*given):
                problems.append(f"{folder.name}: the stamp does not hold")
        elif stamp.exists():
            problems.append(f"{folder.name}: there is a stamp")
    except ToolFailed as error:
        problems.append(f"{folder.name}: {error}")
    return problems


# An intruder's hand


class Intruder:
    """A copy of a stopped gateway's provider folder, whose files somebody changes who may do everything."""

    def __init__(self, gateway: Gateway):
        self.folder = new_folder("intruder") / gateway.provider
        shutil.copytree(gateway.folder / gateway.provider, self.folder)
        self.configuration = self.folder / gateway.configuration.name
        text = self.configuration.read_text().replace(str(gateway.folder / gateway.provider), str(self.folder))
        self.configuration.write_text(text)
        self.seals = self.folder / "data" / "seals"
        self.ledger = self.folder / "data" / "ledger.sqlite"
        self._ledger, self._seals = self.ledger.read_bytes(), new_folder("intruder-seals") / "seals"
        assert not self.ledger.with_name("ledger.sqlite-wal").exists(), "the gateway did not end in order"
        shutil.copytree(self.seals, self._seals)

    def restore(self) -> "Intruder":
        """Everything as it was."""
        for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
            self.ledger.with_name(name).unlink(missing_ok=True)
        self.ledger.write_bytes(self._ledger)
        shutil.rmtree(self.seals)
        shutil.copytree(self._seals, self.seals)
        return self

    def open(self) -> sqlite3.Connection:
        """The ledger, without what guards it."""
        database = sqlite3.connect(self.ledger, isolation_level=None)
        database.text_factory = lambda octets: octets.decode("utf-8", "surrogateescape")
        guards = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()]
        for name in guards:
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("PRAGMA ignore_check_constraints = ON")
        return database

    def write(self, path: Path, octets: bytes) -> None:
        path.chmod(0o600)
        path.write_bytes(octets)
        path.chmod(0o400)

    def verify(self, *what: str) -> tuple[int, list[str]]:
        """`ceralacca … verify`: its exit code, and its faults."""
        done = run([executable(), *what, "--json", "--config", self.configuration])
        assert done.returncode in (0, EX_DATAERR), f"{what}: {done.returncode}, {done.stderr.decode(errors='replace')[-500:]}"
        report = json.loads(done.stdout)
        assert report["holds"] == (done.returncode == 0) == (not report["faults"]), report
        return done.returncode, report["faults"]


def flip_column(database: sqlite3.Connection, row: int, column: str, dice) -> str:
    """Changes one bit of a value of the log; what it was and is."""
    value, kind = database.execute(f"SELECT {column}, typeof({column}) FROM events WHERE number = ?", (row,)).fetchone()
    if kind == "integer":
        new = value ^ 1 << dice.randrange(1, 24)
        database.execute(f"UPDATE events SET {column} = ? WHERE number = ?", (new, row))
    else:
        old = value if kind == "blob" else value.encode("utf-8", "surrogateescape")
        new = flipped(old, dice.randrange(len(old) * 8))
        database.execute(f"UPDATE events SET {column} = CAST(? AS {kind}) WHERE number = ?", (new, row))
    return f"row {row}, {column}: {value!r} to {new!r}"


def columns_with_bits(database: sqlite3.Connection) -> list[tuple[int, str]]:
    """Every value of the log in which a bit can be changed: row and column, without the row's number."""
    names = [line[1] for line in database.execute("PRAGMA table_info(events)") if line[1] != "number"]
    found = []
    for row in database.execute(f"SELECT number, {', '.join(names)} FROM events ORDER BY number").fetchall():
        found += [(row[0], name) for name, value in zip(names, row[1:]) if isinstance(value, int) or value]
    return found


def canonical(database: sqlite3.Connection) -> list[tuple[int, bytes]]:
    """Every row in its canonical form, made from the database by our own hand."""
    names = "number at utc_offset kind pec_id sender recipients subject client_message_id related_ids provider recipient error detail bytes"
    found = []
    for line in database.execute(f"SELECT {', '.join(names.split())} FROM events ORDER BY number").fetchall():
        row = dict(zip(names.split(), line))
        moment = datetime.fromtimestamp(row["at"], timezone(timedelta(seconds=row["utc_offset"])))
        event = {
            **{"v": 1, "number": row["number"], "utc": row["at"], "offset": row["utc_offset"], "time": moment.isoformat()},
            **{"event": row["kind"], "id": row["pec_id"], "sender": row["sender"], "recipients": json.loads(row["recipients"])},
            **{"subject": row["subject"], "msgid": row["client_message_id"], "related": json.loads(row["related_ids"])},
            **{"provider": row["provider"], "recipient": row["recipient"], "error": row["error"], "detail": row["detail"]},
            "bytes": row["bytes"],
        }
        text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        found.append((row["number"], text.encode("utf-8")))
    return found
