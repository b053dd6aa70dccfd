import Logging
import SMTPWire
import Testing

@testable import Gateway

@Suite struct MailLinesTests {
  private func client(_ change: (inout MailClient) -> Void = { _ in }) -> MailClient {
    var client = MailClient(address: "192.0.2.7")
    (client.helo, client.proto) = ("mx.gamma.test", "ESMTPS")
    change(&client)
    return client
  }

  private func lines(_ mail: MailLines) -> [String] {
    var lines: [String] = []
    mail.write { lines.append("\($0): \($1)") }
    return lines
  }

  @Test func anArrivalIsThreeLines() {
    let mail = MailLines.arrival(
      id: "alfa1.20260310081500.000001.abcd@pec.alfa.test", client: client { $0.user = "anna@pec.alfa.test" }, messageID: "1@x.test",
      sender: "anna@pec.alfa.test", bytes: 1234, recipients: 2)
    #expect(
      lines(mail) == [
        "smtpd: alfa1_20260310081500_000001_abcd: client=unknown[192.0.2.7], sasl_username=anna@pec.alfa.test",
        "cleanup: alfa1_20260310081500_000001_abcd: message-id=<1@x.test>",
        "qmgr: alfa1_20260310081500_000001_abcd: from=<anna@pec.alfa.test>, size=1234, nrcpt=2 (queue active)",
      ])
  }

  @Test func whoWasForwardedIsNamedFirst() {
    let forwarded = client {
      ($0.peer, $0.address, $0.name, $0.identifier) = ("127.0.0.1", "198.51.100.9", "mail.example.test", "4Zab/1")
    }
    let mail = MailLines.arrival(id: "a", client: forwarded, messageID: nil, sender: "", bytes: 1, recipients: 1)
    #expect(
      lines(mail) == [
        "smtpd: a: client=mail.example.test[198.51.100.9], forwarded_by=127.0.0.1, orig_queue_id=4Zab_1",
        "qmgr: a: from=<>, size=1, nrcpt=1 (queue active)",
      ])
  }

  @Test func aRejectionIsOneLine() {
    let mail = MailLines.rejection(
      stage: "RCPT", client: client(), reply: "550 5.7.1 Relay access denied", sender: "a@b.test", recipient: "c@d.test")
    #expect(
      lines(mail) == [
        "smtpd: NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 550 5.7.1 <c@d.test>: Relay access denied; from=<a@b.test> to=<c@d.test> "
          + "proto=ESMTPS helo=<mx.gamma.test>"
      ])
  }

  /// Nothing that a client says may look like another field, or like another line.
  @Test func nothingBreaksOutOfItsField() {
    let hostile = client {
      ($0.name, $0.helo, $0.user) = ("x[1.2.3.4], sasl_username=b\n", "h> to=<x", "u>\n")
      ($0.address, $0.identifier) = ("1.2.3.4>", "a\nb: reject: x")
    }
    let words = lines(
      .arrival(id: "i d\n@x", client: hostile, messageID: "m> to=<a>, relay=x", sender: "\"a>, size=9\"@b", bytes: 1, recipients: 1))
    #expect(
      words[0] == "smtpd: i_d_: client=x1.2.3.4sasl_usernameb[1.2.3.4?], sasl_username=u?\n, forwarded_by=192.0.2.7, "
        + "orig_queue_id=a_b__reject__x")
    #expect(words[1] == "cleanup: i_d_: message-id=<m? to=?a?, relay=x>")
    #expect(words[2] == "qmgr: i_d_: from=<\"a?, size=9\"@b>, size=1, nrcpt=1 (queue active)")
    let whole = LogOutput.syslog(
      .info, "accepted", [MailLines.key: MailLines.authenticationFailed(client: hostile, mechanism: "PLAIN", login: "x\n").value],
      host: "mx.test", at: "2026-03-10T09:15:00+01:00")
    #expect(whole.hasSuffix(": warning: x1.2.3.4sasl_usernameb[1.2.3.4?]: SASL PLAIN authentication failed\n"))
    #expect(whole.split(separator: "\n").count == 1)
  }

  @Test(
    arguments: [
      ("250 2.0.0 Ok: queued", "2.0.0"), ("450 4.2.0 x", "4.2.0"), ("550 5.10.100", "5.10.100"), ("250 Ok", nil), ("250", nil), ("", nil),
      ("stored 2.0.0", nil), ("250 2.0.x Ok", nil), ("250 2.0.0.0 Ok", nil), ("250 2..0 Ok", nil), ("250 1234.0.0 Ok", nil),
    ] as [(String, String?)])
  func enhancedCodesAreFound(reply: String, code: String?) { #expect(DeliveryFacts.enhancedCode(in: reply) == code) }

  @Test func deliveriesHaveTheFormOfPostfix() {
    let facts = DeliveryFacts(
      id: "a-q1", sender: "s@x.test", bytes: 99, recipients: 2, recipient: "r@y.test", program: "smtp", relay: "mx.y.test[192.0.2.3]:25",
      delaySeconds: 3, status: "2.0.0", end: .sent, words: "250 2.0.0 Ok")
    #expect(
      lines(.delivery(facts, opens: true)) == [
        "qmgr: a_q1: from=<s@x.test>, size=99, nrcpt=2 (queue active)",
        "smtp: a_q1: to=<r@y.test>, relay=mx.y.test[192.0.2.3]:25, delay=3, dsn=2.0.0, status=sent (250 2.0.0 Ok)",
      ])
    #expect(lines(.delivery(facts, opens: false)).count == 1)
  }

  @Test func whatIsNotAboutMailIsALineOfTheGateway() {
    let words = { (level: Logger.Level) in
      LogOutput.syslog(level, "the disk\nis full", ["b": "2", "a": "x\r\n"], host: "mx.test", at: "T").split(separator: "]").last.map(
        String.init)
    }
    #expect(words(.warning) == ": warning: the disk\\x0ais full a=x\\x0d\\x0a b=2\n")
    #expect(words(.critical)?.hasPrefix(": fatal: ") == true)
  }
}
