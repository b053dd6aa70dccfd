internal import Foundation
internal import GRDB
public import Journey
internal import PEC

/// As much of a reception as it takes to know a message that arrives again.
public struct KnownArrival: Sendable, Equatable {
  /// Our own identifier of the reception.
  public var id: String
  /// PEC id that the message certifies.
  public var pecID: String
  /// Hexadecimal digest over the signed octets and the signer's certificate; empty for ordinary mail.
  public var fingerprint: String
  /// Name of the provider that signed it; empty for ordinary mail.
  public var provider: String
  /// What the message was taken for.
  public var kind: ReceptionKind
  /// Recipients of that reception.
  public var recipients: [String]
}

extension LedgerReading {
  /// The reception of that id; nil when there is none. A recipient that the transaction named twice is in it once.
  public func reception(id: String) throws(LedgerError) -> ReceptionRecord? {
    try receptions("reception = ?", [LedgerColumns.text(id)]).first
  }

  /// Receptions of messages that certify this PEC id (without angle brackets), oldest first, `limit` at the most: an envelope may come
  /// in several transactions, each for some of its recipients.
  public func receptions(pecID: String, limit: Int = 1000) throws(LedgerError) -> [ReceptionRecord] {
    try receptions("pec_id = ? ORDER BY id LIMIT ?", [LedgerColumns.text(pecID), max(0, limit)])
  }

  /// The fate of each recipient of a reception, in the order of its transaction. All of them are of domains that this provider manages.
  public func receptionStates(id: String) throws(LedgerError) -> [RecipientStatus] {
    try access.all(
      """
      SELECT address, ?, state, changed_at FROM reception_recipients
      JOIN receptions ON receptions.id = reception_id AND message = \(LedgerReceptions.message)
      WHERE reception = ? ORDER BY position
      """, [RecipientClass.certified.rawValue, LedgerColumns.text(id)], { row, _ in try LedgerRecords.status(row, path: access.path) })
  }

  /// Receptions of messages that certify this PEC id or have this fingerprint, in the order of arrival: what tells a message that was
  /// here before from another that bears the id of one. With an empty fingerprint the id alone counts.
  ///
  /// Of receptions with the id, the first thousand. It reads no more than it gives, because an envelope that comes once for each of its
  /// recipients is looked up each time.
  public func knownArrivals(pecID: String, fingerprint: String) throws(LedgerError) -> [KnownArrival] {
    try access.read { db in
      let found = try db.cachedStatement(sql: LedgerReceptions.find)
      let texts: StatementArguments = [LedgerColumns.text(pecID), LedgerColumns.text(fingerprint)]
      var arrivals: [KnownArrival] = []
      var places: [Int64: Int] = [:]
      var messages: Set<String> = []
      let rows = try Row.fetchCursor(found, arguments: texts)
      while let stored = try rows.next() {
        var row = StoredRow(stored, of: "receptions", path: access.path)
        places[try row.next()] = arrivals.count
        let arrival = KnownArrival(
          id: try row.next(), pecID: try row.next(), fingerprint: try row.next(), provider: try row.next(),
          kind: try row.next { ReceptionKind(rawValue: $0) }, recipients: [])
        messages.insert(LedgerColumns.message(fingerprint: arrival.fingerprint, reception: arrival.id))
        arrivals.append(arrival)
      }
      let recipients = try db.cachedStatement(
        sql: "SELECT reception_id, address FROM reception_recipients WHERE message = ? ORDER BY reception_id, position")
      for message in messages {
        let rows = try Row.fetchCursor(recipients, arguments: [message])
        while let stored = try rows.next() {
          var row = StoredRow(stored, of: "reception_recipients", path: access.path)
          if let place = places[try row.next()] { arrivals[place].recipients.append(try row.next()) }
        }
      }
      return arrivals
    }
  }

  private func receptions(_ condition: String, _ arguments: StatementArguments) throws(LedgerError) -> [ReceptionRecord] {
    // Receptions of one message have the same column of certified recipients, which may be long: it is read once.
    var last: (column: String, recipients: [Recipient]) = ("[]", [])
    return try access.all("SELECT \(LedgerReceptions.columns) FROM receptions WHERE \(condition)", arguments) { row, db in
      try LedgerReceptions.record(row, db, path: access.path) { column in
        if column == last.column { return last.recipients }
        guard let read = LedgerColumns.recipients(column) else { return nil }
        last = (column, read)
        return read
      }
    }
  }
}

