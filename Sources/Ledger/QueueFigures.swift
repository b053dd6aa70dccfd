internal import GRDB

/// What waits for one way out, in numbers.
public struct RouteFigures: Sendable, Equatable {
  /// `mailbox`, or `relay:NAME`.
  public var route: String
  public var entries: Int
  /// Recipients whose fate is open, without those of whom a report is awaited.
  public var recipients: Int
  /// Recipients of whom the mailbox server's report is awaited.
  public var awaiting: Int
  /// Unix seconds of the oldest entry.
  public var oldestCreatedAt: Int64
}

/// What of the queue waits because an operator holds it.
public struct HeldFigures: Sendable, Equatable {
  /// Entries by route, as `Route.text` has it: those of which all recipients whose fate is open are held.
  public var entries: [String: Int] = [:]
  /// When the oldest hold in force began, Unix seconds; nil while nothing is held.
  public var since: Int64?

  /// Nothing.
  public init() {}
}

/// What a restored backup brought back, and no operator has decided about.
public struct RestoredFigures: Sendable, Equatable {
  /// Entries of the queue that are held.
  public var entries = 0
  /// Transactions whose notices of silence (RFC 6109 §3.1.6) wait.
  public var notices = 0
  /// Why, as the restore said it.
  public var reason = ""

  /// Nothing.
  public init() {}
}

extension LedgerReading {
  /// The queue by its ways out, in the order of their names. Reads the whole queue: about a second for a million entries.
  public func routeFigures() throws(LedgerError) -> [RouteFigures] {
    try access.all(
      """
      SELECT route, count(*), sum((SELECT count(*) FROM queue_recipients r WHERE r.queue_id = q.id AND NOT r.awaiting)),
        sum((SELECT count(*) FROM queue_recipients r WHERE r.queue_id = q.id AND r.awaiting)), min(created_at)
      FROM queue q GROUP BY route ORDER BY route
      """
    ) { stored, _ in
      var row = StoredRow(stored, of: "queue", path: access.path)
      return RouteFigures(
        route: try row.next(), entries: try row.next(), recipients: try row.next(), awaiting: try row.next(),
        oldestCreatedAt: try row.next())
    }
  }

  /// What waits because an operator holds it. Looks at the whole queue while there is a hold, and at none of it otherwise.
  public func heldFigures() throws(LedgerError) -> HeldFigures {
    try access.read { db in
      var held = HeldFigures()
      held.since = try Int64.fetchOne(db, sql: "SELECT min(held_at) FROM queue_holds WHERE released_at IS NULL")
      guard held.since != nil else { return held }
      for stored in try Row.fetchAll(
        db, sql: "SELECT route, count(*) FROM queue WHERE \(QueueCondition.isHeld) GROUP BY route ORDER BY route")
      {
        var row = StoredRow(stored, of: "queue", path: access.path)
        held.entries[try row.next()] = try row.next()
      }
      return held
    }
  }

  /// What waits because a backup was restored. Looks at the whole queue while there is such a hold, and at none of it otherwise.
  public func restoredFigures() throws(LedgerError) -> RestoredFigures {
    let holds = try queueHolds()
    var found = RestoredFigures()
    found.reason = holds.restored?.reason ?? holds.notices?.reason ?? ""
    if let hold = holds.restored {
      var filter = QueueFilter(hold.scope)
      filter.isHeld = true
      found.entries = try queueCount(filter)
    }
    if holds.notices != nil { found.notices = try heldDeadlineCount() }
    return found
  }
}
