"""The runbook: every alarm has its place in it, and every command of it is run, in the order of the page, against a gateway of the laboratory.

`systemctl` stands for the service manager, which is not here: a script in its place stops and starts the same gateway.
"""

import os
import re
import subprocess
from pathlib import Path

from interop.base import HERE, executable, new_folder, poll, run
from interop.case import InteropTest
from interop.compose import simple
from interop.lab import ANNA, Gateway
from interop.sink import Sink

ROOT = HERE.parents[1]
PAGE = ROOT / "Appliance" / "runbook.md"
CONFIGURATION = "/etc/ceralacca/ceralacca.yaml"
#: Exit code of a command that is not spelled right, which `|| true` must not hide.
USAGE = 64

SERVICE = """#!/usr/bin/python3
import json, os, signal, subprocess, sys, time
program, configuration, log = {program!r}, {configuration!r}, {log!r}
status = [program, "status", "--config", configuration]
if sys.argv[1:] == ["stop", "ceralacca"]:
    pid = json.loads(subprocess.run(status + ["--json"], capture_output=True, text=True).stdout)["process"]
    os.kill(pid, signal.SIGTERM)
    while os.path.exists(f"/proc/{{pid}}") and "State:\\tZ" not in open(f"/proc/{{pid}}/status").read():
        time.sleep(0.05)
elif sys.argv[1:] == ["start", "ceralacca"]:
    output = open(log, "ab")
    subprocess.Popen([program, "serve", "--config", configuration], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    while subprocess.run(status + ["--health"], capture_output=True).returncode != 0:
        time.sleep(0.05)
else:
    sys.exit(f"not known here: {{sys.argv[1:]}}")
"""


class Runbook(InteropTest):
    def test_every_alarm_has_its_place(self):
        places = set(re.findall(r"^### ([a-z-]+)$", PAGE.read_text("utf-8"), re.M))
        rules = (ROOT / "Appliance" / "prometheus" / "ceralacca.rules.yml").read_text("utf-8")
        named = set(re.findall(r"runbook\.md#([a-z-]+)", rules))
        for use in ("signer", "tls", "stamp"):
            named |= {anchor.replace("{{ $labels.use }}", use) for anchor in re.findall(r"runbook\.md#(\{\{ \$labels\.use \}\}[a-z-]+)", rules)}
        source = (ROOT / "Sources" / "Gateway" / "Alarms.swift").read_text("utf-8")
        names = re.search(r"static let names = \[(.*?)\]", source, re.S)[1]
        named |= set(re.findall(r'"([a-z-]+)"', names))
        self.assertGreater(len(named), 25, "the alarms were not read as they are written")
        self.assertEqual(named - places, set(), "alarms without a place in the runbook")

    def blocks(self) -> list[str]:
        return re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)

    def test_every_command(self):
        self.need("bash", "tar", "python3")
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = Gateway(sink.port)
        folder = new_folder("runbook")
        data = Path(re.search(r'(?m)^dataDirectory: *"?([^"\n]+)', gateway.configuration.read_text())[1])
        data = data if data.is_absolute() else gateway.configuration.parent / data
        programs = folder / "bin"
        programs.mkdir()
        (programs / "ceralacca").symlink_to(executable())
        service = programs / "systemctl"
        service.write_text(SERVICE.format(program=executable(), configuration=str(gateway.configuration), log=str(gateway.log)))
        service.chmod(0o755)
        self.addCleanup(run, [service, "stop", "ceralacca"])
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "C": f"--config {gateway.configuration}"}
        subprocess.run([service, "start", "ceralacca"], check=True, timeout=60)
        sent = simple("Prima del guasto", ["giulia@posta.example.test"])
        with gateway.trusted() as session:
            session.envelope(ANNA, sent.recipients)
            self.assertEqual(session.data(sent.octets).code, 250)
        poll(lambda: sink.taken, 30, "the envelope at the sink")
        places = {
            f'C="--config {CONFIGURATION}"': f'test "$C" = "--config {gateway.configuration}"',
            "/backup/": f"{folder}/",
            "/var/lib/ceralacca": str(data),
            "/root/": f"{folder}/",
            "/tmp/": f"{folder}/",
        }
        done = 0
        for block in self.blocks():
            script = re.sub(r"\s+#.*$", "", block, flags=re.M).replace("|| true", f"|| [ $? -ne {USAGE} ]")
            # In one pass: what was put in is not looked at again.
            script = re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], script)
            for word in re.findall(r"^\s*([^\s=]+)", script, re.M):
                self.assertIn(word, {"ceralacca", "systemctl", "tar", "mv", "du", "printf", "test"}, f"a command that no test knows: {word}")
            with self.subTest(script):
                ended = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=120, env=environment)
                self.assertEqual(ended.returncode, 0, f"{script}\n{ended.stdout[-1500:]}\n{ended.stderr[-1500:]}")
            done += 1
        self.assertGreater(done, 25, "the runbook was not read as it is written")
        # What was restored is what was there.
        left = run([executable(), "queue", "list", "--json", "--config", gateway.configuration])
        self.assertEqual((left.returncode, left.stdout), (0, b""))
        found = run([executable(), "log", "search", "--sender", ANNA, "--json", "--config", gateway.configuration])
        self.assertIn(b"accettazione", found.stdout)
