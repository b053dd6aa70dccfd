internal import Foundation
internal import GRDB

/// The blocks of the log whose postings are not in order yet: the one that rows are added to, and full ones.
///
/// To put a full block in order in one go takes 50 to 100 ms, and all senders whose messages are in that commit would wait. So its
/// postings are kept in memory by their parts as they come, and when it is full, each commit stores some parts of it, and then removes
/// some of its runs, the first run first. That run decides: while it is there, the block is searched by its runs, which are whole; when
/// it is gone, by its parts. What a crash leaves is one or the other, and goes on where it was.
struct LogBlocks: Sendable {
  /// Parts that a commit stores at least; and one more for so many rows of its own, which is twice as fast as blocks become full.
  static let partsAtOnce = 16
  static let rowsForPart = 32
  /// Runs that a commit removes at least. It adds one itself, or one for each block.
  static let runsAtOnce = 64

  /// A block with its postings in the order in which they came.
  struct Block: Sendable {
    let number: Int64
    fileprivate(set) var parts = [[UInt64]](repeating: [], count: Int(LogPostings.parts))
    /// The first part that is not stored yet.
    fileprivate(set) var next = 0

    init(_ number: Int64) { self.number = number }

    mutating func add(_ postings: [UInt64]) { for posting in postings { parts[Int(posting >> 47)].append(posting) } }
  }

  /// What a commit did of the work that waits.
  struct Step: Sendable {
    /// How many blocks are in order now.
    var finished = 0
    /// The first part of the next block that is not stored yet.
    var next = 0
  }

  private var open: Block?
  private(set) var full: [Block] = []

  /// What the file says, when the log goes on with row `next`.
  init(_ db: Database, next: Int64, path: String) throws {
    let rows = try Row.fetchCursor(db, sql: "SELECT first, postings FROM term_runs ORDER BY first")
    var blocks: [Block] = []
    while let stored = try rows.next() {
      var row = StoredRow(stored, of: "term_runs", path: path)
      let (first, run) = (try row.next(Int64.self), try row.next(Data.self))
      let number = LogPostings.block(of: first)
      if blocks.last?.number != number { blocks.append(Block(number)) }
      var postings: [UInt64] = []
      LogPostings.decode([UInt8](run), into: &postings)
      blocks[blocks.count - 1].add(postings)
    }
    let last = LogPostings.block(of: next)
    for var block in blocks where block.number <= last {
      if block.number == last {
        open = block
      } else {
        block.next = try LogBlocks.isSearchedByRuns(block.number, db) ? LogBlocks.nextPart(of: block.number, db) : Int(LogPostings.parts)
        full.append(block)
      }
    }
  }

  /// Whether a block's first run is there.
  static func isSearchedByRuns(_ block: Int64, _ db: Database) throws -> Bool {
    let statement = try db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM term_runs WHERE first = ?)")
    return try Bool.fetchOne(statement, arguments: [max(1, block << LogPostings.blockBits)]) ?? false
  }

  /// The part after the last that is stored of a block: parts are stored in order, each of them whole.
  private static func nextPart(of block: Int64, _ db: Database) throws -> Int {
    let part = try Int64.fetchOne(
      db, sql: "SELECT max(place) FROM term_parts WHERE place BETWEEN ? AND ?",
      arguments: [block * LogPostings.parts, (block + 1) * LogPostings.parts - 1])
    let set = try Int64.fetchOne(
      db, sql: "SELECT max(place) FROM term_sets WHERE place BETWEEN ? AND ?",
      arguments: [LogPostings.place(of: 0, in: block), LogPostings.place(of: .max, in: block)])
    let last = max(part.map { $0 % LogPostings.parts } ?? -1, set.map { LogPostings.part(of: UInt32(truncatingIfNeeded: $0)) } ?? -1)
    return Int(last) + 1
  }

  // MARK: - Within a commit

  /// Does some of the work that waits. What is known here stays as it is until `apply`.
  /// - Parameter rows: how many the commit adds: with more of them more is done.
  func work(besides rows: Int, _ db: Database) throws -> Step {
    var step = Step()
    var parts = LogBlocks.partsAtOnce + rows / LogBlocks.rowsForPart
    for block in full {
      step.next = min(block.parts.count, block.next + parts)
      parts -= step.next - block.next
      for part in block.next..<step.next { try LogBlocks.store(block.parts[part], part, of: block.number, db) }
      guard step.next == block.parts.count, try LogBlocks.removeRuns(of: block.number, LogBlocks.runsAtOnce + rows, db) else {
        return step
      }
      step = Step(finished: step.finished + 1)
    }
    return step
  }

  /// Stores a part in order: the rows of frequent terms as sets, the postings of the others in one piece.
  static func store(_ postings: [UInt64], _ part: Int, of block: Int64, _ db: Database) throws {
    if postings.isEmpty { return }
    let postings = LogPostings.sorted(postings)
    var others: [UInt64] = []
    var start = 0
    while start < postings.count {
      let term = postings[start] >> 24
      var end = start + 1
      while end < postings.count, postings[end] >> 24 == term { end += 1 }
      if end - start < LogPostings.frequent {
        others += postings[start..<end]
      } else {
        var rows = BlockRows()
        for posting in postings[start..<end] { rows.insert(posting) }
        try db.cachedStatement(sql: "INSERT OR REPLACE INTO term_sets (place, rows) VALUES (?, ?)")
          .execute(arguments: [LogPostings.place(of: UInt32(term), in: block), Data(rows.octets)])
      }
      start = end
    }
    if others.isEmpty { return }
    try db.cachedStatement(sql: "INSERT OR REPLACE INTO term_parts (place, postings) VALUES (?, ?)")
      .execute(arguments: [block * LogPostings.parts + Int64(part), Data(LogPostings.encode(others))])
  }

  /// Removes the first runs of a block, and what is left before it. True when none are left.
  private static func removeRuns(of block: Int64, _ count: Int, _ db: Database) throws -> Bool {
    let end = (block + 1) << LogPostings.blockBits
    let statement = try db.cachedStatement(sql: "SELECT first FROM term_runs WHERE first < ? ORDER BY first LIMIT 1 OFFSET ?")
    let bound = try Int64.fetchOne(statement, arguments: [end, count])
    try db.cachedStatement(sql: "DELETE FROM term_runs WHERE first < ?").execute(arguments: [bound ?? end])
    return bound == nil
  }

  // MARK: - After a commit

  /// Takes over what was committed.
  /// - Parameters:
  ///   - runs: what it stored of postings, by the first row of each.
  ///   - next: number of the row that comes next.
  mutating func apply(_ step: Step, runs: [(first: Int64, postings: [UInt64])], next: Int64) {
    full.removeFirst(step.finished)
    if !full.isEmpty, step.next > 0 {
      // What is stored is not needed any more.
      for part in full[0].next..<step.next { full[0].parts[part] = [] }
      full[0].next = step.next
    }
    for run in runs {
      let number = LogPostings.block(of: run.first)
      if open?.number != number {
        endOpen()
        open = Block(number)
      }
      open?.add(run.postings)
    }
    if open?.number != LogPostings.block(of: next) { endOpen() }
  }

  private mutating func endOpen() {
    if let block = open { full.append(block) }
    open = nil
  }

  /// Forgets blocks of which all rows were purged.
  mutating func forget(before block: Int64) { full.removeAll { $0.number < block } }
}
