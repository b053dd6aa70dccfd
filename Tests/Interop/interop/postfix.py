"""A Postfix instance of our own on loopback: its own configuration, queue and log in a temporary folder, ports nobody else has.

It must be started by root, as Postfix always is.
"""

import atexit
import os
import pwd
import shutil
import signal
from pathlib import Path

from .base import find, free_block, new_folder, poll, run, tail
from .mailboxes import Folder
from .wire import Wire

_SERVICES = """
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """`settings` are lines of main.cf; `services` further lines of master.cf."""

    def __init__(self, name: str, settings: dict[str, str], services: str = ""):
        self.folder = new_folder(f"postfix-{name}")
        self.port = free_block(1)
        self.etc, self.log = self.folder / "etc", self.folder / "maillog"
        for part in ("etc", "queue", "data", "mail"):
            (self.folder / part).mkdir()
        owner = pwd.getpwnam("postfix")
        os.chown(self.folder / "data", owner.pw_uid, owner.pw_gid)
        nobody = pwd.getpwnam("nobody")
        os.chown(self.folder / "mail", nobody.pw_uid, nobody.pw_gid)
        main = {
            "compatibility_level": "3.6",
            "queue_directory": self.folder / "queue",
            "data_directory": self.folder / "data",
            "command_directory": "/usr/sbin",
            "daemon_directory": "/usr/lib/postfix/sbin",
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "maillog_file": self.log,
            "maillog_file_prefixes": self.folder,
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "myhostname": f"{name}.example.test",
            "mydestination": "",
            "alias_maps": "",
            "alias_database": "",
            "mynetworks": "127.0.0.0/8, 192.0.2.0/24",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_client_connection_count_limit": "0",
            "smtpd_client_connection_rate_limit": "0",
            "message_size_limit": "0",
            "mailbox_size_limit": "0",
            "virtual_mailbox_limit": "0",
            "biff": "no",
            "append_dot_mydomain": "no",
            "smtp_tls_security_level": "none",
            "smtp_address_preference": "ipv4",
            "smtp_host_lookup": "native",
            "disable_dns_lookups": "yes",
            "in_flow_delay": "0",
            "minimal_backoff_time": "2s",
            "maximal_backoff_time": "4s",
            "queue_run_delay": "2s",
            # Everything that arrives for one of these domains goes into one Maildir.
            "virtual_mailbox_domains": "",
            "virtual_mailbox_base": self.folder / "mail",
            "virtual_mailbox_maps": "static:all/",
            "virtual_minimum_uid": "100",
            "virtual_uid_maps": f"static:{nobody.pw_uid}",
            "virtual_gid_maps": f"static:{nobody.pw_gid}",
            **settings,
        }
        (self.etc / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in main.items()))
        (self.etc / "master.cf").write_text(_SERVICES.format(port=f"127.0.0.1:{self.port}") + services)
        self.mail = Folder(self.folder / "mail" / "all")

    def postfix(self, verb: str):
        return run([find("postfix"), "-c", self.etc, verb], seconds=60)

    def start(self) -> "Postfix":
        started = self.postfix("start")
        if started.returncode:
            raise RuntimeError(f"postfix start: {started.stderr.decode()}\n{tail(self.log)}")
        self.master = int((self.folder / "queue" / "pid" / "master.pid").read_text().strip())
        _running.append(self)

        def answers() -> bool:
            try:
                with Wire(self.port, seconds=5) as wire:
                    return wire.greeting.code == 220
            except (OSError, AssertionError):
                return False

        poll(answers, 30, lambda: f"Postfix on port {self.port}:\n{tail(self.log)}")
        return self

    def stop(self, kill: bool = False) -> None:
        """Stops it; `kill` ends master and all its children at once."""
        if self not in _running:
            return
        _running.remove(self)
        if kill:
            for pid in [self.master, *descendants(self.master)]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        else:
            self.postfix("stop")
        poll(lambda: not Path(f"/proc/{self.master}/stat").exists() or _is_zombie(self.master), 30, "the end of Postfix")

    def configure(self, **settings: str) -> None:
        """Other settings while it runs; what waits is tried again at once."""
        with open(self.etc / "main.cf", "a") as main:
            main.write("".join(f"{key} = {value}\n" for key, value in settings.items()))
        self.postfix("reload")
        self.run_queue()

    def run_queue(self) -> None:
        """Every message that waits is tried now."""
        run([find("postqueue"), "-c", self.etc, "-f"], seconds=30)

    def waits(self) -> bool:
        """Whether anything is in its queue."""
        return bool(run([find("postqueue"), "-c", self.etc, "-j"], seconds=30).stdout.strip())

    def logged(self, text: str) -> bool:
        return text in self.log.read_text("utf-8", "replace")


def descendants(pid: int) -> list[int]:
    """The processes below this one, now."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry))
    found, waiting = [], [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child)
    return found


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


_running: list[Postfix] = []


def python_for_everybody() -> str:
    """An interpreter that users without rights may run: the system's where there is one."""
    return "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else shutil.which("python3")


@atexit.register
def _stop_all() -> None:
    for instance in list(_running):
        try:
            instance.stop()
        except (RuntimeError, AssertionError):
            instance.stop(kill=True)
