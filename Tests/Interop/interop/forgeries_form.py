"""The second half of the forged, damaged and unusual messages: senders, headers, certification data, originals; and ordinary mail."""

import secrets
from datetime import timedelta

from . import authority, provider
from .forgeries import CASES, add, done, envelope, evil, receipt
from .forgers import ALDO, ANNA, GAMMA, MARIO, SERVICE_MAILBOX, Kit, field_, parts, plain, sub, swap, xml
from .provider import Certified, Letter

EVIL = "mallory@evil.example.test"
__all__ = ["CASES"]

# Who it says it is from: signed by Gamma, with its own certificate


def from_(value: str):
    return envelope(field_("From", value))


for name, value in (
    ("another provider's service address", '"Per conto di: mario" <posta-certificata@pec.beta.test>'),
    ("our own service address", '"Per conto di: mario" <posta-certificata@pec.alfa.test>'),
    ("another address of the provider's domain", '"Per conto di: mario" <altra@pec.gamma.test>'),
    ("the user's address", MARIO),
    ("the right address as display name", f'"{GAMMA}" <{EVIL}>'),
    ("the right address as display name in angle brackets", f'"x <{GAMMA}>" <{EVIL}>'),
    ("the right address as a comment", f"{EVIL} ({GAMMA})"),
    ("the right address as a comment before", f"({GAMMA}) {EVIL}"),
    ("the right address as an encoded word", f"=?utf-8?q?{GAMMA.replace('@', '=40')}?= <{EVIL}>"),
    ("an address inside an encoded word alone", f"=?utf-8?q?{GAMMA.replace('@', '=40')}?="),
    ("two mailboxes, the right one first", f"{GAMMA}, {EVIL}"),
    ("two mailboxes, the right one last", f"{EVIL}, {GAMMA}"),
    ("a group", f"Gamma: {GAMMA};"),
    ("an empty group", "undisclosed-recipients:;"),
    ("a subdomain", '"Per conto di: x" <posta-certificata@sub.pec.gamma.test>'),
    ("a longer domain", '"Per conto di: x" <posta-certificata@pec.gamma.test.evil.example.test>'),
    ("a domain that ends alike", '"Per conto di: x" <posta-certificata@evilpec.gamma.test>'),
    ("a look-alike domain in UTF-8", '"Per conto di: x" <posta-certificata@pec.g\u0430mma.test>'),
    ("a look-alike domain in Punycode", '"Per conto di: x" <posta-certificata@xn--pec-gmma-8fg.test>'),
    ("broken angle brackets", f"<{GAMMA}"),
    ("an address after the angle brackets", f"<{EVIL}> {GAMMA}"),
    ("two pairs of angle brackets", f"<{EVIL}> <{GAMMA}>"),
    ("nothing", ""),
    ("capitals", f'"Per conto di: {MARIO}" <{GAMMA.upper()}>'),
    ("the bare address", GAMMA),
    ("a comment and folds", f'"Per conto di: {MARIO}"\r\n (nota) <{GAMMA}>'),
    ("another user's name on display", f'"Per conto di: capo@pec.gamma.test" <{GAMMA}>'),
):
    add(f"From: {name}", from_(value))
add("From: missing", envelope(field_("From", None)))
add("From: a second field, a stranger's", envelope(field_("From", EVIL, add=True)))
add("From: a second field, in other letters", envelope(field_("FROM", EVIL, add=True)))
add("From: a first field, a stranger's", envelope(done(lambda octets: b"From: " + EVIL.encode() + b"\r\n" + octets)))
add(
    "From: a space before the colon",
    envelope(done(lambda octets: octets.replace(b"\r\nFrom: ", b"\r\nFrom : " + EVIL.encode() + b"\r\nX-From: ", 1))),
)
add("Sender: somebody else", envelope(field_("Sender", EVIL)))
add("Sender: the same", envelope(field_("Sender", GAMMA)))
add("Reply-To: somebody else", envelope(field_("Reply-To", EVIL)))
add("Subject: not what is certified", envelope(field_("Subject", "POSTA CERTIFICATA: altro")))
add("Subject: without the prefix", envelope(field_("Subject", "Prova")))
add("Subject: missing", envelope(field_("Subject", None)))
add("receipt from another address of the provider", receipt(field_("From", "altra@pec.gamma.test")))
add("receipt from a stranger's address", receipt(field_("From", EVIL)))
add("receipt for a display name", receipt(field_("From", f'"{GAMMA}" <{EVIL}>')))

