internal import Foundation
internal import GRDB
internal import Journey
internal import PEC

/// What a comparison of derived tables with the log's rows found.
public struct IndexInspection: Sendable, Equatable {
  /// The first faults.
  public var faults: [IndexFault] = []
  /// True when rows were purged meanwhile: then days and counts were not compared.
  public var isOvertaken = false
}

/// What a table that the log is found or counted by says otherwise than the log's rows.
public struct IndexFault: Sendable, Equatable {
  /// The row it is about; nil when it is about none.
  public var row: Int64?
  /// What is wrong.
  public var words: String
}

extension LedgerReading {
  /// Compares all tables that the log is found and counted by with its rows: a row that a search would pass over, or find by what it does
  /// not say, is named, and so is a count that is not the rows'. It reads a block of rows at a time, and may run beside the gateway.
  ///
  /// - Parameters:
  ///   - limit: the most faults that are looked for.
  ///   - progress: told of the number of each block's first row before it is read.
  public func inspectIndex(limit: Int, progress: ((Int64) -> Void)? = nil) throws(LedgerError) -> IndexInspection {
    guard let first = try firstEventNumber() else { return IndexInspection() }
    var check = IndexCheck(path: access.path, limit: limit, first: first)
    var block: Int64? = LogPostings.block(of: first)
    while let number = block, check.found.faults.count < limit {
      progress?(max(first, number << LogPostings.blockBits))
      block = try access.read { db in try check.look(at: number, db) }
    }
    return check.found
  }

  /// What SQLite itself finds wrong with the file: pages, order of rows and indices, `limit` at the most.
  public func fileFaults(limit: Int) throws(LedgerError) -> [String] {
    do {
      return try access.reader.read { db in try String.fetchAll(db, sql: "PRAGMA integrity_check(\(max(1, limit)))") }.filter { $0 != "ok" }
    } catch { throw LedgerError(error, path: access.path) }
  }
}

/// Goes through the log block by block, and compares what is derived of rows with them.
private struct IndexCheck {
  let path: String
  let limit: Int
  /// The first row that was there when the check began; what names rows before it waits for its block to be purged.
  let first: Int64
  private(set) var found = IndexInspection()
  private var days: [LegalDay: LogDay] = [:]
  private var counts: [LegalDay: [EventKind: Int]] = [:]

  init(path: String, limit: Int, first: Int64) { (self.path, self.limit, self.first) = (path, limit, first) }

  /// Rows of a block with what they should be found by, as term × 2¹⁶ + row in the block.
  private struct Block {
    var number: Int64
    var keys: [UInt64] = []
    /// Rows that are there and can be read; nothing is said of others.
    var rows = BlockRows()
    var last: Int64 = 0
  }

  private mutating func add(_ row: Int64?, _ words: String) {
    if found.faults.count < limit { found.faults.append(IndexFault(row: row, words: words)) }
  }

  /// Looks at a block.
  /// - Returns: the next that has rows; nil behind the last, when the counts were looked at as well.
  mutating func look(at number: Int64, _ db: Database) throws -> Int64? {
    guard let oldest = try Int64.fetchOne(db, sql: "SELECT min(number) FROM events"),
      let last = try Int64.fetchOne(db, sql: "SELECT max(number) FROM events")
    else {
      found.isOvertaken = true
      return nil
    }
    if oldest != first { found.isOvertaken = true }
    let end = IndexCheck.last(of: number)
    let block = try readRows(of: number, db)
    compare(block, try readIndex(of: block, db))
    // An added row may stand anywhere.
    if let next = try Int64.fetchOne(db, sql: "SELECT min(number) FROM events WHERE number > ?", arguments: [end]) {
      return LogPostings.block(of: next)
    }
    guard !found.isOvertaken else { return nil }
    try lookForStrays(open: number, last: last, db)
    try compareDays(db)
    try compareCounts(db)
    return nil
  }

  /// The last row that a block can have.
  private static func last(of block: Int64) -> Int64 { block << LogPostings.blockBits | (LogPostings.blockRows - 1) }

  private mutating func readRows(of number: Int64, _ db: Database) throws -> Block {
    var block = Block(number: number)
    let start = max(number << LogPostings.blockBits, 1)
    let rows = try Row.fetchCursor(
      db, sql: "SELECT \(LedgerRecords.eventColumns) FROM events WHERE number BETWEEN ? AND ? ORDER BY number",
      arguments: [start, IndexCheck.last(of: number)])
    while let row = try rows.next() {
      // A row that cannot be read is a fault of the log, not of what it is found by.
      guard let event = try? LedgerRecords.event(row, path: path), let place = event.number else { continue }
      let offset = LogPostings.offset(of: place)
      block.rows.insert(offset...offset)
      block.last = place
      for term in LogTerms.facts(of: event) + LogTerms.own(of: event) { block.keys.append(UInt64(term) << 16 | UInt64(offset)) }
      let day = LegalDay(event.instant)
      days[day, default: LogDay(day: day, first: place, last: place, events: 0)].events += 1
      days[day]?.last = place
      counts[day, default: [:]][event.kind, default: 0] += 1
    }
    return block
  }

