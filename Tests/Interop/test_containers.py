"""compose.yaml, the manifests for Kubernetes and the configurations of the servers around: read by those who would read them in earnest.

No engine and no cluster is here; docker-compose's own check, Kubernetes' published schemas, and the servers themselves are.
"""

import hashlib
import imaplib
import json
import os
import re
import shutil
import socket
import zipfile
from pathlib import Path

from interop.base import REPOSITORY, end, executable, find, free_block, new_folder, poll, port_is_free, run, spawn, tail
from interop.case import InteropTest
from interop.image import USER
from interop.lab import ANNA, Gateway
from interop.postfix import Postfix
from interop.wire import Wire, client_context

APPLIANCE = REPOSITORY / "Appliance"
SERVERS = APPLIANCE / "image" / "servers"
#: Kubernetes' schemas, as a package of Python's registry has them: one file, known by its hash.
SCHEMAS, SCHEMAS_SHA256 = "kubernetes-validate==1.37.0", "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"
#: Reads YAML with Debian's Python, whichever one runs the tests.
LOAD = "import json, sys, yaml; print(json.dumps([each for name in sys.argv[1:] for each in yaml.safe_load_all(open(name)) if each]))"
CHECK = '''
import json, pathlib, sys, urllib.parse, jsonschema

class Resolver(jsonschema.RefResolver):
    """Goes straight where a reference says: the usual one walks through all definitions first, each time."""

    def resolve(self, ref):
        url = urllib.parse.urljoin(self.resolution_scope, ref)
        return url, self.resolve_from_url(url)

    def resolve_fragment(self, document, fragment):
        for part in filter(None, fragment.split("/")):
            document = document[part]
        return document

folder, documents = pathlib.Path(sys.argv[1]), json.load(sys.stdin)
# What the schemas refer to by an address is here.
store = {"https://kubernetes.io/api/_definitions.json": json.loads((folder / "_definitions.json").read_text())}
for document in documents:
    group, _, version = document["apiVersion"].rpartition("/")
    name = document["kind"].lower() + "-" + (group.split(".")[0] + "-" if group else "") + version
    schema = json.loads((folder / (name + ".json")).read_text())
    resolver = Resolver("https://kubernetes.io/api/x", schema, store)
    for error in jsonschema.Draft7Validator(schema, resolver=resolver).iter_errors(document):
        print(document["kind"], document["metadata"]["name"], "/".join(map(str, error.absolute_path)), error.message[:300])
'''


def read(*paths: Path) -> list[dict]:
    done = run(["/usr/bin/python3", "-c", LOAD, *paths])
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


class Compose(InteropTest):
    def setUp(self):
        self.need("docker-compose")

    def services(self) -> dict[str, dict]:
        environment = {**os.environ, "CERALACCA_SECRETS": "/run/keys"}
        done = run(["docker-compose", "-f", APPLIANCE / "compose.yaml", "config"], env=environment)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        place = new_folder("compose") / "config.yaml"
        place.write_bytes(done.stdout)
        return read(place)[0]["services"]

    def test_it_is_complete_and_hardened(self):
        services = self.services()
        self.assertEqual(set(services), {"ceralacca", "postfix", "dovecot", "freshclam", "openldap", "first-index"})
        for name, service in services.items():
            with self.subTest(name):
                self.assertTrue(service["read_only"])
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertEqual(service["security_opt"], ["no-new-privileges:true"])
                self.assertNotIn("privileged", service)
                self.assertLessEqual(set(service.get("cap_add", [])), {"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"})
                self.assertTrue("healthcheck" in service or service["restart"] == "no", "no health check")
                self.assertTrue("user" in service or "cap_add" in service, "neither another user nor a reason for root")
        self.assertEqual(services["ceralacca"]["user"], f"{USER}:{USER}")
        self.assertEqual(self.published(services), {"ceralacca": [25, 465, 587], "dovecot": [993]})

    def test_who_reaches_postfix(self):
        """Its port lets every private address in: no other server is on a network with it, and one of them leads to the world."""
        beside = {name: set(service["networks"]) for name, service in self.services().items()}
        self.assertEqual({name for name, networks in beside.items() if networks & beside["postfix"]}, {"ceralacca", "postfix"})
        declared = read(APPLIANCE / "compose.yaml")[0]["networks"]
        inside = {name for name, network in declared.items() if (network or {}).get("internal")}
        self.assertEqual((beside["postfix"] & inside, beside["postfix"] - inside), ({"envelopes"}, {"out"}))

    @staticmethod
    def published(services: dict[str, dict]) -> dict[str, list[int]]:
        ports = lambda each: int(str(each["target"] if isinstance(each, dict) else each).rpartition(":")[2].partition("/")[0])  # noqa: E731
        return {name: sorted(map(ports, service["ports"])) for name, service in services.items() if service.get("ports")}


