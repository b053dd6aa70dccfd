internal import GRDB
public import Journey
internal import Octets
public import PEC

extension LedgerReading {
  // MARK: - Seals

  /// All seals in order.
  public func seals() throws(LedgerError) -> [SealRecord] { try seals("1 ORDER BY number") }

  /// The seal of that number; nil when there is none.
  public func seal(number: Int64) throws(LedgerError) -> SealRecord? { try seals("number = ?", [number]).first }

  /// The last seal; nil when nothing was sealed yet.
  public func lastSeal() throws(LedgerError) -> SealRecord? { try seals("1 ORDER BY number DESC LIMIT 1").first }

  /// The last seal that has a time stamp; nil when there is none.
  public func lastStampedSeal() throws(LedgerError) -> SealRecord? {
    try seals("stamped_at IS NOT NULL ORDER BY number DESC LIMIT 1").first
  }

  /// The seal that covers the row of that number; nil when it is not sealed yet.
  public func seal(coveringRow row: Int64) throws(LedgerError) -> SealRecord? {
    try seals("last >= ? ORDER BY last LIMIT 1", [row]).first { $0.first <= row }
  }

  /// Seals without a time stamp, oldest first.
  public func unstampedSeals() throws(LedgerError) -> [SealRecord] { try seals("stamped_at IS NULL ORDER BY number") }

  private func seals(_ condition: String, _ arguments: StatementArguments = []) throws(LedgerError) -> [SealRecord] {
    try access.all(
      """
      SELECT number, first, last, at, utc_offset, digest, root, chain, stamped_at, authority FROM seals WHERE \(condition)
      """, arguments
    ) { stored, _ in
      var row = StoredRow(stored, of: "seals", path: access.path)
      return SealRecord(
        number: try row.next(), first: try row.next(), last: try row.next(),
        madeAt: Instant(unixSeconds: try row.next(), utcOffsetSeconds: try row.next()), digest: try row.next(), root: try row.next(),
        chain: try row.next(), stampedAt: try row.optional(), authority: try row.optional())
    }
  }

  // MARK: - Holds

  /// All holds, by their first day.
  public func holds() throws(LedgerError) -> [LogHold] {
    try access.all("SELECT id, from_day, to_day, reason, made_at FROM holds ORDER BY from_day, id") { stored, _ in
      var row = StoredRow(stored, of: "holds", path: access.path)
      return LogHold(
        id: try row.next(), from: LegalDay(number: try row.next()), to: LegalDay(number: try row.next()), reason: try row.next(),
        madeAt: try row.next())
    }
  }

  // MARK: - Requests

  /// Requests in these states, oldest first, `limit` at the most; all states when nil.
  public func requests(states: Set<LogRequestRecord.State>? = nil, limit: Int = 10_000) throws(LedgerError) -> [LogRequestRecord] {
    let named = (states ?? Set(LogRequestRecord.State.allCases)).map(\.rawValue).sorted()
    // Their names are our own.
    let list = named.map { "'\($0)'" }.joined(separator: ", ")
    return try requests("state IN (\(list)) ORDER BY row LIMIT ?", [max(0, limit)])
  }

  /// The request of that id; nil when there is none.
  public func request(id: String) throws(LedgerError) -> LogRequestRecord? { try requests("id = ?", [LedgerColumns.text(id)]).first }

  /// Requests of an asker (ASCII case aside) about which a mail was sent and that changed at `since` (Unix seconds) or later, newest
  /// first, `limit` at the most. The last 10,000 requests of all are looked at.
  public func requests(toldTo asker: String, since: Int64, limit: Int = 1000) throws(LedgerError) -> [LogRequestRecord] {
    try requests(
      """
      row > (SELECT max(row) FROM requests) - 10000 AND answer_id IS NOT NULL AND asker = ? COLLATE NOCASE AND changed_at >= ?
      ORDER BY row DESC LIMIT ?
      """, [LedgerColumns.text(asker), since, max(0, limit)])
  }

  /// How a request came to where it is, step by step; empty when there is none of that id.
  public func requestHistory(id: String) throws(LedgerError) -> [LogRequestStep] {
    try access.all(
      "SELECT state, at, outcome FROM request_history WHERE request = (SELECT row FROM requests WHERE id = ?) ORDER BY step",
      [LedgerColumns.text(id)]
    ) { stored, _ in
      var row = StoredRow(stored, of: "request_history", path: access.path)
      return LogRequestStep(state: try row.next { LogRequestRecord.State(rawValue: $0) }, at: try row.next(), outcome: try row.next())
    }
  }

  private func requests(_ condition: String, _ arguments: StatementArguments) throws(LedgerError) -> [LogRequestRecord] {
    try access.all(
      """
      SELECT id, pec_id, asker, opened_at, opened_utc_offset, state, changed_at, question, outcome, answer_id FROM requests
      WHERE \(condition)
      """, arguments
    ) { stored, _ in
      var row = StoredRow(stored, of: "requests", path: access.path)
      return LogRequestRecord(
        id: try row.next(), pecID: try row.next(), asker: try row.next(),
        openedAt: Instant(unixSeconds: try row.next(), utcOffsetSeconds: try row.next()),
        state: try row.next { LogRequestRecord.State(rawValue: $0) }, changedAt: try row.next(), question: try row.next(),
        outcome: try row.next(), answerID: try row.optional())
    }
  }

  // MARK: - Statistics

  /// What is known of the days from `from` to `to`, in order; days without a row and without a count of mailboxes are left out.
  public func statistics(from: LegalDay, to: LegalDay) throws(LedgerError) -> [DayStatistics] {
    let bounds: StatementArguments = [from.number, to.number]
    return try access.read { db in
      var days: [Int64: DayStatistics] = [:]
      func change(_ day: Int64, _ body: (inout DayStatistics) -> Void) {
        body(&days[day, default: DayStatistics(day: LegalDay(number: day), counts: [:], mailboxes: [:])])
      }
      let counts = try Row.fetchCursor(db, sql: "SELECT day, kind, count FROM day_counts WHERE day BETWEEN ? AND ?", arguments: bounds)
      while let stored = try counts.next() {
        var row = StoredRow(stored, of: "day_counts", path: access.path)
        let (day, kind, count) = (try row.next(Int64.self), try row.next { EventKind(rawValue: $0) }, try row.next(Int.self))
        change(day) { $0.counts[kind] = count }
      }
      let mailboxes = try Row.fetchCursor(
        db, sql: "SELECT day, domain, count FROM mailbox_counts WHERE day BETWEEN ? AND ?", arguments: bounds)
      while let stored = try mailboxes.next() {
        var row = StoredRow(stored, of: "mailbox_counts", path: access.path)
        let (day, domain, count) = (try row.next(Int64.self), try row.next(String.self), try row.next(Int.self))
        change(day) { $0.mailboxes[domain] = count }
      }
      return days.values.sorted { $0.day < $1.day }
    }
  }
}
