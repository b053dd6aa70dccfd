"""`ceralacca doctor`: each thing that can be broken is broken for real, one by one, and the right row must say so, and what to do."""

import json
import os
import re
import shutil
import socket
import sqlite3
import threading
import time
from datetime import timedelta
from pathlib import Path

from interop import base, exchange
from interop.authority import SERVER, Authority
from interop.base import executable, free_block, new_folder, poll, run
from interop.case import InteropTest
from interop.compose import simple
from interop.dovecot import Dovecot
from interop.lab import ANNA, Gateway, Lab
from interop.sink import Sink

from test_hsm import PIN, Token

CODES = {"ok": 0, "note": 0, "warning": 1, "wrong": 2}
DAY = 86400


class Listener:
    """A socket that listens, takes connections, and never says a word."""

    def __init__(self, port: int = 0):
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.taken: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        try:
            while True:
                self.taken.append(self.socket.accept()[0])
        except OSError:
            pass

    def close(self) -> None:
        self.socket.close()
        for each in self.taken:
            each.close()


def alone(yaml) -> None:
    """The neighbour does not run here."""
    yaml.lines = [line for line in yaml.lines if not re.match(r"\s*- \{ domains: \[\"?pec\.beta", line)]


class Doctored(InteropTest):
    def doctor(self, configuration: Path, seconds: float = 40, **environment: str):
        """Exit code and report; that they agree is demanded."""
        done = run([executable(), "doctor", "--config", configuration, "--json"], seconds, env={**os.environ, **environment})
        self.assertIn(done.returncode, (0, 1, 2), done.stderr.decode())
        report = json.loads(done.stdout)
        worst = max((row["level"] for row in report["checks"]), key=list(CODES).index)
        self.assertEqual((report["worst"], CODES[worst]), (worst, done.returncode), report)
        levels = [list(CODES).index(row["level"]) for row in report["checks"]]
        self.assertEqual(levels, sorted(levels), "the gravest stand last")
        for row in report["checks"]:
            self.assertTrue(row["found"], row)
            self.assertTrue(row["remedy"] or row["level"] in ("ok", "note"), row)
        return done.returncode, report

    def bad(self, report: dict) -> list[tuple]:
        return [(row["check"], row["level"], row["looked"], row["found"]) for row in report["checks"] if CODES[row["level"]]]

    def only(self, report: dict, level: str, check: str, *words: str, remedy: str = "") -> None:
        """This row is there, at this level, and nothing else is worse than a note."""
        bad = self.bad(report)
        self.assertEqual({(row[0], row[1]) for row in bad}, {(check, level)}, bad)
        text = " ".join(f"{row[2]}: {row[3]}" for row in bad)
        for word in words:
            self.assertIn(word, text)
        self.has(report, level, check, *words, remedy=remedy)

    def has(self, report: dict, level: str, check: str, *words: str, remedy: str = "") -> None:
        for row in report["checks"]:
            said = f"{row['looked']}: {row['found']}"
            if (row["check"], row["level"]) == (check, level) and all(word in said for word in words) and remedy in row["remedy"]:
                return
        self.fail(f"no row {level} {check} with {words}, {remedy!r} in {json.dumps(report['checks'], indent=1)}")

    def healthy(self, gateway) -> dict:
        code, report = self.doctor(gateway.configuration)
        self.assertEqual((code, self.bad(report)), (0, []))
        return report


