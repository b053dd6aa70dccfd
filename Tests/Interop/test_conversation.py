"""Two providers of the laboratory hold the whole conversation; then the counterpart answers well, badly, late, twice and not at all."""

import base64

from interop import compose, provider
from interop.base import poll
from interop.case import InteropTest
from interop.counterpart import Counterpart, Manner
from interop.dialogue import about, final_word, gather, judge, judge_logs
from interop.expect import Sent
from interop.forgers import MARIO
from interop.lab import ALDO, ANNA, BIANCA, BRUNO, Gateway, World, service_mailbox
from interop.mailboxes import Stored
from interop.pec import halves, parameters, parts_of
from interop.receipts import brief_hash, check_take_charge, check_virus_non_delivery, sent_of


def letter(subject: str, to: list[str], cc: list[str] = (), asks: str | None = None, sender: str = ANNA, **options) -> Sent:
    """A message with To, Cc and the kind of receipt that its sender wants."""
    extra = f"Cc: {', '.join(cc)}\r\n" if cc else ""
    extra += f"X-TipoRicevuta: {asks}\r\n" if asks else ""
    return compose.simple(subject, [*to, *cc], sender, extra=extra.encode() + options.pop("extra", b""), to=", ".join(to), **options)


def submit(world: World, sent: Sent) -> None:
    with world.trusted() as wire:
        wire.envelope(sent.sender, sent.recipients)
        reply = wire.data(sent.octets)
        assert reply.code == 250, reply


