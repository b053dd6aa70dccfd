internal import GRDB
public import Journey
public import PEC

/// What the readings need of a ledger: nothing that a caller can use by itself.
public struct LedgerAccess: Sendable {
  let reader: any DatabaseReader
  let path: String

  /// One reading: all its statements see the same state, and a commit that goes on meanwhile is not seen.
  func read<Value>(_ body: (Database) throws -> Value) throws(LedgerError) -> Value {
    do { return try reader.read(body) } catch { throw LedgerError(error, path: path) }
  }

  /// Reads all rows of a statement by `record`.
  func all<Value>(
    _ sql: String, _ arguments: StatementArguments = [], _ record: (Row, Database) throws -> Value
  ) throws(LedgerError) -> [Value] {
    try read { db in
      let rows = try Row.fetchCursor(try db.cachedStatement(sql: sql), arguments: arguments)
      var found: [Value] = []
      while let row = try rows.next() { found.append(try record(row, db)) }
      return found
    }
  }
}

/// What is read from a ledger: by the gateway that owns it, and by the operator's commands from another process.
public protocol LedgerReading: Sendable {
  var access: LedgerAccess { get }
}

/// A place in the queue's order (time of the next attempt, then order of arrival). It stays meaningful while the queue changes.
public struct QueueCursor: Sendable, Equatable {
  /// Unix seconds of the next attempt.
  public let dueAt: Int64
  let row: Int64
}

/// Some entries of the queue in due order.
public struct QueuePage: Sendable, Equatable {
  public var entries: [QueueEntry]
  /// Where the next page goes on; nil when there is no more.
  public var next: QueueCursor?
}

/// The fate of a recipient: of a transaction of our own, or of a message that arrived.
public struct RecipientStatus: Sendable, Equatable {
  /// How far it is.
  public enum State: String, Sendable, Codable {
    /// Nothing is known yet.
    case open
    /// The next hop took the envelope. For an ordinary recipient nothing more is heard.
    case relayed
    /// His provider took the message in charge.
    case takenInCharge = "taken-in-charge"
    /// It is in his mailbox.
    case delivered
    /// It will not be delivered.
    case failed
    /// The transaction was not accepted: nothing was sent to anybody.
    case refused
  }

  public var recipient: Recipient
  public var state: State
  /// Unix seconds of the last change.
  public var changedAt: Int64
}

/// The queue in numbers.
public struct QueueSummary: Sendable, Equatable {
  public var entries: Int
  /// Recipients whose fate is open, over all entries, without those of whom a report is awaited.
  public var recipients: Int
  /// Recipients whom a mailbox server has taken and of whom no report has come yet.
  public var awaiting: Int
  /// Unix seconds of the oldest entry.
  public var oldestCreatedAt: Int64?
  /// Unix seconds of the earliest attempt that is due.
  public var nextDueAt: Int64?
  /// Entries for each route, by the route's text.
  public var entriesByRoute: [String: Int]
}

extension LedgerReading {
  // MARK: - Queue

  /// Entries in due order, `limit` at the most.
  ///
  /// - Parameters:
  ///   - after: where the page before ended; nil for the beginning.
  ///   - dueBy: only entries that are due at this time (Unix seconds).
  ///   - free: passes over what the operator holds.
  public func dueEntries(
    limit: Int, after: QueueCursor? = nil, dueBy: Int64? = nil, free: Bool = false
  ) throws(LedgerError) -> QueuePage {
    let size = max(0, min(limit, 1_000_000))
    let found = try access.all(
      """
      SELECT \(LedgerRecords.entryColumns) FROM queue
      WHERE (due_at, id) > (?, ?) AND due_at <= ?\(free ? " AND NOT \(QueueCondition.isHeld)" : "") ORDER BY due_at, id LIMIT ?
      """, [after?.dueAt ?? .min, after?.row ?? .min, dueBy ?? .max, size + 1],
      { row, db in try LedgerRecords.entry(row, db, path: access.path) })
    let page = found.prefix(size)
    return QueuePage(entries: page.map(\.entry), next: found.count > size ? page.last?.place : nil)
  }

