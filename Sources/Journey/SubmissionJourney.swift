import Limits
import MIMEStream
import PEC

/// A message as it came in, with the instant and the randomness of its transaction: the machine itself has neither clock nor dice.
public struct Arrival: Sendable {
  public var submission: Submission
  /// The transaction's one time value (RFC 6109 §4.1).
  public var instant: Instant
  /// Running number of the message in this process.
  public var sequence: UInt64
  public var random: RandomBits
  /// The provider index at that instant.
  public var directory: ProviderDirectory

  /// A message that came in at this instant.
  public init(submission: Submission, instant: Instant, sequence: UInt64, random: RandomBits, directory: ProviderDirectory) {
    self.submission = submission
    self.instant = instant
    self.sequence = sequence
    self.random = random
    self.directory = directory
  }
}

/// The life of a message at the access point, from its last octet to the client's 250: check, sign, commit, answer.
///
/// RFC 6109 §3.1. The receipt and the envelope become durable in one commit, and only then is the client answered: a sender who
/// got 250 gets exactly one acceptance or non-acceptance, and neither ever exists without the other's half.
public struct SubmissionJourney: Sendable {
  /// What happened.
  public enum Event: Sendable {
    case received(Arrival)
    case signed([[UInt8]])
    case signingFailed(String)
    case committed
    case commitFailed(String)
  }

  private enum State: Sendable {
    case expectingMessage
    case signing(Work)
    case committing(accepted: Bool, pecID: String)
    case done
  }

  /// Everything decided about a message while its signatures are being made.
  private struct Work: Sendable {
    var facts: TransactionFacts
    var faults: [FormalFault]
    /// The notice; or acceptance, envelope, and the take-charge receipt where some recipients are our own.
    var drafts: [Draft]
    /// Our own part as the recipients' provider (`pec-rules` 13.1).
    var reception: ReceptionRecord?
    var hasEightBit = false
    var proofToken = ""
  }

  private let point: ProviderPoints
  private var state = State.expectingMessage

  /// A journey that has not begun.
  public init(at point: ProviderPoints) { self.point = point }

  /// Moves on and says what to do. An event that cannot happen in a state is our own fault and traps.
  public mutating func handle(_ event: Event) -> [Effect] {
    switch (state, event) {
    case (.expectingMessage, .received(let arrival)):
      let work = decide(arrival)
      state = .signing(work)
      return [.sign(work.drafts, at: arrival.instant)]
    case (.signing(let work), .signed(let signatures)):
      precondition(signatures.count == work.drafts.count, "as many signatures as drafts")
      state = .committing(accepted: work.faults.isEmpty, pecID: work.facts.pecID)
      return [.commit(plan(work, signatures))]
    case (.signing, .signingFailed):
      return fail()
    case (.committing(let accepted, let pecID), .committed):
      state = .done
      // The envelope points at the original for as long as it is queued; a notice never does (RFC 6109 §3.1.2).
      let word = accepted ? "Ok: accepted as \(pecID)" : "Ok: see the non-acceptance notice for \(pecID)"
      return [.reply(Verdict(code: 250, enhanced: "2.0.0", text: word)), .releaseOriginal, .finished]
    case (.committing, .commitFailed):
      return fail()
    case (.expectingMessage, .signed), (.expectingMessage, .signingFailed), (.expectingMessage, .committed),
      (.expectingMessage, .commitFailed), (.signing, .received), (.signing, .committed), (.signing, .commitFailed),
      (.committing, .received), (.committing, .signed), (.committing, .signingFailed),
      (.done, .received), (.done, .signed), (.done, .signingFailed), (.done, .committed), (.done, .commitFailed):
      preconditionFailure("a submission's journey was told \(event) in the wrong state")
    }
  }

  /// Nothing is durable, so nothing was promised: the client keeps the message and tries again (RFC 5321 §4.2.5).
  private mutating func fail() -> [Effect] {
    state = .done
    return [
      .reply(Verdict(code: 451, enhanced: "4.3.0", text: "Message not accepted, try again later")), .releaseOriginal,
      .finished,
    ]
  }

