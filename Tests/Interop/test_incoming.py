"""The incoming point: its SMTP side, what it does with a good envelope in every form, and the policies for ordinary mail."""

import re
import secrets

from interop import compose, forgers, provider
from interop.base import poll
from interop.case import InteropTest
from interop.counterpart import transaction
from interop.expect import differences
from interop.forgers import MARIO, plain
from interop.lab import ALDO, ANNA, SERVICE, Gateway, World, service_mailbox
from interop.mailboxes import Stored
from interop.provider import Letter, Provider
from interop.receipts import anomaly_reason, check_anomaly, check_delivery, check_take_charge, sent_of
from interop.sink import Sink
from interop.wire import Wire

MALLORY = "mallory@evil.example.test"
DROPS = "scarta@pec.alfa.test"


class Incoming(InteropTest):
    """A gateway whose world is a sink: receipts for Gamma come out there."""

    edit = staticmethod(lambda yaml: yaml)

    @classmethod
    def setUpClass(cls):
        cls.sink = Sink()
        cls.gateway = Gateway(cls.sink.port, lambda yaml: cls.edit(yaml.limits(firstRetrySeconds=1, lastRetrySeconds=2)))
        cls.before(cls.gateway)
        cls.gateway.start()
        cls.gamma = Provider(forgers.Identity(cls.gateway.folder / "gamma" / "signer.pem"))

    @classmethod
    def before(cls, gateway: Gateway) -> None:
        """What else is to be there when it starts."""

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()
        cls.sink.stop()

    def post(self, octets: bytes | Letter, sender: str | None = None, recipients=None, tls: bool = True, code: int = 250):
        letter = octets if isinstance(octets, Letter) else None
        with self.gateway.incoming(tls=tls) as wire:
            reply = transaction(
                wire,
                (letter.mail_from if letter else MALLORY) if sender is None else sender,
                recipients or (letter.recipients if letter else [ANNA]),
                letter.octets if letter else octets,
            )
        self.assertEqual(reply.code, code, reply)
        return reply

    def receipts(self, letter: Letter, count: int) -> dict[str, list[Stored]]:
        """What the sink has about a letter, as soon as there are so many."""

        def found() -> list[Stored]:
            stored = [taken.stored for taken in list(self.sink.taken)]
            return [each for each in stored if each.header.get("X-Ricevuta") and each.message.data.pec_id == letter.certified.pec_id]

        poll(lambda: len(found()) >= count, 30, lambda: f"{count} receipts; there are {len(found())}")
        self.gateway.settled()
        kinds: dict[str, list[Stored]] = {}
        for each in found():
            kinds.setdefault(each.kind, []).append(each)
        self.assertEqual(sum(map(len, kinds.values())), count, {kind: len(each) for kind, each in kinds.items()})
        return kinds

    def lying(self, mark: str, address: str = ANNA) -> list[Stored]:
        return self.gateway.mailbox(address).matching(lambda stored: mark.encode() in stored.octets)