  /// What the index says of a block, in the same form: what a search would read of it.
  private mutating func readIndex(of block: Block, _ db: Database) throws -> [UInt64] {
    var keys: [UInt64] = []
    if try LogBlocks.isSearchedByRuns(block.number, db) {
      try readRuns(of: block.number, leftOver: nil, &keys, db)
    } else {
      let sets = try readSets(of: block.number, &keys, db)
      try readParts(of: block.number, sets: sets, &keys, db)
      // Runs that were not removed yet: they are not searched, and say nothing else.
      var left: [UInt64] = []
      try readRuns(of: block.number, leftOver: block, &left, db)
    }
    return keys
  }

  /// Returns the terms that have sets.
  private mutating func readSets(of number: Int64, _ keys: inout [UInt64], _ db: Database) throws -> Set<UInt32> {
    var inSets: Set<UInt32> = []
    let sets = try Row.fetchCursor(
      db, sql: "SELECT place, rows FROM term_sets WHERE place BETWEEN ? AND ?",
      arguments: [LogPostings.place(of: 0, in: number), LogPostings.place(of: .max, in: number)])
    while let stored = try sets.next() {
      var row = StoredRow(stored, of: "term_sets", path: path)
      let (place, octets): (Int64, [UInt8]) = (try row.next(), [UInt8](try row.next(Data.self)))
      let term = UInt32(truncatingIfNeeded: place)
      if octets.count * 8 != Int(LogPostings.blockRows) { add(nil, "term_sets \(place) has \(octets.count) octets") }
      var found = BlockRows()
      found.insert(octets)
      inSets.insert(term)
      keys += found.offsets(descending: false).map { UInt64(term) << 16 | UInt64($0) }
    }
    return inSets
  }

  private mutating func readParts(of number: Int64, sets: Set<UInt32>, _ keys: inout [UInt64], _ db: Database) throws {
    let parts = try Row.fetchCursor(
      db, sql: "SELECT place, postings FROM term_parts WHERE place BETWEEN ? AND ?",
      arguments: [number * LogPostings.parts, (number + 1) * LogPostings.parts - 1])
    while let stored = try parts.next() {
      var row = StoredRow(stored, of: "term_parts", path: path)
      let place = try row.next(Int64.self)
      var before: UInt32 = 0
      for posting in postings(try row.next(), "term_parts \(place)") {
        let term = UInt32(truncatingIfNeeded: posting >> 24)
        // A search looks in the term's part, by halves, and not here when there is a set.
        if LogPostings.part(of: term) != place % LogPostings.parts || term < before || sets.contains(term) {
          add(nil, "term_parts \(place) has a term out of its order")
        }
        before = term
        IndexCheck.expand(posting, into: &keys)
      }
    }
  }

  private mutating func readRuns(of number: Int64, leftOver block: Block?, _ keys: inout [UInt64], _ db: Database) throws {
    let runs = try Row.fetchCursor(
      db, sql: "SELECT first, postings FROM term_runs WHERE first BETWEEN ? AND ?",
      arguments: [number << LogPostings.blockBits, IndexCheck.last(of: number)])
    // What is left of purged rows goes with their block.
    let isThere = Set(block.map { $0.rows.offsets(descending: false).map { UInt64($0) } } ?? [])
    var expected: Set<UInt64>?
    while let stored = try runs.next() {
      var row = StoredRow(stored, of: "term_runs", path: path)
      let place = try row.next(Int64.self)
      let found = postings(try row.next(), "term_runs \(place)")
      if found.map({ Int($0 >> 8 & 0xFFFF) }).min() != LogPostings.offset(of: place) {
        add(nil, "term_runs \(place) does not begin with that row")
      }
      let start = keys.count
      for posting in found { IndexCheck.expand(posting, into: &keys) }
      guard let block else { continue }
      let wanted = expected ?? Set(block.keys)
      expected = wanted
      if !wanted.isSuperset(of: keys[start...].lazy.filter { isThere.contains($0 & 0xFFFF) }) {
        add(nil, "term_runs \(place) stands in a block in order, and says otherwise")
      }
    }
  }

  private mutating func postings(_ stored: Data, _ name: String) -> [UInt64] {
    if stored.count % LogPostings.width != 0 || stored.isEmpty { add(nil, "\(name) has \(stored.count) octets, which no postings have") }
    var postings: [UInt64] = []
    LogPostings.decode([UInt8](stored), into: &postings)
    return postings
  }

