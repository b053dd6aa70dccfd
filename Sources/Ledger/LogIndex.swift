internal import Foundation
internal import GRDB
internal import Journey
internal import PEC

/// What the rows of a commit add to the tables that the log is found and counted by: gathered row by row, stored once.
///
/// The migration to version 3 uses it as well: the tables that it writes are of that version. It puts full blocks in order at once; while
/// a gateway writes, `LogBlocks` does that step by step.
struct LogIndex {
  private struct Facts: Equatable {
    var sender: String
    var subject: String?
    var clientMessageID: String?
    var provider: String

    init(_ event: EventRecord) {
      (sender, subject, clientMessageID, provider) = (event.sender, event.subject, event.clientMessageID, event.provider)
    }
  }

  /// Rows of a kind on a day.
  private struct Count {
    var day: Int64
    var kind: EventKind
    var rows: Int
  }

  private let closesBlocks: Bool
  /// The runs that were stored, unless blocks are closed here.
  private(set) var runs: [(first: Int64, postings: [UInt64])] = []
  private var postings: [UInt64] = []
  /// The first and the last row that the postings are about.
  private var first: Int64?
  private var last: Int64 = 0
  /// The facts of the last rows, their terms, and the rows in the block that they hold of and that no posting names yet.
  private var facts: Facts?
  private var terms: [UInt32] = []
  private var pending: Range<Int> = 0..<0
  /// A commit has few days and kinds, which are looked for one after the other.
  private var days: [LogDay] = []
  private var counts: [Count] = []

  init(closesBlocks: Bool) { self.closesBlocks = closesBlocks }

  /// Adds the next row. True when a block is full with it: `store` has to come before the next row.
  mutating func add(_ event: EventRecord, number: Int64) -> Bool {
    let offset = LogPostings.offset(of: number)
    first = first ?? number
    last = number
    let now = Facts(event)
    if facts != now {
      endFacts()
      facts = now
      terms = LogTerms.facts(of: event)
    } else if pending.count == 256 {
      endFacts()
    }
    pending = (pending.isEmpty ? offset : pending.lowerBound)..<offset + 1
    for term in LogTerms.own(of: event) { postings.append(LogPostings.posting(term, from: offset, count: 1)) }
    count(event.kind, on: LegalDay(event.instant), number)
    return offset == Int(LogPostings.blockRows) - 1
  }

  private mutating func count(_ kind: EventKind, on day: LegalDay, _ number: Int64) {
    if let place = days.firstIndex(where: { $0.day == day }) {
      days[place].last = number
      days[place].events += 1
    } else {
      days.append(LogDay(day: day, first: number, last: number, events: 1))
    }
    if let place = counts.firstIndex(where: { $0.kind == kind && $0.day == day.number }) {
      counts[place].rows += 1
    } else {
      counts.append(Count(day: day.number, kind: kind, rows: 1))
    }
  }

  private mutating func endFacts() {
    for term in terms where !pending.isEmpty {
      postings.append(LogPostings.posting(term, from: pending.lowerBound, count: pending.count))
    }
    pending = 0..<0
  }

  /// Stores what was gathered.
  mutating func store(_ db: Database) throws {
    guard let number = first else { return }
    endFacts()
    if closesBlocks, LogPostings.offset(of: last) == Int(LogPostings.blockRows) - 1 {
      try LogIndex.close(LogPostings.block(of: number), adding: postings, db)
    } else {
      try db.cachedStatement(sql: "INSERT INTO term_runs (first, postings) VALUES (?, ?)")
        .execute(arguments: [number, Data(LogPostings.encode(postings))])
      if !closesBlocks { runs.append((number, postings)) }
    }
    let addDay = try db.cachedStatement(
      sql: """
        INSERT INTO log_days (day, first, last, events) VALUES (?, ?, ?, ?)
        ON CONFLICT (day) DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last),
          events = events + excluded.events
        """)
    for day in days { try addDay.execute(arguments: [day.day.number, day.first, day.last, day.events]) }
    let addCount = try db.cachedStatement(
      sql: """
        INSERT INTO day_counts (day, kind, count) VALUES (?, ?, ?) ON CONFLICT (day, kind) DO UPDATE SET count = count + excluded.count
        """)
    for count in counts { try addCount.execute(arguments: [count.day, count.kind.rawValue, count.rows]) }
    postings.removeAll(keepingCapacity: true)
    (first, days, counts) = (nil, [], [])
  }

  /// Puts all postings of a full block in order.
  private static func close(_ number: Int64, adding last: [UInt64], _ db: Database) throws {
    let bounds: StatementArguments = [number << LogPostings.blockBits, (number + 1) << LogPostings.blockBits]
    var postings: [UInt64] = []
    let runs = try Data.fetchCursor(
      db, sql: "SELECT postings FROM term_runs WHERE first >= ? AND first < ? ORDER BY first", arguments: bounds)
    while let run = try runs.next() { LogPostings.decode([UInt8](run), into: &postings) }
    var block = LogBlocks.Block(number)
    block.add(postings + last)
    for (part, postings) in block.parts.enumerated() { try LogBlocks.store(postings, part, of: number, db) }
    try db.execute(sql: "DELETE FROM term_runs WHERE first >= ? AND first < ?", arguments: bounds)
  }
}
