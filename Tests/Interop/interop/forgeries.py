"""Forged, damaged and unusual messages for the incoming point: what each is. What must become of it stands in `forgeries.tsv`.

Here: dialects, signatures, certificates, and what forgers wrap around or put beside a signed part. `forgeries_form.py`: headers, senders,
certification data, originals, ordinary mail.
"""

import base64
import re
import secrets
from dataclasses import replace
from datetime import timedelta

from . import authority, provider
from .forgers import (
    ANNA,
    GAMMA,
    HOUR,
    MARIO,
    Kit,
    after,
    chain_of,
    der,
    entity_of,
    rebuilt,
    sha256,
    signer_info,
    two_infos,
    with_certificates,
    with_signer_info,
    within,
)
from .provider import Dialect, Letter

#: name → (maker, recipients, MAIL FROM, over TLS). A maker takes the kit and gives a letter or octets.
CASES: dict[str, tuple] = {}


def add(name: str, make, to: tuple[str, ...] = (ANNA,), mail_from: str | None = None, tls: bool = True) -> None:
    assert name not in CASES, name
    CASES[name] = (make, to, mail_from, tls)


def envelope(*bends, to: tuple[str, ...] = (ANNA,), **options):
    """A maker: a good envelope, bent."""

    def make(kit: Kit) -> Letter:
        letter = kit.envelope(to, **options)
        for bend in bends:
            letter = bend(letter)
        return letter

    return make


def done(change):
    """A change of the finished message."""
    return lambda letter: letter.copy(after=change)


def receipt(*bends, **options):
    def make(kit: Kit) -> Letter:
        letter = kit.receipt(**options)
        for bend in bends:
            letter = bend(letter)
        return letter

    return make


def signed_by(name: str, **look):
    """A maker: an envelope signed with another of the kit's identities."""

    def make(kit: Kit) -> Letter:
        letter = kit.envelope(dialect=replace(provider.MODERN, **look) if look else None)
        return letter.copy(signers=[getattr(kit, name)])

    return make


def cms(change):
    """A maker: `change(kit, content, good CMS)` gives the CMS that goes out."""

    def make(kit: Kit) -> Letter:
        letter = kit.envelope()
        letter.signature = lambda content: change(kit, content, authority.sign(content, letter.signers))
        return letter

    return make


# Dialects: all of this is good

for look in provider.DIALECTS:
    add(f"dialect {look.name}: envelope", envelope(dialect=look))
    add(f"dialect {look.name}: delivery receipt", receipt(dialect=look))
for word in ("sha1", '"SHA-256"', '"sha256"', "md5", '"rsa-md5"', '"unknown"', '""'):
    add(f"micalg {word}", envelope(dialect=Dialect("m", micalg=word)))
for one, two in (
    ("pkcs7-signature", "x-pkcs7-signature"),
    ("x-pkcs7-signature", "pkcs7-signature"),
    ("PKCS7-Signature", "X-PKCS7-SIGNATURE"),
):
    look = Dialect("p", protocol=f"application/{one}", signature_type=f"application/{two}")
    add(f"protocol {one}, part {two}", envelope(dialect=look))
add("no protocol parameter", envelope(after(b' protocol="application/pkcs7-signature";', b"")))
add("text first, original before the data", envelope(dialect=Dialect("o", order="ABC")))
add("the data first", envelope(dialect=Dialect("o", order="CBA")))
add("SHA-384", envelope(dialect=Dialect("d", digest="sha384")))
add("MD5", envelope(dialect=Dialect("d", digest="md5")))
add("signer named by his key", envelope(dialect=provider.BY_KEY))
add("no signed attributes", envelope(dialect=provider.WITHOUT_ATTRIBUTES))
add("no preamble", envelope(dialect=Dialect("n", preamble="")))
add("words in the preamble", envelope(dialect=Dialect("n", preamble="From: qualcuno@evil.example.test\r\n\r\nPaga subito.")))
add("words after the closing delimiter", envelope(done(lambda octets: octets + b"-- \r\nUna lista di posta\r\n")))
add("signature part named otherwise", envelope(after(b'name="smime.p7s"', b'name="firma.p7s"')))
add("signature part without a name", envelope(after(b'; name="smime.p7s"', b"")))
add("signature encoded as Base64", envelope(done(lambda octets: octets[::-1].replace(b"46esab", b"46ESAB", 1)[::-1])))
add("header names in small letters", envelope(lambda letter: letter.copy(fields=[(name.lower(), value) for name, value in letter.fields])))
add("plain connection", envelope(), tls=False)
add("mailbox that is not there", envelope(to=("nessuno@pec.alfa.test",)), to=("nessuno@pec.alfa.test",))
add("eight-bit original", envelope(lambda letter: letter.copy(original_encoding="8bit"), body="Perché no?\r\n".encode()))
add("original of 2 MB", envelope(body=b"0123456789 " * 6 + b"\r\n" + (b"x" * 76 + b"\r\n") * 27_000))