class Smtp(Incoming):
    def test_what_is_announced(self):
        with Wire(self.gateway.ports.incoming) as wire:
            self.assertEqual(wire.greeting.code, 220)
            plain_ = wire.ehlo()
            self.assertIn("STARTTLS", plain_)
            wire.start_tls(None)
            secure = wire.ehlo()
        for offered in (plain_, secure):
            self.assertIn("8BITMIME", offered)
            self.assertIn("SIZE", offered)
            self.assertFalse({"AUTH", "DSN", "XCLIENT", "SMTPUTF8"} & set(offered), offered)
        self.assertNotIn("STARTTLS", secure)

    def test_tls_by_the_laboratorys_authority(self):
        with self.gateway.incoming(tls=True) as wire:
            self.assertTrue(wire.socket.version().startswith("TLSv1."))
            self.assertGreaterEqual(wire.socket.version(), "TLSv1.2")

    def test_recipients(self):
        """Every address of a managed domain is taken at RCPT, whether there is such a mailbox or not; others are refused."""
        with self.gateway.incoming() as wire:
            wire.expect("MAIL FROM:<>", 250)
            for address in (ANNA, "nessuno@pec.alfa.test", "ANNA@PEC.ALFA.TEST", service_mailbox("alfa"), SERVICE):
                wire.expect(f"RCPT TO:<{address}>", 250)
            wire.expect("RCPT TO:<postmaster>", 250)
            for address in ("x@posta.example.test", "bruno@pec.beta.test", "x@sub.pec.alfa.test", "x@pec.alfa.test.evil.example.test"):
                reply = wire.command(f"RCPT TO:<{address}>")
                self.assertEqual(reply.code, 550, reply)

    def test_nobody_submits_here(self):
        with self.gateway.incoming() as wire:
            self.assertIn(wire.command("AUTH PLAIN AGFubmEAeA==").code, (500, 502, 503))
            wire.expect(f"MAIL FROM:<{ANNA}>", 250)
            self.assertEqual(wire.command("RCPT TO:<giulia@posta.example.test>").code, 550)

    def test_too_large(self):
        with self.gateway.incoming() as wire:
            limit = int(wire.extensions["SIZE"])
            reply = wire.command(f"MAIL FROM:<{MALLORY}> SIZE={limit + 1}")
            self.assertEqual(reply.code, 552, reply)
            wire.expect("NOOP", 250)

    def test_bare_line_ends(self):
        """SMTP smuggling ends here: an LF alone ends no line, and a message with one is refused."""
        for body in (b"uno\ndue\r\n", b"uno\rdue\r\n"):
            with self.gateway.incoming() as wire:
                octets = plain(MALLORY, body=body)
                wire.envelope(MALLORY, [ANNA])
                reply = wire.bdat(octets, [len(octets)])
                self.assertTrue(500 <= reply.code < 600, reply)
                wire.expect("NOOP", 250)

    def test_hundred_messages_in_one_session(self):
        letters = [self.gamma.envelope(MARIO, [ANNA]) for _ in range(100)]
        with self.gateway.incoming(tls=True) as wire:
            for letter in letters:
                self.assertEqual(transaction(wire, MARIO, [ANNA], letter.octets).code, 250)
        ids = {letter.certified.pec_id for letter in letters}

        def about_them() -> list[str]:
            found = [taken.stored for taken in list(self.sink.taken)]
            return [each.kind for each in found if each.kind and each.message.data.pec_id in ids]

        poll(lambda: len(about_them()) >= 200, 60, lambda: f"200 receipts; there are {len(about_them())}", every=0.3)
        self.gateway.settled()
        self.assertEqual(sorted(about_them()), ["avvenuta-consegna"] * 100 + ["presa-in-carico"] * 100)


class Envelopes(Incoming):
    def judged(self, letter: Letter, forms: dict[str, str], asked: str = "completa", encoding: str = "7bit") -> None:
        """Receipts in full: to whom, of which form, with the original, by openssl."""
        self.post(letter)
        found = self.receipts(letter, 1 + len(forms))
        facts, pec_id = sent_of(letter), letter.certified.pec_id
        problems = check_take_charge(found["presa-in-carico"][0], facts, pec_id, letter.recipients, "alfa", "gamma")
        by_recipient = {each.message.data.delivered_to: each for each in found.get("avvenuta-consegna", [])}
        self.assertEqual(set(by_recipient), set(forms))
        for recipient, form in forms.items():
            stored = by_recipient[recipient]
            whole = letter.original if form == "completa" else None
            problems += check_delivery(stored, facts, pec_id, recipient, form, asked, "alfa", whole, encoding)
            problems += self.signed(stored, self.gateway)
            copies = self.lying(pec_id, recipient)
            self.assertEqual(len(copies), 1)
            self.assertEqual(copies[0].return_path.strip("<>") if copies[0].return_path is not None else MARIO, MARIO)
        problems += self.gateway.judge.dtd(*(each.message.xml for kind in found.values() for each in kind))
        self.fine(problems)

    def test_to_and_cc(self):
        letter = self.gamma.envelope(MARIO, [ANNA, ALDO], cc=[ALDO])
        self.judged(letter, {ANNA: "completa", ALDO: "sintetica"})

    def test_undecidable_means_primary(self):
        """In neither field, or in both: a complete receipt (pec-rules 7.2)."""
        self.judged(self.gamma.envelope(MARIO, [ANNA], to=["lista@pec.gamma.test"]), {ANNA: "completa"})
        self.judged(self.gamma.envelope(MARIO, [ANNA], to=[ANNA], cc=[ANNA]), {ANNA: "completa"})

    def test_addresses_in_other_letters(self):
        letter = self.gamma.envelope(MARIO, [ANNA, ALDO], to=[f"Anna <{ANNA.upper()}>"], cc=[f'"Aldo, l\'altro" <{ALDO.upper()}>'])
        self.judged(letter, {ANNA: "completa", ALDO: "sintetica"})

    def test_every_kind_of_receipt(self):
        for asked in ("completa", "sintetica", "breve"):
            self.judged(self.gamma.envelope(MARIO, [ANNA, ALDO], cc=[ALDO], asks=asked), {ANNA: asked, ALDO: "sintetica"}, asked)

    def test_every_dialect(self):
        for look in provider.DIALECTS:
            with self.subTest(look.name):
                self.judged(self.gamma.envelope(MARIO, [ANNA], dialect=look), {ANNA: "completa"})

    def test_eight_bit_original(self):
        letter = self.gamma.envelope(MARIO, [ANNA], body="Perché è così?\r\n".encode())
        letter.original_encoding = "8bit"
        self.judged(letter, {ANNA: "completa"}, encoding="8bit")

    def test_odd_subjects(self):
        for subject in ("", "Oggetto & <altro>", "POSTA CERTIFICATA: di nuovo", "x" * 400):
            letter = self.gamma.envelope(MARIO, [ANNA], subject=subject)
            self.post(letter)
            found = self.receipts(letter, 2)
            self.assertEqual(found["avvenuta-consegna"][0].message.data.subject or "", subject)

    def test_no_such_mailbox_and_one_that_is(self):
        letter = self.gamma.envelope(MARIO, [ANNA, "nessuno@pec.alfa.test"])
        self.post(letter)
        found = self.receipts(letter, 3)
        self.assertEqual(set(found["presa-in-carico"][0].message.data.received), set(letter.recipients))
        notice = found["errore-consegna"][0]
        self.assertEqual((notice.message.data.error, notice.message.data.delivered_to), ("no-dest", "nessuno@pec.alfa.test"))
        self.fine(self.signed(notice, self.gateway))

    def test_service_addresses_are_no_users(self):
        """An envelope for the service mailbox or the service address: no such mailbox (RFC 6109 §2.2.5: two kinds only)."""
        for address in (service_mailbox("alfa"), SERVICE):
            letter = self.gamma.envelope(MARIO, [address])
            self.post(letter)
            self.assertIn("errore-consegna", self.receipts(letter, 2))