class Healthy(Doctored):
    def test_a_whole_laboratory(self):
        lab = Lab()
        self.addCleanup(lab.stop)
        code, report = self.doctor(lab.configuration_file)
        self.assertEqual((code, self.bad(report), report["gateway"]), (0, [], "running"))
        checks = {row["check"] for row in report["checks"]}
        for check in (
            "gateway configuration clock disk ledger signing scanner mailboxes".split()
            + ["signing certificate", "signing chain", "signing key", "TLS certificate", "TLS key", "index age", "index certificate"]
            + ["index signature", "index record", "revocation list", "virus signatures", "next hop", "open files", "time zone", "time stamps"]
            + ["users file", "data directory", "host name", "listener submission", "listener submissions", "listener incoming"]
            + ["listener trusted", "scanner's disk", "configuration file", "user"]
        ):
            self.assertIn(check, checks)
        # The neighbour is demanded TLS of, with a certificate that is vouched for.
        self.has(report, "ok", "next hop", f":{lab.ports.first + 13}", "pec.beta.test", "TLSv1.3")
        self.assertEqual(sum(row["check"] == "next hop" for row in report["checks"]), 2)
        # Beta has its index signed.
        code, report = self.doctor(lab.at("beta").configuration_file)
        self.assertEqual((code, self.bad(report)), (0, []))
        self.has(report, "ok", "index signature", "verifies", "Indice dei gestori")

    def test_for_people(self):
        gateway = Gateway(Listener().port, alone)
        done = run([executable(), "doctor", "--config", gateway.configuration], env={**os.environ, "COLUMNS": "90"})
        lines = done.stdout.decode().splitlines()
        self.assertEqual((done.returncode, done.stderr), (2, b""))
        self.assertFalse([line for line in lines if len(line) > 90 or "\x1b" in line])
        self.assertRegex(lines[-1], r"^\d+ checks: 1 wrong, \d+ notes?, \d+ ok\. The gateway does not run\.$")
        self.assertRegex(lines[0], r"^ok       configuration        ")
        self.assertTrue([line for line in lines if line.startswith("wrong    next hop             127.0.0.1:")], done.stdout.decode())
        self.assertIn("(runbook: next-hop-down)", " ".join(line.strip() for line in lines))

    def test_nothing_is_changed(self):
        """No row, no file, no message, no octet of the configuration; beside a gateway that runs and beside one that does not."""
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = Gateway(sink.port, alone).start()
        self.addCleanup(gateway.stop)
        with gateway.trusted() as session:
            session.envelope(ANNA, ["giulia@posta.example.test"])
            self.assertEqual(session.data(simple("Prova", ["giulia@posta.example.test"]).octets).code, 250)
        poll(lambda: sink.taken, 30, "the envelope at the sink")
        gateway.settled()

        def files() -> dict:
            # What SQLite shares between processes is not data.
            return {
                str(path): (path.stat().st_mode, path.stat().st_uid, path.read_bytes())
                for path in sorted(gateway.folder.rglob("*"))
                if path.is_file() and path.suffix not in (".sqlite-wal", ".sqlite-shm", ".log")
            }

        before, events, taken = files(), gateway.events(), len(sink.taken)
        self.healthy(gateway)
        self.assertEqual((gateway.events(), gateway.queue(), len(sink.taken)), (events, [], taken))
        self.assertEqual({path for path, value in files().items() if before.get(path) != value}, set())
        self.assertNotIn("MAIL", " ".join(sink.commands[-3:]))
        gateway.stop()
        before = {**files(), "all": sorted(str(path) for path in gateway.folder.rglob("*"))}
        self.assertEqual(self.doctor(gateway.configuration)[1]["gateway"], "absent")
        after = {**files(), "all": sorted(str(path) for path in gateway.folder.rglob("*"))}
        self.assertEqual([path for path in after if before.get(path) != after[path]], [])


