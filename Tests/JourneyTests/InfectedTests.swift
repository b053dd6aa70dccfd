import Limits
import MIMEStream
import Octets
import PEC
import Reception
import ScanWire
import Testing

@testable import Journey

/// What follows from each answer of the scanner, at the access point and for each kind of message at the incoming point
/// (RFC 6109 §3.1.3, §3.2.3; `pec-rules` 6.3, 9.4).
@Suite struct InfectedTests {
  static let noon = Instant(unixSeconds: 1_773_140_400, utcOffsetSeconds: 3600)
  static let version = ScanVersion(engine: "ClamAV 1", database: "test", signatures: 2)
  static let recipients = ["uno@pec.beta.test", "due@pec.beta.test"]

  static func outcome(_ finding: ScanVerdict.Finding) -> ScanOutcome {
    .verdict(ScanVerdict(finding: finding, version: version, views: 0, digest: "ab", isCached: false))
  }

  static let infected = outcome(.infected("Eicar-Test-Signature"))
  static let fault = ScanOutcome.fault("killed by signal 11, twice", version: version, digest: "ab")

  private struct Unexpected: Error {
    var effects: [Effect]
  }

  // MARK: Access point

  /// A submission up to where both answers are there. `scanFirst`: which of them comes first.
  private func submit(_ outcome: ScanOutcome, signs: Bool = true, scanFirst: Bool = true, policy: SecurityPolicy = SecurityPolicy())
    -> (journey: SubmissionJourney, effects: [Effect], original: [UInt8])
  {
    var point = SimulationTests.point
    point.security = policy
    let text =
      "Message-ID: <1@mua.test>\r\nDate: Tue, 10 Mar 2026 09:14:58 +0100\r\nFrom: \(SimulationTests.sender)\r\n"
      + "To: \(Self.recipients.joined(separator: ", "))\r\nSubject: prova\r\n\r\ncorpo\r\n"
    let message = Array(text.utf8)
    var journey = SubmissionJourney(at: point)
    let submission = Submission(
      reversePath: SimulationTests.sender, forwardPaths: Self.recipients,
      facts: MessageWalker.facts(of: message, watchedBoundaryPrefix: Composer.boundaryPrefix))
    let begun = journey.handle(
      .received(
        Arrival(
          submission: submission, instant: Self.noon, sequence: 1, random: SimulationTests.random, directory: SimulationTests.directory)))
    guard case .scan? = begun.first, case .sign(let drafts, _)? = begun.last else {
      Issue.record("\(begun)")
      return (journey, [], message)
    }
    let signed: SubmissionJourney.Event = signs ? .signed(drafts.map { _ in [0x30] }) : .signingFailed("no key")
    let events: [SubmissionJourney.Event] = scanFirst ? [.scanned(outcome), signed] : [signed, .scanned(outcome)]
    let early = journey.handle(events[0])
    #expect(early.isEmpty, "one answer alone decided")
    let effects = journey.handle(events[1])
    return (journey, effects, message)
  }

  @Test(arguments: [true, false])
  func anInfectedSubmissionIsRefusedAndKept(scanFirst: Bool) throws {
    for signs in [true, false] {
      var (journey, effects, original) = submit(Self.infected, signs: signs, scanFirst: scanFirst)
      guard case .sign(let drafts, _)? = effects.first else { throw Unexpected(effects: effects) }
      #expect(drafts.map(\.kind) == [.nonAcceptanceVirus])
      #expect(drafts[0].recipients == [SimulationTests.sender])
      effects = journey.handle(.signed([[0x30]]))
      guard case .commit(let plan)? = effects.first else { throw Unexpected(effects: effects) }
      #expect(plan.messages.flatMap(\.entries).map(\.kind) == [.nonAcceptanceVirus])
      #expect(!plan.needsOriginal, "an infected original in the spool's queue")
      let record = try #require(plan.quarantine)
      #expect(record.kind == .submission && record.threat == "Eicar-Test-Signature" && record.bytes == original.count)
      #expect(record.scanner == Self.version.text && record.digest == "ab" && record.recipients == Self.recipients)
      #expect(record.messageID == "1@mua.test" && record.subject == "prova")
      let events = plan.changes.compactMap { if case .event(let event) = $0 { event } else { nil } }
      #expect(events.map(\.kind) == [.nonAcceptanceVirus] && events[0].error == "virus" && events[0].pecID == record.pecID)
      #expect(events[0].detail == "Eicar-Test-Signature, found by \(Self.version.text)")
      guard case .reply(let verdict)? = journey.handle(.committed).first else { throw Unexpected(effects: []) }
      #expect(verdict.code == 250)
    }
  }

