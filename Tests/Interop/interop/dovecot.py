"""A Dovecot of our own: LMTP and IMAP on loopback, users from the gateway's passwd-file, Maildirs in a temporary folder. Started by root."""

import os
import pwd
import signal
import socket
import subprocess
from pathlib import Path

from .base import end, find, free_block, new_folder, poll, run, spawn, tail
from .mailboxes import Folder
from .postfix import descendants
from .wire import Wire

_CONFIGURATION = """
base_dir = {folder}/run
log_path = {folder}/dovecot.log
info_log_path = {folder}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
first_valid_uid = 1
mail_location = maildir:{maildirs}
postmaster_address = postmaster@pec.alfa.test
hostname = dovecot.example.test
lmtp_save_to_detail_mailbox = no
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/masters
  master = yes
  result_success = continue
}}
passdb {{
  driver = passwd-file
  args = username_format=%u {users}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
  unix_listener lmtp {{
    mode = 0666
  }}
}}
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


#: At most so many kilobytes for each user; what does not fit is refused for good.
QUOTA = """
mail_plugins = quota
plugin {{
  quota = maildir:Spazio
  quota_rule = *:storage={kilobytes}K
  quota_grace = 0
}}
"""

#: A service that says whether mailboxes have room, in the words of Postfix's policy protocol. "count" sees what others put into Maildirs.
QUOTA_STATUS = """
mail_plugins = quota
plugin {{
  quota = count:Spazio
  quota_vsizes = yes
  quota_rule = *:storage={kilobytes}K
  quota_grace = 0
  quota_status_success = DUNNO
  quota_status_nouser = DUNNO
  quota_status_overquota = "552 5.2.2 Mailbox is full"
}}
service quota-status {{
  executable = quota-status -p postfix
  client_limit = 1
  unix_listener quota-status {{
    mode = 0666
  }}
  inet_listener {{
    address = 127.0.0.1
    port = {port}
  }}
}}
"""


#: Who may look into every mailbox.
MASTER = "ceralacca"


class Dovecot:
    """`users`: the passwd-file that the gateway uses too. Dovecot's LMTP refuses who is not in it."""

    def __init__(self, users: Path, more: str = "", port: int | None = None, maildirs: str = "~/Maildir"):
        """`more`: further lines of its configuration. `maildirs`: where somebody else keeps them, with Dovecot's variables."""
        self.folder = new_folder("dovecot")
        self.port = port or free_block(1)
        self.imap = free_block(1)
        owner = pwd.getpwnam("nobody")
        for part in ("run", "mail"):
            (self.folder / part).mkdir()
        os.chown(self.folder / "mail", owner.pw_uid, owner.pw_gid)
        # A copy that Dovecot's own user may read.
        copy = self.folder / "users"
        copy.write_bytes(users.read_bytes())
        copy.chmod(0o644)
        masters = self.folder / "masters"
        masters.write_text(f"{MASTER}:{{PLAIN}}{MASTER}-secret\n")
        masters.chmod(0o644)
        self.password = self.folder / "master.password"
        self.password.write_text(f"{MASTER}-secret\n")
        self.configuration = self.folder / "dovecot.conf"
        self.configuration.write_text(
            _CONFIGURATION.format(
                folder=self.folder, users=copy, uid=owner.pw_uid, gid=owner.pw_gid, port=self.port, imap=self.imap, maildirs=maildirs
            )
            + more
        )
        self.log = self.folder / "dovecot.log"
        self.socket = self.folder / "run" / "lmtp"
        self.process = None

    def start(self) -> "Dovecot":
        self.process = spawn([find("dovecot"), "-F", "-c", self.configuration], self.folder / "output.log")

        def answers() -> bool:
            try:
                with Wire(self.port, seconds=5) as wire:
                    return wire.greeting.code == 220
            except (OSError, AssertionError):
                return False

        poll(answers, 30, lambda: f"Dovecot's LMTP on port {self.port}:\n{tail(self.log)}\n{tail(self.folder / 'output.log')}")
        return self

    def stop(self) -> None:
        if self.process:
            end(self.process)

    def kill(self) -> None:
        """`kill -9` of the master and of all that it started."""
        kill_dovecot(self.process, self.folder / "run")

    def asked(self, port: int | None = None) -> str:
        """The gateway's `mailboxes.imap` for it, or for a line to it."""
        return f'{{ url: "imap://127.0.0.1:{port or self.imap}", user: {MASTER}, passwordFile: "{self.password}" }}'

    def doveadm(self, *arguments: str) -> str:
        done = run([find("doveadm"), "-c", self.configuration, *arguments])
        assert done.returncode == 0, f"doveadm {arguments}: {done.stderr.decode()}"
        return done.stdout.decode()

    def folder_of(self, address: str, name: str) -> Folder:
        """A folder of a mailbox beside its inbox (Maildir++)."""
        return Folder(self.folder / "mail" / address / "Maildir" / f".{name}")

    def mailbox(self, address: str) -> Folder:
        return Folder(self.folder / "mail" / address / "Maildir")

    def empty(self, user: str) -> None:
        """Throws away all that is in the user's mailbox."""
        done = run([find("doveadm"), "-c", self.configuration, "expunge", "-u", user, "mailbox", "INBOX", "all"])
        assert done.returncode == 0, done.stderr

    def knows(self, user: str, password: str) -> bool:
        """Whether Dovecot itself accepts this user from the shared passwd-file."""
        return run([find("doveadm"), "-c", self.configuration, "auth", "test", user, password]).returncode == 0


#: Seconds that may pass after a `kill -9` until everything is delivered. The lock of a mailbox is a file with a process's number. Who was
#: killed while it held one leaves it, and when that number is somebody else's by then, it counts for two minutes more; a question to
#: the mailbox that waits for it is given up after one, and asked again.
AFTER_KILL = 240


def kill_dovecot(master: subprocess.Popen, run: Path) -> None:
    """`kill -9` of a Dovecot's master and of all that it started; returns when nobody listens at its sockets any more."""
    below = [master.pid, *descendants(master.pid)]
    for pid in below:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    master.wait(20)
    # What it was starting at that moment ends by itself, without its master.
    poll(lambda: not any(_listens(place) for place in run.rglob("*") if place.is_socket()), 30, "the end of Dovecot's processes")
    (run / "master.pid").unlink(missing_ok=True)


def _listens(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(place))
            return True
        except OSError:
            return False
