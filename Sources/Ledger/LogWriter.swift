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

  /// The end of the log as it is now, from memory when nobody else has written.
  static func current(_ db: Database, known: LogTail?, path: String) throws -> LogTail {
    let version = try Int64.fetchOne(try db.cachedStatement(sql: "PRAGMA data_version")) ?? 0
    if let known, known.dataVersion == version { return known }
    let last = try Row.fetchOne(
      db,
      sql: """
        SELECT number, chain FROM (
          SELECT number, chain FROM (SELECT number, chain FROM events ORDER BY number DESC LIMIT 1)
          UNION ALL SELECT last, chain FROM (SELECT last, chain FROM purges ORDER BY first DESC LIMIT 1))
        ORDER BY number DESC LIMIT 1
        """)
    guard let last else { return LogTail(next: 1, chain: EventChain.beginning, dataVersion: version) }
    var row = StoredRow(last, of: "events", path: path)
    let (number, chain) = (try row.next(Int64.self), [UInt8](try row.next(Data.self)))
    guard number >= 0, number < .max, chain.count == EventChain.beginning.count else {
      throw LedgerError.damaged(path: path, detail: "the last row of the log has no number or chain value to go on from")
    }
    return LogTail(next: number + 1, chain: chain, dataVersion: version)
  }
}

/// Adds rows to the log within one commit: gives them their numbers and chains each to the one before.
struct LogWriter {
  private(set) var tail: LogTail
  private var index = LogIndex()
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
    statement.setUncheckedArguments([
      number, event.instant.unixSeconds, event.instant.utcOffsetSeconds, LedgerColumns.day(event.instant), event.kind.rawValue,
      text(event.pecID), text(event.sender), text(event.provider), text(event.recipient), text(event.error), event.bytes, Data(chain),
      text(event.clientMessageID), text(event.subject), LedgerColumns.json(event.relatedIDs), text(event.detail), last.column.text,
    ])
    try statement.execute()
    (tail.next, tail.chain) = (number + 1, chain)
    if index.add(row, number: number) { try index.store(db) }
  }

  mutating func finish(_ db: Database) throws { try index.store(db) }

  private func text(_ text: String) -> String { LedgerColumns.text(text) }
  private func text(_ text: String?) -> String? { LedgerColumns.text(text) }
}
