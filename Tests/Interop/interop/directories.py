"""Places that a provider index is fetched from: an OpenLDAP server and an HTTPS server, each on loopback and in a folder of its own."""

import http.server
import ssl
import threading
from pathlib import Path

from .base import HERE, end, find, free_block, new_folder, poll, port_is_free, run, spawn, tail

SCHEMA = HERE.parent / "LDAPSearchTests" / "Fixtures" / "postacert.schema"
_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include {schema}
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
database mdb
maxsize 104857600
suffix o=postacert
rootdn cn=admin,o=postacert
rootpw segreto
directory {folder}/data
sizelimit unlimited
"""


class Slapd:
    """An OpenLDAP server with the schema of RFC 6109 §4.5. `load` replaces what it holds."""

    def __init__(self, ca: Path, certificate: Path, key: Path):
        self.folder = new_folder("slapd")
        self.port = free_block(2)
        self.plain, self.secure = f"ldap://127.0.0.1:{self.port}", f"ldaps://127.0.0.1:{self.port + 1}"
        self.configuration, self.log = self.folder / "slapd.conf", self.folder / "slapd.log"
        self.configuration.write_text(_CONFIGURATION.format(schema=SCHEMA, ca=ca, certificate=certificate, key=key, folder=self.folder))
        self.process = None

    def load(self, ldif: bytes) -> "Slapd":
        self.stop()
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        for old in data.iterdir():
            old.unlink()
        source = self.folder / "index.ldif"
        # slapadd takes a line "version: 1" only when the first record follows at once.
        source.write_bytes(ldif.removeprefix(b"version: 1\n").lstrip(b"\n"))
        done = run([find("slapadd"), "-f", self.configuration, "-l", source])
        assert done.returncode == 0, f"slapadd: {done.stderr.decode(errors='replace')}"
        return self.start()

    def start(self) -> "Slapd":
        self.process = spawn([find("slapd"), "-f", self.configuration, "-h", f"{self.plain} {self.secure}", "-d", "stats"], self.log)
        poll(lambda: not port_is_free(self.port) and not port_is_free(self.port + 1), 30, lambda: f"slapd:\n{tail(self.log)}")
        return self

    def stop(self) -> None:
        if self.process:
            end(self.process)
            self.process = None


class Publisher:
    """An HTTPS server with one file, `octets`; None: it has none. It can be stopped and started again on its port."""

    def __init__(self, certificate: Path, key: Path):
        self.certificate, self.key = certificate, key
        self.octets: bytes | None = b""
        self.asked = 0
        self.port = free_block(1)
        self.server = None
        self.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/igpec.ldif.p7m"

    def start(self) -> None:
        publisher = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                publisher.asked += 1
                octets = publisher.octets
                self.send_response(200 if octets is not None else 503)
                self.send_header("Content-Type", "application/pkcs7-mime; smime-type=signed-data")
                self.send_header("Content-Length", str(len(octets or b"")))
                self.end_headers()
                self.wfile.write(octets or b"")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
