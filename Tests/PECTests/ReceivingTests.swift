import Foundation
import Limits
import MIMEStream
import Octets
import Testing

@testable import PEC

let beta = ProviderIdentity(
  name: "Beta PEC S.r.l.", serviceAddress: "posta-certificata@gestore-beta.example", mailDomain: "gestore-beta.example", nodeName: "beta1")

let receptionID = "beta1.20260310081502.000007.abcdefghijklm@gestore-beta.example"

/// What the receiving side makes of the worked example (pec-rules 14), compared octet by octet with files that were read against
/// pec-rules 2.2, 2.3 and 2.4.
@Suite struct ReceivingTests {
  private let composer = Composer(provider: beta)
  private static let seed: UInt64 = 0x0123_4567_89AB_CDEF
  private static let recipient = "ufficio@pec.beta.example"

  private func instant(_ seconds: Int64) -> Instant { Instant(unixSeconds: exampleInstant.unixSeconds + seconds, utcOffsetSeconds: 3600) }

  /// The envelope of the worked example as Beta has stored it, with what Beta reads in it.
  private struct Stored {
    var octets: [UInt8]
    var facts: TransactionFacts
    var original: Range<Int>
  }

  private func stored(_ message: String = exampleText) throws -> Stored {
    let original = wire(message)
    let (submission, facts) = submit(original)
    let draft = Composer(provider: alfa).envelope(facts, original: submission.facts, boundarySeed: Self.seed)
    let octets = assemble(draft, original: original)
    let walked = MessageWalker.facts(of: octets)
    let claim = PECMessage(walked)
    let part = try #require(claim.certificationPart)
    let data = try CertificationData.read(xml: TransferDecoder.decode(Array(octets[part.bodyRange]), encoding: part.transferEncoding))
    let range = try #require(claim.originalPart).bodyRange
    #expect(draft.originalRange == range)
    return Stored(octets: octets, facts: TransactionFacts(data, outer: walked.header, bytes: octets.count), original: range)
  }

  private func check(_ draft: Draft, _ stored: Stored, _ file: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    expectEqual(assemble(draft, original: stored.octets), try fixture(file), file, sourceLocation: sourceLocation)
    #expect(draft.originalRange == nil, sourceLocation: sourceLocation)
  }

  private func complete(_ stored: Stored, seed: UInt64 = Self.seed) -> Draft {
    composer.deliveryReceipt(
      .deliveryComplete, stored.facts, reception: receptionID, recipient: Self.recipient, at: instant(3),
      original: EnclosedOriginal(range: stored.original, transferEncoding: "7bit"), boundarySeed: seed)
  }

  @Test func takeCharge() throws {
    let stored = try stored()
    let draft = composer.takeCharge(
      stored.facts, reception: receptionID, receptions: [Self.recipient], serviceMailbox: "ricevute@gestore-alfa.example", at: instant(2),
      boundarySeed: Self.seed)
    #expect(draft.kind == .takeCharge && draft.messageID == "beta1.20260310081502.000007.abcdefghijklm.pic@gestore-beta.example")
    #expect(draft.sender == beta.serviceAddress && draft.recipients == ["ricevute@gestore-alfa.example"])
    try check(draft, stored, "take-charge.eml")
  }

  @Test func complete() throws {
    let stored = try stored()
    let draft = complete(stored)
    #expect(draft.kind == .deliveryComplete && draft.sender == beta.serviceAddress && draft.recipients == ["anna.rossi@pec.alfa.example"])
    #expect(draft.messageID == PECIdentifier.derived(from: receptionID, kind: .deliveryComplete, recipient: Self.recipient))
    try check(draft, stored, "delivery-complete.eml")
    // The receipt's postacert.eml is the envelope's, octet by octet (pec-rules 7.2).
    let message = assemble(draft, original: stored.octets)
    let part = try #require(PECMessage(MessageWalker.facts(of: message)).originalPart)
    expectEqual(Array(message[part.bodyRange]), Array(stored.octets[stored.original]), "postacert.eml")
  }

