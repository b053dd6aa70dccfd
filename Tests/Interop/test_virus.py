"""Infected mail at both points: the right party gets the right notice, the message goes into quarantine, and nothing of it goes on."""

from interop import compose, dialogue, provider
from interop.forgers import MARIO
from interop.guarded import (
    EICAR,
    EICAR_NAME,
    LATE_NAME,
    LATE_PATTERN,
    TEXT_NAME,
    TEXT_PATTERN,
    USUAL,
    Guarded,
    Signatures,
    check_kept,
    kept_about,
    kept_content,
    quarantine,
)
from interop.lab import ALDO, ANNA, BIANCA, BRUNO, service_mailbox
from interop.mailboxes import Folder
from interop.notices import check_virus_detection, found, threat_of
from interop.provider import about
from interop.receipts import check_take_charge, check_virus_non_delivery
from interop.virus_case import VirusTest
from interop.virusmail import PLAIN, Infected, attachment, everything, mixed

OUTSIDE = "ordinario@posta.example.test"


class AccessPoint(VirusTest):
    """Submissions: a non-acceptance notice, and that is all (pec-rules 3.3)."""

    def test_every_shape(self):
        self.need("openssl", "xmllint")
        before = len(self.sink.taken)
        # Eight bits in a body are a formal fault there, and a large message may not go to many.
        shapes = [shape for shape in everything() if shape.encoding == "7bit"]
        sents = [shape.sent([ALDO] if len(shape.rest) > 10**7 else [OUTSIDE, ALDO, BRUNO, MARIO]) for shape in shapes]
        for reply in self.submit(*sents):
            self.assertEqual(reply.enhanced, "2.0.0", reply)
        notices = [self.notice(sent) for sent in sents]
        kept, events = self.rest()
        for shape, sent in zip(shapes, sents):
            with self.subTest(shape.name):
                self.fine(self.judge_refusal(sent, shape.threat, kept, events), shape.name)
        self.fine(self.sound(notices))
        self.assertEqual(len(self.sink.taken), before, "something left")
        self.assertEqual(self.gateway.mailbox(ALDO).all, [])

    def test_again_and_to_others(self):
        """What is remembered of a content says the same, and each submission has a notice and an entry of its own."""
        first = Infected("again", mixed(PLAIN, attachment(EICAR, "conto.com"))).sent([OUTSIDE])
        before = self.gateway.status()
        self.submit(first, first)
        mailbox = self.gateway.mailbox(ANNA)
        belongs = compose.belongs(first, "non-accettazione")
        mailbox.wait(belongs, 30, 2)
        kept, events = self.rest()
        notices = mailbox.matching(belongs)
        ids = {stored.message.data.pec_id for stored in notices}
        self.assertEqual(len(ids), 2)
        self.assertEqual(len([row for row in kept if row["pecID"] in ids]), 2)
        self.assertEqual(len({row["sha256"] for row in kept if row["pecID"] in ids}), 1)
        rows = [event["detail"] for event in found(events, "non-accettazione-virus") if event["pecID"] in ids]
        self.assertEqual(len(set(rows)), 1, rows)
        after = self.gateway.status()
        self.assertEqual(after["scanCacheHits"] - before["scanCacheHits"], 1)

    def test_a_clean_one_beside_them(self):
        """Accepted, with the word of the scanner in the log."""
        clean = compose.simple("Pulita", [OUTSIDE], body=b"Buongiorno.\r\n" + EICAR[:60] + b"\r\n")
        self.submit(Infected("ill", b"\r\n" + EICAR + b"\r\n").sent([OUTSIDE]), clean)
        receipt = compose.receipt(self.gateway.mailbox(ANNA), clean)
        rows = found(self.gateway.events(receipt.message.data.pec_id), "accettazione")
        self.assertRegex(rows[0]["detail"], r"^scanned clean by ClamAV \d+\.\d+.*, database .+")

    def test_a_formal_fault_comes_first(self):
        """What is refused for its form is not scanned, and not kept."""
        sent = Infected("Bcc", b"Bcc: altri@posta.example.test\r\n\r\n" + EICAR + b"\r\n").sent([OUTSIDE])
        kept = len(quarantine(self.gateway))
        self.submit(sent)
        notice = self.notice(sent)
        self.assertEqual((notice.message.data.error, notice.header.get("X-VerificaSicurezza")), ("altro", None))
        self.gateway.settled()
        self.assertEqual(len(quarantine(self.gateway)), kept)


