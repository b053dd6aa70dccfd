"""Judges of finished messages: `openssl`, `xmllint`, and our own reading of the profile."""

import tempfile
from pathlib import Path

from .base import DTD, find, run
from .pec import PECMessage


class Judge:
    """Knows the laboratory's CA and the certificate that provider alfa signs with."""

    def __init__(self, ca: Path, signer: Path | None = None):
        self.ca = Path(ca)
        self.signer = Path(signer) if signer else None
        from .der import pem_blocks

        self.signer_certificates = pem_blocks(self.signer.read_bytes()) if signer else []

    def fast(self, message: PECMessage) -> list[str]:
        """Profile, digest and RSA signature, in this process. Empty when all is well."""
        signature = message.signature
        problems = list(signature.problems)
        if not signature.holds_for(message.signed):
            problems.append("the signature does not hold for the signed octets")
        if self.signer_certificates and signature.signer not in self.signer_certificates:
            problems.append("signed with a certificate that is not the provider's")
        if message.data and signature.signing_time != message.data.when:
            problems.append(f"signingTime {signature.signing_time} is not the certified instant {message.data.when}")
        return problems

    def openssl(self, octets: bytes, command: str = "cms") -> list[str]:
        """`openssl cms -verify` (or `smime`) on the whole message, and on the extracted octets with the bare signature."""
        with tempfile.TemporaryDirectory(prefix="ceralacca-judge-") as folder:
            place = Path(folder)
            (place / "mail").write_bytes(octets)
            checked = run([find("openssl"), command, "-verify", "-in", place / "mail", "-CAfile", self.ca, "-out", place / "out"])
            if checked.returncode:
                return [f"openssl {command} -verify refuses: {checked.stderr.decode(errors='replace').strip()}"]
        return []

    def openssl_detached(self, message: PECMessage) -> list[str]:
        """The octets between the delimiters as we cut them, with the signature as DER: no MIME reading by openssl."""
        with tempfile.TemporaryDirectory(prefix="ceralacca-judge-") as folder:
            place = Path(folder)
            (place / "signed").write_bytes(message.signed)
            (place / "cms").write_bytes(message.cms)
            checked = run(
                [
                    find("openssl"),
                    "cms",
                    "-verify",
                    "-binary",
                    "-inform",
                    "DER",
                    "-in",
                    place / "cms",
                    "-content",
                    place / "signed",
                    "-CAfile",
                    self.ca,
                    "-out",
                    place / "out",
                ]
            )
            if checked.returncode:
                return [f"openssl refuses the exact octets: {checked.stderr.decode(errors='replace').strip()}"]
            if (place / "out").read_bytes() != message.signed:
                return ["openssl gives back other octets than were signed"]
        return []

    def dtd(self, *documents: bytes) -> list[str]:
        """Every document against our DTD, by one run of xmllint."""
        with tempfile.TemporaryDirectory(prefix="ceralacca-judge-") as folder:
            names = []
            for number, xml in enumerate(documents):
                names.append(Path(folder) / f"{number:05}.xml")
                names[-1].write_bytes(xml)
            problems = []
            for at in range(0, len(names), 500):
                checked = run([find("xmllint"), "--noout", "--nonet", "--dtdvalid", DTD, *names[at : at + 500]])
                if checked.returncode:
                    problems.append(f"xmllint: {checked.stderr.decode(errors='replace').strip()}")
            return problems