class Probes(InteropTest):
    def test_they_need_no_configuration(self):
        """A file that is spoiled under a gateway that runs must not end it: whoever asks for health or readiness asks by the data directory."""
        data = re.search(r"(?m)^dataDirectory: (\S+)$", (SERVERS / "ceralacca.yaml").read_text())[1]
        for name, count in {"compose.yaml": 1, "kubernetes/ceralacca.yaml": 2, "image/Containerfile": 2}.items():
            asked = re.findall(r"\bstatus\b[^\n]*--(?:health|ready)[^\n]*", (APPLIANCE / name).read_text())
            self.assertEqual(len(asked), count, f"{name}: {asked}")
            for each in asked:
                self.assertEqual(re.findall(r"[\w/-]+", each)[-2:], ["--data", data], name)


class Packages(InteropTest):
    def test_the_image_has_what_the_readme_installs(self):
        """And what every Debian has already: the C library and the root's folders."""
        installed = re.search(r"On the machine that runs it: `apt-get install ([^`]*)`", (REPOSITORY / "README.md").read_text())
        done = run(["bash", "-c", f". {APPLIANCE}/image/contents && echo $image_packages"])
        self.assertEqual(set(done.stdout.decode().split()), {*installed[1].split(), "base-files", "libc6"})


class Kubernetes(InteropTest):
    @classmethod
    def setUpClass(cls):
        cls.manifests = read(*sorted((APPLIANCE / "kubernetes").glob("*.yaml")))

    def of_kind(self, kind: str) -> dict[str, dict]:
        return {each["metadata"]["name"]: each for each in self.manifests if each["kind"] == kind}

    def schemas(self) -> Path:
        """The newest strict schemas, fetched once."""
        place = REPOSITORY / ".build" / "kubernetes-schemas"
        wheels = place / "wheels"
        if not list(wheels.glob("*.whl")):
            fetch = ["pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "--no-input", "-d", wheels, SCHEMAS]
            done = run(["python3", "-m", *fetch], seconds=120)
            self.assertEqual(done.returncode, 0, done.stderr.decode())
        wheel = next(wheels.glob("*.whl"))
        self.assertEqual(hashlib.sha256(wheel.read_bytes()).hexdigest(), SCHEMAS_SHA256, "not the schemas that are meant")
        folder = place / "kubernetes_validate" / "kubernetes-json-schema" / "v1.37.0-local-strict"
        if not folder.is_dir():
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(place, [name for name in archive.namelist() if "/v1.37.0-local-strict/" in name])
        return folder

    def against_schemas(self, documents: list[dict]) -> str:
        check = ["/usr/bin/python3", "-W", "ignore", "-c", CHECK, self.schemas()]
        done = run(check, stdin=json.dumps(documents).encode(), seconds=120)
        self.assertEqual(done.returncode, 0, done.stderr.decode()[-2000:])
        return done.stdout.decode()

    def test_the_api_would_take_them(self):
        self.assertEqual(self.against_schemas(self.manifests), "")
        wrong = json.loads(json.dumps(list(self.of_kind("Deployment").values())).replace('"readOnlyRootFilesystem"', '"readOnlyRoot"'))
        self.assertIn("readOnlyRoot", self.against_schemas(wrong), "the schemas see no fault")

    def pods(self) -> dict[str, dict]:
        return {name: each["spec"]["template"]["spec"] for kind in ("StatefulSet", "Deployment") for name, each in self.of_kind(kind).items()}

    def test_they_are_hardened(self):
        pods = self.pods()
        self.assertEqual(set(pods), {"ceralacca", "postfix", "dovecot", "openldap"})
        for name, pod in pods.items():
            self.assertFalse(pod["automountServiceAccountToken"], name)
            self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"}, name)
            self.assertEqual([key for key in pod if key.startswith("host")], [], name)
            for container in [*pod.get("initContainers", []), *pod["containers"]]:
                with self.subTest(f"{name}: {container['name']}"):
                    context = container["securityContext"]
                    self.assertEqual((context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]), (False, True))
                    self.assertEqual(context["capabilities"]["drop"], ["ALL"])
                    root = not pod["securityContext"].get("runAsNonRoot")
                    self.assertEqual(root, "add" in context["capabilities"], "root with nothing it may do, or another user with rights")
                    self.assertIn("memory", container["resources"]["limits"])
            for container in pod["containers"]:
                self.assertLessEqual({"readinessProbe", "livenessProbe"}, set(container), f"{name}: {container['name']}")
        self.assertEqual(pods["ceralacca"]["securityContext"]["runAsUser"], USER)

    def test_they_fit_each_other(self):
        """Volumes, claims, secrets, names and labels that one file speaks of stand in another."""
        for name, pod in self.pods().items():
            declared = {volume["name"] for volume in pod["volumes"]}
            declared |= {claim["metadata"]["name"] for claim in (self.of_kind("StatefulSet").get(name) or {}).get("spec", {}).get("volumeClaimTemplates", [])}
            for container in [*pod.get("initContainers", []), *pod["containers"]]:
                self.assertLessEqual({mount["name"] for mount in container["volumeMounts"]}, declared, name)
            for volume in pod["volumes"]:
                if "secret" in volume:
                    self.assertIn(volume["secret"]["secretName"], self.of_kind("Secret"))
                if "configMap" in volume:
                    self.assertIn(volume["configMap"]["name"], self.of_kind("ConfigMap"))
        labels = {each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] for kind in ("StatefulSet", "Deployment") for each in self.of_kind(kind).values()}
        for service in self.of_kind("Service").values():
            self.assertIn(service["spec"]["selector"]["app.kubernetes.io/name"], labels)
        asked = set(re.findall(r"\b(postfix|dovecot|openldap):(\d+)\b", (SERVERS / "ceralacca.yaml").read_text()))
        for host, port in asked:
            self.assertIn(int(port), [each["port"] for each in self.of_kind("Service")[host]["spec"]["ports"]], host)
        self.assertEqual({each["metadata"]["namespace"] for each in self.manifests if each["kind"] != "Namespace"}, {"ceralacca"})

    def test_configurations_are_the_files(self):
        for name, each in self.of_kind("ConfigMap").items():
            for file, text in each["data"].items():
                self.assertEqual(text, (SERVERS / file).read_text(), f"ConfigMap {name}: {file} is not what Appliance/image/servers has")