  @Test func brief() throws {
    let stored = try stored(
      exampleText.replacing("X-TipoRicevuta: completa", with: "X-TipoRicevuta: breve").replacing(
        "\n\nBuongiorno,\nallego la domanda.\n",
        with: """

          MIME-Version: 1.0
          Content-Type: multipart/mixed; boundary="m"

          --m
          Content-Type: text/plain

          Buongiorno,
          allego la domanda.
          --m
          Content-Type: application/pdf; name="domanda.pdf"
          Content-Transfer-Encoding: base64

          JVBERi0xLjQK
          --m--

          """))
    #expect(stored.facts.receiptType == .brief)
    let walked = MessageWalker.facts(of: Array(stored.octets[stored.original]), watchedBoundaryPrefix: Composer.boundaryPrefix)
    let plan = try #require(BriefOriginal.plan(walked))
    let ranges = plan.hashed.map { $0.lowerBound + stored.original.lowerBound..<$0.upperBound + stored.original.lowerBound }
    #expect(ranges.map { text(stored.octets[$0]) } == ["JVBERi0xLjQK"])
    // SHA-1 of "JVBERi0xLjQK", as sha1sum says it.
    let digest: [UInt8] = [
      0x59, 0x2f, 0x6e, 0x5d, 0x5c, 0xaf, 0x0e, 0xca, 0x94, 0x17, 0x10, 0x54, 0xfe, 0x1b, 0xc0, 0xda, 0x02, 0x0a, 0x3f, 0x29,
    ]
    let draft = composer.deliveryReceipt(
      .deliveryBrief, stored.facts, reception: receptionID, recipient: Self.recipient, at: instant(3),
      original: plan.enclosed(digests: [digest], offset: stored.original.lowerBound, transferEncoding: "7bit"), boundarySeed: Self.seed)
    try check(draft, stored, "delivery-brief.eml")
  }

  /// Asked for complete, given concise: a recipient in Cc (pec-rules 2.4).
  @Test func concise() throws {
    let stored = try stored()
    let draft = composer.deliveryReceipt(
      .deliveryConcise, stored.facts, reception: receptionID, recipient: "Archivio@pec.gamma.example", at: instant(3),
      original: EnclosedOriginal(range: stored.original, transferEncoding: "7bit"), boundarySeed: Self.seed)
    try check(draft, stored, "delivery-concise.eml")
    #expect(!draft.signed.contains { if case .original = $0 { true } else { false } })
  }

  @Test func virusDetection() throws {
    let stored = try stored()
    let draft = virusDetection(stored, threat: "Eicar-Test-Signature")
    #expect(draft.kind == .virusDetection && draft.sender == beta.serviceAddress)
    #expect(draft.recipients == ["ricevute@gestore-alfa.example"])
    #expect(draft.messageID == PECIdentifier.derived(from: receptionID, kind: .virusDetection, recipient: Self.recipient))
    try check(draft, stored, "virus-detection.eml")
    #expect(!draft.signed.contains { if case .original = $0 { true } else { false } })
  }

  private func virusDetection(_ stored: Stored, recipient: String = Self.recipient, threat: String) -> Draft {
    composer.virusDetection(
      stored.facts, reception: receptionID, recipient: recipient, threat: threat, serviceMailbox: "ricevute@gestore-alfa.example",
      at: instant(3), boundarySeed: Self.seed)
  }

  /// From one provider's scanner to the other's user: the name of what was found stays what it was.
  @Test(
    arguments: [
      ("Eicar-Test-Signature", "Eicar-Test-Signature"), ("Win.Test.EICAR_HDB-1", "Win.Test.EICAR_HDB-1"),
      ("Heuristics.Phishing.Email.SpoofedDomain", "Heuristics.Phishing.Email.SpoofedDomain"), ("a - b, c", "a - b, c"),
      ("<&>\"']]>", "<&>\"']]>"), ("5.1.1 - x", "5.1.1 - x"), ("uno\r\nX-Ricevuta: x", "uno  X-Ricevuta: x"),
      (String(repeating: "v", count: 600), String(repeating: "v", count: 500)),
    ])
  func threatSurvives(threat: String, expected: String) throws {
    let stored = try stored()
    let (read, told, facts) = try reread(assemble(virusDetection(stored, threat: threat)))
    #expect(read.nature == .notification(.virusDetection) && read.contradictions(with: told) == [] && facts.flags == [])
    #expect(facts.header.fields(named: "X-Mittente").map { text(facts.header.value(of: $0)) } == ["anna.rossi@pec.alfa.example"])
    #expect(told.errorSentence == expected)
    let own = Composer(provider: alfa).virusNonDelivery(
      stored.facts, reception: receptionID, recipient: try #require(told.delivery), threat: try #require(told.errorSentence),
      at: instant(4), boundarySeed: 1)
    #expect(try reread(assemble(own)).data.extendedError == "5.7.0 - Alfa PEC S.p.A. - \(expected)")
    let refused = Composer(provider: alfa).nonAcceptanceVirus(stored.facts, threat: threat, boundarySeed: 1)
    #expect(try reread(assemble(refused)).data.errorSentence == expected)
  }

