"""The container image, driven from its own root file system: as another user than root, nothing writable but its volumes.

No engine runs here; bubblewrap gives the image what an engine would (interop/image.py). The image is built once for what it is made of.
"""

import os
import re
import shlex
import zipfile
from pathlib import Path

from interop import compose, dialogue
from interop.base import run
from interop.case import InteropTest
from interop.guarded import EICAR, EICAR_NAME
from interop.image import USER, Boxed, Image
from interop.lab import ANNA, BIANCA, BRUNO
from interop.sink import Sink

#: What it may be at most; what it is stands in README.md.
PACKED_BYTES, UNPACKED_BYTES = 110_000_000, 260_000_000


class Contents(InteropTest):
    @classmethod
    def setUpClass(cls):
        cls.image = Image.built()

    def test_it_is_small(self):
        unpacked = sum(member.size for member in self.image.members.values())
        self.assertLess(self.image.packed_bytes, PACKED_BYTES)
        self.assertLess(unpacked, UNPACKED_BYTES)
        self.assertGreater(unpacked, 50_000_000, "that cannot be all of it")

    def test_it_says_how_it_is_run(self):
        said = self.image.configuration
        self.assertEqual(said["Entrypoint"] + said["Cmd"][:1], ["/usr/local/bin/ceralacca", "serve"])
        self.assertEqual((said["User"], said["StopSignal"], list(said["Volumes"])), (f"{USER}:{USER}", "SIGTERM", ["/var/lib/ceralacca"]))
        self.assertIn(f"ceralacca:x:{USER}:{USER}:", (self.image.root / "etc/passwd").read_text())
        labels = said["Labels"]
        for name in ("title", "description", "licenses", "version", "revision", "created", "vendor", "documentation"):
            self.assertTrue(labels.get(f"org.opencontainers.image.{name}"), name)
        self.assertTrue((self.image.root / labels["org.opencontainers.image.documentation"].lstrip("/")).is_file())

    def test_nothing_in_it_raises_rights_or_runs_but_ceralacca(self):
        members = self.image.members
        self.assertEqual([name for name, each in members.items() if each.mode & 0o7000 or (each.mode & 0o022 and not each.issym())], [])
        owners = {name: (each.uid, each.gid) for name, each in members.items() if (each.uid, each.gid) != (0, 0)}
        self.assertEqual(owners, {"var/lib/ceralacca": (USER, USER)})
        self.assertEqual([name for name, each in members.items() if each.isdev()], [])
        for folder in ("usr/bin", "usr/sbin", "usr/local/sbin", "usr/games", "sbin", "bin"):
            self.assertEqual(list((self.image.root / folder).glob("*")), [], f"programs in /{folder}")
        self.assertEqual(sorted(path.name for path in (self.image.root / "usr/local/bin").iterdir()), ["ceralacca", "ceralacca-scanner"])

    def test_the_bill_names_every_package_and_its_licence(self):
        bill, root = self.image.bill, self.image.root
        self.assertEqual(bill["spdxVersion"], "SPDX-2.3")
        named = {row["name"]: row for row in bill["packages"]}
        present = {path.name for path in (root / "var/lib/dpkg/status.d").iterdir() if path.suffix != ".list"}
        self.assertGreater(len(present), 30)
        debian = {name for name, row in named.items() if row["externalRefs"][0]["referenceLocator"].startswith("pkg:deb/")}
        self.assertEqual(debian, present)
        for name in present:
            fields = (root / "var/lib/dpkg/status.d" / name).read_text()
            self.assertEqual(re.search(r"^Version: (.*)$", fields, re.M)[1], named[name]["versionInfo"], name)
            self.assertTrue((root / "usr/share/doc" / name / "copyright").resolve(), name)
        self.assertLessEqual({"ceralacca", "grdb.swift", "swift-argument-parser", "swift-log", "yams", "swift-runtime"}, set(named))
        declared = " ".join(row["licenseDeclared"] for row in bill["packages"])
        self.assertNotIn("NOASSERTION", declared)
        defined = {row["licenseId"] for row in bill["hasExtractedLicensingInfos"]}
        self.assertEqual(set(re.findall(r"LicenseRef-[A-Za-z0-9.-]+", declared)), defined)
        identifiers = [row["SPDXID"] for row in bill["packages"]]
        self.assertEqual(len(set(identifiers)), len(identifiers))
        related = {end for link in bill["relationships"] for end in (link["spdxElementId"], link["relatedSpdxElement"])}
        self.assertEqual(related, {*identifiers, "SPDXRef-DOCUMENT"})
        for name in ("grdb.swift", "swift-argument-parser", "swift-log", "yams", "swift-runtime"):
            folders = {path.name.lower(): path for path in (root / "usr/share/doc/ceralacca/licences").iterdir()}
            self.assertTrue(list(folders[name].glob("LICENSE*")), name)
        self.assertIn("EUPL", (root / "usr/share/doc/ceralacca/LICENSE").read_text()[:400])

    def test_every_file_belongs_to_a_package(self):
        """Whatever is executable or a library was brought by a package of the bill, or is ours."""
        lists = (self.image.root / "var/lib/dpkg/status.d").glob("*.list")
        owned = {name for path in lists for name in path.read_text().split("\n")}
        strangers = []
        for name, member in self.image.members.items():
            if not member.isfile() or name.startswith("usr/local/bin/ceralacca"):
                continue
            if member.mode & 0o111 or re.search(r"\.so(\.\d+)*$", name):
                if not owned & {f"/{name}", f"/{name}".removeprefix("/usr")}:
                    strangers.append(name)
        self.assertEqual(strangers, [])

    def test_libraries_are_complete(self):
        """The image's own loader finds everything for every executable and library in it."""
        root = self.image.root
        loader = next(path for path in (root / "usr/lib").rglob("ld-linux-*.so.*") if path.is_file())
        places = [path for path in (root / "usr/lib").iterdir() if path.name.endswith("-linux-gnu")]
        for name in ("usr/local/bin/ceralacca", "usr/local/bin/ceralacca-scanner"):
            done = run([loader, "--library-path", places[0], "--list", root / name])
            said = done.stdout.decode() + done.stderr.decode()
            self.assertEqual(done.returncode, 0, said)
            self.assertNotIn("not found", said)
            self.assertNotIn("libswift", said)


