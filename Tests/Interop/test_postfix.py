"""Real Postfix on both sides of the gateway, and next hops that fail.

What Postfix 3.7 can and cannot do (postconf(5), smtp(8), pipe(8)): its SMTP client and its proxy filter can send XFORWARD, but nothing in
Postfix sends XCLIENT. So a Postfix that has authenticated a user hands his mail over in one of three ways, and all three are tested:
to a listener that takes MAIL FROM as the user; through pipe(8) and a helper that says XCLIENT LOGIN=${sasl_username}; or with the
user's own credentials.
"""

import shutil

from interop import compose, expect, wire
from interop.base import HERE, note, poll
from interop.case import InteropTest
from interop.expect import Sent
from interop.lab import ALDO, ANNA, PASSWORDS, SERVICE, Gateway
from interop.mailboxes import Stored
from interop.postfix import Postfix, python_for_everybody
from interop.sink import Sink

GIULIA = "giulia@posta.example.test"
TOOLS = ("postfix", "openssl", "xmllint")


def into(postfix: Postfix, sent: Sent, login: str | None = None) -> None:
    """Submits to Postfix; `login` makes Postfix believe that this user has authenticated (XCLIENT to Postfix, from an authorised host)."""
    with wire.Wire(postfix.port) as session:
        session.ehlo()
        if login:
            session.expect(f"XCLIENT LOGIN={login} ADDR=192.0.2.7 HELO=mua.example.test PROTO=ESMTP", 220)
            session.ehlo()
        session.envelope(sent.sender, sent.recipients)
        reply = session.data(sent.octets)
        assert reply.code == 250, reply


class Submission(InteropTest):
    """Postfix in front of the gateway."""

    def setUp(self):
        self.need(*TOOLS)
        self.instances = []

    def tearDown(self):
        for instance in self.instances:
            instance.stop()

    def postfix(self, name: str, settings: dict[str, str], services: str = "") -> Postfix:
        instance = Postfix(name, settings, services).start()
        self.instances.append(instance)
        return instance

    def through(self, postfix: Postfix, sent: Sent, world, folder=None) -> Sent:
        """Receipt and envelope of what Postfix handed over: the original is as Postfix sent it, so it is read out of the envelope first."""
        got, carried = compose.receipt(world.mailbox(sent.sender), sent), compose.envelope(folder or world.world, sent)
        original = carried.message.original
        tail = f"Message-ID: <{carried.message.data.pec_id}>\r\nX-Riferimento-Message-ID: {sent.message_id}\r\n\r\n".encode()
        self.assertEqual(original.count(tail), 1)
        as_sent = Sent(
            original.replace(tail, f"Message-ID: {sent.message_id}\r\n\r\n".encode()), sent.sender, sent.recipients, sent.subject
        )
        problems = expect.check_acceptance(got, as_sent) + expect.check_envelope(carried, as_sent)
        self.fine(problems + self.signed(got, world) + self.signed(carried, world) + world.judge.dtd(got.message.xml, carried.message.xml))
        self.assertTrue(as_sent.header.all("Received"), "Postfix writes a Received field, and the envelope copies it")
        return as_sent

    def test_relay_to_the_trusted_listener(self):
        """User = MAIL FROM: an ordinary relayhost is enough."""
        postfix = self.postfix("relay", {"relayhost": f"[127.0.0.1]:{self.lab.ports.trusted}"})
        sent = compose.simple("Da Postfix", ["ufficio@pec.gamma.test", GIULIA], body=b"Riga\r\n.\r\n..due\r\nfine\r\n")
        into(postfix, sent)
        as_sent = self.through(postfix, sent, self.lab)
        self.assertTrue(as_sent.octets.endswith(b"Riga\r\n.\r\n..due\r\nfine\r\n"))

    def test_relay_converts_eight_bit_mail(self):
        """8BITMIME is not announced, so Postfix converts by itself (pec-rules 4.7)."""
        postfix = self.postfix("converts", {"relayhost": f"[127.0.0.1]:{self.lab.ports.trusted}"})
        sent = compose.simple(
            "Otto bit",
            body="Perché? Città, è così.\r\n".encode(),
            extra=b"MIME-Version: 1.0\r\n" b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n",
        )
        into(postfix, sent)
        as_sent = self.through(postfix, sent, self.lab)
        self.assertIn("quoted-printable", as_sent.header.get("Content-Transfer-Encoding"))
        self.assertIn(b"Perch=C3=A9?", as_sent.octets)

    def test_with_the_users_own_credentials(self):
        """STARTTLS and AUTH with each sender's own password (smtp_sender_dependent_authentication)."""
        passwords = ", ".join(f"{{ {user} = {user}:{password} }}" for user, password in PASSWORDS.items())
        postfix = self.postfix(
            "credentials",
            {
                "relayhost": f"[127.0.0.1]:{self.lab.ports.submission}",
                "smtp_tls_security_level": "encrypt",
                "smtp_tls_CAfile": str(self.lab.ca),
                "smtp_tls_loglevel": "1",
                "smtp_sasl_auth_enable": "yes",
                "smtp_sender_dependent_authentication": "yes",
                "smtp_sasl_password_maps": f"inline:{{ {passwords} }}",
                "smtp_sasl_security_options": "noanonymous",
                "smtp_sasl_tls_security_options": "noanonymous",
            },
        )
        for sender, subject in ((ANNA, "Con credenziali"), (ALDO, "Con le sue")):
            sent = compose.simple(
                subject,
                sender=sender,
                body="Però!\r\n".encode(),
                extra=b"MIME-Version: 1.0\r\n" b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n",
            )
            into(postfix, sent)
            as_sent = self.through(postfix, sent, self.lab)
            self.assertIn(b"Per=C3=B2!", as_sent.octets)

    def test_many_messages_at_once(self):
        """Several connections of Postfix, each reused for several messages."""
        postfix = self.postfix("many", {"relayhost": f"[127.0.0.1]:{self.lab.ports.trusted}"})
        sents = [compose.simple(f"Molti {number}", [f"m{number}@posta.example.test"]) for number in range(60)]
        with wire.Wire(postfix.port) as session:
            session.ehlo()
            for sent in sents:
                session.envelope(sent.sender, sent.recipients, pipelined=True)
                self.assertEqual(session.data(sent.octets).code, 250)
        for sent in sents:
            compose.receipt(self.lab.mailbox(ANNA), sent, seconds=60)
            compose.envelope(self.lab.world, sent, seconds=60)


