internal import GRDB
public import Journey
public import PEC

/// Which entries of the queue are meant: those for which all of it holds.
public struct QueueFilter: Sendable, Equatable {
  /// What an operator named: entries by a route, with a recipient of a domain, one entry, all.
  public var scopes: [QueueScope]
  /// MAIL FROM, in any case; nil for everybody's.
  public var sender: String?
  /// True for entries alone that wait because all their recipients are held.
  public var isHeld = false
  /// Only messages of these kinds; nil for all.
  public var kinds: [MessageKind]?

  /// Everything; or what a scope says.
  public init(_ scopes: QueueScope...) { self.scopes = scopes }
}

/// Entries in the order of their arrival, and where a reading of them ended.
public struct QueueSelection: Sendable, Equatable {
  public var entries: [QueueEntry]
  /// Where the next reading goes on; nil when there is no more.
  public var next: Int64?
}

/// A condition on rows of the table `queue`.
struct QueueCondition {
  private(set) var sql: String
  private(set) var arguments: StatementArguments = []

  /// What an operator named.
  init(_ scope: QueueScope) {
    switch scope {
    case .all: sql = "1"
    case .route(let route): (sql, arguments) = ("route = ?", [LedgerColumns.text(route.text)])
    case .domain(let domain):
      sql = "EXISTS (SELECT 1 FROM queue_recipients WHERE queue_id = queue.id AND \(QueueCondition.domain) = ?)"
      arguments = [LedgerColumns.text(domain)]
    case .entry(let id): (sql, arguments) = ("entry = ?", [LedgerColumns.text(id)])
    case .restored(let time): (sql, arguments) = ("created_at <= ?", [time])
    case .notices: sql = "0"
    }
  }

  init(_ filter: QueueFilter) {
    self.init(.all)
    for scope in filter.scopes {
      let one = QueueCondition(scope)
      sql += " AND \(one.sql)"
      arguments += one.arguments
    }
    if let sender = filter.sender {
      sql += " AND sender = ? COLLATE NOCASE"
      arguments += [LedgerColumns.text(sender)]
    }
    if filter.isHeld { sql += " AND \(QueueCondition.isHeld)" }
    if let kinds = filter.kinds {
      sql += " AND kind IN (\(kinds.map { _ in "?" }.joined(separator: ", ")))"
      arguments += StatementArguments(kinds.map(\.rawValue))
    }
  }

  /// The domain of a recipient: what follows the last `@`.
  private static let domain = "lower(substr(address, length(rtrim(address, replace(address, '@', ''))) + 1))"

  /// True for an entry whose recipients with an open fate, if there are any, are all held; and where reports alone are awaited, if it was
  /// restored. `QueueHolds` says the same of an entry in memory.
  static let isHeld = """
    (EXISTS (SELECT 1 FROM queue_holds WHERE released_at IS NULL AND name NOT LIKE 'notices %')
      AND (EXISTS (SELECT 1 FROM queue_recipients WHERE queue_id = queue.id AND NOT awaiting) OR \(isRestored))
      AND (
        EXISTS (SELECT 1 FROM queue_holds WHERE released_at IS NULL AND scope = 'all' AND name = '')
        OR EXISTS (SELECT 1 FROM queue_holds WHERE released_at IS NULL AND scope = 'route' AND name = queue.route)
        OR EXISTS (SELECT 1 FROM queue_holds WHERE released_at IS NULL AND scope = 'entry' AND name = queue.entry)
        OR NOT EXISTS (
          SELECT 1 FROM queue_recipients
          WHERE queue_id = queue.id
            AND (NOT awaiting OR NOT EXISTS (SELECT 1 FROM queue_recipients WHERE queue_id = queue.id AND NOT awaiting))
            AND NOT EXISTS (SELECT 1 FROM queue_holds WHERE released_at IS NULL AND scope = 'domain' AND name = \(domain))
            AND NOT \(recipientIsRestored))))
    """

  /// True while a restore's hold is about the time of the entry.
  private static let isRestored = """
    EXISTS (
      SELECT 1 FROM queue_holds WHERE released_at IS NULL AND scope = 'all' AND name LIKE 'restored %' AND queue.created_at <= held_at)
    """

  /// The same of a recipient, when no part of it that he belongs to was released.
  private static let recipientIsRestored = """
    EXISTS (
      SELECT 1 FROM queue_holds AS whole
      WHERE released_at IS NULL AND scope = 'all' AND name LIKE 'restored %' AND queue.created_at <= held_at AND NOT EXISTS (
        SELECT 1 FROM queue_holds AS part
        WHERE part.held_at = whole.held_at AND part.released_at IS NOT NULL AND (
          (part.scope = 'route' AND part.name = queue.route) OR (part.scope = 'entry' AND part.name = queue.entry)
          OR (part.scope = 'domain' AND part.name = \(domain)))))
    """
}

