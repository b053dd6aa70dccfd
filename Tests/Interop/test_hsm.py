"""The signer's key in a token: SoftHSM in a folder of its own, the PIN in a file, and no private key on the gateway's disk."""

import re
import signal

from interop import base, compose
from interop.base import executable, new_folder, poll, run
from interop.case import InteropTest
from interop.lab import ALDO, ANNA, Gateway
from interop.sink import Sink

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "16180339"


class Token:
    """A token with one key, and the environment in which the library finds it."""

    def __init__(self):
        self.folder = new_folder("token")
        (self.folder / "tokens").mkdir()
        configuration = self.folder / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {self.folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.environment = {"SOFTHSM2_CONF": str(configuration)}
        self.pin = self.folder / "pin"
        self.pin.write_text(PIN + "\n")
        self.pin.chmod(0o600)
        self._softhsm("--init-token", "--free", "--label", "PEC di prova", "--pin", PIN, "--so-pin", "27182818")

    def _softhsm(self, *arguments) -> None:
        done = run(["softhsm2-util", *arguments], env={**base.os.environ, **self.environment})
        if done.returncode:
            raise AssertionError(f"softhsm2-util {arguments[0]}: {done.stderr.decode()}")

    def take(self, pem) -> None:
        """Moves the private key out of a PEM file with key and certificates into the token."""
        text = pem.read_text()
        key = re.search(r"-----BEGIN (\w+ )?PRIVATE KEY-----.*?-----END (\w+ )?PRIVATE KEY-----\n", text, re.S)
        (self.folder / "key.pem").write_text(key[0])
        run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", self.folder / "key.pem", "-out", self.folder / "key.p8"])
        self._softhsm("--import", str(self.folder / "key.p8"), "--token", "PEC di prova", "--label", "firma", "--id", "01", "--pin", PIN)
        pem.write_text(text.replace(key[0], ""))
        for name in ("key.pem", "key.p8"):
            (self.folder / name).unlink()

    def uri(self, source: str | None = None) -> str:
        return f"pkcs11:token=PEC%20di%20prova;object=firma?module-path={MODULE}&pin-source={source or f'file:{self.pin}'}"


class KeyInAToken(InteropTest):
    @classmethod
    def setUpClass(cls):
        cls.token = Token()
        cls.sink = Sink()
        cls.gateway = Gateway(cls.sink.port, environment=cls.token.environment)
        cls.pem = cls.gateway.folder / "alfa" / "signer.pem"
        cls.token.take(cls.pem)
        cls.name(cls.token.uri())
        cls.gateway.start()

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()
        cls.sink.stop()

    @classmethod
    def name(cls, uri: str) -> None:
        """Puts the key's URI into the configuration."""
        text = cls.gateway.configuration.read_text()
        line = f'signer: {{ certificate: {cls.pem}, key: "{uri}", threads: 2 }}'
        cls.gateway.configuration.write_text(re.sub(r"(?m)^signer:.*$", lambda _: line, text))

    def check(self) -> tuple[int, str]:
        done = run(
            [executable(), "check", "--config", self.gateway.configuration], env={**base.os.environ, **self.token.environment}
        )
        return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")

    def test_messages_are_signed_by_the_token(self):
        self.need("softhsm2-util")
        for _ in range(5):
            sent = compose.simple("Dal token", [ALDO])
            with self.gateway.trusted() as wire:
                wire.envelope(ANNA, sent.recipients)
                self.assertEqual(wire.data(sent.octets).code, 250)
            self.accepted(self.gateway, sent, destination=self.gateway.mailbox(ALDO))

    def test_check_says_what_is_wrong_and_never_the_pin(self):
        self.addCleanup(self.name, self.token.uri())
        self.addCleanup(self.token.pin.chmod, 0o600)
        code, said = self.check()
        self.assertEqual(code, 0, said)
        self.assertNotIn(PIN, said)
        self.token.pin.chmod(0o644)
        code, said = self.check()
        self.assertNotEqual(code, 0)
        self.assertIn("can be read by others", said)
        self.assertIn("chmod 600", said)
        self.token.pin.chmod(0o600)
        for uri, words in (
            (self.token.uri().replace("firma", "altra"), "no such private RSA key"),
            (self.token.uri().replace("prova;", "ieri;"), "no token that is present"),
            (self.token.uri("credential:pin"), "CREDENTIALS_DIRECTORY"),
            (self.token.uri() + f"&pin-value={PIN}", "pin-source=file:"),
        ):
            self.name(uri)
            code, said = self.check()
            self.assertNotEqual(code, 0, uri)
            self.assertIn(words, said)
            self.assertNotIn(PIN, said)

    def test_the_log_has_no_pin(self):
        self.gateway.process.send_signal(signal.SIGHUP)
        poll(lambda: self.gateway.log.exists(), 10, "a log")
        self.assertNotIn(PIN, self.gateway.log.read_text(errors="replace"))
