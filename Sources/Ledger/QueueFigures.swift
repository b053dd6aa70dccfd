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
}
