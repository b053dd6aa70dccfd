"""Messages as another provider makes them: envelopes, receipts and notices in the dialects seen in the wild (pec-rules 16), signed by
the openssl CLI. Every one can be bent before it is signed, and again after."""

import base64
import copy
import itertools
import quopri
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from xml.sax.saxutils import escape

from . import authority
from .authority import Identity
from .mailboxes import Stored
from .pec import CertificationData

ZONE = timezone(timedelta(hours=1))
_numbers = itertools.count(1)
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()


def mail_date(when: datetime) -> str:
    zone = when.strftime("%z")
    return f"{_DAYS[when.weekday()]}, {when.day:02} {_MONTHS[when.month - 1]} {when.year} {when:%H:%M:%S} {zone}"


@dataclass(frozen=True)
class Dialect:
    """How a provider's messages look where the rules leave it open."""

    name: str
    digest: str = "sha256"
    #: The parameter as written, with or without quotation marks.
    micalg: str = '"sha-256"'
    protocol: str = "application/pkcs7-signature"
    signature_type: str = "application/pkcs7-signature"
    #: Order of text, certification data, original.
    order: str = "ACB"
    html: bool = False
    style: bool = False
    receipt_type_field: str | None = "X-TipoRicevuta"
    capabilities: bool = False
    indefinite: bool = False
    attributes: bool = True
    binary: bool = False
    xml_line: str = "\n"
    own_fields: tuple[tuple[str, str], ...] = ()
    turned_recipients: bool = False
    stray_text: bool = False
    #: The form of a PEC id; `n` counts, `t` is the time, `h` random hexadecimal.
    identifier: str = "{d}.{t}.{n:06}@{domain}"
    preamble: str = "This is an S/MIME signed message"
    by_key: bool = False


_OPEC = "opec288.{t}.01838.{n}.1.63@{domain}"
MODERN = Dialect("modern")
ARUBA_2014 = Dialect(
    "aruba-2014",
    digest="sha1",
    micalg="sha1",
    protocol="application/x-pkcs7-signature",
    signature_type="application/x-pkcs7-signature",
    receipt_type_field="X-Tiporicevuta",
    capabilities=True,
    binary=True,
    identifier=_OPEC,
)
ARUBA_2024 = replace(ARUBA_2014, name="aruba-2024", micalg='"sha1"', html=True, capabilities=False, stray_text=True)
SOGEI_2019 = replace(ARUBA_2014, name="sogei-2019", micalg='"sha1"', order="ABC", capabilities=False)
NAMIRIAL_2024 = replace(
    ARUBA_2014,
    name="namirial-2024",
    micalg='"sha1"',
    html=True,
    style=True,
    receipt_type_field=None,
    capabilities=False,
    turned_recipients=True,
    own_fields=(
        ("DKIM-Signature", "v=1; a=rsa-sha256; c=relaxed/simple; d=sicurezzapostale.it;\r\n\ts=mail; t=1733137467; h=From:To; b=AbCd"),
        ("X-Namirial-Scope", "out"),
    ),
)
SEEN_2021 = Dialect("seen-2021", html=True, binary=True, identifier=_OPEC)
INFOCERT_2009 = replace(ARUBA_2014, name="infocert-2009", identifier="133563186.938091247.{t}lxm{n:02}@{domain}", receipt_type_field=None)
TMAIL_2008 = replace(ARUBA_2014, name="tmail-2008", identifier="{t}.{n:06}@{domain}", protocol="application/pkcs7-signature")
ITTELECOM_2009 = replace(ARUBA_2014, name="it-telecom-2009", identifier="{H}@{domain}")
STREAMED = Dialect("streamed", indefinite=True)
STRONG = Dialect("sha-512", digest="sha512", micalg='"sha-512"')
BY_KEY = Dialect("signer-by-key", by_key=True)
WITHOUT_ATTRIBUTES = Dialect("no-signed-attributes", attributes=False)
DIALECTS = [
    *(MODERN, ARUBA_2014, ARUBA_2024, SOGEI_2019, NAMIRIAL_2024, SEEN_2021, INFOCERT_2009, TMAIL_2008, ITTELECOM_2009),
    *(STREAMED, STRONG),
]


