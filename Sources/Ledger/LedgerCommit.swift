internal import Foundation
internal import GRDB
internal import Journey
internal import Octets
internal import PEC

/// Applies changes within one transaction.
///
/// It makes several hundred rows while senders wait for their 250, so each statement is looked up once for a commit, values go to it
/// without a detour, what the events of a message have in common is put into its column's form once, and no statement makes SQLite open
/// a table of its own for its result: that costs more than three rows.
final class LedgerCommit {
  let db: Database
  /// Unix seconds, for what the change itself does not date.
  let now: Int64
  let path: String
  private var statements = [Statement?](repeating: nil, count: LedgerStatement.allCases.count)
  private var log: LogWriter
  /// The first row that the commit adds.
  private let first: Int64

  init(db: Database, tail: LogTail, now: Int64, path: String) {
    self.db = db
    self.now = now
    self.path = path
    first = tail.next
    log = LogWriter(after: tail)
  }

  /// Where the log ends with what was applied.
  var tail: LogTail { log.tail }
  /// The first block of the log that has rows still, when some were purged.
  private var firstBlock: Int64?

  /// Stores what was gathered on the way, and does some of the work that waits. Nothing is applied afterwards.
  func finish(_ blocks: LogBlocks) throws -> LogProgress {
    try log.finish(db)
    // What is purged is not put in order first.
    let step = firstBlock == nil ? try blocks.work(besides: Int(tail.next - first), db) : LogBlocks.Step()
    return LogProgress(tail: tail, runs: log.runs, step: step, firstBlock: firstBlock)
  }

  /// Says that the blocks before this one have no rows any more.
  func purged(before block: Int64) { firstBlock = block }

  func apply(_ change: LedgerChange) throws {
    switch change {
    case .event(let event): try log.add(event, by: try statement(.addEvent), db)
    case .transaction(let transaction): try add(transaction)
    case .enqueue(let entry): try add(entry)
    case .settle(let entry, let recipients, let end): try settle(entry, recipients, end)
    case .postpone(let entry, let dueAt, let attempts, let lastError):
      // An entry that is gone meanwhile (dropped by the operator) has nothing to be postponed.
      try run(.postpone, [dueAt, attempts, text(lastError), text(entry)])
    case .reception(let reception, let end): try add(reception, end)
    case .progress(let pecID, let recipients, let end):
      for address in recipients { try move(address, of: pecID, to: end) }
    case .awaitProof(let entry, let recipients):
      for address in recipients { try run(.awaitProof, [text(entry), text(address)]) }
    case .watch(let watch): try add(watch)
    case .deadlinePassed(let watch, let progress, let next): try pass(watch, progress, next)
    case .seal(let seal): try add(seal)
    case .stamp(let seal, let at, let authority): try stamp(seal, at, authority)
    case .request(let request): try store(request)
    case .hold(let hold): try add(hold)
    case .liftHold(let id): try liftHold(id)
    case .holdQueue(let hold): try add(hold)
    case .releaseQueue(let scope, let at): try release(scope, at)
    case .releaseWholeQueue(let at): try releaseQueue(at)
    case .dropRestoredDeadlines(let at): try dropRestoredDeadlines(at)
    case .purge(let first, let last): try purge(first, last)
    case .mailboxes(let day, let counts): try store(counts, on: day)
    case .handedOver(let key, let pecID, let at): try store(key, pecID: pecID, at: at)
    case .choice(let choice, let holder, let changedAt): try store(choice, of: holder, changedAt: changedAt)
    }
  }

  // MARK: - Rows

  private func add(_ transaction: TransactionRecord) throws {
    try run(
      .addTransaction,
      [
        text(transaction.pecID), transaction.instant.unixSeconds, transaction.instant.utcOffsetSeconds,
        text(transaction.sender), text(transaction.replyTo), text(transaction.subject),
        transaction.rawSubject.map { Data($0) }, text(transaction.clientMessageID),
        transaction.receiptType.rawValue, transaction.bytes, transaction.accepted,
      ])
    let id = db.lastInsertedRowID
    let state: RecipientStatus.State = transaction.accepted ? .open : .refused
    let (stored, at) = (state.rawValue, transaction.instant.unixSeconds)
    for (position, recipient) in transaction.recipients.enumerated() {
      try run(
        .addRecipient,
        [id, text(recipient.address), position, recipient.recipientClass.rawValue, stored, at])
    }
  }