/// Rows of receptions as records, and the columns they are read from.
enum LedgerReceptions {
  static let columns = """
    id, reception, pec_id, kind, provider, fingerprint, at, utc_offset, original_start, original_end, original_encoding, sent_at, \
    sent_utc_offset, sender, reply_to, receipt_type, bytes, accepted, client_message_id, subject, raw_subject, certified_recipients
    """

  /// What `LedgerColumns.message` makes, from the columns of a reception.
  static let message = "CASE fingerprint WHEN '' THEN '@' || reception ELSE fingerprint END"

  /// An id or a fingerprint; each part by its own index.
  static let find = """
    SELECT id, reception, pec_id, fingerprint, provider, kind FROM receptions WHERE id IN (
      SELECT id FROM (SELECT id FROM receptions WHERE pec_id = ?1 ORDER BY id LIMIT 1000)
      UNION SELECT reception_id FROM reception_recipients WHERE message = ?2
    ) ORDER BY id
    """

  static func record(
    _ row: Row, _ db: Database, path: String, certified: (String) -> [Recipient]?
  ) throws -> ReceptionRecord {
    var row = StoredRow(row, of: "receptions", path: path)
    let id = try row.next(Int64.self)
    let (reception, pecID): (String, String) = (try row.next(), try row.next())
    let kind = try row.next { ReceptionKind(rawValue: $0) }
    let (provider, fingerprint): (String, String) = (try row.next(), try row.next())
    let instant = Instant(unixSeconds: try row.next(), utcOffsetSeconds: try row.next())
    let original = try range(try row.optional(), try row.optional(), path: path)
    let encoding = try row.next(String.self)
    let sentAt = Instant(unixSeconds: try row.next(), utcOffsetSeconds: try row.next())
    let (sender, replyTo): (String, String) = (try row.next(), try row.next())
    let receiptType = try row.next { ReceiptType(rawValue: $0) }
    let (bytes, accepted): (Int, Bool) = (try row.next(), try row.next())
    let clientMessageID = try row.optional(String.self)
    let (subject, rawSubject) = (try row.optional(String.self), try row.optional(Data.self))
    let facts = TransactionRecord(
      pecID: pecID, instant: sentAt, sender: sender, recipients: try row.next(certified), replyTo: replyTo, subject: subject,
      rawSubject: rawSubject.map { [UInt8]($0) }, clientMessageID: clientMessageID, receiptType: receiptType, bytes: bytes,
      accepted: accepted)
    let message = LedgerColumns.message(fingerprint: fingerprint, reception: reception)
    let (recipients, copies) = try recipients(of: id, message, db, path: path)
    return ReceptionRecord(
      id: reception, instant: instant, kind: kind, facts: facts, recipients: recipients, copyRecipients: copies, provider: provider,
      fingerprint: fingerprint, original: original, originalEncoding: encoding)
  }

  /// All recipients of a reception, and those of them that are named in Cc alone.
  private static func recipients(
    of id: Int64, _ message: String, _ db: Database, path: String
  ) throws -> (all: [String], copies: [String]) {
    let statement = try db.cachedStatement(
      sql: "SELECT address, is_copy FROM reception_recipients WHERE message = ? AND reception_id = ? ORDER BY position")
    var (all, copies): ([String], [String]) = ([], [])
    let rows = try Row.fetchCursor(statement, arguments: [message, id])
    while let stored = try rows.next() {
      var row = StoredRow(stored, of: "reception_recipients", path: path)
      let address = try row.next(String.self)
      all.append(address)
      if try row.next(Bool.self) { copies.append(address) }
    }
    return (all, copies)
  }

  private static func range(_ start: Int?, _ end: Int?, path: String) throws -> Range<Int>? {
    if start == nil, end == nil { return nil }
    guard let start, let end, 0 <= start, start <= end else {
      throw LedgerError.damaged(path: path, detail: "table receptions, the place of an original cannot be read")
    }
    return start..<end
  }
}
