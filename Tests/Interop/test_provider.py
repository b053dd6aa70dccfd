"""The counterpart itself, without a gateway: openssl, xmllint and our own reader judge what it makes before it judges anybody."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from interop import base, provider
from interop.authority import AUTHORITY, Authority, certificates_only, openssl, sign
from interop.case import InteropTest
from interop.der import parse, pem_blocks
from interop.judge import Judge
from interop.mailboxes import Stored
from interop.pec import CertificationData, halves, parameters, parts_of

ANNA, MARIO = "anna@pec.alfa.test", "mario@pec.gamma.test"


class Products(InteropTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = base.new_folder("authority")
        cls.authority = Authority(cls.folder / "ca")
        cls.signer = cls.authority.issue("gamma", "/C=IT/O=Gamma PEC S.p.A./CN=Posta Certificata", "email:posta-certificata@pec.gamma.test")
        cls.provider = provider.Provider(cls.signer)
        cls.judge = Judge(cls.authority.certificate)

    def letters(self, dialect) -> list[provider.Letter]:
        gamma = self.provider
        envelope = gamma.envelope(
            MARIO, [ANNA, "aldo@pec.alfa.test"], cc=["aldo@pec.alfa.test"], dialect=dialect, subject="Città & <altro>"
        )
        facts = envelope.certified
        return [
            envelope,
            gamma.take_charge(facts, [ANNA], "servizio@pec.alfa.test", dialect=dialect),
            gamma.delivery(facts, ANNA, envelope.original, dialect=dialect),
            gamma.delivery(facts, "aldo@pec.alfa.test", dialect=dialect),
            gamma.non_delivery(facts, ANNA, dialect=dialect),
            gamma.virus_detection(facts, ANNA, "servizio@pec.alfa.test", dialect=dialect),
            gamma.virus_detection(facts, ANNA, "servizio@pec.alfa.test", by_reception=True, dialect=dialect),
        ]

    def test_every_dialect(self):
        self.need("openssl", "xmllint")
        problems, documents = [], []

        def judge(pair) -> None:
            dialect, letter = pair
            octets = letter.octets
            stored = Stored.load(None, octets)
            message = stored.message
            found = self.judge.openssl(octets) + self.judge.openssl(octets, "smime") + self.judge.openssl_detached(message)
            documents.append(letter.certified.xml(provider.MODERN))
            if message.data.pec_id != letter.certified.pec_id or message.data.kind != letter.certified.kind:
                found.append("our reader reads something else")
            if stored.kind != letter.certified.kind:
                found.append(f"the header says {stored.kind!r}")
            if (message.original or None) != letter.original:
                found.append("the original is not in it as it was")
            problems.extend(f"{dialect.name}, {letter.certified.kind}: {each}" for each in found)

        pairs = [(dialect, letter) for dialect in provider.DIALECTS for letter in self.letters(dialect)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(judge, pairs))
        self.fine(problems + self.judge.dtd(*documents))
        self.assertEqual(len(documents), 7 * len(provider.DIALECTS))

    def test_broken_and_wrong_signatures_are_seen(self):
        """A test that must be able to fail: each way of signing wrongly is refused by openssl."""
        envelope = self.provider.envelope(MARIO, [ANNA])
        stranger = Authority(self.folder / "stranger").issue("x", "/O=Gamma PEC S.p.A.", "email:posta-certificata@pec.gamma.test")
        for name, letter in {
            "a letter changed": envelope.copy(after=provider.broken),
            "an unknown authority": envelope.copy(signers=[stranger]),
            "nobody signed": envelope.copy(signature=lambda content: certificates_only(self.signer)),
            "other octets signed": envelope.copy(signature=lambda content: sign(content + b" ", [self.signer])),
        }.items():
            with self.subTest(name):
                self.assertTrue(self.judge.openssl(letter.octets), f"openssl accepts {name}")
        self.assertEqual(self.judge.openssl(envelope.octets), [])

    def test_forms_of_signatures(self):
        content = b"Content-Type: text/plain\r\n\r\nx"
        plain = sign(content, [self.signer])
        self.assertEqual(parse(plain).whole, plain)
        self.assertEqual(sign(content, [self.signer], indefinite=True)[:2], b"\x30\x80")
        two = sign(content, [self.signer, self.authority.issue("two", "/O=Due", "email:due@pec.gamma.test")])
        self.assertEqual(len(parse(two).children[1].children[0].children[-1].children), 2)
        self.assertIn(content, sign(content, [self.signer], inside=True))
        self.assertEqual(len(parse(certificates_only(self.signer)).children[1].children[0].children[-1].children), 0)

    def test_certificates_of_any_date(self):
        from datetime import timedelta

        old = self.authority.issue("old", "/O=Vecchio", "email:a@b.test", begins=timedelta(days=-90), ends=timedelta(days=-30))
        self.assertTrue(self.judge.openssl(self.provider.envelope(MARIO, [ANNA]).copy(signers=[old]).octets))
        self.authority.revoke(old)
        listed = self.authority.revocation_list(self.folder / "crl.pem")
        self.assertIn(b"Serial Number", openssl("crl", "-in", listed, "-noout", "-text"))
        checked = base.run([base.find("openssl"), "crl", "-in", listed, "-noout", "-CAfile", self.authority.certificate])
        self.assertEqual((checked.returncode, b"verify OK" in checked.stderr), (0, True))
        below = self.authority.under("below", "/O=Prova/CN=CA intermedia")
        signer = below.issue("deep", "/O=Sotto", "email:posta-certificata@pec.gamma.test", above=(self.authority.certificate,))
        self.assertEqual(len(signer.certificates), 3)
        self.assertEqual(self.judge.openssl(self.provider.envelope(MARIO, [ANNA]).copy(signers=[signer]).octets), [])
        self.assertIn("CA:TRUE", AUTHORITY)

    def test_real_tools_see_the_tree_we_mean(self):
        envelope = self.provider.envelope(MARIO, [ANNA], dialect=provider.NAMIRIAL_2024)
        header, body = halves(envelope.octets)
        kind, about = parameters(header.get("Content-Type"))
        self.assertEqual((kind, about["protocol"]), ("multipart/signed", "application/x-pkcs7-signature"))
        signed, signature = parts_of(body, about["boundary"])[1]
        inner = halves(signed)
        names = [
            parameters(halves(each)[0].get("Content-Type"))[0]
            for each in parts_of(inner[1], parameters(inner[0].get("Content-Type"))[1]["boundary"])[1]
        ]
        self.assertEqual(names, ["multipart/alternative", "application/xml", "message/rfc822"])
        self.assertTrue(CertificationData.read(envelope.certified.xml(provider.NAMIRIAL_2024)).pec_id)
        self.assertTrue(pem_blocks(Path(self.signer.path).read_bytes()))
        self.assertIn(b"smime.p7s", signature)
