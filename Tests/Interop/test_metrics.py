"""What the gateway says of itself agrees with what was sent: metrics, health, readiness, status, top, log lines, alert rules, dashboard."""

import datetime
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time

from interop import compose, processes
from interop.base import HERE, executable, poll, run
from interop.case import InteropTest
from interop.counterpart import transaction
from interop.guarded import Guarded, Signatures
from interop.lab import ALDO, ANNA, Gateway
from interop.sink import Sink
from test_clock import is_synchronized

ROOT = HERE.parents[1]
RULES = ROOT / "Appliance" / "prometheus" / "ceralacca.rules.yml"
DASHBOARD = ROOT / "Appliance" / "grafana" / "ceralacca.json"
OPEN_METRICS = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5"


class Scrape:
    """One answer of /metrics: values by name and labels."""

    def __init__(self, text: str):
        self.text = text
        self.values: dict[str, dict[frozenset, float]] = {}
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            found = re.fullmatch(r'([a-z_]+)(?:\{(.*)\})? (\S+)', line)
            labels = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2] or "")
            self.values.setdefault(found[1], {})[frozenset(labels)] = float(found[3])

    def get(self, name: str, **labels) -> float:
        """The sum over all series that have these labels."""
        wanted = {(key.rstrip("_"), value) for key, value in labels.items()}
        return sum(value for key, value in self.values.get(name, {}).items() if wanted <= key)


def status(gateway: Gateway) -> tuple[dict, int]:
    done = run([executable(), "status", "--json", "--config", gateway.configuration])
    return json.loads(done.stdout), done.returncode


class Watched(InteropTest):
    def fetch(self, gateway: Gateway, path: str, accept: str | None = None) -> http.client.HTTPResponse:
        address = status(gateway)[0]["metricsAddress"]
        connection = http.client.HTTPConnection(address, timeout=20)
        self.addCleanup(connection.close)
        connection.request("GET", path, headers={"Accept": accept} if accept else {})
        answer = connection.getresponse()
        answer.text = answer.read().decode()
        return answer

    def scrape(self, gateway: Gateway) -> Scrape:
        answer = self.fetch(gateway, "/metrics")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        return Scrape(answer.text)


