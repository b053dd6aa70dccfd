"""What the rules demand of a receipt, an envelope and a notice made for a message that we sent (pec-rules 2–5)."""

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property

from .lab import SERVICE
from .mailboxes import Stored
from .pec import Header, decoded_words, header_end, unfolded

#: Domains that the laboratory's index lists.
CERTIFIED = ("pec.alfa.test", "pec.beta.test", "pec.gamma.test")

T1 = """Errore nell'accettazione del messaggio
Il giorno [data] alle ore [ora] ([zona]) nel messaggio
"[oggetto]" proveniente da "[mittente]"
ed indirizzato a:
[destinatari]
è stato rilevato un problema che ne impedisce l'accettazione
a causa di [descrizione].
Il messaggio non è stato accettato.
Identificativo messaggio: [id]"""

T3 = """Ricevuta di accettazione
Il giorno [data] alle ore [ora] ([zona]) il messaggio
"[oggetto]" proveniente da "[mittente]"
ed indirizzato a:
[destinatari]
è stato accettato dal sistema ed inoltrato.
Identificativo messaggio: [id]"""

T4 = """Messaggio di posta certificata
Il giorno [data] alle ore [ora] ([zona]) il messaggio
"[oggetto]" è stato inviato da "[mittente]"
indirizzato a:
[destinatari]
Il messaggio originale è incluso in allegato.
Identificativo messaggio: [id]"""

T14 = """Avviso di mancata consegna
Il giorno [data] alle ore [ora] ([zona]) nel messaggio
"[oggetto]" proveniente da "[mittente]"
e destinato all'utente "[destinatari]"
è stato rilevato un errore [descrizione].
Il messaggio è stato rifiutato dal sistema.
Identificativo messaggio: [id]"""


def recipient_class(address: str) -> str:
    return "certificato" if address.rpartition("@")[2].lower() in CERTIFIED else "esterno"


@dataclass
class Sent:
    """What went in. `subject` is the decoded one; None where there was none, `...` where we do not say."""

    octets: bytes
    sender: str
    recipients: list[str]
    subject: object = ...
    message_id: str | None = None

    def __post_init__(self):
        if self.message_id is None and (values := self.header.all("Message-ID")):
            self.message_id = unfolded(values[0]) or None

    @cached_property
    def header(self) -> Header:
        return Header(self.octets[: header_end(self.octets)])

    @property
    def expected_original(self) -> tuple[bytes, bytes]:
        """The original without its identifier lines: header lines, and everything from the empty line on."""
        end = header_end(self.octets)
        kept = re.sub(rb"(?im)^(?:message-id|x-riferimento-message-id)[ \t]*:.*\r\n(?:[ \t].*\r\n)*", b"", self.octets[:end])
        return kept, self.octets[end:]

    def with_identifiers(self, pec_id: str) -> bytes:
        """postacert.eml as it has to be (pec-rules 3.5)."""
        head, rest = self.expected_original
        head += f"Message-ID: <{pec_id}>\r\n".encode()
        if self.message_id:
            head += f"X-Riferimento-Message-ID: {self.message_id}\r\n".encode("latin-1")
        return head + rest


def template(text: str, recipients: str, **values) -> re.Pattern:
    """A template as a pattern: every letter counts; `descrizione` may be anything where it is not given."""
    pattern = re.escape(text)
    values = {"descrizione": None, **values, "destinatari": recipients}
    for name, value in values.items():
        pattern = pattern.replace(re.escape(f"[{name}]"), "(?s:.+?)" if value is None else re.escape(value))
    return re.compile(r"\A" + pattern.replace("\\\n", "\n") + r"\n*\Z")


def latin(text: str) -> str | None:
    """The text where it can be written in ISO-8859-1 as it is; None where it must be transliterated."""
    try:
        text.encode("iso-8859-1")
        return text if "\n" not in text and text.isprintable() else None
    except UnicodeEncodeError:
        return None


