"""A certification authority by the openssl CLI: signers, servers and revocation lists with any dates and extensions; and CMS signatures.

Everything a test forges is made here, so that no forger's tool stands in the gateway itself.
"""

import hashlib
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from .base import find
from .der import parse, pem_blocks

_CONFIGURATION = """
[ca]
default_ca = this
[this]
database = {folder}/index.txt
new_certs_dir = {folder}/issued
rand_serial = yes
crlnumber = {folder}/crlnumber
default_md = sha256
policy = anything
unique_subject = no
copy_extensions = none
[anything]
countryName = optional
organizationName = optional
commonName = optional
emailAddress = optional
[req]
distinguished_name = name
[name]
"""

#: The profile of RFC 6109 §5.5 (pec-rules 11.3).
SIGNER = (
    "keyUsage = critical, digitalSignature\nextendedKeyUsage = emailProtection\nsubjectKeyIdentifier = hash\n"
    "authorityKeyIdentifier = keyid:always\nsubjectAltName = {alternative}\n"
)
SERVER = (
    "basicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature, keyEncipherment\nextendedKeyUsage = serverAuth\n"
    "subjectAltName = DNS:localhost, IP:127.0.0.1\n"
)
AUTHORITY = (
    "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\nsubjectKeyIdentifier = hash\n"
    "authorityKeyIdentifier = keyid\n"
)


class ToolFailed(RuntimeError):
    """A program that a test works with did not do what it was asked."""


def openssl(*arguments, stdin: bytes | None = None) -> bytes:
    """Runs openssl and gives back what it prints."""
    given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    done = subprocess.run([find("openssl"), *map(str, arguments)], capture_output=True, timeout=60, **given)
    if done.returncode:
        raise ToolFailed(f"openssl {' '.join(map(str, arguments))[:300]}: {done.stderr.decode(errors='replace')[-600:]}")
    return done.stdout


def stamp(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y%m%d%H%M%SZ")


@dataclass(frozen=True)
class Identity:
    """A PEM file with a key, its certificate, and the certificates above it, as the laboratory writes them."""

    path: Path

    @property
    def certificates(self) -> list[bytes]:
        return pem_blocks(self.path.read_bytes())

    @property
    def der(self) -> bytes:
        return self.certificates[0]

    @property
    def sha1(self) -> str:
        return hashlib.sha1(self.der).hexdigest()


class Authority:
    """An authority that issues what it is asked for. `certificate` and `key` are taken where they are given, otherwise made."""

    def __init__(self, folder: Path, certificate: Path | None = None, key: Path | None = None, subject: str = "/O=Prova/CN=CA di prova"):
        self.folder = Path(folder)
        (self.folder / "issued").mkdir(parents=True)
        (self.folder / "index.txt").touch()
        (self.folder / "crlnumber").write_text("01\n")
        self._configuration = self.folder / "ca.cnf"
        self._configuration.write_text(_CONFIGURATION.format(folder=self.folder))
        self._count = 0
        if certificate and key:
            self.certificate, self.key = Path(certificate), Path(key)
            return
        self.certificate, self.key = self.folder / "ca.pem", self.folder / "ca.key"
        self.new_key(self.key)
        extensions = [option for line in AUTHORITY.strip().splitlines() for option in ("-addext", line.replace(" = ", "="))]
        self._openssl("req", "-x509", "-key", self.key, "-subj", subject, "-days", "3650", "-out", self.certificate, *extensions[:4])

    def _openssl(self, command: str, *arguments) -> bytes:
        return openssl(command, "-config", self._configuration, *arguments)

    @staticmethod
    def new_key(path: Path, bits: int = 2048) -> Path:
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}", "-out", path)
        return path

    def issue(
        self,
        name: str,
        subject: str,
        alternative: str = "",
        profile: str = SIGNER,
        begins: timedelta = timedelta(days=-1),
        ends: timedelta = timedelta(days=365),
        key: Path | None = None,
        above: tuple[Path, ...] = (),
        serial: int | None = None,
    ) -> Identity:
        """A certificate for `subject`, and a PEM file with its key and this authority's certificate, and those `above` it."""
        self._count += 1
        base = self.folder / f"{name}-{self._count}"
        key = key or self.new_key(base.with_suffix(".key"))
        request, extensions, made = base.with_suffix(".csr"), base.with_suffix(".ext"), base.with_suffix(".crt")
        self._openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        extensions.write_text(profile.format(alternative=alternative))
        now = datetime.now(timezone.utc)
        if serial is not None:
            chosen = ("-set_serial", str(serial), "-extfile", extensions, "-days", "365", "-out", made)
            openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, *chosen)
        else:
            self._openssl(
                *("ca", "-batch", "-notext", "-in", request, "-out", made, "-cert", self.certificate, "-keyfile", self.key),
                *("-extfile", extensions, "-startdate", stamp(now + begins), "-enddate", stamp(now + ends), "-preserveDN"),
            )
        path = base.with_suffix(".pem")
        path.write_bytes(key.read_bytes() + made.read_bytes() + b"".join(each.read_bytes() for each in (self.certificate, *above)))
        path.chmod(0o600)
        return Identity(path)

    def under(self, name: str, subject: str) -> "Authority":
        """An intermediate authority."""
        made = self.issue(name, subject, profile=AUTHORITY)
        own = self.folder / name
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        certificate.write_bytes(openssl("x509", "-in", made.path))
        key.write_bytes(openssl("pkey", "-in", made.path))
        return Authority(own, certificate, key)

    def revoke(self, identity: Identity) -> None:
        certificate = self.folder / f"revoke-{identity.sha1}.crt"
        certificate.write_bytes(openssl("x509", "-in", identity.path))
        self._openssl("ca", "-revoke", certificate, "-cert", self.certificate, "-keyfile", self.key)

    def revocation_list(self, path: Path, begins: timedelta = timedelta(minutes=-1), ends: timedelta = timedelta(days=7)) -> Path:
        """Writes the list of what was revoked, PEM."""
        now = datetime.now(timezone.utc)
        self._openssl(
            *("ca", "-gencrl", "-cert", self.certificate, "-keyfile", self.key, "-out", path),
            *("-crl_lastupdate", stamp(now + begins), "-crl_nextupdate", stamp(now + ends)),
        )
        return path


