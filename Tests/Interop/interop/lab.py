"""The laboratory, and a gateway of its own for tests that kill it, reconfigure it or put other peers around it."""

import json
import os
import pwd
import re
import shutil
import subprocess
import threading
from pathlib import Path

from . import base
from .base import end, executable, free_block, new_folder, poll, run, spawn, tail
from .judge import Judge
from .mailboxes import Folder
from .wire import Wire, client_context

ANNA, ALDO = "anna@pec.alfa.test", "aldo@pec.alfa.test"
BRUNO, BIANCA = "bruno@pec.beta.test", "bianca@pec.beta.test"
SERVICE = "posta-certificata@pec.alfa.test"
#: Users of alfa, the provider that most tests are about.
PASSWORDS = {ANNA: "anna-secret", ALDO: "aldo-secret"}
DOMAINS = {"alfa": "pec.alfa.test", "beta": "pec.beta.test", "gamma": "pec.gamma.test"}
NAMES = {"alfa": "Alfa PEC S.p.A.", "beta": "Beta PEC S.r.l.", "gamma": "Gamma PEC S.p.A."}
#: Offsets of the laboratory's ports from its base: two providers, the world, and two time-stamping authorities.
OFFSETS = (23, 22, 21, 14, 13, 12, 11, 4, 3, 2, 1)


#: How log lines and rows of the certified log name who runs the tests.
OPERATOR = f"operator {pwd.getpwuid(os.geteuid()).pw_name} (uid {os.geteuid()})"


def service_address(provider: str) -> str:
    return f"posta-certificata@{DOMAINS[provider]}"


def service_mailbox(provider: str) -> str:
    return f"servizio@{DOMAINS[provider]}"


class Ports:
    """A provider's ports in the laboratory, counted from the laboratory's base."""

    def __init__(self, first: int, provider: str = "alfa"):
        self.first = first
        at = first + (10 if provider == "beta" else 0)
        self.submission, self.implicit_tls, self.incoming, self.trusted, self.world = at + 1, at + 2, at + 3, at + 4, first + 21


class World:
    """What a laboratory's folder holds, and ways into one provider's gateway."""

    def __init__(self, folder: Path, ports: Ports, provider: str = "alfa"):
        self.folder, self.ports, self.provider = folder, ports, provider
        self.ca = folder / "ca.pem"
        self.world = Folder(folder / "world")
        self._maildirs: dict[str, Folder] = {}

    @property
    def configuration_file(self) -> Path:
        return self.folder / self.provider / "ceralacca.yaml"

    def at(self, provider: str) -> "World":
        """The same laboratory seen from another provider."""
        return World(self.folder, Ports(self.ports.first, provider), provider)

    def mailbox(self, address: str) -> Folder:
        home = "beta" if address.lower().endswith("@pec.beta.test") else "alfa"
        return self._maildirs.setdefault(address, Folder(self.folder / home / "mail" / address))

    @property
    def judge(self) -> Judge:
        return Judge(self.ca, self.folder / self.provider / "signer.pem")

    def judge_of(self, provider: str) -> Judge:
        return Judge(self.ca, self.folder / provider / "signer.pem")

    def incoming(self, tls: bool = False, **options) -> Wire:
        """A session on the incoming point, after EHLO."""
        wire = Wire(self.ports.incoming, **options)
        wire.ehlo("mx.gamma.test")
        if tls:
            wire.start_tls(client_context(self.ca))
            wire.ehlo("mx.gamma.test")
        return wire

    def operator(self, *arguments) -> list[dict]:
        """What an operator's command prints with --json, a row each."""
        configuration = getattr(self, "configuration", self.configuration_file)
        done = run([executable(), *arguments, "--json", "--config", configuration])
        assert done.returncode == 0, f"{arguments}: {done.stderr.decode(errors='replace')}"
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def events(self, pec_id: str | None = None) -> list[dict]:
        """The certified log, or what it says of one PEC id."""
        return [event for event in self.operator("log", "tail", "--lines", "1000000") if pec_id in (None, event["pecID"])]

    def queue(self) -> list[dict]:
        return self.operator("queue", "list")

    def settled(self, seconds: float = 60) -> None:
        """Waits until nothing is in the queue any more."""
        poll(lambda: self.queue() == [], seconds, lambda: f"an empty queue of {self.provider}; it holds {self.queue()[:3]}", every=0.1)

    def trusted(self, **options) -> Wire:
        """A session on the listener for trusted peers, after EHLO."""
        wire = Wire(self.ports.trusted, **options)
        wire.ehlo()
        return wire

    def submission(self, user: str | None = ..., implicit: bool = False, **options) -> Wire:
        """A session on a submission port, over TLS, after EHLO and AUTH (when there is a user; Anna or Bruno if nobody is named)."""
        if user is ...:
            user = BRUNO if self.provider == "beta" else ANNA
        context = client_context(self.ca)
        wire = Wire(self.ports.implicit_tls if implicit else self.ports.submission, implicit_tls=context if implicit else None, **options)
        wire.ehlo()
        if not implicit:
            wire.start_tls(context)
            wire.ehlo()
        if user:
            reply = wire.auth_plain(user, PASSWORDS.get(user) or user.partition("@")[0] + "-secret")
            assert reply.code == 235, f"AUTH PLAIN as {user}: {reply}"
        return wire


