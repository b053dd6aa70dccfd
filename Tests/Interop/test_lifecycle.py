"""A gateway that is reloaded, gets other certificates, is followed by another process, drained: nobody is refused, nothing is lost."""

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from pathlib import Path

from interop import base, compose
from interop.authority import SERVER, Authority
from interop.base import executable, find, new_folder, poll, run, spawn, tail
from interop.case import InteropTest
from interop.counterpart import transaction
from interop.lab import ALDO, ANNA, Gateway, Yaml
from interop.shortsessions import ShortSessions, alive, end, judge, operate, pid_of
from interop.wire import Wire, client_context

from test_backup import TABLES_OF_4


def two_lanes(yaml: Yaml) -> None:
    yaml.set("2", "lanes")


class Life(InteropTest):
    def gateway(self, edit=two_lanes, **options) -> Gateway:
        gateway = Gateway(edit=edit, **options)
        self.addCleanup(self.end_all, gateway)
        return gateway.start()

    def end_all(self, gateway: Gateway) -> None:
        """Also who has taken over, who is nobody's child."""
        try:
            heir = pid_of(gateway)
        except OSError:
            heir = None
        gateway.stop()
        if heir and heir != gateway.process.pid:
            end(heir)

    def edit(self, gateway: Gateway, change) -> None:
        yaml = Yaml(gateway.configuration.read_text())
        change(yaml)
        gateway.configuration.write_text(yaml.text)