def sign(
    content: bytes,
    signers: list[Identity],
    digest: str = "sha256",
    inside: bool = False,
    attributes: bool = True,
    capabilities: bool = False,
    indefinite: bool = False,
    by_key: bool = False,
    certificates: bool = True,
    chain: bool = True,
) -> bytes:
    """A CMS SignedData in DER (or BER, when `indefinite`) over exactly these octets, by `openssl cms`.

    `inside`: the content goes in too; `by_key`: the signer is named by its key's identifier; `certificates`: the signers' own go in.
    """
    arguments = ["cms", "-sign", "-binary", "-outform", "DER", "-md", digest]
    for signer in signers:
        arguments += ["-signer", signer.path]
    if inside:
        arguments.append("-nodetach")
    if not attributes:
        arguments.append("-noattr")
    elif not capabilities:
        arguments.append("-nosmimecap")
    if by_key:
        arguments.append("-keyid")
    if not certificates:
        arguments.append("-nocerts")
    elif chain:
        arguments += ["-certfile", _above(signers[0])]
    made = openssl(*arguments, stdin=content)
    return _indefinite(made) if indefinite else made


def _indefinite(cms: bytes) -> bytes:
    """The same with lengths left open in its outer layers, as streaming signers write them (openssl streams only with content inside)."""
    kind, wrapped = parse(cms).children
    inner = b"".join(node.whole for node in wrapped.children[0].children)
    return b"\x30\x80" + kind.whole + b"\xa0\x80\x30\x80" + inner + b"\0\0" * 3


def _above(identity: Identity) -> Path:
    """A file with the certificates above a signer's (openssl refuses the signer's own a second time)."""
    path = identity.path.with_suffix(f".{identity.sha1[:8]}.above")
    if not path.exists():
        blocks = identity.path.read_text().split("-----BEGIN CERTIFICATE-----")[2:]
        own = path.with_suffix(f".{id(blocks)}")
        own.write_text("".join("-----BEGIN CERTIFICATE-----" + block for block in blocks))
        own.replace(path)
    return path


def certificates_only(identity: Identity) -> bytes:
    """SignedData that nobody has signed."""
    return openssl("crl2pkcs7", "-nocrl", "-certfile", identity.path, "-outform", "DER")