class IncomingPoint(VirusTest):
    """Envelopes: taken in charge, then one virus detection notice for each recipient (pec-rules 6.3, 9.4)."""

    def letter(self, shape: Infected, recipients: list[str], **options) -> tuple[provider.Letter, bytes]:
        letter = self.gamma.envelope(MARIO, recipients, "Conto e ricevuta", original=shape.original(recipients, MARIO), **options)
        letter.original_encoding = shape.encoding
        return letter, letter.octets

    def test_every_shape(self):
        self.need("openssl", "xmllint")
        recipients = [ANNA, ALDO, "nessuno@pec.alfa.test"]
        shapes = everything()
        letters = [self.letter(shape, recipients) for shape in shapes]
        for letter, octets in letters:
            self.post(octets, MARIO, recipients)
        self.answered({letter.certified.pec_id: 1 + len(recipients) for letter, _ in letters})
        kept, events = self.rest()
        for shape, (letter, octets) in zip(shapes, letters):
            with self.subTest(shape.name):
                self.fine(self.judge_detection(letter, octets, recipients, shape.threat, kept, events), shape.name)
        ids = {letter.certified.pec_id for letter, _ in letters}
        answers = [taken for taken in self.sink.taken if taken.stored.kind and taken.stored.message.data.pec_id in ids]
        self.fine(self.sound([taken.stored for taken in answers]))
        self.assertEqual({taken.recipients for taken in answers}, {(service_mailbox("gamma"),)})
        story = self.gateway.operator("log", "show", letters[0][0].certified.pec_id)[0]
        fates = {fate["address"]: fate["state"] for fate in story["receptions"][0]["recipients"]}
        self.assertEqual(fates, dict.fromkeys(recipients, "failed"))

    def test_only_those_of_the_transaction(self):
        """For two of ours, somebody else's and an ordinary one: two notices. In two transactions: one each (the sessions of 2008, V-Q)."""
        everybody = [ANNA, ALDO, BRUNO, OUTSIDE]
        shape = everything(1000)[2]
        letter, octets = self.letter(shape, everybody)
        self.post(octets, MARIO, [ANNA, ALDO])
        self.answered({letter.certified.pec_id: 3})
        kept, events = self.rest()
        self.fine(self.judge_detection(letter, octets, [ANNA, ALDO], shape.threat, kept, events))
        letter, octets = self.letter(shape, everybody)
        for recipient in (ANNA, ALDO):
            self.post(octets, MARIO, [recipient])
        self.answered({letter.certified.pec_id: 4})
        kinds = self.about_letter(letter)
        self.assertEqual(sorted(each.message.data.received for each in kinds["presa-in-carico"]), sorted([[ANNA], [ALDO]]))
        self.assertEqual(sorted(each.message.data.delivered_to for each in kinds["rilevazione-virus"]), sorted([ANNA, ALDO]))

    def test_the_same_again(self):
        """A second copy is a duplicate: nobody hears of the virus twice (pec-rules 6.6)."""
        shape = everything(1000)[0]
        letter, octets = self.letter(shape, [ANNA, ALDO])
        for _ in range(3):
            self.post(octets, MARIO, [ANNA, ALDO])
            self.gateway.settled()
        self.answered({letter.certified.pec_id: 3})
        self.assertEqual(len(self.about_letter(letter)["rilevazione-virus"]), 2)
        self.assertIn("duplicato", [event["event"] for event in self.gateway.events(letter.certified.pec_id)])
        self.assertEqual(len([row for row in quarantine(self.gateway) if row["pecID"] == letter.certified.pec_id]), 1)

    def test_every_dialect(self):
        """However its provider writes envelopes; a clean one between them is delivered."""
        letters = [self.letter(everything(1000)[5], [ANNA], dialect=look) for look in provider.DIALECTS]
        for letter, octets in letters:
            self.post(octets, MARIO, [ANNA])
        clean = self.gamma.envelope(MARIO, [ANNA])
        self.post(clean.octets, MARIO, [ANNA])
        self.answered({**{letter.certified.pec_id: 2 for letter, _ in letters}, clean.certified.pec_id: 2})
        kept, events = self.rest()
        for look, (letter, octets) in zip(provider.DIALECTS, letters):
            self.fine(self.judge_detection(letter, octets, [ANNA], EICAR_NAME, kept, events, openssl=False), look.name)
        self.assertIn("avvenuta-consegna", self.about_letter(clean))
        rows = found(self.gateway.events(clean.certified.pec_id), "ricezione-busta")
        self.assertIn("scanned clean by ClamAV", rows[0]["detail"])

    def test_a_receipt_with_a_virus(self):
        """The rules are silent: nothing is delivered, it is kept, and the service log raises the alarm (pec-rules 6.3)."""
        sent = compose.simple("Al gestore Gamma", [MARIO])
        self.submit(sent)
        facts = about(compose.envelope(self.taken_folder(), sent))
        ill = self.gamma.delivery(facts, MARIO, sent.octets + EICAR + b"\r\n")
        octets = ill.octets
        self.post(octets, ill.mail_from, ill.recipients)
        self.certified(octets, ill, ANNA, "avvenuta-consegna")
        # A second copy changes nothing; a clean one is another message, and is delivered.
        self.post(octets, ill.mail_from, ill.recipients)
        self.gateway.settled()
        self.assertEqual(len([row for row in quarantine(self.gateway) if row["kind"] == "certified" and ANNA in row["recipients"]]), 1)
        story = self.gateway.operator("log", "show", facts.pec_id)[0]
        self.assertNotIn("delivered", [fate["state"] for fate in story["recipients"]], "an infected receipt moved the transaction")
        clean = self.gamma.delivery(facts, MARIO, sent.octets)
        self.post(clean.octets, clean.mail_from, clean.recipients)
        self.gateway.mailbox(ANNA).wait(compose.belongs(sent, "avvenuta-consegna"), 30, what="the clean receipt")

    def test_a_notice_for_the_service_mailbox_with_a_virus(self):
        sent = compose.simple("Al gestore Gamma", [MARIO])
        self.submit(sent)
        facts = about(compose.envelope(self.taken_folder(), sent))
        ill = self.gamma.take_charge(facts, [MARIO], service_mailbox("alfa"))
        ill.parts = [*ill.usual_parts(), attachment(EICAR, "conto.com")]
        octets = ill.octets
        self.post(octets, ill.mail_from, ill.recipients)
        self.certified(octets, ill, service_mailbox("alfa"), "presa-in-carico")

    def test_malformed_but_signed_with_a_virus(self):
        """What would have gone into an anomaly envelope."""
        letter = self.gamma.envelope(MARIO, [ANNA], body=EICAR + b"\r\n")
        letter.parts = [letter.usual_parts()[0], letter.usual_parts()[2]]
        octets = letter.octets
        before = len(self.sink.taken)
        self.post(octets, MARIO, [ANNA])
        self.certified(octets, letter, ANNA, "errore")
        self.assertEqual(len(self.sink.taken), before, "a notice about something malformed")

    def certified(self, octets: bytes, letter: provider.Letter, address: str, kind: str) -> None:
        """Quarantined as a message of the certified channel, told in both logs, and not in the mailbox."""
        kept, events = self.rest()
        rows = [row for row in kept if row["kind"] == "certified" and row["recipients"] == [address]]
        self.assertTrue(rows, kept)
        row = rows[-1]
        self.assertEqual((row["sender"], row["provider"]), (letter.mail_from, "Gamma PEC S.p.A."))
        self.assertTrue(row["threat"].startswith(EICAR_NAME), row)
        self.assertTrue(any(octets == kept_content(each) for each in rows), "the octets of the quarantine are others")
        told = [event for event in found(events, "messaggio-certificato-infetto") if EICAR_NAME in event["detail"]]
        self.assertTrue(any(address in [each["address"] for each in event["recipients"]] for event in told), told)
        alarms = [line for line in self.gateway.said.splitlines() if "critical" in line and row["id"] in line]
        self.assertEqual(len(alarms), 1, "the alarm in the service log")
        self.assertIn(EICAR_NAME, alarms[0])
        identifier = (letter.get("Message-ID") or "").strip("<>")
        self.assertFalse(
            self.gateway.mailbox(address).matching(lambda stored: stored.kind == kind and identifier.encode() in stored.octets)
        )

    def taken_folder(self):
        """The sink, as a folder to wait at."""
        sink = self.sink

        class Taken(Folder):
            @property
            def all(self):
                return [taken.stored for taken in list(sink.taken)]

        return Taken(self.gateway.folder)