class Checker:
    """Collects everything that is wrong with a message; `problems` is empty at the end when it is right."""

    def __init__(self, stored: Stored, sent: Sent):
        self.stored, self.sent = stored, sent
        self.problems: list[str] = []
        self.message = stored.message
        self.data = self.message.data

    def demand(self, holds, what: str) -> None:
        if not holds:
            self.problems.append(what)

    def same(self, what: str, got, wanted) -> None:
        if got != wanted:
            self.problems.append(f"{what}: wanted {wanted!r}, got {got!r}")

    def header_fields(self, wanted: dict[str, str | None], copied: tuple[str, ...] = ()) -> None:
        """Names and values, whatever their order; nothing else may stand there. Values of None are looked at elsewhere."""
        header = self.stored.header
        expected = {name.lower() for name in wanted} | {"subject", "date", "message-id", "mime-version", "content-type"}
        # The incoming point that took it has put its trace on top (RFC 5321 §4.4).
        for name in header.names[1:] if header.names[:1] == ["Received"] else header.names:
            self.demand(name.lower() in expected or name.lower() in copied, f"field {name} does not belong there")
        for name, value in wanted.items():
            count = len(header.all(name))
            self.same(f"number of {name} fields", count, 1)
            if count == 1 and value is not None:
                self.same(name, header.get(name), value)
        for name in ("Date", "Message-ID", "MIME-Version", "Content-Type", "Subject"):
            self.same(f"number of {name} fields", len(header.all(name)), 1)
        self.same("MIME-Version", header.get("MIME-Version"), "1.0")
        for line in self.stored.octets[: header_end(self.stored.octets)].split(b"\r\n"):
            self.demand(len(line) <= 998 and all(32 <= octet < 127 or octet == 9 for octet in line), f"header line {line[:120]!r}")

    def subject(self, prefix: str) -> None:
        value = self.stored.header.get("Subject")
        if value is None:
            return
        self.demand(value.startswith(prefix.rstrip(" ")), f"Subject {value!r} does not begin with {prefix!r}")
        if self.sent.subject is None or self.sent.subject == "":
            self.same("Subject", value, prefix.rstrip(" "))
        elif self.sent.subject is not ...:
            self.same("decoded Subject", decoded_words(value), prefix + self.sent.subject)

    def one_time(self) -> None:
        """The same second in text, certification data, Date and signingTime (pec-rules 11.8)."""
        date = parsedate_to_datetime(self.stored.header.get("Date"))
        self.same("Date", (date, date.utcoffset()), (self.data.when, self.data.when.utcoffset()))
        self.demand(
            re.fullmatch(
                r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", self.stored.header.get("Date")
            ),
            f"form of Date {self.stored.header.get('Date')!r}",
        )
        self.same("signingTime", self.message.signature.signing_time, self.data.when)
        self.demand(
            re.fullmatch(r"\d\d/\d\d/\d{4}", self.data.day)
            and re.fullmatch(r"\d\d:\d\d:\d\d", self.data.time)
            and re.fullmatch(r"[+-]\d{4}", self.data.zone),
            f"form of {self.data.day} {self.data.time} {self.data.zone}",
        )

    def words(self, text: str, recipient_lines: list[str], description: str | None = None) -> None:
        """The text part letter by letter. Recipient lines may stand in any order."""
        got = self.message.text.replace("\r\n", "\n")
        subject = self.sent.subject
        shown = None if subject is ... else "" if subject is None else latin(subject)
        lines = got.split("\n")
        if len(recipient_lines) > 1:
            for at in range(len(lines)):
                if lines[at] in recipient_lines:
                    chunk = lines[at : at + len(recipient_lines)]
                    if sorted(chunk) == sorted(recipient_lines):
                        lines[at : at + len(recipient_lines)] = recipient_lines
                    break
        pattern = template(
            text,
            "\n".join(recipient_lines),
            data=self.data.day,
            ora=self.data.time,
            zona=self.data.zone,
            oggetto=shown,
            mittente=self.sent.sender,
            id=self.data.pec_id,
            descrizione=description,
        )
        self.demand(pattern.match("\n".join(lines)), f"text differs from the template:\n{got[:1500]}")

    def certified(
        self, kind: str, error: str, receipt_type: str | None, recipients=None, exact: bool = True, delivered_to=..., received=()
    ) -> None:
        """daticert.xml, value by value. `delivered_to`: `consegna`; by default there is none but in a non-delivery."""
        self.same("tipo", self.data.kind, kind)
        self.same("errore", self.data.error, error)
        self.same("mittente", self.data.sender.lower(), self.sent.sender.lower())
        wanted = sorted((each.lower(), recipient_class(each)) for each in (recipients or self.sent.recipients))
        self.same("destinatari", sorted((address.lower(), given) for address, given in self.data.recipients), wanted)
        self.same("msgid", self.data.client_id, self.sent.message_id)
        self.same("ricevuta", self.data.receipt_type, receipt_type)
        self.demand(self.data.provider, "gestore-emittente is empty")
        self.demand(re.fullmatch(r"[A-Za-z0-9.-]+@[a-z0-9.-]+", self.data.pec_id), f"identificativo {self.data.pec_id!r}")
        if self.sent.subject is not ... and exact:
            if self.sent.subject is None or self.sent.subject == "":
                self.demand(not self.data.subject, f"oggetto: wanted none, got {self.data.subject!r}")
            else:
                self.same("oggetto", self.data.subject, self.sent.subject)
        if delivered_to is ...:
            delivered_to = None if kind != "errore-consegna" else self.data.delivered_to
        self.same("consegna", (self.data.delivered_to or "").lower(), (delivered_to or "").lower())
        self.same("ricezione", sorted(each.lower() for each in self.data.received), sorted(each.lower() for each in received))

    def form(self, encoding: str = "7bit") -> None:
        """Outside and inside of the MIME tree (pec-rules 2.1, 4.4). `encoding`: of postacert.eml."""
        message = self.message
        self.demand(message.protocol in ("application/pkcs7-signature", "application/x-pkcs7-signature"), f"protocol {message.protocol!r}")
        self.demand(message.micalg == "sha-256", f"micalg {message.micalg!r}")
        self.demand("This is an S/MIME signed message" in message.preamble.decode("latin-1"), f"preamble {message.preamble!r}")
        self.same("name of the signature part", 'name="smime.p7s"' in (message.signature_header.get("Content-Type") or ""), True)
        self.same("signature's encoding", (message.signature_header.get("Content-Transfer-Encoding") or "").lower(), "base64")
        self.demand('filename="smime.p7s"' in (message.signature_header.get("Content-Disposition") or ""), "no filename smime.p7s")
        names = [part.get("Content-Type") or "" for part in message.part_headers]
        self.same("parts", len(names), 1 + (message.original is not None) + (message.xml is not None))
        for part in message.part_headers[1:]:
            about = part.get("Content-Type")
            name = "postacert.eml" if about.startswith("message/rfc822") else "daticert.xml"
            self.demand(f'name="{name}"' in about, f"part {about!r} without name {name}")
            self.demand(f'filename="{name}"' in (part.get("Content-Disposition") or ""), f"part {about!r} without filename {name}")
            if name == "daticert.xml":
                self.demand(about.startswith("application/xml"), f"daticert is {about!r}")
            else:
                self.same("encoding of postacert.eml", (part.get("Content-Transfer-Encoding") or "7bit").lower(), encoding)
        self.demand(encoding != "7bit" or all(octet < 128 for octet in message.octets), "an octet above 127")