class Patient(Incoming):
    """A minute until the second attempt."""

    edit = staticmethod(lambda yaml: yaml.limits(firstRetrySeconds=60, lastRetrySeconds=60))

    def test_a_service_address_costs_the_others_no_time(self):
        """The service mailbox takes no envelope; who is named beside it has his at the first attempt."""
        letter = self.gamma.envelope(MARIO, [service_mailbox("alfa"), ANNA])
        self.post(letter)
        found = self.receipts(letter, 3)
        self.assertEqual(found["errore-consegna"][0].message.data.delivered_to, service_mailbox("alfa"))
        self.assertEqual(found["avvenuta-consegna"][0].message.data.delivered_to, ANNA)


class Anomalies(Incoming):
    """The standard policy: ordinary mail in anomaly envelopes."""

    def wrapped(self, octets: bytes, sender: str = MALLORY, recipients=(ANNA,)) -> Stored:
        mark = secrets.token_hex(8)
        octets = f"X-Prova: {mark}\r\n".encode() + octets
        self.post(octets, sender, list(recipients))
        for recipient in recipients:
            poll(lambda recipient=recipient: self.lying(mark, recipient), 30, f"the anomaly envelope for {recipient}")
        self.gateway.settled()
        found = self.lying(mark, recipients[0])
        self.assertEqual(len(found), 1)
        self.fine(check_anomaly(found[0], octets, sender, list(recipients), "alfa") + self.signed(found[0], self.gateway))
        return found[0]

    def test_plain(self):
        before = len(self.sink.taken)
        stored = self.wrapped(plain(MALLORY, subject="Offerta"))
        self.assertEqual(stored.header.get("Subject"), "ANOMALIA MESSAGGIO: Offerta")
        self.assertIn(MALLORY, stored.header.get("From"))
        self.assertEqual(len(self.sink.taken), before, "no receipt of any kind for ordinary mail")

    def test_two_recipients(self):
        self.wrapped(plain(MALLORY, f"{ANNA}, {ALDO}"), recipients=(ANNA, ALDO))

    def test_odd_ones(self):
        """Eight-bit, NUL, long lines, no subject, no Message-ID, encoded subjects, a null sender."""
        self.wrapped(plain(MALLORY, body="Perché?\r\n".encode()))
        self.wrapped(plain(MALLORY, body=b"x" * 5000 + b"\r\n"))
        self.wrapped(plain(MALLORY, subject="=?utf-8?q?Perch=C3=A9?="))
        self.wrapped(plain(MALLORY, identifier=False))
        self.wrapped(plain("MAILER-DAEMON@evil.example.test", subject="Undelivered"), sender="")
        self.wrapped(plain(MALLORY, extra=f"Reply-To: altro@evil.example.test\r\nCc: {ALDO}\r\n"))

    def test_a_bounce_with_an_envelope_inside(self):
        """pec-rules 16, 22: the inner certification data belong to another message."""
        inner = self.gamma.envelope(MARIO, ["nessuno@posta.example.test"]).octets
        report = provider.joined(
            [
                provider.part("text/plain", b"Undelivered\r\n"),
                provider.part("message/delivery-status", b"Reporting-MTA: dns; x\r\n"),
                provider.part("message/rfc822", inner),
            ],
            "rapporto",
        )
        extra = 'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="rapporto"\r\n'
        self.wrapped(plain("MAILER-DAEMON@evil.example.test", extra=extra, body=report), sender="")

    def test_no_such_mailbox(self):
        """Ordinary mail for nobody is refused in SMTP; no PEC notice of any kind leaves (pec-rules 7.1)."""
        before = len(self.sink.taken)
        self.assertEqual(self.post(plain(MALLORY), recipients=["nessuno@pec.alfa.test"], code=550).enhanced, "5.1.1")
        self.gateway.settled()
        notices = [taken.stored.kind for taken in self.sink.taken[before:] if taken.stored.kind]
        self.assertEqual(notices, [])

    def test_malformed_but_signed(self):
        letter = self.gamma.envelope(MARIO, [ANNA])
        letter.parts = letter.usual_parts()[:2]
        mark = letter.certified.pec_id
        self.post(letter)
        stored = poll(lambda: self.lying(mark), 30, "the anomaly envelope")[0]
        self.assertEqual(stored.kind, "errore")
        self.assertTrue(anomaly_reason(stored))
        self.assertEqual(stored.header.get("Message-ID"), f"<{mark}>")
        event = next(event for event in self.gateway.events() if event["event"] == "busta-anomalia" and event.get("detail"))
        self.assertTrue(event["detail"])

    def test_malformed_for_the_service_mailbox(self):
        """What another provider meant for our service mailbox and made wrongly is delivered there in its anomaly envelope (pec-rules 6.3)."""
        about = self.gamma.envelope(ANNA, [MARIO]).certified
        letter = self.gamma.take_charge(about, [], service_mailbox("alfa"))
        mark = secrets.token_hex(8)
        self.post(letter.add("X-Prova", mark))
        stored = poll(lambda: self.lying(mark, service_mailbox("alfa")), 30, "the anomaly envelope in the service mailbox")
        self.assertEqual([each.kind for each in stored], ["errore"])
        self.gateway.settled()
        self.assertFalse([event for event in self.gateway.events() if event["event"] == "ricevuta-non-recapitata"])

    def test_strangers_of_a_good_envelope(self):
        letter = self.gamma.envelope(MARIO, [ANNA])
        self.post(letter, recipients=[ANNA, ALDO])
        found = self.receipts(letter, 2)
        self.assertEqual(found["presa-in-carico"][0].message.data.received, [ANNA])
        mine, other = self.lying(letter.certified.pec_id, ANNA), self.lying(letter.certified.pec_id, ALDO)
        self.assertEqual(([each.kind for each in mine], [each.kind for each in other]), (["posta-certificata"], ["errore"]))

    def test_endless_loops_end(self):
        """Fifty Received fields are enough for anybody."""
        trace = "Received: from a by b; Tue, 10 Mar 2026 09:15:00 +0100\r\n" * 60
        with self.gateway.incoming() as wire:
            reply = transaction(wire, MALLORY, [ANNA], trace.encode() + plain(MALLORY))
            self.assertTrue(500 <= reply.code < 600, reply)