# The signature does not hold


def changed(find: bytes, put: bytes):
    return envelope(after(find, put))


add("a letter of the text changed", envelope(done(provider.broken)))
add("a letter of the original changed", changed(b"Buongiorno.", b"Buonasera!!"))
add("a space more at the end of a line", changed(b"Buongiorno.\r\n", b"Buongiorno. \r\n"))
add("a line more", changed(b"Buongiorno.\r\n", b"Buongiorno.\r\n\r\n"))
add("a line less", envelope(after(b"Uno.\r\n\r\n\r\nDue.", b"Uno.\r\n\r\nDue."), body=b"Uno.\r\n\r\n\r\nDue.\r\n"))
add("first signed octet changed", changed(b"Content-Type: multipart/mixed", b"content-Type: multipart/mixed"))
add("a field more in the signed part's header", changed(b"Content-Type: multipart/mixed", b"X-A: b\r\nContent-Type: multipart/mixed"))
add("the signed part's header rewrapped", changed(b"Content-Type: multipart/mixed;", b"Content-Type: multipart/mixed;\r\n"))
add("base64 of the data rewrapped", envelope(done(lambda octets: rewrapped(octets))))
add("an octet of the signature changed", cms(lambda kit, content, good: good[:-1] + bytes([good[-1] ^ 1])))
add("the certificate inside changed by a bit", cms(lambda kit, content, good: flipped(good, kit.gamma.identity.der)))
add("signature cut short", cms(lambda kit, content, good: good[: len(good) // 2]))
add("signature of nothing", cms(lambda kit, content, good: authority.sign(b"", [kit.gamma.identity])))
add("signature with octets after it", cms(lambda kit, content, good: good + b"\x00" * 16))
add("random octets as signature", cms(lambda kit, content, good: secrets.token_bytes(1500)))
add("empty signature part", cms(lambda kit, content, good: b""))
add("signature that is not base64", envelope(done(lambda octets: scrambled(octets))))
add("signature of another message", cms(lambda kit, content, good: authority.sign(kit.envelope().content(), [kit.gamma.identity])))
add("line feeds signed, CRLF sent", cms(lambda kit, content, good: authority.sign(content.replace(b"\r\n", b"\n"), [kit.gamma.identity])))


def rewrapped(octets: bytes) -> bytes:
    """The base64 of daticert.xml in lines of 60."""
    found = re.search(rb"(filename=\"daticert.xml\"\r\n\r\n)([A-Za-z0-9+/=\r\n]+?)(\r\n--)", octets)
    text = found[2].replace(b"\r\n", b"")
    lines = b"\r\n".join(text[at : at + 60] for at in range(0, len(text), 60))
    return octets[: found.start(2)] + lines + octets[found.end(2) :]


def flipped(octets: bytes, within_: bytes) -> bytes:
    at = octets.index(within_) + len(within_) - 8
    return octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :]


def scrambled(octets: bytes) -> bytes:
    at = octets.rindex(b'filename="smime.p7s"\r\n\r\n') + 24
    return octets[:at] + b"!!!! no base64 !!!!\r\n" + octets[at:]


# Who signed it, and with how many


def swapped_certificate(kit: Kit, content: bytes, good: bytes) -> bytes:
    """The forger's signature with Gamma's certificate in the place of his own."""
    return with_certificates(authority.sign(content, [kit.forger], chain=False), [kit.gamma.identity.der])


def attributes_as_content(kit: Kit, content: bytes, good: bytes) -> bytes:
    """Gamma's signature over its signed attributes, given out as a signature over content (there are no attributes any more)."""
    return with_signer_info(good, lambda children: [*children[:3], *children[4:]])


def renamed_signer(kit: Kit, content: bytes, good: bytes) -> bytes:
    """The forger's signature, whose SignerInfo names Gamma's issuer and serial number; Gamma's certificate inside."""
    name = signer_info(good).children[1].whole
    own = authority.sign(content, [kit.forger], chain=False)
    own = with_signer_info(own, lambda children: [children[0], name, *children[2:]])
    return with_certificates(own, [kit.gamma.identity.der])


for name, identity in (
    ("the forger's certificate from an authority nobody knows", "forger"),
    ("a certificate of the right authority that the index does not list", "unlisted"),
    ("a certificate with Gamma's issuer, serial number and subject", "twin"),
    ("a certificate whose hash alone is listed", "hash_only"),
    ("a user's certificate of the right authority", "person"),
    ("a certificate that expired five days ago", "expired"),
    ("a certificate that is not valid yet", "future"),
    ("a revoked certificate", "revoked"),
    ("a listed certificate of an authority that is not trusted", "untrusted"),
    ("a second certificate of the same provider", "renewed"),
    ("a certificate that breaks the profile", "loose"),
    ("a certificate with two addresses", "aliased"),
    ("a certificate without an address", "nameless"),
    ("a certificate below an intermediate authority, which is inside", "deep"),
    ("a secondary environment's certificate under the main one's address", "unit"),
    ("Alfa's own certificate", "alfa"),
):
    add(f"signed with {name}", signed_by(identity))
add(
    "signed below an intermediate authority, which is missing",
    cms(lambda kit, content, good: authority.sign(content, [kit.deep], chain=False)),
)
add("expired on the way, the message's own time before it", lambda kit: on_the_way(kit, 3 * HOUR))
add("expired on the way, the message's own time after it", lambda kit: on_the_way(kit, 1 * HOUR))
add("expired on the way, the message's own time weeks before", lambda kit: on_the_way(kit, timedelta(days=20)))
add("signed by Beta for Gamma", lambda kit: kit.envelope().copy(signers=[kit.beta.identity]))
add("two signers, Gamma and the forger", cms(lambda kit, content, good: authority.sign(content, [kit.gamma.identity, kit.forger])))
add(
    "two signers, the forger and Gamma",
    cms(lambda kit, content, good: authority.sign(content, [kit.forger, kit.gamma.identity], chain=False)),
)
add("two signers, both providers", cms(lambda kit, content, good: authority.sign(content, [kit.gamma.identity, kit.beta.identity])))
add("two SignerInfos of one signer", cms(lambda kit, content, good: two_infos(good, authority.sign(content, [kit.gamma.identity], "sha1"))))
add(
    "Gamma's SignerInfo of another message beside the forger's",
    cms(
        lambda kit, content, good: two_infos(authority.sign(content, [kit.forger], chain=False), authority.sign(b"x", [kit.gamma.identity]))
    ),
)
add("no signer", cms(lambda kit, content, good: authority.certificates_only(kit.gamma.identity)))
add("an empty set of SignerInfos", cms(lambda kit, content, good: rebuilt(good, lambda children: [*children[:-1], der(0x31, b"")])))
add(
    "the signer's certificate is missing", cms(lambda kit, content, good: authority.sign(content, [kit.gamma.identity], certificates=False))
)
add("Gamma's certificate beside the forger's signature", cms(swapped_certificate))
add("the forger's signature under Gamma's name", cms(renamed_signer))
add(
    "the forger's certificate before the signer's own",
    cms(lambda kit, content, good: with_certificates(good, [kit.forger.der, *chain_of(kit.gamma.identity)])),
)
add("the content inside the signature too", cms(lambda kit, content, good: authority.sign(content, [kit.gamma.identity], inside=True)))
add(
    "other content inside the signature",
    cms(lambda kit, content, good: authority.sign(kit.envelope().content(), [kit.gamma.identity], inside=True)),
)
add("signed attributes taken away", cms(attributes_as_content))
add("message digest of other octets", cms(lambda kit, content, good: good.replace(sha256(content), sha256(content + b"."))))
add(
    "the signature as PEM text",
    cms(lambda kit, content, good: b"-----BEGIN PKCS7-----\n" + base64.encodebytes(good) + b"-----END PKCS7-----\n"),
)


def on_the_way(kit: Kit, before: timedelta) -> Letter:
    """Signed with the certificate that expired two hours ago; without attributes, since openssl can only sign now."""
    letter = kit.envelope(when=kit.when(before), dialect=provider.WITHOUT_ATTRIBUTES)
    return letter.copy(signers=[kit.just_expired])


# What is put around or beside the signed part

_OUTER = f'X-Trasporto: posta-certificata\r\nFrom: "Per conto di: {MARIO}" <{GAMMA}>\r\nTo: {ANNA}\r\nSubject: POSTA CERTIFICATA: x\r\n'


def _bare(kit: Kit, letter: Letter, kind: str) -> bytes:
    """The message's header with another body."""
    return letter.head() + kind.encode()


def unsigned(kit: Kit) -> bytes:
    letter = kit.envelope()
    return letter.head() + b"MIME-Version: 1.0\r\n" + letter.content() + b"\r\n"


def opaque(kit: Kit) -> bytes:
    letter = kit.envelope()
    inside = authority.sign(letter.content(), [kit.gamma.identity], inside=True)
    head = b'MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=signed-data; name="smime.p7m"\r\n'
    return letter.head() + head + b"Content-Transfer-Encoding: base64\r\n\r\n" + provider.base64_lines(inside) + b"\r\n"


def with_parts(change):
    """The three lines of a multipart/signed put together by hand: `change(content, signature part)` gives the parts."""

    def make(kit: Kit) -> bytes:
        letter, boundary = kit.envelope(), f"sig{secrets.token_hex(6)}"
        content = letter.content()
        pieces = change(content, provider.signature_part(letter.cms(content)), kit)
        kind = f'MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary="{boundary}"\r\n\r\n'
        return letter.head() + kind.encode() + provider.joined(pieces, boundary)

    return make


def evil(kit: Kit) -> bytes:
    """Another envelope's content, which nobody signed."""
    return kit.envelope(body=b"Paga subito.\r\n").content()


def double_wrapped(kit: Kit) -> Letter:
    """The forger signs a real envelope's entity."""
    letter = kit.envelope()
    inner = entity_of(letter.octets)
    return letter.copy(before=lambda content: inner, signers=[kit.forger])


def gamma_around(kit: Kit) -> Letter:
    """Gamma signs a multipart/signed where a multipart/mixed belongs."""
    letter = kit.envelope()
    inner = entity_of(letter.octets)
    return letter.copy(before=lambda content: inner)


add("not signed at all", unsigned)
add("signed inside the CMS, application/pkcs7-mime", opaque)
add("multipart/signed with one part", with_parts(lambda content, signature, kit: [content]))
add(
    "multipart/signed with a third part",
    with_parts(lambda content, signature, kit: [content, signature, provider.part("text/plain", b"Paga.")]),
)
add("another content before the signed one", with_parts(lambda content, signature, kit: [evil(kit), content, signature]))
add("another content after the signed one", with_parts(lambda content, signature, kit: [content, evil(kit), signature]))
add("signature before the content", with_parts(lambda content, signature, kit: [signature, content]))
add("two signature parts", with_parts(lambda content, signature, kit: [content, signature, signature]))
add("signature part of another type", envelope(done(lambda octets: untyped(octets))))
add("a real envelope in a multipart/mixed, with its header", lambda kit: within(_OUTER, entity_of(kit.envelope().octets)), mail_from=MARIO)
add(
    "a real envelope in a multipart/alternative",
    lambda kit: within(_OUTER, entity_of(kit.envelope().octets), "multipart/alternative"),
    mail_from=MARIO,
)
add(
    "a real envelope in a multipart/related",
    lambda kit: within(_OUTER, entity_of(kit.envelope().octets), "multipart/related"),
    mail_from=MARIO,
)
add("a real envelope in a stranger's multipart/mixed", lambda kit: within(_stranger(), entity_of(kit.envelope().octets)))
add("a real envelope attached to a stranger's mail", lambda kit: within(_stranger(), provider.original_part(kit.envelope().octets)))
add(
    "a real envelope attached, and Gamma's service address in From",
    lambda kit: within(_service(), provider.original_part(kit.envelope().octets)),
)
add("a real envelope as the only content, message/rfc822", lambda kit: only(kit))
add("a real receipt attached to a stranger's mail", lambda kit: within(_stranger(), provider.original_part(kit.receipt().octets)))
add("a real envelope signed again by the forger", double_wrapped)
add("a multipart/signed inside Gamma's signature", gamma_around)
add(
    "message/partial",
    lambda kit: _bare(kit, kit.envelope(), 'Content-Type: message/partial; id="x"; number=1; total=1\r\n\r\n') + kit.envelope().octets,
)
add(
    "message/external-body",
    lambda kit: _bare(
        kit, kit.envelope(), 'Content-Type: message/external-body; access-type=URL; URL="http://evil.example.test/"\r\n\r\nX: y\r\n\r\n'
    ),
)
add("two Content-Type fields, the signed one first", envelope(done(lambda octets: second_type(octets, False))))
add("two Content-Type fields, the signed one last", envelope(done(lambda octets: second_type(octets, True))))
add("two boundary parameters", envelope(done(lambda octets: re.sub(rb"(micalg=[^;]*;)", rb'\1 boundary="falso";', octets, count=1))))
add("no boundary parameter", envelope(done(lambda octets: re.sub(rb'; boundary="sig[^"]*"', b"", octets, count=1))))
add("empty boundary", envelope(done(lambda octets: re.sub(rb'boundary="sig[^"]*"', b'boundary=""', octets, count=1))))
add("the closing delimiter is missing", envelope(done(lambda octets: octets[: octets.rindex(b"\r\n--sig")] + b"\r\n")))
add("cut short in the middle", envelope(done(lambda octets: octets[: len(octets) // 2] + b"\r\n")))
add(
    "Content-Transfer-Encoding base64 on the whole message",
    envelope(
        done(lambda octets: octets.replace(b"MIME-Version: 1.0\r\n", b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n", 1))
    ),
)
add("a part behind the closing delimiter", envelope(done(lambda octets: continued(octets))))
add("header ends before Content-Type", envelope(after(b"MIME-Version: 1.0\r\n", b"MIME-Version: 1.0\r\n\r\n")))


def _stranger() -> str:
    return f"From: mallory@evil.example.test\r\nTo: {ANNA}\r\nSubject: Fwd\r\nMessage-ID: <{secrets.token_hex(6)}@evil.example.test>\r\n"


def _service() -> str:
    return f"From: {GAMMA}\r\nTo: {ANNA}\r\nSubject: Fwd\r\nMessage-ID: <{secrets.token_hex(6)}@evil.example.test>\r\n"


def untyped(octets: bytes) -> bytes:
    at = octets.rindex(b"Content-Type: application/pkcs7-signature")
    return octets[:at] + octets[at:].replace(b"application/pkcs7-signature", b"application/octet-stream").replace(
        b"smime.p7s", b"altro.bin"
    )


def continued(octets: bytes) -> bytes:
    """The multipart/signed goes on after its end, with its own delimiter."""
    delimiter = re.search(rb'boundary="(sig[^"]*)"', octets)[1]
    more = provider.part("text/plain", b"Paga subito.\r\n")
    return octets + b"--" + delimiter + b"\r\n" + more + b"\r\n--" + delimiter + b"--\r\n"


def only(kit: Kit) -> bytes:
    letter = kit.envelope()
    return letter.head() + b"MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n" + letter.octets


def second_type(octets: bytes, before: bool) -> bytes:
    other = b'Content-Type: text/html; charset="utf-8"\r\n'
    if before:
        return octets.replace(b"Content-Type: multipart/signed", other + b"Content-Type: multipart/signed", 1)
    at = octets.index(b"\r\n\r\n") + 2
    return octets[:at] + other + octets[at:]