def receipt_lines(sent: Sent) -> list[str]:
    words = {"certificato": "posta certificata", "esterno": "posta ordinaria"}
    return [f'{address} ("{words[recipient_class(address)]}")' for address in sent.recipients]


def check_acceptance(stored: Stored, sent: Sent) -> list[str]:
    """Acceptance receipt: pec-rules 2.2, T3."""
    check = Checker(stored, sent)
    wanted = {"X-Ricevuta": "accettazione", "From": SERVICE, "To": sent.sender}
    if sent.message_id:
        wanted["X-Riferimento-Message-ID"] = sent.message_id
    check.header_fields(wanted)
    check.subject("ACCETTAZIONE: ")
    check.demand(stored.header.get("Message-ID") != f"<{check.data.pec_id}>", "the receipt's Message-ID is the PEC id")
    check.form()
    check.demand(check.message.original is None, "a receipt of acceptance with the original inside")
    check.one_time()
    check.words(T3, receipt_lines(sent))
    check.certified("accettazione", "nessuno", None)
    check.same("errore-esteso", check.data.extended_error, None)
    if stored.return_path is not None:
        check.same("Return-Path of the receipt", stored.return_path.strip("<>"), SERVICE)
    return check.problems


def check_envelope(stored: Stored, sent: Sent) -> list[str]:
    """Transport envelope: pec-rules 4, T4, and the original inside."""
    check = Checker(stored, sent)
    pec_id = check.data.pec_id
    wanted = {
        "X-Trasporto": "posta-certificata",
        "From": f'"Per conto di: {sent.sender}" <{SERVICE}>',
        "Message-ID": f"<{pec_id}>",
        "Reply-To": None,
    }
    if sent.message_id:
        wanted["X-Riferimento-Message-ID"] = sent.message_id
    asked = (sent.header.all("X-TipoRicevuta") or [None])[0]
    kind = "completa"
    if asked is not None:
        value = re.sub(r"\s", "", unfolded(asked)).lower()
        kind = value if value in ("completa", "breve", "sintetica") else "completa"
        wanted["X-TipoRicevuta"] = None
        check.same("X-TipoRicevuta", (stored.header.get("X-TipoRicevuta") or "").lower(), kind)
    check.header_fields(wanted, copied=("to", "cc", "received", "return-path", "x-tiporicevuta"))
    received, own = stored.header.all("Received"), sent.header.all("Received")
    check.demand(len(received) - len(own) in (0, 1), f"{len(received)} Received fields for {len(own)} of the original")
    check.same("Received, copied unmodified", received[len(received) - len(own) :], own)
    for name in ("To", "Cc", "Return-Path"):
        check.same(f"{name}, copied unmodified", stored.header.all(name), sent.header.all(name))
    own = sent.header.all("Reply-To")
    if own:
        check.same("Reply-To, copied unmodified", stored.header.all("Reply-To"), own)
    else:
        check.same("Reply-To", (stored.header.get("Reply-To") or "").lower(), sent.sender.lower())
        check.same("risposte", check.data.reply_to.lower(), sent.sender.lower())
    check.subject("POSTA CERTIFICATA: ")
    check.form()
    check.demand(check.message.original is not None, "no postacert.eml")
    if check.message.original is not None:
        check.problems += differences(check.message.original, sent.with_identifiers(pec_id))
    check.one_time()
    check.words(T4, list(sent.recipients))
    check.certified("posta-certificata", "nessuno", kind)
    check.same("errore-esteso", check.data.extended_error, None)
    if stored.envelope_from is not None:
        check.same("MAIL FROM of the envelope", stored.envelope_from, sent.sender)
        check.demand(
            {each.lower() for each in stored.envelope_to} <= {each.lower() for each in sent.recipients}, f"RCPT TO {stored.envelope_to}"
        )
    return check.problems