class Policies(Incoming):
    """Each domain's and each mailbox's own word about ordinary mail."""

    edit = staticmethod(
        lambda yaml: yaml.set(
            f'{{ policy: anomaly, forged: refuse, mailboxes: {{ "{ANNA}": refuse, "{ALDO}": {{ forward: aldo@posta.example.test }}, '
            f'"{DROPS}": discard }} }}',
            "ordinaryMail",
        )
    )

    @classmethod
    def before(cls, gateway: Gateway) -> None:
        users = gateway.folder / "alfa" / "users"
        users.write_text(users.read_text() + re.search(rf"(?m)^{ALDO}:.*$", users.read_text())[0].replace(ALDO, DROPS) + "\n")

    def test_refused(self):
        mark = compose.token()
        reply = self.post(plain(MALLORY, subject=mark), code=550)
        self.assertTrue((reply.enhanced or "").startswith("5.7"), reply)
        self.gateway.settled()
        self.assertEqual([stored.kind for stored in self.lying(mark)], [])
        log = self.gateway.log
        poll(lambda: re.search(r"ordinary mail because=.+ reply=5", log.read_text("utf-8", "replace")), 20, "the reason in the log")

    def test_discarded(self):
        before = len(self.sink.taken)
        self.post(plain(MALLORY), recipients=[DROPS])
        poll(lambda: "posta-ordinaria-scartata" in [event["event"] for event in self.gateway.events()], 20, "the word in the log")
        self.gateway.settled()
        self.assertEqual(len(self.sink.taken), before)

    def test_forwarded(self):
        """Unchanged but for trace fields, once; a message that was forwarded by us before goes no further."""
        mark = secrets.token_hex(8)
        octets = plain(MALLORY, ALDO, subject=mark)
        self.post(octets, recipients=[ALDO])
        taken = poll(lambda: [each for each in self.sink.taken if mark.encode() in each.octets], 30, "the forwarded message")
        self.assertEqual(taken[0].recipients, ("aldo@posta.example.test",))
        self.assertTrue(taken[0].octets.endswith(octets), differences(taken[0].octets[-len(octets) :], octets))
        before = taken[0].octets[: -len(octets)]
        self.assertRegex(before, rb"(?i)(?m)^Received:")
        self.assertFalse(re.sub(rb"(?im)^(?:received|delivered-to):.*\r\n(?:[ \t].*\r\n)*", b"", before), before)
        self.gateway.settled()
        self.assertEqual(self.lying(mark, ALDO), [])
        self.assertIn("posta-ordinaria-inoltrata", [event["event"] for event in self.gateway.events()])
        # Aldo's other provider sends it back.
        with self.gateway.incoming() as wire:
            reply = transaction(wire, MALLORY, [ALDO], taken[0].octets)
        self.gateway.settled()
        self.assertEqual(len([each for each in self.sink.taken if mark.encode() in each.octets]), 1, f"it went round: {reply}")

    def test_an_envelope_is_never_ordinary(self):
        """The policies are about ordinary mail alone."""
        letter = self.gamma.envelope(MARIO, [ANNA, ALDO])
        self.post(letter)
        self.receipts(letter, 3)

    def test_forged_is_refused_before_all(self):
        self.post(plain(ANNA), recipients=[ALDO], code=550)
        self.post(plain(MALLORY, extra="X-Ricevuta: accettazione\r\n"), recipients=["bianca@pec.alfa.test"], code=550)

    def test_mixed_recipients(self):
        """One transaction, recipients of different policies: each gets what is his, or the client is told to come one by one."""
        mark = compose.token()
        with self.gateway.incoming() as wire:
            reply = transaction(wire, MALLORY, [DROPS, ALDO], plain(MALLORY, subject=mark))
        self.assertEqual(reply.code, 250, reply)
        poll(lambda: [each for each in self.sink.taken if mark.encode() in each.octets], 30, "Aldo's copy")


