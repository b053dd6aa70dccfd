"""One message and everything that is said about it between two providers, waited for and judged (pec-rules 14)."""

from dataclasses import dataclass
from datetime import datetime

from . import compose, expect
from .expect import Sent
from .lab import World, service_mailbox
from .mailboxes import Folder, Stored
from .receipts import check_delivery, check_take_charge


def home_of(address: str) -> str:
    return address.rpartition("@")[2].lower().split(".")[1]


def about(sent: Sent, kind: str, recipient: str | None = None):
    """A condition: of this kind, about this message, and about this recipient (`consegna` or `ricezione`)."""
    same = compose.belongs(sent, kind)

    def holds(stored: Stored) -> bool:
        if not same(stored):
            return False
        data = stored.message.data
        named = [(data.delivered_to or "").lower(), *(each.lower() for each in data.received)]
        return recipient is None or recipient.lower() in named

    return holds


def final_word(folder: Folder, sent: Sent, recipient: str, seconds: float = 30) -> Stored:
    """The delivery receipt or the non-delivery notice about a recipient, and there is exactly one when this returns."""
    either = [about(sent, kind, recipient) for kind in ("avvenuta-consegna", "errore-consegna")]
    found = folder.wait(lambda stored: any(each(stored) for each in either), seconds, what=f"the last word about {recipient}")
    assert len(found) == 1, f"{len(found)} last words about {recipient}: {[each.kind for each in found]}"
    return found[0]


@dataclass
class Said:
    """What was said about one message."""

    acceptance: Stored
    envelopes: dict[str, Stored]
    take_charges: list[Stored]
    receipts: dict[str, Stored]

    @property
    def pec_id(self) -> str:
        return self.acceptance.message.data.pec_id

    @property
    def everything(self) -> list[Stored]:
        return [self.acceptance, *self.envelopes.values(), *self.take_charges, *self.receipts.values()]


def gather(world: World, sent: Sent, recipients: list[str] | None = None, seconds: float = 30) -> Said:
    """Waits for all that two of the laboratory's providers say about a message that was submitted and can be delivered."""
    recipients = recipients or sent.recipients
    mailbox = world.mailbox(sent.sender)
    acceptance = compose.receipt(mailbox, sent, seconds=seconds)
    envelopes = {each: compose.envelope(world.mailbox(each), sent, seconds) for each in recipients}
    receipts = {each: final_word(mailbox, sent, each, seconds) for each in recipients}
    service = world.mailbox(service_mailbox(world.provider))
    for each in recipients:
        service.wait(about(sent, "presa-in-carico", each), seconds, what=f"the take-charge receipt about {each}")
    return Said(acceptance, envelopes, service.matching(about(sent, "presa-in-carico")), receipts)


def judge(world: World, sent: Sent, said: Said, asked: str, forms: dict[str, str], openssl=None) -> list[str]:
    """Everything that is wrong with it. `forms`: of the delivery receipt, by recipient; `openssl(stored, provider)`: a further judge."""
    problems = [f"acceptance: {each}" for each in expect.check_acceptance(said.acceptance, sent)]
    pec_id, sending = said.pec_id, world.provider
    original = sent.with_identifiers(pec_id)
    for recipient, stored in said.envelopes.items():
        problems += [f"envelope for {recipient}: {each}" for each in expect.check_envelope(stored, sent)]
    if len({stored.untraced for stored in said.envelopes.values()}) > 1:
        problems.append("the recipients have different envelopes")
    charged = [each.lower() for stored in said.take_charges for each in stored.message.data.received]
    if sorted(charged) != sorted(each.lower() for each in said.envelopes):
        problems.append(f"taken in charge: {charged}; each recipient must stand in exactly one take-charge receipt")
    for stored in said.take_charges:
        received = stored.message.data.received
        by = home_of(received[0]) if received else sending
        problems += [f"take-charge: {each}" for each in check_take_charge(stored, sent, pec_id, received, by, sending)]
    for recipient, stored in said.receipts.items():
        form, by = forms[recipient], home_of(recipient)
        whole = original if form == "completa" else None
        found = check_delivery(stored, sent, pec_id, recipient, form, asked, by, whole)
        problems += [f"receipt about {recipient}: {each}" for each in found]
    identifiers = [stored.header.get("Message-ID") for stored in [said.acceptance, *said.take_charges, *said.receipts.values()]]
    if len(set(identifiers)) != len(identifiers):
        problems.append(f"Message-IDs are not unique: {identifiers}")
    for stored in said.everything:
        signer = home_of((stored.header.get("From") or "").rstrip(">"))
        problems += [f"{stored.kind}: {each}" for each in world.judge_of(signer).fast(stored.message)]
        if openssl:
            problems += [f"{stored.kind}: {each}" for each in openssl(stored, signer)]
    return problems + world.judge.dtd(*(stored.message.xml for stored in said.everything))


def logged_time(event: dict) -> datetime:
    return datetime.fromisoformat(event["time"].replace("Z", "+00:00")).replace(microsecond=0)


def judge_logs(said: Said, sent: Sent, sending: list[dict], receiving: list[dict]) -> list[str]:
    """The certified logs of both providers against the messages (pec-rules 9.1, 11.8). Lists of the events of this PEC id."""
    problems = []

    def demand(events: list[dict], where: str, kind: str, stored: Stored, recipient: str | None = None) -> None:
        found = [event for event in events if event["event"] == kind and recipient in (None, event.get("recipient"))]
        if len(found) != 1:
            problems.append(f"{where}: {len(found)} events {kind} for {recipient or 'the message'}")
            return
        event, data = found[0], stored.message.data
        if logged_time(event) != data.when:
            problems.append(f"{where}, {kind}: logged at {event['time']}, certified {data.when}")
        identifier = (stored.header.get("Message-ID") or "").strip("<>")
        if identifier not in event["related"]:
            problems.append(f"{where}, {kind}: {identifier} is not among {event['related']}")
        if (event["sender"].lower(), event["subject"], event["msgid"]) != (sent.sender.lower(), data.subject, sent.message_id):
            problems.append(f"{where}, {kind}: {event['sender']}, {event['subject']!r}, {event['msgid']}")
        named = {each["address"].lower() for each in event["recipients"]}
        if named != {each.lower() for each in sent.recipients} and named != {(recipient or "").lower()}:
            problems.append(f"{where}, {kind}: recipients {event['recipients']}")

    demand(sending, "sender's log", "accettazione", said.acceptance)
    demand(sending, "sender's log", "busta-trasporto", next(iter(said.envelopes.values())))
    for stored in said.take_charges if len(said.take_charges) == 1 else []:
        demand(receiving, "recipient's log", "presa-in-carico", stored)
    for recipient, stored in said.receipts.items():
        demand(receiving, "recipient's log", "avvenuta-consegna", stored, recipient)
    kinds = [event["event"] for event in sending]
    for kind, count in (("ricezione-presa-in-carico", len(said.take_charges)), ("ricezione-ricevuta", len(said.receipts))):
        if kinds.count(kind) != count and sending is not receiving:
            problems.append(f"sender's log: {kinds.count(kind)} events {kind} instead of {count}")
    for where, events in (("sender's log", sending), ("recipient's log", receiving)):
        numbers = [event["number"] for event in events]
        if numbers != sorted(set(numbers)):
            problems.append(f"{where}: numbers {numbers}")
    return problems
