"""What the rules demand of the notices about viruses, and of the log's rows about them (pec-rules 2.2, 2.4, 3.3, 6.3; T2, T9)."""

import re

from .expect import Checker, Sent
from .lab import NAMES, service_address, service_mailbox
from .mailboxes import Stored
from .receipts import _notice

T2 = """Errore nell'accettazione del messaggio per presenza di virus
Il giorno [data] alle ore [ora] ([zona]) nel messaggio
"[oggetto]" proveniente da "[mittente]"
ed indirizzato a:
[destinatari]
è stato rilevato un problema di sicurezza [descrizione].
Il messaggio non è stato accettato.
Identificativo messaggio: [id]"""

T9 = """Avviso di rilevazione virus
Il giorno [data] alle ore [ora] ([zona]) nel messaggio
"[oggetto]" proveniente da "[mittente]"
e destinato all'utente "[destinatari]"
è stato rilevato un problema di sicurezza [descrizione].
Identificativo messaggio: [id]"""


def threat_of(stored: Stored) -> str:
    """What `errore-esteso` names: the words after status code and provider."""
    return (stored.message.data.extended_error or "").split(" - ", 2)[-1]


def _extended(check: Checker, by: str, threat: str) -> str:
    said = check.data.extended_error or ""
    check.demand(re.fullmatch(rf"5\.7\.\d+ - {re.escape(NAMES[by])} - .+", said, re.S), f"errore-esteso {said!r}")
    name = threat_of(check.stored)
    check.demand(name.startswith(threat), f"errore-esteso names {name!r} instead of {threat!r}")
    return name


def check_non_acceptance_virus(stored: Stored, sent: Sent, threat: str, by: str = "alfa") -> list[str]:
    """Non-acceptance notice for a virus: pec-rules 2.2, T2. `threat`: how the name of what was found begins."""
    check = Checker(stored, sent)
    fields = {"X-VerificaSicurezza": "errore"}
    _notice(check, "non-accettazione", "AVVISO DI NON ACCETTAZIONE PER VIRUS: ", by, sent.sender, fields)
    check.form()
    check.demand(check.message.original is None, "a virus notice with the original inside")
    name = _extended(check, by, threat)
    check.words(T2, list(sent.recipients), description=name)
    check.certified("non-accettazione", "virus", None)
    return check.problems


def check_virus_detection(stored: Stored, sent: Sent, pec_id: str, recipient: str, by: str, sending: str, threat: str) -> list[str]:
    """Virus detection notice for one recipient, to the sending provider's service mailbox: pec-rules 2.2, 2.4, T9."""
    check = Checker(stored, sent)
    fields = {"X-Mittente": sent.sender}
    _notice(check, "rilevazione-virus", "PROBLEMA DI SICUREZZA: ", by, service_mailbox(sending), fields)
    check.form()
    check.demand(check.message.original is None, "a virus detection notice with the original inside")
    check.demand(not stored.header.all("X-VerificaSicurezza"), "X-VerificaSicurezza on a virus detection notice")
    name = _extended(check, by, threat)
    check.words(T9, [recipient], description=name)
    check.certified("rilevazione-virus", "altro", None, delivered_to=recipient)
    check.same("identificativo", check.data.pec_id, pec_id)
    check.same("From", stored.header.get("From"), service_address(by))
    return check.problems


def found(events: list[dict], kind: str) -> list[dict]:
    return [event for event in events if event["event"] == kind]


def check_refusal_rows(events: list[dict], notice: Stored, threat: str) -> list[str]:
    """The log of a submission that was refused for a virus: who says so is in the row, and nothing was made but the notice."""
    problems = []
    rows = found(events, "non-accettazione-virus")
    if len(rows) != 1:
        return [f"log: {len(rows)} rows non-accettazione-virus among {[event['event'] for event in events]}"]
    row, identifier = rows[0], (notice.header.get("Message-ID") or "").strip("<>")
    if row.get("error") != "virus":
        problems.append(f"log: error {row.get('error')!r}")
    if not (row.get("detail") or "").startswith(threat) or "ClamAV " not in row["detail"] or "database" not in row["detail"]:
        problems.append(f"log: detail {row.get('detail')!r}")
    if row["related"] != [identifier]:
        problems.append(f"log: related {row['related']} instead of {identifier}")
    others = {event["event"] for event in events} - {"non-accettazione-virus", "recapito-ricevuta"}
    if others:
        problems.append(f"log: further rows {sorted(others)}")
    return problems


def check_detection_rows(events: list[dict], notices: list[Stored], recipients: list[str], threat: str) -> list[str]:
    """The log of an infected envelope: taken in charge, a virus found for each recipient, and nothing delivered."""
    problems = []
    for kind, count in (("ricezione-busta", 1), ("presa-in-carico", 1), ("rilevazione-virus", len(recipients))):
        if len(found(events, kind)) != count:
            problems.append(f"log: {len(found(events, kind))} rows {kind} instead of {count}")
    rows = found(events, "rilevazione-virus")
    if sorted((row.get("recipient") or "").lower() for row in rows) != sorted(each.lower() for each in recipients):
        problems.append(f"log: viruses found for {[row.get('recipient') for row in rows]}")
    for row in rows:
        if row.get("error") != "altro" or not (row.get("detail") or "").startswith(threat) or "ClamAV " not in row["detail"]:
            problems.append(f"log: rilevazione-virus with error {row.get('error')!r}, detail {row.get('detail')!r}")
    made = sorted(identifier for row in rows for identifier in row["related"])
    sent = sorted((notice.header.get("Message-ID") or "").strip("<>") for notice in notices)
    if made != sent:
        problems.append(f"log: related {made} instead of {sent}")
    wrong = {event["event"] for event in events} & {"avvenuta-consegna", "inoltro", "mancata-consegna", "attesa-conferma"}
    if wrong:
        problems.append(f"log: rows {sorted(wrong)} of an infected envelope")
    return problems
