import MIMEStream
import Octets
import Testing

@testable import PEC

/// What is made for the ordinary side: reports and trace lines.
@Suite struct ReportTests {
  private let composer = Composer(provider: beta)

  private func report(
    _ failures: [(recipient: String, status: String, diagnostic: String)], id: String = receptionID, original: HeaderFacts? = nil,
    to sender: String = "mario@posta.example", hostname: String = "mx.gestore-beta.example"
  ) -> (messageID: String, octets: [UInt8]) {
    composer.deliveryReport(
      reporting: hostname, to: sender, id: id, failures: failures, original: original, at: exampleInstant)
  }

  @Test func fixture() throws {
    let original = MessageWalker.facts(
      of: wire("From: mario@posta.example\nSubject: perché\n piegato\nTo: ufficio@pec.beta.example\n\nx\n")
    ).header
    let made = report(
      [
        ("ufficio@pec.beta.example", "5.2.2", "552 5.2.2 Quota exceeded"), ("altri@pec.beta.example", "5.1.1", "no such mailbox here"),
      ], original: original)
    expectEqual(made.octets, try PECTests.fixture("delivery-report.eml"), "delivery-report.eml")
    #expect(made.messageID.hasPrefix("beta1.20260310081502.000007.abcdefghijklm.rap.") && made.messageID.hasSuffix("@gestore-beta.example"))
  }

  @Test func parts() throws {
    let original = MessageWalker.facts(of: wire(exampleText)).header
    let made = report([("a@b", "5.1.1", "x")], original: original)
    let facts = MessageWalker.facts(of: made.octets)
    #expect(facts.flags == [])
    #expect(
      facts.parts.map(\.type) == ["multipart/report", "text/plain", "message/delivery-status", "text/rfc822-headers"])
    #expect(facts.parts[0].parameter("report-type") == "delivery-status")
    let body = Array(made.octets[facts.parts[3].bodyRange])
    expectEqual(TransferDecoder.decode(body, encoding: facts.parts[3].transferEncoding), original.bytes, "header")
    #expect(PECMessage(facts).nature == .ordinary)
    #expect(MessageWalker.facts(of: report([("a@b", "5.1.1", "x")]).octets).parts.count == 3)
  }

  @Test func identifiers() {
    let one = report([("a@b", "5.1.1", "x")]).messageID
    #expect(one == report([("A@b", "5.2.2", "y")]).messageID)
    #expect(one != report([("c@b", "5.1.1", "x")]).messageID)
    #expect(report([], id: "senza dominio>\r\n").messageID == "senza-dominio---.rap@gestore-beta.example")
  }

  /// Whatever a peer said, the report is a well-formed message of the same fields.
  @Test func hostile() {
    let bad = "x\r\n\r\n--=_ceralacca_R\r\nFinal-Recipient: y\u{0}è\u{301}" + String(repeating: "z", count: 5000)
    let original = MessageWalker.facts(of: wire("Subject: \u{0}" + String(repeating: "è", count: 2000) + "\n--=_ceralacca_R: x\n\n")).header
    let made = report([(bad, bad, bad), ("a@b", "4.2.2", "")], original: original, to: bad, hostname: bad)
    let facts = MessageWalker.facts(of: made.octets)
    #expect(facts.flags.isDisjoint(with: [.lineTooLong, .nulOctet, .eightBitHeader, .eightBitBody, .bareCarriageReturn, .bareLineFeed]))
    #expect(facts.parts.count == 4)
    let status = text(made.octets[facts.parts[2].bodyRange])
    #expect(status.components(separatedBy: "\r\nFinal-Recipient: ").count == 3)
    #expect(status.components(separatedBy: "\r\nStatus: 5.0.0\r\n").count == 3)
  }

  @Test func longHeaderIsCut() {
    let original = MessageWalker.facts(of: wire(String(repeating: "X-A: " + String(repeating: "b", count: 900) + "\n", count: 150) + "\n"))
      .header
    let made = report([("a@b", "5.1.1", "x")], original: original)
    #expect(made.octets.count < 80_000 && made.octets.count > 60_000)
    #expect(MessageWalker.facts(of: made.octets).flags == [])
  }

  // MARK: Trace lines

  @Test(
    arguments: [
      ("192.0.2.7", "mail.example", "mail.example ([192.0.2.7])"),
      ("2001:db8::1", "[IPv6:2001:db8::1]", "[IPv6:2001:db8::1] ([IPv6:2001:db8::1])"),
      ("::ffff:192.0.2.7", "", "unknown ([IPv6:::ffff:192.0.2.7])"), ("", "x", "x (unknown)"),
      ("192.0.2.7", "x (evil [1.2.3.4]) by y; \r\nX-A: \"b\\\u{0}è", "x??evil?[1.2.3.4]??by?y????X-A:??b???? ([192.0.2.7])"),
      ("a)\r\nX: (b", "<x>", "?x? (a???X:??b)"),
    ])
  func traceLines(peer: String, helo: String, from: String) {
    let line = Composer.receivedLine(
      from: peer, helo: helo, by: "mx.example", protocolName: "ESMTP", id: "i@d", at: exampleInstant)
    expectEqual(
      line, wire("Received: from \(from)\n\tby mx.example with ESMTP id i@d;\n\tTue, 10 Mar 2026 09:15:00 +0100\n"),
      String(reflecting: helo))
    let facts = MessageWalker.facts(of: line)
    #expect(facts.header.fields.count == 1 && facts.flags == [])
  }

  /// A name that somebody told stands before the address, and cannot be taken for it.
  @Test(arguments: [
    ("mx.gamma.test", "h (mx.gamma.test [192.0.2.7])"), ("", "h ([192.0.2.7])"), ("a) by b; (c\r\n", "h (a??by?b???c?? [192.0.2.7])"),
  ])
  func namedClients(name: String, from: String) {
    let line = Composer.receivedLine(
      from: "192.0.2.7", name: name, helo: "h", by: "mx.example", protocolName: "ESMTP", id: "i@d", at: exampleInstant)
    #expect(String(decoding: line, as: UTF8.self).hasPrefix("Received: from \(from)\r\n\tby "))
  }

  @Test func longHelo() {
    let long = String(repeating: "x", count: 5000)
    let line = Composer.receivedLine(from: long, helo: long, by: long, protocolName: long, id: long, at: exampleInstant)
    #expect(line.count < 1500 && MessageWalker.facts(of: line).flags == [])
  }
}