  /// One for each recipient: each has a Message-ID of its own, and another than the delivery receipt for the same one.
  @Test func virusDetectionForEachRecipient() throws {
    let stored = try stored()
    let ids = ["a@x", "b@x"].map { virusDetection(stored, recipient: $0, threat: "V").messageID }
    #expect(Set(ids).count == 2)
    #expect(ids.allSatisfy { $0.hasPrefix("beta1.20260310081502.000007.abcdefghijklm.riv.") && $0.hasSuffix("@gestore-beta.example") })
  }

  @Test func virusNonDelivery() throws {
    let stored = try stored()
    let draft = Composer(provider: alfa).virusNonDelivery(
      stored.facts, reception: "alfa1.20260310081504.000050.nopqrstuvwxyz@gestore-alfa.example", recipient: Self.recipient,
      threat: "Eicar-Test-Signature", at: instant(4), boundarySeed: Self.seed)
    #expect(draft.recipients == ["anna.rossi@pec.alfa.example"])
    try check(draft, stored, "virus-non-delivery.eml")
  }

  @Test func nonDeliveryOfAReception() throws {
    let stored = try stored()
    let draft = composer.nonDelivery(
      stored.facts, reception: receptionID, recipient: Self.recipient, at: instant(7), failure: .noMailbox, boundarySeed: Self.seed)
    #expect(draft.messageID.hasPrefix("beta1.20260310081502.000007.abcdefghijklm.man."))
    try check(draft, stored, "non-delivery-of-reception.eml")
  }

  // MARK: Properties

  private func reread(_ message: [UInt8]) throws -> (message: PECMessage, data: CertificationData, facts: MessageFacts) {
    let facts = MessageWalker.facts(of: message)
    let read = PECMessage(facts)
    let part = try #require(read.certificationPart)
    let xml = TransferDecoder.decode(Array(message[part.bodyRange]), encoding: part.transferEncoding)
    return (read, try CertificationData.read(xml: xml), facts)
  }

  /// What the certification data of each kind hold and lack (the table of pec-rules 2.4).
  @Test func certificationData() throws {
    let stored = try stored()
    func data(_ draft: Draft) throws -> CertificationData {
      let (read, data, facts) = try reread(assemble(draft, original: stored.octets))
      #expect(read.contradictions(with: data) == [] && facts.flags == [])
      #expect(data.pecID == exampleID && data.clientMessageID == "<c1f0a7@mua.alfa.example>" && data.provider == beta.name)
      #expect(data.recipients == stored.facts.recipients && data.sender == "anna.rossi@pec.alfa.example")
      return data
    }
    let taken = try data(
      composer.takeCharge(
        stored.facts, reception: receptionID, receptions: ["b@x", "a@x"], serviceMailbox: "s@x", at: instant(2), boundarySeed: 1))
    #expect(taken.type == .takeCharge && taken.error == .none && taken.receptions == ["b@x", "a@x"] && taken.delivery == nil)
    #expect(taken.receiptType == nil && taken.extendedError == nil && taken.instant == instant(2))
    let given = try data(complete(stored))
    #expect(given.type == .delivery && given.error == .none && given.receptions == [] && given.delivery == Self.recipient)
    #expect(given.receiptType == .complete && given.extendedError == nil && given.instant == instant(3))
    let found = try data(virusDetection(stored, recipient: "x@y", threat: "V"))
    #expect(found.type == .virusDetection && found.error == .other && found.delivery == "x@y" && found.receptions == [])
    #expect(found.receiptType == nil && found.extendedError == "5.7.0 - Beta PEC S.r.l. - V" && found.instant == instant(3))
    let virus = try data(
      composer.virusNonDelivery(stored.facts, reception: receptionID, recipient: "x@y", threat: "V\r\nW", at: instant(4), boundarySeed: 1))
    #expect(virus.type == .deliveryError && virus.error == .virus && virus.delivery == "x@y" && virus.receiptType == nil)
    #expect(virus.extendedError == "5.7.0 - Beta PEC S.r.l. - V  W")
  }