class Ordinary(VirusTest):
    """Infected mail from outside the certified channel is refused: the usual handling, and no notice (RFC 6109 §2.2.2, §2.2.3)."""

    keys = {"infectedOrdinaryMail": "refuse"}
    mallory = "mallory@evil.example.test"

    def send(self, code: int, recipients: list[str]) -> bytes:
        shape = Infected("ordinary", mixed(PLAIN, attachment(TEXT_PATTERN, "conto.txt")), TEXT_NAME)
        sent = shape.sent(recipients, self.mallory)
        self.reply = self.post(sent.octets, self.mallory, recipients, code)
        self.kept, events = self.rest()
        rows = found(events, "posta-ordinaria-infetta")
        self.assertEqual(len(rows), 1)
        self.assertTrue(rows[0]["detail"].startswith(TEXT_NAME), rows)
        self.assertEqual(rows[0]["sender"], self.mallory)
        self.assertEqual(self.sink.taken, [], "something was sent about ordinary mail")
        for address in (ANNA, ALDO):
            self.assertEqual(self.gateway.mailbox(address).all, [])
        return sent.octets

    def test_policy(self):
        self.send(550, [ANNA, ALDO])
        self.assertEqual(self.reply.enhanced, "5.7.1", self.reply)
        self.assertIn(TEXT_NAME, self.reply.text)
        self.assertEqual(self.kept, [])


