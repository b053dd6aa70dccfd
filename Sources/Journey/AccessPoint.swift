import Limits
import MIMEStream
import PEC

/// What the access point (punto di accesso) knows while it works: who we are, what is allowed, which way mail goes.
public struct AccessPoint: Sendable {
  public var composer: Composer
  public var provider: ProviderIdentity
  public var limits: Limits
  public var routing: RoutingTable

  /// An access point of this provider, with these bounds and ways.
  public init(provider: ProviderIdentity, limits: Limits, routing: RoutingTable) {
    composer = Composer(provider: provider)
    self.provider = provider
    self.limits = limits
    self.routing = routing
  }
}

/// A message as it came in, with the instant and the randomness of its transaction: the machine itself has neither clock nor dice.
public struct Arrival: Sendable {
  public var submission: Submission
  /// The transaction's one time value (RFC 6109 §4.1).
  public var instant: Instant
  /// Running number of the message in this process.
  public var sequence: UInt64
  /// Fresh random bits: for the PEC id, and for boundaries nobody can foresee.
  public var random: (UInt64, UInt64)
  /// The provider index at that instant.
  public var directory: ProviderDirectory

  /// A message that came in at this instant.
  public init(
    submission: Submission, instant: Instant, sequence: UInt64, random: (UInt64, UInt64), directory: ProviderDirectory
  ) {
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
    var drafts: [Draft]
  }

  private let point: AccessPoint
  private var state = State.expectingMessage

  /// A journey that has not begun.
  public init(at point: AccessPoint) { self.point = point }

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
      node: point.provider.nodeName, instant: arrival.instant, sequence: arrival.sequence, random: arrival.random.0,
      domain: point.provider.mailDomain)
    let facts = TransactionFacts(
      submission, pecID: pecID, instant: arrival.instant, directory: arrival.directory, limits: point.limits.message)
    let faults = FormalCheck.faults(of: submission, limits: point.limits.message)
    if faults.isEmpty {
      let receipt = point.composer.acceptance(facts, boundarySeed: arrival.random.1)
      let envelope = point.composer.envelope(facts, original: submission.facts, boundarySeed: arrival.random.1 ^ 0x9E37_79B9_7F4A_7C15)
      return Work(facts: facts, faults: [], drafts: [receipt, envelope])
    }
    let notice = point.composer.nonAcceptance(facts, faults: faults, boundarySeed: arrival.random.1)
    return Work(facts: facts, faults: faults, drafts: [notice])
  }

  /// Rows and messages of one commit.
  private func plan(_ work: Work, _ signatures: [[UInt8]]) -> CommitPlan {
    let facts = work.facts
    let accepted = work.faults.isEmpty
    var messages: [OutgoingMessage] = []
    for (draft, signature) in zip(work.drafts, signatures) {
      let groups = point.routing.grouped(draft.recipients, atMost: point.limits.delivery.recipientsPerTransaction)
      let entries = groups.enumerated().map { index, group in
        QueueEntry(
          id: QueueEntry.identifier(of: draft.messageID, part: index), pecID: facts.pecID, messageID: draft.messageID,
          kind: draft.kind, sender: draft.sender, recipients: group.addresses, route: group.route, content: [],
          createdAt: facts.instant.unixSeconds, dueAt: facts.instant.unixSeconds)
      }
      messages.append(OutgoingMessage(draft: draft, signature: signature, entries: entries))
    }
    let record = TransactionRecord(facts, accepted: accepted)
    var changes: [LedgerChange] = [.transaction(record)]
    if accepted {
      changes.append(.event(record.event(.acceptance, at: facts.instant, by: point.provider.name, made: [work.drafts[0].messageID])))
      changes.append(.event(record.event(.envelopeMade, at: facts.instant, by: point.provider.name, made: [work.drafts[1].messageID])))
    } else {
      var event = record.event(.nonAcceptance, at: facts.instant, by: point.provider.name, made: [work.drafts[0].messageID])
      event.error = "altro"
      event.detail = work.faults.map { "\($0.code.rawValue): \($0.english)" }.joined(separator: "; ")
      changes.append(.event(event))
    }
    return CommitPlan(transaction: record, changes: changes, messages: messages)
  }
}

extension QueueEntry {
  /// The name of the part-th entry of a message: stable, so that a replay names the same entries.
  static func identifier(of messageID: String, part: Int) -> String {
    let local = messageID.split(separator: "@").first.map(String.init) ?? messageID
    return "\(local)-q\(part + 1)"
  }
}

extension TransactionRecord {
  /// The record of a transaction as it is kept.
  init(_ facts: TransactionFacts, accepted: Bool) {
    self.init(
      pecID: facts.pecID, instant: facts.instant, sender: facts.sender, recipients: facts.recipients, replyTo: facts.replyTo,
      subject: facts.subject, rawSubject: facts.rawSubject, clientMessageID: facts.clientMessageID, receiptType: facts.receiptType,
      bytes: facts.bytes, accepted: accepted)
  }

  /// An event about one recipient. It names that one alone: the acceptance names them all, and a list in each of 500 rows would
  /// make 250,000 of 500 recipients.
  func event(_ kind: EventKind, about recipient: String, at instant: Instant, by provider: String, made relatedIDs: [String]) -> EventRecord
  {
    var event = event(kind, at: instant, by: provider, made: relatedIDs)
    event.recipient = recipient
    event.recipients = recipients.filter { $0.address == recipient }
    return event
  }

  /// An event of this transaction.
  func event(_ kind: EventKind, at instant: Instant, by provider: String, made relatedIDs: [String]) -> EventRecord {
    EventRecord(
      pecID: pecID, instant: instant, kind: kind, sender: sender, recipients: recipients, subject: subject,
      clientMessageID: clientMessageID, relatedIDs: relatedIDs, provider: provider, bytes: bytes)
  }
}
