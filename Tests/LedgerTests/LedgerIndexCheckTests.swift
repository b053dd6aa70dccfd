import Foundation
import Journey
import Octets
import PEC
import Testing

@testable import Ledger

/// What is derived of the log's rows, and somebody changed.
@Suite struct LedgerIndexCheckTests {
  /// A log of random rows over some days, whose last block is open.
  private func small(rows: Int = 300) throws -> Folder {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    var dice = LogDice(5)
    while try ledger.lastEventNumber() < rows {
      try ledger.commit((0..<dice.number(1...5)).flatMap { _ in dice.rows() }.map { .event($0) })
    }
    #expect(try faults(folder) == [])
    return folder
  }

  /// A log with a full block, brought up from the second version, and some rows behind it.
  private func large() throws -> Folder {
    let folder = Folder()
    try Ledger.execute(
      VersionTwo.tables + """
        WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < \(LogPostings.blockRows - 20))
        INSERT INTO events SELECT n, 'pec' || (n / 9), 1773140400 + n / 1000, 3600, 20522, 'inoltro', 'u' || (n / 9 % 500) || '@x', '[]',
          'parola ' || (n / 9 % 70), NULL, '[]', 'Alfa', NULL, NULL, NULL, 1 FROM numbers;
        """, at: folder.ledger)
    let ledger = try Ledger(path: folder.ledger)
    for size in [5, 40, 3] { try ledger.commit((0..<size).map { _ in .event(event("new", .delivery, sender: "u7@x")) }) }
    try ledger.close()
    #expect(try faults(folder) == [])
    return folder
  }

  private func faults(_ folder: Folder, changed sql: String = "") throws -> [IndexFault] {
    let changed = sql.isEmpty ? folder : folder.copy()
    if !sql.isEmpty { try Ledger.execute(sql, at: changed.ledger) }
    let ledger = try Ledger.openReadOnly(path: changed.ledger)
    #expect(try ledger.fileFaults(limit: 10) == [])
    return try ledger.inspectIndex(limit: 50).faults
  }

  /// Each bit of what a column holds, of one row of a table, turned one at a time.
  @Test(arguments: ["term_runs.first", "log_days.day", "log_days.first", "log_days.last", "log_days.events", "day_counts.count"])
  func aBitOfANumber(place: String) throws {
    let parts = place.split(separator: ".").map(String.init)
    let folder = try small()
    for bit in 0..<20 {
      let row = "\(parts[1]) = (SELECT max(\(parts[1])) FROM \(parts[0]))"
      let sql = "UPDATE OR REPLACE \(parts[0]) SET \(parts[1]) = (\(parts[1]) | \(1 << bit)) - (\(parts[1]) & \(1 << bit)) WHERE \(row)"
      #expect(try faults(folder, changed: sql) != [], "bit \(bit) of \(place)")
    }
  }

  @Test func aBitOfAKind() throws {
    let folder = try small()
    #expect(try faults(folder, changed: "UPDATE day_counts SET kind = 'accettaziond' WHERE kind = 'accettazione'") != [])
    #expect(try faults(folder, changed: "DELETE FROM day_counts WHERE kind = 'accettazione'") != [])
    #expect(try faults(folder, changed: "DELETE FROM log_days WHERE day = (SELECT min(day) FROM log_days)") != [])
    #expect(try faults(folder, changed: "DELETE FROM term_runs WHERE first = (SELECT max(first) FROM term_runs)") != [])
  }

  @Test func aBitOfAPosting() throws {
    let folder = try small(rows: 60)
    let stored = try Ledger.openReadOnly(path: folder.ledger).access.all("SELECT first, hex(postings) FROM term_runs") { row, _ in
      (first: row["first"] as Int64, digits: row["postings"] as String? ?? row["hex(postings)"] as String)
    }
    var dice = Dice(11)
    for _ in 0..<80 {
      let run = try #require(stored.randomElement(using: &dice))
      var digits = Array(run.digits)
      let place = Int.random(in: 0..<digits.count, using: &dice)
      let value = try #require(digits[place].hexDigitValue) ^ (1 << Int.random(in: 0...3, using: &dice))
      digits[place] = Character(String(value, radix: 16))
      let sql = "UPDATE term_runs SET postings = x'\(String(digits))' WHERE first = \(run.first)"
      #expect(try faults(folder, changed: sql) != [], "digit \(place) of run \(run.first)")
    }
  }

  @Test func aFullBlock() throws {
    let folder = try large()
    let (part, set) = ("(SELECT max(place) FROM term_parts)", "(SELECT min(place) FROM term_sets)")
    for sql in [
      "DELETE FROM term_parts WHERE place = \(part)", "DELETE FROM term_sets WHERE place = \(set)",
      "UPDATE term_parts SET place = place + 1 WHERE place = \(part)", "UPDATE term_sets SET place = place + 1 WHERE place = \(set)",
      "UPDATE term_parts SET place = place + 1000000 WHERE place = \(part)", "INSERT INTO term_sets SELECT -1, rows FROM term_sets LIMIT 1",
      "UPDATE term_parts SET postings = substr(postings, 1, length(postings) - 1) WHERE place = \(part)",
      "UPDATE term_sets SET rows = CAST(substr(rows, 1, 100) || x'5A' || substr(rows, 102) AS BLOB) WHERE place = \(set)",
      "UPDATE term_sets SET rows = zeroblob(7) WHERE place = \(set)",
      "UPDATE term_runs SET first = 30000 WHERE first = (SELECT max(first) FROM term_runs)",
    ] {
      #expect(try faults(folder, changed: sql) != [], "\(sql)")
    }
    #expect(
      try faults(folder, changed: "UPDATE term_runs SET postings = zeroblob(0) WHERE first = (SELECT max(first) FROM term_runs)").contains {
        $0.row == LogPostings.blockRows + 27 && $0.words.hasPrefix("not found")
      })
  }

  /// A row anywhere is one block more, however far away it is.
  @Test func rowsFarAway() throws {
    let folder = try small(rows: 20)
    for number in [Int64.max, 1 << 60, 1_000_000, 0, -5, .min] {
      let found = try faults(
        folder,
        changed: """
          CREATE TEMP TABLE copy AS SELECT * FROM events WHERE number = 3; UPDATE copy SET number = \(number);
          INSERT INTO events SELECT * FROM copy; UPDATE log_days SET day = day + (1 << 60) WHERE day = (SELECT max(day) FROM log_days)
          """)
      #expect(found != [])
    }
  }

  /// What is purged within a block waits in the index for the rest of the block, and is no fault.
  @Test func afterAPurge() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    for day in 0..<10 as Range<Int64> {
      let instant = Instant(unixSeconds: noon.unixSeconds + day * 86_400, utcOffsetSeconds: 3600)
      try ledger.commit((0..<30).map { .event(event("pec\(day)-\($0 / 5)", at: instant)) })
    }
    let last = try ledger.lastEventNumber()
    let chain = Hex.encode(try ledger.chain(after: last) ?? [])
    try ledger.commit([
      .seal(SealRecord(number: 1, first: 1, last: last, madeAt: noon, digest: "", root: "", chain: chain)), .purge(first: 1, last: 120),
    ])
    #expect(try faults(folder) == [])
    #expect(try faults(folder, changed: "UPDATE log_days SET events = events + 1") != [])
    #expect(try faults(folder, changed: "UPDATE day_counts SET count = count + 1 WHERE day = (SELECT max(day) FROM day_counts)") != [])
    #expect(try faults(folder, changed: "UPDATE day_counts SET count = count - 25") != [])
  }
}
