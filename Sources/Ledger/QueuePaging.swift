internal import GRDB
public import Journey
public import Octets

/// Entries as they stood when the snapshot was taken, whatever is committed since.
///
/// It keeps the write-ahead log from being begun anew, so it is for seconds, not for hours.
public struct QueueSnapshot: Sendable {
  private let snapshot: DatabaseSnapshot
  private let path: String

  init(_ snapshot: DatabaseSnapshot, path: String) {
    self.snapshot = snapshot
    self.path = path
  }

  /// Gives every range that an entry names, once for each time it is named, some thousand at a time.
  public func eachRanges(_ body: ([StoredRange]) -> Void) throws(LedgerError) {
    do {
      try snapshot.read { db in
        let rows = try Row.fetchCursor(db, sql: "SELECT content FROM queue")
        var found: [StoredRange] = []
        while let stored = try rows.next() {
          var row = StoredRow(stored, of: "queue", path: path)
          found += try row.next { LedgerColumns.ranges($0) }
          if found.count >= 8192 {
            body(found)
            found.removeAll(keepingCapacity: true)
          }
        }
        body(found)
      }
    } catch { throw LedgerError(error, path: path) }
  }
}

extension Ledger {
  /// The queue as it is now, to be read while commits go on.
  public func queueSnapshot() throws(LedgerError) -> QueueSnapshot {
    do { return QueueSnapshot(try snapshot(), path: path) } catch { throw LedgerError(error, path: path) }
  }
}

extension QueueCursor {
  /// Before everything that is due at `dueAt` (Unix seconds).
  public static func before(_ dueAt: Int64) -> QueueCursor { QueueCursor(dueAt: dueAt, row: .min) }

  /// Behind everything that is due at `dueAt` (Unix seconds).
  public static func behind(_ dueAt: Int64) -> QueueCursor { QueueCursor(dueAt: dueAt, row: .max) }

  /// True when this place comes first.
  public func isBefore(_ other: QueueCursor) -> Bool { (dueAt, row) < (other.dueAt, other.row) }
}

/// A walk through the entries that were not due when it began, in the order of their arrival: each is met once, whatever becomes of its
/// time meanwhile.
public struct QueueWalk: Sendable, Equatable {
  /// Entries that were there when the walk began.
  public let count: Int
  let dueAfter: Int64
  let filter: QueueFilter
  let end: Int64
  var place: Int64 = .min
}

/// What a reading of the queue's contents gave, and where it ended.
public struct QueueContents: Sendable {
  /// Entries with what they name.
  public var entries: [(id: String, content: [StoredRange])]
  /// Where the next reading goes on; nil when there is no more.
  public var next: Int64?
}

extension LedgerReading {
  /// The highest number of a segment in which an entry begins; 0 for none. A message's octets lie in few segments, and those that were
  /// composed last come first.
  public func highestSegment() throws(LedgerError) -> UInt32 {
    // A column begins with the number of its first segment, and CAST reads as far as there are digits.
    try access.read { db in UInt32(clamping: try Int64.fetchOne(db, sql: "SELECT max(CAST(content AS INTEGER)) FROM queue") ?? 0) }
  }

  /// Entries that wait or are under way.
  public func queueLength() throws(LedgerError) -> Int {
    try access.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM queue") ?? 0 }
  }

  /// Begins a walk through the entries that are due after `time` (Unix seconds) and that no hold has wait.
  public func queueWalk(
    dueAfter time: Int64, _ filter: QueueFilter = QueueFilter()
  ) throws(LedgerError) -> QueueWalk {
    let wanted = QueueCondition(filter)
    return try access.read { db in
      QueueWalk(
        count: try Int.fetchOne(
          db, sql: "SELECT count(*) FROM queue WHERE due_at > ? AND \(wanted.sql) AND NOT \(QueueCondition.isHeld)",
          arguments: [time] + wanted.arguments) ?? 0,
        dueAfter: time, filter: filter, end: try Int64.fetchOne(db, sql: "SELECT max(id) FROM queue") ?? .min)
    }
  }

  /// The next entries of a walk, `limit` at the most; the walk goes on behind them. None: it has ended.
  public func entries(of walk: inout QueueWalk, limit: Int) throws(LedgerError) -> [QueueEntry] {
    let wanted = QueueCondition(walk.filter)
    let found = try access.all(
      """
      SELECT \(LedgerRecords.entryColumns) FROM queue
      WHERE id > ? AND id <= ? AND due_at > ? AND \(wanted.sql) AND NOT \(QueueCondition.isHeld) ORDER BY id LIMIT ?
      """, [walk.place, walk.end, walk.dueAfter] + wanted.arguments + [max(0, limit)],
      { row, db in try LedgerRecords.entry(row, db, path: access.path) })
    walk.place = found.last?.place.row ?? walk.end
    return found.map(\.entry)
  }

  /// What entries name, in the order of their arrival, `limit` of them at the most.
  /// - Parameter after: where the reading before ended; nil for the beginning.
  public func queueContents(after: Int64?, limit: Int) throws(LedgerError) -> QueueContents {
    var last: Int64?
    let entries = try access.all(
      "SELECT id, entry, content FROM queue WHERE id > ? ORDER BY id LIMIT ?", [after ?? .min, limit]
    ) { row, _ in
      var row = StoredRow(row, of: "queue", path: access.path)
      last = try row.next(Int64.self)
      return (id: try row.next(String.self), content: try row.next { LedgerColumns.ranges($0) })
    }
    return QueueContents(entries: entries, next: entries.count < limit ? nil : last)
  }
}
