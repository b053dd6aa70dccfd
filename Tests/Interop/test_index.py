"""The provider index from a directory server and from an HTTPS server: fetched, verified, refused when tampered with, kept through an
outage. What holds is seen from outside, by the class of a recipient in an acceptance receipt."""

import json
import os
import re
import time

from interop import authority, base, compose
from interop.authority import SERVER, Authority, Identity
from interop.base import executable, poll, run
from interop.case import InteropTest
from interop.directories import Publisher, Slapd
from interop.lab import ANNA, Gateway, Yaml
from interop.sink import Sink

EX_TEMPFAIL = 75
NEW = "pec.delta.test"


class Index(InteropTest):
    def setUp(self):
        self.need("openssl")
        self.sink = Sink()
        self.addCleanup(self.sink.stop)
        self.gateway = Gateway(self.sink.port)
        self.addCleanup(self.gateway.stop)
        self.folder = self.gateway.folder
        self.ca = Authority(base.new_folder("index-ca") / "ca", self.folder / "ca.pem", self.folder / "ca.key")
        server = self.ca.issue("server", "/O=Indice/CN=localhost", profile=SERVER)
        self.certificate, self.key = self.folder / "index-server.pem", self.folder / "index-server.key"
        self.certificate.write_bytes(authority.openssl("x509", "-in", server.path))
        self.key.write_bytes(authority.openssl("pkey", "-in", server.path))
        self.operator = Identity(self.folder / "index-signer.pem")
        self.old = (self.folder / "index.ldif").read_bytes()
        self.file = self.folder / "alfa" / "fetched.ldif"
        self.file.write_bytes(self.old)

    def more(self, domain: str = NEW) -> bytes:
        """The index with one more domain of Gamma's."""
        changed = self.old.replace(b"managedDomains: pec.gamma.test", f"managedDomains: pec.gamma.test\nmanagedDomains: {domain}".encode())
        self.assertNotEqual(changed, self.old)
        return changed

    def without(self, domain: str) -> bytes:
        """The index without a provider."""
        records = re.split(rb"\n\n+", self.old.replace(b"\r\n", b"\n").strip())
        kept = [each for each in records if domain.encode() not in each]
        self.assertEqual(len(kept), len(records) - 1)
        return b"\n\n".join(kept) + b"\n"

    def signed(self, ldif: bytes, by: Identity | None = None) -> bytes:
        return authority.sign(ldif, [by or self.operator], inside=True)

    def start(self, index: str) -> None:
        text = self.gateway.configuration.read_text()
        self.gateway.configuration.write_text(Yaml(text).set(index, "index").text)
        self.gateway.start()

    def start_https(self, publisher: Publisher) -> None:
        self.start(
            f'{{ file: {self.file}, signers: {self.folder / "index-operator.pem"}, '
            f'fetch: {{ url: "{publisher.url}", caFile: {self.folder / "ca.pem"} }} }}'
        )

    def fetch(self, *options: str) -> tuple[int, str]:
        done = run([executable(), "index", "fetch", *options, "--config", self.gateway.configuration])
        return done.returncode, done.stdout.decode() + done.stderr.decode()

    def fetched(self, *options: str) -> str:
        code, said = self.fetch(*options)
        self.assertEqual(code, 0, said)
        return said

    def refused(self, *words: str) -> str:
        code, said = self.fetch()
        self.assertEqual(code, EX_TEMPFAIL, said)
        self.assertTrue(said.strip(), "refused without a word")
        for word in words:
            self.assertRegex(said, f"(?i){word}")
        return said

    def kind(self, domain: str) -> str:
        """`certificato` or `esterno`, as the acceptance receipt says."""
        sent = compose.simple("Indice", [f"x@{domain}"])
        with self.gateway.trusted() as wire:
            wire.envelope(ANNA, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        return compose.receipt(self.gateway.mailbox(ANNA), sent).message.data.recipients[0][1]

    def is_known(self, domain: str) -> bool:
        return self.kind(domain) == "certificato"


class ByHTTPS(Index):
    def publisher(self, octets: bytes | None) -> Publisher:
        publisher = Publisher(self.certificate, self.key)
        publisher.octets = octets
        self.addCleanup(publisher.stop)
        return publisher

    def test_fetched_at_start_and_on_demand(self):
        self.file.write_bytes(self.signed(self.old))
        publisher = self.publisher(self.signed(self.old))
        self.start_https(publisher)
        poll(lambda: publisher.asked, 20, "the fetch of the schedule, at the start")
        self.assertFalse(self.is_known(NEW))
        publisher.octets = self.signed(self.more())
        said = self.fetched()
        self.assertIn(NEW, said, "the change is not told")
        self.assertTrue(self.is_known(NEW))
        self.assertIn(NEW, self.gateway.log.read_text(), "the change is not in the log")

    def alarms(self) -> set[str]:
        done = run([executable(), "status", "--json", "--config", self.gateway.configuration])
        return {alarm["name"] for alarm in json.loads(done.stdout)["alarms"]}

    def test_an_index_of_three_days_ago(self):
        """It holds, and somebody is called; the next one that comes ends the alarm."""
        self.file.write_bytes(self.signed(self.old))
        then = time.time() - 3 * 86400
        os.utime(self.file, (then, then))
        publisher = self.publisher(None)
        self.start_https(publisher)
        poll(lambda: "index-stale" in self.alarms(), 20, "the alarm")
        self.assertTrue(self.is_known("pec.gamma.test"), "the old index holds")
        publisher.octets = self.signed(self.more())
        self.fetched()
        poll(lambda: "index-stale" not in self.alarms(), 20, "no alarm any more")
        self.assertTrue(self.is_known(NEW))

    def test_tampered_copies_are_refused(self):
        good = self.signed(self.old)
        self.file.write_bytes(good)
        publisher = self.publisher(good)
        self.start_https(publisher)
        self.fetched()
        at = self.signed(self.more()).index(NEW.encode())
        changed = bytearray(self.signed(self.more()))
        changed[at : at + 3] = b"xxx"
        forged = Identity(self.folder / "forge" / "signer.pem")
        cases = {
            "an octet changed": bytes(changed),
            "cut short": self.signed(self.more())[:-200],
            "not signed": self.more(),
            "signed by a stranger": self.signed(self.more(), forged),
            "signed by a provider, not by the operator": self.signed(self.more(), Identity(self.folder / "gamma" / "signer.pem")),
            "signed beside": authority.sign(self.more(), [self.operator]),
            "empty": b"",
            "noise": os.urandom(5000),
            "signed nothing": self.signed(b""),
            "signed words": self.signed(b"kein LDIF\n"),
        }
        for name, octets in cases.items():
            with self.subTest(name):
                publisher.octets = octets
                self.refused()
                self.assertFalse(self.is_known(NEW) or self.is_known("xxx.delta.test"))
                self.assertTrue(self.is_known("pec.gamma.test"), "the last good index is kept")

    def test_losses_want_the_operators_word(self):
        """A third of the domains vanishes: refused until somebody says that it is meant (pec-rules 10.4)."""
        self.file.write_bytes(self.signed(self.old))
        publisher = self.publisher(self.signed(self.old))
        self.start_https(publisher)
        self.fetched()
        publisher.octets = self.signed(self.without("pec.gamma.test"))
        self.refused("pec.gamma.test|domain")
        self.assertTrue(self.is_known("pec.gamma.test"))
        self.assertIn("pec.gamma.test", self.fetched("--allow-losses"))
        self.assertFalse(self.is_known("pec.gamma.test"))

    def test_outage(self):
        """Server away, server answering 503, server with another's certificate: the last good one holds, also after a new start and
        without the file."""
        self.file.write_bytes(self.signed(self.old))
        publisher = self.publisher(self.signed(self.more()))
        self.start_https(publisher)
        self.fetched()
        self.assertTrue(self.is_known(NEW))
        publisher.octets = None
        self.refused("503")
        publisher.stop()
        self.refused()
        self.assertTrue(self.is_known(NEW))
        self.assertEqual(self.gateway.stop(), 0)
        self.file.unlink()
        self.gateway.start()
        self.assertTrue(self.is_known(NEW), "the last good copy is used when there is nothing else")
        stranger = Authority(base.new_folder("index-other") / "ca").issue("server", "/CN=localhost", profile=SERVER)
        publisher.certificate, publisher.key = stranger.path, stranger.path
        publisher.octets = self.signed(self.old)
        publisher.start()
        self.refused("certificate|TLS|SSL")
        self.assertTrue(self.is_known(NEW))
        publisher.stop()
        publisher.certificate, publisher.key = self.certificate, self.key
        publisher.octets = self.signed(self.more("pec.epsilon.test"))
        publisher.start()
        self.fetched("--allow-losses")
        self.assertTrue(self.is_known("pec.epsilon.test"))


class ByLDAP(Index):
    def slapd(self, ldif: bytes) -> Slapd:
        self.need("slapd", "slapadd")
        slapd = Slapd(self.folder / "ca.pem", self.certificate, self.key).load(ldif)
        self.addCleanup(slapd.stop)
        return slapd

    def test_over_tls_from_the_start_and_by_starttls(self):
        slapd = self.slapd(self.more())
        for url, start_tls in ((slapd.secure, ""), (slapd.plain, ", startTLS: true")):
            with self.subTest(url):
                ca = self.folder / "ca.pem"
                self.start(f'{{ file: {self.file}, fetch: {{ url: "{url}", caFile: {ca}{start_tls} }} }}')
                self.fetched()
                self.assertTrue(self.is_known(NEW))
                self.assertTrue(self.is_known("pec.beta.test"))
                self.gateway.stop()

    def test_with_a_name_and_a_password(self):
        slapd = self.slapd(self.more())
        password = self.folder / "alfa" / "ldap.password"
        for secret, works in (("segreto", True), ("sbagliato", False)):
            password.write_text(secret + "\n")
            password.chmod(0o600)
            self.start(
                f'{{ file: {self.file}, fetch: {{ url: "{slapd.secure}", caFile: {self.folder / "ca.pem"}, '
                f'bindDN: "cn=admin,o=postacert", passwordFile: {password} }} }}'
            )
            self.fetched() if works else self.refused()
            self.gateway.stop()

    def test_outage_and_a_stranger_in_its_place(self):
        slapd = self.slapd(self.more())
        self.start(f'{{ file: {self.file}, fetch: {{ url: "{slapd.secure}", caFile: {self.folder / "ca.pem"} }} }}')
        self.fetched()
        slapd.stop()
        self.refused()
        self.assertTrue(self.is_known(NEW))
        slapd.load(self.without("pec.gamma.test"))
        self.refused()
        self.assertTrue(self.is_known("pec.gamma.test"), "two thirds of the index are not the index")
        stranger = Authority(base.new_folder("index-other") / "ca").issue("server", "/CN=localhost", profile=SERVER)
        self.certificate.write_bytes(stranger.path.read_bytes())
        self.key.write_bytes(stranger.path.read_bytes())
        slapd.load(self.more("pec.epsilon.test"))
        self.refused("trusted|certificate")
        self.assertFalse(self.is_known("pec.epsilon.test"))


class Commands(Index):
    def command(self, *arguments) -> tuple[int, str]:
        done = run([executable(), "index", *arguments, "--config", self.gateway.configuration])
        return done.returncode, done.stdout.decode() + done.stderr.decode()

    def test_show_check_export(self):
        code, said = self.command("show")
        self.assertEqual(code, 0, said)
        for word in ("Alfa PEC S.p.A.", "Beta PEC S.r.l.", "Gamma PEC S.p.A.", "pec.gamma.test"):
            self.assertIn(word, said)
        code, said = self.command("show", "PEC.Beta.test")
        self.assertEqual((code, "Alfa PEC" in said), (0, False), said)
        new = self.folder / "new.ldif"
        new.write_bytes(self.more())
        code, said = self.command("check", str(new))
        self.assertEqual((code, NEW in said), (0, True), said)
        new.write_bytes(b"kein LDIF\n")
        self.assertNotEqual(self.command("check", str(new))[0], 0)
        code, said = self.command("export")
        self.assertEqual(code, 0, said)
        for line in ("providerName: Alfa PEC S.p.A.", "mailReceipt: servizio@pec.alfa.test", "managedDomains: pec.alfa.test"):
            self.assertIn(line, said)

    def test_the_signed_export_verifies(self):
        """RFC 6109 §4.5.6: CMS with the content inside, by the key of the PEC service."""
        out = self.folder / "own.ldif.p7m"
        code, said = self.command("export", "--signed", "--output", str(out))
        self.assertEqual(code, 0, said)
        content = authority.openssl("cms", "-verify", "-binary", "-inform", "DER", "-in", out, "-CAfile", self.folder / "ca.pem")
        self.assertIn(b"managedDomains: pec.alfa.test", content)