  private func add(_ entry: QueueEntry) throws {
    try run(
      .addEntry,
      [
        text(entry.id), text(entry.pecID), text(entry.messageID), entry.kind.rawValue, text(entry.sender),
        text(entry.route.text), LedgerColumns.text(entry.content), entry.createdAt, entry.dueAt,
        entry.attempts, text(entry.lastError), text(entry.reception), entry.hasEightBit, text(entry.proofToken),
      ])
    let id = db.lastInsertedRowID
    for (position, address) in entry.recipients.enumerated() { try run(.addEntryRecipient, [id, text(address), position, false]) }
    for (position, address) in entry.awaiting.enumerated() {
      try run(.addEntryRecipient, [id, text(address), entry.recipients.count + position, true])
    }
  }

  private func add(_ reception: ReceptionRecord, _ end: RecipientEnd?) throws {
    let facts = reception.facts
    try run(
      .addReception,
      [
        text(reception.id), text(facts.pecID), reception.kind.rawValue, text(reception.provider), text(reception.fingerprint),
        reception.instant.unixSeconds, reception.instant.utcOffsetSeconds, reception.original?.lowerBound,
        reception.original?.upperBound, text(reception.originalEncoding), facts.instant.unixSeconds,
        facts.instant.utcOffsetSeconds, text(facts.sender), text(facts.replyTo), facts.receiptType.rawValue, facts.bytes,
        facts.accepted, text(facts.clientMessageID), text(facts.subject), facts.rawSubject.map { Data($0) },
        LogWriter.column(facts.recipients).text,
      ])
    let id = db.lastInsertedRowID
    let message = LedgerColumns.message(fingerprint: reception.fingerprint, reception: reception.id)
    let (state, at) = (end?.rawValue ?? RecipientStatus.State.open.rawValue, reception.instant.unixSeconds)
    let copies = Set(reception.copyRecipients.map { ASCII.lowercased(text($0)) })
    // One transaction may name a recipient twice, which is no second message.
    var named: Set<String> = []
    for (position, address) in reception.recipients.enumerated() {
      let lowercased = ASCII.lowercased(text(address))
      guard named.insert(lowercased).inserted else { continue }
      try run(.addReceptionRecipient, [text(message), text(address), id, position, copies.contains(lowercased), state, at])
    }
  }

  /// Takes recipients out of an entry, and the entry out of the queue with its last one. Settling what is settled changes nothing.
  private func settle(_ entry: String, _ recipients: [String], _ end: RecipientEnd) throws {
    guard let stored = try Row.fetchOne(try statement(.findEntry), arguments: [text(entry)]) else { return }
    var row = StoredRow(stored, of: "queue", path: path)
    let id = try row.next(Int64.self)
    let settled = try Settled(&row)
    for address in recipients {
      try run(.removeEntryRecipient, [id, text(address)])
      if db.changesCount > 0 { try decide(settled, address, end) }
    }
    try run(.removeEmptyEntry, [id])
  }

  /// What an entry says about the fates that it decides.
  private struct Settled {
    var pecID: String
    var isOwnEnvelope: Bool
    var arrived: (message: String, row: Int64)?

    /// From the columns that follow the id.
    init(_ row: inout StoredRow) throws {
      pecID = try row.next(String.self)
      let kind = try row.next { MessageKind(rawValue: $0) }
      let reception = try row.optional(String.self)
      isOwnEnvelope = reception == nil && kind == .envelope
      guard kind.decidesFates, let reception, let place = try row.optional(Int64.self) else { return }
      arrived = (LedgerColumns.message(fingerprint: try row.next(), reception: reception), place)
    }
  }

  /// A recipient's entry is done: moves him on where it decides his fate.
  private func decide(_ settled: Settled, _ address: String, _ end: RecipientEnd) throws {
    if let arrived = settled.arrived {
      try run(.moveReceptionRecipient, [end.rawValue, now, arrived.message, text(address), arrived.row, end.rank])
    } else if settled.isOwnEnvelope {
      try move(address, of: settled.pecID, to: end)
    }
  }

  /// Moves a recipient of a message of our own on to `end`, if he is not as far already.
  private func move(_ address: String, of pecID: String, to end: RecipientEnd) throws {
    try run(.moveRecipient, [end.rawValue, now, text(pecID), text(address), end.rank])
  }

  // MARK: - Values and statements

  func text(_ text: String) -> String { LedgerColumns.text(text) }
  func text(_ text: String?) -> String? { LedgerColumns.text(text) }

  func statement(_ which: LedgerStatement) throws -> Statement {
    if let statement = statements[which.rawValue] { return statement }
    let prepared = try db.cachedStatement(sql: LedgerStatement.texts[which.rawValue])
    statements[which.rawValue] = prepared
    return prepared
  }

  func run(_ which: LedgerStatement, _ values: StatementArguments) throws {
    try statement(which).execute(arguments: values)
  }
}

extension RecipientEnd {
  /// How far it is: the number that the statements compare with that of a row's state.
  fileprivate var rank: Int {
    switch self {
    case .relayed: 1
    case .takenInCharge: 2
    case .delivered, .failed: 3
    }
  }
}