# Headers of the channel


def value_(name: str, value: str | None, more: bool = False):
    return envelope(field_(name, value, more))


add("X-Trasporto: missing", value_("X-Trasporto", None))
add("X-Trasporto: unknown value", value_("X-Trasporto", "posta-ordinaria"))
add("X-Trasporto: empty", value_("X-Trasporto", ""))
add("X-Trasporto: errore", value_("X-Trasporto", "errore"))
add("X-Trasporto: capitals", value_("X-Trasporto", "POSTA-CERTIFICATA"))
add("X-Trasporto: folded", value_("X-Trasporto", "\r\n posta-certificata"))
add("X-Trasporto: two words", value_("X-Trasporto", "posta-certificata errore"))
add("X-Trasporto: twice the same", value_("X-Trasporto", "posta-certificata", True))
add("X-Trasporto: twice, in other letters", value_("x-tRASPORTO", "posta-certificata", True))
add("X-Trasporto: twice, errore second", value_("X-Trasporto", "errore", True))
add("X-Trasporto and X-Ricevuta", value_("X-Ricevuta", "avvenuta-consegna", True))
add("X-Ricevuta instead of X-Trasporto", envelope(field_("X-Trasporto", None), field_("X-Ricevuta", "avvenuta-consegna")))
add("X-Trasporto in the signed part's header alone", envelope(field_("X-Trasporto", None), lambda letter: inner_field(letter)))
add("X-Ricevuta: unknown value", receipt(field_("X-Ricevuta", "mancata-consegna")))
add("X-Ricevuta: twice", receipt(field_("X-Ricevuta", "avvenuta-consegna", True)))
add("X-Ricevuta: of another kind than the data", receipt(field_("X-Ricevuta", "errore-consegna")))
add("X-Ricevuta: capitals", receipt(field_("X-Ricevuta", "Avvenuta-Consegna")))
add("X-TipoRicevuta: missing", value_("X-TipoRicevuta", None))
add("X-TipoRicevuta: complet", value_("X-TipoRicevuta", "complet"))
add("X-TipoRicevuta: Breve with spaces", value_("X-TipoRicevuta", "  Breve "))
add("X-Riferimento-Message-ID: missing", value_("X-Riferimento-Message-ID", None))
add("Message-ID: missing", value_("Message-ID", None))
add("Message-ID: another", value_("Message-ID", "<altro@pec.gamma.test>"))
add("Message-ID: twice, another second", value_("Message-ID", "<altro@pec.gamma.test>", True))
add("Message-ID: without brackets", lambda kit: (letter := kit.envelope()).set("Message-ID", letter.certified.pec_id))
add("Date: missing", value_("Date", None))
add("Date: a year ago", value_("Date", "Fri, 21 Nov 2025 10:00:00 +0100"))
add("private fields", envelope(field_("X-Gestore", "qualcosa"), field_("Received", "from x by y; Fri, 21 Nov 2025 10:00:00 +0100")))
add("a To that names nobody", value_("To", "undisclosed-recipients:;"))
add("eight-bit octets in the header", value_("X-Nome", "Città"))
add("a header line of 5,000 octets", value_("X-Lungo", "x" * 5000))


def inner_field(letter: Letter) -> Letter:
    return letter.copy(before=lambda content: b"X-Trasporto: posta-certificata\r\n" + content)


# The transaction's addresses

