import Limits
import Octets
import PEC
import Reception

/// The life of a queue entry after an attempt: what is settled, what is tried again and when, and which receipts and notices follow.
///
/// At the delivery point, an envelope in the mailbox becomes a delivery receipt, and only then (RFC 6109 §2.2.3, §3.3). A permanent
/// failure, or 24 hours without success, of an envelope becomes a signed non-delivery notice for that recipient (§2.2.2, §3.3.3). A
/// receipt or notice that cannot be delivered is logged and dropped: there is no notice about a notice. For ordinary mail that was
/// taken its sender is told by a plain delivery report (RFC 5321 §6.1).
public struct DeliveryJourney: Sendable {
  /// What an attempt brought.
  public struct Attempt: Sendable {
    /// What became of recipients, and what reports have said about those that were awaited.
    public var fates: [RecipientFate]
    public var instant: Instant
    public var random: RandomBits
    /// True when this is no attempt but what a delivery report said (RFC 3464), which proves, or what was certain without one. It does
    /// not count, and whoever is left stays due as he was.
    public var isReport: Bool
    /// The original in its brief form (RFC 6109 §3.3.2.2), where the receipts want it; nil when the brief form is the complete one.
    public var brief: EnclosedOriginal?
    /// What the message asks of the log, where it went to the mailbox for requests; nil elsewhere.
    public var question: String?
    /// What holders have chosen, at that instant.
    public var choices: HolderChoices
    /// True when a machine sent the ordinary mail in an anomaly envelope (RFC 3834), or that cannot be told.
    public var isAutomatic: Bool
    /// Mailboxes whose holders are not told of an arrival, or for the last time, because they were told so often; the others are told.
    public var voices: [String: ArrivalVoice]

    /// An attempt that ended now; `random` spreads retries and seeds boundaries.
    public init(
      _ fates: [RecipientFate], at instant: Instant, random: RandomBits, isReport: Bool = false, brief: EnclosedOriginal? = nil,
      question: String? = nil, choices: HolderChoices = HolderChoices(), isAutomatic: Bool = false,
      voices: [String: ArrivalVoice] = [:]
    ) {
      self.voices = voices
      self.choices = choices
      self.isAutomatic = isAutomatic
      self.isReport = isReport
      self.fates = fates
      self.instant = instant
      self.random = random
      self.brief = brief
      self.question = question
    }
  }

  /// What happened.
  public enum Event: Sendable {
    case attempted(Attempt)
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
    var attempt: Attempt
    var changes: [LedgerChange] = []
    var drafts: [Draft] = []
    /// Messages that are not signed.
    var reports: [OutgoingMessage] = []
    /// Boundaries that were seeded.
    var seeds: UInt64 = 0

    mutating func seed() -> UInt64 {
      seeds += 1
      return attempt.random.boundary(seeds)
    }
  }

  private let point: ProviderPoints
  /// What the entry is about: receipts and notices are written from it.
  private let matter: Matter
  /// What the operator has held: the time of a hold does not count towards giving up.
  private let holds: QueueHolds
  /// The entry as it stands: recipients whose fate is open, attempts, next due time. Nobody left: it is done.
  public private(set) var entry: QueueEntry
  private var next: QueueEntry
  private var state = State.expectingAttempt

  /// The journey of `entry` from its next attempt on, under the holds of the moment.
  public init(_ entry: QueueEntry, of matter: Matter, at point: ProviderPoints, holds: QueueHolds = QueueHolds()) {
    self.holds = holds
    self.point = point
    self.matter = matter
    self.entry = entry
    next = entry
  }

  /// True when the entry is an envelope at the delivery point: its mailbox is ours, and receipts follow.
  public static func isDelivery(_ entry: QueueEntry) -> Bool { entry.kind == .envelope && entry.reception != nil }

