import MIMEStream
import Testing

@testable import Reception

@Suite struct DeliveryReportTests {
  private func read(_ text: String) -> ReceivedDeliveryReport? {
    let octets = Array(text.replacing("\n", with: "\r\n").utf8)
    return DeliveryReportReader.read(MessageWalker.facts(of: octets)) { Array(octets[$0]) }
  }

  /// A report with this machine-readable part.
  private func report(_ body: String, type: String = "message/delivery-status", encoding: String = "7bit", top: String = "report") -> String
  {
    "Subject: x\nContent-Type: multipart/\(top); boundary=b\n\n--b\n\nciao\n--b\nContent-Type: \(type)\n"
      + "Content-Transfer-Encoding: \(encoding)\n\n\(body)\n--b--\n"
  }

  private static let one = "Final-Recipient: rfc822; a@b.test\nAction: delivered\nStatus: 2.0.0\n"

  @Test func asPostfixWritesIt() throws {
    let found = try #require(read(try fixture("postfix-delivered.eml")))
    #expect(
      found
        == ReceivedDeliveryReport(
          envelopeID: "3fb2k1q9",
          recipients: [
            .init(
              final: "bruno@pec.beta.test", original: "bruno@pec.beta.test", action: .delivered, status: "2.0.0",
              diagnostic: "250 2.0.0 <bruno@pec.beta.test> QK1xF2Pk Saved"),
            .init(
              final: "bianca@pec.beta.test", original: "bianca+posta@pec.beta.test", action: .failed, status: "5.2.2",
              diagnostic: "552 5.2.2 <bianca@pec.beta.test> Quota exceeded    (mailbox for user is full)"),
            .init(
              final: "dario@pec.beta.test", original: "dario@pec.beta.test", action: .relayed, status: "2.0.0",
              diagnostic: "250 2.0.0 Ok"),
          ]))
  }

  @Test(arguments: [
    ("ENVID as it is", "Original-Envelope-Id: aB+3Dc\n\n", String?("aB=c")),
    ("nothing left to decode", "Original-Envelope-Id: a+41c\n\n", "a+41c"),
    ("lower-case xtext digits", "Original-Envelope-Id: a+2bc\n\n", "a+c"), ("none", "Reporting-MTA: dns; x\n\n", nil),
    ("two answers are none", "Original-Envelope-Id: a\nOriginal-Envelope-Id: b\n\n", nil), ("no group of the message", "", nil),
  ])
  func envelopeIDs(label: String, head: String, expected: String?) throws {
    let found = try #require(read(report(head + DeliveryReportTests.one)), "\(label)")
    #expect(found.envelopeID == expected, "\(label)")
    #expect(found.recipients == [.init(final: "a@b.test", original: nil, action: .delivered, status: "2.0.0", diagnostic: nil)])
  }

  @Test(arguments: ["delivered", "failed", "delayed", "relayed", "expanded", "RELAYED", "failed (5.1.1)"])
  func actions(word: String) throws {
    let found = try #require(
      read(report("Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@b.test\n" + "Action: \(word)\nStatus: 5.1.1 (x)\n")))
    #expect(found.recipients[0].action.rawValue == word.lowercased().prefix { $0.isLetter })
    #expect(found.recipients[0].status == "5.1.1")
  }

  @Test func encodedParts() {
    let base64 = "UmVwb3J0aW5nLU1UQTogZG5zOyB4Cgo="
    #expect(read(report(base64, encoding: "base64")) == nil)
    #expect(read(report("Reporting-MTA: dns; x\n\n" + DeliveryReportTests.one, encoding: "quoted-printable")) != nil)
    #expect(read(report("Reporting-MTA: dns; x\n\n" + DeliveryReportTests.one, type: "message/global-delivery-status")) != nil)
  }

  @Test(arguments: [
    ("not a report", "Subject: x\n\nAction: delivered\n"),
    (
      "no recipient",
      "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: x\n--b--\n"
    ),
    ("empty", ""),
  ])
  func noReports(label: String, text: String) { #expect(read(text) == nil, "\(label)") }

  /// What proves delivery must be said once and plainly.
  @Test func doubtfulRecipientsAreLeftOut() {
    for lines in [
      "Final-Recipient: rfc822; a@b.test\nAction: failed\nAction: delivered\n", "Final-Recipient: rfc822; a@b.test\nAction: consegnato\n",
      "Final-Recipient: rfc822; a@b.test\nStatus: 2.0.0\n", "Action: delivered\n",
      "Final-Recipient: rfc822; a@b.test\nFinal-Recipient: rfc822; c@d.test\nAction: delivered\n",
    ] {
      #expect(read(report("Reporting-MTA: dns; x\n\n" + lines)) == nil)
    }
    #expect(read(report("Reporting-MTA: dns; x\n\n" + DeliveryReportTests.one, top: "mixed")) == nil)
    #expect(read(report("Reporting-MTA: dns; x\n\n" + DeliveryReportTests.one, type: "text/plain")) == nil)
  }

  /// A report inside of another message is that message's.
  @Test func nestedReportsAreNone() {
    let inner = report("Reporting-MTA: dns; x\n\n" + DeliveryReportTests.one)
    #expect(read("Content-Type: message/rfc822\n\n" + inner) == nil)
    #expect(read("Content-Type: multipart/report; boundary=o\n\n--o\nContent-Type: message/rfc822\n\n\(inner)--o--\n") == nil)
  }

  @Test func bounded() {
    let many = report("Reporting-MTA: dns; x\n\n" + Array(repeating: DeliveryReportTests.one, count: 3000).joined(separator: "\n"))
    #expect(read(many)?.recipients.count == DeliveryReportReader.maximumRecipients)
    let large = report("Reporting-MTA: dns; x\nX: " + String(repeating: "a", count: 2 << 20) + "\n\n" + DeliveryReportTests.one)
    #expect(read(large) == nil)
  }
}
