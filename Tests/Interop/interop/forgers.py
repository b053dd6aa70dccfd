"""What a forger works with: keys that the index knows, knows wrongly or does not know, and the tools to bend finished messages."""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from . import provider
from .authority import Authority, Identity, openssl
from .base import new_folder
from .der import Node, parse, pem_blocks, serial_and_issuer
from .provider import ZONE, Letter, Provider

ANNA, ALDO = "anna@pec.alfa.test", "aldo@pec.alfa.test"
MARIO = "mario@pec.gamma.test"
SERVICE_MAILBOX = "servizio@pec.alfa.test"
GAMMA = "posta-certificata@pec.gamma.test"
SUBJECT = "/C=IT/O=Gamma PEC S.p.A./CN=Posta Certificata"
HOUR = timedelta(hours=1)


@dataclass
class Shot:
    """One thing that goes to the incoming point, and for whom."""

    name: str
    octets: bytes
    mail_from: str
    recipients: list[str]
    letter: Letter | None = None
    tls: bool = True
    token: str = field(default="")


class Kit:
    """Keys and certificates made around a laboratory's folder. `index(text)` and the revocation list in `folder` make some known."""

    def __init__(self, lab: Path):
        self.lab, self.folder = lab, new_folder("forgers")
        ca = Authority(self.folder / "lab-ca", lab / "ca.pem", lab / "ca.key")
        alternative = f"email:{GAMMA}"
        # Making keys is slow: those in the index share one, and those that are not share another.
        known, strange = Authority.new_key(self.folder / "known.key"), Authority.new_key(self.folder / "strange.key")
        self.gamma = Provider(Identity(lab / "gamma" / "signer.pem"))
        self.beta = Provider(Identity(lab / "beta" / "signer.pem"), "pec.beta.test", "Beta PEC S.r.l.")
        self.alfa = Identity(lab / "alfa" / "signer.pem")
        self.forger = Identity(lab / "forge" / "signer.pem")
        # In the index as Gamma's:
        self.expired = ca.issue("expired", SUBJECT, alternative, begins=timedelta(days=-400), ends=timedelta(days=-5), key=known)
        self.just_expired = ca.issue("just-expired", SUBJECT, alternative, begins=timedelta(days=-400), ends=-2 * HOUR, key=known)
        self.future = ca.issue("future", SUBJECT, alternative, begins=timedelta(days=5), key=known)
        self.revoked = ca.issue("revoked", SUBJECT, alternative, key=known)
        self.renewed = ca.issue("renewed", SUBJECT, alternative, key=known)
        self.nameless = ca.issue("nameless", SUBJECT, profile="keyUsage = digitalSignature\nsubjectKeyIdentifier = hash\n", key=known)
        self.aliased = ca.issue("aliased", SUBJECT, f"email:altra@pec.gamma.test, email:{GAMMA}", key=known)
        self.loose = ca.issue(
            "loose", SUBJECT, alternative, "basicConstraints = CA:FALSE\nkeyUsage = digitalSignature\nsubjectAltName = {alternative}\n"
        )
        own = Authority(self.folder / "other-ca", subject="/O=Altra/CN=Altra CA")
        self.untrusted = own.issue("untrusted", SUBJECT, alternative, key=strange)
        below = ca.under("intermediate", "/O=Prova/CN=CA intermedia")
        self.deep = below.issue("deep", SUBJECT, alternative, above=(ca.certificate,), key=known)
        self.unit = ca.issue("unit", SUBJECT, "email:posta-certificata@interno.pec.gamma.test", key=known)
        ca.revoke(self.revoked)
        ca.revocation_list(self.folder / "ca.crl")
        # Not in the index: from the right authority; with issuer, serial number and subject of Gamma's own; of a user.
        self.unlisted = ca.issue("unlisted", SUBJECT, alternative, key=strange)
        serial, _ = serial_and_issuer(self.gamma.identity.der)
        name = openssl("x509", "-in", lab / "ca.pem", "-noout", "-subject", "-nameopt", "compat").decode().partition("=")[2].strip()
        twin_ca = Authority(self.folder / "twin-ca", subject=name if name.startswith("/") else "/" + name)
        self.twin = twin_ca.issue("twin", SUBJECT, alternative, serial=serial, key=strange)
        self.person = ca.issue("person", "/O=Persona/CN=Mallory", "email:mallory@evil.example.test", key=strange)
        # Listed with its hash alone, under another certificate.
        self.hash_only = own.issue("hash-only", SUBJECT, alternative, key=strange)

    def index(self, text: bytes) -> bytes:
        """The laboratory's index with the certificates above in Gamma's record, a unit of Gamma's, and an entry that contradicts itself."""
        blocks = re.split(rb"\r?\n\r?\n", re.sub(rb"\r?\n ", b"", text).strip())
        listed = (self.expired, self.just_expired, self.future, self.revoked, self.renewed, self.nameless, self.aliased, self.loose)
        for at, block in enumerate(blocks):
            if b"pec.gamma.test" in block.lower():
                for identity in (*listed, self.untrusted, self.deep):
                    block += self._certificate(identity.sha1.upper(), identity.der)
                block += self._certificate(self.hash_only.sha1, self.unlisted.der)
                name = re.search(rb"(?im)^dn: *(.*)$", block)[1].strip()
                blocks[at] = block
                unit = b"dn: providerUnit=Ambiente interno," + name + b"\nobjectClass: top\nobjectClass: provider\n"
                unit += b"providerName: Gamma PEC S.p.A.\nproviderUnit: Ambiente interno\nmailReceipt: servizio@interno.pec.gamma.test\n"
                unit += b"managedDomains: interno.pec.gamma.test" + self._certificate(self.unit.sha1, self.unit.der)
                blocks.append(unit)
                break
        return b"\n\n".join(blocks) + b"\n"

    @staticmethod
    def _certificate(sha1: str, der: bytes) -> bytes:
        return f"\nproviderCertificateHash: {sha1}\nproviderCertificate;binary:: {base64.b64encode(der).decode()}".encode()

    # Messages to begin with

    def envelope(self, recipients=(ANNA,), **options) -> Letter:
        """A good envelope of Gamma's."""
        return self.gamma.envelope(MARIO, list(recipients), **options)

    def facts(self) -> provider.Certified:
        """Facts of an envelope of Anna's that nobody here has sent: what notifications are about."""
        pec_id = f"alfa1.{secrets.token_hex(8)}@pec.alfa.test"
        return provider.Certified(
            sender=ANNA, recipients=[(MARIO, "certificato")], pec_id=pec_id, client_id="<x@client.test>", provider="Alfa PEC S.p.A."
        )

    def receipt(self, **options) -> Letter:
        """A good delivery receipt for Anna."""
        return self.gamma.delivery(self.facts(), MARIO, b"Subject: x\r\n\r\nx\r\n", **options)

    def take_charge(self, **options) -> Letter:
        return self.gamma.take_charge(self.facts(), [MARIO], SERVICE_MAILBOX, **options)

    def when(self, before: timedelta) -> datetime:
        return (datetime.now(ZONE) - before).replace(microsecond=0)