def check_non_acceptance(stored: Stored, sent: Sent, words: bool = True) -> list[str]:
    """Formal non-acceptance notice: pec-rules 2.2, T1."""
    check = Checker(stored, sent)
    wanted = {"X-Ricevuta": "non-accettazione", "From": SERVICE, "To": sent.sender}
    if sent.message_id:
        wanted["X-Riferimento-Message-ID"] = sent.message_id
    check.header_fields(wanted)
    check.subject("AVVISO DI NON ACCETTAZIONE: ")
    check.form()
    check.demand(check.message.original is None, "a notice of non-acceptance with the original inside")
    check.one_time()
    if words:
        check.words(T1, list(sent.recipients))
    check.certified("non-accettazione", "altro", None)
    check.demand(check.data.extended_error, "errore-esteso is missing")
    return check.problems


def check_non_delivery(
    stored: Stored, sent: Sent, recipient: str, errors=("no-dest", "no-dominio", "altro"), service: str = SERVICE
) -> list[str]:
    """Non-delivery notice: pec-rules 2.2, T14."""
    check = Checker(stored, sent)
    wanted = {"X-Ricevuta": "errore-consegna", "From": service, "To": sent.sender}
    if sent.message_id:
        wanted["X-Riferimento-Message-ID"] = sent.message_id
    check.header_fields(wanted)
    check.subject("AVVISO DI MANCATA CONSEGNA: ")
    check.form()
    check.demand(check.message.original is None, "a notice of non-delivery with the original inside")
    check.one_time()
    check.words(T14, [recipient])
    check.demand(check.data.error in errors, f"errore {check.data.error!r}")
    check.certified("errore-consegna", check.data.error, None)
    check.same("consegna", (check.data.delivered_to or "").lower(), recipient.lower())
    check.demand(re.match(r"[45]\.\d+\.\d+ - .+ - .+", check.data.extended_error or ""), f"errore-esteso {check.data.extended_error!r}")
    return check.problems


def differences(got: bytes, wanted: bytes) -> list[str]:
    """Nothing when equal; else the first place where two messages part, with its surroundings."""
    if got == wanted:
        return []
    at = next((at for at, (one, two) in enumerate(zip(got, wanted)) if one != two), min(len(got), len(wanted)))
    low = max(0, at - 40)
    return [
        f"postacert.eml differs from what was sent at octet {at} ({len(got)} octets instead of {len(wanted)}): "
        f"wanted {wanted[low:at + 60]!r}, got {got[low:at + 60]!r}"
    ]


def now() -> datetime:
    return datetime.now().astimezone()
