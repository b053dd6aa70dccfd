internal import Foundation
internal import GRDB
internal import Journey
internal import Octets
internal import PEC

extension LedgerReading {
  /// Rows that fit, by their number.
  ///
  /// It goes through the log block by block in the direction asked for: in each, the rows of each condition are looked up, and those
  /// that all have in common are read and looked at. One lookup for each condition and block, and as many rows as the page has, is all
  /// it costs.
  public func search(_ query: LogQuery) throws(LedgerError) -> LogPage {
    try access.read { db in
      var search = LogSearch(query, db: db, path: access.path)
      return try search.run()
    }
  }
}

/// One page of a search, within one reading.
struct LogSearch {
  /// Rows that are looked at for a page besides those that fit; reached only where a day's rows are scattered over the log.
  private static let spareRows = 20_000
  private static let limits = 1...100_000
  /// Rows that are fetched in one go.
  private static let fetchedRows = 32

  private let query: LogQuery
  private let limit: Int
  private let db: Database
  private let path: String
  /// What selects rows: of each list, one term at least must hold.
  private let conditions: [[UInt32]]
  private let words: [String]
  private let addresses: (sender: String?, recipient: String?, party: String?)
  private var found: [EventRecord] = []
  private var examined = 0
  /// Set when the page is full, or enough was looked at.
  private var end: LogCursor?

  init(_ query: LogQuery, db: Database, path: String) {
    (self.query, self.db, self.path) = (query, db, path)
    limit = min(max(query.limit, LogSearch.limits.lowerBound), LogSearch.limits.upperBound)
    words = LogTerms.words(query.words.map { LedgerColumns.text($0) }.joined(separator: " "))
    func address(_ text: String?) -> String? { text.map { ASCII.lowercased(LedgerColumns.text($0)) } }
    addresses = (address(query.sender), address(query.recipient), address(query.party))
    conditions = LogSearch.conditions(query, addresses, words)
  }

  private static func conditions(
    _ query: LogQuery, _ addresses: (sender: String?, recipient: String?, party: String?), _ words: [String]
  ) -> [[UInt32]] {
    func term(_ field: LogTerms.Field, _ value: String?) -> [UInt32]? { value.map { [LogTerms.term(field, LedgerColumns.text($0))] } }
    // What is likely to be rare comes first: where nothing fits, the rest is not looked up.
    var lists = [term(.clientMessageID, query.clientMessageID), term(.relatedID, query.relatedID)]
    lists += [term(.recipient, addresses.recipient), term(.sender, addresses.sender), term(.error, query.error)]
    lists.append(addresses.party.map { [LogTerms.term(.sender, $0), LogTerms.term(.recipient, $0)] })
    lists += words.sorted { $0.utf8.count > $1.utf8.count }.map { term(.word, $0) }
    if !query.kinds.isEmpty { lists.append(query.kinds.map { LogTerms.term(.kind, $0.rawValue) }) }
    lists.append(term(.provider, query.provider))
    return lists.compactMap { $0 }
  }

  mutating func run() throws -> LogPage {
    guard let numbers = try bounds() else { return LogPage(rows: [], next: nil) }
    if let id = query.pecID {
      try look(at: id, in: numbers)
    } else if conditions.isEmpty {
      try lookAtAll(in: numbers)
    } else {
      try lookByBlocks(in: numbers)
    }
    return LogPage(rows: found, next: end)
  }

  /// The numbers that come into question, by the days and the cursor; nil when none do.
  private func bounds() throws -> ClosedRange<Int64>? {
    guard let first = try Int64.fetchOne(db, sql: "SELECT min(number) FROM events"),
      let last = try Int64.fetchOne(db, sql: "SELECT max(number) FROM events")
    else { return nil }
    var (low, high) = (max(first, 0), last)
    if query.from != nil || query.to != nil {
      let days = try Row.fetchOne(
        db, sql: "SELECT min(first), max(last) FROM log_days WHERE day BETWEEN ? AND ?",
        arguments: [query.from?.number ?? .min, query.to?.number ?? .max])
      var row = days.map { StoredRow($0, of: "log_days", path: path) }
      guard let from: Int64 = try row?.optional(), let to: Int64 = try row?.optional() else { return nil }
      (low, high) = (max(low, from), min(high, to))
    }
    if let cursor = query.cursor {
      if query.newestFirst {
        if cursor.number <= low { return nil }
        high = min(high, cursor.number - 1)
      } else {
        if cursor.number >= high { return nil }
        low = max(low, cursor.number + 1)
      }
    }
    return low <= high ? low...high : nil
  }

