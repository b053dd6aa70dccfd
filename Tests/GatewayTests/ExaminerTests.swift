import Foundation
import Journey
import Ledger
import Limits
import MIMEStream
import Octets
import PEC
import Signing
import Spool
import Testing

@testable import Gateway

/// What an examiner's thread finds out with the ledger's help.
@Suite struct ExaminerTests {
  /// A ledger and a spool in a folder that goes with the test.
  final class Place {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("examiner-\(UUID().uuidString)").path
    let ledger: Ledger
    let spool: Spool

    init() throws {
      try FileManager.default.createDirectory(atPath: folder + "/spool", withIntermediateDirectories: true)
      ledger = try Ledger(path: folder + "/ledger.sqlite")
      spool = try Spool(directory: folder + "/spool", segmentBytes: 1 << 20)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// Nobody signs here, so nobody has to vouch.
    func desk(_ limits: MessageLimits = MessageLimits()) throws -> ExaminerDesk {
      let judge = SignatureJudge(anchors: try #require(TrustAnchors(certificates: [])), lists: RevocationLists())
      return ExaminerDesk(spool: spool, ledger: ledger, judge: { judge }, limits: limits, claims: Claims())
    }

    func examine(_ message: String, from sender: String = "") throws -> Examination {
      let octets = Array(message.replacing("\r\n", with: "\n").replacing("\n", with: "\r\n").utf8)
      let job = ExaminerJob(
        facts: MessageWalker.facts(of: octets), content: BodyContent(pieces: [.memory(Chunk(octets))]), reversePath: sender,
        forwardPaths: ["posta-certificata@pec.alfa.test"], isOverTLS: true, arrivedAt: 1_773_140_400)
      guard case .examined(let examination) = try desk().examine(job) else { throw NotExamined() }
      return examination
    }
  }

  struct NotExamined: Error {}

  private static let noon = Instant(unixSeconds: 1_773_140_400, utcOffsetSeconds: 3600)

  private static let transaction = TransactionRecord(
    pecID: "pec1", instant: noon, sender: "anna@pec.alfa.test", recipients: [], replyTo: "", subject: nil, rawSubject: nil,
    clientMessageID: nil, receiptType: .complete, bytes: 1, accepted: true)

  private static func reception(_ id: String, _ kind: ReceptionKind, _ fingerprint: String) -> LedgerChange {
    .reception(
      ReceptionRecord(
        id: id, instant: noon, kind: kind, facts: transaction, recipients: ["anna@pec.alfa.test"], provider: "beta",
        fingerprint: fingerprint))
  }

  /// More receipts about one message than are looked through: the one that comes again is known all the same.
  @Test func aReceiptIsKnownAmongThousands() throws {
    let place = try Place()
    try place.ledger.commit(
      [Self.reception("own", .envelope, ""), Self.reception("odd", .anomaly, "")]
        + (0..<1100).map { Self.reception("in\($0)", $0 % 2 == 0 ? .notification : .serviceNotice, "f\($0)") })
    func known(_ fingerprint: String, isEnvelope: Bool) throws -> [String] {
      try ExaminerDesk.known(pecID: "pec1", fingerprint: fingerprint, isEnvelope: isEnvelope, to: place.ledger).map(\.id)
    }
    #expect(try known("f1099", isEnvelope: false).last == "in1099")
    #expect(try known("f1099", isEnvelope: true) == ["own"])
    #expect(try !known("f1099", isEnvelope: false).contains("odd"))
  }

  /// What Postfix writes when it has put a message into a mailbox.
  private static func report(_ envelopeID: String) -> String {
    """
    From: MAILER-DAEMON@mailboxes.example.test
    MIME-Version: 1.0
    Content-Type: multipart/report; report-type=delivery-status; boundary="B1"

    --B1
    Content-Type: text/plain

    Delivered.

    --B1
    Content-Type: message/delivery-status

    Reporting-MTA: dns; mailboxes.example.test
    Original-Envelope-Id: \(envelopeID)

    Final-Recipient: rfc822; anna@pec.alfa.test
    Action: delivered
    Status: 2.0.0

    --B1--

    """
  }

  /// A report is one of ours when the ledger waits for it; what the lanes know of the entry is asked later.
  @Test func aReportNamesAnEntryOfTheLedger() throws {
    let place = try Place()
    #expect(try place.examine(Self.report("segreto")).report == nil)
    try place.ledger.commit([
      .transaction(Self.transaction),
      .enqueue(
        QueueEntry(
          id: "e1", pecID: "pec1", messageID: "pec1", kind: .envelope, sender: "anna@pec.alfa.test", recipients: ["anna@pec.alfa.test"],
          route: .mailbox, content: [], createdAt: 0, dueAt: 0, proofToken: "segreto")),
    ])
    #expect(try place.examine(Self.report("segreto")).report?.envelopeID == "segreto")
    #expect(try place.examine(Self.report("indovinato")).report == nil)
    // Reports have the null path (RFC 3464 §2).
    #expect(try place.examine(Self.report("segreto"), from: "anna@pec.alfa.test").report == nil)
    try place.ledger.commit([.settle(entry: "e1", recipients: ["anna@pec.alfa.test"], end: .delivered)])
    #expect(try place.examine(Self.report("segreto")).report == nil)
  }

  /// The original's header is read where it lies, or out of its encoding.
  @Test(arguments: ["7bit", "base64", "quoted-printable"])
  func theOriginalsHeader(encoding: String) throws {
    let original = "Message-ID: <pec1@g>\r\nSubject: x\r\n\r\n" + String(repeating: "corpo\r\n", count: 100)
    let body =
      switch encoding {
      case "base64": Data(original.utf8).base64EncodedString(options: .lineLength76Characters)
      case "quoted-printable": original.replacing("=", with: "=3D")
      default: original
      }
    let examination = try Place().examine(
      """
      X-Trasporto: posta-certificata
      Content-Type: multipart/signed; boundary="s"

      --s
      Content-Type: multipart/mixed; boundary="m"

      --m
      Content-Type: message/rfc822; name="postacert.eml"
      Content-Transfer-Encoding: \(encoding)

      \(body)
      --m--
      --s
      Content-Type: application/pkcs7-signature

      x
      --s--

      """)
    #expect(examination.message.original?.messageID == "pec1@g")
    #expect((examination.message.claim.originalHeaderRange != nil) == (encoding == "7bit"))
  }
}
