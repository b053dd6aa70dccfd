"""What a CMS signature costs above its RSA, on one core, by a small program of the tree (`signing-benchmark`)."""

import json
import os
import statistics
from pathlib import Path

from interop import base
from interop.base import executable, find, run
from interop.lab import Gateway, service_address

from .load import build
from .measure import Failed
from .stage import Stage

#: Octets of a message's content, about: what is digested belongs to the packaging.
_SIZES = (1_000, 5_000)
#: Which part of goal 9 a size of key is.
_GOAL_PARTS = {3072: 0, 4096: 1}


def program() -> Path:
    """What stands beside the gateway under test, or in this tree; built when there is none."""
    for place in (Path(executable()).with_name("signing-benchmark"), base.REPOSITORY / ".build" / "release" / "signing-benchmark"):
        if os.access(place, os.X_OK):
            return place
    return build("signing-benchmark")


def packaging(stage: Stage) -> None:
    """Goal 8: signatures a second through the gateway's signer against the same key's alone; both on one core, in turn."""
    if not find("taskset"):
        raise Failed("taskset is not there (Debian package util-linux)")
    identity = Gateway.template() / "alfa" / "signer.pem"
    core = min(os.sched_getaffinity(0))
    rounds, milliseconds = (5, 100) if stage.quick else (21, 200)
    print("\nA CMS signature against its RSA alone, one core")
    for size in _SIZES:
        done = run([find("taskset"), "-c", core, program(), identity, service_address("alfa"), size, rounds, milliseconds], seconds=300)
        if done.returncode:
            raise Failed(f"signing-benchmark ended with {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}")
        found = json.loads(done.stdout)
        pairs = sorted(ours / raw for ours, raw in zip(found["packagedPerSecond"], found["rawPerSecond"]))
        share = statistics.median(pairs)
        print(
            f"  {size:,} octets: {statistics.median(found['packagedPerSecond']):.0f} signatures a second of processor time of "
            f"{statistics.median(found['rawPerSecond']):.0f}: {share:.3f} ({pairs[0]:.3f}-{pairs[-1]:.3f}); a signature takes "
            f"{found['busyMicroseconds']:.0f} µs, of it digests {found['digestMicroseconds']:.0f}, RSA {found['signMicroseconds']:.0f}, "
            f"its check {found['checkMicroseconds']:.0f}",
            flush=True,
        )
        stage.rows.append({"scenario": "packaging", "subject": "ceralacca", "share": round(share, 4), "rounds": rounds, **found})
        # What is digested is the message's, not the packaging's: the goal is held against a small content.
        if size == _SIZES[0]:
            stage.goals.found(8, share)
    _backends(stage, core)
    print(flush=True)


def _backends(stage: Stage, core: int) -> None:
    """Goal 9: multi-buffer RSA against OpenSSL by size of key, in turn on one core; nothing where it is not built in."""
    rounds, milliseconds = (3, 100) if stage.quick else (21, 200)
    done = run([find("taskset"), "-c", core, program(), "backends", rounds, milliseconds], seconds=300)
    if done.returncode == os.EX_USAGE:
        return print("  multi-buffer RSA: this signing-benchmark knows nothing of it")
    if done.returncode:
        raise Failed(f"signing-benchmark backends ended with {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}")
    for found in map(json.loads, done.stdout.splitlines()):
        bits, alone = found["bits"], statistics.median(found["openSSLPerSecond"])
        if "multiBufferPerSecond" not in found:
            print(f"  RSA-{bits}: {alone:.0f} a second by OpenSSL; multi-buffer RSA is {found['multiBuffer']}")
            continue
        pairs = sorted(lanes / one for lanes, one in zip(found["multiBufferPerSecond"], found["openSSLPerSecond"]))
        share = statistics.median(pairs)
        print(
            f"  RSA-{bits}: {statistics.median(found['multiBufferPerSecond']):.0f} a second by {found['multiBuffer']}, {alone:.0f} by "
            f"OpenSSL: {share:.2f} ({pairs[0]:.2f}-{pairs[-1]:.2f})"
        )
        stage.rows.append({"scenario": "packaging", "subject": "multi-buffer RSA", "share": round(share, 4), "rounds": rounds, **found})
        if bits in _GOAL_PARTS:
            stage.goals.found(9, share, _GOAL_PARTS[bits])
