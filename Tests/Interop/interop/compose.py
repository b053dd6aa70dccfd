"""Small messages for tests, with an address or token by which their receipts and envelopes are found again."""

import itertools
import secrets
from email.utils import formatdate

from .expect import Sent
from .lab import ANNA
from .mailboxes import Folder, Stored

_numbers = itertools.count(1)


def token() -> str:
    """A word that stands in no other message."""
    return f"t{next(_numbers)}-{secrets.token_hex(6)}"


def simple(
    subject: str = "Prova",
    recipients: list[str] | None = None,
    sender: str = ANNA,
    body: bytes = b"Buongiorno.\r\n",
    extra: bytes = b"",
    to: str | None = None,
    message_id: str | None = ...,
    from_: str | None = None,
) -> Sent:
    """A plain and correct message; its Message-ID holds a fresh token."""
    recipients = recipients or ["ordinario@example.test"]
    mark = f"<{token()}@client.example.test>" if message_id is ... else message_id
    lines = [
        f"Date: {formatdate(localtime=True)}",
        f"From: {from_ or sender}",
        f"To: {to or (',' + chr(13) + chr(10) + ' ').join(recipients)}",
        f"Subject: {subject}",
    ]
    if mark:
        lines.append(f"Message-ID: {mark}")
    head = "".join(line + "\r\n" for line in lines).encode("utf-8")
    return Sent(head + extra + b"\r\n" + body, sender, list(recipients), subject if subject.isascii() else ..., mark)


def belongs(sent: Sent, kind: str):
    """A condition for `Folder.wait`: of this kind, and about this message (by its client's Message-ID)."""
    return lambda stored: stored.kind == kind and stored.header.get("X-Riferimento-Message-ID") == sent.message_id


def receipt(folder: Folder, sent: Sent, kind: str = "accettazione", seconds: float = 30) -> Stored:
    return folder.wait(belongs(sent, kind), seconds, what=f"the {kind} for {sent.message_id}")[0]


def envelope(folder: Folder, sent: Sent, seconds: float = 30) -> Stored:
    return folder.wait(belongs(sent, "posta-certificata"), seconds, what=f"the envelope for {sent.message_id}")[0]