extension MessageKind {
  /// True for what brings a message to its recipients. Receipts and notices go to the sender, whose address may stand among the
  /// recipients as well: that one of them arrived says nothing about the message.
  fileprivate var decidesFates: Bool {
    switch self {
    case .envelope, .notification, .ordinary, .anomaly: true
    case .acceptance, .nonAcceptance, .nonAcceptanceVirus, .nonDelivery, .timeoutFirst, .timeoutSecond, .takeCharge, .deliveryComplete,
      .deliveryBrief, .deliveryConcise, .virusDetection, .virusNonDelivery, .deliveryReport, .arrivalNotice:
      false
    }
  }
}

/// The statements of a commit.
enum LedgerStatement: Int, CaseIterable {
  case addEvent, addTransaction, addRecipient, addEntry, addEntryRecipient, addReception, addReceptionRecipient
  case findEntry, removeEntryRecipient, removeEmptyEntry, postpone, awaitProof, moveRecipient, moveReceptionRecipient
  case findTransaction, watch, unwatch, recipientStates

  /// How far a recipient is, as a number that only grows.
  private static let rank = "CASE state WHEN 'open' THEN 0 WHEN 'relayed' THEN 1 WHEN 'taken-in-charge' THEN 2 ELSE 3 END"

  /// The statements' texts by their number: they are not put together for each commit.
  static let texts = allCases.map(\.sql)

  private var sql: String {
    switch self {
    case .addEvent:
      """
      INSERT INTO events (number, at, utc_offset, day, kind, pec_id, sender, provider, recipient, error, bytes, chain, client_message_id,
        subject, related_ids, detail, recipients)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """
    case .addTransaction:
      """
      INSERT INTO transactions (pec_id, at, utc_offset, sender, reply_to, subject, raw_subject, client_message_id, receipt_type, bytes,
        accepted)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """
    case .addRecipient: "INSERT INTO recipients (transaction_id, address, position, class, state, changed_at) VALUES (?, ?, ?, ?, ?, ?)"
    case .addEntry:
      """
      INSERT INTO queue (entry, pec_id, message_id, kind, sender, route, content, created_at, due_at, attempts, last_error,
        reception, has_eight_bit, proof_token)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """
    case .addEntryRecipient: "INSERT INTO queue_recipients (queue_id, address, position, awaiting) VALUES (?, ?, ?, ?)"
    case .addReception:
      """
      INSERT INTO receptions (reception, pec_id, kind, provider, fingerprint, at, utc_offset, original_start, original_end,
        original_encoding, sent_at, sent_utc_offset, sender, reply_to, receipt_type, bytes, accepted, client_message_id, subject,
        raw_subject, certified_recipients)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """
    case .addReceptionRecipient:
      """
      INSERT INTO reception_recipients (message, address, reception_id, position, is_copy, state, changed_at)
      VALUES (?, ?, ?, ?, ?, ?, ?)
      """
    case .findEntry:
      """
      SELECT queue.id, queue.pec_id, queue.kind, queue.reception, receptions.id, receptions.fingerprint
      FROM queue LEFT JOIN receptions ON receptions.reception = queue.reception WHERE entry = ?
      """
    case .removeEntryRecipient: "DELETE FROM queue_recipients WHERE queue_id = ? AND address = ?"
    case .removeEmptyEntry:
      "DELETE FROM queue WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM queue_recipients WHERE queue_id = ?1)"
    case .postpone: "UPDATE queue SET due_at = ?, attempts = ?, last_error = ? WHERE entry = ?"
    case .awaitProof:
      "UPDATE queue_recipients SET awaiting = 1 WHERE queue_id = (SELECT id FROM queue WHERE entry = ?) AND address = ?"
    case .moveRecipient:
      """
      UPDATE recipients SET state = ?, changed_at = ?
      WHERE transaction_id = (SELECT id FROM transactions WHERE pec_id = ?) AND address = ? AND \(LedgerStatement.rank) < ?
      """
    case .findTransaction: "SELECT id FROM transactions WHERE pec_id = ?"
    case .watch: "INSERT INTO deadlines (due_at, transaction_id, stage) VALUES (?, ?, ?)"
    case .unwatch: "DELETE FROM deadlines WHERE due_at = ? AND transaction_id = ? AND stage = ?"
    case .recipientStates: "SELECT address, state FROM recipients WHERE transaction_id = ?"
    case .moveReceptionRecipient:
      """
      UPDATE reception_recipients SET state = ?, changed_at = ?
      WHERE message = ? AND address = ? AND reception_id = ? AND \(LedgerStatement.rank) < ?
      """
    }
  }
}