class OrdinaryDiscarded(Ordinary):
    keys = {"infectedOrdinaryMail": "discard"}

    def test_policy(self):
        octets = self.send(250, [ANNA, ALDO])
        self.assertEqual(
            [(row["kind"], row["sender"], sorted(row["recipients"])) for row in self.kept], [("ordinary", self.mallory, [ALDO, ANNA])]
        )
        self.assertEqual(kept_content(self.kept[0]), octets)


class TwoProviders(VirusTest):
    """What only the recipients' provider recognizes: the whole way, from Anna's submission to the notice that she gets."""

    def test_found_at_the_other_end(self):
        beta = Guarded(self.sink.port, Signatures({**USUAL, LATE_NAME: LATE_PATTERN}), provider="beta", beside=self.gateway).start()
        self.addCleanup(beta.stop)
        recipients = [BRUNO, BIANCA]
        sent = Infected("late", mixed(PLAIN, attachment(LATE_PATTERN, "conto.txt")), LATE_NAME).sent(recipients)
        self.submit(sent)
        mailbox, service = self.gateway.mailbox(ANNA), self.gateway.mailbox(service_mailbox("alfa"))
        receipt = compose.receipt(mailbox, sent)
        pec_id = receipt.message.data.pec_id
        notices = {
            each: mailbox.wait(dialogue.about(sent, "errore-consegna", each), 60, what=f"the notice about {each}")[0] for each in recipients
        }
        for world in (self.gateway, beta):
            world.settled()
        problems, charges = [], service.matching(dialogue.about(sent, "presa-in-carico"))
        self.assertEqual(len(charges), 1)
        problems += check_take_charge(charges[0], sent, pec_id, recipients, "beta", "alfa")
        for recipient, notice in notices.items():
            problems += check_virus_non_delivery(notice, sent, pec_id, recipient, "alfa") + self.signed(notice, self.gateway)
            detections = service.matching(dialogue.about(sent, "rilevazione-virus", recipient))
            self.assertEqual(len(detections), 1)
            problems += check_virus_detection(detections[0], sent, pec_id, recipient, "beta", "alfa", LATE_NAME) + self.signed(
                detections[0], beta
            )
            # The threat's name survives the other provider's wording, once and not wrapped twice.
            self.assertEqual(threat_of(notice), threat_of(detections[0]))
            self.assertIn(f"problema di sicurezza {threat_of(detections[0])}.", " ".join(notice.message.text.split()))
        self.fine(problems + self.sound([receipt, *charges, *notices.values()]))
        about_it = mailbox.matching(lambda stored: stored.header.get("X-Riferimento-Message-ID") == sent.message_id)
        self.assertEqual(len(about_it), 3, "acceptance and two notices")
        rows = kept_about(beta, pec_id)
        self.assertEqual(len(rows), 1)
        envelope = kept_content(rows[0])
        self.assertIn(sent.with_identifiers(pec_id), envelope)
        self.fine(check_kept(rows[0], envelope, "envelope", ANNA, recipients, LATE_NAME))
        self.assertEqual(kept_about(self.gateway, pec_id), [])
        for recipient in recipients:
            self.assertEqual(beta.mailbox(recipient).all, [])
        story = self.gateway.operator("log", "show", pec_id)[0]
        self.assertEqual({fate["address"]: fate["state"] for fate in story["recipients"]}, dict.fromkeys(recipients, "failed"))
        kinds = [event["event"] for event in self.gateway.events(pec_id)]
        self.assertEqual((kinds.count("ricezione-rilevazione-virus"), kinds.count("mancata-consegna-virus")), (2, 2))
        self.assertEqual(self.sink.taken, [])