  private static func expand(_ posting: UInt64, into keys: inout [UInt64]) {
    let offset = posting >> 8 & 0xFFFF
    for row in offset...min(offset + (posting & 0xFF), 0xFFFF) { keys.append((posting >> 24) << 16 | row) }
  }

  private mutating func compare(_ block: Block, _ stored: [UInt64]) {
    let (expected, found) = (block.keys.sorted(), stored.sorted())
    var missing: [UInt64: Int] = [:]
    var added: [UInt64: Int] = [:]
    var (one, other) = (0, 0)
    while one < expected.count || other < found.count {
      let next = min(one < expected.count ? expected[one] : .max, other < found.count ? found[other] : .max)
      let (oneBefore, otherBefore) = (one, other)
      while one < expected.count, expected[one] == next { one += 1 }
      while other < found.count, found[other] == next { other += 1 }
      let (wanted, there) = (one - oneBefore, other - otherBefore)
      // What is named twice was changed too, though a search does not mind. (A set names a row once, whatever holds of it twice.)
      if there == 0 { missing[next & 0xFFFF, default: 0] += 1 } else if there > wanted { added[next & 0xFFFF, default: 0] += 1 }
    }
    let start = block.number << LogPostings.blockBits
    let isThere = Set(block.rows.offsets(descending: false).map { UInt64($0) })
    for (offset, count) in missing.sorted(by: { $0.key < $1.key }) {
      add(start + Int64(offset), "not found: the search index lacks \(count) of its values")
    }
    for (offset, count) in added.sorted(by: { $0.key < $1.key }) {
      let row = start + Int64(offset)
      // Terms of purged rows go with their block.
      if isThere.contains(offset) || row > block.last { add(row, "the search index has \(count) values for it that it does not have") }
    }
  }

  /// What the index has where there are no rows.
  private mutating func lookForStrays(open: Int64, last: Int64, _ db: Database) throws {
    let oldest = LogPostings.block(of: first)
    let isFull = LogPostings.offset(of: last) == Int(LogPostings.blockRows) - 1
    let closed = isFull ? open + 1 : open
    let places: [(table: String, column: String, low: Int64, high: Int64)] = [
      ("term_runs", "first", oldest << LogPostings.blockBits, last),
      ("term_parts", "place", oldest * LogPostings.parts, closed * LogPostings.parts - 1),
      ("term_sets", "place", LogPostings.place(of: 0, in: oldest), LogPostings.place(of: 0, in: closed) &- 1),
    ]
    for place in places {
      let strays = try Int64.fetchAll(
        db, sql: "SELECT \(place.column) FROM \(place.table) WHERE \(place.column) NOT BETWEEN ? AND ? LIMIT 10",
        arguments: [place.low, place.high])
      for stray in strays { add(nil, "\(place.table) \(stray) stands where the log has no full block, or no rows") }
    }
  }

  private mutating func compareDays(_ db: Database) throws {
    var left = days
    for stored in try Row.fetchAll(db, sql: "SELECT day, first, last, events FROM log_days ORDER BY day") {
      var row = StoredRow(stored, of: "log_days", path: path)
      let day = LogDay(day: LegalDay(number: try row.next()), first: try row.next(), last: try row.next(), events: try row.next())
      let found = left.removeValue(forKey: day.day)
      if day != found {
        let rows = found.map { "\($0.events) from \($0.first) to \($0.last)" } ?? "none"
        add(nil, "log_days has \(day.events) rows from \(day.first) to \(day.last) on \(day.day.text), and the log has \(rows)")
      }
    }
    for day in left.keys.sorted() { add(nil, "log_days lacks \(day.text), of which the log has rows") }
  }

  /// Counts outlive rows: of days of which rows may have been purged they are no less than what is there.
  private mutating func compareCounts(_ db: Database) throws {
    let isPurged = try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM purges)") ?? false
    // Rows of neighbouring days lie between each other, so that a purge may take some of days that have rows still.
    let whole = isPurged ? days.values.min { $0.first < $1.first }?.day.advanced(by: 3) : nil
    var left = counts
    for stored in try Row.fetchAll(db, sql: "SELECT day, kind, count FROM day_counts ORDER BY day, kind") {
      var row = StoredRow(stored, of: "day_counts", path: path)
      let (day, name, count): (LegalDay, String, Int) = (LegalDay(number: try row.next()), try row.next(), try row.next())
      let kind = EventKind(rawValue: name)
      let found = kind.flatMap { left[day]?.removeValue(forKey: $0) }
      if let whole, day < whole, count >= found ?? 0 { continue }
      if count != found { add(nil, "day_counts has \(count) rows \(name) on \(day.text), and the log has \(found ?? 0)") }
    }
    for (day, kinds) in left.sorted(by: { $0.key < $1.key }) {
      for kind in kinds.keys.map(\.rawValue).sorted() { add(nil, "day_counts lacks the rows \(kind) of \(day.text)") }
    }
  }
}