class Reload(Life):
    def test_under_load(self):
        """Reload after reload, with a listener that comes and goes: no session is refused, no message lost or doubled."""
        gateway = self.gateway()
        port = gateway.ports.first + 9
        more = f"{{ kind: trusted, address: 127.0.0.1, port: {port}, peers: [127.0.0.1], user: xclient }}"
        with ShortSessions(gateway) as load:
            for turn in range(3):
                self.edit(gateway, lambda yaml: yaml.add(more, "listeners"))
                self.assertIn("configuration: holds", operate(gateway, "reload"))
                with Wire(port) as wire:
                    self.assertEqual(wire.greeting.code, 220)
                self.edit(gateway, lambda yaml: yaml.lines.remove(next(line for line in yaml.lines if more in line)))
                operate(gateway, "reload")
                with self.assertRaises(OSError):
                    Wire(port)
                load.reach(15)
        judge(self, gateway, load)

    def test_what_changes_and_what_does_not(self):
        """Limits hold for sessions that begin after the reload; what cannot change is named; a session under way keeps what it was told."""
        gateway = self.gateway()
        with gateway.trusted() as old:
            size = int(old.extensions["SIZE"])

            def change(yaml: Yaml) -> None:
                yaml.limits(maximumMessageMegabytes=1, formalMegabytes=1)
                yaml.set("3", "lanes")
                yaml.set("other.alfa.test", "hostname")
                yaml.set("{ format: text, level: warning }", "log")

            self.edit(gateway, change)
            said = operate(gateway, "reload")
            self.assertIn("needs a restart: hostname, lanes", said)
            with gateway.trusted() as new:
                self.assertEqual(int(new.extensions["SIZE"]), 1 << 20)
                self.assertNotIn("other.alfa.test", " ".join(new.greeting.lines))
            old.ehlo()
            self.assertEqual(int(old.extensions["SIZE"]), size)

    def test_what_is_told_afterwards(self):
        """After a reload `status`, `top` and the metrics tell of the listeners, routes and bounds that hold then."""
        gateway = self.gateway(edit=lambda yaml: yaml.set("2", "lanes").set("{ port: 0 }", "metrics"))
        before = json.loads(run([executable(), "status", "--json", "--config", gateway.configuration]).stdout)
        port = gateway.ports.first + 9
        taken = sum(before["sessions"]["connections"].values())

        def change(yaml: Yaml) -> None:
            yaml.add(f"{{ kind: trusted, address: 127.0.0.1, port: {port}, peers: [127.0.0.1], user: xclient }}", "listeners")
            yaml.lines.remove(next(line for line in yaml.lines if f"{gateway.ports.implicit_tls}" in line and "submissions" in line))
            yaml.add(f"{{ domains: [nuovo.test], nextHop: 127.0.0.1:{gateway.ports.world}, tls: never }}", "routes")
            yaml.limits(connections=77, connectionsPerPeer=70, minimumFreeMegabytes=17)

        self.edit(gateway, change)
        operate(gateway, "reload")
        report = json.loads(run([executable(), "status", "--json", "--config", gateway.configuration]).stdout)
        shown = {(each["kind"], each["address"]) for each in report["listeners"]}
        self.assertIn(("trusted", f"127.0.0.1:{port}"), shown)
        self.assertNotIn("submissions", {kind for kind, _ in shown})
        self.assertEqual(len(shown), len(before["listeners"]))
        self.assertEqual(report["sessions"]["maximum"], 77)
        self.assertEqual(report["storage"]["minimumFreeBytes"], 17 << 20)
        self.assertIn("relay:nuovo.test", [each["route"] for each in report["deliveries"]])
        self.assertNotIn("submissions", report["sessions"]["connections"])
        # What was counted before the reload is still there.
        self.assertGreaterEqual(sum(report["sessions"]["connections"].values()), taken)
        self.assertEqual(report["startedAt"], before["startedAt"])
        with urllib.request.urlopen(f"http://{report['metricsAddress']}/metrics") as answer:
            metrics = answer.read().decode()
        self.assertIn('ceralacca_deliveries_total{route="relay:nuovo.test",status="sent"} 0', metrics)
        self.assertRegex(metrics, r"(?m)^ceralacca_sessions_maximum 77(\.0)?$")
        # What goes out by a route that the start had not is counted under its name.
        with gateway.trusted() as wire:
            wire.expect(f"XCLIENT LOGIN={ANNA}", 220)
            wire.ehlo()
            sent = compose.simple("Nuova", ["zeno@nuovo.test"])
            self.assertEqual(transaction(wire, sent.sender, sent.recipients, sent.octets).code, 250)

        def way() -> dict:
            again = json.loads(run([executable(), "status", "--json", "--config", gateway.configuration]).stdout)
            return next(each for each in again["deliveries"] if each["route"] == "relay:nuovo.test")

        poll(lambda: way()["deferred"] > 0, 60, lambda: f"an attempt by the new route: {way()}")
        self.assertIn(f"trusted on 127.0.0.1:{port}", run([executable(), "status", "--config", gateway.configuration]).stdout.decode())
        # A drained gateway listens nowhere.
        operate(gateway, "drain", "--seconds", "5")
        report = json.loads(run([executable(), "status", "--json", "--config", gateway.configuration]).stdout)
        self.assertEqual(report["listeners"], [])

    def test_a_bad_configuration_changes_nothing(self):
        """All faults are said, by the command and in the log, and the gateway goes on as it was."""
        gateway = self.gateway()
        good = gateway.configuration.read_text()
        for bad, words in (("hostnam: x\nlanes: 0\n", ("hostname", "lanes")), ("a: [", ("line",)), (good.replace("signer.pem", "nothing.pem"), ("nothing.pem",))):
            gateway.configuration.write_text(bad)
            gateway.process.send_signal(signal.SIGHUP)
            poll(lambda: all(word in gateway.log.read_text().rpartition("not reloaded")[2] for word in words), 20, lambda: f"{words} in the log\n{tail(gateway.log)}")
            gateway.log.write_text("")
            operate(gateway, "reload", code=78)
        gateway.configuration.write_text(good)
        with gateway.trusted() as wire:
            self.assertEqual(wire.greeting.code, 220)
        operate(gateway, "reload")


class Beginning(Life):
    def test_a_stop_behind_the_first_greeting(self):
        """Who is greeted by a gateway that is only starting has one that ends in order: it cannot write its own first line yet."""
        gateway = Gateway(edit=two_lanes)
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, True)
        with open(gateway.log, "wb") as log:
            process = subprocess.Popen([executable(), "serve", "--config", gateway.configuration], stdout=writing, stderr=log)
        self.addCleanup(process.wait, 60)
        self.addCleanup(process.kill)
        os.close(writing)

        def greets() -> bool:
            try:
                with Wire(gateway.ports.trusted, seconds=5) as wire:
                    return wire.greeting.code == 220
            except (OSError, AssertionError):
                return False

        poll(greets, 60, lambda: f"a greeting; the gateway's last words:\n{tail(gateway.log)}")
        process.send_signal(signal.SIGTERM)
        self.assertIsNone(process.poll())
        with open(reading, "rb") as pipe:
            self.assertIn(b"listening on", pipe.read())
        self.assertEqual(process.wait(60), 0)
        self.assertIn("stopped", gateway.log.read_text())
        self.assertEqual(list((gateway.folder / "alfa" / "data").glob("ledger.sqlite-wal")), [])