class Configurations(InteropTest):
    """Each server reads its own file, with places that are there."""

    @classmethod
    def setUpClass(cls):
        cls.lab, cls.folder = Gateway(), new_folder("containers")
        alfa, cls.keys = cls.lab.folder / "alfa", cls.folder / "secrets"
        cls.keys.mkdir()
        for name, source in {"signer.pem": alfa / "signer.pem", "signer.key": alfa / "signer.pem", "tls.pem": alfa / "tls.pem",
                             "tls.key": alfa / "tls.key", "users": alfa / "users", "ca.pem": cls.lab.ca, "authorities.pem": cls.lab.ca}.items():  # fmt: skip
            shutil.copy(source, cls.keys / name)
        (cls.keys / "master.password").write_text("master-secret\n")
        hashed = run([find("openssl"), "passwd", "-6", "master-secret"]).stdout.decode().strip()
        (cls.keys / "masters").write_text(f"ceralacca:{hashed}\n")

    def copy(self, name: str, **places: str) -> Path:
        text = (SERVERS / name).read_text().replace("/run/secrets", str(self.keys))
        for old, new in places.items():
            text = text.replace(old, new)
        to = self.folder / name
        to.write_text(text)
        return to

    def test_ceralacca(self):
        (self.folder / "data").mkdir()
        shutil.copy(self.lab.folder / "index.ldif", self.folder / "data" / "index.ldif")
        signatures = re.search(r'database: "?([^",}\s]+)', self.lab.configuration.read_text())[1]
        text = self.copy("ceralacca.yaml").read_text()
        for old, new in {"/var/lib/ceralacca": f"{self.folder}/data", "/var/lib/clamav": signatures, "Esempio PEC S.p.A.": "Alfa PEC S.p.A.",
                         "pec.example.org": "pec.alfa.test", "mx.example.org": "mx.alfa.test"}.items():  # fmt: skip
            text = text.replace(old, new)
        (self.folder / "ceralacca.yaml").write_text(text)
        done = run([executable(), "check", "--config", self.folder / "ceralacca.yaml"])
        self.assertEqual(done.returncode, 0, done.stdout.decode() + done.stderr.decode())

    def test_postfix(self):
        self.need("postconf")
        place = self.folder / "postfix"
        place.mkdir()
        for name in ("main.cf", "master.cf"):
            shutil.copy(SERVERS / name, place / name)
        for asked in ("-n", "-M"):
            done = run([find("postconf"), "-c", place, asked])
            self.assertEqual((done.returncode, done.stderr.decode()), (0, ""), asked)
        self.assertIn(b"10026", done.stdout)

    def test_postfix_puts_strangers_off(self):
        """An address that the list forgot hears 450, which Ceralacca tries again, and not 554, of which it tells senders for good."""
        self.need("postfix")
        if os.geteuid() != 0:
            self.skipTest("needs root")
        lines = (SERVERS / "main.cf").read_text().splitlines()
        ours = dict(line.split(" = ", 1) for line in lines if line.startswith(("mynetworks", "smtpd_")) and " = " in line)
        self.assertIn("100.64.0.0/10", ours["mynetworks"].split(), "what pods often have")
        for networks, code in ((ours["mynetworks"], 250), ("192.0.2.0/24", 450)):
            server = Postfix("containers", {**ours, "mynetworks": networks}).start()
            self.addCleanup(server.stop)
            with Wire(server.port, seconds=20) as wire:
                wire.ehlo("mx.example.org")
                self.assertEqual(wire.command("MAIL FROM:<posta-certificata@pec.example.org>").code, 250)
                self.assertEqual(wire.command("RCPT TO:<bruno@pec.example.net>").code, code, networks)

    def test_dovecot(self):
        self.need("doveconf")
        lmtp, imaps, quota = (first := free_block(3)), first + 1, first + 2
        mail, state = self.folder / "vmail", self.folder / "dovecot"
        for place in (mail, state):
            place.mkdir()
        os.chown(mail, 5000, 5000)
        # As in the container: readable for a group, and for nobody else but its owner.
        for name in ("users", "masters"):
            shutil.chown(self.keys / name, group="mail")
            (self.keys / name).chmod(0o440)
        places = {"/var/vmail": str(mail), "extra_groups = vmail": "extra_groups = mail", "/run/dovecot": str(state), "port = 24\n": f"port = {lmtp}\n", "port = 993": f"port = {imaps}", "port = 12340": f"port = {quota}", "storage=1G": "storage=100K"}
        server = spawn([find("dovecot"), "-F", "-c", self.copy("dovecot.conf", **places)], self.folder / "dovecot.log")
        self.addCleanup(end, server)
        poll(lambda: not port_is_free(lmtp) and not port_is_free(imaps), 30, lambda: f"Dovecot:\n{tail(self.folder / 'dovecot.log')}")
        with Wire(lmtp, seconds=20) as wire:
            wire.command("LHLO mx.example.org")
            self.assertEqual(wire.command("MAIL FROM:<>").code, 250)
            self.assertEqual(wire.command(f"RCPT TO:<{ANNA}>").code, 250, "a holder")
            self.assertEqual(wire.command("RCPT TO:<nessuno@pec.alfa.test>").code, 550, "nobody")
            self.assertEqual(wire.data(b"Subject: prova\r\n\r\nBuongiorno.\r\n").code, 250)
        self.assertEqual(len(list((mail / "pec.alfa.test" / "anna" / "Maildir" / "new").iterdir())), 1)
        for bytes, action in ((50_000, b"DUNNO"), (500_000, b"552 5.2.2 Mailbox is full")):
            with socket.create_connection(("127.0.0.1", quota), 20) as service:
                service.sendall(f"request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient={ANNA}\nsize={bytes}\n\n".encode())
                said = service.makefile("rb")
                self.assertEqual(said.readline() + said.readline(), b"action=" + action + b"\n\n")
        # Ceralacca's way to look: in the holder's name, with its own.
        with imaplib.IMAP4_SSL("127.0.0.1", imaps, ssl_context=client_context(self.lab.ca), timeout=20) as imap:
            imap.authenticate("PLAIN", lambda _: f"{ANNA}\0ceralacca\0master-secret".encode())
            self.assertEqual(imap.select("INBOX", readonly=True)[1], [b"1"])

    def test_freshclam(self):
        self.need("freshclam")
        done = run([find("freshclam"), f"--config-file={SERVERS / 'freshclam.conf'}", "--version"])
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertNotIn(b"WARNING", done.stdout + done.stderr)

    def test_the_index_by_ldap(self):
        """The scripts of the OpenLDAP image, as they stand: it serves the laboratory's index, and a Ceralacca without one gets it there."""
        self.need("slapd", "slapadd", "ldapsearch")
        port = free_block(1)
        shutil.copy(REPOSITORY / "Tests" / "LDAPSearchTests" / "Fixtures" / "postacert.schema", self.folder)
        (self.folder / "run").mkdir()
        self.copy("slapd.conf", **{"/etc/ldap/postacert.schema": f"{self.folder}/postacert.schema", "/run/slapd": f"{self.folder}/run"})
        places = {"/etc/ldap/slapd.conf": f"{self.folder}/slapd.conf", "/run/slapd": f"{self.folder}/run", ":1636": f"127.0.0.1:{port}",
                  "/etc/index/index.ldif": str(self.lab.folder / "index.ldif")}  # fmt: skip
        serve = self.copy("serve-index", **places)
        environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin", "LDAPTLS_CACERT": str(self.lab.ca)}
        server = spawn(["sh", serve], self.folder / "slapd.log", env=environment)
        self.addCleanup(end, server)
        first = ["sh", SERVERS / "first-index", f"ldaps://127.0.0.1:{port}", self.folder / "index.ldif"]
        poll(lambda: run(first, env=environment).returncode == 0, 30, lambda: f"an index; slapd:\n{tail(self.folder / 'slapd.log')}", every=0.2)
        before = (self.folder / "index.ldif").stat()
        end(server)
        # What is there stays, and nobody is asked.
        self.assertEqual(run(first, env=environment).returncode, 0)
        self.assertEqual((self.folder / "index.ldif").stat(), before)
        done = run([executable(), "index", "check", self.folder / "index.ldif"])
        self.assertEqual(done.returncode, 0, done.stdout.decode() + done.stderr.decode())
        self.assertIn(b"pec.beta.test", (self.folder / "index.ldif").read_bytes())
