import Limits
import PEC

/// What became of one recipient in one attempt.
public struct RecipientFate: Sendable, Equatable {
  /// The possible ends of an attempt.
  public enum Outcome: Sendable, Equatable {
    /// The next hop answered 2xx, or the mailbox holds the message.
    case delivered(String)
    /// Not now: 4xx, no connection, silence. The text says why.
    case later(String)
    /// Never: 5xx, no such mailbox, the operator's word. The text is what was heard.
    case failed(DeliveryFailure, text: String)
  }

  public var recipient: String
  public var outcome: Outcome

  /// True when there is nothing to try again.
  public var isFinal: Bool {
    switch outcome {
    case .delivered, .failed: true
    case .later: false
    }
  }

  /// Says what became of a recipient.
  public init(recipient: String, outcome: Outcome) {
    self.recipient = recipient
    self.outcome = outcome
  }
}

/// The life of a queue entry after an attempt: what is settled, what is tried again and when, and which notices the sender gets.
///
/// A permanent failure, or 24 hours without success, of a transport envelope becomes a signed non-delivery notice for that
/// recipient (RFC 6109 §2.2.2, §3.3.3). A receipt or notice that cannot be delivered is logged and dropped: there is no notice
/// about a notice.
public struct DeliveryJourney: Sendable {
  /// What happened.
  public enum Event: Sendable {
    /// An attempt ended; `random` spreads the retries.
    case attempted([RecipientFate], at: Instant, random: UInt64)
    case signed([[UInt8]])
    case signingFailed(String)
    case committed
    case commitFailed(String)
  }

  private enum State: Sendable {
    case expectingAttempt
    case signing(Work)
    case committing
    case done
  }

  private struct Work: Sendable {
    var changes: [LedgerChange]
    var drafts: [Draft]
    var instant: Instant
  }

  private let point: AccessPoint
  /// Facts of the transaction the entry belongs to: notices are written from them.
  private let transaction: TransactionRecord
  /// The entry as it stands: recipients whose fate is open, attempts, next due time. No recipients: it is done.
  public private(set) var entry: QueueEntry
  private var next: QueueEntry
  private var state = State.expectingAttempt

  /// The journey of `entry` from its next attempt on.
  public init(_ entry: QueueEntry, of transaction: TransactionRecord, at point: AccessPoint) {
    self.point = point
    self.transaction = transaction
    self.entry = entry
    next = entry
  }

  /// Moves on and says what to do. After `.finished` look at `entry`: no recipients, and it is gone; otherwise try it again at
  /// `dueAt`. If signing or the commit failed, the entry stands as before and is tried again later: nothing is settled that is
  /// not durable.
  public mutating func handle(_ event: Event) -> [Effect] {
    switch (state, event) {
    case (.expectingAttempt, .attempted(let fates, let instant, let random)):
      let work = judge(fates, at: instant, random: random)
      if work.drafts.isEmpty {
        state = .committing
        return [.commit(CommitPlan(transaction: transaction, changes: work.changes, messages: []))]
      }
      state = .signing(work)
      return [.sign(work.drafts, at: instant)]
    case (.signing(let work), .signed(let signatures)):
      precondition(signatures.count == work.drafts.count, "as many signatures as drafts")
      state = .committing
      return [.commit(plan(work, signatures))]
    case (.signing(let work), .signingFailed):
      entry.dueAt = work.instant.unixSeconds + Int64(point.limits.delivery.firstRetrySeconds)
      state = .done
      return [.finished]
    case (.committing, .committed):
      entry = next
      state = .done
      return [.finished]
    case (.committing, .commitFailed):
      entry.dueAt = max(entry.dueAt, next.dueAt) + Int64(point.limits.delivery.firstRetrySeconds)
      state = .done
      return [.finished]
    case (.expectingAttempt, .signed), (.expectingAttempt, .signingFailed), (.expectingAttempt, .committed),
      (.expectingAttempt, .commitFailed), (.signing, .attempted), (.signing, .committed), (.signing, .commitFailed),
      (.committing, .attempted), (.committing, .signed), (.committing, .signingFailed),
      (.done, .attempted), (.done, .signed), (.done, .signingFailed), (.done, .committed), (.done, .commitFailed):
      preconditionFailure("a delivery's journey was told \(event) in the wrong state")
    }
  }

