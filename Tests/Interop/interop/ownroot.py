"""A root directory that is a mount of its own, for tests that are started in a chroot.

The kernel refuses user namespaces to whoever lives in a chroot, and bubblewrap cannot make its box without one. A machine, a container and
most build services have such a root; a plain chroot does not. There, as root, this process moves to a mount namespace of its own whose root
is what the chroot was. Nothing of it reaches the namespace that it came from.
"""

import ctypes
import os
from pathlib import Path

#: <sys/mount.h> and <linux/sched.h>.
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x1000, 0x4000, 1 << 18, 2
CLONE_NEWNS = 0x20000

_libc = ctypes.CDLL(None, use_errno=True)


def is_mount() -> bool:
    """Whether the root that this process sees is the root of a mount that it sees."""
    return any(line.split()[4] == "/" for line in Path("/proc/self/mountinfo").read_text().splitlines())


def _called(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: bytes | None, target: bytes, flags: int) -> None:
    _called(f"mount on {target.decode()}", _libc.mount(source, target, None, ctypes.c_ulong(flags), None))


def enter() -> None:
    """Moves this process, and so all that it starts, to a root that is a mount, when it is in a chroot and may. Else changes nothing."""
    if os.geteuid() != 0 or is_mount():
        return
    here = os.getcwd()
    _called("unshare", _libc.unshare(CLONE_NEWNS))
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    # A chroot below this one leaves the folder above out of it, and the way up ends at the namespace's own root.
    os.chroot("/proc")
    os.fchdir(root)
    while not os.path.samestat(os.stat("."), os.stat("..")):
        os.chdir("..")
    os.chroot(".")
    os.fchdir(root)
    os.close(root)
    place = os.getcwdb()
    _mount(None, b"/", MS_REC | MS_PRIVATE)
    # pivot_root wants a mount; bound to itself it is one, with all that is mounted below it.
    _mount(place, place, MS_BIND | MS_REC)
    os.chdir(place)
    _called("pivot_root", _libc.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."))
    # What was the root before lies on top of ours now.
    _called("umount", _libc.umount2(b".", MNT_DETACH))
    os.chdir(here)


#: glibc has no name for it.
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
