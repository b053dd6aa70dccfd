internal import Evidence
internal import Foundation
internal import GRDB
public import Journey
public import PEC

/// A row of the log as it stands in the file, for a check of the file.
public struct FoundRow: Sendable, Equatable {
  public var number: Int64
  /// Nil when what is stored is no row.
  public var event: EventRecord?
  /// What is stored as the chain value after it; nil when it is no octets.
  public var chain: [UInt8]?
}

extension LedgerReading {
  // MARK: - Rows

  /// The last events, oldest first.
  public func events(last count: Int) throws(LedgerError) -> [EventRecord] {
    try events("1 ORDER BY number DESC LIMIT ?", [max(0, count)]).reversed()
  }

  /// Events with a number above `number`, in order, `limit` at the most.
  public func events(after number: Int64, limit: Int = 1000) throws(LedgerError) -> [EventRecord] {
    try events("number > ? ORDER BY number LIMIT ?", [number, max(0, limit)])
  }

  /// Events of a transaction, in order.
  public func events(pecID: String) throws(LedgerError) -> [EventRecord] {
    try events("pec_id = ? ORDER BY number", [LedgerColumns.text(pecID)])
  }

  /// Events of the messages that a client gave this Message-ID (with its angle brackets), in order.
  public func events(clientMessageID: String) throws(LedgerError) -> [EventRecord] {
    try all(LogQuery(clientMessageID: clientMessageID))
  }

  /// Events of a sender's messages on the day of legal time that `instant` lies in (pec-rules 9.5), in order.
  public func events(sender: String, onDayOf instant: Instant) throws(LedgerError) -> [EventRecord] {
    try all(LogQuery(sender: sender, from: LegalDay(instant), to: LegalDay(instant)))
  }

  private func all(_ query: LogQuery) throws(LedgerError) -> [EventRecord] {
    var query = query
    var found: [EventRecord] = []
    repeat {
      let page = try search(query)
      found += page.rows
      query.cursor = page.next
    } while query.cursor != nil
    return found
  }

  private func events(_ condition: String, _ arguments: StatementArguments) throws(LedgerError) -> [EventRecord] {
    try access.all("SELECT \(LedgerRecords.eventColumns) FROM events WHERE \(condition)", arguments) { row, _ in
      try LedgerRecords.event(row, path: access.path)
    }
  }

  /// Number of the last event, purged or not; 0 when there never was one.
  public func lastEventNumber() throws(LedgerError) -> Int64 {
    try access.read { db in
      if let last = try Int64.fetchOne(db, sql: "SELECT max(number) FROM events") { return last }
      return try Int64.fetchOne(db, sql: "SELECT max(last) FROM purges") ?? 0
    }
  }

  /// Number of the first event that is there; nil when there is none.
  public func firstEventNumber() throws(LedgerError) -> Int64? {
    try access.read { db in try Int64.fetchOne(db, sql: "SELECT min(number) FROM events") }
  }

  /// Hands rows to `body` in order, with the chain value after each, until it says false. It reads some at a time and holds no state of
  /// the ledger in between; rows that are added or purged meanwhile may or may not be among them.
  ///
  /// - Throws: `LedgerError`, `damaged` among them when a row cannot be read, and what `body` throws.
  public func rows(from first: Int64, through last: Int64, _ body: (EventRecord, [UInt8]) throws -> Bool) throws {
    try rowsAsFound(from: first, through: last) { row in
      guard let event = row.event, let chain = row.chain else {
        throw LedgerError.damaged(path: access.path, detail: "row \(row.number) of the log cannot be read")
      }
      return try body(event, chain)
    }
  }

  /// The same for a check of the file: a row that cannot be read is handed over as such. What is derived of a row (its day) is compared.
  public func rowsAsFound(from first: Int64, through last: Int64, _ body: (FoundRow) throws -> Bool) throws {
    var next = first
    while next <= last {
      let page = try access.all(
        "SELECT \(LedgerRecords.eventColumns), number, day, chain FROM events WHERE number BETWEEN ? AND ? ORDER BY number LIMIT 1000",
        [next, last]
      ) { row, _ in
        guard let number = Int64.fromDatabaseValue(row["number"]) else {
          throw LedgerError.damaged(path: access.path, detail: "table events, a row without a number")
        }
        let event = try? LedgerRecords.event(row, path: access.path)
        let isOfItsDay = event.map { Int64.fromDatabaseValue(row["day"]) == LedgerColumns.day($0.instant) } ?? false
        return FoundRow(number: number, event: isOfItsDay ? event : nil, chain: Data.fromDatabaseValue(row["chain"]).map { [UInt8]($0) })
      }
      for row in page { guard try body(row) else { return } }
      guard let end = page.last?.number, end < last else { return }
      next = end + 1
    }
  }

  /// The chain value after the row of that number; the beginning for 0. Of purged rows, that of the last one of each purge and of each
  /// seal is known; nil otherwise.
  public func chain(after number: Int64) throws(LedgerError) -> [UInt8]? {
    if number == 0 { return EventChain.beginning }
    let found = try access.read { db in
      try Data.fetchOne(
        db, sql: "SELECT chain FROM events WHERE number = ?1 UNION ALL SELECT chain FROM purges WHERE last = ?1", arguments: [number])
        ?? String.fetchOne(db, sql: "SELECT chain FROM seals WHERE last = ?", arguments: [number]).flatMap { hexadecimal in
          Data(hexadecimal: hexadecimal)
        }
    }
    return found.map { [UInt8]($0) }
  }

  // MARK: - Days

  /// The days of the log that have rows, in order.
  public func logDays() throws(LedgerError) -> [LogDay] {
    try access.all("SELECT day, first, last, events FROM log_days ORDER BY day") { stored, _ in
      var row = StoredRow(stored, of: "log_days", path: access.path)
      return LogDay(day: LegalDay(number: try row.next()), first: try row.next(), last: try row.next(), events: try row.next())
    }
  }

  /// Runs of rows that were purged, in order.
  public func purgedRows() throws(LedgerError) -> [ClosedRange<Int64>] {
    try access.all("SELECT first, last FROM purges ORDER BY first") { stored, _ in
      var row = StoredRow(stored, of: "purges", path: access.path)
      let (first, last): (Int64, Int64) = (try row.next(), try row.next())
      guard first <= last else { throw LedgerError.damaged(path: access.path, detail: "table purges, a run ends before it begins") }
      return first...last
    }
  }
}

extension Data {
  /// The octets of hexadecimal digits; nil for anything else.
  fileprivate init?(hexadecimal text: String) {
    let digits = text.utf8.map { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 ? $0 - 48 : ($0 | 32) &- 87 }
    guard digits.count % 2 == 0, digits.allSatisfy({ $0 < 16 }) else { return nil }
    self = Data(stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] })
  }
}