add("MAIL FROM: another user", envelope(), mail_from="altro@pec.gamma.test")
add("MAIL FROM: a stranger", envelope(), mail_from=EVIL)
add("MAIL FROM: nobody", envelope(), mail_from="")
add("MAIL FROM: the service address", envelope(), mail_from=GAMMA)
add("MAIL FROM: capitals", envelope(), mail_from="MARIO@PEC.GAMMA.TEST")
add("RCPT TO: who is not among the recipients", envelope(), to=(ALDO,))
add("RCPT TO: one who is, one who is not", envelope(), to=(ANNA, ALDO))
add("RCPT TO: capitals", envelope(), to=("ANNA@PEC.ALFA.TEST",))
add("RCPT TO: two, both named", envelope(to=(ANNA, ALDO)), to=(ANNA, ALDO))
add("RCPT TO: one of two", envelope(to=(ANNA, ALDO)), to=(ALDO,))
add("RCPT TO: a domain that is not ours", envelope(to=("x@posta.example.test",)), to=("x@posta.example.test",))
add("RCPT TO: another provider's domain", envelope(to=("bruno@pec.beta.test",)), to=("bruno@pec.beta.test",))
add("receipt for whom it is not", receipt(), to=(ALDO,))
add("receipt with a null reverse path", receipt(), mail_from="")
add("receipt from any reverse path", receipt(), mail_from="bounces@pec.gamma.test")

