"""What the rules demand of what the receiving side makes: take-charge and delivery receipts, anomaly envelopes (pec-rules 2, 6, 7)."""

import hashlib
import re
from email.utils import parsedate_to_datetime

from .expect import Checker, Sent, differences
from .lab import NAMES, service_address, service_mailbox
from .mailboxes import Stored
from .pec import halves, header_end, unfolded
from .provider import Letter

T7 = """Ricevuta di presa in carico
Il giorno [data] alle ore [ora] ([zona]) il messaggio
"[oggetto]" proveniente da "[mittente]"
ed indirizzato a:
[destinatari]
è stato accettato dal sistema.
Identificativo messaggio: [id]"""

T8 = """Anomalia nel messaggio
Il giorno [data] alle ore [ora] ([zona]) è stato ricevuto
il messaggio "[oggetto]" proveniente da "[mittente]"
ed indirizzato a:
[destinatari]
Tali dati non sono stati certificati per il seguente errore:
[descrizione]
Il messaggio originale è incluso in allegato."""

T10 = """Avviso di mancata consegna per virus
Il giorno [data] alle ore [ora] ([zona]) nel messaggio
"[oggetto]" destinato all'utente "[destinatari]"
è stato rilevato un problema di sicurezza [descrizione].
Il messaggio non è stato consegnato.
Identificativo messaggio: [id]"""

T11 = """Ricevuta di avvenuta consegna
Il giorno [data] alle ore [ora] ([zona]) il messaggio
"[oggetto]" proveniente da "[mittente]"
ed indirizzato a "[destinatari]"
è stato consegnato nella casella di destinazione.
Identificativo messaggio: [id]"""

TITLES = {
    "completa": T11,
    "breve": T11.replace("Ricevuta di", "Ricevuta breve di", 1),
    "sintetica": T11.replace("Ricevuta di", "Ricevuta sintetica di", 1),
}


def sent_of(letter: Letter) -> Sent:
    """The facts that receipts about a counterpart's envelope must repeat."""
    data = letter.certified
    return Sent(letter.original, data.sender, [address for address, _ in data.recipients], data.subject, data.client_id)


def _notice(check: Checker, kind: str, prefix: str, by: str, to: str, more: dict | None = None, copied: tuple = ()) -> None:
    wanted = {"X-Ricevuta": kind, "From": service_address(by), "To": to, **(more or {})}
    if check.sent.message_id:
        wanted["X-Riferimento-Message-ID"] = check.sent.message_id
    check.header_fields(wanted, copied)
    check.subject(prefix)
    check.demand(check.stored.header.get("Message-ID") != f"<{check.data.pec_id}>", f"the Message-ID of {kind} is the PEC id")
    check.same("gestore-emittente", check.data.provider, NAMES[by])
    check.one_time()
    if check.stored.envelope_from is not None:
        check.same("MAIL FROM", check.stored.envelope_from, service_address(by))
        check.same("RCPT TO", [each.lower() for each in check.stored.envelope_to], [to.lower()])


def check_take_charge(stored: Stored, sent: Sent, pec_id: str, received: list[str], by: str, sending: str) -> list[str]:
    """Take-charge receipt: pec-rules 6.4, T7. `by`: who made it; `sending`: whose service mailbox it goes to."""
    check = Checker(stored, sent)
    _notice(check, "presa-in-carico", "PRESA IN CARICO: ", by, service_mailbox(sending))
    check.form()
    check.demand(check.message.original is None, "a take-charge receipt with the original inside")
    check.words(T7, list(received))
    check.certified("presa-in-carico", "nessuno", None, received=received)
    check.same("identificativo", check.data.pec_id, pec_id)
    check.same("errore-esteso", check.data.extended_error, None)
    return check.problems


def check_delivery(
    stored: Stored, sent: Sent, pec_id: str, recipient: str, form: str, asked: str, by: str, original: bytes | None, encoding="7bit"
) -> list[str]:
    """Delivery receipt: pec-rules 7.2, T11–T13. `form` is what it has to be, `asked` what the sender asked for."""
    check = Checker(stored, sent)
    # What is around eight-bit octets must say so (RFC 2045 §6.4).
    copied = () if encoding == "7bit" else ("content-transfer-encoding",)
    _notice(check, "avvenuta-consegna", "CONSEGNA: ", by, sent.sender, copied=copied)
    check.form(encoding)
    check.same("a postacert.eml in it", check.message.original is not None, form != "sintetica")
    if check.message.original is not None and original is not None:
        check.problems += differences(check.message.original, original)
    check.words(TITLES[form], [recipient])
    check.certified("avvenuta-consegna", "nessuno", asked, delivered_to=recipient)
    check.same("identificativo", check.data.pec_id, pec_id)
    check.same("errore-esteso", check.data.extended_error, None)
    return check.problems


