import Foundation
import Journey
import Octets
import PEC
import Testing

@testable import Ledger

/// A full block of the search index is put in order by the commits that follow, a piece each.
@Suite struct LogBlocksTests {
  /// Rows whose facts make postings in many parts, some of them frequent.
  private static func row(_ number: Int64) -> EventRecord {
    var row = event("pec\(number / 9)", number % 9 == 0 ? .acceptance : .delivery, sender: "u\(number / 9 % 900)@x")
    row.subject = "parola\(number / 9 % 3000) prova"
    row.recipients = []
    row.relatedIDs = ["m\(number)"]
    return row
  }

  /// A log whose first block lacks this many rows. It is made once, because the rows of a block take their time.
  private static let lacking: Int64 = 100
  private static let base: Folder? = try? {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    for _ in 0..<8 { try commit((LogPostings.blockRows - 1 - lacking) / 8, to: ledger) }
    for _ in 0..<(LogPostings.blockRows - 1 - lacking) % 8 { try commit(1, to: ledger) }
    try ledger.close()
    return folder
  }()

  private static func commit(_ count: Int64, to ledger: Ledger) throws {
    let last = try ledger.lastEventNumber()
    try ledger.commit((1...count).map { .event(row(last + $0)) })
  }

  private func commit(_ count: Int64, to ledger: Ledger) throws { try LogBlocksTests.commit(count, to: ledger) }

  /// A log with its first block almost full, and then so many rows in one commit.
  private func log(_ rows: Int64) throws -> (Folder, Ledger) {
    let folder = try #require(LogBlocksTests.base).copy()
    let ledger = try Ledger(path: folder.ledger)
    if rows > 0 { try commit(rows, to: ledger) }
    return (folder, ledger)
  }

  private func count(_ what: String, _ ledger: any LedgerReading) throws -> Int {
    try ledger.access.all("SELECT \(what)") { row, _ in row[0] as Int }.first ?? -1
  }

  private func runs(_ ledger: any LedgerReading) throws -> Int { try count("count(*) FROM term_runs WHERE first < 32768", ledger) }
  private func parts(_ ledger: any LedgerReading) throws -> Int { try count("count(*) FROM term_parts", ledger) }

  /// What searches find; the last two hold of rows in both blocks.
  private func findings(_ ledger: any LedgerReading) throws -> [[Int64]] {
    let queries = [
      LogQuery(sender: "u17@x"), LogQuery(words: ["parola2999"]), LogQuery(relatedID: "m32767"), LogQuery(relatedID: "m32768"),
      LogQuery(kinds: [.acceptance], newestFirst: true, limit: 50), LogQuery(words: ["prova"], newestFirst: true, limit: 50),
      LogQuery(sender: "u600@x", kinds: [.acceptance], newestFirst: true),
    ]
    return try queries.map { try ledger.search($0).rows.compactMap(\.number).filter { $0 < 32_800 } }
  }

  /// The same, from the rows themselves.
  private func expected(_ rows: [EventRecord], _ last: Int64) -> [[Int64]] {
    let there = rows.prefix(Int(last))
    func numbers(_ fits: (EventRecord) -> Bool) -> [Int64] { there.filter(fits).compactMap(\.number) }
    return [
      numbers { $0.sender == "u17@x" }, numbers { $0.subject == "parola2999 prova" }, numbers { $0.relatedIDs == ["m32767"] },
      numbers { $0.relatedIDs == ["m32768"] }, numbers { $0.kind == .acceptance }.reversed().prefix(50).filter { $0 < 32_800 },
      numbers { _ in true }.reversed().prefix(50).filter { $0 < 32_800 },
      numbers { $0.sender == "u600@x" && $0.kind == .acceptance }.reversed(),
    ]
  }