# daticert.xml

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_LAUGHS = DECLARATION + '<!DOCTYPE postacert [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
for name, bend in {
    "nothing in it": xml(lambda text: ""),
    "no XML": xml(lambda text: "tipo=posta-certificata"),
    "cut short": xml(lambda text: text[: len(text) // 2]),
    "no closing tag": swap("</postacert>", ""),
    "two roots": xml(lambda text: text + text.partition("?>")[2]),
    "another root": xml(lambda text: text.replace("postacert", "postacerta")),
    "a DTD": swap("<postacert", '<!DOCTYPE postacert SYSTEM "postacert.dtd">\n<postacert'),
    "an empty DTD": swap("<postacert", "<!DOCTYPE postacert>\n<postacert"),
    "an entity": xml(lambda text: text.replace("?>", '?><!DOCTYPE postacert [<!ENTITY e "mario">]>', 1).replace("mario@", "&e;@", 1)),
    "an entity from a file": xml(
        lambda text: text.replace("?>", '?><!DOCTYPE postacert [<!ENTITY e SYSTEM "file:///etc/passwd">]>', 1).replace("Prova", "&e;", 1)
    ),
    "a billion laughs": xml(lambda text: text.replace(DECLARATION, _LAUGHS + "]>", 1).replace("Prova", "&b;", 1)),
    "an entity nobody declared": swap("Prova", "Prov&agrave;"),
    "UTF-16": xml(lambda text: text.replace("UTF-8", "UTF-16").encode("utf-16")),
    "UTF-8 that is none": xml(lambda text: text.encode().replace(b"Prova", b"Prov\xe0")),
    "a NUL": swap("Prova", "Pro\0va"),
    "no intestazione": sub("<intestazione>.*</intestazione>", ""),
    "no dati": sub("<dati>.*</dati>", ""),
    "no mittente": sub("<mittente>.*</mittente>", ""),
    "empty mittente": sub("<mittente>.*</mittente>", "<mittente></mittente>"),
    "two mittente": swap("<mittente>", f"<mittente>{EVIL}</mittente><mittente>"),
    "mittente that is no address": sub("<mittente>.*</mittente>", "<mittente>Mario Rossi</mittente>"),
    "mittente with a line end": sub("<mittente>.*</mittente>", f"<mittente>{MARIO}&#13;&#10;Bcc: {EVIL}</mittente>"),
    "mittente of another user": sub("<mittente>.*</mittente>", "<mittente>capo@pec.gamma.test</mittente>"),
    "mittente in capitals": sub("<mittente>.*</mittente>", f"<mittente>{MARIO.upper()}</mittente>"),
    "no destinatari": sub("<destinatari.*</destinatari>", ""),
    "destinatari that is no address": sub("(<destinatari[^>]*>).*</destinatari>", '<destinatari tipo="certificato">Anna</destinatari>'),
    "destinatari in capitals": swap(ANNA, ANNA.upper()),
    "destinatari of unknown class": swap('destinatari tipo="certificato"', 'destinatari tipo="boh"'),
    "no risposte": sub("<risposte>.*</risposte>", ""),
    "no oggetto": sub("<oggetto>.*</oggetto>", ""),
    "no identificativo": sub("<identificativo>.*</identificativo>", ""),
    "empty identificativo": sub("<identificativo>.*</identificativo>", "<identificativo></identificativo>"),
    "two identificativi": swap("<identificativo>", "<identificativo>altro@pec.gamma.test</identificativo><identificativo>"),
    "another identificativo": sub("<identificativo>.*</identificativo>", "<identificativo>altro@pec.gamma.test</identificativo>"),
    "no gestore-emittente": sub("<gestore-emittente>.*</gestore-emittente>", ""),
    "empty gestore-emittente": sub("<gestore-emittente>.*</gestore-emittente>", "<gestore-emittente> </gestore-emittente>"),
    "gestore-emittente in other letters": swap("Gamma PEC S.p.A.", "GAMMA Pec s.p.a."),
    "no data": sub("<data .*</data>", ""),
    "a 32nd of the month": sub("<giorno>..", "<giorno>32"),
    "an hour 25": sub("<ora>..", "<ora>25"),
    "a zone that is none": sub('zona="[^"]*"', 'zona="CET"'),
    "no tipo": sub(' tipo="posta-certificata"', ""),
    "tipo of another message": swap('tipo="posta-certificata"', 'tipo="accettazione"'),
    "tipo nobody knows": swap('tipo="posta-certificata"', 'tipo="non-pec"'),
    "errore nobody knows": swap('errore="nessuno"', 'errore="superamento-tempi-massimi"'),
    "no errore": swap(' errore="nessuno"', ""),
    "ricevuta complet": swap('ricevuta tipo="completa"', 'ricevuta tipo="complet"'),
    "no ricevuta": sub("<ricevuta[^>]*/>", ""),
    "CDATA": swap(">Prova<", "><![CDATA[Prova]]><"),
    "comments": swap("<dati>", "<!-- commento --><dati>"),
    "stray text between elements": swap("<dati>", "<dati> a "),
    "elements nobody knows": swap("<dati>", "<dati><nuovo>x</nuovo>"),
    "attributes nobody knows": swap("<dati>", '<dati versione="2">'),
    "a byte order mark": xml(lambda text: "\ufeff" + text),
    "CRLF line ends": xml(lambda text: text.replace("\n", "\r\n")),
    "one line": xml(lambda text: text.replace("\n", "")),
    "single quotation marks": xml(lambda text: text.replace('"', "'")),
    "children of dati in another order": xml(lambda text: turned(text)),
}.items():
    add(f"data: {name}", envelope(bend))


def turned(text: str) -> str:
    head, _, rest = text.partition("<dati>")
    inside, _, foot = rest.partition("</dati>")
    at = inside.index("<identificativo>")
    return f"{head}<dati>{inside[at:]}{inside[:at]}</dati>{foot}"


def identified(identifier: str):
    """An envelope whose identifiers agree, in a form that nobody should use."""

    def make(kit: Kit) -> Letter:
        letter = kit.envelope()
        old = letter.certified.pec_id
        letter.original = letter.original.replace(old.encode(), identifier.encode())
        letter.certified.pec_id = identifier
        return letter.set("Message-ID", f"<{identifier}>")

    return make


add("identifier: a UUID of a customer's domain", lambda kit: identified(f"{secrets.token_hex(16).upper()}@cliente.example.test")(kit))
add("identifier: without a domain", lambda kit: identified(secrets.token_hex(12))(kit))
add("identifier: 3,000 octets", lambda kit: identified("x" * 3000 + secrets.token_hex(4) + "@pec.gamma.test")(kit))
add("identifier: a tab and a bell in it", envelope(sub("@pec.gamma.test</identificativo>", "&#9;&#7;@pec.gamma.test</identificativo>")))

# The parts

A, C, B = 0, 1, 2
add("parts: no daticert.xml", envelope(parts(lambda found: [found[A], found[B]])))
add("parts: daticert.xml twice", envelope(parts(lambda found: [found[A], found[C], found[C], found[B]])))
add(
    "parts: two different daticert.xml",
    envelope(parts(lambda found: [found[A], provider.xml_part(Certified(sender=EVIL).xml()), *found[1:]])),
)
add("parts: daticert.xml a level deeper", envelope(parts(lambda found: [found[A], nested(found[C]), found[B]])))
add("parts: daticert.xml in the original alone", lambda kit: only_inside(kit))
add("parts: another daticert.xml inside the original", lambda kit: with_inner(kit))
add(
    "parts: daticert.xml under another name",
    envelope(parts(lambda found: [found[A], found[C].replace(b"daticert", b"certdata"), found[B]])),
)
add(
    "parts: DATICERT.XML in capitals",
    envelope(parts(lambda found: [found[A], found[C].replace(b"daticert.xml", b"DATICERT.XML"), found[B]])),
)
add(
    "parts: daticert.xml as text/xml",
    envelope(parts(lambda found: [found[A], found[C].replace(b"application/xml", b"text/xml"), found[B]])),
)
add("parts: daticert.xml attached", envelope(parts(lambda found: [found[A], found[C].replace(b"inline", b"attachment"), found[B]])))
add("parts: daticert.xml not in base64", envelope(parts(lambda found: [found[A], plain_xml(found[C]), found[B]])))
add(
    "parts: daticert.xml in broken base64",
    envelope(parts(lambda found: [found[A], found[C].replace(b"\r\n\r\n", b"\r\n\r\n%%%%"), found[B]])),
)
add("parts: daticert.xml of 2 MB", envelope(xml(lambda text: text.replace("<dati>", "<!--" + "x" * 2_000_000 + "--><dati>"))))
add("parts: no postacert.eml", envelope(parts(lambda found: [found[A], found[C]])))
add("parts: two postacert.eml", envelope(parts(lambda found: [*found, found[B]])))
add("parts: two different originals", lambda kit: two_originals(kit))
add(
    "parts: postacert.eml under another name", envelope(parts(lambda found: [found[A], found[C], found[B].replace(b"postacert", b"prova")]))
)
add(
    "parts: POSTACERT.EML in capitals",
    envelope(parts(lambda found: [found[A], found[C], found[B].replace(b"postacert.eml", b"POSTACERT.EML")])),
)
add("parts: postacert.eml attached", envelope(parts(lambda found: [found[A], found[C], found[B].replace(b"inline", b"attachment", 1)])))
add("parts: postacert.eml in base64", envelope(parts(lambda found: [found[A], found[C], encoded_original(found[B])])))
add(
    "parts: postacert.eml as application/octet-stream",
    envelope(parts(lambda found: [*found[:2], found[B].replace(b"message/rfc822", b"application/octet-stream", 1)])),
)
add("parts: postacert.eml is empty", envelope(parts(lambda found: [found[A], found[C], provider.original_part(b"")])))
add("parts: a private part more", envelope(parts(lambda found: [*found, provider.part('text/plain; name="note.txt"', b"nota")])))
add("parts: no text", envelope(parts(lambda found: found[1:])))
add("parts: nothing", envelope(parts(lambda found: [])))
add("parts: an HTML text alone", envelope(parts(lambda found: [provider.part("text/html; charset=iso-8859-1", b"<p>x</p>"), *found[1:]])))
add(
    "parts: multipart/alternative instead of multipart/mixed",
    envelope(lambda letter: letter.copy(before=lambda content: content.replace(b"multipart/mixed", b"multipart/alternative", 1))),
)
add("original: another Message-ID", envelope(lambda letter: original(letter, b"Message-ID: <", b"Message-ID: <x")))
add("original: no Message-ID", envelope(lambda letter: original(letter, b"Message-ID: ", b"X-Message-ID: ")))
add(
    "original: two Message-IDs",
    envelope(lambda letter: original(letter, b"Message-ID: ", b"Message-ID: <altro@pec.gamma.test>\r\nMessage-ID: ")),
)
add("original: PEC headers of its own", envelope(fields=b"X-Ricevuta: avvenuta-consegna\r\nX-Trasporto: errore\r\n"))
add("original: an envelope in it", lambda kit: kit.envelope(original=forwarded(kit)))
add(
    "original: a receipt's very look",
    lambda kit: kit.envelope(original=kit.receipt().remove("Message-ID").remove("X-Riferimento-Message-ID").octets),
)


def nested(part: bytes) -> bytes:
    boundary = f"in{secrets.token_hex(4)}"
    return provider.part(f'multipart/mixed; boundary="{boundary}"', provider.joined([part], boundary))


def only_inside(kit: Kit) -> Letter:
    letter = kit.envelope(original=mixed(kit, provider.xml_part(kit.envelope().certified.xml())))
    text, _, message = letter.usual_parts()
    letter.parts = [text, message]
    return letter


def with_inner(kit: Kit) -> Letter:
    return kit.envelope(original=mixed(kit, provider.xml_part(Certified(sender=EVIL, pec_id="x@y").xml())))


def mixed(kit: Kit, part: bytes) -> bytes:
    boundary = f"user{secrets.token_hex(4)}"
    head = f"From: {MARIO}\r\nTo: {ANNA}\r\nSubject: Prova\r\nMIME-Version: 1.0\r\n"
    head += f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'
    return head.encode() + provider.joined([provider.part("text/plain", b"ciao"), part], boundary)


def forwarded(kit: Kit) -> bytes:
    return mixed(kit, provider.original_part(kit.envelope().octets))


def two_originals(kit: Kit) -> Letter:
    letter = kit.envelope()
    letter.parts = [*letter.usual_parts(), provider.original_part(kit.envelope(body=b"Paga.\r\n").original)]
    return letter


def plain_xml(part: bytes) -> bytes:
    import base64

    head, _, body = part.partition(b"\r\n\r\n")
    document = base64.b64decode(body).replace(b"\n", b"\r\n").rstrip(b"\r\n")
    return head.replace(b"base64", b"7bit") + b"\r\n\r\n" + document


def encoded_original(part: bytes) -> bytes:
    head, _, body = part.partition(b"\r\n\r\n")
    return head.replace(b"7bit", b"base64") + b"\r\n\r\n" + provider.base64_lines(body)


def original(letter: Letter, old: bytes, new: bytes) -> Letter:
    assert old in letter.original
    letter.original = letter.original.replace(old, new, 1)
    return letter


# Receipts and notices


def notice(make):
    return lambda kit: make(kit, kit.facts())


for kind in ("accettazione", "non-accettazione", "preavviso-errore-consegna", "errore-consegna"):
    error = {"accettazione": "nessuno"}.get(kind, "altro")
    target = {} if "accettazione" in kind else {"delivered_to": MARIO, "extended_error": "5.4.1 - Gamma - prova"}
    add(
        f"notice: {kind}",
        notice(
            lambda kit, facts, kind=kind, error=error, target=target: kit.gamma.notification(
                kind, facts, ANNA, "AVVISO: ", "x", error=error, **target
            )
        ),
    )
add("notice: delivery receipt without consegna", receipt(sub("<consegna>.*</consegna>", "")))
add("notice: delivery receipt with two consegna", receipt(swap("<consegna>", f"<consegna>{EVIL}</consegna><consegna>")))
add("notice: delivery receipt with a consegna that is no address", receipt(sub("<consegna>.*</consegna>", "<consegna>Mario</consegna>")))
add("notice: delivery receipt of a transaction nobody knows", receipt())
add("notice: delivery receipt about Beta's user", notice(lambda kit, facts: kit.gamma.delivery(facts, "bruno@pec.beta.test")))
add(
    "notice: non-delivery without consegna",
    notice(lambda kit, facts: sub("<consegna>.*</consegna>", "")(kit.gamma.non_delivery(facts, MARIO))),
)
add("notice: take-charge for the service mailbox", lambda kit: kit.take_charge(), to=(SERVICE_MAILBOX,))
add("notice: take-charge for a user", lambda kit: kit.take_charge())
add("notice: take-charge without ricezione", lambda kit: sub("<ricezione>.*</ricezione>", "")(kit.take_charge()), to=(SERVICE_MAILBOX,))
add("notice: take-charge signed by the forger", lambda kit: kit.take_charge().copy(signers=[kit.forger]), to=(SERVICE_MAILBOX,))
add("notice: take-charge from Gamma's secondary environment", lambda kit: of_unit(kit), to=(SERVICE_MAILBOX,))
add(
    "notice: virus detection, consegna",
    notice(lambda kit, facts: kit.gamma.virus_detection(facts, MARIO, SERVICE_MAILBOX)),
    to=(SERVICE_MAILBOX,),
)
add(
    "notice: virus detection, ricezione",
    notice(lambda kit, facts: kit.gamma.virus_detection(facts, MARIO, SERVICE_MAILBOX, True)),
    to=(SERVICE_MAILBOX,),
)
add("notice: virus detection for a user", notice(lambda kit, facts: kit.gamma.virus_detection(facts, MARIO, SERVICE_MAILBOX)))
add(
    "notice: a folded line that looks like a field",
    receipt(done(lambda octets: octets.replace(b"X-Ricevuta", b"X-A: b\r\n\tX-Ricevuta: c\r\nX-Ricevuta", 1))),
)
add("notice: Gamma's anomaly envelope", lambda kit: anomaly(kit))
add("secondary environment: its own envelope", lambda kit: of_unit_envelope(kit))


def of_unit(kit: Kit) -> Letter:
    letter = kit.take_charge().copy(signers=[kit.unit])
    return letter.set("From", "posta-certificata@interno.pec.gamma.test")


def of_unit_envelope(kit: Kit, address: str = "posta-certificata@interno.pec.gamma.test") -> Letter:
    return kit.envelope().copy(signers=[kit.unit]).set("From", f'"Per conto di: {MARIO}" <{address}>')


def anomaly(kit: Kit) -> Letter:
    """An anomaly envelope that another provider made and somebody sent on: no daticert.xml."""
    letter = kit.envelope().set("X-Trasporto", "errore").set("Subject", "ANOMALIA MESSAGGIO: x")
    letter.parts = [letter.usual_parts()[A], provider.original_part(plain(EVIL))]
    return letter


# Ordinary mail, and what dresses up as something better


def ordinary(*arguments, **options):
    return lambda kit: plain(*arguments, **options)


add("ordinary: plain", ordinary(EVIL))
add("ordinary: a subject like an envelope's", ordinary(EVIL, subject="POSTA CERTIFICATA: fattura"))
add("ordinary: X-Riferimento-Message-ID alone", ordinary(EVIL, extra="X-Riferimento-Message-ID: <x@y>\r\n"))
add("ordinary: our user as display name", ordinary(f'"{ANNA}" <{EVIL}>'))
add("ordinary: Per conto di as display name", ordinary(f'"Per conto di: {MARIO}" <{EVIL}>'))
add("ordinary: a user's own S/MIME signature", lambda kit: personal(kit))
add(
    "ordinary: OpenPGP signature",
    ordinary(
        EVIL,
        extra='MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol="application/pgp-signature"; boundary="b"\r\n',
        body=b"--b\r\n\r\nx\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\n-----BEGIN PGP SIGNATURE-----\r\n--b--\r\n",
    ),
)
add("ordinary: a delivery report", ordinary(f"Mail Delivery <MAILER-DAEMON@evil.example.test>", subject="Undelivered"), mail_from="")
add("ordinary: no header at all", lambda kit: b"\r\nSolo testo.\r\n")
add("ordinary: no body", lambda kit: plain(EVIL, body=b""))
add("ordinary: no From", lambda kit: b"To: anna@pec.alfa.test\r\nSubject: x\r\n\r\nx\r\n")
add("ordinary: eight-bit header and body", lambda kit: plain("Città <%s>" % EVIL, subject="Perché", body="però\r\n".encode()))
add("ordinary: a NUL and a line of 3,000 octets", lambda kit: plain(EVIL, body=b"a\0b\r\n" + b"x" * 3000 + b"\r\n"))
add("ordinary: 200 levels of multiparts", lambda kit: deep(200))
add("ordinary: 3,000 parts", lambda kit: wide(3000))
add("ordinary: a daticert.xml attached", lambda kit: attached(kit))
add("forged: our user in From", ordinary(ANNA), mail_from=EVIL)
add("forged: our user in From and MAIL FROM", ordinary(ALDO), mail_from=ALDO)
add("forged: our user in MAIL FROM", ordinary(EVIL), mail_from=ANNA)
add("forged: Gamma's user in From", ordinary(f"Mario <{MARIO}>"), mail_from=EVIL)
add("forged: our service address in From", ordinary("posta-certificata@pec.alfa.test"))
add("forged: X-Ricevuta", ordinary(EVIL, extra="X-Ricevuta: avvenuta-consegna\r\n"))
add("forged: X-Trasporto", ordinary(EVIL, extra="X-Trasporto: posta-certificata\r\n"))
add("forged: X-Trasporto: errore", ordinary(EVIL, extra="X-Trasporto: errore\r\n"))
add("forged: x-ricevuta in small letters", ordinary(EVIL, extra="x-ricevuta: accettazione\r\n"))
add(
    "forged: take-charge without a signature",
    ordinary(EVIL, SERVICE_MAILBOX, extra="X-Ricevuta: presa-in-carico\r\n"),
    to=(SERVICE_MAILBOX,),
)
add("forged: an unsigned message of a provider's user", lambda kit: kit.envelope().original, mail_from=MARIO)
add("forged: an envelope with the forger's own authority and From", lambda kit: kit.envelope().copy(signers=[kit.forger]).set("From", EVIL))
add("another content behind the closing delimiter", lambda kit: kit.envelope().copy(after=lambda octets: octets + evil(kit)))


def personal(kit: Kit) -> bytes:
    letter = kit.envelope().copy(signers=[kit.person])
    letter.fields = [("From", EVIL), ("To", ANNA), ("Subject", "Firmato"), ("Message-ID", f"<{secrets.token_hex(6)}@evil.example.test>")]
    letter.parts = [provider.part("text/plain", b"firmato")]
    return letter.octets


def attached(kit: Kit) -> bytes:
    boundary = f"b{secrets.token_hex(4)}"
    head = plain(EVIL, extra=f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="{boundary}"\r\n', body=b"")
    return head + provider.joined([provider.part("text/plain", b"x"), provider.xml_part(Certified(sender=EVIL).xml())], boundary)


def deep(levels: int) -> bytes:
    inner = provider.part("text/plain", b"x")
    for level in range(levels):
        inner = provider.part(f'multipart/mixed; boundary="b{level}-"', provider.joined([inner], f"b{level}-"))
    return plain(EVIL, body=b"")[:-2] + b"MIME-Version: 1.0\r\n" + inner


def wide(count: int) -> bytes:
    body = provider.joined([provider.part("text/plain", b"x")] * count, "bb")
    return plain(EVIL, body=b"")[:-2] + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="bb"\r\n\r\n' + body


# Time

add("time: certified a day ahead", lambda kit: kit.envelope(when=kit.when(timedelta(days=-1))))
add("time: certified a week ago", lambda kit: kit.envelope(when=kit.when(timedelta(days=7))))
add("time: another zone", lambda kit: kit.envelope(when=kit.when(timedelta()).astimezone(authority.timezone.utc)))