# Bending


def xml(change):
    """A change of daticert.xml: takes its text and gives another; signed afterwards."""

    def bend(letter: Letter) -> Letter:
        document = change(letter.certified.xml(letter.dialect).decode())
        octets = document if isinstance(document, bytes) else document.encode()
        letter.parts = [provider.xml_part(octets) if b'name="daticert.xml"' in each else each for each in letter.usual_parts()]
        return letter

    return bend


def parts(change):
    """A change of the list of parts: text, daticert.xml, postacert.eml."""

    def bend(letter: Letter) -> Letter:
        letter.parts = change(letter.usual_parts())
        return letter

    return bend


def swap(old: str, new: str, count: int = 1):
    """One string for another in daticert.xml; it must be there."""

    def change(document: str) -> str:
        assert old in document, f"{old!r} is not in {document}"
        return document.replace(old, new, count)

    return xml(change)


def sub(pattern: str, new: str):
    def change(document: str) -> str:
        changed, count = re.subn(pattern, lambda _: new, document, count=1, flags=re.S)
        assert count == 1, pattern
        return changed

    return xml(change)


def after(old: bytes, new: bytes):
    """A change of the finished message; the octets must be there."""

    def bend(letter: Letter) -> Letter:
        def change(octets: bytes) -> bytes:
            assert old in octets, old
            return octets.replace(old, new, 1)

        letter.after = change
        return letter

    return bend