  /// Every few commits the log is searched, checked and left as a crash leaves it; each such file goes on to the same end.
  @Test func eachStepAndACrashBehindIt() throws {
    let (folder, ledger) = try log(0)
    for _ in 0..<90 { try commit(1, to: ledger) }
    let rows = (1...LogPostings.blockRows + 200).map { LogBlocksTests.row($0).numbered($0) }
    var states: [(parts: Int, runs: Int)] = []
    repeat {
      try commit(1, to: ledger)
      let last = try ledger.lastEventNumber()
      states.append((try parts(ledger), try runs(ledger)))
      guard states.count % 11 == 0 || states.last?.runs == 0 else { continue }
      #expect(try findings(ledger) == expected(rows, last), "row \(last)")
      #expect(try ledger.inspectIndex(limit: 5).faults == [], "row \(last)")
      let copy = folder.copy()
      let again = try Ledger(path: copy.ledger)
      try commit(1, to: again)
      #expect(try findings(again) == expected(rows, last + 1), "again, row \(last + 1)")
      // In order, it leaves nothing to do.
      try again.close()
      let closed = try Ledger.openReadOnly(path: copy.ledger)
      if last >= LogPostings.blockRows { #expect(try runs(closed) == 0) }
      #expect(try closed.inspectIndex(limit: 5).faults == [])
      #expect(try findings(closed) == expected(rows, last + 1), "closed")
    } while states.last?.runs != 0 && states.count < 150
    // No commit did more than its piece.
    let before = [(parts: 0, runs: states[0].runs - 1)] + states
    for (one, next) in zip(before, states) {
      #expect(next.parts - one.parts <= LogBlocks.partsAtOnce)
      #expect(one.runs - next.runs <= LogBlocks.runsAtOnce + 1)
    }
    #expect(states.contains { $0.parts > 0 && $0.parts < 100 && $0.runs > 100 })
    #expect(states.contains { $0.parts > 400 && (1...60).contains($0.runs) })
    #expect(states.last?.runs == 0)
    try ledger.close()
  }

  /// What is stored is the same step by step and over crashes; one commit may go over three blocks.
  @Test func theSameInTheEnd() throws {
    func stored(_ path: String) throws -> [String] {
      let reader = try Ledger.openReadOnly(path: path)
      #expect(try reader.inspectIndex(limit: 5).faults == [])
      return try reader.access.all(
        "SELECT 'part ' || place || hex(postings) FROM term_parts UNION ALL SELECT 'set ' || place || hex(rows) FROM term_sets ORDER BY 1"
      ) { row, _ in row[0] as String }
    }
    let sizes: [Int64] = [3, 200, 40, 1000, 1, 1, 700, 300, 2000, 60, 1]
    let (steps, ledger) = try log(LogBlocksTests.lacking + 10)
    for size in sizes { try commit(size, to: ledger) }
    try ledger.close()
    var (crashed, other) = try log(LogBlocksTests.lacking + 10)
    for size in sizes {
      crashed = crashed.copy()
      other = try Ledger(path: crashed.ledger)
      try commit(size, to: other)
    }
    try other.close()
    let found = try stored(steps.ledger)
    #expect(found.count > 500)
    #expect(try stored(crashed.ledger) == found)
    let (whole, all) = try log(LogPostings.blockRows + LogBlocksTests.lacking + 7)
    #expect(try all.inspectIndex(limit: 5).faults == [])
    try all.commit([.enqueue(entry("e1"))])
    try all.close()
    #expect(try stored(whole.ledger).count > 1000)
  }

  /// A commit that fails leaves the work where it was.
  @Test func aCommitThatFails() throws {
    let (folder, ledger) = try log(LogBlocksTests.lacking + 2)
    defer { withExtendedLifetime(folder) {} }
    for round in 0..<60 {
      let before = (try parts(ledger), try runs(ledger))
      #expect(throws: LedgerError.self) { try ledger.commit([.event(LogBlocksTests.row(1).numbered(7))]) }
      #expect((try parts(ledger), try runs(ledger)) == before)
      if round == 10 { #expect(try ledger.inspectIndex(limit: 5).faults == []) }
      try ledger.commit([.enqueue(entry("e\(round)"))])
    }
    #expect(try runs(ledger) == 0)
    #expect(try ledger.inspectIndex(limit: 5).faults == [])
  }

  /// Rows that are purged while their block waits take its runs and parts with them.
  @Test func aPurgeMeanwhile() throws {
    let (folder, ledger) = try log(LogBlocksTests.lacking + 4)
    defer { withExtendedLifetime(folder) {} }
    try commit(1, to: ledger)
    #expect(try parts(ledger) > 0)
    let last = LogPostings.blockRows + 1
    let chain = Hex.encode(try ledger.chain(after: last) ?? [])
    try ledger.commit([
      .seal(SealRecord(number: 1, first: 1, last: last, madeAt: noon, digest: "", root: "", chain: chain)), .purge(first: 1, last: last),
    ])
    for _ in 0..<5 { try commit(1, to: ledger) }
    #expect(try parts(ledger) == 0)
    #expect(try runs(ledger) == 0)
    #expect(try ledger.inspectIndex(limit: 5).faults == [])
    #expect(try ledger.search(LogQuery(words: ["prova"])).rows.count == 8)
  }

  /// A run that is left over is not searched; one that says otherwise than the rows was changed.
  @Test func aRunThatIsLeftOver() throws {
    let (folder, ledger) = try log(LogBlocksTests.lacking + 2)
    try ledger.close()
    let copied = "INSERT INTO term_runs SELECT 30000, postings FROM term_runs"
    try Ledger.execute(copied, at: folder.ledger)
    let faults = try Ledger.openReadOnly(path: folder.ledger).inspectIndex(limit: 5).faults
    #expect(faults.contains { $0.words.contains("says otherwise") })
    #expect(try Ledger.openReadOnly(path: folder.ledger).search(LogQuery(relatedID: "m\(LogPostings.blockRows + 1)")).rows.count == 1)
    let again = try Ledger(path: folder.ledger)
    try commit(1, to: again)
    #expect(try again.inspectIndex(limit: 5).faults == [])
  }
}