  /// All entries in due order.
  public func allEntries() throws(LedgerError) -> [QueueEntry] {
    try access.all("SELECT \(LedgerRecords.entryColumns) FROM queue ORDER BY due_at, id") { row, db in
      try LedgerRecords.entry(row, db, path: access.path).entry
    }
  }

  /// The entry of that id; nil when it is done, or never was.
  public func entry(_ id: String) throws(LedgerError) -> QueueEntry? {
    try access.all("SELECT \(LedgerRecords.entryColumns) FROM queue WHERE entry = ?", [LedgerColumns.text(id)]) { row, db in
      try LedgerRecords.entry(row, db, path: access.path).entry
    }.first
  }

  /// All entries that are about a message, in due order; reads the whole queue.
  public func entries(pecID: String) throws(LedgerError) -> [QueueEntry] {
    try access.all(
      "SELECT \(LedgerRecords.entryColumns) FROM queue WHERE pec_id = ? ORDER BY due_at, id", [LedgerColumns.text(pecID)]
    ) { row, db in try LedgerRecords.entry(row, db, path: access.path).entry }
  }

  /// The entry whose delivery reports bear this token (RFC 3461 §4.4), the first if there are several; nil when no report is awaited
  /// under it.
  public func entry(proofToken: String) throws(LedgerError) -> QueueEntry? {
    try access.all(
      "SELECT \(LedgerRecords.entryColumns) FROM queue WHERE proof_token = ? ORDER BY id LIMIT 1", [LedgerColumns.text(proofToken)]
    ) { row, db in try LedgerRecords.entry(row, db, path: access.path).entry }.first
  }

  /// The queue in numbers.
  public func queueSummary() throws(LedgerError) -> QueueSummary {
    try access.read { db in
      var byRoute: [String: Int] = [:]
      for row in try Row.fetchAll(db, sql: "SELECT route, count(*) FROM queue GROUP BY route") {
        var row = StoredRow(row, of: "queue", path: access.path)
        byRoute[try row.next(String.self)] = try row.next(Int.self)
      }
      let recipients = try Int.fetchOne(db, sql: "SELECT count(*) FROM queue_recipients") ?? 0
      let awaiting = try Int.fetchOne(db, sql: "SELECT count(*) FROM queue_recipients WHERE awaiting") ?? 0
      return QueueSummary(
        entries: byRoute.values.reduce(0, +), recipients: recipients - awaiting, awaiting: awaiting,
        oldestCreatedAt: try Int64.fetchOne(db, sql: "SELECT min(created_at) FROM queue"),
        nextDueAt: try Int64.fetchOne(db, sql: "SELECT min(due_at) FROM queue"), entriesByRoute: byRoute)
    }
  }

  // MARK: - Transactions

  /// The transaction of a PEC id (without angle brackets); nil when there is none.
  public func transaction(pecID: String) throws(LedgerError) -> TransactionRecord? {
    try transactions("pec_id = ?", LedgerColumns.text(pecID)).first
  }

  /// The fate of each recipient of a transaction, in the order given by the sender.
  public func recipientStates(pecID: String) throws(LedgerError) -> [RecipientStatus] {
    try access.all(
      """
      SELECT address, class, state, changed_at FROM recipients
      WHERE transaction_id = (SELECT id FROM transactions WHERE pec_id = ?) ORDER BY position
      """, [LedgerColumns.text(pecID)], { row, _ in try LedgerRecords.status(row, path: access.path) })
  }

  private func transactions(_ condition: String, _ value: String) throws(LedgerError) -> [TransactionRecord] {
    try access.all("SELECT \(LedgerRecords.transactionColumns) FROM transactions WHERE \(condition) ORDER BY id", [value]) { row, db in
      try LedgerRecords.transaction(row, db, path: access.path)
    }
  }
}