def field_(name: str, value: str | None, add: bool = False):
    def bend(letter: Letter) -> Letter:
        if value is None:
            return letter.remove(name)
        return letter.add(name, value) if add else letter.set(name, value)

    return bend


def within(header: str, content: bytes, kind: str = "multipart/mixed") -> bytes:
    """A message of this header with entities inside: what wraps somebody else's."""
    boundary = f"wrap{secrets.token_hex(6)}"
    head = header + f'MIME-Version: 1.0\r\nContent-Type: {kind}; boundary="{boundary}"\r\n\r\n'
    return head.encode() + provider.joined([content], boundary)


def entity_of(octets: bytes) -> bytes:
    """The MIME entity of a message: its Content-Type and body, without the other fields."""
    at = re.search(rb"(?m)^Content-Type: multipart/signed", octets).start()
    return octets[at:]


def plain(
    sender: str, to: str = ANNA, subject: str = "Ciao", body: bytes = b"Ciao.\r\n", extra: str = "", identifier: bool = True
) -> bytes:
    """An ordinary message."""
    now = provider.mail_date(datetime.now(ZONE))
    mark = f"Message-ID: <{secrets.token_hex(8)}@evil.example.test>\r\n" if identifier else ""
    return f"Date: {now}\r\nFrom: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n{mark}{extra}\r\n".encode() + body


# DER by hand


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = (
        bytes([size]) if size < 128 else bytes([0x80 | (size.bit_length() + 7) // 8]) + size.to_bytes((size.bit_length() + 7) // 8, "big")
    )
    return bytes([tag]) + length + content


def rebuilt(cms: bytes, change) -> bytes:
    """A SignedData with its parts changed: `change` takes and gives the list of its children's octets."""
    kind, wrapped = parse(cms).children
    children = [node.whole for node in wrapped.children[0].children]
    return der(0x30, kind.whole + der(0xA0, der(0x30, b"".join(change(children)))))


def with_certificates(cms: bytes, certificates: list[bytes]) -> bytes:
    """The same with these certificates inside, in this order."""
    bag = der(0xA0, b"".join(certificates))
    return rebuilt(cms, lambda children: [bag if each[:1] == b"\xa0" else each for each in children])


def signer_info(cms: bytes) -> Node:
    return parse(cms).children[1].children[0].children[-1].children[0]


def with_signer_info(cms: bytes, change) -> bytes:
    """The same with the one SignerInfo's children changed."""
    info = signer_info(cms)
    made = der(0x30, b"".join(change([node.whole for node in info.children])))
    return rebuilt(cms, lambda children: [*children[:-1], der(0x31, made)])


def two_infos(one: bytes, two: bytes) -> bytes:
    """Both messages' SignerInfos in the first one's SignedData."""
    infos = b"".join(sorted([signer_info(one).whole, signer_info(two).whole]))
    return rebuilt(one, lambda children: [*children[:-1], der(0x31, infos)])


def sha256(octets: bytes) -> bytes:
    return hashlib.sha256(octets).digest()


def chain_of(identity: Identity) -> list[bytes]:
    return pem_blocks(identity.path.read_bytes())