class XClient(InteropTest):
    """A listener that takes the user from XCLIENT LOGIN=."""

    @classmethod
    def setUpClass(cls):
        cls.sink = Sink()
        cls.gateway = Gateway(cls.sink.port)
        cls.port = cls.gateway.ports.first + 5
        text = cls.gateway.configuration.read_text()
        from interop.lab import Yaml

        yaml = Yaml(text).add(f"{{ kind: trusted, address: 127.0.0.1, port: {cls.port}, peers: [127.0.0.1], user: xclient }}", "listeners")
        cls.gateway.configuration.write_text(yaml.text)
        cls.gateway.start()

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()
        cls.sink.stop()

    def envelope_of(self, sent: Sent) -> Stored:
        return poll(
            lambda: next((taken.stored for taken in self.sink.taken if compose.belongs(sent, "posta-certificata")(taken.stored)), None),
            30,
            "the envelope in the sink",
        )

    def test_a_client_says_who_the_user_is(self):
        with wire.Wire(self.port) as session:
            offered = session.ehlo()
            self.assertIn("XCLIENT", offered)
            self.assertTrue({"NAME", "ADDR", "PROTO", "HELO", "LOGIN"} <= set(offered["XCLIENT"].split()), offered["XCLIENT"])
            reply = session.command(f"MAIL FROM:<{ANNA}>")
            self.assertEqual(reply.code, 530, f"without a LOGIN nobody is authenticated: {reply}")
            session.expect("XCLIENT NAME=mua.example.test ADDR=192.0.2.7 PROTO=ESMTP HELO=mua LOGIN=anna+40pec.alfa.test", 220)
            session.ehlo()
            self.assertEqual(session.command(f"MAIL FROM:<{ALDO}>").code, 553)
            sent = compose.simple("XCLIENT")
            session.envelope(ANNA, sent.recipients)
            self.assertEqual(session.data(sent.octets).code, 250)
            # The next user on the same connection.
            session.expect(f"XCLIENT LOGIN={ALDO}", 220)
            session.ehlo()
            self.assertEqual(session.command(f"MAIL FROM:<{ANNA}>").code, 553)
            second = compose.simple("XCLIENT, un altro", sender=ALDO)
            session.envelope(ALDO, second.recipients)
            self.assertEqual(session.data(second.octets).code, 250)
            session.expect("XCLIENT LOGIN=[UNAVAILABLE]", 220)
            session.ehlo()
            self.assertEqual(session.command(f"MAIL FROM:<{ANNA}>").code, 530)
        for each in (sent, second):
            got = compose.receipt(self.gateway.mailbox(each.sender), each)
            self.fine(expect.check_acceptance(got, each) + expect.check_envelope(self.envelope_of(each), each))

    def test_postfix_by_pipe(self):
        """The transport has a fixed next hop (`ceralacca:gateway`): Postfix then hands all recipients over at once. Without it there
        would be a submission, and so a receipt, for each domain."""
        self.need(*TOOLS)
        command = (
            "flags=q user=nobody eol=\\r\\n argv="
            + python_for_everybody()
            + " {script} {port} ${{sasl_username}} ${{client_address}} ${{sender}} ${{recipient}}"
        )
        postfix = Postfix(
            "pipe",
            {
                "default_transport": "ceralacca:gateway",
                "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
                "ceralacca_destination_recipient_limit": "100",
            },
        )
        script = postfix.folder / "handover.py"
        shutil.copy(HERE / "interop" / "handover.py", script)
        script.chmod(0o755)
        with open(postfix.etc / "master.cf", "a") as master:
            master.write("ceralacca unix - n n - 4 pipe\n  " + command.format(script=script, port=self.port) + "\n")
        postfix.start()
        try:
            sent = compose.simple("Da Postfix con XCLIENT", ["uno@posta.example.test", "due@pec.gamma.test"], body=b"Corpo\r\n..\r\n")
            into(postfix, sent, login=ANNA)
            got = compose.receipt(self.gateway.mailbox(ANNA), sent)
            carried = self.envelope_of(sent)
            self.assertEqual(set(carried.envelope_to), set(sent.recipients))
            self.fine(self.signed(got, self.gateway) + self.signed(carried, self.gateway))
            self.assertEqual(carried.message.data.sender, ANNA)
            # Another user's address: the gateway says 553, and Postfix sends the message back.
            wrong = compose.simple("Non suo", sender=ANNA)
            into(postfix, wrong, login=ALDO)
            poll(lambda: postfix.logged("553 5.7.1"), 20, lambda: "553 in Postfix's log")
            self.assertFalse(self.gateway.mailbox(ANNA).matching(compose.belongs(wrong, "accettazione")))
        finally:
            postfix.stop()