  // MARK: - Ways through the log

  private var order: String { query.newestFirst ? "DESC" : "ASC" }

  private mutating func look(at id: String, in numbers: ClosedRange<Int64>) throws {
    let rows = try Row.fetchCursor(
      try db.cachedStatement(
        sql: """
          SELECT \(LedgerRecords.eventColumns) FROM events WHERE pec_id = ? AND number BETWEEN ? AND ? ORDER BY number \(order)
          """), arguments: [LedgerColumns.text(id), numbers.lowerBound, numbers.upperBound])
    while end == nil, let row = try rows.next() { try examine(row) }
  }

  private mutating func lookAtAll(in numbers: ClosedRange<Int64>) throws {
    let rows = try Row.fetchCursor(
      try db.cachedStatement(
        sql: "SELECT \(LedgerRecords.eventColumns) FROM events WHERE number BETWEEN ? AND ? ORDER BY number \(order)"),
      arguments: [numbers.lowerBound, numbers.upperBound])
    while end == nil, let row = try rows.next() { try examine(row) }
  }

  private mutating func lookByBlocks(in numbers: ClosedRange<Int64>) throws {
    let blocks = LogPostings.block(of: numbers.lowerBound)...LogPostings.block(of: numbers.upperBound)
    // Blocks before the first run are in order.
    let firstRun = try Int64.fetchOne(db, sql: "SELECT min(first) FROM term_runs").map { LogPostings.block(of: $0) } ?? .max
    for step in 0...(blocks.upperBound - blocks.lowerBound) {
      let block = query.newestFirst ? blocks.upperBound - step : blocks.lowerBound + step
      let isInRuns = try block >= firstRun && LogBlocks.isSearchedByRuns(block, db)
      guard let rows = try isInRuns ? rows(of: runs(of: block)) : rows(of: block) else { continue }
      let inBlock = rows.offsets(descending: query.newestFirst).map { block << LogPostings.blockBits + Int64($0) }
      var rest = inBlock.filter { numbers.contains($0) }[...]
      while end == nil, !rest.isEmpty { try examine(rest.prefix(LogSearch.fetchedRows)); rest = rest.dropFirst(LogSearch.fetchedRows) }
      if end != nil { return }
    }
  }

  /// Looks at some rows, fetched in one go. A purged row is not there any more, though its block's terms are.
  private mutating func examine(_ numbers: ArraySlice<Int64>) throws {
    let places = Array(repeating: "?", count: LogSearch.fetchedRows).joined(separator: ", ")
    let statement = try db.cachedStatement(
      sql: "SELECT \(LedgerRecords.eventColumns) FROM events WHERE number IN (\(places)) ORDER BY number \(order)")
    let filled = Array(numbers) + Array(repeating: numbers.last ?? 0, count: LogSearch.fetchedRows - numbers.count)
    let rows = try Row.fetchCursor(statement, arguments: StatementArguments(filled))
    while end == nil, let row = try rows.next() { try examine(row) }
  }

  // MARK: - Lookups

  /// Rows of a block in order on which all conditions hold; nil when there are none.
  private func rows(of block: Int64) throws -> BlockRows? {
    var common: BlockRows?
    for terms in conditions {
      var rows = BlockRows()
      for term in terms { try add(term, of: block, to: &rows) }
      common?.formIntersection(rows)
      common = common ?? rows
      if common?.isEmpty == true { return nil }
    }
    return common
  }