  @Test(arguments: [true, false])
  func aCleanSubmissionSaysWhoVouchesForIt(scanFirst: Bool) throws {
    let (_, effects, _) = submit(Self.outcome(.clean), scanFirst: scanFirst)
    guard case .commit(let plan)? = effects.first else { throw Unexpected(effects: effects) }
    let accepted = plan.changes.compactMap { if case .event(let event) = $0, event.kind == .acceptance { event } else { nil } }
    #expect(accepted.map(\.detail) == ["scanned clean by \(Self.version.text)"])
    #expect(plan.quarantine == nil)
  }

  @Test(arguments: [true, false])
  func nothingUnscannedIsTaken(scanFirst: Bool) throws {
    var (_, effects, _) = submit(.unavailable("it is starting"), scanFirst: scanFirst)
    guard case .reply(let verdict)? = effects.first else { throw Unexpected(effects: effects) }
    #expect(verdict.code == 451)
    var journey: SubmissionJourney
    (journey, effects, _) = submit(Self.fault, scanFirst: scanFirst)
    guard case .commit(let plan)? = effects.first else { throw Unexpected(effects: effects) }
    #expect(plan.messages.isEmpty)
    #expect(try #require(plan.quarantine).kind == .unscanned)
    let kinds = plan.changes.map { if case .event(let event) = $0 { event.kind } else { EventKind.acceptance } }
    #expect(kinds == [.scanFault])
    guard case .reply(let held)? = journey.handle(.committed).first else { throw Unexpected(effects: []) }
    #expect(held.code == 451)
  }

  /// What nobody could look into is treated as the provider chose.
  @Test func theProvidersChoice() {
    for finding in [ScanVerdict.Finding.encrypted("Heuristics.Encrypted.Zip"), .limits("Heuristics.Limits.Exceeded.MaxFiles")] {
      for treatment in [SecurityPolicy.Treatment.accept, .refuse] {
        let policy = SecurityPolicy(encrypted: treatment, beyondLimits: treatment)
        let (_, effects, _) = submit(Self.outcome(finding), policy: policy)
        switch effects.first {
        case .commit(let plan):
          #expect(treatment == .accept && plan.quarantine == nil)
          let details = plan.changes.compactMap { if case .event(let event) = $0 { event.detail } else { nil } }
          #expect(details.contains { $0.contains("accepted by configuration") && $0.contains("Heuristics") }, "\(details)")
        case .sign(let drafts, _): #expect(treatment == .refuse && drafts.map(\.kind) == [.nonAcceptanceVirus])
        default: Issue.record("\(effects)")
        }
      }
    }
    #expect(SecurityPolicy().encrypted == .accept && SecurityPolicy().beyondLimits == .refuse)
  }

  // MARK: Incoming point

  private func octets(_ draft: Draft, original: [UInt8] = []) -> [UInt8] {
    let signed = draft.signed.flatMap { fragment -> [UInt8] in
      switch fragment {
      case .composed(let bytes): bytes
      case .original(let range): Array(original[range])
      }
    }
    return draft.head + signed + draft.tail(signature: [0x30])
  }

  private struct Taken {
    var plan: CommitPlan?
    var verdict: Verdict?
    var events: [EventRecord] { (plan?.changes ?? []).compactMap { if case .event(let event) = $0 { event } else { nil } } }
    var queued: [MessageKind] { (plan?.messages ?? []).flatMap(\.entries).map(\.kind) }
  }

  /// What the incoming point of beta makes of a message.
  private func take(_ octets: [UInt8], to recipients: [String], _ scan: ScanOutcome, policy: SecurityPolicy = SecurityPolicy()) -> Taken {
    var points = SimulationTests.points("beta", provesByReport: false)
    points.security = policy
    var beta = SimulatedProvider(points)
    let message = beta.examine(
      octets, from: SimulationTests.sender, to: recipients, directory: SimulationTests.directory, instant: Self.noon)
    var journey = IncomingJourney(at: beta.points)
    var taken = Taken()
    var effects = journey.handle(
      .examined(
        IncomingArrival(
          message: message, scan: scan, instant: Self.noon, sequence: beta.nextSequence(), random: SimulationTests.random,
          directory: SimulationTests.directory, peer: "192.0.2.1", helo: "mx.test")))
    while let effect = effects.first {
      switch effect {
      case .sign(let drafts, _): effects = journey.handle(.signed(drafts.map { _ in [0x30] }))
      case .commit(let plan):
        taken.plan = plan
        effects = journey.handle(.committed)
      case .reply(let verdict):
        taken.verdict = verdict
        return taken
      case .scan, .askQuota, .releaseOriginal, .finished: effects.removeFirst()
      }
    }
    return taken
  }

