"""Who may log in: a real Dovecot is asked over its authentication socket."""

import base64
import os
import re
import select
import signal

from interop import compose
from interop.base import free_block, poll, run
from interop.case import InteropTest
from interop.dovecot import Dovecot
from interop.lab import ALDO, ANNA, PASSWORDS, Gateway
from interop.sink import Sink

#: A socket for the gateway, refusals that come late, and names in whatever case.
SOCKET = """
auth_username_format = %Lu
service auth {{
  unix_listener auth-ceralacca {{
    mode = 0666
  }}
  inet_listener {{
    address = 127.0.0.1
    port = {port}
  }}
}}
"""


def plain(user: str, password: str) -> str:
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


class Login(InteropTest):
    def start(self, over_tcp: bool = False, more: str = "", file: bool = False, keeps: str = "") -> tuple[Dovecot, Gateway]:
        """`file`: whether the gateway has a passwd-file too, and then with the lines that `keeps` begins."""
        self.need("dovecot", "openssl")
        sink = Sink()
        self.addCleanup(sink.stop)
        gateway = Gateway(sink.port)
        text = gateway.configuration.read_text()
        users = gateway.folder / "alfa" / re.search(r"passwdFile: *\"?([^\"}\s]+)", text)[1]
        port = free_block(1)
        dovecot = Dovecot(users, SOCKET.format(port=port) + more).start()
        self.addCleanup(dovecot.stop)
        place = f"127.0.0.1:{port}" if over_tcp else f"unix:{dovecot.folder}/run/auth-ceralacca"
        if file:
            users.write_text("".join(line for line in users.read_text().splitlines(True) if line.startswith(keeps)))
        both = f"passwdFile: {users}, " if file else ""
        text = re.sub(r"(?m)^users:.*$", f'users: {{ {both}dovecot: "{place}" }}', text)
        text = re.sub(r"(?m)^mailboxes:.*$", f'mailboxes: {{ lmtp: "127.0.0.1:{dovecot.port}" }}', text)
        gateway.configuration.write_text(text)
        gateway.start()
        self.addCleanup(gateway.stop)
        return dovecot, gateway

    def asked(self, gateway: Gateway, user: str, password: str) -> int:
        with gateway.submission(user=None) as session:
            return session.command(f"AUTH PLAIN {plain(user, password)}").code

    def end(self, dovecot: Dovecot) -> None:
        """An authentication process outlives its master for as long as it has clients, and answers them."""
        children = [int(pid) for pid in run(["pgrep", "-P", dovecot.process.pid]).stdout.split()]
        dovecot.stop()
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def conversation(self, over_tcp: bool) -> None:
        dovecot, gateway = self.start(over_tcp)
        sent = compose.simple("Chi sono lo dice Dovecot", [ALDO])
        with gateway.submission(user=None) as session:
            self.assertEqual(session.command(f"AUTH PLAIN {plain(ANNA, PASSWORDS[ANNA] + 'x')}").code, 535)
            self.assertEqual(session.command(f"AUTH PLAIN {plain('nobody@pec.alfa.test', 'secret')}").code, 535)
            self.assertEqual(session.command(f"AUTH PLAIN {plain(ANNA, PASSWORDS[ANNA])}").code, 235)
            self.assertEqual(session.command(f"MAIL FROM:<{ALDO}>").code, 553, "in nobody else's name")
            session.envelope(ANNA, sent.recipients)
            self.assertEqual(session.data(sent.octets).code, 250)
        dovecot.mailbox(ANNA).wait(compose.belongs(sent, "accettazione"), 30)
        dovecot.mailbox(ALDO).wait(compose.belongs(sent, "posta-certificata"), 30)

    def test_over_a_unix_socket(self):
        self.conversation(over_tcp=False)

    def test_over_tcp(self):
        self.conversation(over_tcp=True)

    def test_names_as_dovecot_spells_them(self):
        _, gateway = self.start()
        sent = compose.simple("Maiuscole", [ALDO])
        with gateway.submission(user=None) as session:
            self.assertEqual(session.command(f"AUTH PLAIN {plain(ANNA.upper(), PASSWORDS[ANNA])}").code, 235)
            session.envelope(ANNA, sent.recipients)
            self.assertEqual(session.data(sent.octets).code, 250)

    def test_by_auth_login(self):
        _, gateway = self.start()
        with gateway.submission(user=None) as session:
            self.assertEqual(session.command("AUTH LOGIN").code, 334)
            self.assertEqual(session.command(base64.b64encode(ANNA.encode()).decode()).code, 334)
            self.assertEqual(session.command(base64.b64encode(PASSWORDS[ANNA].encode()).decode()).code, 235)

    def test_the_file_goes_before(self):
        """A name in the file is judged by the file; the others are Dovecot's."""
        dovecot, gateway = self.start(file=True, keeps=ANNA)
        self.assertEqual(self.asked(gateway, ALDO, PASSWORDS[ALDO]), 235)
        self.end(dovecot)
        self.assertEqual(self.asked(gateway, ANNA, PASSWORDS[ANNA]), 235)
        self.assertEqual(self.asked(gateway, ANNA, PASSWORDS[ANNA] + "x"), 535)
        self.assertEqual(self.asked(gateway, ALDO, PASSWORDS[ALDO]), 454)

    def test_down_and_up_again(self):
        dovecot, gateway = self.start()
        self.assertEqual(self.asked(gateway, ANNA, PASSWORDS[ANNA]), 235)
        self.end(dovecot)
        poll(lambda: {self.asked(gateway, ANNA, "wrong") for _ in range(6)} == {454}, 20, "Dovecot's end is noticed")
        for _ in range(3):
            self.assertEqual(self.asked(gateway, ANNA, PASSWORDS[ANNA]), 454, "neither let in nor refused for good")
            self.assertEqual(self.asked(gateway, ANNA, "wrong"), 454)
        dovecot.start()
        poll(lambda: self.asked(gateway, ANNA, PASSWORDS[ANNA]) == 235, 20, "Dovecot is asked again")
        self.assertIn("AUTH answered 454: Dovecot cannot say who may log in", gateway.log.read_text())

    def test_refusals_that_are_delayed_keep_nobody_waiting(self):
        _, gateway = self.start(more="auth_failure_delay = 15 secs\n")
        guessers = [gateway.submission(user=None) for _ in range(8)]
        for number, guesser in enumerate(guessers):
            self.addCleanup(guesser.close)
            guesser.send(f"AUTH PLAIN {plain(ANNA, f'guess-{number}')}\r\n".encode())
        # More than there are lanes, so that one of them is behind the guessers of its lane.
        for _ in range(4):
            self.assertEqual(self.asked(gateway, ALDO, PASSWORDS[ALDO]), 235)
        self.assertEqual([g for g in guessers if select.select([g.socket], [], [], 0)[0]], [], "the guessers wait for their refusal")

    def test_a_socket_of_somebody_else(self):
        """LMTP in the place of the authentication socket: named in the log, 454."""
        dovecot, gateway = self.start()
        text = gateway.configuration.read_text()
        gateway.stop()
        gateway.configuration.write_text(re.sub(r"dovecot: \"[^\"]*\"", f'dovecot: "127.0.0.1:{dovecot.port}"', text))
        gateway.start()
        self.assertEqual(self.asked(gateway, ANNA, PASSWORDS[ANNA]), 454)
        self.assertIn("no authentication socket of Dovecot", gateway.log.read_text())