  /// Our DTD, by somebody else's parser.
  @Test func validity() throws {
    let stored = try stored()
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data(try fixture("postacert.dtd")).write(to: folder.appending(path: "postacert.dtd"))
    let drafts = [
      composer.takeCharge(
        stored.facts, reception: receptionID, receptions: [Self.recipient], serviceMailbox: "s@x", at: instant(2), boundarySeed: 1),
      complete(stored), virusDetection(stored, recipient: "x@y", threat: "<&>"),
      composer.virusNonDelivery(stored.facts, reception: receptionID, recipient: "x@y", threat: "<&>", at: instant(4), boundarySeed: 1),
      composer.nonDelivery(
        stored.facts, reception: receptionID, recipient: "x@y", at: instant(4), failure: .expired(hours: 24), boundarySeed: 1),
      composer.timeout(.timeoutFirst, stored.facts, recipient: "<&>@y", at: instant(4), boundarySeed: 1),
      composer.timeout(.timeoutSecond, stored.facts, recipient: "x@y", at: instant(4), boundarySeed: 1),
    ]
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.currentDirectoryURL = folder
    process.arguments = ["xmllint", "--noout", "--nonet", "--dtdvalid", "postacert.dtd"]
    for (number, draft) in drafts.enumerated() {
      let message = assemble(draft, original: stored.octets)
      let part = try #require(PECMessage(MessageWalker.facts(of: message)).certificationPart)
      let xml = TransferDecoder.decode(Array(message[part.bodyRange]), encoding: part.transferEncoding)
      try Data(xml).write(to: folder.appending(path: "\(number).xml"))
      process.arguments?.append("\(number).xml")
    }
    let errors = Pipe()
    process.standardError = errors
    try process.run()
    let said = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(String(decoding: said, as: UTF8.self))")
  }

  /// An original of eight-bit octets, and labels as other providers write them: all that holds an 8bit part says so.
  @Test(arguments: [("7bit", "7bit"), ("8bit", "8bit"), ("binary", "8bit"), ("Quatsch", "7bit")])
  func labels(said: String, expected: String) throws {
    let stored = try stored()
    let draft = composer.deliveryReceipt(
      .deliveryComplete, stored.facts, reception: receptionID, recipient: "x@y", at: instant(3),
      original: EnclosedOriginal(range: stored.original, transferEncoding: said), boundarySeed: 1)
    let (read, _, facts) = try reread(assemble(draft, original: stored.octets))
    #expect(read.originalPart?.transferEncoding == expected)
    #expect(facts.parts[0].transferEncoding == expected && facts.parts[1].transferEncoding == expected)
  }

  @Test func boundariesAvoidTheOriginal() throws {
    let free = Boundaries(seed: 9, kind: .deliveryBrief, avoiding: [])
    let original = wire(exampleText) + Array("--".utf8) + free.mixed + Array("\r\n".utf8)
    let facts = MessageWalker.facts(of: original, watchedBoundaryPrefix: Composer.boundaryPrefix)
    let enclosed = try #require(BriefOriginal.plan(facts)).enclosed(digests: [], offset: 0, transferEncoding: "7bit")
    let draft = composer.deliveryReceipt(
      .deliveryBrief, submit(original).facts, reception: receptionID, recipient: "x@y", at: instant(3), original: enclosed, boundarySeed: 9)
    let (read, _, _) = try reread(assemble(draft, original: original))
    expectEqual(Array(assemble(draft, original: original)[try #require(read.originalPart).bodyRange]), original, "postacert.eml")
  }

  @Test func sameInputSameOctets() throws {
    let stored = try stored()
    #expect(complete(stored) == complete(stored))
    #expect(complete(stored) != complete(stored, seed: 6))
  }

  @Test(arguments: [1, 500])
  func manyReceptions(count: Int) throws {
    let stored = try stored()
    let recipients = (0..<count).map { "u\($0)@pec.beta.example" }
    let draft = composer.takeCharge(
      stored.facts, reception: receptionID, receptions: recipients, serviceMailbox: "s@x", at: instant(2), boundarySeed: 1)
    let (_, data, facts) = try reread(assemble(draft))
    #expect(data.receptions == recipients && facts.flags == [])
  }
}