@dataclass
class Certified:
    """What a provider certifies: everything that goes into daticert.xml."""

    kind: str = "posta-certificata"
    error: str = "nessuno"
    sender: str = ""
    recipients: list[tuple[str, str]] = field(default_factory=list)
    reply_to: str = ""
    subject: str | None = "Prova"
    provider: str = "Gamma PEC S.p.A."
    when: datetime = field(default_factory=lambda: datetime.now(ZONE).replace(microsecond=0))
    pec_id: str = ""
    client_id: str | None = None
    receipt_type: str | None = "completa"
    delivered_to: str | None = None
    received: list[str] = field(default_factory=list)
    extended_error: str | None = None

    @staticmethod
    def of(data: CertificationData) -> "Certified":
        """What was read somewhere, to be said again about the same transaction."""
        return Certified(
            *(data.kind, data.error, data.sender, list(data.recipients), data.reply_to, data.subject, data.provider),
            *(data.when, data.pec_id, data.client_id, data.receipt_type),
        )

    def xml(self, dialect: Dialect = MODERN) -> bytes:
        recipients = list(reversed(self.recipients)) if dialect.turned_recipients else self.recipients
        stray = "." if dialect.stray_text else ""
        lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<postacert tipo="{self.kind}" errore="{self.error}">{stray}']
        lines += ["    <intestazione>", f"        <mittente>{escape(self.sender)}</mittente>"]
        lines += [f'        <destinatari tipo="{kind}">{escape(address)}</destinatari>' for address, kind in recipients]
        lines += [f"        <risposte>{escape(self.reply_to or self.sender)}</risposte>"]
        if self.subject is not None:
            lines += [f"        <oggetto>{escape(self.subject)}</oggetto>"]
        zone = self.when.strftime("%z")
        lines += ["    </intestazione>", "    <dati>", f"        <gestore-emittente>{escape(self.provider)}</gestore-emittente>"]
        lines += [f'        <data zona="{zone}">', f"            <giorno>{self.when:%d/%m/%Y}</giorno>"]
        lines += [f"            <ora>{self.when:%H:%M:%S}</ora>", "        </data>"]
        lines += [f"        <identificativo>{escape(self.pec_id)}</identificativo>"]
        if self.client_id:
            lines += [f"        <msgid>{escape(self.client_id)}</msgid>"]
        if self.receipt_type:
            lines += [f'        <ricevuta tipo="{self.receipt_type}" />']
        if self.delivered_to:
            lines += [f"        <consegna>{escape(self.delivered_to)}</consegna>"]
        lines += [f"        <ricezione>{escape(address)}</ricezione>" for address in self.received]
        if self.extended_error:
            lines += [f"        <errore-esteso>{escape(self.extended_error)}</errore-esteso>"]
        return (dialect.xml_line.join([*lines, "    </dati>", "</postacert>"]) + dialect.xml_line).encode("utf-8")


def part(kind: str, content: bytes, *fields: str) -> bytes:
    """A MIME part with these header fields after its Content-Type."""
    return "".join(line + "\r\n" for line in (f"Content-Type: {kind}", *fields)).encode() + b"\r\n" + content


