"""Dovecot as the home of the mailboxes: LMTP, and one passwd-file for both."""

import re

from interop import compose, expect
from interop.case import InteropTest
from interop.dovecot import Dovecot
from interop.lab import ALDO, ANNA, PASSWORDS, Gateway
from interop.sink import Sink


class LMTP(InteropTest):
    def start(self, unix: bool) -> tuple[Dovecot, Gateway, Sink]:
        self.need("dovecot", "doveadm", "openssl", "xmllint")
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = Gateway(sink.port)
        text = gateway.configuration.read_text()
        users = gateway.folder / "alfa" / re.search(r"passwdFile: *\"?([^\"}\s]+)", text)[1]
        dovecot = Dovecot(users).start()
        self.addCleanup(dovecot.stop)
        target = f"unix:{dovecot.socket}" if unix else f"127.0.0.1:{dovecot.port}"
        gateway.configuration.write_text(re.sub(r"(?m)^mailboxes:.*$", f'mailboxes: {{ lmtp: "{target}" }}', text))
        gateway.start()
        self.addCleanup(gateway.stop)
        return dovecot, gateway, sink

    def deliver(self, unix: bool) -> None:
        dovecot, gateway, sink = self.start(unix)
        sent = compose.simple("Per Dovecot", [ALDO, "giulia@posta.example.test"], body=b".\r\n" + b"d" * 998 + b"\r\n")
        with gateway.submission() as session:
            session.envelope(ANNA, sent.recipients)
            self.assertEqual(session.data(sent.octets).code, 250)
        receipt = dovecot.mailbox(ANNA).wait(compose.belongs(sent, "accettazione"), 30, what=f"the receipt (log: {dovecot.log})")[0]
        carried = dovecot.mailbox(ALDO).wait(compose.belongs(sent, "posta-certificata"), 30)[0]
        for stored in (receipt, carried):
            self.fine(self.signed(stored, gateway))
        self.fine(gateway.judge.dtd(receipt.message.xml, carried.message.xml))
        self.fine(expect.differences(carried.message.original, sent.with_identifiers(carried.message.data.pec_id)))
        self.assertEqual(carried.return_path.strip("<>"), ANNA)

    def test_over_tcp(self):
        self.deliver(unix=False)

    def test_over_a_unix_socket(self):
        self.deliver(unix=True)

    def test_the_passwd_file_is_shared(self):
        dovecot, _, _ = self.start(unix=False)
        for user, password in PASSWORDS.items():
            self.assertTrue(dovecot.knows(user, password), f"Dovecot does not accept {user} from the gateway's file")
            self.assertFalse(dovecot.knows(user, password + "x"))

    def test_dovecot_down_and_up_again(self):
        """Receipts wait, and arrive when the mailboxes are there again; each one once."""
        dovecot, gateway, _ = self.start(unix=False)
        gateway.stop()
        from interop.lab import Yaml

        yaml = Yaml(gateway.configuration.read_text()).limits(firstRetrySeconds=1, lastRetrySeconds=2)
        gateway.configuration.write_text(yaml.text)
        gateway.start()
        dovecot.stop()
        sents = [compose.simple(f"Attesa {number}") for number in range(5)]
        with gateway.trusted() as session:
            for sent in sents:
                session.envelope(ANNA, sent.recipients)
                self.assertEqual(session.data(sent.octets).code, 250, "intake does not depend on the mailboxes")
        dovecot.start()
        for sent in sents:
            found = dovecot.mailbox(ANNA).wait(compose.belongs(sent, "accettazione"), 60)
            self.assertEqual(len(found), 1)
