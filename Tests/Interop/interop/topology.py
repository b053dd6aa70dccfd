"""The examples under Appliance/topologies, set up as their README says, with real Postfix, Dovecot and OpenDKIM on loopback.

What is run are the very files of the examples, and the commands of their README. Only what `SUBSTITUTIONS` and `ADDITIONS` name differs
from a real host: names, addresses, ports, paths and users; where the Internet is; and how patient the servers are.
"""

import imaplib
import os
import pwd
import re
import shutil
import signal
import subprocess
from pathlib import Path

from .base import REPOSITORY, end, executable, find, poll, run, spawn, tail
from .dovecot import kill_dovecot
from .lab import Gateway, Yaml
from .mailboxes import Folder, Stored
from .postfix import descendants, python_for_everybody
from .sink import Sink
from .wire import Wire, client_context

EXAMPLES = REPOSITORY / "Appliance" / "topologies"

#: Ports of the examples, as offsets from the laboratory's first port. 25, 587 and 465 are where the other provider looks for alfa.
PORTS = {587: 1, 465: 2, 25: 3, 10025: 4, 10024: 5, 10026: 6, 10027: 7, 8891: 8, 993: 9, 143: 10}

#: What stands in an example's file, and what stands there in the test, in this order. `{root}` is the host's root folder here.
SUBSTITUTIONS = [
    # Names and addresses: the laboratory's provider alfa, whose keys and index record are at hand.
    (r"pec\.example\.org", "pec.alfa.test"),
    (r"Esempio PEC S\.p\.A\.", "Alfa PEC S.p.A."),
    (r"http://crl\.example\.net/ca\.crl", "{lab}/ca.crl"),
    # Addresses: two of loopback.
    (r"192\.0\.2\.10\b", "127.0.0.1"),
    (r"192\.0\.2\.11\b", "127.0.0.2"),
    # Paths.
    (r"/var/lib/clamav", "{lab}/signatures"),
    (r"(?<![\w.}])/(etc|var|run)/", r"{root}/\1/"),
    # Users: the gateway is root here, and mailboxes are nobody's.
    (r"(user = |group = |-o |-g |chown (?:-R )?)ceralacca\b", r"\1root"),
    (r"(user = |uid=|-o |chown (?:-R )?)vmail\b", r"\1nobody"),
    (r"(group = |gid=|-g )vmail\b", r"\1nogroup"),
    # Mailboxes that one message can be too large for.
    (r"storage=1G\b", "storage=8M"),
    (r"static:5000\b", f"static:{pwd.getpwnam('nobody').pw_uid}"),
]

#: Lines that are added to a file.
ADDITIONS = {
    # Another instance than the machine's own; patience in seconds instead of minutes.
    "postfix/main.cf": """
queue_directory = {root}/var/spool/postfix
data_directory = {root}/var/lib/postfix
maillog_file = {root}/var/log/mail.log
maillog_file_prefixes = {root}
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
transport_retry_time = 1s
smtp_address_preference = ipv4
disable_dns_lookups = yes
smtp_host_lookup = native
""",
    # The Internet: what MX records would say.
    "postfix/transport": """
pec.beta.test smtp:[127.0.0.1]:{beta}
posta.example.test smtp:[127.0.0.1]:{world}
""",
    "dovecot/dovecot.conf": """
log_path = {root}/var/log/dovecot.log
auth_failure_delay = 0
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
""",
    # Temporary folders lie below one that everybody may write to.
    "opendkim.conf": """
RequireSafeKeys no
""",
    "ceralacca/ceralacca.yaml": """
clock: {{ synchronization: warn }}
""",
}