class Broken(Doctored):
    """A gateway that does not run: the machine before its start, or after its end."""

    def setUp(self):
        self.sink = Sink()
        self.addCleanup(self.sink.stop)

    def gateway(self, edit=None) -> Gateway:
        gateway = Gateway(self.sink.port, lambda yaml: (alone(yaml), edit and edit(yaml)))
        self.home = gateway.folder / "alfa"
        self.data = self.home / "data"
        return gateway

    def authority(self, gateway: Gateway) -> Authority:
        return Authority(new_folder("doctor") / "ca", gateway.ca, gateway.folder / "ca.key")

    def edit(self, gateway: Gateway, pattern: str, text: str) -> None:
        old = gateway.configuration.read_text()
        new = re.sub(pattern, text, old, count=1, flags=re.M)
        self.assertNotEqual(old, new)
        gateway.configuration.write_text(new)

    def test_before_the_first_start(self):
        gateway = self.gateway()
        shutil.rmtree(self.data)
        report = self.healthy(gateway)
        self.assertEqual(report["gateway"], "absent")
        self.has(report, "note", "data directory", "not there yet")
        self.has(report, "note", "ledger", "not there yet")
        self.has(report, "ok", "scanner sandbox", "Landlock")
        self.has(report, "ok", "listener incoming", "free")
        self.assertFalse(self.data.exists())

    def test_a_configuration_that_is_none(self):
        gateway = self.gateway()
        with gateway.configuration.open("a") as file:
            file.write("farbe: rot\n")
        lines = len(gateway.configuration.read_text().splitlines())
        code, report = self.doctor(gateway.configuration)
        self.assertEqual(code, 2)
        self.has(report, "wrong", "configuration", f"{gateway.configuration.name}:{lines}:", "farbe")
        # What does not need it is looked at all the same.
        self.assertTrue({"clock", "time zone"} <= {row["check"] for row in report["checks"]})

    def test_a_file_that_is_not_there(self):
        """A configuration that is right but for one file is used for all the other checks."""
        gateway = self.gateway()
        (self.home / "tls.key").unlink()
        code, report = self.doctor(gateway.configuration)
        self.assertEqual(code, 2)
        self.assertEqual({row[0] for row in self.bad(report)}, {"configuration", "TLS key", "TLS certificate"})
        self.has(report, "ok", "signing", "a trial signature verifies")

    def test_keys(self):
        gateway = self.gateway()
        signer = self.home / "signer.pem"
        whole = signer.read_bytes()
        # Another's key.
        other = run([base.find("openssl"), "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]).stdout
        signer.write_bytes(other + whole[whole.index(b"-----BEGIN CERTIFICATE") :])
        self.only(self.doctor(gateway.configuration)[1], "wrong", "signing", "no certificate belongs to the private key")
        signer.write_bytes(whole)
        # Everybody's key.
        signer.chmod(0o644)
        self.only(self.doctor(gateway.configuration)[1], "wrong", "signing key", "mode 0644", "everybody", remedy="chmod 600")
        signer.chmod(0o600)
        (self.home / "tls.key").chmod(0o604)
        self.only(self.doctor(gateway.configuration)[1], "wrong", "TLS key", "mode 0604", remedy="chmod 600")
        (self.home / "tls.key").chmod(0o600)
        # Somebody's key: the user that the gateway becomes may not read it.
        self.edit(gateway, r"\A", "user: nobody\n")
        code, report = self.doctor(gateway.configuration)
        self.assertEqual(code, 2)
        self.has(report, "wrong", "signing key", "the user nobody may not")
        self.has(report, "wrong", "data directory", "the user nobody may not write there", remedy="chown -R nobody")
        self.edit(gateway, "^user: nobody", "user: nobody-there")
        self.has(self.doctor(gateway.configuration)[1], "wrong", "user", "there is no such user")

    def test_the_password_that_opens_every_mailbox(self):
        gateway = self.gateway()
        password = self.home / "master.password"
        password.write_text("master-secret\n")
        password.chmod(0o644)
        imap = f'{{ url: "imaps://127.0.0.1:1", user: ceralacca, passwordFile: {password} }}'
        self.edit(gateway, "^mailboxes: .*$", f'mailboxes: {{ lmtp: "127.0.0.1:1", imap: {imap} }}')
        self.has(self.doctor(gateway.configuration)[1], "wrong", "password file", "master.password", "mode 0644", remedy="chmod 600")
        password.chmod(0o600)
        self.has(self.doctor(gateway.configuration)[1], "ok", "password file", "master.password")

    def test_a_key_in_a_token(self):
        self.need("softhsm2-util")
        gateway = self.gateway()
        signer = self.home / "signer.pem"
        whole = signer.read_bytes()
        token = Token()
        token.take(signer)
        self.edit(gateway, r"^signer:(.*)key: [^,}]+", rf'signer:\1key: "{token.uri()}"')
        code, report = self.doctor(gateway.configuration, **token.environment)
        self.assertEqual((code, self.bad(report)), (0, []))
        self.has(report, "ok", "signing", "token", "a trial signature verifies")
        said = json.dumps(report)
        self.assertNotIn(PIN, said)
        # A certificate that is of another key than the token's.
        other = self.authority(gateway).issue(
            "signer", "/O=Alfa PEC S.p.A./CN=Posta Certificata", alternative="email:posta-certificata@pec.alfa.test"
        )
        mine = signer.read_bytes()
        pem = other.path.read_bytes()
        signer.write_bytes(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
        self.has(self.doctor(gateway.configuration, **token.environment)[1], "wrong", "signing", "token")
        signer.write_bytes(mine)
        # One wrong PIN, and it is said and not tried on.
        token.pin.write_text("00000000\n")
        self.only(self.doctor(gateway.configuration, **token.environment)[1], "wrong", "signing", "refused the PIN")
        signer.write_bytes(whole)

    def test_a_signer_of_another_authority(self):
        gateway = self.gateway()
        stranger = Authority(new_folder("stranger") / "ca")
        made = stranger.issue(
            "signer", "/O=Alfa PEC S.p.A./CN=Posta Certificata", alternative="email:posta-certificata@pec.alfa.test"
        )
        (self.home / "signer.pem").write_bytes(made.path.read_bytes())
        code, report = self.doctor(gateway.configuration)
        self.assertEqual((code, {row[0] for row in self.bad(report)}), (2, {"signing chain", "index record"}))
        self.has(report, "wrong", "signing chain", "no given authority vouches")
        self.has(report, "wrong", "index record", "our signing certificate is not listed", remedy="ceralacca index export")

    def test_certificates_that_end(self):
        gateway = self.gateway()
        authority = self.authority(gateway)
        for days, level in ((5, "wrong"), (20, "warning"), (60, "note"), (-2, "wrong")):
            begins, ends = timedelta(days=-10), timedelta(days=days, hours=1)
            made = authority.issue("tls", "/CN=alfa", profile=SERVER.replace("DNS:localhost", "DNS:mx.pec.alfa.test"), begins=begins, ends=ends)
            for name in ("tls.pem", "tls.key"):
                (self.home / name).write_bytes(made.path.read_bytes())
            code, report = self.doctor(gateway.configuration)
            self.assertEqual(code, CODES[level], report)
            words = f"ends in {days} days" if days > 0 else "ended on"
            self.has(report, level, "TLS certificate", "tls.pem", words, remedy="ceralacca reload")
            self.assertLessEqual({row[0] for row in self.bad(report)}, {"TLS certificate"})
        made = authority.issue(
            "signer",
            "/O=Alfa PEC S.p.A./CN=Posta Certificata",
            alternative="email:posta-certificata@pec.alfa.test",
            ends=timedelta(days=20, hours=1),
        )
        (self.home / "signer.pem").write_bytes(made.path.read_bytes())
        self.has(self.doctor(gateway.configuration)[1], "warning", "signing certificate", "ends in 20 days", remedy="renewed")

    def test_revocation_lists(self):
        gateway = self.gateway()
        authority = self.authority(gateway)
        authority.revocation_list(gateway.folder / "ca.crl", begins=timedelta(days=-9), ends=timedelta(days=-2))
        self.only(self.doctor(gateway.configuration)[1], "warning", "revocation list", "overdue", "2 days")

    def test_disk(self):
        gateway = self.gateway(lambda yaml: yaml.limits(minimumFreeMegabytes=1_048_576))
        free = os.statvfs(gateway.folder)
        if free.f_bavail * free.f_frsize >= 1 << 40:
            self.skipTest("this machine has more room than any floor")
        self.only(self.doctor(gateway.configuration)[1], "wrong", "disk", "limits.minimumFreeMegabytes", "spool", remedy="room")
        half = free.f_bavail * free.f_frsize // (2 << 20)
        self.edit(gateway, r"minimumFreeMegabytes: 1048576", f"minimumFreeMegabytes: {half}")
        self.only(self.doctor(gateway.configuration)[1], "warning", "disk", "MiB free", remedy="room")

    def age(self, path: Path, days: float) -> None:
        then = time.time() - days * DAY
        os.utime(path, (then, then))

    def test_what_grows_old(self):
        gateway = self.gateway()
        index = gateway.folder / "index.ldif"
        self.age(index, 5)
        self.has(self.healthy(gateway), "note", "index age", "5 days old")
        self.age(index, 9)
        self.only(self.doctor(gateway.configuration)[1], "warning", "index age", "9 days old", remedy="present index")
        self.age(index, 0)
        database = re.search(r'database: "?([^",}\n]+)', gateway.configuration.read_text())[1].strip()
        if not database.startswith(str(gateway.folder)):
            shutil.copytree(database, gateway.folder / "old-signatures")
            self.edit(gateway, re.escape(database), str(gateway.folder / "old-signatures"))
            database = str(gateway.folder / "old-signatures")
        files = list(Path(database).iterdir()) if Path(database).is_dir() else [Path(database)]
        # The head of an official one, which names its version.
        official = Path(database) / "daily.cld"
        official.write_bytes(b"ClamAV-VDB:21 Nov 2026 08-00 +0000:27801:2070000:90:x:x:builder:1795248000".ljust(512))
        for days, level in ((4.5, "warning"), (8.5, "wrong")):
            for file in [*files, official]:
                self.age(file, days)
            self.only(self.doctor(gateway.configuration)[1], level, "virus signatures", f"{int(days)} days old", "daily 27801", remedy="freshclam")

    def test_an_index_without_us(self):
        gateway = self.gateway()
        index = gateway.folder / "index.ldif"
        index.write_text(index.read_text().replace("pec.alfa.test", "pec.altrove.test"))
        code, report = self.doctor(gateway.configuration)
        self.assertEqual(code, 2)
        self.has(report, "wrong", "index record", "our domain pec.alfa.test is not listed")

    def test_ledgers(self):
        gateway = self.gateway().start()
        gateway.stop()
        ledger = self.data / "ledger.sqlite"
        self.has(self.healthy(gateway), "ok", "ledger", "schema", "in order")
        octets = ledger.read_bytes()
        with sqlite3.connect(ledger) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
        self.only(self.doctor(gateway.configuration)[1], "wrong", "ledger", "schema 99", remedy="newer program")
        pages = bytearray(octets)
        for at in range(3 * 4096, len(pages), 2 * 4096):
            pages[at : at + 64] = os.urandom(64)
        ledger.write_bytes(pages)
        for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
            (self.data / name).unlink(missing_ok=True)
        self.has(self.doctor(gateway.configuration)[1], "wrong", "ledger", "damaged")

    def test_a_port_that_somebody_has(self):
        gateway = self.gateway()
        listener = Listener(gateway.ports.incoming)
        self.addCleanup(listener.close)
        self.only(
            self.doctor(gateway.configuration)[1], "wrong", "listener incoming", f":{gateway.ports.incoming}", f"process {os.getpid()}", remedy="another port"
        )

    def test_next_hops(self):
        silent = Listener()
        self.addCleanup(silent.close)
        closed = free_block(1)
        gateway = self.gateway()
        place = f"127.0.0.1:{self.sink.port}"
        self.has(self.healthy(gateway), "ok", "next hop", place, "in clear", "SIZE")
        text = gateway.configuration.read_text()

        def with_hop(port: int) -> dict:
            gateway.configuration.write_text(text.replace(place, f"127.0.0.1:{port}"))
            return self.doctor(gateway.configuration)[1]

        self.only(with_hop(silent.port), "wrong", "next hop", "no greeting", "no answer within 5 seconds", remedy="log")
        self.only(with_hop(closed), "wrong", "next hop", "no connection", "refused", remedy="listens")
        small = Sink(extensions=("SIZE 1000", "8BITMIME"))
        refusing = Sink(policy=lambda stage, argument: "421 4.3.2 not now" if stage == "greeting" else None)
        for sink in (small, refusing):
            self.addCleanup(sink.stop)
        self.only(with_hop(small.port), "warning", "next hop", "1000 octets", remedy="message_size_limit")
        self.only(with_hop(refusing.port), "wrong", "next hop", "421 4.3.2 not now")
        # What demands TLS gets none in clear.
        gateway.configuration.write_text(text.replace("tls: opportunistic", "tls: required"))
        self.only(self.doctor(gateway.configuration)[1], "wrong", "next hop", "does not offer STARTTLS", remedy="caFile")
        gateway.configuration.write_text(text)

    def test_black_holes(self):
        """However many next hops say nothing, it is through within its time, which is below the one that this test allows."""
        silent = [Listener() for _ in range(20)]
        for each in silent:
            self.addCleanup(each.close)
        gateway = self.gateway()
        routes = "\n".join(f'  - {{ domains: ["d{number}.test"], nextHop: "127.0.0.1:{each.port}" }}' for number, each in enumerate(silent))
        self.edit(gateway, r"^routes:.*$", f"routes:\n{routes}")
        code, report = self.doctor(gateway.configuration, seconds=25)
        self.assertEqual((code, sum("no greeting" in row["found"] for row in report["checks"])), (2, 20))

    def test_mailbox_servers(self):
        self.need("dovecot")
        gateway = self.gateway()
        dovecot = Dovecot(self.home / "users").start()
        self.addCleanup(dovecot.stop)
        self.edit(gateway, r"^mailboxes:.*$", f'mailboxes: {{ lmtp: "127.0.0.1:{dovecot.port}" }}')
        self.has(self.healthy(gateway), "ok", "mailbox server", "LMTP", "8BITMIME")
        dovecot.stop()
        self.only(self.doctor(gateway.configuration)[1], "wrong", "mailbox server", "LMTP", "refused", remedy="listens")
        self.edit(gateway, r"^mailboxes:.*$", f'mailboxes: {{ lmtp: "unix:{self.home}/no-socket" }}')
        self.only(self.doctor(gateway.configuration)[1], "wrong", "mailbox server", "no-socket", "no connection")
        # A server whose reports prove delivery, and that does not promise any.
        smtp = f'{{ smtp: "127.0.0.1:{self.sink.port}", reportsFrom: [127.0.0.1] }}'
        self.edit(gateway, r"^mailboxes:.*$", f"mailboxes: {smtp}")
        self.only(self.doctor(gateway.configuration)[1], "wrong", "mailbox server", "DSN")

    def test_name_servers(self):
        self.need(*exchange.NameServer.TOOLS)
        names = exchange.NameServer()
        names.start()
        self.addCleanup(names.stop)
        gateway = self.gateway()
        self.edit(gateway, rf'nextHop: "127.0.0.1:{self.sink.port}", tls: opportunistic', "nextHop: mx")
        self.edit(gateway, r"\Z", f'dns: {{ servers: ["{names.server}"], trustAnchor: "{names.anchor}" }}\n')
        self.has(self.healthy(gateway), "ok", "name servers", names.server, "DNSSEC proves it")
        names.stop()
        self.only(self.doctor(gateway.configuration)[1], "wrong", "name servers", names.server, remedy="dns.servers")


class Running(Doctored):
    def test_places_in_the_runbook(self):
        headings = re.findall(r"^#+ (.*)$", (base.REPOSITORY / "Appliance" / "runbook.md").read_text("utf-8"), re.M)
        places = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        named = set()
        for source in (base.REPOSITORY / "Sources" / "Operations").glob("Doctor*.swift"):
            for words in re.findall(r"runbook: (.*)", source.read_text("utf-8")):
                named |= set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', words))
        self.assertGreater(len(named & places), 12)
        self.assertEqual(named - places, set())

    def test_a_certificate_before_the_reload(self):
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = Gateway(sink.port, alone).start()
        self.addCleanup(gateway.stop)
        self.healthy(gateway)
        authority = Authority(new_folder("doctor") / "ca", gateway.ca, gateway.folder / "ca.key")
        made = authority.issue("tls", "/CN=alfa", profile=SERVER)
        for name in ("tls.pem", "tls.key"):
            (gateway.folder / "alfa" / name).write_bytes(made.path.read_bytes())
        code, report = self.doctor(gateway.configuration)
        self.assertEqual((code, {row[0] for row in self.bad(report)}), (1, {"listener submission", "listener submissions", "listener incoming"}))
        self.has(report, "warning", "listener submissions", "another certificate than those on disk", remedy="ceralacca reload")
        self.assertEqual(run([executable(), "reload", "--config", gateway.configuration]).returncode, 0)
        self.healthy(gateway)

    def test_alarms_and_a_gateway_that_is_drained(self):
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = Gateway(sink.port, lambda yaml: (alone(yaml), yaml.set("off", "scanner"))).start()
        self.addCleanup(gateway.stop)
        self.only(self.doctor(gateway.configuration)[1], "warning", "scanner", "nothing is scanned")
        self.assertEqual(run([executable(), "drain", "--seconds", "0", "--config", gateway.configuration]).returncode, 0)
        self.has(self.doctor(gateway.configuration)[1], "warning", "listeners", "drained", remedy="ceralacca restart")

    def test_a_gateway_that_hangs(self):
        """Its socket takes connections and nobody answers."""
        gateway = Gateway(free_block(1), lambda yaml: (alone(yaml), yaml.set("off", "scanner")))
        path = gateway.folder / "alfa" / "data" / "control.sock"
        path.unlink(missing_ok=True)
        dead = socket.socket(socket.AF_UNIX)
        self.addCleanup(dead.close)
        dead.bind(str(path))
        dead.listen(8)
        code, report = self.doctor(gateway.configuration)
        self.assertEqual((code, report["gateway"]), (2, "silent"))
        self.has(report, "wrong", "gateway", "no answer within", remedy="restart")
