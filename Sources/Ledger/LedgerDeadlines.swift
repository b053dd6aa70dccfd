internal import GRDB
public import Journey
internal import Octets
internal import PEC

extension LedgerCommit {
  /// Row of a transaction.
  private func transaction(_ pecID: String) throws -> Int64 {
    guard let id = try Int64.fetchOne(try statement(.findTransaction), arguments: [text(pecID)]) else {
      throw LedgerError.conflict("there is no transaction for a deadline")
    }
    return id
  }

  func add(_ watch: DeadlineWatch) throws { try run(.watch, [watch.dueAt, try transaction(watch.pecID), watch.stage.rawValue]) }

  /// Takes a deadline that was decided about, if all that the decision rests on is still so.
  func pass(_ watch: DeadlineWatch, _ progress: [RecipientProgress], _ next: DeadlineWatch?) throws {
    let id = try transaction(watch.pecID)
    try run(.unwatch, [watch.dueAt, id, watch.stage.rawValue])
    guard db.changesCount == 1 else { throw LedgerError.conflict("a deadline has been decided about already") }
    var ends: [String: RecipientEnd?] = [:]
    let rows = try Row.fetchCursor(try statement(.recipientStates), arguments: [id])
    while let stored = try rows.next() {
      var row = StoredRow(stored, of: "recipients", path: path)
      let address = try row.next(String.self)
      ends[ASCII.lowercased(address)] = try row.next { RecipientStatus.State(rawValue: $0) }.end
    }
    for one in progress {
      guard let end = ends[ASCII.lowercased(text(one.recipient.address))], end == one.end else {
        throw LedgerError.conflict("a recipient was heard of while his deadline was decided about")
      }
    }
    if let next { try add(next) }
  }

  /// Ends the deadlines that a restore brought back, and their hold.
  func dropRestoredDeadlines(_ at: Int64) throws {
    guard let row = try Int64.fetchOne(db, sql: DeadlineHold.row) else {
      throw LedgerError.conflict("no deadlines of a restored backup are held")
    }
    try db.execute(sql: "DELETE FROM deadlines WHERE transaction_id <= ?", arguments: [row])
    try release(.notices(through: row), at)
  }
}

/// What a restore holds of the deadlines.
enum DeadlineHold {
  /// The last transaction whose deadline waits until an operator decides about what was restored; null when none does.
  static let row = """
    SELECT max(CAST(substr(name, \(QueueScope.noticesName.utf8.count + 1)) AS INTEGER)) FROM queue_holds
    WHERE released_at IS NULL AND scope = 'all' AND name LIKE '\(QueueScope.noticesName)%'
    """

  /// True for a deadline that may be looked at. The sign keeps SQLite from going by the index of transactions: in the order of times the
  /// first that is free is the one.
  static let isFree = "+transaction_id > ifnull((\(row)), 0)"
}

extension RecipientStatus.State {
  /// The same as it stands in records: nothing is known of what is open, and what was refused will not be delivered.
  fileprivate var end: RecipientEnd? {
    switch self {
    case .open: nil
    case .relayed: .relayed
    case .takenInCharge: .takenInCharge
    case .delivered: .delivered
    case .failed, .refused: .failed
    }
  }
}

extension LedgerReading {
  /// Deadlines that have come at this time (Unix seconds), oldest first, `limit` at the most, with the state of all recipients. Those that a
  /// restore holds have not.
  public func dueDeadlines(at now: Int64, limit: Int) throws(LedgerError) -> [DueDeadline] {
    try deadlines("due_at <= ? AND \(DeadlineHold.isFree) ORDER BY due_at, transaction_id LIMIT ?", [now, max(0, limit)])
  }

  /// Unix seconds of the earliest deadline that no restore holds; nil when none runs.
  public func nextDeadline() throws(LedgerError) -> Int64? {
    try access.read {
      try Int64.fetchOne($0, sql: "SELECT due_at FROM deadlines WHERE \(DeadlineHold.isFree) ORDER BY due_at LIMIT 1")
    }
  }

  /// Deadlines that wait because a backup brought them back.
  public func heldDeadlineCount() throws(LedgerError) -> Int {
    try access.read {
      try Int.fetchOne($0, sql: "SELECT count(*) FROM deadlines WHERE transaction_id <= ifnull((\(DeadlineHold.row)), 0)") ?? 0
    }
  }

  /// What a restore is to hold: up to when entries were made, and the last transaction.
  public func restorePoint() throws(LedgerError) -> (createdAt: Int64, transaction: Int64, heldAt: Int64) {
    try access.read { db in
      (
        try Int64.fetchOne(db, sql: "SELECT max(created_at) FROM queue") ?? 0,
        try Int64.fetchOne(db, sql: "SELECT max(id) FROM transactions") ?? 0,
        try Int64.fetchOne(db, sql: "SELECT max(held_at) FROM queue_holds") ?? 0
      )
    }
  }

  /// The deadline that runs for the transaction of a PEC id; nil when none does.
  public func deadline(pecID: String) throws(LedgerError) -> DeadlineWatch? {
    try deadlines("transaction_id = (SELECT id FROM transactions WHERE pec_id = ?)", [LedgerColumns.text(pecID)]).first?.watch
  }

  /// How many deadlines run.
  public func deadlineCount() throws(LedgerError) -> Int {
    try access.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM deadlines") ?? 0 }
  }

  private func deadlines(_ condition: String, _ arguments: StatementArguments) throws(LedgerError) -> [DueDeadline] {
    try access.all("SELECT transaction_id, due_at, stage FROM deadlines WHERE \(condition)", arguments) { stored, db in
      var row = StoredRow(stored, of: "deadlines", path: access.path)
      let (id, dueAt, stage) = (try row.next(Int64.self), try row.next(Int64.self), try row.next(Int.self))
      let found = try Row.fetchOne(
        try db.cachedStatement(sql: "SELECT \(LedgerRecords.transactionColumns) FROM transactions WHERE id = ?"), arguments: [id])
      guard let found, let stage = DeadlineStage(rawValue: stage) else {
        throw LedgerError.damaged(path: access.path, detail: "table deadlines, a row belongs to no transaction")
      }
      let states = try db.cachedStatement(
        sql: "SELECT address, class, state, changed_at FROM recipients WHERE transaction_id = ? ORDER BY position")
      let progress = try Row.fetchAll(states, arguments: [id]).map { row in
        let status = try LedgerRecords.status(row, path: access.path)
        return RecipientProgress(recipient: status.recipient, end: status.state.end)
      }
      let transaction = try LedgerRecords.transaction(found, db, path: access.path)
      return DueDeadline(
        watch: DeadlineWatch(pecID: transaction.pecID, stage: stage, dueAt: dueAt), transaction: transaction, progress: progress)
    }
  }
}