class Conversation(InteropTest):
    """Inside the laboratory."""

    def hold(self, world: World, sent: Sent, asked: str, forms: dict[str, str]):
        self.need("openssl", "xmllint")
        submit(world, sent)
        said = gather(world, sent)
        by_openssl = lambda stored, signer: world.judge_of(signer).openssl(stored.octets)  # noqa: E731
        self.fine(judge(world, sent, said, asked, forms, by_openssl), "the conversation")
        self.assertEqual(len(world.mailbox(sent.sender).matching(lambda stored: self.is_about(stored, sent))), 1 + len(sent.recipients))
        return said

    @staticmethod
    def is_about(stored: Stored, sent: Sent) -> bool:
        return stored.header.get("X-Riferimento-Message-ID") == sent.message_id and bool(stored.header.get("X-Ricevuta"))

    def test_the_eight_messages(self):
        """Anna to Bruno (To) and Bianca (Cc): pec-rules 14, every message by openssl; ids and times in headers, text, XML and log."""
        sent = letter("Domanda di iscrizione", [BRUNO], [BIANCA])
        said = self.hold(self.lab, sent, "completa", {BRUNO: "completa", BIANCA: "sintetica"})
        for stored in said.everything:
            problems = self.lab.judge.openssl(stored.octets, "smime") + self.lab.judge.openssl_detached(stored.message)
            self.fine(problems, stored.kind)
        self.assertEqual({stored.message.data.pec_id for stored in said.everything}, {said.pec_id})
        alfa, beta = self.lab.events(said.pec_id), self.lab.at("beta").events(said.pec_id)
        self.fine(judge_logs(said, sent, alfa, beta), "the logs")
        self.assertEqual(len({stored.octets for stored in said.envelopes.values()}), 1)
        times = [said.acceptance, *said.take_charges, *said.receipts.values()]
        self.assertEqual([stored.message.data.when for stored in times], sorted(stored.message.data.when for stored in times))

    def test_the_other_way(self):
        beta = self.lab.at("beta")
        sent = letter("Risposta", [ANNA], [ALDO], sender=BRUNO)
        submit(beta, sent)
        said = gather(beta, sent)
        for recipient, form in ((ANNA, "completa"), (ALDO, "sintetica")):
            data = said.receipts[recipient].message.data
            self.assertEqual((data.kind, data.provider, data.receipt_type), ("avvenuta-consegna", "Alfa PEC S.p.A.", "completa"))
            self.assertEqual(said.receipts[recipient].message.original is not None, form == "completa")
        for stored in said.everything:
            self.fine(self.lab.judge.openssl(stored.octets))
        self.fine(judge_logs(said, sent, beta.events(said.pec_id), self.lab.events(said.pec_id)))

    def test_within_one_provider(self):
        """Processed in the same way (pec-rules 13.1)."""
        sent = letter("In casa", [ALDO])
        said = self.hold(self.lab, sent, "completa", {ALDO: "completa"})
        self.assertEqual(len(said.take_charges), 1)

    def test_both_providers_at_once(self):
        sent = letter("A tutti", [BRUNO, ALDO], [BIANCA, ANNA])
        forms = {BRUNO: "completa", ALDO: "completa", BIANCA: "sintetica", ANNA: "sintetica"}
        submit(self.lab, sent)
        said = gather(self.lab, sent)
        self.fine(judge(self.lab, sent, said, "completa", forms))
        self.assertEqual(len(said.take_charges), 2, "one for each provider")

    def test_concise(self):
        sent = letter("Sintetica", [BRUNO], [BIANCA], "sintetica")
        self.hold(self.lab, sent, "sintetica", {BRUNO: "sintetica", BIANCA: "sintetica"})

    def test_an_unknown_word_means_complete(self):
        sent = letter("Boh", [BRUNO], asks="complet")
        self.hold(self.lab, sent, "completa", {BRUNO: "completa"})

    def test_brief(self):
        """Named parts and attached messages become hashes, texts stay (pec-rules 7.4)."""
        pdf = base64.encodebytes(bytes(range(256)) * 20).replace(b"\n", b"\r\n").rstrip(b"\r\n")
        inner = b"From: a@b.test\r\nSubject: dentro\r\n\r\nciao\r\n"
        pieces = [
            b"Content-Type: text/plain\r\n\r\nTesto che resta.\r\n",
            b'Content-Type: application/pdf; name="atto.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
            b'Content-Disposition: attachment; filename="atto.pdf"\r\n\r\n' + pdf,
            b'Content-Type: message/rfc822; name="posta.eml"\r\n\r\n' + inner,
        ]
        sent = letter(
            "Breve", [BRUNO], [BIANCA], "breve",
            extra=b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="pezzi"\r\n', body=provider.joined(pieces, "pezzi"),
        )  # fmt: skip
        said = self.hold(self.lab, sent, "breve", {BRUNO: "breve", BIANCA: "sintetica"})
        got = said.receipts[BRUNO].message.original
        header, body = halves(got)
        self.assertEqual(header.octets, halves(sent.with_identifiers(said.pec_id))[0].octets, "the original's header stays")
        parts = parts_of(body, "pezzi")[1]
        self.assertEqual(parts[0], pieces[0])
        for part, name, content in ((parts[1], "atto.pdf", pdf), (parts[2], "posta.eml", inner)):
            head, digest = halves(part)
            kind, given = parameters(head.get("Content-Type"))
            self.assertEqual((kind, given.get("name")), ("text/plain", f"{name}.hash"))
            self.assertEqual(parameters(head.get("Content-Disposition"))[1].get("filename"), f"{name}.hash")
            self.assertEqual(digest.strip().decode(), brief_hash(content))

    def test_brief_of_a_signed_original(self):
        """multipart/signed: only its first part is worked on; the second stays although it has a name."""
        content = provider.part('text/plain; name="nota.txt"', b"firmato\r\n")
        signature = provider.signature_part(b"nessuna firma")
        sent = letter(
            "Breve firmata", [BRUNO], asks="breve",
            extra=b'MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary="f"\r\n',
            body=provider.joined([content, signature], "f"),
        )  # fmt: skip
        said = self.hold(self.lab, sent, "breve", {BRUNO: "breve"})
        parts = parts_of(halves(said.receipts[BRUNO].message.original)[1], "f")[1]
        self.assertEqual(parts[1], signature)
        self.assertEqual(halves(parts[0])[1].strip().decode(), brief_hash(b"firmato\r\n"))

    def test_brief_of_an_opaque_original(self):
        sent = letter(
            "Breve opaca", [BRUNO], asks="breve", body=base64.encodebytes(b"x" * 500).replace(b"\n", b"\r\n"),
            extra=b'MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; name="smime.p7m"\r\nContent-Transfer-Encoding: base64\r\n',
        )  # fmt: skip
        said = self.hold(self.lab, sent, "breve", {BRUNO: "breve"})
        self.assertEqual(said.receipts[BRUNO].message.original, sent.with_identifiers(said.pec_id))

    def test_no_such_mailbox(self):
        """Taken in charge, then a signed notice; Bruno gets his all the same."""
        nobody = "nessuno@pec.beta.test"
        sent = letter("A nessuno", [BRUNO, nobody])
        submit(self.lab, sent)
        mailbox = self.lab.mailbox(ANNA)
        notice = final_word(mailbox, sent, nobody)
        data = notice.message.data
        self.assertEqual((data.kind, data.error, data.provider), ("errore-consegna", "no-dest", "Beta PEC S.r.l."))
        self.assertRegex(data.extended_error, r"^5\.1\.1 - Beta PEC S\.r\.l\. - ")
        self.fine(self.lab.judge.openssl(notice.octets) + self.lab.judge_of("beta").fast(notice.message))
        self.assertEqual(final_word(mailbox, sent, BRUNO).kind, "avvenuta-consegna")
        charged = self.lab.mailbox(service_mailbox("alfa")).wait(about(sent, "presa-in-carico", nobody))
        self.assertEqual(sorted(charged[0].message.data.received), sorted([BRUNO, nobody]))

    def test_delivered_unchanged(self):
        """The octets in Bianca's and Bruno's mailboxes are those that Alfa sent, and nothing of Beta stands among them."""
        sent = letter("Uguali", [BRUNO, BIANCA], body=b".\r\n..\r\n" + b"z" * 998 + b"\r\n")
        submit(self.lab, sent)
        said = gather(self.lab, sent)
        self.assertEqual(said.envelopes[BRUNO].octets, said.envelopes[BIANCA].octets)
        self.assertEqual(said.envelopes[BRUNO].header.all("Delivered-To"), [])


