import Foundation
import Limits
import MIMEStream
import Testing

@testable import PEC

/// A file of Tests/PECTests/Fixtures.
func fixture(_ name: String) throws -> [UInt8] {
  let folder = try #require(Bundle.module.resourceURL).appending(path: "Fixtures")
  return Array(try Data(contentsOf: folder.appending(path: name)))
}

/// Octets as text for the eye: what is not ASCII shows as U+FFFD.
func text(_ bytes: some Sequence<UInt8>) -> String { String(decoding: Array(bytes), as: UTF8.self) }

/// The message of the worked example (pec-rules 14), written with LF.
let exampleText = """
  Received: from pc (pc.example [192.0.2.7])
  \tby smtp.pec.alfa.example with ESMTPSA; Tue, 10 Mar 2026 09:14:59 +0100
  Message-ID: <c1f0a7@mua.alfa.example>
  Date: Tue, 10 Mar 2026 09:14:58 +0100
  From: "Anna Rossi" <anna.rossi@pec.alfa.example>
  To: ufficio@pec.beta.example
  Cc: archivio@pec.gamma.example
  Subject: Domanda di iscrizione
  X-TipoRicevuta: completa
  X-Mailer: prova

  Buongiorno,
  allego la domanda.

  """

/// LF to CRLF.
func wire(_ text: String) -> [UInt8] { Array(text.replacing("\n", with: "\r\n").utf8) }

/// A message walked over, with its octets beside.
struct Original {
  var bytes: [UInt8]
  var facts: MessageFacts

  init(_ bytes: [UInt8], limits: MessageLimits = MessageLimits()) {
    self.bytes = bytes
    facts = MessageWalker.facts(of: bytes, limits: limits, watchedBoundaryPrefix: Composer.boundaryPrefix)
  }
}

let alfa = ProviderIdentity(
  name: "Alfa PEC S.p.A.", serviceAddress: "posta-certificata@gestore-alfa.example", mailDomain: "gestore-alfa.example", nodeName: "alfa1")

let exampleInstant = Instant(unixSeconds: 1_773_130_500, utcOffsetSeconds: 3600)

let exampleID = "alfa1.20260310091500.000042@gestore-alfa.example"

let exampleDirectory = ProviderDirectory(records: [
  ProviderRecord(
    dn: "providerName=Beta,o=postacert", line: 1, providerName: "Beta", certificateHashes: [], certificates: [],
    mailReceipt: "r@beta.example", managedDomains: ["pec.beta.example", "pec.gamma.example", "pec.alfa.example"])
])

/// A submission and its facts, all from one message.
func submit(
  _ message: [UInt8], from sender: String = "anna.rossi@pec.alfa.example",
  to recipients: [String] = ["ufficio@pec.beta.example", "archivio@pec.gamma.example"], limits: MessageLimits = MessageLimits()
) -> (submission: Submission, facts: TransactionFacts) {
  let submission = Submission(reversePath: sender, forwardPaths: recipients, facts: Original(message, limits: limits).facts)
  let facts = TransactionFacts(submission, pecID: exampleID, instant: exampleInstant, directory: exampleDirectory, limits: limits)
  return (submission, facts)
}

/// The message that a draft makes of the original, signed with octets that are no signature.
func assemble(_ draft: Draft, original: [UInt8] = [], signature: [UInt8] = Array("firma".utf8)) -> [UInt8] {
  draft.head + signedOctets(draft, original: original) + draft.tail(signature: signature)
}

/// The octets to be signed.
func signedOctets(_ draft: Draft, original: [UInt8] = []) -> [UInt8] {
  draft.signed.flatMap { fragment in
    switch fragment {
    case .composed(let bytes): bytes
    case .original(let range): Array(original[range])
    }
  }
}

/// Compares octet by octet and says where the first difference is.
func expectEqual(_ actual: [UInt8], _ expected: [UInt8], _ label: String, sourceLocation: SourceLocation = #_sourceLocation) {
  guard actual != expected else { return }
  let at = zip(actual, expected).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(actual.count, expected.count)
  let context = max(0, at - 60)
  Issue.record(
    """
    \(label) differs at octet \(at)
    is:       …\(String(reflecting: text(actual[context..<min(actual.count, at + 80)])))
    should be …\(String(reflecting: text(expected[min(context, expected.count)..<min(expected.count, at + 80)])))
    """, sourceLocation: sourceLocation)
}