class Lab(World):
    """A running `ceralacca lab`."""

    def __init__(self):
        for attempt in range(3):
            folder = new_folder("lab")
            super().__init__(folder, Ports(free_block(32)))
            self.log = folder.parent / f"{folder.name}.log"
            base._folders.append(self.log)
            self.process = spawn([executable(), "lab", "--dir", folder, "--base-port", self.ports.first], self.log)
            try:
                poll(self._ready, 60, lambda: f"{folder}/ready of the laboratory; its last words:\n{tail(self.log)}")
                return
            except AssertionError:
                end(self.process)
                if attempt == 2 or "in use" not in tail(self.log, 200):
                    raise

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the laboratory ended with code {self.process.returncode}:\n{tail(self.log)}")
        return (self.folder / "ready").exists()

    def stop(self) -> int:
        return end(self.process)


class Yaml:
    """Edits of block-style YAML by lines: enough for the laboratory's own configuration file, and it keeps everything else."""

    def __init__(self, text: str):
        self.lines = text.splitlines()

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def block(self, *path: str) -> tuple[int, int, int] | None:
        """First line, end and indentation of the mapping entry at this path of keys."""
        low, high, indent, found = 0, len(self.lines), 0, None
        for key in path:
            found = None
            inside = [
                number for number in range(low, high) if self.lines[number].strip() and not self.lines[number].lstrip().startswith("#")
            ]
            if not inside:
                return None
            indent = len(self.lines[inside[0]]) - len(self.lines[inside[0]].lstrip(" "))
            for number in inside:
                line = self.lines[number]
                if re.match(rf"^ {{{indent}}}[\"']?{re.escape(key)}[\"']?\s*:", line):
                    stop = next(
                        (
                            later
                            for later in inside
                            if later > number
                            and len(self.lines[later]) - len(self.lines[later].lstrip(" ")) <= indent
                            and not self.lines[later].startswith(" " * indent + "- ")
                        ),
                        high,
                    )
                    found, low, high = (number, stop, indent), number + 1, stop
                    break
            if not found:
                return None
        return found

    def set(self, value: str, *path: str) -> "Yaml":
        """Puts `path: value` (value in flow style), adding what is missing."""
        found = self.block(*path)
        if found:
            first, stop, indent = found
            self.lines[first:stop] = [" " * indent + f"{path[-1]}: {value}"]
            return self
        if len(path) > 1 and (parent := self.block(*path[:-1])):
            first, stop, indent = parent
            inner = next((len(line) - len(line.lstrip(" ")) for line in self.lines[first + 1 : stop] if line.strip()), indent + 2)
            self.lines.insert(first + 1, " " * inner + f"{path[-1]}: {value}")
            return self
        for depth, key in enumerate(path):
            self.lines.append("  " * depth + key + (f": {value}" if depth == len(path) - 1 else ":"))
        return self

    def add(self, item: str, *path: str) -> "Yaml":
        """Puts an item (flow style) at the head of the list at this path."""
        first = self.block(*path)[0]
        following = next((line for line in self.lines[first + 1 :] if line.strip()), "")
        indent = len(following) - len(following.lstrip(" ")) if following.lstrip().startswith("- ") else 2
        self.lines.insert(first + 1, " " * indent + f"- {item}")
        return self

    def limits(self, **limits) -> "Yaml":
        for name, value in limits.items():
            self.set(str(value), "limits", name)
        return self


