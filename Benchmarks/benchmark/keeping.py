"""What the gateway keeps: memory for sessions and messages, and what it writes to disk for receipts."""

import os
import ssl
import time
from pathlib import Path

from interop.base import poll
from interop.lab import ANNA
from interop.wire import Wire, client_context

from . import inflight
from .envelopes import SENDER, Maker
from .load import Load, Sink, message_file
from .measure import Failed, proportional_memory
from .rounds import one_round
from .scenarios import access_point
from .stage import Stage
from .subjects import MANY, Ceralacca, many_addresses

_LARGE = 30_000_000
_IDLE_SESSIONS = 500
#: Messages of that size that are under way at once, slowly.
_IN_FLIGHT = 16
_RECEIPTS = MANY
#: Messages that pass before what is written is counted.
_BEFORE = 3


def _quiet_memory(subject: Ceralacca) -> tuple[int, int]:
    """Memory once it has stopped changing: all of it, and without mapped files."""
    last: tuple[int, int] | None = None

    def stands() -> tuple[int, int] | None:
        nonlocal last
        now = proportional_memory(subject.pids())
        same, last = last is not None and abs(now[1] - last[1]) < 64 * 1024, now
        return now if same else None

    return poll(stands, 30, "memory that stands still", every=0.3)


def _idle_sessions(subject: Ceralacca, count: int) -> list[Wire]:
    context = client_context(subject.gateway.ca)
    # Like a mail client's: a session of its own each.
    context.options |= ssl.OP_NO_TICKET
    return [Wire(subject.gateway.ports.implicit_tls, implicit_tls=context) for _ in range(count)]


def memory(stage: Stage) -> None:
    """Goal 10: what an idle TLS session takes, what a large message takes while it is under way, and the whole gateway."""
    subject = stage.own("memory", lambda: Ceralacca(scans=False))
    kept = _idle_sessions(subject, 20)
    before = _quiet_memory(subject)
    kept += _idle_sessions(subject, _IDLE_SESSIONS)
    after = _quiet_memory(subject)
    for wire in kept:
        wire.close()
    idle = (after[0] - before[0]) / _IDLE_SESSIONS / 1024
    # A gateway that had nothing yet: what the sessions left to the allocator would hide what messages take. One message before, for what
    # is only taken once.
    subject.stop()
    subject = stage.own("memory of messages", lambda: Ceralacca(scans=False))
    path = message_file(stage.folder, _LARGE)
    one_round(subject, Load(_LARGE, 1, 1, path))
    count, rate = (8, 1e7) if stage.quick else (_IN_FLIGHT, 2e6)
    rest = _quiet_memory(subject)
    slow = inflight.measure(subject, path, count, rate, rest)
    slow["leftMegabytes"] = round((_quiet_memory(subject)[1] - rest[1]) / count / 2**20, 3)
    each = max(slow["comingMegabytes"], slow["goingMegabytes"])
    if stage.goals.values.get((10, 2)) is None:
        access_point(stage)
    print(
        f"\nMemory (proportional share)\n  an idle session over TLS: {idle:.1f} KB ({_IDLE_SESSIONS} of them)\n"
        f"  a message of 30 MB in flight: {slow['comingMegabytes']:.2f} MB while it comes slowly ({slow['coming']} at once), "
        f"{slow['goingMegabytes']:.2f} MB while it goes slowly ({slow['going']} at once); with what of the spool is mapped "
        f"{slow['comingWithFilesMegabytes']:.2f} and {slow['goingWithFilesMegabytes']:.2f} MB; "
        f"afterwards {slow['leftMegabytes']:.2f} MB of each are kept by the allocator\n",
        flush=True,
    )
    stage.rows.append(
        {
            "scenario": "memory", "subject": subject.name, "idleSessions": _IDLE_SESSIONS, "idleSessionKilobytes": round(idle, 2),
            "idleSessionAnonymousKilobytes": round((after[1] - before[1]) / _IDLE_SESSIONS / 1024, 2), "inFlight": slow,
        }
    )  # fmt: skip
    stage.goals.found(10, idle, 0)
    stage.goals.found(10, each, 1)


