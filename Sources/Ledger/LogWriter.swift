internal import Evidence
internal import Foundation
internal import GRDB
internal import Journey
internal import Octets
internal import PEC

/// Where the log ends: what the next row goes on from.
struct LogTail: Sendable {
  /// Number of the next row.
  var next: Int64
  /// Chain value after the last one.
  var chain: [UInt8]
  /// SQLite's count of what other connections committed: when it moved, the rest has to be read anew.
  var dataVersion: Int64

  init(next: Int64, chain: [UInt8], dataVersion: Int64) { (self.next, self.chain, self.dataVersion) = (next, chain, dataVersion) }

  /// SQLite's count of what other connections committed, as it is now.
  static func version(_ db: Database) throws -> Int64 { try Int64.fetchOne(try db.cachedStatement(sql: "PRAGMA data_version")) ?? 0 }

  /// The end of the log as the file has it.
  init(_ db: Database, version: Int64, path: String) throws {
    let last = try Row.fetchOne(
      db,
      sql: """
        SELECT number, chain FROM (
          SELECT number, chain FROM (SELECT number, chain FROM events ORDER BY number DESC LIMIT 1)
          UNION ALL SELECT last, chain FROM (SELECT last, chain FROM purges ORDER BY first DESC LIMIT 1))
        ORDER BY number DESC LIMIT 1
        """)
    guard let last else {
      self.init(next: 1, chain: EventChain.beginning, dataVersion: version)
      return
    }
    var row = StoredRow(last, of: "events", path: path)
    let (number, chain) = (try row.next(Int64.self), [UInt8](try row.next(Data.self)))
    guard number >= 0, number < .max, chain.count == EventChain.beginning.count else {
      throw LedgerError.damaged(path: path, detail: "the last row of the log has no number or chain value to go on from")
    }
    self.init(next: number + 1, chain: chain, dataVersion: version)
  }
}

/// What is kept in memory of the log between commits.
struct LogState: Sendable {
  var tail: LogTail
  var blocks: LogBlocks

  /// As the file has it.
  init(_ db: Database, version: Int64, path: String) throws {
    tail = try LogTail(db, version: version, path: path)
    blocks = try LogBlocks(db, next: tail.next, path: path)
  }

  /// As it is now: from memory when nobody else has written.
  static func current(_ known: inout LogState?, _ db: Database, path: String) throws -> LogState {
    let version = try LogTail.version(db)
    if let known, known.tail.dataVersion == version { return known }
    let read = try LogState(db, version: version, path: path)
    known = read
    return read
  }

  /// Takes over what was committed.
  mutating func apply(_ progress: LogProgress) {
    tail = progress.tail
    blocks.apply(progress.step, runs: progress.runs, next: tail.next)
    if let first = progress.firstBlock { blocks.forget(before: first) }
  }
}

/// What a commit changes of `LogState` when it is durable.
struct LogProgress: Sendable {
  var tail: LogTail
  var runs: [(first: Int64, postings: [UInt64])]
  var step: LogBlocks.Step
  /// The first block that has rows still, when some were purged.
  var firstBlock: Int64?
}

/// Adds rows to the log within one commit: gives them their numbers and chains each to the one before.
struct LogWriter {
  private(set) var tail: LogTail
  /// What the log is found by, as far as it was stored: by the first row of each run.
  var runs: [(first: Int64, postings: [UInt64])] { index.runs }
  private var index = LogIndex(closesBlocks: false)
  /// The rows of a message share their recipients, which are put into form once.
  private var last: (recipients: [Recipient], column: RecipientsColumn)

  /// Recipients as they stand in the row's column, and in its canonical octets.
  struct RecipientsColumn {
    var text: String
    var canonical: [UInt8]
  }

  init(after tail: LogTail) {
    self.tail = tail
    last = ([], LogWriter.column([]))
  }

  static func column(_ recipients: [Recipient]) -> RecipientsColumn {
    let canonical = CanonicalEvent.recipientsJSON(recipients)
    // The canonical form shows NUL by its symbol; the column keeps it.
    let hasNUL = recipients.contains { Scan.first(0, in: $0.address.utf8.span) != nil }
    let text = hasNUL ? LedgerColumns.json(recipients) : String(decoding: canonical, as: UTF8.self)
    return RecipientsColumn(text: text, canonical: canonical)
  }

  mutating func add(_ event: EventRecord, by statement: Statement, _ db: Database) throws {
    let number = tail.next
    guard event.number == nil || event.number == number else {
      throw LedgerError.conflict("a row cannot be number \(event.number ?? 0) of the log: the next is \(number)")
    }
    guard number < .max else { throw LedgerError.conflict("the log has no more numbers") }
    var row = event
    row.number = number
    if event.recipients != last.recipients { last = (event.recipients, LogWriter.column(event.recipients)) }
    let chain = EventChain.next(
      tail.chain, leaf: EventChain.leaf(CanonicalEvent.octets(row, recipientsJSON: last.column.canonical)))
    try statement.execute(arguments: [
      number, event.instant.unixSeconds, event.instant.utcOffsetSeconds, LedgerColumns.day(event.instant), event.kind.rawValue,
      text(event.pecID), text(event.sender), text(event.provider), text(event.recipient), text(event.error), event.bytes, Data(chain),
      text(event.clientMessageID), text(event.subject), LedgerColumns.json(event.relatedIDs), text(event.detail), last.column.text,
    ])
    (tail.next, tail.chain) = (number + 1, chain)
    if index.add(row, number: number) { try index.store(db) }
  }

  mutating func finish(_ db: Database) throws { try index.store(db) }

  private func text(_ text: String) -> String { LedgerColumns.text(text) }
  private func text(_ text: String?) -> String? { LedgerColumns.text(text) }
}