class Laboratory(InteropTest):
    def test_what_a_forger_would_try(self):
        """DIR/forge: Beta's name and address from an authority that the index does not know."""
        lab = self.lab
        forger = Provider(forgers.Identity(lab.folder / "forge" / "signer.pem"), "pec.beta.test", "Beta PEC S.r.l.")
        letter = forger.envelope("bruno@pec.beta.test", [ANNA])
        with lab.incoming(tls=True) as wire:
            reply = transaction(wire, letter.mail_from, [ANNA], letter.octets)
        self.assertEqual(reply.code, 550, reply)
        self.assertFalse(lab.mailbox(ANNA).matching(lambda stored: letter.certified.pec_id.encode() in stored.octets))

    def test_gammas_envelope_for_beta(self):
        """Beta's incoming point takes it, and Gamma's receipts go to the world."""
        lab: World = self.lab
        gamma = Provider(forgers.Identity(lab.folder / "gamma" / "signer.pem"))
        letter = gamma.envelope(MARIO, ["bruno@pec.beta.test"])
        with lab.at("beta").incoming(tls=True) as wire:
            self.assertEqual(transaction(wire, MARIO, letter.recipients, letter.octets).code, 250)
        for kind in ("presa-in-carico", "avvenuta-consegna"):
            found = lab.world.wait(lambda stored, kind=kind: stored.kind == kind and stored.message.data.pec_id == letter.certified.pec_id)
            self.fine(lab.judge_of("beta").fast(found[0].message) + lab.judge.openssl(found[0].octets))
