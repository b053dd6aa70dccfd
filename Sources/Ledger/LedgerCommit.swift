internal import Foundation
internal import GRDB
internal import Journey
internal import Octets
internal import PEC

/// Applies changes within one transaction.
///
/// It makes several hundred rows while senders wait for their 250, so each statement is looked up once for a commit, values go to it
/// without a detour, and what the events of a message have in common is put into its column's form once.
final class LedgerCommit {
  let db: Database
  /// Unix seconds, for what the change itself does not date.
  let now: Int64
  let path: String
  private var statements = [Statement?](repeating: nil, count: LedgerStatement.allCases.count)
  private var log: LogWriter

  init(db: Database, tail: LogTail, now: Int64, path: String) {
    self.db = db
    self.now = now
    self.path = path
    log = LogWriter(after: tail)
  }

  /// Where the log ends with what was applied.
  var tail: LogTail { log.tail }

  /// Stores what was gathered on the way. Nothing is applied afterwards.
  func finish() throws { try log.finish(db) }

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
      for address in recipients { try move(.moveRecipient, to: end, [text(pecID), text(address)]) }
    case .awaitProof(let entry, let recipients):
      for address in recipients { try run(.awaitProof, [text(entry), text(address)]) }
    case .watch(let watch): try add(watch)
    case .deadlinePassed(let watch, let progress, let next): try pass(watch, progress, next)
    case .seal(let seal): try add(seal)
    case .stamp(let seal, let at, let authority): try stamp(seal, at, authority)
    case .request(let request): try store(request)
    case .hold(let hold): try add(hold)
    case .liftHold(let id): try liftHold(id)
    case .purge(let first, let last): try purge(first, last)
    case .mailboxes(let day, let counts): try store(counts, on: day)
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
    // Most entries have one recipient, and go with him in one statement.
    if recipients.count == 1,
      let gone = try Row.fetchOne(try statement(.removeLast), arguments: [text(entry), text(recipients[0]), text(recipients[0])])
    {
      var row = StoredRow(gone, of: "queue", path: path)
      _ = try row.next(Int64.self)
      return try decide(try Settled(&row, in: self), recipients[0], end)
    }
    guard let stored = try Row.fetchOne(try statement(.findEntry), arguments: [text(entry)]) else { return }
    var row = StoredRow(stored, of: "queue", path: path)
    let id = try row.next(Int64.self)
    let settled = try Settled(&row, in: self)
    for address in recipients {
      try run(.removeEntryRecipient, [id, text(address)])
      if db.changesCount > 0 { try decide(settled, address, end) }
    }
    let isLeft = try Bool.fetchOne(try statement(.hasRecipients), arguments: [id])
    if isLeft != true { try run(.removeEntry, [id]) }
  }

  /// What an entry says about the fates that it decides.
  private struct Settled {
    var pecID: String
    var isOwnEnvelope: Bool
    var arrived: (message: String, row: Int64)?

    /// From the columns that follow the id.
    init(_ row: inout StoredRow, in commit: LedgerCommit) throws {
      pecID = try row.next(String.self)
      let kind = try row.next { MessageKind(rawValue: $0) }
      let reception = try row.optional(String.self)
      isOwnEnvelope = reception == nil && kind == .envelope
      arrived = kind.decidesFates ? try reception.flatMap { try commit.place(of: $0) } : nil
    }
  }

  /// A recipient's entry is done: moves him on where it decides his fate.
  private func decide(_ settled: Settled, _ address: String, _ end: RecipientEnd) throws {
    if let arrived = settled.arrived {
      try move(.moveReceptionRecipient, to: end, [arrived.message, text(address), arrived.row])
    } else if settled.isOwnEnvelope {
      try move(.moveRecipient, to: end, [text(settled.pecID), text(address)])
    }
  }

  /// Where the recipients of a reception stand; nil when it is not there.
  private func place(of reception: String) throws -> (message: String, row: Int64)? {
    guard let stored = try Row.fetchOne(try statement(.findReception), arguments: [text(reception)]) else { return nil }
    var row = StoredRow(stored, of: "receptions", path: path)
    let (id, fingerprint) = (try row.next(Int64.self), try row.next(String.self))
    return (LedgerColumns.message(fingerprint: fingerprint, reception: text(reception)), id)
  }

  /// Moves a recipient on to `end`, if he is not as far already.
  private func move(_ which: LedgerStatement, to end: RecipientEnd, _ place: StatementArguments) throws {
    let rank =
      switch end {
      case .relayed: 1
      case .takenInCharge: 2
      case .delivered, .failed: 3
      }
    try run(which, [end.rawValue, now] + place + [rank])
  }

  // MARK: - Values and statements

  func text(_ text: String) -> String { LedgerColumns.text(text) }
  func text(_ text: String?) -> String? { LedgerColumns.text(text) }

  func statement(_ which: LedgerStatement) throws -> Statement {
    if let statement = statements[which.rawValue] { return statement }
    let prepared = try db.cachedStatement(sql: which.sql)
    statements[which.rawValue] = prepared
    return prepared
  }

  func run(_ which: LedgerStatement, _ values: StatementArguments) throws {
    try statement(which).execute(arguments: values)
  }
}