def base64_lines(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", b"\r\n").rstrip(b"\r\n")


def text_part(text: str, html: bool = False, style: bool = False) -> bytes:
    def quoted(kind: str, words: str) -> bytes:
        encoded = quopri.encodestring(words.encode("iso-8859-1", "replace")).replace(b"\n", b"\r\n")
        return part(f'{kind}; charset="iso-8859-1"', encoded, "Content-Transfer-Encoding: quoted-printable", "Content-Disposition: inline")

    plain = quoted("text/plain", text)
    if not html:
        return plain
    look = "<STYLE>p{margin:0}</STYLE>" if style else ""
    body = "<br>\n".join(escape(line) for line in text.split("\n"))
    boundary = f"alt{secrets.token_hex(6)}"
    both = joined([plain, quoted("text/html", f"<html><head>{look}</head><body>{body}</body></html>\n")], boundary)
    return part(f'multipart/alternative; boundary="{boundary}"', both)


def xml_part(xml: bytes, name: str = "daticert.xml") -> bytes:
    return part(
        f'application/xml; name="{name}"',
        base64_lines(xml),
        "Content-Transfer-Encoding: base64",
        f'Content-Disposition: inline; filename="{name}"',
    )


def original_part(original: bytes, name: str = "postacert.eml", encoding: str = "7bit") -> bytes:
    return part(
        f'message/rfc822; name="{name}"',
        original,
        f"Content-Transfer-Encoding: {encoding}",
        f'Content-Disposition: inline; filename="{name}"',
    )


def joined(parts: list[bytes], boundary: str, preamble: str = "") -> bytes:
    mark = b"--" + boundary.encode()
    head = preamble.encode() + b"\r\n\r\n" if preamble else b""
    return head + b"".join(mark + b"\r\n" + each + b"\r\n" for each in parts) + mark + b"--\r\n"


@dataclass
class Letter:
    """A message of the certified channel that is not signed yet, open to be bent. `octets` is what goes on the wire."""

    #: Outer header fields without those of MIME.
    fields: list[tuple[str, str]]
    certified: Certified
    original: bytes | None
    words: str
    signers: list[Identity]
    dialect: Dialect = MODERN
    mail_from: str = ""
    recipients: list[str] = field(default_factory=list)
    #: Parts of the multipart/mixed; None: by the dialect.
    parts: list[bytes] | None = None
    #: Changes of what is signed, before and after; and of the whole message when it is done. Each takes octets and gives octets.
    before: object = None
    signature: object = None
    after: object = None
    original_encoding: str = "7bit"

    def copy(self, **changes) -> "Letter":
        return replace(copy.deepcopy(replace(self, signers=[])), **{"signers": self.signers, **changes})

    def get(self, name: str) -> str | None:
        return next((value for each, value in self.fields if each.lower() == name.lower()), None)

    def set(self, name: str, value: str) -> "Letter":
        """Gives a field another value, or adds it."""
        if self.get(name) is None:
            return self.add(name, value)
        self.fields = [(each, value if each.lower() == name.lower() else old) for each, old in self.fields]
        return self

    def add(self, name: str, value: str) -> "Letter":
        self.fields.append((name, value))
        return self

    def remove(self, name: str) -> "Letter":
        self.fields = [(each, value) for each, value in self.fields if each.lower() != name.lower()]
        return self

    def usual_parts(self) -> list[bytes]:
        found = {"A": text_part(self.words, self.dialect.html, self.dialect.style), "C": xml_part(self.certified.xml(self.dialect))}
        if self.original is not None:
            found["B"] = original_part(self.original, encoding=self.original_encoding)
        return [found[letter] for letter in self.dialect.order if letter in found]

    def content(self) -> bytes:
        """What is signed: from the first header line of the part to before the delimiter's CRLF."""
        boundary = f"mix{secrets.token_hex(8)}"
        fields = ("Content-Transfer-Encoding: binary",) if self.dialect.binary else ()
        body = joined(self.usual_parts() if self.parts is None else self.parts, boundary)
        signed = part(f'multipart/mixed; boundary="{boundary}"', body, *fields)
        return self.before(signed) if self.before else signed

    def cms(self, content: bytes) -> bytes:
        look = self.dialect
        return authority.sign(
            *(content, self.signers, look.digest),
            attributes=look.attributes,
            capabilities=look.capabilities,
            indefinite=look.indefinite,
            by_key=look.by_key,
        )

    def head(self) -> bytes:
        return "".join(f"{name}: {value}\r\n" for name, value in self.fields).encode("utf-8")

    @property
    def octets(self) -> bytes:
        """Signed anew at each call."""
        content = self.content()
        cms = (self.signature or self.cms)(content)
        whole = self.wrapped(content, cms)
        return self.after(whole) if self.after else whole

    def wrapped(self, content: bytes, cms: bytes, extra: list[bytes] | None = None) -> bytes:
        look, boundary = self.dialect, f"sig{secrets.token_hex(8)}"
        head = (
            self.head()
            + (
                f'MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol="{look.protocol}";\r\n micalg={look.micalg};'
                f' boundary="{boundary}"\r\n\r\n'
            ).encode()
        )
        return head + joined([content, signature_part(cms, look.signature_type), *(extra or [])], boundary, look.preamble)


def signature_part(cms: bytes, kind: str = "application/pkcs7-signature") -> bytes:
    return part(
        f'{kind}; name="smime.p7s"',
        base64_lines(cms),
        "Content-Transfer-Encoding: base64",
        'Content-Disposition: attachment; filename="smime.p7s"',
    )


class Provider:
    """A provider's name, addresses and key; makes its messages. By default the laboratory's third one, Gamma."""

    def __init__(self, identity: Identity, domain: str = "pec.gamma.test", name: str = "Gamma PEC S.p.A.", dialect: Dialect = MODERN):
        self.identity, self.domain, self.name, self.dialect = identity, domain, name, dialect
        self.service = f"posta-certificata@{domain}"
        self.mailbox = f"servizio@{domain}"

    def identifier(self, dialect: Dialect | None = None, when: datetime | None = None) -> str:
        """A new PEC id in the dialect's form."""
        number, time = next(_numbers), (when or datetime.now(ZONE)).strftime("%Y%m%d%H%M%S")
        random = secrets.token_hex(16)
        form = (dialect or self.dialect).identifier
        return form.format(d=secrets.token_hex(4), t=time, n=number, domain=self.domain, H=random.upper())

    @staticmethod
    def recipient_class(address: str) -> str:
        from .expect import recipient_class

        return recipient_class(address)

    def envelope(
        self,
        sender: str,
        recipients: list[str],
        subject: str = "Prova",
        body: bytes = b"Buongiorno.\r\n",
        asks: str | None = "completa",
        dialect: Dialect | None = None,
        to: list[str] | None = None,
        cc: list[str] | None = None,
        when: datetime | None = None,
        fields: bytes = b"",
        original: bytes | None = None,
    ) -> Letter:
        """A transport envelope (busta di trasporto) for a message of one of its users, not signed yet (pec-rules 4).

        `original`: the submitted message with its own identifiers taken off; by default a plain one. Header and body are then given by it.
        """
        look = dialect or self.dialect
        when = when or datetime.now(ZONE).replace(microsecond=0)
        pec_id, client = self.identifier(look, when), f"<{secrets.token_hex(6)}@client.gamma.test>"
        to = [each for each in recipients if each not in (cc or [])] if to is None else to
        lines = [("To", ", ".join(to))] + ([("Cc", ", ".join(cc))] if cc else [])
        if original is None:
            head = [("Date", mail_date(when)), ("From", sender), *lines, ("Subject", subject)]
            head += [("X-TipoRicevuta", asks)] if asks else []
            original = "".join(f"{name}: {value}\r\n" for name, value in head).encode() + fields + b"\r\n" + body
        end = original.index(b"\r\n\r\n") + 2 if not original.startswith(b"\r\n") else 0
        identifiers = f"Message-ID: <{pec_id}>\r\nX-Riferimento-Message-ID: {client}\r\n".encode()
        original = original[:end] + identifiers + original[end:]
        certified = Certified(
            sender=sender,
            recipients=[(each, self.recipient_class(each)) for each in recipients],
            subject=subject,
            provider=self.name,
            when=when,
            pec_id=pec_id,
            client_id=client,
            receipt_type=(asks or "completa"),
        )
        outer = [*look.own_fields, ("X-Trasporto", "posta-certificata"), ("X-Riferimento-Message-ID", client)]
        if asks and look.receipt_type_field:
            outer.append((look.receipt_type_field, asks))
        outer += [("Date", mail_date(when)), ("Subject", f"POSTA CERTIFICATA: {subject}")]
        outer += [("From", f'"Per conto di: {sender}" <{self.service}>'), ("Reply-To", sender), *lines, ("Message-ID", f"<{pec_id}>")]
        words = [*("Messaggio di posta certificata", f"Il giorno {when:%d/%m/%Y} alle ore {when:%H:%M:%S} ({when:%z}) il messaggio")]
        words += [f'"{subject}" \u00e8 stato inviato da "{sender}"', "indirizzato a:", *recipients]
        words += ["Il messaggio originale \u00e8 incluso in allegato.", f"Identificativo messaggio: {pec_id}", ""]
        return Letter(outer, certified, original, "\n".join(words), [self.identity], look, sender, list(recipients))

    def notification(
        self,
        kind: str,
        about: Certified,
        to: str,
        subject: str,
        words: str,
        dialect: Dialect | None = None,
        original: bytes | None = None,
        fields: tuple[tuple[str, str], ...] = (),
        **certified,
    ) -> Letter:
        """A receipt or notice (ricevuta, avviso) about a transaction. `certified` are values of daticert.xml that differ from `about`."""
        look = dialect or self.dialect
        when = certified.pop("when", None) or datetime.now(ZONE).replace(microsecond=0)
        data = replace(about, kind=kind, provider=self.name, when=when, received=[], **certified)
        outer = [*look.own_fields, ("X-Ricevuta", kind), *fields]
        if data.client_id:
            outer.append(("X-Riferimento-Message-ID", data.client_id))
        outer += [("Date", mail_date(when)), ("Subject", subject + (about.subject or "")), ("From", self.service), ("To", to)]
        outer.append(("Message-ID", f"<{self.identifier(look, when)}>"))
        head = f'Il giorno {when:%d/%m/%Y} alle ore {when:%H:%M:%S} ({when:%z}) il messaggio\n"{about.subject}" proveniente da'
        text = f'{head} "{about.sender}"\n{words}\nIdentificativo messaggio: {about.pec_id}\n'
        return Letter(outer, data, original, text, [self.identity], look, self.service, [to])

    def take_charge(self, about: Certified, received: list[str], mailbox: str, **options) -> Letter:
        """Take-charge receipt (presa in carico), to the sending provider's service mailbox."""
        letter = self.notification(
            *("presa-in-carico", about, mailbox, "PRESA IN CARICO: ", "\u00e8 stato accettato dal sistema."),
            **{"error": "nessuno", "receipt_type": None, **options},
        )
        letter.certified.received = list(received)
        return letter

    def delivery(self, about: Certified, recipient: str, original: bytes | None = None, **options) -> Letter:
        """Delivery receipt (avvenuta consegna): complete with the original, concise without."""
        return self.notification(
            *("avvenuta-consegna", about, about.sender, "CONSEGNA: ", "\u00e8 stato consegnato nella casella di destinazione."),
            **{"error": "nessuno", "delivered_to": recipient, "original": original, **options},
        )

    def non_delivery(self, about: Certified, recipient: str, error: str = "no-dest", why: str | None = None, **options) -> Letter:
        """Non-delivery notice (mancata consegna)."""
        why = why or f"5.1.1 - {self.name} - indirizzo non valido"
        return self.notification(
            *("errore-consegna", about, about.sender, "AVVISO DI MANCATA CONSEGNA: ", f"\u00e8 stato rilevato un errore {why}"),
            **{"error": error, "delivered_to": recipient, "extended_error": why, "receipt_type": None, **options},
        )

    def virus_detection(self, about: Certified, recipient: str, mailbox: str, by_reception: bool = False, **options) -> Letter:
        """Virus detection notice (rilevazione virus); `by_reception`: the older form that names the recipient in `ricezione`."""
        letter = self.notification(
            *("rilevazione-virus", about, mailbox, "PROBLEMA DI SICUREZZA: ", "\u00e8 stato rilevato un problema di sicurezza EICAR."),
            fields=(("X-Mittente", about.sender),),
            **{
                "error": "virus" if by_reception else "altro",
                "delivered_to": None if by_reception else recipient,
                "extended_error": f"5.5.1, {self.name}, presenza di un virus nel messaggio",
                "receipt_type": None,
                **options,
            },
        )
        if by_reception:
            letter.certified.received = [recipient]
        return letter


def broken(octets: bytes) -> bytes:
    """One letter of the signed text is another."""
    found = re.search(rb"(?i)identificativo messaggio", octets)
    at = found.start()
    return octets[:at] + bytes([octets[at] ^ 0x20]) + octets[at + 1 :]


def about(stored: Stored) -> Certified:
    """The certified facts of a received envelope, to answer it."""
    return Certified.of(stored.message.data)