  /// Formal checks, identifier, classes of the recipients, drafts: RFC 6109 §3.1.1–3.1.5.
  private func decide(_ arrival: Arrival) -> Work {
    let submission = arrival.submission
    let pecID = PECIdentifier.make(
      node: point.provider.nodeName, instant: arrival.instant, sequence: arrival.sequence, random: arrival.random.identifier,
      domain: point.provider.mailDomain)
    let facts = TransactionFacts(
      submission, pecID: pecID, instant: arrival.instant, directory: arrival.directory, limits: point.limits.message)
    let faults = FormalCheck.faults(of: submission, limits: point.limits.message)
    guard faults.isEmpty else {
      let notice = point.composer.nonAcceptance(facts, faults: faults, boundarySeed: arrival.random.boundary)
      return Work(facts: facts, faults: faults, drafts: [notice])
    }
    let receipt = point.composer.acceptance(facts, boundarySeed: arrival.random.boundary)
    let envelope = point.composer.envelope(facts, original: submission.facts, boundarySeed: arrival.random.boundary(1))
    var work = Work(facts: facts, faults: [], drafts: [receipt, envelope])
    work.hasEightBit = submission.facts.hasEightBit
    let own = facts.recipients.map(\.address).filter { point.routing.route(for: $0) == .mailbox }
    guard !own.isEmpty else { return work }
    // We are their provider too: the same steps, without a network between (RFC 6109 §3.4).
    work.drafts.append(
      point.composer.takeCharge(
        facts, reception: pecID, receptions: own, serviceMailbox: point.serviceMailbox, at: arrival.instant,
        boundarySeed: arrival.random.boundary(2)))
    work.proofToken = arrival.random.secretToken
    work.reception = ReceptionRecord(
      id: pecID, instant: arrival.instant, kind: .envelope, facts: TransactionRecord(facts, accepted: true), recipients: own,
      copyRecipients: PrimaryOrCopy.copyRecipients(
        of: own, header: submission.facts.header, limit: point.limits.message.addresses),
      provider: point.provider.name, fingerprint: "", original: envelope.originalRange)
    return work
  }

  /// Rows and messages of one commit.
  private func plan(_ work: Work, _ signatures: [[UInt8]]) -> CommitPlan {
    let accepted = work.faults.isEmpty
    let record = TransactionRecord(work.facts, accepted: accepted)
    var messages: [OutgoingMessage] = []
    for (draft, signature) in zip(work.drafts, signatures) {
      let groups = point.routing.grouped(draft.recipients, atMost: point.limits.delivery.recipientsPerTransaction)
      let entries = groups.enumerated().map { index, group in
        let isReceived = draft.kind == .takeCharge || (draft.kind == .envelope && group.route == .mailbox)
        var entry = QueueEntry(
          draft, part: index, to: group, of: work.facts.pecID, reception: isReceived ? work.reception?.id : nil,
          at: work.facts.instant, hasEightBit: draft.kind == .envelope && work.hasEightBit)
        // Always: the mailboxes may have moved to a server that proves by reports when the entry is sent.
        if draft.kind == .envelope, group.route == .mailbox { entry.proofToken = "\(work.proofToken)\(index)" }
        return entry
      }
      messages.append(
        OutgoingMessage(draft: draft, signature: signature, entries: entries, matter: Matter(record, work.reception)))
    }
    var changes: [LedgerChange] = [.transaction(record)]
    func event(_ kind: EventKind, _ made: Int) -> EventRecord {
      record.event(kind, at: work.facts.instant, by: point.provider.name, made: [work.drafts[made].messageID])
    }
    if accepted {
      changes += [.event(event(.acceptance, 0)), .event(event(.envelopeMade, 1))]
      if let reception = work.reception {
        changes += [
          .reception(reception), .event(event(.takeCharge, 2)),
          .progress(pecID: record.pecID, recipients: reception.recipients, to: .takenInCharge),
        ]
      }
    } else {
      var event = event(.nonAcceptance, 0)
      event.error = "altro"
      event.detail = work.faults.map { "\($0.code.rawValue): \($0.english)" }.joined(separator: "; ")
      changes.append(.event(event))
    }
    return CommitPlan(changes: changes, messages: messages)
  }
}
