"""Envelopes that go to mail exchangers: a signed DNS of nsd, sinks on the real port 25, policies over HTTPS, and what DANE and MTA-STS
let through and what not."""

import re

from interop import base, compose, exchange, expect
from interop.authority import Authority
from interop.base import poll
from interop.case import InteropTest
from interop.lab import ANNA, Gateway
from interop.shortsessions import operate
from interop.sink import Sink


class Exchangers(InteropTest):
    """One world for all: each test has domains of its own in it."""

    @classmethod
    def setUpClass(cls):
        missing = [tool for tool in exchange.NameServer.TOOLS if not base.find(tool)]
        assert not missing, f"programs missing: {missing} (Debian: nsd ldnsutils)"
        cls.network = exchange.Network()
        folder = base.new_folder("exchangers")
        cls.trusted, cls.stranger = Authority(folder / "trusted"), Authority(folder / "stranger")
        cls.names, cls.sinks, cls.hosts = exchange.NameServer(), {}, []
        cls.world()
        cls.names.start()
        # Policies are fetched at addresses that were looked up here: a proxy, which would look the names up itself, is not asked.
        cls.gateway = Gateway(edit=cls.configure, environment={"https_proxy": "http://127.0.0.1:9"})
        cls.gateway.start()

    @classmethod
    def configure(cls, yaml, tls: str = "opportunistic") -> None:
        at = next(number for number, line in enumerate(yaml.lines) if re.match(r"\s*- \{ domains: \[[\"']?\*", line))
        indent = yaml.lines[at][: yaml.lines[at].index("-")]
        route = f'domains: ["*"], nextHop: mx, tls: {tls}, caFile: "{cls.trusted.certificate}"'
        yaml.lines[at] = f"{indent}- {{ {route} }}"
        yaml.set(
            f'{{ servers: ["{cls.names.server}"], trustAnchor: "{cls.names.anchor}", privateNetworks: [127.0.0.0/8] }}', "dns"
        )
        yaml.limits(firstRetrySeconds=1, lastRetrySeconds=1, connectTimeoutSeconds=3)

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()
        for each in [*cls.sinks.values(), *cls.hosts]:
            each.stop()
        cls.names.stop()

    @classmethod
    def sink(cls, host: str, identity=None, zone: str = "example.") -> exchange.Identity | None:
        """A sink behind a host name, with STARTTLS when there is a certificate."""
        address = cls.network.address()
        cls.sinks[host] = Sink(port=25, address=address, tls=exchange.server_context(identity) if identity else None)
        cls.names.add(f"{host}. IN A {address}", zone=zone)
        return identity

    @classmethod
    def policy(cls, domain: str, authority: Authority, text: str, identifier: str = "1", **options) -> None:
        name = f"mta-sts.{domain}"
        address = cls.network.address()
        cls.hosts.append(exchange.PolicyHost(address, exchange.certificate_for(authority, name), text, **options))
        cls.names.add(f"{name}. IN A {address}", f'_mta-sts.{domain}. IN TXT "v=STSv1; id={identifier};"')

    @classmethod
    def world(cls) -> None:
        def trusted(*names):
            return exchange.certificate_for(cls.trusted, *names)

        def stranger(*names):
            return exchange.certificate_for(cls.stranger, *names)

        add = cls.names.add
        # Two exchangers; on the first one's address nobody listens.
        add("two.example. IN MX 10 down.two.example.", "two.example. IN MX 20 up.two.example.")
        add(f"down.two.example. IN A {cls.network.address()}")
        cls.sink("up.two.example")
        # No list at all, and none wanted.
        cls.sink("implicit.example")
        add("null.example. IN MX 0 .", f"null.example. IN A {cls.network.address()}")
        # DANE: by a key, by an authority, and by a key that is another's.
        for name, association in (("dane", 3), ("anchor", 2), ("mismatch", None), ("unusable", 0)):
            add(f"{name}.example. IN MX 10 mx.{name}.example.")
            identity = cls.sink(f"mx.{name}.example", stranger(f"mx.{name}.example"))
            other = identity if association is not None else stranger("mx.other.example")
            add(f"_25._tcp.mx.{name}.example. IN TLSA {exchange.key_association(other, 3 if association is None else association)}")
        # TLSA records, and a server that strips STARTTLS.
        add("stripped.example. IN MX 10 mx.stripped.example.")
        cls.sink("mx.stripped.example")
        add(f"_25._tcp.mx.stripped.example. IN TLSA {exchange.key_association(other)}")
        # Zones that do not validate, and that nobody has signed.
        for zone in ("bogus.example.", "dark.example."):
            name = zone.rstrip(".")
            cls.sink(f"mx.{name}", stranger(f"mx.{name}"), zone=zone)
            add(f"{name}. IN MX 10 mx.{name}.", f"_25._tcp.mx.{name}. IN TLSA {exchange.key_association(other)}", zone=zone)
        cls.names.bogus.add("bogus.example.")
        cls.names.unsigned.add("dark.example.")
        # MTA-STS: good, with a stranger's certificate, in testing, with another host, with a policy host that nobody vouches for.
        for name, mode, identity in (
            ("enforced", "enforce", trusted("mx.enforced.example")),
            ("wrong", "enforce", stranger("mx.wrong.example")),
            ("misnamed", "enforce", trusted("mx.elsewhere.example")),
            ("testing", "testing", stranger("mx.testing.example")),
        ):
            add(f"{name}.example. IN MX 10 mx.{name}.example.")
            cls.sink(f"mx.{name}.example", identity)
            cls.policy(f"{name}.example", cls.trusted, exchange.policy(mode, f"*.{name}.example"))
        for name, authority, options in (
            ("unlisted", cls.trusted, {}),
            ("redirected", cls.trusted, {"status": 302}),
            ("html", cls.trusted, {"content_type": "text/html"}),
            ("unvouched", cls.stranger, {}),
        ):
            add(f"{name}.example. IN MX 10 mx.{name}.example.")
            cls.sink(f"mx.{name}.example")
            cls.policy(f"{name}.example", authority, exchange.policy("enforce", "mx.elsewhere.example"), **options)
        # No records and no policy, but a certificate that the route's authorities vouch for.
        add("vouched.example. IN MX 10 mx.vouched.example.")
        cls.sink("mx.vouched.example", trusted("mx.vouched.example"))
        # DANE goes before a policy that does not name the host.
        add("both.example. IN MX 10 mx.both.example.")
        identity = cls.sink("mx.both.example", stranger("mx.both.example"))
        add(f"_25._tcp.mx.both.example. IN TLSA {exchange.key_association(identity)}")
        cls.policy("both.example", cls.trusted, exchange.policy("enforce", "mx.elsewhere.example"))
        # Names that lead to ourselves, or into a private network that is not allowed.
        add("inside.example. IN MX 10 mx.inside.example.", "mx.inside.example. IN A 10.0.0.1", "mx.inside.example. IN AAAA ::1")

    # What a test says

    def submit(self, *domains: str, gateway: Gateway | None = None) -> expect.Sent:
        sent = compose.simple("Per posta", [f"ufficio@{domain}" for domain in domains])
        with (gateway or self.gateway).trusted(seconds=60) as wire:
            wire.envelope(ANNA, sent.recipients)
            self.assertEqual(wire.data(sent.octets).code, 250)
        return sent

    def arrives(self, domain: str, host: str, protection: str, tls: bool) -> str:
        """A message gets there, and the certified log says what protected it. Returns the connection that it came on."""
        sent = self.submit(domain)
        sink = self.sinks[host]

        def there():
            return [taken for taken in sink.taken if taken.stored.header.get("X-Riferimento-Message-ID") == sent.message_id]

        taken = poll(there, 30, lambda: f"the envelope at {host}; the gateway's words:\n{base.tail(self.gateway.log)}")[0]
        self.assertEqual(taken.session in sink.secured, tls)
        rows = poll(lambda: self.said(domain, host), 30, lambda: f"the log's word about {host}: {self.gateway.events()[-3:]}")
        self.assertRegex(rows[-1], rf"{re.escape(host)}:25 \({protection}, {'TLSv1.3' if tls else 'no TLS'}\) said: 250")
        return taken.session

    def said(self, domain: str, host: str) -> list[str]:
        return [
            event["detail"]
            for event in self.gateway.events()
            if event.get("recipient") == f"ufficio@{domain}" and host in (event.get("detail") or "")
        ]

    def deferred(self, domain: str, words: str, host: str | None = None) -> None:
        """A message waits, and why; nothing of it was sent."""
        self.submit(domain)

        def row():
            rows = [row for row in self.gateway.queue() if row["recipients"] == [f"ufficio@{domain}"] and row["attempts"] > 0]
            return rows[0] if rows else None

        found = poll(row, 30, lambda: f"an attempt for {domain}: {self.gateway.queue()}")
        self.assertRegex(found["lastError"], words)
        if host:
            self.assertFalse([command for command in self.sinks[host].commands if command.startswith(("MAIL", "RCPT", "DATA", "BDAT"))])

    # Lists

    def test_the_second_exchanger(self):
        self.arrives("two.example", "up.two.example", "opportunistic", tls=False)

    def test_no_list(self):
        self.arrives("implicit.example", "implicit.example", "opportunistic", tls=False)

    def test_nowhere_to_go(self):
        for domain, status in (("null.example", "5.1.10"), ("nobody.example", "5.1.2")):
            sent = self.submit(domain)
            notice = compose.receipt(self.gateway.mailbox(ANNA), sent, "errore-consegna")
            problems = expect.check_non_delivery(notice, sent, f"ufficio@{domain}", ("no-dominio",))
            self.fine(problems + self.signed(notice, self.gateway), domain)
            self.assertTrue(notice.message.data.extended_error.startswith(f"{status} - "), notice.message.data.extended_error)

    def test_several_domains_in_one_message(self):
        sent = self.submit("two.example", "null.example", "implicit.example")
        for host in ("up.two.example", "implicit.example"):
            poll(
                lambda sink=self.sinks[host]: [
                    taken for taken in sink.taken if taken.stored.header.get("X-Riferimento-Message-ID") == sent.message_id
                ],
                30,
                f"the envelope at {host}",
            )
        compose.receipt(self.gateway.mailbox(ANNA), sent, "errore-consegna")

    def test_private_addresses(self):
        self.deferred("inside.example", "4.4.4 its addresses are not of the public Internet")

    # DANE

    def test_dane(self):
        self.arrives("dane.example", "mx.dane.example", "dane", tls=True)
        self.arrives("anchor.example", "mx.anchor.example", "dane", tls=True)
        self.arrives("unusable.example", "mx.unusable.example", "dane-unusable", tls=True)

    def test_dane_refuses(self):
        self.deferred("mismatch.example", r"4\.7\.5 mx.mismatch.example:25 \(dane\): TLS: .*TLSA", "mx.mismatch.example")
        self.deferred("stripped.example", r"\(dane, no TLS\): .*TLS is required", "mx.stripped.example")

    def test_zones(self):
        self.deferred("bogus.example", "4.4.3 the mail exchangers of bogus.example: DNSSEC refuses the answer", "mx.bogus.example")
        # Nobody vouches for these TLSA records, so they say nothing.
        self.arrives("dark.example", "mx.dark.example", "opportunistic", tls=True)

    # MTA-STS

    def test_policy(self):
        self.arrives("enforced.example", "mx.enforced.example", "mta-sts", tls=True)
        self.arrives("testing.example", "mx.testing.example", "opportunistic", tls=True)
        self.arrives("both.example", "mx.both.example", "dane", tls=True)

    def test_policy_refuses(self):
        self.deferred("wrong.example", r"4\.7\.5 mx.wrong.example:25 \(mta-sts\): TLS: the server's certificate", "mx.wrong.example")
        self.deferred("misnamed.example", r"4\.7\.5 mx.misnamed.example:25 \(mta-sts\): TLS: .*mismatch", "mx.misnamed.example")
        self.deferred("unlisted.example", "4.7.5 the MTA-STS policy of unlisted.example does not name it", "mx.unlisted.example")

    def test_no_policy_to_be_had(self):
        for name in ("redirected", "html", "unvouched"):
            self.arrives(f"{name}.example", f"mx.{name}.example", "opportunistic", tls=False)

    def test_policies_are_kept_over_a_restart(self):
        """A policy that was fetched holds on, though its host is gone; a route that wants verification gets it."""
        gateway = Gateway(edit=lambda yaml: self.configure(yaml, tls="required"))
        gateway.start()
        try:
            self.gateway = gateway  # for the helpers, instead of the one that all tests share
            self.arrives("enforced.example", "mx.enforced.example", "mta-sts", tls=True)
            self.assertTrue(list(gateway.folder.rglob("mta-sts/enforced.example")), "the policy's file")
            asked = sum(len(host.asked) for host in self.hosts)
            gateway.kill()
            gateway.start()
            self.arrives("enforced.example", "mx.enforced.example", "mta-sts", tls=True)
            self.assertEqual(sum(len(host.asked) for host in self.hosts), asked)
            # Without a policy the route's own demand holds.
            self.deferred("dark.example", r"4\.7\.5 mx.dark.example:25 \(verified\): TLS: the server's certificate")
        finally:
            del self.gateway
            gateway.stop()

    def test_a_reload_holds_at_once(self):
        """What a route demands after a reload is demanded of the next message, whatever is remembered and whichever connection is open."""
        gateway = Gateway(edit=lambda yaml: (self.configure(yaml), yaml.limits(idleConnectionSeconds=600), yaml.set("1", "lanes")))

        def change(old: str, new: str) -> None:
            text = gateway.configuration.read_text()
            self.assertIn(old, text)
            gateway.configuration.write_text(text.replace(old, new))
            self.assertIn("configuration: holds", operate(gateway, "reload"))

        gateway.start()
        try:
            self.gateway = gateway  # for the helpers, instead of the one that all tests share
            # Poll waits for the log's word, so that each message finds the connection of the one before idle.
            first = self.arrives("vouched.example", "mx.vouched.example", "opportunistic", tls=True)
            self.assertEqual(self.arrives("vouched.example", "mx.vouched.example", "opportunistic", tls=True), first)
            self.arrives("dark.example", "mx.dark.example", "opportunistic", tls=True)
            change("tls: opportunistic", "tls: required")
            self.deferred("dark.example", r"4\.7\.5 mx.dark.example:25 \(verified\): TLS: the server's certificate")
            second = self.arrives("vouched.example", "mx.vouched.example", "verified", tls=True)
            self.assertEqual(self.arrives("vouched.example", "mx.vouched.example", "verified", tls=True), second)
            # The file's name stays, and who is in it does not.
            authorities = gateway.folder / "authorities.pem"
            authorities.write_bytes(self.trusted.certificate.read_bytes())
            change(str(self.trusted.certificate), str(authorities))
            self.assertNotEqual(self.arrives("vouched.example", "mx.vouched.example", "verified", tls=True), second)
            authorities.write_bytes(self.stranger.certificate.read_bytes())
            operate(gateway, "reload")
            self.deferred("vouched.example", r"4\.7\.5 mx.vouched.example:25 \(verified\): TLS: the server's certificate")
        finally:
            del self.gateway
            gateway.stop()
