import Foundation
import Testing

@testable import Configuration

/// Slips in what the incoming side needs, each with all that has to be said about it.
@Suite struct IncomingTableTests {
  typealias Slip = TableTests.Slip

  /// In `good/smallest.yaml`; the file's name is left out of what is said.
  static let slips: [Slip] = [
    Slip(
      "domains: [pec.alfa.test]\n", "domains: [pec.alfa.test]\n  serviceMailbox: servizio\n",
      "7:19: key 'provider.serviceMailbox': is 'servizio', which is not a mail address; write one like servizio@pec.example.org"),
    Slip(
      "domains: [pec.alfa.test]\n", "domains: [pec.alfa.test]\n  serviceMailbox: servizio@pec.beta.test\n",
      "7:19: key 'provider.serviceMailbox': is in the domain 'pec.beta.test', which is not one of provider.domains; add the domain there, or give an address in one of them"
    ),
    Slip(
      "domains: [pec.alfa.test]\n", "domains: [pec.alfa.test]\n  serviceMailbox:\n",
      "7:3: key 'provider.serviceMailbox': has no value; give it one, or remove the key"),
    Slip(
      "domains: [pec.alfa.test]\n", "domains: [pec.alfa.test]\n  serviceMailbx: servizio@pec.alfa.test\n",
      "7:3: key 'provider.serviceMailbx': is not known; did you mean 'serviceMailbox'?"),
    // Listeners.
    Slip(
      "xclient }\n", "xclient }\n  - { kind: incoming, address: \"::\", port: 25 }\n",
      "1:1: key 'tls': is missing, and the listener of kind incoming needs it; add it, for example 'tls: { certificate: tls.pem, key: tls.key }'\n1:1: key 'trust': is missing, and the listener of kind incoming needs it: signatures of providers are checked there; add it, for example 'trust: { authorities: [ca.pem] }'"
    ),
    Slip(
      "xclient }\n", "xclient }\n  - { kind: incoming, address: \"::\", port: 25 }\ntrust: { authorities: [ca.pem] }\n",
      "1:1: key 'tls': is missing, and the listener of kind incoming needs it; add it, for example 'tls: { certificate: tls.pem, key: tls.key }'"
    ),
    Slip(
      "kind: trusted", "kind: incomming", "13:13: key 'listeners[0].kind': is 'incomming', which is not known; did you mean 'incoming'?"),
    Slip(
      "kind: trusted, address: 127.0.0.1, port: 10025, peers: [127.0.0.1], user: xclient }\n",
      "kind: incoming, address: 127.0.0.1, port: 25, peers: [127.0.0.1] }\ntls: { certificate: t, key: k }\ntrust: { authorities: [ca.pem] }\n",
      "13:53: key 'listeners[0].peers': has no meaning for a listener of kind incoming; remove it, or make the kind 'trusted'"),
    // The index.
    Slip("index: { file: ../index.ldif }", "index:", "8:1: key 'index': has no value; give it one, or remove the key"),
    Slip(
      "index: { file: ../index.ldif }", "index: { signers: x.pem }",
      "8:1: key 'index.file': is missing; add it, for example 'file: index.ldif'"),
    Slip(
      "../index.ldif }", "../index.ldif, maximumLossPercent: 101 }",
      "8:51: key 'index.maximumLossPercent': is '101', which is out of range; write a whole number from 0 to 100"),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: https://index.example.org/ }",
      "8:38: key 'index.fetch': is 'https://index.example.org/', but must be a group of keys; give it the keys url, startTLS, caFile, certificate, key, bindDN, passwordFile and everyMinutes"
    ),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: { startTLS: true } }",
      "8:31: key 'index.fetch.url': is missing; add it, for example 'url: \"https://index.example.org/index.ldif.p7m\"'"),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: { url: \"http://index.example.org/i.ldif\" } }",
      "8:45: key 'index.fetch.url': is 'http://index.example.org/i.ldif', which is no place that an index can be fetched from; write one like \"https://index.example.org/index.ldif.p7m\" or \"ldaps://ldap.example.org\""
    ),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: { url: \"https://user:secret@index.example.org/\" } }",
      "8:45: key 'index.fetch.url': is 'https://user:secret@index.example.org/', which is no place that an index can be fetched from; write one like \"https://index.example.org/index.ldif.p7m\" or \"ldaps://ldap.example.org\""
    ),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: { url: \"https:index.example.org\" } }",
      "8:45: key 'index.fetch.url': is 'https:index.example.org', which is no place that an index can be fetched from; write one like \"https://index.example.org/index.ldif.p7m\" or \"ldaps://ldap.example.org\""
    ),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: { url: \"https://index example.org\" } }",
      "8:45: key 'index.fetch.url': is 'https://index example.org', which is no place that an index can be fetched from; write one like \"https://index.example.org/index.ldif.p7m\" or \"ldaps://ldap.example.org\""
    ),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: { url: \"ldaps://ldap.example.org/o=postacert\" } }",
      "8:45: key 'index.fetch.url': is 'ldaps://ldap.example.org/o=postacert', which is no place that an index can be fetched from; write one like \"https://index.example.org/index.ldif.p7m\" or \"ldaps://ldap.example.org\""
    ),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: { url: \"https://i.example.org/i\", startTLS: true, bindDN: x, passwordFile: y } }",
      "8:72: key 'index.fetch.startTLS': has no meaning for a url with https; remove it, or write a url with ldap or ldaps\n8:88: key 'index.fetch.bindDN': has no meaning for a url with https; remove it, or write a url with ldap or ldaps\n8:99: key 'index.fetch.passwordFile': has no meaning for a url with https; remove it, or write a url with ldap or ldaps"
    ),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: { url: \"https://i.example.org/i\", certificate: c.pem } }",
      "8:31: key 'index.fetch.key': is missing; add it, for example 'key: client.key'"),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: { url: \"ldaps://l.example.org\", startTLS: true, certificate: c, key: k } }",
      "8:70: key 'index.fetch.startTLS': has no meaning for a url with ldaps: TLS is there from the start; remove it\n8:86: key 'index.fetch.certificate': has no meaning for a url with ldaps; remove it, or write a url with https\n8:102: key 'index.fetch.key': has no meaning for a url with ldaps; remove it, or write a url with https"
    ),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: { url: \"ldap://l.example.org\", caFile: ca.pem } }",
      "8:69: key 'index.fetch.caFile': has no meaning for a url with ldap: no certificate is checked there; remove it, or write 'startTLS: true'"
    ),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: { url: \"ldap://l.example.org\", bindDN: x, passwordFile: y } }",
      "8:69: key 'index.fetch.bindDN': would send a password in the clear; write 'startTLS: true', or remove bindDN and passwordFile"),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: { url: \"ldaps://l.example.org\", bindDN: x } }",
      "8:31: key 'index.fetch.passwordFile': is missing; add it, for example 'passwordFile: ldap.password'"),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: { url: \"ldap://l.example.org\", startTLS: yes } }",
      "8:79: key 'index.fetch.startTLS': is 'yes', which is not known; write true or false"),
    Slip(
      "../index.ldif }", "../index.ldif, fetch: { url: \"ldaps://l.example.org\", everyMinutes: 0 } }",
      "8:84: key 'index.fetch.everyMinutes': is '0', which is out of range; write a whole number from 1 to 10080"),
    // Mailboxes.
    Slip(
      "maildir: mail", "smtp: \"127.0.0.1:25\", reportsFrom: [127.0.0.1]",
      "11:1: key 'mailboxes.smtp': needs a listener of kind incoming, where delivery reports come in; add one, for example '- { kind: incoming, address: 127.0.0.1, port: 25 }'"
    ),
    Slip(
      "maildir: mail", "maildir: mail, smtp: \"127.0.0.1:25\", reportsFrom: [127.0.0.1]",
      "11:29: key 'mailboxes.smtp': stands beside maildir, and mail can only go to one of them; remove one of the two keys"),
    Slip(
      "maildir: mail", "maildir: mail, reportsFrom: [127.0.0.1]",
      "11:29: key 'mailboxes.reportsFrom': has no meaning without smtp: no other way needs delivery reports; remove it"),
    Slip(
      "maildir: mail", "smtp: 127.0.0.1",
      "11:1: key 'mailboxes.reportsFrom': is missing; add it, for example 'reportsFrom: [127.0.0.1]'\n11:20: key 'mailboxes.smtp': is '127.0.0.1', which is not a host and a port; write one like \"mx.example.org:25\" or \"[2001:db8::1]:25\""
    ),
    Slip(
      "maildir: mail", "smtp: \"127.0.0.1:25\", reportsFrom: [mail.alfa.test]",
      "11:50: key 'mailboxes.reportsFrom[0]': 'mail.alfa.test' is not an IP address or network; write one like 192.0.2.7, 10.0.0.0/8 or \"2001:db8::/32\""
    ),
    Slip(
      "maildir: mail", "smtp: \"127.0.0.1:25\", reportsfrom: [127.0.0.1]",
      "11:36: key 'mailboxes.reportsfrom': is not known; did you mean 'reportsFrom'?"),
    Slip(
      "maildir: mail", "maildir: mail, imap: { url: \"imaps://mail.alfa.test\", user: ceralacca, passwordFile: ../users }",
      "11:29: key 'mailboxes.imap': has no meaning with maildir: a Maildir knows by itself what it has; remove it"),
    Slip(
      "maildir: mail", "lmtp: \"127.0.0.1:24\", imap: { url: \"imap://mail.alfa.test\", user: ceralacca, passwordFile: ../users }",
      "11:44: key 'mailboxes.imap.url': would send a password that opens all mailboxes in the clear; write a url with imaps, or add 'startTLS: true'"
    ),
    Slip(
      "maildir: mail", "lmtp: \"127.0.0.1:24\", imap: { url: \"imap://127.0.0.1.alfa.test\", user: ceralacca, passwordFile: ../users }",
      "11:44: key 'mailboxes.imap.url': would send a password that opens all mailboxes in the clear; write a url with imaps, or add 'startTLS: true'"
    ),
    Slip(
      "maildir: mail", "lmtp: \"127.0.0.1:24\", imap: { url: \"imaps://mail.alfa.test/INBOX\", user: ceralacca, passwordFile: ../users }",
      "11:49: key 'mailboxes.imap.url': is 'imaps://mail.alfa.test/INBOX', which is no place that can be asked by IMAP; write one like \"imaps://mail.example.org\" or \"imap://127.0.0.1:143\""
    ),
    Slip(
      "maildir: mail", "lmtp: \"127.0.0.1:24\", imap: { url: \"imaps://mail.alfa.test\", startTLS: true, user: c, passwordFile: ../users }",
      "11:75: key 'mailboxes.imap.startTLS': has no meaning for a url with imaps: TLS is there from the start; remove it"),
    Slip(
      "maildir: mail", "lmtp: \"127.0.0.1:24\", imap: { url: \"imap://[::1]:143\", caFile: ../users, user: c, passwordFile: ../users }",
      "11:69: key 'mailboxes.imap.caFile': has no meaning for a url with imap: no certificate is checked there; remove it, or write 'startTLS: true'"
    ),
    Slip(
      "maildir: mail", "lmtp: \"127.0.0.1:24\", imap: { url: \"imap://127.0.0.1\" }",
      "11:36: key 'mailboxes.imap.user': is missing; add it, for example 'user: ceralacca'\n11:36: key 'mailboxes.imap.passwordFile': is missing; add it, for example 'passwordFile: dovecot-master.password'"
    ),
    // Trust.
    Slip(
      "routes:\n", "trust: ca.pem\nroutes:\n",
      "14:8: key 'trust': is 'ca.pem', but must be a group of keys; give it the keys authorities, revocationLists, distributionPoints and refreshMinutes"
    ),
    Slip("routes:\n", "trust: {}\nroutes:\n", "14:1: key 'trust.authorities': is missing; add it, for example 'authorities: [ca.pem]'"),
    Slip("routes:\n", "trust:\nroutes:\n", "14:1: key 'trust': has no value; give it one, or remove the key"),
    Slip(
      "routes:\n", "trust: { authorities: [] }\nroutes:\n", "14:23: key 'trust.authorities': is an empty list; name at least one of files"),
    Slip(
      "routes:\n", "trust: { authorities: ca.pem }\nroutes:\n",
      "14:23: key 'trust.authorities': is 'ca.pem', but must be a list; write files in square brackets, or each on a line after '- '"),
    Slip(
      "routes:\n", "trust: { authorities: [ca.pem], revocationLists: [\"ftp://crl.example.org/ca.crl\"] }\nroutes:\n",
      "14:51: key 'trust.revocationLists[0]': is 'ftp://crl.example.org/ca.crl', which is neither a file nor a place that a list can be fetched from; write one like ca.crl or \"http://crl.example.org/ca.crl\""
    ),
    Slip(
      "routes:\n", "trust: { authorities: [ca.pem], revocationLists: [\"http://\"] }\nroutes:\n",
      "14:51: key 'trust.revocationLists[0]': is 'http://', which is neither a file nor a place that a list can be fetched from; write one like ca.crl or \"http://crl.example.org/ca.crl\""
    ),
    Slip(
      "routes:\n", "trust: { authorities: [ca.pem], revocationLists: [[a]] }\nroutes:\n",
      "14:51: key 'trust.revocationLists[0]': is a list, but must be a text; write it on one line after the key"),
    Slip(
      "routes:\n", "trust: { authorities: [ca.pem], distributionPoints: maybe }\nroutes:\n",
      "14:53: key 'trust.distributionPoints': is 'maybe', which is not known; write true or false"),
    Slip(
      "routes:\n", "trust: { authorities: [ca.pem], refreshMinutes: 1441 }\nroutes:\n",
      "14:49: key 'trust.refreshMinutes': is '1441', which is out of range; write a whole number from 1 to 1440"),
    Slip(
      "routes:\n", "trust: { authorities: [ca.pem], usesDistributionPoints: true }\nroutes:\n",
      "14:33: key 'trust.usesDistributionPoints': is not known; the keys here are authorities, revocationLists, distributionPoints and refreshMinutes"
    ),
    // Ordinary mail.
    Slip(
      "routes:\n", "ordinaryMail: anomaly\nroutes:\n",
      "14:15: key 'ordinaryMail': is 'anomaly', but must be a group of keys; give it the keys policy, forged, domains and mailboxes"),
    Slip(
      "routes:\n", "ordinaryMail: { policy: anomalies }\nroutes:\n",
      "14:25: key 'ordinaryMail.policy': is 'anomalies', which is not known; write refuse, discard, anomaly or '{ forward: anna@example.org }'"
    ),
    Slip(
      "routes:\n", "ordinaryMail: { policy: forward }\nroutes:\n",
      "14:25: key 'ordinaryMail.policy': is 'forward', which is not known; write refuse, discard, anomaly or '{ forward: anna@example.org }'"
    ),
    Slip(
      "routes:\n", "ordinaryMail: { policy: ~ }\nroutes:\n",
      "14:17: key 'ordinaryMail.policy': has no value; give it one, or remove the key"),
    Slip(
      "routes:\n", "ordinaryMail: { policy: [refuse] }\nroutes:\n",
      "14:25: key 'ordinaryMail.policy': is a list, but must be a treatment; write refuse, discard, anomaly or '{ forward: anna@example.org }'"
    ),
    Slip(
      "routes:\n", "ordinaryMail: { policy: { forward: nobody } }\nroutes:\n",
      "14:36: key 'ordinaryMail.policy.forward': is 'nobody', which is not a mail address; write one like anna@example.org"),
    Slip(
      "routes:\n", "ordinaryMail: { policy: { forwrd: a@b.test } }\nroutes:\n",
      "14:27: key 'ordinaryMail.policy.forwrd': is not known; did you mean 'forward'?"),
    Slip(
      "routes:\n", "ordinaryMail: { policy: { forward: aldo@PEC.alfa.test } }\nroutes:\n",
      "14:36: key 'ordinaryMail.policy.forward': is in the domain 'PEC.alfa.test' of provider.domains: mail would come back; name an ordinary address elsewhere"
    ),
    Slip(
      "routes:\n", "ordinaryMail: { forged: { forward: a@example.org } }\nroutes:\n",
      "14:25: key 'ordinaryMail.forged': is a group of keys, and forged mail is not sent on; write refuse, discard or anomaly"),
    Slip(
      "routes:\n", "ordinaryMail: { forged: forward }\nroutes:\n",
      "14:25: key 'ordinaryMail.forged': is 'forward', which is not known; write refuse, discard or anomaly"),
    Slip(
      "routes:\n", "ordinaryMail: { domains: [pec.alfa.test] }\nroutes:\n",
      "14:26: key 'ordinaryMail.domains': is a list, but must be a group of keys; write domains as its keys"),
    Slip(
      "routes:\n", "ordinaryMail: { domains: { pec.beta.test: refuse } }\nroutes:\n",
      "14:28: key 'ordinaryMail.domains.pec.beta.test': is in no domain of provider.domains; add the domain there, or remove the key"),
    Slip(
      "routes:\n", "ordinaryMail: { domains: { alfa: refuse } }\nroutes:\n",
      "14:28: key 'ordinaryMail.domains.alfa': is not a domain name; name one of the provider's domains"),
    Slip(
      "routes:\n", "ordinaryMail: { domains: { pec.alfa.test: } }\nroutes:\n",
      "14:43: key 'ordinaryMail.domains.pec.alfa.test': has no value; write refuse, discard, anomaly or '{ forward: anna@example.org }'"),
    Slip(
      "routes:\n", "ordinaryMail: { domains: { pec.alfa.test: refuse, PEC.alfa.test: discard } }\nroutes:\n",
      "14:51: key 'ordinaryMail.domains.PEC.alfa.test': is there more than once; keep one of them"),
    Slip(
      "routes:\n", "ordinaryMail: { mailboxes: { anna@pec.alfa.test: refuse, anna@pec.alfa.test: discard } }\nroutes:\n",
      "14:58: key 'ordinaryMail.mailboxes.anna@pec.alfa.test': is there more than once; keep one of them"),
    Slip(
      "routes:\n", "ordinaryMail: { mailboxes: { anna: refuse } }\nroutes:\n",
      "14:30: key 'ordinaryMail.mailboxes.anna': is not a mail address; name one of the provider's addresses"),
    Slip(
      "routes:\n", "ordinaryMail: { mailboxes: { anna@pec.beta.test: refuse } }\nroutes:\n",
      "14:30: key 'ordinaryMail.mailboxes.anna@pec.beta.test': is in no domain of provider.domains; add the domain there, or remove the key"
    ),
    Slip(
      "routes:\n", "ordinaryMail: { mailboxes: { [a]: refuse } }\nroutes:\n",
      "14:30: key 'ordinaryMail.mailboxes': has a key that is not a word; write addresses as its keys"),
  ]

  @Test(arguments: slips)
  func aSlipIsExplained(slip: Slip) throws {
    let good = try Fixtures.text("good/smallest.yaml")
    let parts = good.components(separatedBy: slip.from)
    try #require(parts.count == 2, "the text to replace must occur once")
    let found = Fixtures.problems(parts.joined(separator: slip.to)).joined(separator: "\n")
      .replacingOccurrences(of: "f.yaml:", with: "")
    #expect(found == slip.said, "\(found)")
  }
}