class Topology(Gateway):
    """One example at work as provider alfa, with provider beta of the laboratory as the other provider and a sink as the world.

    `postfix`, `dovecot` and the gateway itself can each be stopped and started again."""

    def __init__(self, name: str, edit=None):
        """`edit(yaml: Yaml)`: further changes of the example's `ceralacca.yaml`."""
        self.name, self.sink = name, Sink()
        Gateway.template()  # one for both providers
        super().__init__(self.sink.port)
        self.beta = Gateway(
            self.sink.port, lambda yaml: yaml.limits(firstRetrySeconds=1, lastRetrySeconds=2), provider="beta", beside=self
        )
        self.root = self.folder / "root"
        self.etc = self.root / "etc"
        self.values = {"root": self.root, "lab": self.folder, "beta": self.beta.ports.incoming, "world": self.sink.port}
        self.configuration = self.etc / "ceralacca" / "ceralacca.yaml"
        self.dovecot = self.opendkim = self.master = None
        self._install()
        # What Postfix has in its queue takes longer to be in a mailbox than what Dovecot was storing.
        rest = 8 if name == "dsn" else 3
        yaml = Yaml(self.configuration.read_text()).limits(firstRetrySeconds=1, lastRetrySeconds=2, uncertainSeconds=rest)
        if edit:
            edit(yaml)
        self.configuration.write_text(yaml.text)

    # Setting up

    def substituted(self, text: str) -> str:
        for pattern, replacement in SUBSTITUTIONS:
            text = re.sub(pattern, replacement.replace("{root}", str(self.root)).replace("{lab}", str(self.folder)), text)
        ports = "|".join(map(str, PORTS))
        # A port stands behind its address, after `port`, or before an `@` (OpenDKIM).
        where = rf"(?:(?<=\d:)|(?<=\]:)|(?<=port: )|(?<=port = )|(?<=inet:))({ports})\b(?!\.)"
        return re.sub(where, lambda found: str(self.ports.first + PORTS[int(found[1])]), text)

    def _install(self) -> None:
        """What its README tells to do, in the folder of the example."""
        for part in ("etc/ssl/certs", "etc/ssl/private", "run/opendkim", "run/dovecot", "var/log", "var/lib/postfix", "var/spool/postfix"):
            (self.root / part).mkdir(parents=True)
        # While postlogd does not run, postsuper writes the log itself, and not as root.
        self.mail_log.touch()
        for part, user in (("var/lib/postfix", "postfix"), ("run/opendkim", "opendkim"), ("var/log/mail.log", "postfix")):
            shutil.chown(self.root / part, user)
        copy = self.folder / "example"
        shutil.copytree(EXAMPLES / self.name, copy)
        for path in sorted(copy.rglob("*")):
            if path.is_file():
                text = self.substituted(path.read_text(encoding="utf-8"))
                added = ADDITIONS.get(str(path.relative_to(copy / "etc")) if copy / "etc" in path.parents else "", "")
                path.write_text(text + added.format(**self.values), encoding="utf-8")
        for script in re.findall(r"^```sh\n(.*?)^```", (copy / "README.md").read_text(encoding="utf-8"), re.S | re.M):
            if not script.startswith(("apt-get", "systemctl")):
                done = run(["bash", "-euo", "pipefail", "-c", script], cwd=copy, env=self._environment)
                if done.returncode:
                    raise RuntimeError(f"{script}\n{done.stderr.decode(errors='replace')}")
        # Keys, certificates and lists, which each operator has of his own.
        given, ours = self.folder / "alfa", self.etc / "ceralacca"
        for source, target in (
            (given / "signer.pem", ours / "signer.pem"),
            (given / "signer.pem", ours / "signer.key"),
            (self.folder / "ca.pem", ours / "authorities.pem"),
            (self.folder / "index.ldif", ours / "index.ldif"),
            (given / "tls.pem", self.etc / "ssl/certs/mail.example.org.pem"),
            (given / "tls.key", self.etc / "ssl/private/mail.example.org.key"),
        ):
            shutil.copy(source, target)

    # Running

    def start(self, seconds: float = 60) -> "Topology":
        """All of it."""
        checked = run([executable(), "check", "--config", self.configuration])
        assert checked.returncode == 0, f"{self.name}: {checked.stdout.decode()}{checked.stderr.decode()}"
        self.opendkim = spawn([find("opendkim"), "-f", "-x", self.etc / "opendkim.conf"], self.root / "var/log/opendkim.log")
        self._postfix("check")
        self.start_dovecot()
        self.start_postfix()
        self.start_gateway(seconds)
        self.beta.start()
        return self

    def stop(self) -> int:
        self.beta.stop()
        code = super().stop()
        self.stop_postfix()
        self.stop_dovecot()
        if self.opendkim:
            end(self.opendkim)
        self.sink.stop()
        return code

    def start_gateway(self, seconds: float = 60) -> None:
        port = self.port(10025 if self.name == "behind" else 587)
        self.process = spawn([executable(), "serve", "--config", self.configuration], self.log, env=self.environment)

        def answers() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the gateway ended with code {self.process.returncode}:\n{tail(self.log)}")
            return greets(port)

        poll(answers, seconds, lambda: f"a greeting on port {port}; the gateway's last words:\n{tail(self.log)}")

    @property
    def _environment(self) -> dict[str, str]:
        """What Postfix's commands need to find this instance."""
        return {**os.environ, "MAIL_CONFIG": str(self.etc / "postfix"), "PATH": os.environ["PATH"] + ":/usr/sbin"}

    def _postfix(self, verb: str) -> None:
        done = run([find("postfix"), "-c", self.etc / "postfix", verb], seconds=60)
        if done.returncode:
            raise RuntimeError(f"postfix {verb}: {done.stderr.decode()}\n{tail(self.mail_log)}")

    @property
    def mail_log(self) -> Path:
        return self.root / "var/log/mail.log"

    def start_postfix(self) -> None:
        self._postfix("start")
        self.master = int((self.root / "var/spool/postfix/pid/master.pid").read_text().strip())
        poll(lambda: greets(self.port(10026)), 30, lambda: f"Postfix on port {self.port(10026)}:\n{tail(self.mail_log)}")

    def stop_postfix(self) -> None:
        if self.master is None:
            return
        master, self.master = self.master, None
        # What it leaves behind when it was told to stop and does not would hold the ports.
        below = [master, *descendants(master)]
        in_order = self.etc / "postfix/stop-in-order"
        try:
            if in_order.exists():
                done = run([in_order], seconds=90, env=self._environment)
                assert done.returncode == 0, f"{in_order}: {done.stderr.decode()}\n{tail(self.mail_log)}"
            else:
                self._postfix("stop")
        except (RuntimeError, AssertionError) as error:
            for pid in below:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if isinstance(error, AssertionError):
                raise
        poll(lambda: not any(alive(pid) for pid in below), 30, "the end of Postfix")

    def start_dovecot(self) -> None:
        log = self.root / "var/log/dovecot-output.log"
        self.dovecot = spawn([find("dovecot"), "-F", "-c", self.etc / "dovecot/dovecot.conf"], log)
        ready = lambda: (self.root / "run/dovecot/master.pid").exists() and listens(self.port(993))  # noqa: E731
        poll(ready, 30, lambda: f"Dovecot on port {self.port(993)}:\n{tail(log)}\n{tail(self.root / 'var/log/dovecot.log')}")

    def stop_dovecot(self) -> None:
        if self.dovecot:
            end(self.dovecot)
            self.dovecot = None

    def kill_dovecot(self) -> None:
        """`kill -9` of all that is Dovecot's."""
        kill_dovecot(self.dovecot, self.root / "run/dovecot")
        self.dovecot = None

    def postfix_queue(self) -> list[str]:
        """What waits in Postfix, a line of JSON each."""
        return run([find("postqueue"), "-c", self.etc / "postfix", "-j"]).stdout.decode().splitlines()

    def settled(self, seconds: float = 90) -> None:
        """Nothing waits anywhere, and nothing did when it was looked at once more: what leaves one appears in the next before."""
        waits = lambda: [self.queue(), self.beta.queue(), self.postfix_queue()]  # noqa: E731
        poll(
            lambda: all(waits() == [[], [], []] for _ in range(2)),
            seconds,
            lambda: f"empty queues of alfa, beta and Postfix: {[(len(each), each[:1]) for each in waits()]}\n{tail(self.mail_log, 5)}",
            every=0.3,
        )

    # Looking

    def port(self, number: int) -> int:
        return self.ports.first + PORTS[number]

    def mailbox(self, address: str) -> Folder:
        """Where mail for an address lies: Dovecot's Maildir, or beta's."""
        if address.lower().endswith("@pec.beta.test"):
            return super().mailbox(address)
        local, _, domain = address.partition("@")
        return self._maildirs.setdefault(address, Folder(self.root / "var/vmail" / domain / local / "Maildir"))

    def fetched(self, address: str) -> list[Stored]:
        """All that a holder finds in his mailbox over IMAP."""
        with imaplib.IMAP4_SSL("127.0.0.1", self.port(993), ssl_context=client_context(self.ca), timeout=30) as imap:
            imap.login(address, password(address))
            count = int(imap.select("INBOX", readonly=True)[1][0])
            if not count:
                return []
            return [Stored.load(None, each[1]) for each in imap.fetch(f"1:{count}", "(BODY.PEEK[])")[1] if isinstance(each, tuple)]

    def imap(self, address: str, condition, seconds: float = 40, what: str = "the message") -> Stored:
        """The one message over IMAP that meets the condition, as soon as it is there; fails when there are two."""
        found = poll(
            lambda: [each for each in self.fetched(address) if condition(each)],
            seconds,
            lambda: f"{what} in {address} over IMAP, which holds {[each.kind or 'other' for each in self.fetched(address)]}"
            f"\n{tail(self.log, 5)}\n{tail(self.mail_log, 5)}",
            every=0.2,
        )
        assert len(found) == 1, f"{what} is {len(found)} times in {address}"
        return found[0]

    def submission_to(self, host: str, user: str, implicit: bool = False) -> Wire:
        """A session on a submission port of this host, as this user."""
        context = client_context(self.ca)
        wire = Wire(self.port(465 if implicit else 587), host=host, implicit_tls=context if implicit else None)
        wire.ehlo()
        if not implicit:
            wire.start_tls(context)
            wire.ehlo()
        reply = wire.auth_plain(user, password(user))
        assert reply.code == 235, f"AUTH PLAIN as {user}: {reply}"
        return wire

    def dkim(self, octets: bytes, domain: str) -> str:
        """The domain for which a DKIM signature of this message verifies with our key, by python3-dkim; fails when none does."""
        record = "".join(re.findall(r'"([^"]*)"', (self.etc / f"opendkim/keys/{domain}/posta.txt").read_text()))
        checked = subprocess.run(
            [python_for_everybody(), "-c", _VERIFY, f"posta._domainkey.{domain}.", record], input=octets, capture_output=True, timeout=60
        )
        assert checked.returncode == 0, f"DKIM for {domain}: {checked.stdout.decode()}{checked.stderr.decode()[-500:]}"
        return checked.stdout.decode().strip()


_VERIFY = """
import sys, dkim
name, record = sys.argv[1].encode(), sys.argv[2].encode()
checked = dkim.DKIM(sys.stdin.buffer.read())
good = checked.verify(dnsfunc=lambda asked, timeout=5: record if asked == name else None)
print(checked.domain.decode() if good else "the signature does not hold")
sys.exit(0 if good else 1)
"""


def password(address: str) -> str:
    """As the examples' README sets them, and the laboratory."""
    return address.partition("@")[0] + "-secret"


def greets(port: int) -> bool:
    try:
        with Wire(port, seconds=5) as wire:
            return wire.greeting.code == 220
    except (OSError, AssertionError):
        return False


def listens(port: int) -> bool:
    try:
        Wire(port, seconds=5, greet=False).close()
        return True
    except OSError:
        return False


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