class Gateway(World):
    """`ceralacca serve` on a copy of a laboratory's world, with other peers around it. It can be killed and started again."""

    _template: Path | None = None

    @classmethod
    def template(cls) -> Path:
        """A laboratory's folder that no longer runs: keys, users and index of all gateways made here."""
        if cls._template is None:
            lab = Lab()
            lab.stop()
            cls._template = lab.folder
            cls._template_ports = lab.ports
        return cls._template

    def __init__(
        self,
        world_port: int | None = None,
        edit=None,
        environment: dict | None = None,
        provider: str = "alfa",
        beside: "Gateway | None" = None,
    ):
        """`world_port`: where the route to the world goes. `edit(yaml: Yaml)`: further changes of the configuration. `beside`: the
        other provider's gateway, whose folder and ports this one shares."""
        source = self.template()
        if beside:
            folder, ports = beside.folder, Ports(beside.ports.first, provider)
        else:
            folder, ports = new_folder("gateway"), Ports(free_block(32), provider)
            shutil.copytree(source, folder, dirs_exist_ok=True)
        super().__init__(folder, ports, provider)
        text = self.configuration_file.read_text().replace(str(source), str(folder))
        for offset in OFFSETS:
            new = world_port if offset == 21 and world_port else ports.first + offset
            text = re.sub(rf"\b{self._template_ports.first + offset}\b", str(new), text)
        yaml = Yaml(text)
        if edit:
            edit(yaml)
        self.configuration = folder / provider / "edited.yaml"
        self.configuration.write_text(yaml.text)
        self.log = folder / f"serve-{provider}.log"
        self.environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen | None = None

    def start(self, seconds: float = 60) -> "Gateway":
        """Starts it and waits until its trusted listener answers."""
        self.process = spawn([executable(), "serve", "--config", self.configuration], self.log, env=self.environment)

        def answers() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the gateway ended with code {self.process.returncode}:\n{tail(self.log)}")
            try:
                with Wire(self.ports.trusted, seconds=5) as wire:
                    return wire.greeting.code == 220
            except (OSError, AssertionError):
                return False

        poll(answers, seconds, lambda: f"a greeting on port {self.ports.trusted}; the gateway's last words:\n{tail(self.log)}")
        return self

    def kill(self) -> None:
        """`kill -9`, and no sooner back than it is gone."""
        self.process.kill()
        self.process.wait(20)
        if self.process in base._children:
            base._children.remove(self.process)

    def stop(self) -> int:
        return end(self.process) if self.process else 0


_shared: Lab | None = None
_shared_lock = threading.Lock()


def shared() -> Lab:
    """One laboratory for all tests that only use it."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Lab()
        elif _shared.process.poll() is not None:
            dead, _shared = _shared, None
            raise AssertionError(f"the laboratory died with code {dead.process.returncode}:\n{tail(dead.log, 40)}")
        return _shared