def check_virus_non_delivery(stored: Stored, sent: Sent, pec_id: str, recipient: str, by: str) -> list[str]:
    """Virus non-delivery notice, made by the sending provider: pec-rules 2.2, T10."""
    check = Checker(stored, sent)
    _notice(check, "errore-consegna", "AVVISO DI MANCATA CONSEGNA PER VIRUS: ", by, sent.sender, {"X-VerificaSicurezza": "errore"})
    check.form()
    check.demand(check.message.original is None, "a virus notice with the original inside")
    check.words(T10, [recipient])
    check.certified("errore-consegna", "virus", check.data.receipt_type, delivered_to=recipient)
    check.same("identificativo", check.data.pec_id, pec_id)
    check.demand(check.data.extended_error, "errore-esteso is missing")
    return check.problems


class AnomalyChecker(Checker):
    """An anomaly envelope has no certification data; what it says stands in its header and its text."""

    def one_time(self) -> None:
        date = parsedate_to_datetime(self.stored.header.get("Date"))
        self.same("signingTime", self.message.signature.signing_time, date)
        self.demand(f"{date:%d/%m/%Y} alle ore {date:%H:%M:%S} ({date:%z})" in " ".join(self.message.text.split()), "the time in the text")


def anomaly_reason(stored: Stored) -> str:
    """What an anomaly envelope gives as its error."""
    text = stored.message.text.replace("\r\n", "\n")
    found = re.search(r"per il seguente errore:\n(.*)\nIl messaggio originale", text, re.S)
    return found[1] if found else ""


def check_anomaly(stored: Stored, received: bytes, mail_from: str, recipients: list[str] | None, by: str) -> list[str]:
    """Anomaly envelope: pec-rules 2.2, 2.5, T8. `received` is the message as it came over the wire."""
    inner = Sent(received, mail_from, list(recipients or []))
    check = AnomalyChecker(stored, inner)
    header, _ = halves(received)
    field = stored.header.get("From") or ""
    check.demand(field.startswith('"Per conto di: ') and field.endswith(f" <{service_address(by)}>"), f"From is {field!r}")
    check.same("X-Trasporto", stored.header.get("X-Trasporto"), "errore")
    check.demand((stored.header.get("Subject") or "").startswith("ANOMALIA MESSAGGIO:"), f"Subject {stored.header.get('Subject')!r}")
    check.demand(not stored.header.all("X-Ricevuta"), "an X-Ricevuta on an anomaly envelope")
    for name in ("To", "Cc"):
        check.same(f"{name}, copied unmodified", stored.header.all(name), header.all(name))
    if (identifiers := header.all("Message-ID")) and len(identifiers[0]) < 900:
        check.same("Message-ID, inherited", stored.header.get("Message-ID"), unfolded(identifiers[0]))
    if not header.all("Reply-To") and mail_from:
        # Of the original's sender: by the reverse path, or by From.
        known = [mail_from, *(unfolded(value) for value in header.all("From"))]
        answer = stored.header.get("Reply-To") or "?"
        check.demand(any(answer in each for each in known), f"Reply-To is {answer!r}")
    own = stored.header.all("Received")
    check.same("Received fields, ours on top", own[1:], header.all("Received"))
    check.form("8bit" if any(octet > 127 for octet in received) else "7bit")
    check.same("parts", len(check.message.part_headers), 2)
    if check.message.original is None:
        check.problems.append("no postacert.eml in the anomaly envelope")
    else:
        check.problems += differences(check.message.original, received)
    check.one_time()
    text = check.message.text.replace("\r\n", "\n").split("\n")
    template = T8.split("\n")
    check.same("the first line of the text", text[0], template[0])
    check.same("its last line", [line for line in text if line][-1], template[-1])
    for recipient in recipients or []:
        check.demand(recipient in text, f"{recipient} does not stand in the text")
    check.demand(anomaly_reason(stored), "no reason in the text")
    check.demand("Identificativo messaggio" not in check.message.text, "an anomaly envelope with an identifier")
    return check.problems


def brief_hash(content: bytes) -> str:
    """The hash of a part as a brief receipt has it (pec-rules 7.4): SHA-1 over the encoded octets as transmitted."""
    return hashlib.sha1(content).hexdigest()


def brief_part(name: str, content: bytes) -> bytes:
    """The replacement of a part named `name` (plain ASCII): header and digest."""
    head = f'Content-Type: text/plain; charset="us-ascii"; name="{name}.hash"\r\nContent-Transfer-Encoding: 7bit\r\n'
    return f'{head}Content-Disposition: attachment; filename="{name}.hash"\r\n\r\n{brief_hash(content)}'.encode()


def header_of(octets: bytes) -> bytes:
    return octets[: header_end(octets)]
