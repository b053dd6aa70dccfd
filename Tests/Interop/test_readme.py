"""Every command that README.md gives is run here, as it stands there, on a laboratory with ports and a folder of its own.

`./Appliance/run` and `./Appliance/test` are what CI runs, and `swift build …` is how they build; those are looked for where they are run.
A command that nobody here knows fails the test: whoever writes it into README.md teaches it to this file.
"""

import os
import re
import subprocess

from interop.base import HERE, executable, new_folder, poll
from interop.case import InteropTest
from interop.lab import ANNA, Lab

ROOT = HERE.parents[1]
#: Commands that are not run here, and the file that runs them.
ELSEWHERE = {
    "./Appliance/run": ".ci/run",
    "./Appliance/test": ".ci/run",
    "./Appliance/image/build": "Tests/Interop/interop/image.py",
    "./Benchmarks/run": ".ci/run",  # the quick form of it
    "./Benchmarks/run --quick": ".ci/run",
    "./Benchmarks/run log": ".ci/run",
    "./Benchmarks/run scan": ".ci/run",  # the quick form of it
    "./Benchmarks/run instructions": ".ci/run",
    "./Benchmarks/run copies": ".ci/run",
    "./Benchmarks/run queued logged start": ".ci/run",
    "./Benchmarks/run sizing": ".ci/run",  # the quick form of it
    "./Appliance/run lab --dir /tmp/lab --base-port 25000": None,  # the laboratory of this test
    "swift build -c release --product ceralacca --static-swift-stdlib": "Appliance/common",
    "swift build -c release --product ceralacca-scanner --static-swift-stdlib": "Appliance/common",
}
BEGINNINGS = ("./", "swaks ", "sed ", "message=", "swift ", "install ", "openssl ", "ceralacca ", "kill ", "apt-get ")


class ReadMe(InteropTest):
    def blocks(self) -> list[str]:
        """The shell commands, a block at a time, with continued lines joined and remarks taken off."""
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        blocks = re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M)
        return [re.sub(r"\s+#.*$", "", block.replace("\\\n", " "), flags=re.M).strip() for block in blocks]

    def test_every_command(self):
        self.need("swaks", "openssl", "bash")
        lab = Lab()
        self.addCleanup(lab.stop)
        programs = new_folder("readme-bin")
        done = 0
        for block in self.blocks():
            left = []
            for line in block.split("\n"):
                command = re.sub(r"\s+", " ", line).strip()
                if command in ELSEWHERE:
                    self.run_elsewhere(command)
                elif command:
                    self.assertTrue(command.startswith(BEGINNINGS), f"README.md has a command that no test knows: {command}")
                    left.append(line)
            if left:
                self.run_here("\n".join(left), lab, programs)
                done += 1
                if left[0].startswith("swaks"):
                    # What the next commands look at has arrived.
                    poll(lambda: len(lab.mailbox(ANNA).matching(lambda stored: True)) >= 1 and lab.world.matching(lambda stored: True), 30, "mail")
        self.assertGreater(done, 4, "README.md was not read as it is written")

    def run_elsewhere(self, command: str) -> None:
        where = ELSEWHERE[command]
        if where:
            words = (ROOT / where).read_text(encoding="utf-8").replace('--package-path "$root" ', "")
            self.assertIn(command, words, f"{where} does not run what README.md says: {command}")

    def run_here(self, script: str, lab: Lab, programs) -> None:
        script = re.sub(r"\./Appliance/run|\.build/release/ceralacca", str(executable()), script).replace("/tmp/lab", str(lab.folder))
        script = re.sub(r"\b250(\d\d)\b", lambda found: str(lab.ports.first + int(found[1])), script)
        script = script.replace("/usr/local/bin/", f"{programs}/")
        run = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=120, env=dict(os.environ))
        self.assertEqual(run.returncode, 0, f"{script}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}")
