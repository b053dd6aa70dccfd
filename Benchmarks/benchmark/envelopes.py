"""Transport envelopes (buste di trasporto) of the laboratory's provider Gamma, many of them, each with its own PEC id and signature.

A process of openssl for each would take longer than what is to be measured: one signature by the openssl CLI is the form, and for each
envelope its digest and its RSA value (by libcrypto) are put in their places. The result is octet for octet what openssl would write.
"""

import ctypes
import ctypes.util
import hashlib
from dataclasses import dataclass
from pathlib import Path

from interop import authority
from interop.authority import Identity
from interop.der import read_signature
from interop.judge import Judge
from interop.lab import ANNA
from interop.provider import Provider
from interop.wire import stuffed

SENDER, RECIPIENT = "giulia@pec.gamma.test", ANNA
_FIELDS = b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
_LINE = b"QmVuY2htYXJr" * 6 + b"CRLF\r\n"
#: About what the enclosed message's header has.
_HEADER_BYTES = 480
_MARK = b"here-comes-the-body"
#: Larger ones share their body instead of holding it.
_WHOLE_OCTETS = 200_000


class Key:
    """A private key of libcrypto; one thread at a time."""

    def __init__(self, pem: bytes):
        self._crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
        buffer = self._call("BIO_new_mem_buf", ctypes.c_char_p(pem), ctypes.c_int(len(pem)))
        key = self._call("PEM_read_bio_PrivateKey", buffer, None, None, None)
        self._context = self._call("EVP_PKEY_CTX_new", key, None)
        self._number("EVP_PKEY_sign_init", self._context)
        self._number("EVP_PKEY_CTX_ctrl_str", self._context, b"rsa_padding_mode", b"pkcs1")
        self._number("EVP_PKEY_CTX_ctrl_str", self._context, b"digest", b"sha256")

    def _call(self, name: str, *arguments) -> ctypes.c_void_p:
        function = getattr(self._crypto, name)
        function.restype = ctypes.c_void_p
        found = function(*arguments)
        if not found:
            raise RuntimeError(f"libcrypto: {name}")
        return ctypes.c_void_p(found)

    def _number(self, name: str, *arguments) -> None:
        if getattr(self._crypto, name)(*arguments) <= 0:
            raise RuntimeError(f"libcrypto: {name}")

    def sign(self, digest: bytes) -> bytes:
        """PKCS#1 v1.5 over a SHA-256 digest."""
        value, length = ctypes.create_string_buffer(1024), ctypes.c_size_t(1024)
        self._number("EVP_PKEY_sign", self._context, value, ctypes.byref(length), digest, ctypes.c_size_t(len(digest)))
        return value.raw[: length.value]


class Seal:
    """Detached CMS signatures of one identity."""

    def __init__(self, identity: Identity):
        self._key = Key(identity.path.read_bytes())
        self._form = authority.sign(b"form\r\n", [identity])
        parts = read_signature(self._form)
        self._attributes, self._digest, self._value = parts.signed_attributes, parts.message_digest, parts.value
        if self._form.count(self._digest) != 1 or not self._form.endswith(self._value):
            raise RuntimeError("openssl wrote a signature of another form than expected")

    def cms(self, digest: bytes) -> bytes:
        """For the content with this SHA-256 digest."""
        value = self._key.sign(hashlib.sha256(self._attributes.replace(self._digest, digest)).digest())
        return self._form[: -len(self._value)].replace(self._digest, digest) + value


@dataclass
class Envelope:
    """What goes over the wire after DATA, dots doubled, with the final dot; in pieces that several may share."""

    pec_id: str
    client_id: str
    pieces: list[bytes]

    @property
    def wire_bytes(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def octets(self) -> bytes:
        """The message itself."""
        whole = b"".join(self.pieces)[: -len(b".\r\n")]
        return whole.replace(b"\r\n..", b"\r\n.")


class Maker:
    """Makes envelopes for messages of a size, from Giulia to Anna (or to others)."""

    def __init__(self, laboratory: Path):
        identity = Identity(laboratory / "gamma" / "signer.pem")
        self._judge = Judge(laboratory / "ca.pem")
        self._provider, self._seal = Provider(identity), Seal(identity)
        self._bodies: dict[int, bytes] = {}

    def make(self, size: int, count: int, recipients: list[str] | None = None) -> list[Envelope]:
        """`size`: octets of the enclosed message; the envelope has some 5.5 KB more: words, certification data, signature and chain."""
        if size not in self._bodies:
            self._bodies[size] = (_LINE * max(1, (size - _HEADER_BYTES) // len(_LINE)))[:-2]
            self._check(self._one(self._bodies[size], [RECIPIENT]))
        return [self._one(self._bodies[size], recipients or [RECIPIENT]) for _ in range(count)]

    def _one(self, body: bytes, recipients: list[str]) -> Envelope:
        letter = self._provider.envelope(SENDER, recipients, "Domanda di iscrizione", _MARK + b"\r\n", fields=_FIELDS)
        content = letter.content()
        before, mark, after = content.partition(_MARK)
        assert mark and _MARK not in after
        digest = hashlib.sha256(before)
        digest.update(body)
        digest.update(after)
        head, _, rest = letter.wrapped(content, self._seal.cms(digest.digest())).partition(_MARK)
        pieces = [stuffed(head), body, rest.replace(b"\r\n.", b"\r\n..") + b".\r\n"]
        if len(body) < _WHOLE_OCTETS:
            pieces = [b"".join(pieces)]
        return Envelope(letter.certified.pec_id, letter.certified.client_id, pieces)

    def _check(self, envelope: Envelope) -> None:
        """openssl must find the signature good: a benchmark of refusals would be fast and worth nothing."""
        if problems := self._judge.openssl(envelope.octets):
            raise RuntimeError(f"an envelope was made wrongly: {problems[0]}")