  private func add(_ term: UInt32, of block: Int64, to rows: inout BlockRows) throws {
    let sets = try db.cachedStatement(sql: "SELECT rows FROM term_sets WHERE place = ?")
    if let stored = try Data.fetchOne(sets, arguments: [LogPostings.place(of: term, in: block)]) { return rows.insert([UInt8](stored)) }
    let statement = try db.cachedStatement(sql: "SELECT postings FROM term_parts WHERE place = ?")
    let place = block * LogPostings.parts + LogPostings.part(of: term)
    guard let stored = try Data.fetchOne(statement, arguments: [place]) else { return }
    let octets = [UInt8](stored)
    let first = LogPostings.lowerBound(of: term, in: octets)
    let end = term == .max ? octets.count / LogPostings.width : LogPostings.lowerBound(of: term + 1, in: octets)
    rows.insert(octets, postings: first..<end)
  }

  /// The postings of a block that is not in order yet, with all terms that come into question.
  private func runs(of block: Int64) throws -> [UInt64] {
    let wanted = Set(conditions.joined())
    // Most postings are passed over by one octet of their term.
    var octetsOfWanted = [Bool](repeating: false, count: 256)
    for term in wanted { octetsOfWanted[Int(term & 255)] = true }
    var postings: [UInt64] = []
    let runs = try Data.fetchCursor(
      db, sql: "SELECT postings FROM term_runs WHERE first >= ? AND first < ?",
      arguments: [block << LogPostings.blockBits, (block + 1) << LogPostings.blockBits])
    while let run = try runs.next() {
      let octets = [UInt8](run)
      for start in stride(from: 0, through: octets.count - LogPostings.width, by: LogPostings.width)
      where octetsOfWanted[Int(octets[start + 3])] {
        let posting = LogPostings.read(octets, at: start)
        if wanted.contains(UInt32(truncatingIfNeeded: posting >> 24)) { postings.append(posting) }
      }
    }
    return postings
  }

  private func rows(of postings: [UInt64]) -> BlockRows? {
    var common: BlockRows?
    for terms in conditions {
      var rows = BlockRows()
      for posting in postings where terms.contains(UInt32(truncatingIfNeeded: posting >> 24)) { rows.insert(posting) }
      common?.formIntersection(rows)
      common = common ?? rows
    }
    return common.flatMap { $0.isEmpty ? nil : $0 }
  }

  // MARK: - Rows

  /// Adds a row to the page if it fits, and ends the page when it is full.
  private mutating func examine(_ row: Row) throws {
    let event = try LedgerRecords.event(row, path: path)
    guard let number = event.number else { return }
    if fits(event) { found.append(event) } else { examined += 1 }
    if found.count == limit || examined == LogSearch.spareRows { end = LogCursor(number: number) }
  }

  /// Whether a row is what was asked for: two values may share a term.
  private func fits(_ event: EventRecord) -> Bool {
    let day = LegalDay(event.instant)
    if let from = query.from, day < from { return false }
    if let to = query.to, day > to { return false }
    if !query.kinds.isEmpty, !query.kinds.contains(event.kind) { return false }
    if let sender = addresses.sender, !isSender(sender, event) { return false }
    if let recipient = addresses.recipient, !isRecipient(recipient, event) { return false }
    if let party = addresses.party, !isSender(party, event), !isRecipient(party, event) { return false }
    guard isGiven(query.pecID, event.pecID), isGiven(query.clientMessageID, event.clientMessageID), isGiven(query.error, event.error),
      isGiven(query.provider, event.provider)
    else { return false }
    if let id = query.relatedID, !event.relatedIDs.contains(where: { isGiven(id, $0) }) { return false }
    if words.isEmpty { return true }
    return Set(LogTerms.words(event.subject ?? "")).isSuperset(of: words)
  }

  private func isGiven(_ wanted: String?, _ value: String?) -> Bool {
    guard let wanted else { return true }
    return value.map { LedgerColumns.text($0).utf8.elementsEqual(LedgerColumns.text(wanted).utf8) } ?? false
  }

  private func isSender(_ address: String, _ event: EventRecord) -> Bool { ASCII.equal(address, event.sender) }

  private func isRecipient(_ address: String, _ event: EventRecord) -> Bool {
    if let recipient = event.recipient { return ASCII.equal(address, recipient) }
    return event.recipients.contains { ASCII.equal(address, LedgerColumns.text($0.address)) }
  }
}