  /// Moves on and says what to do. After `.finished` look at `entry`: nobody left, and it is gone; otherwise try it again at `dueAt`.
  /// If signing or the commit failed, the entry stands as before and is tried again later: nothing is settled that is not durable.
  public mutating func handle(_ event: Event) -> [Effect] {
    switch (state, event) {
    case (.expectingAttempt, .attempted(let attempt)):
      let work = judge(attempt)
      if work.drafts.isEmpty {
        state = .committing
        return [.commit(plan(work, []))]
      }
      state = .signing(work)
      return [.sign(work.drafts, at: attempt.instant)]
    case (.signing(let work), .signed(let signatures)):
      precondition(signatures.count == work.drafts.count, "as many signatures as drafts")
      state = .committing
      return [.commit(plan(work, signatures))]
    case (.signing(let work), .signingFailed):
      let soon = work.attempt.instant.unixSeconds + Int64(point.limits.delivery.firstRetrySeconds)
      // An entry that only waits for reports keeps the end of its time: the report comes again by itself.
      entry.dueAt = entry.recipients.isEmpty ? max(entry.dueAt, soon) : soon
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

  // MARK: Judging an attempt

  private mutating func judge(_ attempt: Attempt) -> Work {
    var work = Work(attempt: attempt)
    var delivered: [String] = []
    var failed: [String] = []
    var taken: [String] = []
    var lastError: String?
    let now = attempt.instant.unixSeconds
    let end = entry.createdAt + Int64(point.limits.delivery.giveUpSeconds)
    let open = Set(entry.recipients)
    let awaited = Set(entry.awaiting)
    var judged: Set<String> = []
    for fate in attempt.fates where open.contains(fate.recipient) || awaited.contains(fate.recipient) {
      // One word for each recipient, whatever a peer says twice.
      guard judged.insert(fate.recipient).inserted else { continue }
      switch fate.outcome {
      case .delivered(let reply):
        if entry.proofToken != nil, point.provesDeliveryByReport, !attempt.isReport {
          taken.append(fate.recipient)
          work.changes.append(.event(event(.awaitingProof, fate.recipient, work, detail: reply)))
        } else {
          delivered.append(fate.recipient)
          succeed(fate.recipient, reply, &work)
        }
      case .failed(let cause, let text):
        failed.append(fate.recipient)
        giveUp(fate.recipient, cause, text: text, &work)
      case .later(let text):
        lastError = text
        if open.contains(fate.recipient), now >= end + holds.heldSeconds(fate.recipient, of: entry, until: now) {
          failed.append(fate.recipient)
          let hours = point.limits.delivery.giveUpSeconds / 3600
          // Who may have it is not said to be without it.
          let cause = fate.isInDoubt ? DeliveryFailure.unproven(hours: hours) : .expired(hours: hours)
          giveUp(fate.recipient, cause, text: "delivery time expired; last: \(text)", &work)
        }
      }
    }
    report(failed, &work)
    settle(delivered: delivered, failed: failed, taken: taken, &work)
    guard !next.recipients.isEmpty || !next.awaiting.isEmpty else { return work }
    let last = end + holds.heldSeconds(next, until: now)
    if next.recipients.isEmpty {
      next.dueAt = max(now + 1, last)
    } else if !attempt.isReport {
      next.attempts += 1
      // Who is held was not tried, and nothing was said about him.
      next.lastError = lastError ?? (holds.hold(on: next) == nil ? "the attempt ended without a word" : next.lastError)
      next.dueAt = max(now + 1, min(now + wait(attempt.random.boundary), last))
    }
    work.changes.append(.postpone(entry: entry.id, dueAt: next.dueAt, attempts: next.attempts, lastError: next.lastError ?? ""))
    return work
  }

  private mutating func settle(delivered: [String], failed: [String], taken: [String], _ work: inout Work) {
    next = entry
    let settled = Set(delivered + failed)
    next.recipients.removeAll { settled.contains($0) || taken.contains($0) }
    next.awaiting.removeAll { settled.contains($0) }
    next.awaiting += taken
    let success: RecipientEnd = entry.kind == .envelope && entry.reception == nil ? .relayed : .delivered
    if !delivered.isEmpty { work.changes.append(.settle(entry: entry.id, recipients: delivered, end: success)) }
    if !failed.isEmpty { work.changes.append(.settle(entry: entry.id, recipients: failed, end: .failed)) }
    if !taken.isEmpty { work.changes.append(.awaitProof(entry: entry.id, recipients: taken)) }
  }

  /// Doubling waits from the first to the last, shortened by up to a quarter at random so that retries do not march in step, and
  /// never past the moment of giving up.
  private func wait(_ random: UInt64) -> Int64 {
    let limits = point.limits.delivery
    let doubled = Int64(limits.firstRetrySeconds) << Int64(min(entry.attempts, 20))
    let full = max(1, min(doubled, Int64(limits.lastRetrySeconds)))
    return full - Int64(random % UInt64(max(1, full / 4)))
  }

  // MARK: What follows

  private func event(_ kind: EventKind, _ recipient: String, _ work: Work, made: [String]? = nil, detail: String) -> EventRecord {
    let mailbox = entry.kind == .arrivalNotice ? point.mailbox(toldOfBy: entry, matter) : nil
    var event = matter.transaction.event(
      kind, about: mailbox ?? recipient, at: work.attempt.instant, by: matter.reception?.provider ?? point.provider.name,
      made: made ?? [entry.messageID])
    event.detail = detail
    return event
  }

  /// The recipient has the message: the delivery receipt of an envelope in its mailbox (RFC 6109 §3.3.2), a log row for the rest.
  private func succeed(_ recipient: String, _ reply: String, _ work: inout Work) {
    guard let reception = matter.reception, DeliveryJourney.isDelivery(entry) else {
      let kind: EventKind =
        switch entry.kind {
        case .envelope: .envelopeSent
        case .ordinary: .ordinaryForwarded
        case .arrivalNotice: .arrivalNoticeSent
        default: .noticeDelivered
        }
      work.changes.append(.event(event(kind, recipient, work, detail: reply)))
      if entry.kind == .anomaly { tell(recipient, &work) }
      return
    }
    let kind = receiptKind(recipient, reception)
    var original = reception.original.map { EnclosedOriginal(range: $0, transferEncoding: reception.originalEncoding) }
    if kind == .deliveryBrief, let brief = work.attempt.brief { original = brief }
    let draft = point.composer.deliveryReceipt(
      kind, TransactionFacts(matter.transaction), reception: reception.id, recipient: recipient, at: work.attempt.instant,
      original: kind == .deliveryConcise ? nil : original, boundarySeed: work.seed())
    work.drafts.append(draft)
    work.changes.append(.event(event(.delivery, recipient, work, made: [draft.messageID], detail: reply)))
    if let question = work.attempt.question, point.isExtractMailbox(recipient) { open(question, reception, work.attempt.instant, &work) }
    if isOwn { work.changes.append(.progress(pecID: matter.transaction.pecID, recipients: [recipient], to: .delivered)) }
    tell(recipient, &work)
  }

  /// The holder's word by ordinary mail, where he wants one.
  private func tell(_ mailbox: String, _ work: inout Work) {
    if let notice = point.arrivalNotice(of: entry, in: mailbox, matter, work.attempt) { work.reports.append(notice) }
  }

  /// A holder asks for an extract of the log (`pec-rules` 9.5): his request is tracked from the commit of his delivery receipt on.
  private func open(_ question: String, _ reception: ReceptionRecord, _ instant: Instant, _ work: inout Work) {
    let request = LogRequestRecord(
      id: reception.id, pecID: matter.transaction.pecID, asker: matter.transaction.sender, openedAt: instant,
      changedAt: instant.unixSeconds, question: question)
    var row = EventRecord(aboutTheLog: .extractRequest, "open: asked by \(request.asker)", by: point.provider.name, at: instant)
    row.relatedIDs = [request.id]
    work.changes += [.request(request), .event(row)]
  }

  /// True when the transaction is of our own access point: an envelope of another provider that bears its id moves nothing.
  private var isOwn: Bool { matter.reception.map { ASCII.equal($0.provider, point.provider.name) } ?? true }

  /// Complete for whoever is not named in Cc alone, as the sender asked; concise for copies (RFC 6109 §3.3.2).
  private func receiptKind(_ recipient: String, _ reception: ReceptionRecord) -> MessageKind {
    if reception.copyRecipients.contains(where: { ASCII.equal($0, recipient) }) { return .deliveryConcise }
    return switch matter.transaction.receiptType {
    case .complete: .deliveryComplete
    case .brief: .deliveryBrief
    case .concise: .deliveryConcise
    }
  }

  /// An envelope's recipient is lost: his sender gets a signed notice. Anything else that is lost is logged.
  private func giveUp(_ recipient: String, _ cause: DeliveryFailure, text: String, _ work: inout Work) {
    if entry.kind == .arrivalNotice {
      return work.changes.append(.event(event(.arrivalNoticeDropped, recipient, work, detail: "\(cause.status) \(text)")))
    }
    if cause == .removed { work.changes.append(.event(event(.dropped, recipient, work, detail: text))) }
    guard entry.kind == .envelope else {
      work.changes.append(.event(event(.noticeDropped, recipient, work, detail: "\(cause.status) \(text)")))
      return
    }
    let draft = point.composer.nonDelivery(
      TransactionFacts(matter.transaction), reception: matter.reception?.id, recipient: recipient, at: work.attempt.instant,
      failure: cause, boundarySeed: work.seed())
    var event = event(.nonDelivery, recipient, work, made: [draft.messageID], detail: "\(cause.status) \(text)")
    event.error = cause.error.rawValue
    work.changes.append(.event(event))
    if isOwn { work.changes.append(.progress(pecID: matter.transaction.pecID, recipients: [recipient], to: .failed)) }
    work.drafts.append(draft)
  }

  /// Ordinary mail that was answered 250 and reaches nobody: a report to its sender, one for all recipients of the attempt.
  private func report(_ failed: [String], _ work: inout Work) {
    guard !failed.isEmpty, entry.kind == .anomaly || entry.kind == .ordinary, !entry.sender.isEmpty, let reception = matter.reception,
      reception.kind == .ordinary, point.routing.route(for: entry.sender) != .mailbox
    else { return }
    let failures = work.attempt.fates.compactMap { fate -> (recipient: String, status: String, diagnostic: String)? in
      guard failed.contains(fate.recipient) else { return nil }
      // Where a holder has his mail forwarded to is his own affair.
      let recipient = entry.kind == .ordinary ? reception.recipients.first ?? fate.recipient : fate.recipient
      switch fate.outcome {
      // Who of us it was is nobody's business outside.
      case .failed(.removed, _): return (recipient, DeliveryFailure.removed.status, "removed from the queue by the operator")
      case .failed(let cause, let text): return (recipient, cause.status, entry.kind == .ordinary ? "forwarding failed" : text)
      case .later(let text): return (recipient, "5.4.7", entry.kind == .ordinary ? "forwarding failed" : text)
      case .delivered: return nil
      }
    }
    let message = point.composer.deliveryReport(
      reporting: point.hostname, to: entry.sender, id: "\(entry.id).\(entry.attempts)", failures: failures, original: nil,
      at: work.attempt.instant)
    work.reports.append(point.report(message, to: entry.sender, matter: matter, at: work.attempt.instant))
  }

  private func plan(_ work: Work, _ signatures: [[UInt8]]) -> CommitPlan {
    let messages = zip(work.drafts, signatures).map { draft, signature in
      let way = (route: point.routing.route(for: matter.transaction.sender), addresses: draft.recipients)
      let encloses = draft.signed.contains { if case .original = $0 { true } else { false } }
      let entry = QueueEntry(
        draft, part: 0, to: way, of: matter.transaction.pecID, reception: matter.reception?.id, at: work.attempt.instant,
        hasEightBit: encloses && self.entry.hasEightBit)
      return OutgoingMessage(draft: draft, signature: signature, entries: [entry], matter: matter)
    }
    return CommitPlan(changes: work.changes, messages: messages + work.reports)
  }
}

extension ProviderPoints {
  /// A delivery report on its way to the sender of ordinary mail, with the null reverse path (RFC 5321 §6.1).
  func report(_ message: (messageID: String, octets: [UInt8]), to sender: String, matter: Matter, at instant: Instant) -> OutgoingMessage {
    let entry = QueueEntry(
      id: QueueEntry.identifier(of: message.messageID, part: 0), pecID: matter.transaction.pecID, messageID: message.messageID,
      kind: .deliveryReport, sender: "", recipients: [sender], route: routing.route(for: sender), content: [],
      createdAt: instant.unixSeconds, dueAt: instant.unixSeconds, reception: matter.reception?.id)
    return OutgoingMessage(content: [.composed(message.octets)], entries: [entry], matter: matter)
  }
}