extension MessageKind {
  /// True for what brings a message to its recipients. Receipts and notices go to the sender, whose address may stand among the
  /// recipients as well: that one of them arrived says nothing about the message.
  fileprivate var decidesFates: Bool {
    switch self {
    case .envelope, .notification, .ordinary, .anomaly: true
    case .acceptance, .nonAcceptance, .nonAcceptanceVirus, .nonDelivery, .timeoutFirst, .timeoutSecond, .takeCharge, .deliveryComplete,
      .deliveryBrief, .deliveryConcise, .virusDetection, .virusNonDelivery, .deliveryReport:
      false
    }
  }
}

/// The statements of a commit.
enum LedgerStatement: Int, CaseIterable {
  case addEvent, addTransaction, addRecipient, addEntry, addEntryRecipient, addReception, addReceptionRecipient
  case findEntry, removeLast, removeEntryRecipient, hasRecipients, removeEntry, postpone, awaitProof
  case findReception, moveRecipient, moveReceptionRecipient
  case findTransaction, watch, unwatch, recipientStates

  /// How far a recipient is, as a number that only grows.
  private static let rank = "CASE state WHEN 'open' THEN 0 WHEN 'relayed' THEN 1 WHEN 'taken-in-charge' THEN 2 ELSE 3 END"

  var sql: String {
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
    case .findEntry: "SELECT id, pec_id, kind, reception FROM queue WHERE entry = ?"
    // With its row in queue_recipients, by that table's foreign key.
    case .removeLast:
      """
      DELETE FROM queue WHERE entry = ?
        AND EXISTS (SELECT 1 FROM queue_recipients WHERE queue_id = queue.id AND address = ?)
        AND NOT EXISTS (SELECT 1 FROM queue_recipients WHERE queue_id = queue.id AND address <> ?)
      RETURNING id, pec_id, kind, reception
      """
    case .removeEntryRecipient: "DELETE FROM queue_recipients WHERE queue_id = ? AND address = ?"
    case .hasRecipients: "SELECT EXISTS (SELECT 1 FROM queue_recipients WHERE queue_id = ?)"
    case .removeEntry: "DELETE FROM queue WHERE id = ?"
    case .postpone: "UPDATE queue SET due_at = ?, attempts = ?, last_error = ? WHERE entry = ?"
    case .awaitProof:
      "UPDATE queue_recipients SET awaiting = 1 WHERE queue_id = (SELECT id FROM queue WHERE entry = ?) AND address = ?"
    case .findReception: "SELECT id, fingerprint FROM receptions WHERE reception = ?"
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
