import Limits
import PEC

/// The life of a deadline that has come: whom it is about, the notices, one commit.
///
/// RFC 6109 §3.1.6 (`pec-rules` 8.1), run by the sender's provider for certified recipients alone. After 12 hours silence is neither
/// take-charge nor a final word; before 24 hours are over it is the lack of a final word, and a take-charge receipt does not break it.
/// A notice is decided by what is known when it is made: a gateway that was down makes its late ones at once, and whoever has been heard
/// of until then is not reported. All notices of a stage and the move to the next stage become durable together, so that each is made
/// once; the commit is refused when a silent recipient was heard of meanwhile, and the deadline is looked at anew.
public struct DeadlineJourney: Sendable {
  /// What happened.
  public enum Event: Sendable {
    /// The deadline was found to be due, now; `random` seeds boundaries.
    case due(DueDeadline, at: Instant, random: RandomBits)
    case signed([[UInt8]])
    case signingFailed(String)
    case committed
    case commitFailed(String)
  }

  /// What came of it.
  public enum Outcome: Sendable, Equatable {
    /// The watch is gone; `next` stands in its place.
    case passed(next: DeadlineWatch?)
    /// It is not time yet: the watch stands, and is looked at again when it is due.
    case early
    /// Nothing is durable: the watch stands and is still due. After a conflict it can be looked at again at once, otherwise after a pause.
    case failed(String)
  }

  private enum State: Sendable {
    case expectingDeadline
    case signing(Work)
    case committing(next: DeadlineWatch?)
    case done
  }

  /// What was decided.
  private struct Work: Sendable {
    var due: DueDeadline
    var instant: Instant
    /// Whom the notices are about, and how far the decision takes them to be.
    var silent: [RecipientProgress] = []
    var drafts: [Draft] = []
    var next: DeadlineWatch?
  }

  private let point: ProviderPoints
  private var state = State.expectingDeadline
  /// Set with `.finished`.
  public private(set) var outcome: Outcome?

  /// A journey that has not begun.
  public init(at point: ProviderPoints) { self.point = point }

  /// Moves on and says what to do: sign, commit, `.finished`. An event that cannot happen in a state is our own fault and traps.
  public mutating func handle(_ event: Event) -> [Effect] {
    switch (state, event) {
    case (.expectingDeadline, .due(let due, let instant, let random)):
      guard instant.unixSeconds >= due.watch.dueAt else { return end(.early) }
      let work = decide(due, at: instant, random)
      if work.drafts.isEmpty {
        state = .committing(next: work.next)
        return [.commit(plan(work, []))]
      }
      state = .signing(work)
      return [.sign(work.drafts, at: instant)]
    case (.signing(let work), .signed(let signatures)):
      precondition(signatures.count == work.drafts.count, "as many signatures as drafts")
      state = .committing(next: work.next)
      return [.commit(plan(work, signatures))]
    case (.committing(let next), .committed): return end(.passed(next: next))
    case (.signing, .signingFailed(let why)), (.committing, .commitFailed(let why)): return end(.failed(why))
    case (.expectingDeadline, .signed), (.expectingDeadline, .signingFailed), (.expectingDeadline, .committed),
      (.expectingDeadline, .commitFailed), (.signing, .due), (.signing, .committed), (.signing, .commitFailed), (.committing, .due),
      (.committing, .signed), (.committing, .signingFailed), (.done, .due), (.done, .signed), (.done, .signingFailed), (.done, .committed),
      (.done, .commitFailed):
      preconditionFailure("a deadline's journey was told \(event) in the wrong state")
    }
  }

  private mutating func end(_ outcome: Outcome) -> [Effect] {
    self.outcome = outcome
    state = .done
    return [.finished]
  }

