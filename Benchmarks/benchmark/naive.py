"""A PEC access point as one would write it in an afternoon, with aiosmtpd and `cryptography`: a peer of the benchmark, and no more.

  naive.py PORT NEXT-HOP-PORT LMTP-PORT IDENTITY-PEM SPOOL CLAMD-SOCKET

It does what must be done for each message: reads it, checks who sent it to whom, has clamd scan it, writes certification data, signs an
acceptance receipt and a transport envelope, writes both to its spool and syncs them, answers 250, and sends one by LMTP and one by SMTP.
Several processes share a port. In each, threads work on messages while the loop speaks SMTP, and connections to the next hops are kept.
"""

import asyncio
import itertools
import os
import queue
import re
import smtplib
import socket
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email import message_from_bytes
from email.utils import format_datetime, getaddresses
from pathlib import Path
from xml.sax.saxutils import escape

from aiosmtpd.smtp import SMTP
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs7

_PROVIDER, _SERVICE, _DOMAIN = "Alfa PEC S.p.A.", "posta-certificata@pec.alfa.test", "pec.alfa.test"
_WORKERS = 4
#: Messages that may wait for their delivery: with more, 250s wait too.
_WAITING = 200


class Refused(Exception):
    """What the client is answered."""


class Signer:
    """S/MIME signatures with the provider's key."""

    def __init__(self, identity: Path):
        pem = identity.read_bytes()
        found = re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", pem, re.S)
        self._certificate, *self._chain = (x509.load_pem_x509_certificate(each) for each in found)
        key = re.search(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----\n?", pem, re.S)
        self._key = load_pem_private_key(key[0], None)

    def sign(self, fields: list[tuple[str, str]], content: bytes) -> bytes:
        """A message with these fields, its content signed."""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(self._certificate, self._key, hashes.SHA256())
        for certificate in self._chain:
            builder = builder.add_certificate(certificate)
        signed = builder.sign(Encoding.SMIME, [pkcs7.PKCS7Options.DetachedSignature])
        head = "".join(f"{name}: {value}\r\n" for name, value in fields).encode()
        return head + re.sub(rb"\r?\n", b"\r\n", signed)


class Deliveries:
    """Sends what was accepted, over connections that are kept."""

    def __init__(self, next_hop: int, mailboxes: int):
        self._ports = (next_hop, mailboxes)
        self._waiting: queue.Queue = queue.Queue(_WAITING)
        for _ in range(_WORKERS // 2):
            threading.Thread(target=self._work, daemon=True).start()

    def add(self, *job: object) -> None:
        self._waiting.put(job)

    def _work(self) -> None:
        world = mailbox = None
        while True:
            sender, recipients, envelope, receipt, spooled = self._waiting.get()
            for _ in range(20):
                try:
                    if world is None:
                        world, mailbox = smtplib.SMTP("127.0.0.1", self._ports[0]), smtplib.LMTP("127.0.0.1", self._ports[1])
                    if envelope:
                        world.sendmail(_SERVICE, recipients, envelope)
                        envelope = None
                    mailbox.sendmail("", [sender], receipt)
                    os.unlink(spooled)
                    break
                except (OSError, smtplib.SMTPException):
                    world = mailbox = None
                    threading.Event().wait(0.1)


class Gateway:
    """What is done for a message."""

    def __init__(self, signer: Signer, spool: Path, scanner: str, deliveries: Deliveries):
        self._signer, self._spool, self._scanner, self._deliveries = signer, spool, scanner, deliveries
        self._numbers = itertools.count(1)
        self._pool = ThreadPoolExecutor(_WORKERS)

    async def handle_DATA(self, server, session, envelope) -> str:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._pool, self._accept, envelope.mail_from, list(envelope.rcpt_tos), envelope.content)
            return "250 2.0.0 OK"
        except Refused as refusal:
            return str(refusal)

    def _accept(self, sender: str, recipients: list[str], content: bytes) -> None:
        message = message_from_bytes(content)
        named = {address.lower() for _, address in getaddresses(message.get_all("to", []) + message.get_all("cc", []))}
        if [address for _, address in getaddresses(message.get_all("from", []))] != [sender]:
            raise Refused("550 5.7.1 From is not who sends")
        if missing := [each for each in recipients if each.lower() not in named]:
            raise Refused(f"550 5.7.1 not named in To or Cc: {missing[0]}")
        self._scan(content)
        now, number = datetime.now().astimezone(), next(self._numbers)
        pec_id = f"{now:%Y%m%d%H%M%S}.{os.getpid()}.{number:08}@{_DOMAIN}"
        client, subject = message["message-id"] or "", message["subject"] or ""
        text = f'Il giorno {now:%d/%m/%Y} alle ore {now:%H:%M:%S} il messaggio "{subject}" è stato inviato da "{sender}".\r\n'
        receipt = self._message(
            [("X-Ricevuta", "accettazione"), ("From", _SERVICE), ("To", sender), ("Subject", f"ACCETTAZIONE: {subject}")],
            now, pec_id, client, text, self._data("accettazione", sender, recipients, subject, now, pec_id, client), None,
        )  # fmt: skip
        original = re.sub(rb"(?im)^message-id:.*\r\n(?:[ \t].*\r\n)*", b"Message-ID: <" + pec_id.encode() + b">\r\n", content, count=1)
        envelope = self._message(
            [
                ("X-Trasporto", "posta-certificata"), ("From", f'"Per conto di: {sender}" <{_SERVICE}>'), ("Reply-To", sender),
                ("To", ", ".join(recipients)), ("Subject", f"POSTA CERTIFICATA: {subject}"),
            ],
            now, pec_id, client, text, self._data("posta-certificata", sender, recipients, subject, now, pec_id, client), original,
        )  # fmt: skip
        path = self._spool / pec_id
        with open(path, "wb") as file:
            file.write(f"{sender}\n{','.join(recipients)}\n{len(receipt)}\n".encode())
            file.write(receipt)
            file.write(envelope)
            file.flush()
            os.fsync(file.fileno())
        self._deliveries.add(sender, recipients, envelope, receipt, path)

    def _scan(self, content: bytes) -> None:
        """clamd's INSTREAM: pieces with their length before them, an empty one at the end."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as scanner:
            scanner.connect(self._scanner)
            scanner.sendall(b"zINSTREAM\0")
            for at in range(0, len(content), 1 << 16):
                piece = content[at : at + (1 << 16)]
                scanner.sendall(struct.pack(">I", len(piece)) + piece)
            scanner.sendall(struct.pack(">I", 0))
            verdict = b""
            while not verdict.endswith(b"\0"):
                more = scanner.recv(4096)
                if not more:
                    raise Refused("451 4.3.0 the scanner said nothing")
                verdict += more
        if not verdict.endswith(b" OK\0"):
            raise Refused("550 5.7.1 infected" if b"FOUND" in verdict else "451 4.3.0 the scanner failed")

    @staticmethod
    def _data(kind: str, sender: str, recipients: list[str], subject: str, now: datetime, pec_id: str, client: str) -> bytes:
        to = "".join(f'        <destinatari tipo="esterno">{escape(each)}</destinatari>\n' for each in recipients)
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<postacert tipo="{kind}" errore="nessuno">\n    <intestazione>\n        <mittente>{escape(sender)}</mittente>\n{to}'
            f"        <risposte>{escape(sender)}</risposte>\n        <oggetto>{escape(subject)}</oggetto>\n"
            "    </intestazione>\n    <dati>\n"
            f'        <gestore-emittente>{_PROVIDER}</gestore-emittente>\n        <data zona="{now:%z}">\n'
            f"            <giorno>{now:%d/%m/%Y}</giorno>\n            <ora>{now:%H:%M:%S}</ora>\n        </data>\n"
            f"        <identificativo>{pec_id}</identificativo>\n        <msgid>{escape(client)}</msgid>\n    </dati>\n</postacert>\n"
        ).encode()

    def _message(self, fields, now: datetime, pec_id: str, client: str, text: str, data: bytes, original: bytes | None) -> bytes:
        mark = f"=_{pec_id.partition('@')[0]}"
        parts = [
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + text.encode(),
            b'Content-Type: application/xml; name="daticert.xml"\r\nContent-Disposition: inline; filename="daticert.xml"\r\n'
            b"Content-Transfer-Encoding: 8bit\r\n\r\n" + data.replace(b"\n", b"\r\n"),
        ]
        if original is not None:
            parts.append(
                b'Content-Type: message/rfc822; name="postacert.eml"\r\nContent-Disposition: attachment; filename="postacert.eml"\r\n\r\n'
                + original
            )
        head, border = f'Content-Type: multipart/mixed; boundary="{mark}"\r\n'.encode(), f"\r\n--{mark}\r\n".encode()
        content = head + border + border.join(parts) + f"\r\n--{mark}--\r\n".encode()
        about = [("Date", format_datetime(now)), ("Message-ID", f"<{pec_id}>"), ("X-Riferimento-Message-ID", client)]
        return self._signer.sign([*fields, *about], content)


async def serve(port: int, gateway: Gateway) -> None:
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return SMTP(gateway, data_size_limit=None, hostname="naive.example.test", loop=loop)

    server = await loop.create_server(session, "127.0.0.1", port, reuse_port=True, backlog=512)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    port, next_hop, mailboxes = map(int, sys.argv[1:4])
    identity, spool, scanner = sys.argv[4:]
    asyncio.run(serve(port, Gateway(Signer(Path(identity)), Path(spool), scanner, Deliveries(next_hop, mailboxes))))