  private func envelope() throws -> [UInt8] {
    let (_, effects, original) = submit(Self.outcome(.clean))
    guard case .commit(let plan)? = effects.first else { throw Unexpected(effects: effects) }
    let envelope = try #require(plan.messages.first { $0.entries.contains { $0.kind == .envelope } })
    return envelope.content.flatMap { fragment -> [UInt8] in
      switch fragment {
      case .composed(let bytes): bytes
      case .original(let range): Array(original[range])
      }
    }
  }

  /// Take-charge first, then one notice for each recipient; nothing to the recipients (`pec-rules` 6.3).
  @Test func anInfectedEnvelope() throws {
    let octets = try envelope()
    let taken = take(octets, to: Self.recipients, Self.infected)
    #expect(taken.verdict?.code == 250)
    #expect(taken.queued == [.takeCharge, .virusDetection, .virusDetection])
    let mailboxes = (taken.plan?.messages ?? []).flatMap(\.entries).flatMap(\.recipients)
    #expect(Set(mailboxes) == ["servizio@pec.alfa.test"])
    #expect(taken.events.map(\.kind) == [.envelopeReceived, .takeCharge, .virusDetection, .virusDetection])
    #expect(taken.events.compactMap(\.recipient) == Self.recipients)
    #expect(taken.plan?.needsOriginal == false)
    let record = try #require(taken.plan?.quarantine)
    #expect(record.kind == .envelope && record.bytes == octets.count && record.recipients == Self.recipients && record.provider == "alfa")
    let ends = (taken.plan?.changes ?? []).compactMap { if case .reception(_, let end) = $0 { end } else { nil } }
    #expect(ends == [.failed])
    // Nobody is told twice of what could not be looked at: it was not taken.
    #expect(take(octets, to: Self.recipients, .unavailable("down")).verdict?.code == 451)
    #expect(take(octets, to: Self.recipients, .unavailable("down")).plan == nil)
    let held = take(octets, to: Self.recipients, Self.fault)
    #expect(held.verdict?.code == 451 && held.queued.isEmpty && held.plan?.quarantine?.kind == .unscanned)
    let clean = take(octets, to: Self.recipients, Self.outcome(.clean))
    #expect(clean.queued.contains(.envelope) && clean.plan?.quarantine == nil)
    #expect(clean.events.first?.detail?.contains("scanned clean by ClamAV 1") == true)
  }

  /// A receipt with a virus in it: kept, and nothing follows but the operator's alarm.
  @Test func anInfectedReceipt() throws {
    var transaction = SimulationTests.transaction
    transaction.sender = "uno@pec.beta.test"
    transaction.recipients = [Recipient(address: "aldo@pec.alfa.test", recipientClass: .certified)]
    let receipt = SimulationTests.point.composer.deliveryReceipt(
      .deliveryConcise, TransactionFacts(transaction), reception: "alfa1.y@pec.alfa.test", recipient: "aldo@pec.alfa.test", at: Self.noon,
      original: nil, boundarySeed: 1)
    let recipient = ["uno@pec.beta.test"]
    #expect(take(octets(receipt), to: recipient, Self.outcome(.clean)).queued == [.notification])
    let taken = take(octets(receipt), to: recipient, Self.infected)
    #expect(taken.verdict?.code == 250 && taken.queued.isEmpty)
    #expect(taken.events.map(\.kind) == [.infectedCertified])
    #expect(try #require(taken.plan?.quarantine).kind == .certified)
  }

  @Test func infectedOrdinaryMail() throws {
    let mail = Array("From: a@posta.test\r\nTo: uno@pec.beta.test\r\nSubject: x\r\n\r\nx\r\n".utf8)
    let recipient = ["uno@pec.beta.test"]
    let refused = take(mail, to: recipient, Self.infected)
    #expect(refused.verdict?.code == 550 && refused.queued.isEmpty && refused.plan?.quarantine == nil)
    #expect(refused.events.map(\.kind) == [.ordinaryInfected])
    let discarded = take(mail, to: recipient, Self.infected, policy: SecurityPolicy(infectedOrdinary: .discard))
    #expect(discarded.verdict?.code == 250 && discarded.queued.isEmpty)
    #expect(try #require(discarded.plan?.quarantine).kind == .ordinary)
  }
}
