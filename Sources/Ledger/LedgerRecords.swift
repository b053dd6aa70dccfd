internal import Foundation
internal import GRDB
internal import Journey
internal import PEC

/// Rows as records, and the columns they are read from.
enum LedgerRecords {
  static let eventColumns = """
    number, at, utc_offset, kind, pec_id, sender, provider, recipient, error, bytes, client_message_id, subject, related_ids, detail, \
    recipients
    """

  static func event(_ row: Row, path: String) throws -> EventRecord {
    var row = StoredRow(row, of: "events", path: path)
    let number = try row.next(Int64.self)
    let instant = Instant(unixSeconds: try row.next(), utcOffsetSeconds: try row.next())
    let kind = try row.next { EventKind(rawValue: $0) }
    let (pecID, sender, provider): (String, String, String) = (try row.next(), try row.next(), try row.next())
    let (recipient, error): (String?, String?) = (try row.optional(), try row.optional())
    let bytes = try row.next(Int.self)
    let (clientMessageID, subject): (String?, String?) = (try row.optional(), try row.optional())
    let relatedIDs = try row.next { LedgerColumns.texts($0) }
    let detail = try row.optional(String.self)
    return EventRecord(
      number: number, pecID: pecID, instant: instant, kind: kind, sender: sender,
      recipients: try row.next { LedgerColumns.recipients($0) }, subject: subject, clientMessageID: clientMessageID,
      relatedIDs: relatedIDs, provider: provider, recipient: recipient, error: error, detail: detail, bytes: bytes)
  }

  static let entryColumns = """
    id, entry, pec_id, message_id, kind, sender, route, content, created_at, due_at, attempts, last_error, reception, \
    has_eight_bit, proof_token
    """

  /// A queue entry with its place in the table. Its recipients are read from their own table.
  static func entry(_ row: Row, _ db: Database, path: String) throws -> (entry: QueueEntry, place: QueueCursor) {
    var row = StoredRow(row, of: "queue", path: path)
    let id = try row.next(Int64.self)
    let addresses = try db.cachedStatement(sql: "SELECT address, awaiting FROM queue_recipients WHERE queue_id = ? ORDER BY position")
    var (recipients, awaiting): ([String], [String]) = ([], [])
    let cursor = try Row.fetchCursor(addresses, arguments: [id])
    while let stored = try cursor.next() {
      var recipient = StoredRow(stored, of: "queue_recipients", path: path)
      let address = try recipient.next(String.self)
      if try recipient.next(Bool.self) { awaiting.append(address) } else { recipients.append(address) }
    }
    let entry = QueueEntry(
      id: try row.next(), pecID: try row.next(), messageID: try row.next(), kind: try row.next { MessageKind(rawValue: $0) },
      sender: try row.next(), recipients: recipients, route: try row.next { Route(text: $0) },
      content: try row.next { LedgerColumns.ranges($0) }, createdAt: try row.next(), dueAt: try row.next(), attempts: try row.next(),
      lastError: try row.optional(), reception: try row.optional(), hasEightBit: try row.next(), proofToken: try row.optional(),
      awaiting: awaiting)
    return (entry, QueueCursor(dueAt: entry.dueAt, row: id))
  }

  static let transactionColumns = """
    id, pec_id, at, utc_offset, sender, reply_to, subject, raw_subject, client_message_id, receipt_type, bytes, accepted
    """

  static func transaction(_ row: Row, _ db: Database, path: String) throws -> TransactionRecord {
    var row = StoredRow(row, of: "transactions", path: path)
    let id = try row.next(Int64.self)
    let recipients = try db.cachedStatement(
      sql: "SELECT address, class, state, changed_at FROM recipients WHERE transaction_id = ? ORDER BY position")
    return TransactionRecord(
      pecID: try row.next(), instant: Instant(unixSeconds: try row.next(), utcOffsetSeconds: try row.next()), sender: try row.next(),
      recipients: try Row.fetchAll(recipients, arguments: [id]).map { try status($0, path: path).recipient }, replyTo: try row.next(),
      subject: try row.optional(), rawSubject: try row.optional(Data.self).map { [UInt8]($0) }, clientMessageID: try row.optional(),
      receiptType: try row.next { ReceiptType(rawValue: $0) }, bytes: try row.next(), accepted: try row.next())
  }

  /// A recipient's row: address, class, state, time of change.
  static func status(_ row: Row, path: String) throws -> RecipientStatus {
    var row = StoredRow(row, of: "recipients", path: path)
    return RecipientStatus(
      recipient: Recipient(address: try row.next(), recipientClass: try row.next { RecipientClass(rawValue: $0) }),
      state: try row.next { RecipientStatus.State(rawValue: $0) }, changedAt: try row.next())
  }
}
