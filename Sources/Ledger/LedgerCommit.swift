internal import Foundation
internal import GRDB
internal import Journey
internal import PEC

/// Applies changes within one transaction.
///
/// It makes several hundred rows while senders wait for their 250, so each statement is looked up once for a commit, values go to it
/// without a detour, and what the events of a message have in common is put into its column's form once.
final class LedgerCommit {
  private let db: Database
  /// Unix seconds, for what the change itself does not date.
  private let now: Int64
  private let path: String
  private var statements = [Statement?](repeating: nil, count: LedgerStatement.allCases.count)
  private var lastRecipients: (recipients: [Recipient], column: String) = ([], "[]")

  init(db: Database, now: Int64, path: String) {
    self.db = db
    self.now = now
    self.path = path
  }

  func apply(_ change: LedgerChange) throws {
    switch change {
    case .event(let event): try add(event)
    case .transaction(let transaction): try add(transaction)
    case .enqueue(let entry): try add(entry)
    case .settle(let entry, let recipients, let end): try settle(entry, recipients, end)
    case .postpone(let entry, let dueAt, let attempts, let lastError):
      // An entry that is gone meanwhile (dropped by the operator) has nothing to be postponed.
      try run(.postpone, [dueAt, attempts, text(lastError), text(entry)])
    }
  }

  // MARK: - Rows

  private func add(_ event: EventRecord) throws {
    if event.recipients != lastRecipients.recipients {
      lastRecipients = (event.recipients, LedgerColumns.json(event.recipients))
    }
    try run(
      .addEvent,
      [
        event.number, text(event.pecID), event.instant.unixSeconds, event.instant.utcOffsetSeconds,
        LedgerColumns.day(event.instant), event.kind.rawValue, text(event.sender), lastRecipients.column,
        text(event.subject), text(event.clientMessageID), LedgerColumns.json(event.relatedIDs), text(event.provider),
        text(event.recipient), text(event.error), text(event.detail), event.bytes,
      ])
  }

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
        entry.attempts, text(entry.lastError),
      ])
    let id = db.lastInsertedRowID
    for (position, address) in entry.recipients.enumerated() { try run(.addEntryRecipient, [id, text(address), position]) }
  }

  /// Takes recipients out of an entry, and the entry out of the queue with its last one. Settling what is settled changes nothing.
  private func settle(_ entry: String, _ recipients: [String], _ end: RecipientEnd) throws {
    guard let stored = try Row.fetchOne(try statement(.findEntry), arguments: [text(entry)]) else { return }
    var row = StoredRow(stored, of: "queue", path: path)
    let (id, pecID, kind) = (try row.next(Int64.self), try row.next(String.self), try row.next { MessageKind(rawValue: $0) })
    for address in recipients {
      try run(.removeEntryRecipient, [id, text(address)])
      // Receipts and notices go to the sender, whose address may stand among the recipients as well: only envelopes decide fates.
      if db.changesCount > 0, kind == .envelope { try run(.settleRecipient, [end.rawValue, now, text(pecID), text(address)]) }
    }
    let isLeft = try Bool.fetchOne(try statement(.hasRecipients), arguments: [id])
    if isLeft != true { try run(.removeEntry, [id]) }
  }

  // MARK: - Values and statements

  private func text(_ text: String) -> String { LedgerColumns.text(text) }
  private func text(_ text: String?) -> String? { LedgerColumns.text(text) }

  private func statement(_ which: LedgerStatement) throws -> Statement {
    if let statement = statements[which.rawValue] { return statement }
    let prepared = try db.cachedStatement(sql: which.sql)
    statements[which.rawValue] = prepared
    return prepared
  }

  private func run(_ which: LedgerStatement, _ values: StatementArguments) throws {
    try statement(which).execute(arguments: values)
  }
}

/// The statements of a commit.
private enum LedgerStatement: Int, CaseIterable {
  case addEvent, addTransaction, addRecipient, addEntry, addEntryRecipient, findEntry
  case removeEntryRecipient, hasRecipients, removeEntry, settleRecipient, postpone

  var sql: String {
    switch self {
    case .addEvent:
      """
      INSERT INTO events (number, pec_id, at, utc_offset, day, kind, sender, recipients, subject, client_message_id, related_ids,
        provider, recipient, error, detail, bytes)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
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
      INSERT INTO queue (entry, pec_id, message_id, kind, sender, route, content, created_at, due_at, attempts, last_error)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """
    case .addEntryRecipient: "INSERT INTO queue_recipients (queue_id, address, position) VALUES (?, ?, ?)"
    case .findEntry: "SELECT id, pec_id, kind FROM queue WHERE entry = ?"
    case .removeEntryRecipient: "DELETE FROM queue_recipients WHERE queue_id = ? AND address = ?"
    case .hasRecipients: "SELECT EXISTS (SELECT 1 FROM queue_recipients WHERE queue_id = ?)"
    case .removeEntry: "DELETE FROM queue WHERE id = ?"
    case .settleRecipient:
      """
      UPDATE recipients SET state = ?, changed_at = ?
      WHERE transaction_id = (SELECT id FROM transactions WHERE pec_id = ?) AND address = ?
      """
    case .postpone: "UPDATE queue SET due_at = ?, attempts = ?, last_error = ? WHERE entry = ?"
    }
  }
}