def written_so_far(folder: Path) -> int | None:
    """Octets that the disk below a folder was given so far, the file system's journal included; None where the system does not say.

    What it says of a process (`write_bytes`) is not that: each time a page is touched it counts the whole piece of the page cache that
    holds the page.
    """
    device = os.stat(folder).st_dev
    os.sync()
    try:
        return int(Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()[6]) * 512
    except OSError:
        return None


def _written(subject: Ceralacca) -> int:
    """Octets that its processes had the system write to disk by its own count, once they write no more."""
    last = -1

    def stands() -> bool:
        nonlocal last
        before, last = last, 0
        for pid in subject.pids():
            for line in Path(f"/proc/{pid}/io").read_text().splitlines():
                if line.startswith("write_bytes:"):
                    last += int(line.split()[1])
        return last == before

    poll(stands, 30, "a gateway that writes no more", every=0.5)
    return last


def _settle(subject: Ceralacca, maker: Maker, folder: Path) -> None:
    """Sends some large messages for one mailbox each: what a gateway lays out once for all messages to come is there afterwards."""
    made = folder / "before"
    made.mkdir(exist_ok=True)
    for number, each in enumerate(maker.make(_LARGE, _BEFORE)):
        (made / f"{number}.eml").write_bytes(each.octets)
    one_round(subject, Load(_LARGE, _BEFORE, 1, made, SENDER, [ANNA], keeps=True))


def receipts(stage: Stage) -> None:
    """Goal 11: an envelope with 30 MB for fifty mailboxes, and so fifty receipts with the whole message in them."""
    subject = stage.unscanned.use("incoming")
    folder = stage.folder / "many"
    folder.mkdir(exist_ok=True)
    maker, addresses = Maker(subject.gateway.folder), many_addresses()
    _settle(subject, maker, folder)
    path = folder / "envelope.eml"
    path.write_bytes(maker.make(_LARGE, 1, addresses)[0].octets)
    before, disk = _written(subject), written_so_far(subject.gateway.folder)
    began = time.monotonic()
    sinks = [Sink(subject.world, messages=_RECEIPTS + 1), Sink(subject.mailboxes, "--lmtp")]
    try:
        Load(_LARGE, 1, 1, path, SENDER, addresses, keeps=True).send(subject.port)
        arrived = sinks[0].wait(120)
        seconds = time.monotonic() - began
        stored = sinks[1].stop()
    finally:
        for sink in sinks:
            sink.close()
    if stored["recipients"] != _RECEIPTS:
        raise Failed(f"receipts: {stored['recipients']} of {_RECEIPTS} mailboxes have the message")
    if arrived["messages"] != _RECEIPTS + 1:
        raise Failed(f"receipts: {arrived['messages']} messages came where {_RECEIPTS} receipts and one of taking charge were due")
    if arrived["octets"] < _RECEIPTS * _LARGE:
        raise Failed(f"receipts: {arrived['octets']:,} octets of receipts are fewer than {_RECEIPTS} whole messages have")
    # With what was made ready for the next messages meanwhile, and with what others wrote.
    counted, size = _written(subject) - before, path.stat().st_size
    after = written_so_far(subject.gateway.folder)
    written = counted if disk is None or after is None else after - disk
    print(
        f"\nFifty complete receipts of 30 MB: {written / 1e6:.1f} MB written for a message of {size / 1e6:.1f} MB, which is "
        f"{written / size:.3f} of it (by the count of the processes {counted / size:.3f}); {arrived['octets'] / 1e6:.0f} MB of receipts "
        f"sent, {seconds:.1f} s in all\n",
        flush=True,
    )
    stage.rows.append(
        {
            "scenario": "receipts", "subject": subject.name, "receipts": _RECEIPTS, "messageBytes": size, "writtenBytes": written, "countedBytes": counted,
            "sentBytes": arrived["octets"], "seconds": round(seconds, 2),
        }
    )  # fmt: skip
    stage.goals.found(11, written / size)
