"""A reader of DER and of detached CMS signatures, and a check of RSA PKCS#1 v1.5 in a few lines.

It is here so that thousands of signatures can be judged quickly and by other code than the gateway's; `openssl` judges too.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timezone

OIDS = {
    "1.2.840.113549.1.7.1": "data",
    "1.2.840.113549.1.7.2": "signedData",
    "1.2.840.113549.1.9.3": "contentType",
    "1.2.840.113549.1.9.4": "messageDigest",
    "1.2.840.113549.1.9.5": "signingTime",
    "1.2.840.113549.1.1.1": "rsaEncryption",
    "2.16.840.1.101.3.4.2.1": "sha256",
}
_SHA256_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


@dataclass
class Node:
    """One DER value: `whole` with tag and length, `content` without."""

    tag: int
    whole: bytes
    content: bytes

    @property
    def children(self) -> list["Node"]:
        nodes, rest = [], self.content
        while rest:
            node = parse(rest)
            nodes.append(node)
            rest = rest[len(node.whole) :]
        return nodes

    @property
    def integer(self) -> int:
        return int.from_bytes(self.content, "big", signed=True)

    @property
    def oid(self) -> str:
        numbers, value = [], 0
        for octet in self.content:
            value = value << 7 | octet & 0x7F
            if not octet & 0x80:
                numbers.append(value)
                value = 0
        first = min(numbers[0] // 40, 2)
        dotted = ".".join(map(str, [first, numbers[0] - 40 * first] + numbers[1:]))
        return OIDS.get(dotted, dotted)


def parse(octets: bytes) -> Node:
    """The first DER value of these octets; lengths must be minimal."""
    tag, length, at = octets[0], octets[1], 2
    if length & 0x80:
        count = length & 0x7F
        length, at = int.from_bytes(octets[2 : 2 + count], "big"), 2 + count
        assert count and length >= 0x80 and octets[2] != 0, "length is not minimal (DER)"
    assert len(octets) >= at + length, "value is cut short"
    return Node(tag, octets[: at + length], octets[at : at + length])


def pem_blocks(text: bytes, label: str = "CERTIFICATE") -> list[bytes]:
    """The DER of every block with this label."""
    pattern = rb"-----BEGIN " + label.encode() + rb"-----(.*?)-----END"
    return [base64.b64decode(body) for body in re.findall(pattern, text, re.S)]


def public_key(certificate: bytes) -> tuple[int, int]:
    """Modulus and exponent of an RSA certificate."""
    fields = parse(certificate).children[0].children
    if fields[0].tag == 0xA0:
        fields = fields[1:]
    algorithm, bits = fields[5].children
    assert algorithm.children[0].oid == "rsaEncryption"
    modulus, exponent = parse(bits.content[1:]).children
    return modulus.integer, exponent.integer


def serial_and_issuer(certificate: bytes) -> tuple[int, bytes]:
    fields = parse(certificate).children[0].children
    if fields[0].tag == 0xA0:
        fields = fields[1:]
    return fields[0].integer, fields[2].whole


@dataclass
class Signature:
    """What a detached CMS signature holds. `problems` names every departure from the profile (pec-rules 11.1)."""

    problems: list[str]
    certificates: list[bytes]
    signer: bytes | None
    signing_time: datetime | None
    message_digest: bytes
    signed_attributes: bytes
    value: bytes

    def holds_for(self, content: bytes) -> bool:
        """Digest and RSA signature over these octets, by the signer's certificate that is inside."""
        if self.signer is None or hashlib.sha256(content).digest() != self.message_digest:
            return False
        modulus, exponent = public_key(self.signer)
        size = (modulus.bit_length() + 7) // 8
        info = _SHA256_DIGEST_INFO + hashlib.sha256(self.signed_attributes).digest()
        padded = b"\x00\x01" + b"\xff" * (size - 3 - len(info)) + b"\x00" + info
        return pow(int.from_bytes(self.value, "big"), exponent, modulus).to_bytes(size, "big") == padded


def read_signature(cms: bytes) -> Signature:
    """Takes a CMS SignedData apart and compares it with the profile."""
    problems: list[str] = []

    def demand(holds: bool, what: str) -> None:
        if not holds:
            problems.append(what)

    outer = parse(cms)
    demand(outer.whole == cms, "octets after the ContentInfo")
    kind, wrapped = outer.children
    demand(kind.oid == "signedData", "not SignedData")
    parts = wrapped.children[0].children
    demand(parts[0].integer == 1, "SignedData version is not 1")
    demand([node.children[0].oid for node in parts[1].children] == ["sha256"], "digest algorithms are not just SHA-256")
    demand([node.oid for node in parts[2].children] == ["data"], "content is not id-data, detached")
    tagged = {node.tag: node for node in parts[3:-1]}
    demand(set(tagged) == {0xA0}, f"wanted certificates and no CRLs, found tags {[hex(tag) for tag in tagged]}")
    certificates = [node.whole for node in tagged[0xA0].children] if 0xA0 in tagged else []
    demand(len(parts[-1].children) == 1, "more than one SignerInfo")
    info = parts[-1].children[0].children
    demand(info[0].integer == 1, "SignerInfo version is not 1")
    demand(info[1].tag == 0x30, "signer is not named by issuer and serial number")
    issuer, serial = info[1].children
    signer = next((one for one in certificates if serial_and_issuer(one) == (serial.integer, issuer.whole)), None)
    demand(signer is not None, "the signer's certificate is not inside")
    demand(info[2].children[0].oid == "sha256", "digest algorithm is not SHA-256")
    demand(info[3].tag == 0xA0, "no signed attributes")
    attributes = info[3].children
    demand([node.whole for node in attributes] == sorted(node.whole for node in attributes), "signed attributes not in DER order")
    values = {node.children[0].oid: node.children[1].children for node in attributes}
    demand(set(values) == {"contentType", "signingTime", "messageDigest"}, f"signed attributes are {sorted(values)}")
    demand(all(len(value) == 1 for value in values.values()), "an attribute with several values")
    demand(values["contentType"][0].oid == "data", "contentType attribute is not id-data")
    time, when = values["signingTime"][0], None
    if time.tag == 0x17:
        when = datetime.strptime(time.content.decode(), "%y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)
    demand(when is not None, "signingTime is not UTCTime")
    demand(info[4].children[0].oid == "rsaEncryption", "signature algorithm is not rsaEncryption")
    demand(len(info) == 6, "unsigned attributes")
    return Signature(problems, certificates, signer, when, values["messageDigest"][0].content, b"\x31" + info[3].whole[1:], info[5].content)
