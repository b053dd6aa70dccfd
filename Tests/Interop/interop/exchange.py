"""Mail exchangers and what leads to them: a signed DNS served by nsd, from a root of its own, and policy hosts over HTTPS."""

import hashlib
import http.server
import random
import socket
import ssl
import threading
from pathlib import Path

from . import base
from .authority import Authority, Identity, openssl
from .der import pem_blocks

SERVER = (
    "basicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature, keyEncipherment\nextendedKeyUsage = serverAuth\n"
    "subjectAltName = {alternative}\n"
)


class Network:
    """Addresses of 127/8 that nobody else has: the real ports 25 and 443 are free on them."""

    def __init__(self):
        self._dice = random.SystemRandom()
        self._given: set[str] = set()

    def address(self) -> str:
        for _ in range(500):
            address = f"127.{self._dice.randrange(1, 255)}.{self._dice.randrange(256)}.{self._dice.randrange(1, 255)}"
            if address not in self._given and all(self._is_free(address, port) for port in (25, 443)):
                self._given.add(address)
                return address
        raise RuntimeError("no loopback address with free ports 25 and 443 (the tests need root for them)")

    @staticmethod
    def _is_free(address: str, port: int) -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
                return True
            except OSError:
                return False


def certificate_for(authority: Authority, *names: str) -> Identity:
    return authority.issue(names[0], f"/CN={names[0][:60]}", ",".join(f"DNS:{name}" for name in names), SERVER)


def server_context(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.path)
    return context


def key_association(identity: Identity, usage: int = 3) -> str:
    """RDATA of a TLSA record for the public key of a certificate (selector 1, SHA-256); for usage 2 that of its authority."""
    certificate = identity.certificates[1 if usage == 2 else 0]
    pem = openssl("x509", "-inform", "DER", "-pubkey", "-noout", stdin=certificate)
    return f"{usage} 1 1 {hashlib.sha256(pem_blocks(pem, 'PUBLIC KEY')[0]).hexdigest()}"


class NameServer:
    """nsd with a root, `example.` below it, and under that what a test delegates; all signed by ldns-signzone unless told otherwise."""

    TOOLS = ("nsd", "ldns-keygen", "ldns-signzone")

    def __init__(self):
        self.folder = base.new_folder("nsd")
        self.port = base.free_block(1)
        self.records: dict[str, list[str]] = {".": [], "example.": []}
        #: Zones whose DS in the parent is another key's, and zones without one.
        self.bogus: set[str] = set()
        self.unsigned: set[str] = set()
        self._process = None

    @property
    def server(self) -> str:
        return f"127.0.0.1@{self.port}"

    @property
    def anchor(self) -> Path:
        return self.folder / "root.key"

    def add(self, *records: str, zone: str = "example.") -> None:
        self.records.setdefault(zone, []).extend(records)

    def _key(self, zone: str, name: str) -> tuple[Path, str, str]:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        made = base.run([base.find("ldns-keygen"), "-a", "ECDSAP256SHA256", "-k", "-r", "/dev/urandom", zone], cwd=folder)
        assert made.returncode == 0, made.stderr.decode()
        stem = folder / made.stdout.decode().strip()
        return stem, Path(f"{stem}.ds").read_text(), Path(f"{stem}.key").read_text()

    def _write(self, zone: str, records: list[str], key: Path | None) -> Path:
        path = self.folder / f"zone-{zone.strip('.') or 'root'}"
        # A root of its own: whatever the resolver asks, it finds here and nowhere else.
        head = f"$ORIGIN {zone}\n$TTL 5\n@ IN SOA ns.example. hostmaster.example. 1 3600 600 86400 5\n@ IN NS ns.example.\n"
        path.write_text(head + "\n".join(records) + "\n")
        if not key:
            return path
        made = base.run([base.find("ldns-signzone"), "-o", zone, "-f", f"{path}.signed", path, key])
        assert made.returncode == 0, (made.stdout + made.stderr).decode()
        return Path(f"{path}.signed")

    def start(self) -> "NameServer":
        self.add("ns.example. IN A 127.0.0.1")
        files: dict[str, Path] = {}
        for zone in sorted(self.records, key=lambda name: -len([label for label in name.split(".") if label])):
            stem, ds, public = self._key(zone, f"keys-{zone.strip('.') or 'root'}")
            files[zone] = self._write(zone, self.records[zone], None if zone in self.unsigned else stem)
            if zone == ".":
                self.anchor.write_text(public)
                break
            parent = zone.split(".", 1)[1] or "."
            if zone in self.bogus:
                ds = self._key(zone, f"other-{zone.strip('.')}")[1]
            self.add(f"{zone} IN NS ns.example.", *([] if zone in self.unsigned else [ds.strip()]), zone=parent)
            if parent == ".":
                self.add("ns.example. IN A 127.0.0.1", zone=".")
        configuration = self.folder / "nsd.conf"
        configuration.write_text(
            "server:\n"
            f"  ip-address: 127.0.0.1@{self.port}\n  do-ip6: no\n  username: \"\"\n  zonesdir: \"{self.folder}\"\n  database: \"\"\n"
            f"  pidfile: \"\"\n  xfrdfile: \"\"\n  zonelistfile: \"{self.folder}/zones\"\n  xfrdir: \"{self.folder}\"\n  verbosity: 1\n"
            "remote-control:\n  control-enable: no\n"
            + "".join(f"zone:\n  name: \"{zone}\"\n  zonefile: \"{path}\"\n" for zone, path in files.items())
        )
        self._log = self.folder / "nsd.log"
        self._process = base.spawn([base.find("nsd"), "-d", "-c", configuration], self._log)
        base.poll(self._answers, 20, lambda: f"an answer of nsd:\n{base.tail(self._log)}")
        return self

    def _answers(self) -> bool:
        """Whether the root's SOA is served."""
        if self._process.poll() is not None:
            raise AssertionError(f"nsd ended with code {self._process.returncode}:\n{base.tail(self._log)}")
        question = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0" + b"\0" + b"\0\x06\0\x01"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(0.5)
            asker.sendto(question, ("127.0.0.1", self.port))
            try:
                answer = asker.recv(4096)
            except OSError:
                return False
        return answer[3] & 15 == 0 and answer[7] > 0

    def stop(self) -> None:
        if self._process:
            base.end(self._process)


class PolicyHost:
    """Serves one policy over HTTPS, at port 443 of an address of its own."""

    def __init__(self, address: str, identity: Identity, text: str, content_type: str = "text/plain", status: int = 200):
        host = self
        self.asked: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                host.asked.append(self.path)
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                if status in (301, 302):
                    self.send_header("Location", self.path + "?elsewhere")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer((address, 443), Handler)
        self._server.socket = server_context(identity).wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def policy(mode: str, *hosts: str, seconds: int = 86400) -> str:
    return "\r\n".join(["version: STSv1", f"mode: {mode}", *(f"mx: {host}" for host in hosts), f"max_age: {seconds}", ""])