class Certificates(Life):
    def shown(self, port: int, name: str | None, ca: Path, starttls: bool = True) -> set[str]:
        """Names in the certificate that a client sees who asks for `name`."""
        context = ssl.create_default_context(cafile=str(ca))
        context.check_hostname = False
        wire = Wire(port)
        wire.ehlo()
        wire.expect("STARTTLS", 220)
        with context.wrap_socket(wire.socket, server_hostname=name) as secure:
            return {value for kind, value in secure.getpeercert()["subjectAltName"] if kind == "DNS"}

    def test_names_and_change_under_load(self):
        gateway = self.gateway()
        folder = new_folder("tls")
        authority = Authority(folder / "ca", gateway.ca, gateway.folder / "ca.key")

        def issue(file: str, names: str) -> str:
            identity = authority.issue(file, f"/CN={file}", names, profile=SERVER.replace("DNS:localhost, IP:127.0.0.1", names))
            return str(identity.path)

        one, wild = issue("uno", "DNS:smtp.uno.test"), issue("wild", "DNS:*.due.test")
        names = f"names: [{{ certificate: {one}, key: {one} }}, {{ certificate: {wild}, key: {wild} }}]"
        text = gateway.configuration.read_text()
        text = re.sub(r"^tls: \{ (.*) \}$", rf"tls: {{ \1, {names} }}", text, flags=re.M)
        self.assertIn(names, text)
        with ShortSessions(gateway) as load:
            # A session from before the change goes on.
            with gateway.submission() as old:
                gateway.configuration.write_text(text)
                self.assertIn("tls: 3 certificates", operate(gateway, "reload"))
                port = gateway.ports.submission
                for asked, seen in (("smtp.uno.test", "smtp.uno.test"), ("SMTP.Uno.test", "smtp.uno.test"), ("x.due.test", "*.due.test")):
                    self.assertEqual(self.shown(port, asked, gateway.ca), {seen})
                standard = self.shown(port, None, gateway.ca)
                for asked in ("x.y.due.test", "due.test", "other.test"):
                    self.assertEqual(self.shown(port, asked, gateway.ca), standard)
                load.reach(10)
                # Another certificate in the same file, then a broken one: the first holds, the second changes nothing.
                again = issue("ancora", "DNS:smtp.uno.test, DNS:smtp.tre.test")
                Path(one).write_bytes(Path(again).read_bytes())
                operate(gateway, "reload")
                self.assertEqual(self.shown(port, "smtp.tre.test", gateway.ca), {"smtp.uno.test", "smtp.tre.test"})
                Path(one).write_text("broken")
                said = operate(gateway, "reload", code=75)
                self.assertIn("nothing was changed", said)
                self.assertIn(one, said)
                self.assertEqual(self.shown(port, "smtp.tre.test", gateway.ca), {"smtp.uno.test", "smtp.tre.test"})
                load.reach(10)
                self.assertEqual(old.command("NOOP").code, 250)
        judge(self, gateway, load)