class Counterparts(InteropTest):
    """Alfa alone, and a provider that a test plays."""

    def start(self, manner: Manner | None = None, **limits) -> tuple[Gateway, Counterpart]:
        template = Gateway.template()
        gamma = Counterpart(World(template, Gateway._template_ports), manner)
        self.addCleanup(gamma.stop)
        gateway = Gateway(gamma.sink.port, lambda yaml: yaml.limits(**{"firstRetrySeconds": 1, "lastRetrySeconds": 2, **limits})).start()
        self.addCleanup(gateway.stop)
        gamma.at(gateway)
        return gateway, gamma

    def answered(self, gamma: Counterpart, count: int) -> None:
        poll(lambda: len(gamma.answers) >= count, 30, lambda: f"{count} answers; there are {gamma.answers}, {gamma.problems}")
        self.fine(gamma.problems, "the counterpart")

    def send(self, gateway: Gateway, *recipients: str) -> Sent:
        sent = letter("Al gestore Gamma", list(recipients))
        submit(gateway, sent)
        return sent

    def test_every_dialect_answers(self):
        """Take-charge to the service mailbox, receipt to Anna, whatever the provider's habits."""
        gateway, gamma = self.start()
        for look in provider.DIALECTS:
            gamma.manner = Manner(dialect=look)
            before = len(gamma.answers)
            sent = self.send(gateway, MARIO)
            self.answered(gamma, before + 2)
            replies = [f"{entry.certified.kind}: {reply}" for _, entry, reply in gamma.answers[before:] if reply.code != 250]
            self.assertEqual(replies, [], look.name)
            receipt = final_word(gateway.mailbox(ANNA), sent, MARIO)
            self.assertEqual(receipt.message.data.kind, "avvenuta-consegna", look.name)
            gateway.mailbox(service_mailbox("alfa")).wait(about(sent, "presa-in-carico", MARIO), what=f"the take-charge of {look.name}")
        gateway.settled()

    def test_twice_the_same(self):
        """The very same receipts again: nobody has them twice."""
        gateway, gamma = self.start(Manner(take_charges=3, receipts=2))
        sent = self.send(gateway, MARIO)
        self.answered(gamma, 5)
        self.assertEqual({reply.code for _, _, reply in gamma.answers}, {250})
        final_word(gateway.mailbox(ANNA), sent, MARIO)
        gateway.settled()
        self.assertEqual(len(gateway.mailbox(ANNA).matching(about(sent, "avvenuta-consegna"))), 1)
        self.assertEqual(len(gateway.mailbox(service_mailbox("alfa")).matching(about(sent, "presa-in-carico"))), 1)

    def test_the_receipt_overtakes_the_take_charge(self):
        gateway, gamma = self.start(Manner(take_charge_after=0.5))
        sent = self.send(gateway, MARIO)
        self.answered(gamma, 2)
        self.assertEqual([entry.certified.kind for _, entry, _ in gamma.answers], ["avvenuta-consegna", "presa-in-carico"])
        final_word(gateway.mailbox(ANNA), sent, MARIO)
        gateway.mailbox(service_mailbox("alfa")).wait(about(sent, "presa-in-carico", MARIO))

    def test_a_take_charge_for_each_recipient(self):
        gateway, gamma = self.start(Manner(split=True))
        others = [MARIO, "lucia@pec.gamma.test", "ugo@pec.gamma.test"]
        sent = self.send(gateway, *others)
        self.answered(gamma, 6)
        for each in others:
            final_word(gateway.mailbox(ANNA), sent, each)
            gateway.mailbox(service_mailbox("alfa")).wait(about(sent, "presa-in-carico", each))

    def test_nothing_comes(self):
        """Dropped receipts: nothing is made up in their place, and nothing stays in the queue."""
        gateway, gamma = self.start(Manner(take_charges=0, receipts=0))
        sent = self.send(gateway, MARIO)
        poll(lambda: gamma.taken("posta-certificata", compose.belongs(sent, "posta-certificata")), 30, "the envelope")
        gateway.settled()
        self.assertFalse(gateway.mailbox(ANNA).matching(about(sent, "avvenuta-consegna")))
        self.assertFalse(gateway.mailbox(ANNA).matching(about(sent, "errore-consegna")))

    def test_wrong_signatures(self):
        """Kept out, and no state moves. What the service mailbox is not for may also be taken and dropped."""
        for signature in ("broken", "stranger"):
            with self.subTest(signature):
                gateway, gamma = self.start(Manner(signature=signature))
                sent = self.send(gateway, MARIO)
                self.answered(gamma, 2)
                replies = {entry.certified.kind: reply.code for _, entry, reply in gamma.answers}
                self.assertTrue(500 <= replies["avvenuta-consegna"] < 600, replies)
                self.assertTrue(replies["presa-in-carico"] == 250 or replies["presa-in-carico"] >= 500, replies)
                gateway.settled()
                self.assertFalse(gateway.mailbox(ANNA).matching(about(sent, "avvenuta-consegna")))
                self.assertEqual(gateway.mailbox(service_mailbox("alfa")).all, [])
                kinds = {event["event"] for event in gateway.events()}
                self.assertFalse(kinds & {"ricezione-ricevuta", "ricezione-presa-in-carico"}, kinds)
                gateway.stop()
                gamma.stop()

    def test_unknown_and_infected(self):
        """Gamma's non-delivery passes; a virus detection notice becomes Alfa's own virus non-delivery notice (pec-rules 2.5)."""
        nobody, ill = "nessuno@pec.gamma.test", "malato@pec.gamma.test"
        gateway, gamma = self.start(Manner(unknown=(nobody,), infected=(ill,)))
        sent = self.send(gateway, nobody, ill)
        self.answered(gamma, 3)
        self.assertEqual(final_word(gateway.mailbox(ANNA), sent, nobody).message.data.error, "no-dest")
        notice = final_word(gateway.mailbox(ANNA), sent, ill)
        problems = check_virus_non_delivery(notice, sent, notice.message.data.pec_id, ill, "alfa") + self.signed(notice, gateway)
        self.fine(problems, "the virus non-delivery notice")
        gateway.mailbox(service_mailbox("alfa")).wait(about(sent, "rilevazione-virus", ill))
        gateway.settled()
        self.assertEqual(len(gateway.mailbox(ANNA).matching(about(sent, "errore-consegna"))), 2)

    def test_an_envelope_in_two_transactions(self):
        """Each gets its own take-charge receipt, and together they name everybody once (pec-rules 6.4)."""
        gateway, gamma = self.start()
        both = gamma.envelope(MARIO, [ANNA, ALDO])
        octets = both.octets
        for recipient in (ANNA, ALDO):
            self.assertEqual(gamma.post(octets, sender=MARIO, recipients=[recipient]).code, 250)
        poll(lambda: len(gamma.about_letter(both)) >= 4, 30, lambda: f"four receipts, there are {len(gamma.about_letter(both))}")
        gateway.settled()
        charges = gamma.about_letter(both, "presa-in-carico")
        self.assertEqual(sorted(each.message.data.received for each in charges), sorted([[ANNA], [ALDO]]))
        for stored in charges:
            facts = sent_of(both)
            self.fine(check_take_charge(stored, facts, both.certified.pec_id, stored.message.data.received, "alfa", "gamma"))
            self.fine(self.signed(stored, gateway))
        self.assertEqual(
            sorted(each.message.data.delivered_to for each in gamma.about_letter(both, "avvenuta-consegna")), sorted([ANNA, ALDO])
        )

    def test_the_same_envelope_again(self):
        """Idempotent: no second delivery and no second delivery receipt (pec-rules 6.6); with one more recipient, that one alone."""
        gateway, gamma = self.start()
        both = gamma.envelope(MARIO, [ANNA, ALDO])
        octets = both.octets
        for recipients in ([ANNA], [ANNA], [ANNA, ALDO], [ALDO, ANNA]):
            self.assertEqual(gamma.post(octets, sender=MARIO, recipients=recipients).code, 250)
            gateway.settled()
        self.assertEqual(len(gamma.about_letter(both, "avvenuta-consegna")), 2)
        charged = [each for stored in gamma.about_letter(both, "presa-in-carico") for each in stored.message.data.received]
        self.assertEqual(set(charged), {ANNA, ALDO})
        for address in (ANNA, ALDO):
            self.assertEqual(len(gateway.mailbox(address).matching(lambda stored: both.certified.pec_id.encode() in stored.octets)), 1)
        self.assertIn("duplicato", [event["event"] for event in gateway.events()])

    def test_another_message_with_the_same_identifier(self):
        """An identificativo names one message: the second is malformed (pec-rules 6.6)."""
        gateway, gamma = self.start()
        first = gamma.envelope(MARIO, [ANNA])
        self.assertEqual(gamma.post(first).code, 250)
        second = first.copy(words="Un altro testo.\n")
        self.assertEqual(gamma.post(second).code, 250)
        gateway.settled()
        kinds = [stored.kind for stored in gateway.mailbox(ANNA).matching(lambda stored: first.certified.pec_id.encode() in stored.octets)]
        self.assertEqual(sorted(kinds), ["errore", "posta-certificata"])
        self.assertEqual(len(gamma.about_letter(first)), 2)

    def test_many_at_once(self):
        """Two hundred envelopes over several connections: one take-charge and one receipt for each."""
        from concurrent.futures import ThreadPoolExecutor

        gateway, gamma = self.start()
        letters = [gamma.envelope(MARIO, [ANNA] if number % 2 else [ANNA, ALDO]) for number in range(200)]
        with ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda each: gamma.post(each).code, letters))
        self.assertEqual(set(replies), {250})
        due = sum(1 + len(each.recipients) for each in letters)
        poll(lambda: len(gamma.sink.taken) >= due, 60, lambda: f"{due} receipts; there are {len(gamma.sink.taken)}")
        gateway.settled()
        self.assertEqual(len(gamma.sink.taken), due)
        seen = {taken.stored.header.get("Message-ID") for taken in gamma.sink.taken}
        self.assertEqual(len(seen), due)