class NextHop(InteropTest):
    """What takes the gateway's envelopes."""

    def gateway(self, port: int, **limits) -> Gateway:
        gateway = Gateway(
            port, lambda yaml: yaml.limits(**{"firstRetrySeconds": 1, "lastRetrySeconds": 2, "replyTimeoutSeconds": 20, **limits})
        ).start()
        self.addCleanup(gateway.stop)
        return gateway

    def submit(self, gateway: Gateway, sents: list[Sent]) -> None:
        with gateway.trusted() as session:
            for sent in sents:
                session.envelope(sent.sender, sent.recipients, pipelined=True)
                self.assertEqual(session.data(sent.octets).code, 250)

    def test_postfix_takes_the_envelopes(self):
        """…delivers them into a folder with LF line ends and fields of its own before them; the signature holds all the same."""
        self.need(*TOOLS)
        postfix = Postfix("hop", {"virtual_mailbox_domains": "posta.example.test, pec.gamma.test"}).start()
        self.addCleanup(postfix.stop)
        gateway = self.gateway(postfix.port)
        sents = [
            compose.simple(
                "Al prossimo",
                ["giulia@posta.example.test", "ufficio@pec.gamma.test"],
                body=b".\r\n..\r\n" + b"z" * 998 + b"\r\nFrom qui\r\n",
            )
        ]
        sents += [compose.simple(f"Numero {number}", body=b"riga di testo\r\n" * 20000 * (number % 2) + b"fine\r\n") for number in range(6)]
        for number, sent in enumerate(sents[1:]):
            sent.recipients[:] = [f"n{number}@posta.example.test"]
            sent.octets = sent.octets.replace(b"ordinario@example.test", sent.recipients[0].encode())
            sent.__dict__.pop("header", None)
        self.submit(gateway, sents)
        for sent in sents:
            found = postfix.mail.wait(compose.belongs(sent, "posta-certificata"), 30)[0]
            self.assertEqual(found.return_path.strip("<>"), ANNA)
            self.fine(self.signed(found, gateway))
            self.fine(expect.differences(found.message.original, sent.with_identifiers(found.message.data.pec_id)))

    def test_next_hop_killed_and_started_again(self):
        self.need(*TOOLS)
        postfix = Postfix("restarts", {"virtual_mailbox_domains": "posta.example.test"}).start()
        self.addCleanup(postfix.stop)
        gateway = self.gateway(postfix.port)
        before = [compose.simple(f"Prima {number}", [f"p{number}@posta.example.test"]) for number in range(5)]
        self.submit(gateway, before)
        postfix.mail.wait(lambda stored: stored.kind == "posta-certificata", 30, 5)
        postfix.stop(kill=True)
        during = [compose.simple(f"Durante {number}", [f"d{number}@posta.example.test"]) for number in range(5)]
        self.submit(gateway, during)
        for sent in during:
            compose.receipt(gateway.mailbox(ANNA), sent)
        postfix.start()
        for sent in before + during:
            found = postfix.mail.wait(compose.belongs(sent, "posta-certificata"), 60, what=sent.subject)
            self.assertEqual(len(found), 1)
            self.fine(self.signed(found[0], gateway, openssl=False))
        self.assertFalse(gateway.mailbox(ANNA).matching(lambda stored: stored.kind == "errore-consegna"))

    def test_temporary_refusals_then_success(self):
        """4xx at every stage, one after another, then 250: retried, delivered once, no notice."""
        plan = ["greeting", "MAIL", "RCPT", "DATA", "message"]

        def policy(stage: str, _: str) -> str | None:
            if plan and stage == plan[0]:
                plan.pop(0)
                return "421 4.3.2 Not now" if stage == "greeting" else "451 4.3.0 Try later"
            return None

        sink = Sink(policy, extensions=("PIPELINING", "SIZE", "8BITMIME"))
        self.addCleanup(sink.stop)
        gateway = self.gateway(sink.port)
        sent = compose.simple("Infine")
        self.submit(gateway, [sent])
        taken = poll(lambda: sink.taken, 60, lambda: f"the envelope in the sink; refusals left: {plan}")
        self.assertEqual(plan, [])
        self.assertEqual(len(taken), 1)
        self.fine(expect.check_envelope(taken[0].stored, sent))
        self.assertFalse(gateway.mailbox(ANNA).matching(lambda stored: stored.kind == "errore-consegna"))

    def test_connection_lost_in_mid_transaction(self):
        """Cut before the reply to the message: sent again, the same octets with the same Message-ID."""
        cuts = [2]
        sink = Sink(extensions=("PIPELINING",))

        def policy(stage: str, _: str) -> str | None:
            if stage == "message" and cuts[0]:
                cuts[0] -= 1
                raise ConnectionError
            return None

        sink.policy = policy
        self.addCleanup(sink.stop)
        gateway = self.gateway(sink.port)
        sent = compose.simple("Di nuovo")
        self.submit(gateway, [sent])
        poll(lambda: sink.taken, 60, "the envelope in the sink")
        self.fine(expect.check_envelope(sink.taken[0].stored, sent))

    def test_permanent_refusal_of_one_recipient(self):
        """550 for one of three: the others get it, and Anna gets one signed notice (T14, errore no-dest)."""
        sink = Sink(lambda stage, argument: "550 5.1.1 No such user" if stage == "RCPT" and argument.startswith("nessuno") else None)
        self.addCleanup(sink.stop)
        gateway = self.gateway(sink.port)
        nobody = "nessuno@pec.gamma.test"
        sent = compose.simple("A tre", ["uno@posta.example.test", nobody, "due@pec.gamma.test"])
        self.submit(gateway, [sent])
        notice = compose.receipt(gateway.mailbox(ANNA), sent, "errore-consegna")
        self.fine(expect.check_non_delivery(notice, sent, nobody, ("no-dest",)) + self.signed(notice, gateway))
        self.fine(gateway.judge.dtd(notice.message.xml))
        self.assertEqual(notice.return_path.strip("<>"), SERVICE)
        poll(
            lambda: {each for taken in sink.taken for each in taken.recipients} == {"uno@posta.example.test", "due@pec.gamma.test"},
            30,
            lambda: f"the other two, got {[taken.recipients for taken in sink.taken]}",
        )
        receipt = compose.receipt(gateway.mailbox(ANNA), sent)
        self.assertEqual(receipt.message.data.pec_id, notice.message.data.pec_id)
        self.assertEqual(len(gateway.mailbox(ANNA).matching(lambda stored: stored.kind == "errore-consegna")), 1)

    def test_permanent_refusals_of_other_kinds(self):
        """5xx at MAIL, DATA or after the message, and codes that are not about the address: errore altro."""
        for stage, reply in (
            ("MAIL", "550 5.7.1 Not from you"),
            ("DATA", "554 5.3.4 No"),
            ("message", "554 5.6.0 Content refused"),
            ("RCPT", "552 5.2.2 Mailbox full"),
        ):
            with self.subTest(stage=stage):
                sink = Sink(lambda at, _, stage=stage, reply=reply: reply if at == stage else None, extensions=("PIPELINING", "SIZE"))
                gateway = self.gateway(sink.port)
                sent = compose.simple("Rifiutato", ["ufficio@pec.gamma.test"])
                self.submit(gateway, [sent])
                notice = compose.receipt(gateway.mailbox(ANNA), sent, "errore-consegna")
                self.fine(
                    expect.check_non_delivery(notice, sent, "ufficio@pec.gamma.test", ("altro",))
                    + self.signed(notice, gateway, openssl=False)
                )
                gateway.stop()
                sink.stop()

    def test_given_up_after_the_configured_time(self):
        """A next hop that nobody answers for: after giveUpHours (here some seconds) a notice of non-delivery."""
        sink = Sink()
        sink.stop()
        gateway = self.gateway(sink.port, giveUpHours=0.001)
        sent = compose.simple("Mai", ["ufficio@pec.gamma.test"])
        self.submit(gateway, [sent])
        notice = compose.receipt(gateway.mailbox(ANNA), sent, "errore-consegna", seconds=60)
        self.fine(expect.check_non_delivery(notice, sent, "ufficio@pec.gamma.test") + self.signed(notice, gateway, openssl=False))

    def test_connections_are_reused(self):
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = self.gateway(sink.port)
        sents = [compose.simple(f"Uno di molti {number}") for number in range(40)]
        self.submit(gateway, sents)
        poll(lambda: len(sink.taken) >= 40, 30, lambda: f"{len(sink.taken)} of 40")
        note(f"40 envelopes in {sink.sessions} sessions; BDAT {sum(line.startswith('BDAT') for line in sink.commands)} times")
        self.assertLess(sink.sessions, 20)
        self.assertTrue(any(line.startswith("BDAT") for line in sink.commands), "CHUNKING was offered and not used")

    def test_next_hop_without_extensions(self):
        """HELO only, and a server that offers nothing: DATA, dots doubled, every octet there."""
        sink = Sink(lambda stage, _: "502 5.5.1 No EHLO here" if stage == "EHLO" else None, extensions=())
        self.addCleanup(sink.stop)
        gateway = self.gateway(sink.port)
        sent = compose.simple("Alla vecchia", body=b".\r\n..\r\n...a\r\n" + b"q" * 998 + b"\r\n.")
        with gateway.trusted() as session:
            session.envelope(ANNA, sent.recipients)
            self.assertEqual(session.bdat(sent.octets, [len(sent.octets)]).code, 250)
        taken = poll(lambda: sink.taken, 30, "the envelope")[0]
        self.fine(expect.check_envelope(taken.stored, sent) + self.signed(taken.stored, gateway))