class Running(InteropTest):
    """Both providers of the laboratory run in the image."""

    @classmethod
    def setUpClass(cls):
        cls.image = Image.built()
        cls.sink = Sink()
        cls.alfa = Boxed(cls.image, cls.sink.port)
        cls.beta = Boxed(cls.image, cls.sink.port, provider="beta", beside=cls.alfa)
        for gateway in (cls.alfa, cls.beta):
            gateway.start()

    @classmethod
    def tearDownClass(cls):
        for gateway in (cls.alfa, cls.beta):
            gateway.stop()
        cls.sink.stop()

    def setUp(self):
        self.need("bwrap", "setpriv", "openssl", "xmllint")

    def test_a_certified_conversation(self):
        """Anna writes to Bruno and Bianca: the whole of pec-rules 14, judged as it is outside of containers."""
        sent = compose.simple("Domanda dal contenitore", [BRUNO, BIANCA])
        with self.alfa.submission(ANNA) as wire:
            wire.envelope(sent.sender, sent.recipients)
            reply = wire.data(sent.octets)
            self.assertEqual(reply.code, 250, reply)
        said = dialogue.gather(self.alfa, sent)
        by_openssl = lambda stored, signer: self.alfa.judge_of(signer).openssl(stored.octets)  # noqa: E731
        forms = {BRUNO: "completa", BIANCA: "completa"}
        self.fine(dialogue.judge(self.alfa, sent, said, "completa", forms, by_openssl), "the conversation")
        self.alfa.settled()

    def test_a_virus_is_found(self):
        """The scanner works, and it is shut in as it is anywhere: by Landlock and seccomp, which need no rights."""
        sent = compose.simple("Con un ospite", [BRUNO], body=EICAR + b"\r\n")
        with self.alfa.submission(ANNA) as wire:
            wire.envelope(sent.sender, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        notice = compose.receipt(self.alfa.mailbox(ANNA), sent, "non-accettazione", 60)
        self.assertEqual(notice.message.data.error, "virus")
        self.assertIn(EICAR_NAME, str(self.alfa.operator("quarantine", "list")))
        done = self.alfa.inside("/usr/local/bin/ceralacca-scanner", "--self-test", "--key", "/etc/ceralacca/signer.pem")
        tried = re.findall(r"^  (.+?)  +(\S.*)$", done.stdout.decode(), re.M)
        self.assertGreater(len(tried), 20, done.stdout)
        # What the read-only root refuses first says nothing about the fences; everything else must be theirs.
        wrong = [each for each in tried if not each[1].startswith("denied") and each[1] != "not shown: Read-only file system"]
        self.assertEqual(wrong, [], done.stderr)
        self.assertIn(("open the key file", "denied: Permission denied"), tried)

    def processes(self) -> dict[str, list[dict[str, str]]]:
        """What the kernel says of the processes of Alfa's box, by name."""
        space = os.readlink(f"/proc/{self.alfa.pid}/ns/pid")
        found: dict[str, list[dict[str, str]]] = {}
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(place / "ns/pid") != space:
                    continue
                status = dict(line.split(":\t", 1) for line in (place / "status").read_text().splitlines() if ":\t" in line)
            except OSError:
                continue
            found.setdefault(status["Name"], []).append(status)
        return found

    def test_nobody_in_it_has_rights(self):
        found = self.processes()
        self.assertEqual(len(found["ceralacca"]), 1)
        self.assertGreaterEqual(len(found["ceralacca-scann"]), 3, "a parent and two workers")
        for each in (status for statuses in found.values() for status in statuses):
            self.assertEqual(set(each["Uid"].split()) | set(each["Gid"].split()), {str(USER)}, each["Name"])
            self.assertEqual((int(each["CapEff"], 16), int(each["CapBnd"], 16), each["NoNewPrivs"].strip()), (0, 0, "1"), each["Name"])
        for each in found["ceralacca-scann"]:
            self.assertEqual(each["Seccomp"].strip(), "2", "a scanner without its filter")

    def test_nothing_is_writable_but_its_volumes(self):
        rows = [line.split() for line in Path(f"/proc/{self.alfa.pid}/mountinfo").read_text().splitlines()]
        writable = {row[4] for row in rows if "rw" in row[5].split(",") and not row[4].startswith(("/proc", "/dev/"))}
        self.assertEqual(writable, {"/var/lib/ceralacca"})
        for folder in ("/tmp/x", "/run/x", "/var/x", "/usr/x", "/etc/ceralacca/x", "/var/lib/clamav/x", "/dev/x", "/x"):
            done = self.alfa.inside("/usr/local/bin/ceralacca", "lab", "--dir", folder)
            self.assertNotEqual(done.returncode, 0, folder)
            self.assertRegex(done.stderr.decode(), "(?i)read-only|not permitted|permission", folder)
        self.assertNotIn("Read-only file system", self.alfa.said)

    def test_printed_pages_have_letters(self):
        """Fonts and time zones are in it: an extract with a PDF, in legal time."""
        with self.alfa.submission(ANNA) as wire:
            sent = compose.simple("Da stampare", [BRUNO])
            wire.envelope(sent.sender, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        compose.receipt(self.alfa.mailbox(ANNA), sent)
        ceralacca, config = "/usr/local/bin/ceralacca", ("--config", "/etc/ceralacca/ceralacca.yaml")
        done = self.alfa.inside(ceralacca, "seal", "now", *config)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.alfa.inside(ceralacca, "log", "extract", "--for", ANNA, "--to-file", "/var/lib/ceralacca/extract.zip", *config)
        self.assertEqual(done.returncode, 0, done.stderr)
        with zipfile.ZipFile(self.alfa.volume / "extract.zip") as archive:
            pages = [name for name in archive.namelist() if name.endswith(".pdf")]
            self.assertTrue(pages, archive.namelist())
            self.assertIn(b"DejaVu", archive.read(pages[0]))

    def test_it_stops_and_starts_again(self):
        """PID 1 hears the engine's signal, ends in order, and finds its volume again."""
        before = len(self.beta.events())
        self.assertEqual(self.beta.stop(), 0, self.beta.said[-1500:])
        self.beta.start()
        self.assertGreaterEqual(len(self.beta.events()), before)

    def test_the_health_check(self):
        """Well while it runs, and not when it does not."""
        command = shlex.split(self.image.configuration["Labels"]["org.ceralacca.healthcheck"])
        done = self.alfa.inside(*command)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(self.beta.stop(), 0)
        self.addCleanup(self.beta.start)
        self.assertNotEqual(self.beta.inside(*command).returncode, 0)