extension LedgerReading {
  /// Entries in the order of their arrival, `limit` at the most.
  ///
  /// - Parameters:
  ///   - after: where the reading before ended; nil for the beginning.
  ///   - upTo: the last place that is looked at, as `queueEnd` gave it; nil for no end.
  ///   - looking: rows that are looked at, at the most; nil for as many as it takes. A reading that ends for it has a `next`, and may have
  ///     no entries.
  public func queueSelection(
    _ filter: QueueFilter, after: Int64? = nil, upTo end: Int64? = nil, limit: Int, looking rows: Int? = nil
  ) throws(LedgerError) -> QueueSelection {
    let condition = QueueCondition(filter)
    let (start, size) = (after ?? .min, max(1, limit))
    return try access.read { db in
      var last = end ?? .max
      if let rows {
        let place = try Int64.fetchOne(
          db, sql: "SELECT id FROM queue WHERE id > ? AND id <= ? ORDER BY id LIMIT 1 OFFSET ?", arguments: [start, last, rows])
        // Up to the row before it: the next reading begins there.
        if let place { last = place - 1 }
      }
      let found = try Row.fetchAll(
        db, sql: "SELECT \(LedgerRecords.entryColumns) FROM queue WHERE id > ? AND id <= ? AND \(condition.sql) ORDER BY id LIMIT ?",
        arguments: [start, last] + condition.arguments + [size])
      let entries = try found.map { try LedgerRecords.entry($0, db, path: access.path) }
      let isWhole = entries.count < size
      let place = isWhole ? (last == end ?? .max ? nil : last) : entries.last?.place.row
      return QueueSelection(entries: entries.map(\.entry), next: place)
    }
  }

  /// The place of the entry that came last; what is queued later lies behind it.
  public func queueEnd() throws(LedgerError) -> Int64 {
    try access.read { try Int64.fetchOne($0, sql: "SELECT max(id) FROM queue") ?? 0 }
  }

  /// How many entries a filter means; looks at the whole queue.
  public func queueCount(_ filter: QueueFilter) throws(LedgerError) -> Int {
    let condition = QueueCondition(filter)
    return try access.read {
      try Int.fetchOne($0, sql: "SELECT count(*) FROM queue WHERE \(condition.sql)", arguments: condition.arguments) ?? 0
    }
  }

  /// What is held, and what was while entries of that time are in the queue.
  public func queueHolds() throws(LedgerError) -> QueueHolds {
    QueueHolds(
      try access.all("SELECT scope, name, reason, held_at, released_at FROM queue_holds ORDER BY id") { row, _ in
        var row = StoredRow(row, of: "queue_holds", path: access.path)
        let (kind, name): (String, String) = (try row.next(), try row.next())
        guard let scope = QueueScope(kind: kind, name: name) else {
          throw LedgerError.damaged(path: access.path, detail: "table queue_holds holds \(kind) '\(name)'")
        }
        return QueueHold(scope: scope, reason: try row.next(), heldAt: try row.next(), releasedAt: try row.optional())
      })
  }

  /// True when the queue has entries that were to go by this route; for who looks whether a route means anything.
  public func queueHasRoute(_ route: Route) throws(LedgerError) -> Bool {
    let (sql, name) = ("SELECT EXISTS (SELECT 1 FROM queue WHERE route = ?)", LedgerColumns.text(route.text))
    return try access.read { try Bool.fetchOne($0, sql: sql, arguments: [name]) ?? false }
  }
}

extension LedgerCommit {
  func add(_ hold: QueueHold) throws {
    guard try isHeld(hold.scope) == false else { throw LedgerError.conflict("\(hold.scope.words) is held already") }
    try db.execute(
      sql: "INSERT INTO queue_holds (scope, name, reason, held_at, released_at) VALUES (?, ?, ?, ?, ?)",
      arguments: [hold.scope.kind, text(hold.scope.name), text(hold.reason), hold.heldAt, hold.releasedAt])
    try forgetHolds()
  }

  func release(_ scope: QueueScope, _ at: Int64) throws {
    try db.execute(
      sql: "UPDATE queue_holds SET released_at = max(held_at, ?) WHERE released_at IS NULL AND scope = ? AND name = ?",
      arguments: [at, scope.kind, text(scope.name)])
    guard db.changesCount == 1 else { throw LedgerError.conflict("\(scope.words) is not held") }
    try forgetHolds()
  }

  func releaseQueue(_ at: Int64) throws {
    let sql = "UPDATE queue_holds SET released_at = max(held_at, ?) WHERE released_at IS NULL AND name NOT LIKE 'notices %'"
    try db.execute(sql: sql, arguments: [at])
    try forgetHolds()
  }

  private func isHeld(_ scope: QueueScope) throws -> Bool {
    try Bool.fetchOne(
      db, sql: "SELECT EXISTS (SELECT 1 FROM queue_holds WHERE released_at IS NULL AND scope = ? AND name = ?)",
      arguments: [scope.kind, text(scope.name)]) ?? false
  }

  /// Forgets holds that no entry remembers: those that ended before the first entry of the queue was made, and those of entries that are
  /// gone.
  private func forgetHolds() throws {
    try db.execute(
      sql: """
        DELETE FROM queue_holds
        WHERE released_at <= (SELECT ifnull((SELECT created_at FROM queue ORDER BY id LIMIT 1), \(Int64.max)))
          OR (scope = 'entry' AND NOT EXISTS (SELECT 1 FROM queue WHERE entry = queue_holds.name))
        """)
  }
}
