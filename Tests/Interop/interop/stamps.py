"""A time-stamping authority (RFC 3161) that is none of ours: `openssl ts -reply` behind a small HTTP server."""

import http.server
import threading
import urllib.request
from pathlib import Path

from .authority import Authority, Identity, openssl
from .base import free_block, new_folder

PROFILE = (
    "basicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature\nextendedKeyUsage = critical, timeStamping\n"
    "subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid:always\n"
)
NAME = "Marche di prova"
_CONFIGURATION = """
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
signer_cert = {folder}/own.pem
certs = {folder}/above.pem
signer_key = {folder}/own.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1.2
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""


class StampServer:
    """Answers on one port of loopback; it can be stopped and started again there. `asked` counts requests; `ca` is who vouches for it."""

    def __init__(self):
        self.folder = new_folder("tsa")
        authority = Authority(self.folder / "ca", subject="/O=Prova/CN=CA delle marche")
        self.ca: Path = authority.certificate
        self.identity: Identity = authority.issue("tsa", f"/O=Prova/CN={NAME}", profile=PROFILE)
        for name, arguments in (("own.pem", ("x509",)), ("own.key", ("pkey",))):
            (self.folder / name).write_bytes(openssl(*arguments, "-in", self.identity.path))
        (self.folder / "above.pem").write_bytes(self.ca.read_bytes())
        (self.folder / "serial").write_text("1000\n")
        self._configuration = self.folder / "ts.cnf"
        self._configuration.write_text(_CONFIGURATION.format(folder=self.folder))
        self.port = free_block(1)
        self.asked = 0
        self._lock = threading.Lock()
        self.server = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/tsa"

    @property
    def settings(self) -> str:
        """This authority as an item of `certifiedLog.timeStamps.authorities`."""
        return f'{{ url: "{self.url}", caFile: {self.ca} }}'

    def answer(self, query: bytes) -> bytes:
        with self._lock:
            self.asked += 1
            question, reply = self.folder / "query.tsq", self.folder / "reply.tsr"
            question.write_bytes(query)
            openssl("ts", "-reply", "-config", self._configuration, "-queryfile", question, "-out", reply)
            return reply.read_bytes()

    def ask(self, url: str) -> bytes:
        """Asks another authority for a stamp, and gives back its answer as it is."""
        query = openssl("ts", "-query", "-data", self.ca, "-sha256", "-cert")
        request = urllib.request.Request(url, query, {"Content-Type": "application/timestamp-query"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.read()

    def start(self) -> "StampServer":
        authority = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                query = self.rfile.read(int(self.headers["Content-Length"]))
                good = self.headers["Content-Type"] == "application/timestamp-query"
                octets = authority.answer(query) if good else b""
                self.send_response(200 if good else 415)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(octets)))
                self.end_headers()
                try:
                    self.wfile.write(octets)
                except BrokenPipeError:
                    pass  # who asked was killed

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
