import Limits
import MIMEStream
import PEC
import Reception
import Testing

@testable import Journey

/// What proves a delivery: the answer of the mailboxes' server, or its report, as it is when the message is sent.
@Suite struct ProofTests {
  private static let noon = Instant(unixSeconds: 1_773_140_400, utcOffsetSeconds: 3600)
  private static let random = RandomBits(identifier: 1, boundary: 2, secret: (3, 4))

  /// What becomes durable of a submission at Alfa, made while answers prove, and the original.
  private func submitted(to recipients: [String]) throws -> (plan: CommitPlan, original: [UInt8]) {
    let sender = SimulationTests.sender
    let text =
      "Message-ID: <1@mua.test>\r\nDate: Tue, 10 Mar 2026 09:14:58 +0100\r\nFrom: \(sender)\r\n"
      + "To: \(recipients.joined(separator: ", "))\r\nSubject: prova\r\n\r\ncorpo\r\n"
    let message = Array(text.utf8)
    var journey = SubmissionJourney(at: SimulationTests.point)
    let submission = Submission(
      reversePath: sender, forwardPaths: recipients,
      facts: MessageWalker.facts(of: message, watchedBoundaryPrefix: Composer.boundaryPrefix))
    let effects = journey.handle(
      .received(
        Arrival(submission: submission, instant: Self.noon, sequence: 1, random: Self.random, directory: SimulationTests.directory)))
    guard case .scan? = effects.first, case .sign(let drafts, _)? = effects.last, journey.handle(.scanned(.off)).isEmpty,
      case .commit(let plan)? = journey.handle(.signed(drafts.map { _ in [0x30] })).first
    else { throw NothingMade() }
    return (plan, message)
  }

  private struct NothingMade: Error {}

  /// Whatever the mailboxes were when the entry was queued, a server that proves by reports is asked for one.
  @Test func everyEnvelopeToAMailboxHasAToken() throws {
    let entries = try submitted(to: ["aldo@pec.alfa.test", "uno@pec.beta.test"]).plan.messages.flatMap(\.entries)
    for entry in entries {
      let isToken = entry.kind == .envelope && entry.route == .mailbox
      #expect((entry.proofToken != nil) == isToken, "\(entry.kind.rawValue) by \(entry.route.text)")
    }
    #expect(entries.compactMap(\.proofToken).count == 1)
    #expect(try #require(entries.compactMap(\.proofToken).first).utf8.count > 32)
  }

  @Test(arguments: [false, true])
  func anEntryOfAnotherKindOfMailboxes(provesByReport: Bool) throws {
    let made = try submitted(to: ["aldo@pec.alfa.test"]).plan.messages
    let envelope = try #require(made.first { $0.entries.contains { $0.kind == .envelope } })
    let entry = envelope.entries[0]
    var journey = DeliveryJourney(entry, of: envelope.matter, at: SimulationTests.points("alfa", provesByReport: provesByReport))
    let fate = RecipientFate(recipient: "aldo@pec.alfa.test", outcome: .delivered("250 2.0.0 queued"))
    let effects = journey.handle(.attempted(DeliveryJourney.Attempt([fate], at: Self.noon, random: Self.random)))
    switch effects.first {
    case .sign(let drafts, _): #expect(!provesByReport && drafts.map(\.kind) == [.deliveryComplete])
    case .commit(let plan):
      #expect(provesByReport && plan.messages.isEmpty)
      #expect(plan.changes.contains(.awaitProof(entry: entry.id, recipients: ["aldo@pec.alfa.test"])))
    default: Issue.record("\(effects)")
    }
  }

  /// An envelope from outside likewise.
  @Test func whatArrivesHasATokenToo() throws {
    let (plan, original) = try submitted(to: ["uno@pec.beta.test"])
    let sent = try #require(plan.messages.first { $0.entries.contains { $0.kind == .envelope } })
    let octets = sent.content.flatMap { fragment -> [UInt8] in
      switch fragment {
      case .composed(let bytes): bytes
      case .original(let range): Array(original[range])
      }
    }
    var beta = SimulatedProvider(SimulationTests.points("beta", provesByReport: false))
    let message = beta.examine(
      octets, from: SimulationTests.sender, to: ["uno@pec.beta.test"], directory: SimulationTests.directory, instant: Self.noon)
    var journey = IncomingJourney(at: beta.points)
    let effects = journey.handle(
      .examined(
        IncomingArrival(
          message: message, scan: .off, instant: Self.noon, sequence: beta.nextSequence(), random: Self.random,
          directory: SimulationTests.directory,
          peer: "192.0.2.1", helo: "mx.test")))
    guard case .sign(let drafts, _)? = effects.first,
      case .commit(let taken)? = journey.handle(.signed(drafts.map { _ in [0x30] })).first
    else {
      Issue.record("\(effects)")
      return
    }
    let entries = taken.messages.flatMap(\.entries)
    #expect(entries.filter { $0.kind == .envelope }.allSatisfy { $0.proofToken != nil })
    #expect(entries.filter { $0.kind != .envelope }.allSatisfy { $0.proofToken == nil })
    #expect(entries.contains { $0.kind == .envelope })
  }

  /// What was certain without an attempt costs the others nothing: they are due as they were.
  @Test func whoIsLeftStaysDue() {
    var entry = SimulationTests.entry(dueAt: 7)
    entry.recipients = ["servizio@pec.beta.test", "uno@pec.beta.test"]
    var journey = DeliveryJourney(entry, of: Matter(SimulationTests.transaction, nil), at: SimulationTests.point)
    let fate = RecipientFate(recipient: "servizio@pec.beta.test", outcome: .failed(.noMailbox, text: "nobody's mailbox"))
    let now = Instant(unixSeconds: 10, utcOffsetSeconds: 0)
    _ = journey.handle(.attempted(DeliveryJourney.Attempt([fate], at: now, random: Self.random, isReport: true)))
    _ = journey.handle(.signed([[0x30]]))
    _ = journey.handle(.committed)
    #expect(journey.entry.recipients == ["uno@pec.beta.test"] && journey.entry.attempts == 0 && journey.entry.dueAt == 7)
  }
}