  private mutating func judge(_ fates: [RecipientFate], at instant: Instant, random: UInt64) -> Work {
    var work = Work(changes: [], drafts: [], instant: instant)
    var delivered: [String] = []
    var failed: [String] = []
    var lastError: String?
    let expired = instant.unixSeconds - entry.createdAt >= Int64(point.limits.delivery.giveUpSeconds)
    let open = Set(entry.recipients)
    for fate in fates where open.contains(fate.recipient) {
      switch fate.outcome {
      case .delivered(let reply):
        delivered.append(fate.recipient)
        work.changes.append(.event(deliveryEvent(fate.recipient, reply, at: instant)))
      case .failed(let cause, let text):
        failed.append(fate.recipient)
        giveUp(fate.recipient, cause, text: text, at: instant, &work)
      case .later(let text):
        lastError = text
        if expired {
          failed.append(fate.recipient)
          let cause = DeliveryFailure.expired(hours: point.limits.delivery.giveUpSeconds / 3600)
          giveUp(fate.recipient, cause, text: "delivery time expired; last: \(text)", at: instant, &work)
        }
      }
    }
    next = entry
    let settled = Set(delivered + failed)
    next.recipients.removeAll { settled.contains($0) }
    if !delivered.isEmpty { work.changes.append(.settle(entry: entry.id, recipients: delivered, end: .delivered)) }
    if !failed.isEmpty { work.changes.append(.settle(entry: entry.id, recipients: failed, end: .failed)) }
    if !next.recipients.isEmpty {
      next.attempts += 1
      next.lastError = lastError ?? "the attempt ended without a word"
      let end = entry.createdAt + Int64(point.limits.delivery.giveUpSeconds)
      next.dueAt = max(instant.unixSeconds + 1, min(instant.unixSeconds + wait(random), end))
      work.changes.append(
        .postpone(entry: entry.id, dueAt: next.dueAt, attempts: next.attempts, lastError: next.lastError ?? ""))
    }
    return work
  }

  /// Doubling waits from the first to the last, shortened by up to a quarter at random so that retries do not march in step, and
  /// never past the moment of giving up.
  private func wait(_ random: UInt64) -> Int64 {
    let limits = point.limits.delivery
    let doubled = Int64(limits.firstRetrySeconds) << Int64(min(entry.attempts, 20))
    let full = max(1, min(doubled, Int64(limits.lastRetrySeconds)))
    return full - Int64(random % UInt64(max(1, full / 4)))
  }

  private func deliveryEvent(_ recipient: String, _ reply: String, at instant: Instant) -> EventRecord {
    let kind: EventKind = entry.kind == .envelope ? .envelopeSent : .noticeDelivered
    var event = transaction.event(kind, about: recipient, at: instant, by: point.provider.name, made: [entry.messageID])
    event.detail = reply
    return event
  }

  /// An envelope's recipient is lost: his sender gets a signed notice. A notice's recipient is lost: that is logged.
  private func giveUp(_ recipient: String, _ cause: DeliveryFailure, text: String, at instant: Instant, _ work: inout Work) {
    if cause == .removed {
      var event = transaction.event(.dropped, about: recipient, at: instant, by: point.provider.name, made: [entry.messageID])
      event.detail = text
      work.changes.append(.event(event))
    }
    guard entry.kind == .envelope else {
      var event = transaction.event(.noticeDropped, about: recipient, at: instant, by: point.provider.name, made: [entry.messageID])
      event.detail = "\(cause.status) \(text)"
      work.changes.append(.event(event))
      return
    }
    let draft = point.composer.nonDelivery(
      TransactionFacts(transaction), recipient: recipient, at: instant, failure: cause,
      boundarySeed: UInt64(truncatingIfNeeded: instant.unixSeconds) &* 0x9E37_79B9_7F4A_7C15)
    var event = transaction.event(.nonDelivery, about: recipient, at: instant, by: point.provider.name, made: [draft.messageID])
    event.error = cause.error.rawValue
    event.detail = "\(cause.status) \(text)"
    work.changes.append(.event(event))
    work.drafts.append(draft)
  }

  private func plan(_ work: Work, _ signatures: [[UInt8]]) -> CommitPlan {
    let messages = zip(work.drafts, signatures).map { draft, signature in
      let entry = QueueEntry(
        id: QueueEntry.identifier(of: draft.messageID, part: 0), pecID: transaction.pecID, messageID: draft.messageID,
        kind: draft.kind, sender: draft.sender, recipients: draft.recipients, route: point.routing.route(for: transaction.sender),
        content: [], createdAt: work.instant.unixSeconds, dueAt: work.instant.unixSeconds)
      return OutgoingMessage(draft: draft, signature: signature, entries: [entry])
    }
    return CommitPlan(transaction: transaction, changes: work.changes, messages: messages)
  }
}

extension TransactionFacts {
  /// The facts of a transaction as they were kept.
  init(_ record: TransactionRecord) {
    self.init(
      pecID: record.pecID, instant: record.instant, sender: record.sender, recipients: record.recipients, replyTo: record.replyTo,
      subject: record.subject, rawSubject: record.rawSubject, clientMessageID: record.clientMessageID,
      receiptType: record.receiptType, bytes: record.bytes)
  }
}