class Counts(Watched):
    @classmethod
    def setUpClass(cls):
        cls.sink = Sink()
        cls.gateway = Guarded(cls.sink.port, Signatures(), lambda yaml: yaml.set("{ port: 0 }", "metrics"), workers=1).start()

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()
        cls.sink.stop()

    def test_what_was_sent(self):
        before = self.scrape(self.gateway)
        sent = [compose.simple(f"Nota {number}", [ALDO, "fuori@posta.example.test"]) for number in range(5)]
        with self.gateway.submission() as wire:
            for one in sent:
                self.assertEqual(transaction(wire, one.sender, one.recipients, one.octets).code, 250)
            self.assertEqual(wire.command("MAIL FROM:<altra@pec.alfa.test>").code, 553)
        with self.gateway.submission(user=None) as wire:
            self.assertEqual(wire.auth_plain(ANNA, "sbagliata").code, 535)
        with self.gateway.incoming() as wire:
            self.assertEqual(wire.command("MAIL FROM:<a@posta.example.test>").code, 250)
            self.assertEqual(wire.command("RCPT TO:<b@altrove.example.test>").code, 550)
        self.gateway.settled()
        poll(lambda: len(self.sink.taken) >= 5, 60, "envelopes at the sink")
        poll(lambda: self.scrape(self.gateway).get("ceralacca_queue_entries") == 0, 30, "an empty queue in the metrics")
        # The ledger is looked at every few seconds, and not for each question.
        poll(lambda: self.scrape(self.gateway).get("ceralacca_log_rows") == len(self.gateway.events()), 30, "all rows of the log in the metrics")
        after = self.scrape(self.gateway)

        def grown(name: str, **labels) -> float:
            return after.get(name, **labels) - before.get(name, **labels)

        expected = [
            (grown("ceralacca_messages_total", point="access", outcome="accepted"), 5),
            (grown("ceralacca_messages_total"), 5),
            (grown("ceralacca_message_recipients_total", point="access"), 10),
            (grown("ceralacca_message_bytes_total", point="access"), sum(len(one.octets) for one in sent)),
            (grown("ceralacca_reply_seconds_count", point="access"), 5),
            (grown("ceralacca_reply_seconds_bucket", point="access", le="+Inf"), 5),
            (grown("ceralacca_connections_total", listener="submission"), 2),
            (grown("ceralacca_connections_total", listener="incoming"), 1),
            (grown("ceralacca_authentications_total", result="accepted"), 1),
            (grown("ceralacca_authentications_total", result="rejected"), 1),
            (grown("ceralacca_refusals_total", point="access", phase="mail", class_="5xx", reason="policy"), 1),
            (grown("ceralacca_refusals_total", point="incoming", phase="rcpt", class_="5xx", reason="policy"), 1),
            (grown("ceralacca_messages_queued_total", kind="acceptance"), 5),
            (grown("ceralacca_scans_total", verdict="clean"), 5),
            (grown("ceralacca_scan_seconds_count"), 5),
            (grown("ceralacca_deliveries_total", route="relay:default", status="sent"), 5),
            (grown("ceralacca_deliveries_total", status="bounced"), 0),
            (grown("ceralacca_signatures_total", result="made"), after.get("ceralacca_signing_seconds_count") - before.get("ceralacca_signing_seconds_count")),
            (grown("ceralacca_signatures_total", result="faulty"), 0),
            (after.get("ceralacca_signer_batch_signatures_sum"), after.get("ceralacca_signatures_total", result="made")),
            (after.get("ceralacca_log_rows"), len(self.gateway.events())),
            (after.get("ceralacca_ready"), 1),
            (after.get("ceralacca_alarm"), 0),
        ]
        for at, (found, wanted) in enumerate(expected):
            self.assertEqual(found, wanted, f"number {at} of the list")
        self.assertGreater(after.get("ceralacca_commit_seconds_count"), before.get("ceralacca_commit_seconds_count"))
        self.assertGreater(after.get("process_resident_memory_bytes"), 10_000_000)
        # The same numbers for people.
        report, code = status(self.gateway)
        self.assertEqual(code, 0, report["alarms"])
        access = next(part for part in report["intake"] if part["point"] == "access")
        self.assertEqual(access["accepted"], after.get("ceralacca_messages_total", point="access", outcome="accepted"))
        page = run([executable(), "status", "--config", self.gateway.configuration]).stdout.decode()
        self.assertTrue(page.startswith("All is well.\n"), page)
        self.assertRegex(page, r"scanner +1 of 1 workers; \d+ scanned")

    def test_the_forms(self):
        self.need("promtool")
        plain = self.fetch(self.gateway, "/metrics").text
        checked = subprocess.run(["promtool", "check", "metrics"], input=plain, text=True, capture_output=True)
        self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))
        other = self.fetch(self.gateway, "/metrics", OPEN_METRICS)
        self.assertEqual(other.headers["Content-Type"], "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.assertTrue(other.text.endswith("\n# EOF\n"))
        self.assertIn("# TYPE ceralacca_messages counter\n", other.text)
        # Every series of the one is in the other.
        self.assertEqual(set(Scrape(plain).values), set(Scrape(other.text).values))

    def test_rules_and_dashboard_name_what_is_there(self):
        self.need("promtool")
        for command in (["check", "rules", RULES], ["test", "rules", RULES.with_suffix("").with_suffix(".rules.test.yml")]):
            done = subprocess.run(["promtool", *command], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        there = set(Scrape(self.fetch(self.gateway, "/metrics").text).values)
        # What a gateway has only when there is something to tell: an entry, a deadline, a seal.
        there |= set(re.findall(r"Family\(\s*\"(ceralacca_\w+_timestamp_seconds|ceralacca_clock_error_bound_seconds)\"",
                                (ROOT / "Sources" / "Gateway" / "MetricFamilies.swift").read_text()))
        there |= set(re.findall(r"gauge\(\s*\"(ceralacca_log_\w+|ceralacca_\w+_timestamp_seconds)\"",
                                (ROOT / "Sources" / "Gateway" / "MetricFamilies.swift").read_text()))
        for file in (RULES, DASHBOARD):
            text = "\n".join(re.findall(r"expr\"?: *(.*)", file.read_text()))
            named = set(re.findall(r"\b((?:ceralacca|process)_[a-z_]+)\b", text))
            self.assertGreater(len(named), 15)
            self.assertEqual(named - there, set(), file.name)
        alarms = {dict(labels)["alarm"] for labels in Scrape(self.fetch(self.gateway, "/metrics").text).values["ceralacca_alarm"]}
        self.assertLessEqual(set(re.findall(r'alarm="([a-z-]+)"', RULES.read_text())), alarms)
        for panel in json.loads(DASHBOARD.read_text())["panels"]:
            self.assertTrue(panel["title"])

    def test_top(self):
        frame = run([executable(), "top", "--once", "--config", self.gateway.configuration])
        self.assertEqual(frame.returncode, 0, frame.stderr)
        words = frame.stdout.decode()
        for heading in ("MAIL, each second", "WORK, each second", "QUEUE by route", "REST"):
            self.assertIn(f"\n{heading}", words)
        self.assertNotIn("\x1b", words)

    def test_top_in_a_terminal(self):
        self.need("tmux")
        tmux = ["tmux", "-L", f"ceralacca-{os.getpid()}"]

        def screen() -> str:
            return subprocess.run([*tmux, "capture-pane", "-p", "-t", "top"], capture_output=True, text=True).stdout

        command = f"{executable()} top --config {self.gateway.configuration}; echo ended $?"
        subprocess.run([*tmux, "new-session", "-d", "-x", "100", "-y", "20", "-s", "top", "env", "PS1=", "sh"], check=True)
        self.addCleanup(subprocess.run, [*tmux, "kill-server"], capture_output=True)
        subprocess.run([*tmux, "send-keys", "-t", "top", command, "Enter"], check=True)
        poll(lambda: "MAIL, each second" in screen(), 60, screen)
        first = screen().splitlines()[0]
        self.assertTrue(first.startswith("ceralacca "), first)
        poll(lambda: screen().splitlines()[0] != first, 60, "another frame")
        # Twenty lines fit, and nothing scrolled.
        self.assertTrue(screen().startswith("ceralacca "))
        subprocess.run([*tmux, "send-keys", "-t", "top", "C-c"], check=True)
        poll(lambda: "ended 0" in screen(), 60, screen)
        self.assertNotIn("MAIL, each second", screen())
        cursor = subprocess.run([*tmux, "display-message", "-p", "-t", "top", "#{cursor_flag} #{alternate_on}"], capture_output=True, text=True)
        self.assertEqual(cursor.stdout.split(), ["1", "0"])


class Rests(Watched):
    """What is held, and until when certificates are good."""

    def test_what_is_held(self):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            gateway = Gateway(nobody.getsockname()[1], lambda yaml: yaml.set("off", "scanner").set("{ port: 0 }", "metrics"))
            self.addCleanup(gateway.stop)
            gateway.start()
            self.assertEqual(self.scrape(gateway).get("ceralacca_queue_held_entries"), 0)
            began = int(time.time())
            run([executable(), "queue", "hold", "--route", "default", "--config", gateway.configuration], check=True)
            sent = compose.simple("Trattenuta", ["fuori@posta.example.test"])
            with gateway.submission() as wire:
                self.assertEqual(transaction(wire, sent.sender, sent.recipients, sent.octets).code, 250)
            poll(lambda: self.scrape(gateway).get("ceralacca_queue_held_entries", route="relay:default") == 1, 30, "the entry that is held")
            since = self.scrape(gateway).get("ceralacca_queue_held_since_timestamp_seconds")
            self.assertTrue(began - 1 <= since <= time.time() + 1, since)
            report = status(gateway)[0]["queue"]
            self.assertEqual([(part["route"], part["held"]) for part in report["routes"]], [("relay:default", 1)])
            page = run([executable(), "status", "--config", gateway.configuration]).stdout.decode()
            self.assertRegex(page, r"relay:default +1 messages, 1 recipients, 1 held")
            run([executable(), "queue", "release", "--route", "default", "--config", gateway.configuration], check=True)
            poll(lambda: self.scrape(gateway).get("ceralacca_queue_held_entries") == 0, 30, "nothing is held")
            self.assertNotIn("ceralacca_queue_held_since_timestamp_seconds", self.scrape(gateway).values)

    def test_every_certificate(self):
        gateway = Gateway(None, lambda yaml: yaml.set("off", "scanner").set("{ port: 0 }", "metrics"))
        self.addCleanup(gateway.stop)
        made = {}
        for name, days, key in (("uno", 20, ["rsa:2048"]), ("due", 400, ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"])):
            file = gateway.folder / f"{name}.pem"
            subprocess.run(
                ["openssl", "req", "-x509", "-nodes", "-newkey", *key, "-keyout", f"{file}.key", "-out", file, "-days", str(days),
                 "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:smtp.{name}.test"], check=True, capture_output=True)
            made[name] = f"{{ certificate: {file}, key: {file}.key }}"
        text = gateway.configuration.read_text()
        gateway.configuration.write_text(re.sub(r"^tls: \{ (.*) \}$", rf"tls: {{ \1, names: [{made['uno']}, {made['due']}] }}", text, flags=re.M))
        gateway.start()
        report = status(gateway)[0]
        shown = {(each["use"], each["name"], each["key"]): each for each in report["certificates"]}
        self.assertEqual([each["use"] for each in report["certificates"]], ["signer", "tls", "tls", "tls"])
        ends = shown["tls", "smtp.uno.test", "RSA"]
        self.assertAlmostEqual(ends["notAfter"] - report["at"], 20 * 86400, delta=600)
        self.assertAlmostEqual(shown["tls", "smtp.due.test", "EC"]["notAfter"] - report["at"], 400 * 86400, delta=600)
        # The one that ends first is the one that is called for.
        words = [alarm["words"] for alarm in report["alarms"] if alarm["name"] == "tls-certificate"]
        days = (ends["notAfter"] - report["at"]) // 86400
        self.assertEqual(words, [f"the TLS certificate for smtp.uno.test (RSA) ends in {days} days"])
        scrape = self.scrape(gateway)
        self.assertEqual(len(scrape.values["ceralacca_certificate_expiry_timestamp_seconds"]), 4)
        self.assertEqual(scrape.get("ceralacca_certificate_expiry_timestamp_seconds", name_="smtp.uno.test", key="RSA", use="tls"), ends["notAfter"])
        self.assertEqual(scrape.get("ceralacca_certificate_start_timestamp_seconds", file=str(gateway.folder / "due.pem")), shown["tls", "smtp.due.test", "EC"]["notBefore"])
        page = run([executable(), "status", "--config", gateway.configuration]).stdout.decode()
        self.assertRegex(page, r"TLS +smtp\.due\.test \(EC\), certificate ends in (399|400) days")


class Readiness(Watched):
    def test_the_scanner_is_killed_and_comes_back(self):
        gateway = Guarded(None, Signatures(), lambda yaml: yaml.set("{ port: 0 }", "metrics"), workers=1).start()
        self.addCleanup(gateway.stop)
        self.assertEqual(self.fetch(gateway, "/ready").status, 200)
        seen: list[str] = []

        def down() -> bool:
            for process in processes.scanners(gateway.process.pid):
                process.signal(signal.SIGKILL)
            answer = self.fetch(gateway, "/ready")
            seen.append(answer.text)
            return answer.status == 503

        poll(down, 60, lambda: f"503 of /ready; {seen[-1:]}", every=0.05)
        self.assertIn("scanner-down: ", seen[-1])
        self.assertEqual(self.fetch(gateway, "/health").status, 200, "a restart of the gateway would not help")
        poll(lambda: self.fetch(gateway, "/ready").status == 200, 120, "200 of /ready")

    def test_a_clock_that_nobody_keeps(self):
        if is_synchronized():
            self.skipTest("a time service keeps this machine's clock, and the kernel can be told otherwise by nobody")
        gateway = Gateway(None, lambda yaml: yaml.set("off", "scanner").set("{ port: 0 }", "metrics").set("{ synchronization: required }", "clock"))
        self.addCleanup(gateway.stop)
        gateway.start()
        answer = self.fetch(gateway, "/ready")
        self.assertEqual(answer.status, 503)
        self.assertRegex(answer.text, r"^clock-untrusted: nothing is certified: .*not synchronized")
        self.assertEqual(self.fetch(gateway, "/health").status, 200)
        report, code = status(gateway)
        self.assertEqual(code, 2)
        self.assertEqual([alarm["name"] for alarm in report["alarms"]], ["clock-untrusted"])
        page = run([executable(), "status", "--config", gateway.configuration])
        self.assertTrue(page.stdout.decode().startswith("ALARM   clock-untrusted: "), page.stdout)
        # What is wrong, a restart would not mend.
        for word, code, said in (("--health", 0, "ok\n"), ("--ready", 2, "clock-untrusted: nothing is certified: ")):
            done = run([executable(), "status", word, "--config", gateway.configuration])
            self.assertEqual(done.returncode, code, word)
            self.assertTrue(done.stdout.decode().startswith(said), done.stdout)
        gateway.stop()
        gateway.configuration.write_text(gateway.configuration.read_text().replace("synchronization: required", "synchronization: warn"))
        gateway.start()
        self.assertEqual(self.fetch(gateway, "/ready").status, 200)

    def test_nobody_answers(self):
        gateway = Gateway(None, lambda yaml: yaml.set("off", "scanner"))
        done = run([executable(), "status", "--config", gateway.configuration])
        self.assertEqual(done.returncode, 69)
        self.assertIn("is it running?", done.stderr.decode())


class LogLines(Watched):
    def test_json_on_standard_output(self):
        gateway = Gateway(
            None, lambda yaml: yaml.set("off", "scanner").set("{ port: 0 }", "metrics").set("{ format: json, level: info, output: stdout }", "log")
        )
        self.addCleanup(gateway.stop)
        gateway.start()
        sent = compose.simple("Righe", [ALDO])
        with gateway.submission() as wire:
            self.assertEqual(transaction(wire, sent.sender, sent.recipients, sent.octets).code, 250)
        with gateway.submission(user=None) as wire:
            self.assertEqual(wire.auth_plain("x\x1b[2J\"\\\x7fy", "no").code, 535)
        gateway.settled()
        gateway.stop()
        lines = gateway.log.read_bytes().decode().splitlines()
        objects = [json.loads(line) for line in lines]
        for one in objects:
            self.assertLessEqual({"time", "level", "message"}, set(one))
            self.assertIsNotNone(datetime.datetime.fromisoformat(one["time"]).tzinfo)
        self.assertTrue(any(one["message"] == "accepted" and one["from"] == ANNA for one in objects))
        rejected = next(one for one in objects if one["message"] == "authentication failed")
        self.assertEqual(rejected["login"], "x\x1b[2J\"\\\x7fy")
        self.assertFalse(any(ord(letter) < 32 or ord(letter) == 127 for line in lines for letter in line))