class Restart(Life):
    def test_under_load(self):
        """Three processes one after another: no session is refused, no message lost or doubled."""
        gateway = self.gateway()
        seen = [gateway.process.pid]
        with ShortSessions(gateway) as load:
            for turn in range(2):
                operate(gateway, "restart")
                seen.append(pid_of(gateway))
                load.reach(15)
        self.assertEqual(len(set(seen)), 3, f"the same process went on: {seen}")
        self.assertEqual([alive(each) for each in seen], [False, False, True])
        judge(self, gateway, load)

    def test_a_successor_that_cannot_start(self):
        """Nothing happens to the gateway when the new one has a bad configuration, or nothing to start with."""
        gateway = self.gateway()
        good = gateway.configuration.read_text()
        with ShortSessions(gateway, clients=2) as load:
            gateway.configuration.write_text(good.replace("lanes: 2", "lanes: 2\nlane: 3"))
            gateway.process.send_signal(signal.SIGUSR2)
            poll(lambda: "no restart, this process goes on" in gateway.log.read_text(), 30, "the reason in the log")
            # What only the new process sees: a key that does not fit.
            other = Path(gateway.folder / "altra.pem")
            other.write_bytes((gateway.folder / "beta" / "signer.pem").read_bytes())
            gateway.configuration.write_text(re.sub(r"(signer: \{ certificate: )[^,]+", rf"\g<1>{other}", good))
            said = operate(gateway, "restart", code=75)
            self.assertIn("no restart, this process goes on", said)
            load.reach(5)
            gateway.configuration.write_text(good)
            self.assertEqual(pid_of(gateway), gateway.process.pid)
        judge(self, gateway, load)

    def test_a_successor_that_dies_while_it_waits(self):
        """Nobody is there to take over: this end is a failure, so that the service manager begins anew."""
        gateway = self.gateway()
        wire = gateway.trusted()
        gateway.process.send_signal(signal.SIGUSR2)
        poll(lambda: "takes nothing new and ends" in gateway.log.read_text(), 60, "a new process that is ready")
        os.kill(int(re.search(r"process ([0-9]+) is ready", gateway.log.read_text())[1]), signal.SIGKILL)
        wire.send(b"QUIT\r\n")
        self.assertEqual(gateway.process.wait(60), 69)
        self.assertIn("which was to take over, has ended (killed by signal 9", gateway.log.read_text())

    def test_where_its_end_is_the_containers(self):
        """As process 1, and below an engine's small init, which ends with its child: nobody would be there to take over."""
        self.need("unshare")
        if os.geteuid() != 0:
            self.skipTest("needs root")
        init = [sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"]
        for words, before in (("this is process 1", []), ("process 1 of the container ends with this one", init)):
            gateway = Gateway(edit=two_lanes)
            container = [find("unshare"), "--pid", "--fork", "--mount-proc", "--kill-child"]
            gateway.process = spawn([*container, *before, executable(), "serve", "--config", gateway.configuration], gateway.log)
            self.addCleanup(gateway.kill)
            poll(lambda: "listening on" in gateway.log.read_text(), 60, lambda: f"a gateway: {tail(gateway.log)}")
            running = pid_of(gateway)
            self.assertIn(f"no restart, this process goes on: {words}", operate(gateway, "restart", code=75))
            self.assertEqual(pid_of(gateway), running)

    def test_a_body_under_way_ends_first(self):
        """A message that is arriving when the new process is ready gets its 250 from the old one."""
        gateway = self.gateway()
        wire = gateway.trusted()
        wire.expect(f"XCLIENT LOGIN={ANNA}", 220)
        wire.ehlo()
        sent = compose.simple("Lunga", [ALDO], body=b"riga\r\n" * 1000)
        wire.envelope(ANNA, [ALDO])
        wire.expect("DATA", 354)
        wire.send(sent.octets[:3000])
        gateway.process.send_signal(signal.SIGUSR2)
        poll(lambda: "takes nothing new and ends" in gateway.log.read_text(), 60, "a new process that is ready")
        # Who connects now waits, and is served by the new one.
        waiting = socket.create_connection(("127.0.0.1", gateway.ports.trusted), 60)
        wire.send(sent.octets[3000:] + b".\r\n")
        self.assertEqual(wire.reply().code, 250)
        wire.send(b"QUIT\r\n")
        self.assertTrue(waiting.recv(100).startswith(b"220 "))
        waiting.close()
        poll(lambda: pid_of(gateway) != gateway.process.pid, 30, "the new process")
        compose.receipt(gateway.mailbox(ANNA), sent)
        compose.envelope(gateway.mailbox(ALDO), sent)


class Drain(Life):
    def test_drain(self):
        """Nothing new is taken, what is under way ends, the queue is delivered, and the process stays until it is stopped."""
        gateway = self.gateway()
        with ShortSessions(gateway) as load:
            load.reach(10)
            idle = gateway.trusted()
            operate(gateway, "drain", "--seconds", "20")
            load._over.set()
        self.assertEqual(idle.reply().code, 421)
        refused = [each for each in load.problems if "Connection" in each]
        self.assertEqual(load.problems, refused, "only who came after the drain was refused, and at connect")
        load.problems = []
        with self.assertRaises(OSError):
            Wire(gateway.ports.trusted)
        self.assertIsNone(gateway.process.poll())
        report = json.loads(run([executable(), "status", "--json", "--config", gateway.configuration]).stdout)
        self.assertIn("draining", [alarm["name"] for alarm in report["alarms"]])
        judge(self, gateway, load)
        self.assertEqual(gateway.stop(), 0)


class Probes(Life):
    def test_a_configuration_that_is_spoiled_on_the_disk(self):
        """Who would end the gateway for a bad answer hears that it is well: it goes on with what it has read."""
        gateway = self.gateway()
        data = gateway.folder / "alfa" / "data"

        def ask(*words) -> tuple[int, str]:
            done = run([executable(), "status", *words])
            return done.returncode, done.stdout.decode() + done.stderr.decode()

        good = gateway.configuration.read_text()
        # A file that it names is gone; then it is no YAML any more.
        gateway.configuration.write_text(re.sub(r"^tls: .*$", "tls: { certificate: none.pem, key: none.pem }", good, flags=re.M))
        for place in (("--data", data), ("--config", gateway.configuration)):
            self.assertEqual(ask("--health", *place), (0, "ok\n"), place)
        gateway.configuration.write_text(good.replace("provider:", "provider: ["))
        self.assertEqual(ask("--health", "--data", data), (0, "ok\n"))
        self.assertEqual(ask("--ready", "--data", data), (0, "ready\n"))
        self.assertEqual(ask("--health", "--config", gateway.configuration)[0], 78)
        self.assertEqual(ask("--health", "--data", data / "none")[0], 69)
        for words in (["--health"], ["--data", data, "--config", gateway.configuration]):
            self.assertIn("give one of --config and --data", ask(*words)[1])
        gateway.configuration.write_text(good)


class Manager(Life):
    def test_notify_and_watchdog(self):
        """Ready when the ports greet, alive while it works, reloading with its time, stopping at the end."""
        folder = new_folder("notify")
        heard: list[str] = []

        def listen() -> None:
            # A manager reads all the time; what is not read fills the socket.
            while word := manager.recv(4096).decode():
                heard.append(word)

        def hear(word: str) -> str:
            poll(lambda: any(word in each for each in heard), 60, lambda: f"{word} of {heard}")
            at = next(number for number, each in enumerate(heard) if word in each)
            found = heard[at]
            del heard[: at + 1]
            return found

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(folder / "socket"))
            listener = threading.Thread(target=listen, daemon=True)
            listener.start()
            gateway = self.gateway(environment={"NOTIFY_SOCKET": str(folder / "socket"), "WATCHDOG_USEC": "1500000"})
            hear("READY=1")
            for _ in range(3):
                hear("WATCHDOG=1")
            gateway.process.send_signal(signal.SIGHUP)
            self.assertRegex(hear("RELOADING=1"), r"MONOTONIC_USEC=[0-9]+")
            self.assertIn("STATUS=running", hear("READY=1"))
            operate(gateway, "restart")
            # systemd ends all that is left of a service that says STOPPING=1, the new process too, and hears no MAINPID= from then on.
            poll(lambda: any("READY=1" in each for each in heard), 60, lambda: f"a new process that is ready of {heard}")
            self.assertEqual([each for each in heard if "STOPPING=1" in each], [])
            self.assertTrue(any("STATUS=handing over" in each and "WATCHDOG=1" in each for each in heard), heard)
            told = hear("MAINPID=")
            self.assertEqual(int(re.search(r"MAINPID=([0-9]+)", told)[1]), pid_of(gateway))
            self.assertIn("WATCHDOG=1", told)
            # A unit's time for a start is that of a process that takes over, too, and moves the watchdog's end.
            hear("EXTEND_TIMEOUT_USEC=300000000")
            hear("READY=1")
            hear("WATCHDOG=1")
            end(pid_of(gateway))
            hear("STOPPING=1")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"", str(folder / "socket"))
            listener.join(10)

    def test_a_start_that_has_much_to_do(self):
        """While an older ledger is copied and brought forward the manager is told to wait: a start that it ends begins at nothing again."""
        gateway = self.gateway()
        gateway.stop()
        ledger = sqlite3.connect(gateway.folder / "alfa" / "data" / "ledger.sqlite")
        for (table,) in ledger.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall():
            if table not in TABLES_OF_4:
                ledger.execute(f"DROP TABLE {table}")
        ledger.execute("DELETE FROM grdb_migrations WHERE CAST(identifier AS INTEGER) > 4")
        ledger.execute("PRAGMA user_version = 4")
        ledger.commit()
        ledger.close()
        place = new_folder("notify") / "socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(place))
            manager.settimeout(60)
            gateway.environment["NOTIFY_SOCKET"] = str(place)
            gateway.start()
            heard = []
            while not heard or "READY=1" not in heard[-1]:
                heard.append(manager.recv(4096).decode())
        extended = [int(each.partition("=")[2]) for each in heard if each.startswith("EXTEND_TIMEOUT_USEC=")]
        # A step of the copy, then statements, which may go through the whole file.
        self.assertEqual(extended[:2], [120_000_000, 300_000_000], heard)

    def test_a_gateway_that_stands_still_gives_no_sign_of_life(self):
        folder = new_folder("notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(folder / "socket"))
            gateway = self.gateway(environment={"NOTIFY_SOCKET": str(folder / "socket"), "WATCHDOG_USEC": "300000"})
            manager.settimeout(20)
            while b"WATCHDOG=1" not in manager.recv(4096):
                pass
            # A disk that takes no rows keeps the committer waiting: here by a lock on the ledger.
            holder = subprocess.Popen(
                [sys.executable, "-c", "import sqlite3,sys;c=sqlite3.connect(sys.argv[1],timeout=30);c.execute('BEGIN IMMEDIATE');print(1,flush=True);sys.stdin.read()",
                 str(gateway.folder / "alfa" / "data" / "ledger.sqlite")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
            try:
                holder.stdout.readline()
                # The committer's thread stands in this commit.
                wire = gateway.trusted()
                wire.expect(f"XCLIENT LOGIN={ANNA}", 220)
                wire.ehlo()
                wire.envelope(ANNA, [ALDO])
                wire.expect("DATA", 354)
                wire.send(compose.simple("Fermo", [ALDO]).octets + b".\r\n")
                manager.settimeout(2.5)
                silent = False
                for _ in range(40):
                    try:
                        manager.recv(4096)
                    except TimeoutError:
                        silent = True
                        break
                self.assertTrue(silent, "signs of life went on while nothing could be committed")
            finally:
                holder.stdin.close()
                holder.wait(20)
            manager.settimeout(30)
            while b"WATCHDOG=1" not in manager.recv(4096):
                pass

    def activate(self, gateway: Gateway, sockets: dict[str, socket.socket]) -> None:
        """Starts it with sockets that listen already, as a service manager does."""
        program = (
            "import os,sys\n"
            "names=sys.argv[1].split(':')\n"
            "for at,given in enumerate(sys.argv[2].split(':')): os.dup2(int(given),50+at)\n"
            "for at in range(len(names)): os.dup2(50+at,3+at)\n"
            "os.environ.update(LISTEN_PID=str(os.getpid()),LISTEN_FDS=str(len(names)),LISTEN_FDNAMES=sys.argv[1])\n"
            "os.execv(sys.argv[3],sys.argv[3:])\n"
        )
        given = [each.fileno() for each in sockets.values()]
        gateway.process = spawn(
            [
                sys.executable, "-c", program, ":".join(sockets), ":".join(map(str, given)),
                executable(), "serve", "--config", gateway.configuration,
            ],
            gateway.log, pass_fds=given,
        )  # fmt: skip

    def test_mail_that_waits_at_the_door(self):
        """Who connected before the start is served as soon as one lane runs, when the others, here many, do not yet."""
        gateway = Gateway(edit=lambda yaml: yaml.set("64", "lanes"))
        self.addCleanup(gateway.stop)
        sent: list = []
        for _ in range(5):
            door = socket.socket()
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(("127.0.0.1", gateway.ports.trusted))
            door.listen(50)
            # The greeting comes once it runs.
            clients = [threading.Thread(target=self.hand_in, args=(gateway, sent)) for _ in range(8)]
            for client in clients:
                client.start()
            self.activate(gateway, {"x": door})
            for client in clients:
                client.join(90)
            gateway.settled()
            door.close()
            self.assertEqual(gateway.stop(), 0, tail(gateway.log))
        self.assertEqual(len(sent), 40)
        told = gateway.mailbox(ANNA).matching(lambda stored: stored.kind == "accettazione")
        self.assertEqual(Counter(each.header.get("X-Riferimento-Message-ID") for each in told), Counter(each.message_id for each in sent))

    def hand_in(self, gateway: Gateway, sent: list) -> None:
        each = compose.simple("Alla porta", [ALDO])
        with gateway.trusted(seconds=60) as wire:
            wire.envelope(ANNA, [ALDO])
            if wire.data(each.octets).code == 250:
                sent.append(each)

    def test_socket_activation(self):
        """Sockets that the manager opened are taken by address and by name; connections made before the start are served."""
        gateway = Gateway(edit=two_lanes)
        self.addCleanup(gateway.stop)
        trusted, named = socket.socket(), socket.socket()
        trusted.bind(("127.0.0.1", gateway.ports.trusted))
        named.bind(("127.0.0.1", 0))
        for each in (trusted, named):
            each.listen(50)
        early = socket.create_connection(("127.0.0.1", gateway.ports.trusted), 60)

        self.activate(gateway, {"x": trusted, "submission": named})
        self.assertTrue(early.recv(100).startswith(b"220 "), base.tail(gateway.log))
        early.close()
        with Wire(named.getsockname()[1]) as wire:
            self.assertIn("STARTTLS", wire.ehlo())
        with self.assertRaises(OSError):
            Wire(gateway.ports.submission)
        # The manager keeps them open, so a gateway that is drained answers on them.
        operate(gateway, "drain", "--seconds", "1")
        with Wire(gateway.ports.trusted) as wire:
            self.assertEqual(wire.greeting.code, 421)

    def test_user(self):
        """Started as root it binds and becomes somebody else for good, with no way back, before it touches data."""
        if os.geteuid() != 0:
            self.skipTest("needs root")
        gateway = Gateway(edit=lambda yaml: (two_lanes(yaml), yaml.set("nobody", "user")))
        self.addCleanup(self.end_all, gateway)
        subprocess.run(["chown", "-R", "nobody", str(gateway.folder)], check=True)
        gateway.folder.chmod(0o755)
        gateway.log.touch()
        gateway.start()
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{gateway.process.pid}/status").read_text().splitlines() if ":\t" in line
        )
        import pwd

        nobody = pwd.getpwnam("nobody")
        self.assertEqual(set(status["Uid"].split()), {str(nobody.pw_uid)})
        self.assertEqual(set(status["Gid"].split()), {str(nobody.pw_gid)})
        self.assertEqual(set(status["Groups"].split()) - {str(nobody.pw_gid)}, set())
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(int(status["CapEff"], 16), 0)
        sent = compose.simple("Utente", [ALDO])
        with gateway.submission() as wire:
            wire.envelope(ANNA, [ALDO])
            self.assertEqual(wire.data(sent.octets).code, 250)
        compose.envelope(gateway.mailbox(ALDO), sent)
        # And so does who takes over.
        operate(gateway, "restart")
        self.assertEqual(os.stat(f"/proc/{pid_of(gateway)}").st_uid, nobody.pw_uid)


class Unit(InteropTest):
    FOLDER = base.REPOSITORY / "Appliance" / "systemd"

    def test_systemd_takes_the_unit(self):
        """`systemd-analyze verify` finds nothing, and `security` an exposure that is among the low ones."""
        self.need("systemd-analyze")
        folder = new_folder("systemd")
        for name in ("ceralacca.service", "ceralacca.socket"):
            text = (self.FOLDER / name).read_text().replace("/usr/local/bin/ceralacca", executable())
            (folder / name).write_text(text)
        units = [folder / "ceralacca.service", folder / "ceralacca.socket"]
        done = base.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units])
        said = done.stderr.decode()
        ours = [line for line in said.splitlines() if "ceralacca" in line]
        self.assertEqual((done.returncode, ours), (0, []), said)
        done = base.run(["systemd-analyze", "security", "--offline=yes", "--threshold=25", "--no-pager", units[0]])
        self.assertEqual(done.returncode, 0, (done.stdout + done.stderr).decode()[-3000:])
        base.note((done.stdout + done.stderr).decode().strip().splitlines()[-1].strip())