  private func decide(_ due: DueDeadline, at instant: Instant, _ random: RandomBits) -> Work {
    let transaction = due.transaction
    var work = Work(due: due, instant: instant)
    let certified = due.progress.filter { $0.recipient.recipientClass == .certified }
    let isOpen = transaction.accepted && certified.contains { $0.end?.isFinal != true }
    guard isOpen else { return work }
    let earliest = transaction.deadline(due.watch.stage, point.limits)
    // A watch of other limits, or of another clock: not before its time (RFC 6109 §3.1.6: not before 22 hours).
    guard instant.unixSeconds >= earliest.dueAt else {
      work.next = earliest
      return work
    }
    work.silent = certified.filter { due.watch.stage.isSilence($0.end) }
    work.next = due.watch.stage == .first ? transaction.deadline(.second, point.limits) : nil
    let facts = TransactionFacts(transaction)
    work.drafts = work.silent.enumerated().map { index, silent in
      point.composer.timeout(
        due.watch.stage.notice, facts, recipient: silent.recipient.address, at: instant, boundarySeed: random.boundary(UInt64(index + 1)))
    }
    return work
  }

  private func plan(_ work: Work, _ signatures: [[UInt8]]) -> CommitPlan {
    let transaction = work.due.transaction
    let stage = work.due.watch.stage
    var changes: [LedgerChange] = [.deadlinePassed(work.due.watch, progress: work.silent, next: work.next)]
    var messages: [OutgoingMessage] = []
    for (silent, (draft, signature)) in zip(work.silent, zip(work.drafts, signatures)) {
      var event = transaction.event(
        stage.event, about: silent.recipient.address, at: work.instant, by: point.provider.name, made: [draft.messageID])
      event.error = CertificationError.other.rawValue
      event.detail = silent.end.map { "so far: \($0.rawValue)" } ?? "nothing was heard"
      changes.append(.event(event))
      let way = (route: point.routing.route(for: transaction.sender), addresses: draft.recipients)
      let entry = QueueEntry(draft, part: 0, to: way, of: transaction.pecID, reception: nil, at: work.instant)
      messages.append(OutgoingMessage(draft: draft, signature: signature, entries: [entry], matter: Matter(transaction, nil)))
    }
    return CommitPlan(changes: changes, messages: messages)
  }
}

extension DeadlineStage {
  /// True when a recipient of whom this is known is one to be reported (`pec-rules` 8.1).
  func isSilence(_ end: RecipientEnd?) -> Bool {
    switch (self, end) {
    case (_, nil), (_, .relayed): true
    case (.first, .takenInCharge): false
    case (.second, .takenInCharge): true
    case (_, .delivered), (_, .failed): false
    }
  }

  var notice: MessageKind { self == .first ? .timeoutFirst : .timeoutSecond }
  var event: EventKind { self == .first ? .timeoutFirst : .timeoutSecond }
}

extension DueDeadline {
  /// About how many octets the notices of this deadline have together, never less: each names every recipient, so that 500 notices of a
  /// message to 500 have 40 MB. For whoever decides how many deadlines are worked on at once.
  public var noticeBytes: Int {
    let silent = progress.filter { $0.recipient.recipientClass == .certified && watch.stage.isSilence($0.end) }.count
    let named = transaction.recipients.reduce(0) { $0 + $1.address.utf8.count + 60 } * 11 / 8
    let subject = max(transaction.subject?.utf8.count ?? 0, transaction.rawSubject?.count ?? 0)
    return silent * (4500 + named + 6 * subject)
  }
}

extension TransactionRecord {
  /// The watch of a stage: it runs from the certified time of acceptance, by which "dispatch" is meant (`pec-rules` 8.1).
  func deadline(_ stage: DeadlineStage, _ limits: Limits) -> DeadlineWatch {
    let seconds = stage == .first ? limits.deadlines.firstSeconds : limits.deadlines.secondSeconds
    let (dueAt, isBeyond) = instant.unixSeconds.addingReportingOverflow(Int64(seconds))
    return DeadlineWatch(pecID: pecID, stage: stage, dueAt: isBeyond ? .max : dueAt)
  }
}
