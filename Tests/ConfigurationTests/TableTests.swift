import Foundation
import Testing

@testable import Configuration

/// One slip each in an otherwise good file, and the one line that has to be said about it.
@Suite struct TableTests {
  struct Slip: Sendable, CustomTestStringConvertible {
    var from: String
    var to: String
    var said: String
    var testDescription: String { to }

    init(_ from: String, _ to: String, _ said: String) { (self.from, self.to, self.said) = (from, to, said) }
  }

  static let slips: [Slip] = [
    // Names.
    Slip(
      "hostname: mx.alfa.test", "hostname: mx",
      "1:11: key 'hostname': is 'mx', which is not a domain name; write one like mx.example.org, in ASCII letters"),
    Slip(
      "hostname: mx.alfa.test", "hostname: 127.0.0.1",
      "1:11: key 'hostname': is '127.0.0.1', which is not a domain name; write one like mx.example.org, in ASCII letters"),
    Slip(
      "hostname: mx.alfa.test", "hostname: -mx.alfa.test",
      "1:11: key 'hostname': is '-mx.alfa.test', which is not a domain name; write one like mx.example.org, in ASCII letters"),
    Slip(
      "hostname: mx.alfa.test", "hostname: mx..test",
      "1:11: key 'hostname': is 'mx..test', which is not a domain name; write one like mx.example.org, in ASCII letters"),
    Slip(
      "hostname: mx.alfa.test", "hostname: città.test",
      "1:11: key 'hostname': is 'città.test', which is not a domain name; write one like mx.example.org, in ASCII letters"),
    Slip("hostname: mx.alfa.test", "hostname:", "1:1: key 'hostname': has no value; give it one, or remove the key"),
    Slip(
      "hostname: mx.alfa.test", "hostname: \"\"",
      "1:11: key 'hostname': is empty or has line breaks or control characters; write a text of one line"),
    Slip(
      "hostname: mx.alfa.test", "hostname: \"mx\\n.test\"",
      "1:11: key 'hostname': is empty or has line breaks or control characters; write a text of one line"),
    Slip(
      "hostname: mx.alfa.test", "hostname: { a: b }",
      "1:11: key 'hostname': is a group of keys, but must be a text; write it on one line after the key"),
    Slip("hostname: mx.alfa.test\n", "", "1:1: key 'hostname': is missing; add it, for example 'hostname: mx.example.org'"),
    Slip("hostname:", "hostName:", "1:1: key 'hostName': is not known; did you mean 'hostname'?"),
    Slip(
      "hostname:", "host:",
      "1:1: key 'host': is not known; the keys here are hostname, provider, dataDirectory, index, signer, tls, users, mailboxes, listeners, routes, ordinaryMail, trust, scanner, certifiedLog, clock, limits, lanes, log, dns, metrics and user\nf.yaml:1:1: key 'hostname': is missing; add it, for example 'hostname: mx.example.org'"
    ),
    // Provider.
    Slip("  name: Alfa PEC S.p.A.\n", "", "2:1: key 'provider.name': is missing; add it, for example 'name: Alfa PEC S.p.A.'"),
    Slip(
      "certificata@pec.alfa.test", "certificata",
      "4:19: key 'provider.serviceAddress': is 'posta-certificata', which is not a mail address; write one like posta-certificata@pec.example.org"
    ),
    Slip(
      "certificata@pec.alfa.test", "certificata.@pec.alfa.test",
      "4:19: key 'provider.serviceAddress': is 'posta-certificata.@pec.alfa.test', which is not a mail address; write one like posta-certificata@pec.example.org"
    ),
    Slip(
      "certificata@pec.alfa.test", "certificata@alfa.test",
      "4:19: key 'provider.serviceAddress': is in the domain 'alfa.test', which is not one of provider.domains; add the domain there, or give an address in one of them"
    ),
    Slip(
      "node: alfa1", "node: alfa 1",
      "5:9: key 'provider.node': is 'alfa 1', which is not a word of letters, digits and hyphens; write one like node1, up to 32 letters"),
    Slip(
      "node: alfa1", "node: a23456789-123456789-123456789-",
      "5:9: key 'provider.node': is 'a23456789-123456789-123456789-', which is not a word of letters, digits and hyphens; write one like node1, up to 32 letters"
    ),
    Slip(
      "domains: [pec.alfa.test]", "domains: pec.alfa.test",
      "6:12: key 'provider.domains': is 'pec.alfa.test', but must be a list; write domains in square brackets, or each on a line after '- '"
    ),
    Slip("domains: [pec.alfa.test]", "domains: []", "6:12: key 'provider.domains': is an empty list; name at least one of domains"),
    Slip(
      "domains: [pec.alfa.test]", "domains: [pec.alfa.test, PEC.alfa.test]",
      "6:28: key 'provider.domains[1]': names 'pec.alfa.test' again; keep one of them"),
    Slip(
      "domains: [pec.alfa.test]", "domains: [pec.alfa.test, \"*\"]",
      "6:28: key 'provider.domains[1]': is '*', which is not a domain name; write one like mx.example.org, in ASCII letters"),
    // Files.
    Slip(
      "index: { file: ../index.ldif }", "index: [../index.ldif]",
      "8:8: key 'index': is a list, but must be a group of keys; give it the keys file, signers, maximumLossPercent and fetch"),
    Slip("index: { file: ../index.ldif }", "index: { fil: x }", "8:10: key 'index.fil': is not known; did you mean 'file'?"),
    Slip(
      "key: signer.key }", "key: signer.key, threads: 0 }",
      "9:62: key 'signer.threads': is '0', which is out of range; write a whole number from 1 to 64"),
    Slip(
      "key: signer.key }", "key: signer.key, threads: \"2\" }",
      "9:62: key 'signer.threads': is a text, because of its quotes, but must be a whole number; take the quotes off"),
    Slip(
      "key: signer.key }", "key: signer.key, threads: 0x2 }",
      "9:62: key 'signer.threads': is '0x2', but must be a whole number; write a whole number from 1 to 64"),
    Slip(
      "key: signer.key }", "key: signer.key, threads: 99999999999999999999 }",
      "9:62: key 'signer.threads': is '99999999999999999999', which is out of range; write a whole number from 1 to 64"),
    Slip(
      "key: signer.key }", "key: signer.key, threads: [2] }",
      "9:62: key 'signer.threads': is a list, but must be a whole number; write a whole number from 1 to 64"),
    Slip("key: signer.key }", "key: signer.key, threads: }", "9:53: key 'signer.threads': has no value; give it one, or remove the key"),
    Slip(
      "maildir: mail", "mailbox: mail",
      "11:1: key 'mailboxes': says neither maildir nor lmtp nor smtp; write '{ maildir: mail }', '{ lmtp: \"127.0.0.1:24\" }' or '{ smtp: \"127.0.0.1:25\", reportsFrom: [127.0.0.1] }'\nf.yaml:11:14: key 'mailboxes.mailbox': is not known; the keys here are maildir, lmtp, smtp, reportsFrom, quota and imap"
    ),
    Slip(
      "maildir: mail", "maildir: mail, lmtp: \"h:24\"",
      "11:29: key 'mailboxes.lmtp': stands beside maildir, and mail can only go to one of them; remove one of the two keys"),
    Slip(
      "maildir: mail", "lmtp: /run/lmtp",
      "11:20: key 'mailboxes.lmtp': is '/run/lmtp', which is no place to connect to; write one like \"127.0.0.1:24\" or \"unix:/run/dovecot/lmtp\""
    ),
    Slip(
      "maildir: mail", "lmtp: \"unix:\"",
      "11:20: key 'mailboxes.lmtp': is 'unix:', which is no place to connect to; write one like \"127.0.0.1:24\" or \"unix:/run/dovecot/lmtp\""
    ),
    Slip(
      "maildir: mail", "maildir: mail, quota: /run/quota",
      "11:36: key 'mailboxes.quota': is '/run/quota', which is no place to connect to; write one like \"unix:/run/dovecot/quota-status\" or \"127.0.0.1:12340\""
    ),
    Slip(
      "passwdFile: users", "dovecot: \"unix:/run/auth\"",
      "10:1: key 'users.passwdFile': is missing, and mailboxes.maildir needs it: only the file says which mailboxes there are; add it, or deliver by LMTP"
    ),
    Slip(
      "passwdFile: users", "passwdFile: users, dovecot: /run/auth",
      "10:38: key 'users.dovecot': is '/run/auth', which is no place to connect to; write one like \"unix:/run/dovecot/auth-ceralacca\" or \"127.0.0.1:12345\""
    ),
    // Listeners.
    Slip("kind: trusted", "kind: Trusted", "13:13: key 'listeners[0].kind': is 'Trusted', which is not known; did you mean 'trusted'?"),
    Slip(
      "kind: trusted", "kind: smtps",
      "13:13: key 'listeners[0].kind': is 'smtps', which is not known; write submission, submissions, trusted or incoming"),
    Slip(
      "address: 127.0.0.1, port", "address: localhost, port",
      "13:31: key 'listeners[0].address': is 'localhost', which is not an IP address; write one like 127.0.0.1 or \"::1\", or 0.0.0.0 for all of the machine's"
    ),
    Slip(
      "port: 10025", "port: 65536",
      "13:48: key 'listeners[0].port': is '65536', which is out of range; write a whole number from 0 to 65535"),
    Slip("port: 10025", "port: -1", "13:48: key 'listeners[0].port': is '-1', which is out of range; write a whole number from 0 to 65535"),
    Slip(
      "port: 10025", "port: 25.0",
      "13:48: key 'listeners[0].port': is '25.0', but must be a whole number; write a whole number from 0 to 65535"),
    Slip(", peers: [127.0.0.1]", "", "13:5: key 'listeners[0].peers': is missing; add it, for example 'peers: [127.0.0.1]'"),
    Slip(", user: xclient", "", "13:5: key 'listeners[0].user': is missing; add it, for example 'user: xclient'"),
    Slip("user: xclient", "user: mailfrom", "13:81: key 'listeners[0].user': is 'mailfrom', which is not known; did you mean 'mailFrom'?"),
    Slip(
      "[127.0.0.1]", "[10.0.0.0/33]",
      "13:63: key 'listeners[0].peers[0]': '10.0.0.0/33' has no valid prefix length; write a whole number from 0 to 32 after the slash"),
    Slip(
      "[127.0.0.1]", "[10.1.0.0/8]",
      "13:63: key 'listeners[0].peers[0]': '10.1.0.0/8' has bits beyond its prefix; write the network's first address, or leave out '/8' to mean this one address"
    ),
    Slip(
      "[127.0.0.1]", "[mx.alfa.test]",
      "13:63: key 'listeners[0].peers[0]': 'mx.alfa.test' is not an IP address or network; write one like 192.0.2.7, 10.0.0.0/8 or \"2001:db8::/32\""
    ),
    Slip(
      "kind: trusted, address: 127.0.0.1, port: 10025, peers: [127.0.0.1], user: xclient",
      "kind: submission, address: 127.0.0.1, port: 587",
      "1:1: key 'tls': is missing, and the listener of kind submission needs it; add it, for example 'tls: { certificate: tls.pem, key: tls.key }'"
    ),
    Slip(
      "xclient }\n", "xclient }\n  - { kind: trusted, address: 127.0.0.1, port: 10025, peers: [\"::1\"], user: mailFrom }\n",
      "14:5: key 'listeners[1]': has the address and port of an earlier listener; give it another port"),
    Slip(
      "  - { kind: trusted", "  - trusted\n  - { kind: trusted",
      "13:5: key 'listeners[0]': is 'trusted', but must be a group of keys; give it the keys kind, address, port, peers, user, proxies and forwarders"
    ),
    Slip(
      "user: xclient }", "user: xclient, proxies: [10.1.0.0/8] }",
      "13:100: key 'listeners[0].proxies[0]': '10.1.0.0/8' has bits beyond its prefix; write the network's first address, or leave out '/8' to mean this one address"
    ),
    Slip(
      "user: xclient }", "user: xclient, proxies: [] }",
      "13:99: key 'listeners[0].proxies': is an empty list; name at least one of addresses or networks"),
    Slip(
      "user: xclient }", "user: xclient, forwarders: [127.0.0.1] }",
      "13:90: key 'listeners[0].forwarders': has no meaning for a listener of kind trusted: its peers may speak for others; remove it"),
    // Routes.
    Slip(
      "nextHop: \"127.0.0.1:10026\"", "nextHop: mx.alfa.test",
      "15:32: key 'routes[0].nextHop': is 'mx.alfa.test', which is not a host and a port; write one like \"mx.example.org:25\" or \"[2001:db8::1]:25\""
    ),
    Slip(
      "nextHop: \"127.0.0.1:10026\"", "nextHop: \"2001:db8::1:25\"",
      "15:32: key 'routes[0].nextHop': is '2001:db8::1:25', which is not a host and a port; write one like \"mx.example.org:25\" or \"[2001:db8::1]:25\""
    ),
    Slip(
      "nextHop: \"127.0.0.1:10026\"", "nextHop: \"127.0.0.1:0\"",
      "15:32: key 'routes[0].nextHop': is '127.0.0.1:0', which is not a host and a port; write one like \"mx.example.org:25\" or \"[2001:db8::1]:25\""
    ),
    Slip(
      "domains: [\"*\"]", "domains: [pec.beta.test]",
      "14:1: key 'routes': has no route for every other domain; add one, for example '- { domains: [\"*\"], nextHop: \"127.0.0.1:25\" }'"),
    Slip(
      "10026\" }", "10026\", tls: sometimes }",
      "15:56: key 'routes[0].tls': is 'sometimes', which is not known; write never, opportunistic or required"),
    Slip(
      "10026\" }", "10026\", caFile: ca.pem }",
      "15:51: key 'routes[0].caFile': has no meaning where tls is opportunistic: no certificate is checked there; remove it, or write 'tls: required'"
    ),
    Slip(
      "10026\" }", "10026\", tls: required, user: x }",
      "15:5: key 'routes[0].passwordFile': is missing; add it, for example 'passwordFile: next-hop.password'"),
    Slip(
      "10026\" }", "10026\", tls: never, user: x, passwordFile: y }",
      "15:63: key 'routes[0].user': would send a password to whoever answers, as tls is never and no certificate is checked; write 'tls: required', or remove user and passwordFile"
    ),
    Slip(
      "routes:\n", "routes:\n  - { domains: [pec.beta.test, \"*\"], nextHop: \"h.test:25\" }\n",
      "16:5: key 'routes[1].domains': names '*', which an earlier route has; keep it in one of them"),
    // Bounds and the rest.
    Slip(
      "routes:\n", "limits: 5\nroutes:\n",
      "14:9: key 'limits': is '5', but must be a group of keys; give it the keys "
        + Section.list(LimitKey.all.map(\.name) + [LimitKey.sizeTimesRecipients, LimitKey.deadlines] + LimitKey.ofRates.map(\.name))),
    Slip(
      "routes:\n", "limits: { formalMegabytes: 101 }\nroutes:\n",
      "14:11: key 'limits.formalMegabytes': is above limits.maximumMessageMegabytes; lower the one or raise the other"),
    Slip(
      "routes:\n", "limits: { maximumMessageMegabytes: 50 }\nroutes:\n",
      "14:11: key 'limits.formalMegabytes': is above limits.maximumMessageMegabytes; lower the one or raise the other"),
    Slip(
      "routes:\n", "limits: { lastRetrySeconds: 30 }\nroutes:\n",
      "14:11: key 'limits.firstRetrySeconds': is above limits.lastRetrySeconds; lower the one or raise the other"),
    Slip(
      "routes:\n", "limits: { connections: 10 }\nroutes:\n",
      "14:11: key 'limits.connectionsPerPeer': is above limits.connections; lower the one or raise the other"),
    Slip(
      "routes:\n", "limits: { giveUpHours: 169 }\nroutes:\n",
      "14:24: key 'limits.giveUpHours': is '169', which is out of range; write a number from 0.001 to 168"),
    Slip(
      "routes:\n", "limits: { giveUpHours: 1e2 }\nroutes:\n",
      "14:24: key 'limits.giveUpHours': is '1e2', but must be a number; write a number from 0.001 to 168"),
    Slip(
      "routes:\n", "limits: { giveUpHours: none }\nroutes:\n",
      "14:24: key 'limits.giveUpHours': is 'none', but must be a number; write a number from 0.001 to 168"),
    Slip(
      "routes:\n", "limits: { sizeTimesRecipientsMegabytes: no }\nroutes:\n",
      "14:41: key 'limits.sizeTimesRecipientsMegabytes': is 'no', but must be a number or none; write a number from 0.01 to 1000000, or none"
    ),
    Slip(
      "routes:\n", "limits: { messagesPerUserPerHour: 0 }\nroutes:\n",
      "14:35: key 'limits.messagesPerUserPerHour': is '0', which is out of range; write a whole number from 1 to 1000000, or none"),
    Slip(
      "routes:\n", "limits: { connectionsPerPeerPerMinute: 1.5 }\nroutes:\n",
      "14:40: key 'limits.connectionsPerPeerPerMinute': is '1.5', but must be a whole number or none; write a whole number from 1 to 1000000, or none"
    ),
    Slip("routes:\n", "lanes: 257\nroutes:\n", "14:8: key 'lanes': is '257', which is out of range; write a whole number from 1 to 256"),
    Slip(
      "routes:\n", "log: { level: verbose }\nroutes:\n",
      "14:15: key 'log.level': is 'verbose', which is not known; write trace, debug, info, notice, warning, error or critical"),
    Slip("routes:\n", "log: { format: jsn }\nroutes:\n", "14:16: key 'log.format': is 'jsn', which is not known; did you mean 'json'?"),
    Slip("routes:\n", "[a, b]: c\nroutes:\n", "14:1: has a key that is not a word; use only the keys \(Section.list(Reader.keys))"),
    Slip(
      "routes:\n", "lanes: 2\n\"lanes\": 3\nroutes:\n", "15:1: key 'lanes': is there more than once, first in line 14; keep one of them"),
  ]

  @Test(arguments: slips)
  func aSlipIsExplained(slip: Slip) throws {
    let good = try Fixtures.text("good/smallest.yaml")
    let parts = good.components(separatedBy: slip.from)
    try #require(parts.count == 2, "the text to replace must occur once")
    let found = Fixtures.problems(parts.joined(separator: slip.to)).joined(separator: "\n")
    #expect(found == "f.yaml:" + slip.said, "\(found)")
  }

  @Test(
    arguments: [
      ("hostnme", "hostname"), ("hsotname", "hostname"), ("HOSTNAME", "hostname"), ("lane", "lanes"), ("route", "routes"),
      ("Listener", "listeners"),
      ("data-directory", "dataDirectory"), ("data_directory", "dataDirectory"), ("xyz", nil), ("", nil), ("certificates", nil),
      (String(repeating: "hostname", count: 9), nil),
    ] as [(String, String?)])
  func resemblance(word: String, meant: String?) { #expect(Resemblance.nearest(to: word, among: Reader.keys) == meant) }
}
