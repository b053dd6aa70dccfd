"""What testssl.sh finds on each TLS port: nothing below its best, but what is named here with a reason."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from interop import authority, base
from interop.authority import SERVER, Authority
from interop.base import find, run
from interop.case import InteropTest
from interop.lab import Gateway, Yaml
from interop.sink import Sink

#: Findings that are not the gateway's. `{id: why}`
NOT_OURS = {
    "DNS_CAArecord": "localhost has no records",
    "engine_problem": "testssl.sh speaks of its own OpenSSL, which has no GOST",
    "sessionresumption_ticket": "no grade; over STARTTLS the check itself fails now and then",
}
BELOW = {"LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"}


class Grades(InteropTest):
    def test_every_port(self):
        self.need("testssl", "openssl")
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = Gateway(sink.port)
        ca = Authority(base.new_folder("grades-ca") / "ca", gateway.folder / "ca.pem", gateway.folder / "ca.key")
        # As a public authority makes them: for three months, with a revocation list's address.
        profile = SERVER + "crlDistributionPoints = URI:http://crl.example.test/ca.crl\n"
        server = ca.issue("grades", "/O=Alfa/CN=localhost", profile=profile, ends=timedelta(days=89))
        certificate, key = gateway.folder / "grades.pem", gateway.folder / "grades.key"
        certificate.write_bytes(authority.openssl("x509", "-in", server.path))
        key.write_bytes(authority.openssl("pkey", "-in", server.path))
        yaml = Yaml(gateway.configuration.read_text()).set(f"{{ certificate: {certificate}, key: {key} }}", "tls")
        gateway.configuration.write_text(yaml.text)
        gateway.start()
        self.addCleanup(gateway.stop)
        ports = {"submission": gateway.ports.submission, "submissions": gateway.ports.implicit_tls, "incoming": gateway.ports.incoming}
        with ThreadPoolExecutor(len(ports)) as pool:
            found = dict(zip(ports, pool.map(lambda kind: self.look(gateway, kind, ports[kind]), ports)))
        for kind, findings in found.items():
            with self.subTest(kind):
                said = {finding["id"] for finding in findings}
                # It has looked: protocols, ciphers, the certificate, and the known attacks.
                for wanted in ("TLS1_2", "TLS1_3", "cipherlist_NULL", "cert_chain_of_trust", "heartbleed", "ROBOT", "BEAST"):
                    self.assertIn(wanted, said)
                below = [
                    f"{finding['severity']} {finding['id']}: {finding['finding']}"
                    for finding in findings
                    if finding["severity"] in BELOW and re.sub(r" .*", "", finding["id"]) not in NOT_OURS
                ]
                self.assertEqual(below, [])

    def look(self, gateway: Gateway, kind: str, port: int) -> list[dict]:
        out = base.new_folder("grades") / f"{kind}.json"
        arguments = [find("testssl"), "--quiet", "--color", "0", "--warnings", "off", "--add-ca", gateway.ca, "--jsonfile", out]
        arguments += [] if kind == "submissions" else ["-t", "smtp"]
        done = run(arguments + [f"localhost:{port}"], seconds=580)
        findings = json.loads(out.read_text())
        self.assertGreater(len(findings), 100, done.stdout.decode(errors="replace")[-2000:])
        return findings
