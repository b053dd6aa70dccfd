import Evidence
import Foundation
import Journey
import Octets
import PEC
import Testing

@testable import Ledger

@Suite struct LedgerMigrationTests {
  private func old() throws -> Folder {
    let folder = Folder()
    try Ledger.execute(VersionOne.tables + VersionOne.content, at: folder.ledger)
    return folder
  }

  private func newTables() throws -> [String] {
    let folder = Folder()
    return try withExtendedLifetime(folder) { try Ledger(path: folder.ledger).tables() }
  }

  @Test func aLedgerOfVersionOneComesUpToDate() throws {
    let folder = try old()
    #expect(throws: LedgerError.olderSchema(path: folder.ledger, found: 1, known: 6)) { try Ledger.openReadOnly(path: folder.ledger) }
    let ledger = try Ledger(path: folder.ledger, checkingIntegrity: true)
    try check(ledger)
    // The same tables as a new ledger's.
    let new = try newTables()
    #expect(try ledger.tables() == new)
    #expect(try Ledger.openReadOnly(path: folder.ledger).lastEventNumber() == 2)
    try ledger.close()
    // Opened again there is nothing left to do.
    try check(Ledger(path: folder.ledger, checkingIntegrity: true))
  }

  private func check(_ ledger: Ledger) throws {
    let all = try ledger.events(last: 10)
    #expect(all.map(\.kind) == [.acceptance, .envelopeSent])
    #expect(all.first?.recipients == [Recipient(address: "r0@pec.beta.test", recipientClass: .certified)])
    #expect(try ledger.transaction(pecID: "pec1") == transaction("pec1", recipients: 3))
    let states = try ledger.recipientStates(pecID: "pec1")
    #expect(states.map(\.state) == [.open, .relayed, .failed])
    #expect(states.map(\.changedAt) == [1_773_140_400, 1_773_140_401, 1_773_140_402])
    #expect(try ledger.recipientStates(pecID: "pec2").map(\.state) == [.refused])
    var first = entry("e1")
    first.attempts = 2
    first.lastError = "busy"
    let second = entry("e2", kind: .acceptance, recipients: ["anna@pec.alfa.test"], route: .mailbox, due: 200)
    #expect(try ledger.allEntries() == [first, second])
    #expect(try ledger.receptions(pecID: "pec1").isEmpty)
  }

  @Test func anOldLedgerGoesOnWithWhatIsNew() throws {
    let folder = try old()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([
      .settle(entry: "e1", recipients: ["r0@pec.beta.test"], end: .relayed), .reception(reception("in1")),
      .event(event("pec1", .takeCharge)),
      .progress(pecID: "pec1", recipients: ["r1@pec.beta.test"], to: .takenInCharge),
    ])
    #expect(try ledger.recipientStates(pecID: "pec1").map(\.state) == [.relayed, .takenInCharge, .failed])
    #expect(try ledger.reception(id: "in1") == reception("in1"))
    #expect(try ledger.lastEventNumber() == 3)
    #expect(throws: LedgerError.self) { try ledger.execute("DELETE FROM events") }
  }

  /// What this program's first migration makes is what version 1 made.
  @Test func theFirstMigrationIsAsItWas() throws {
    let folder = Folder()
    try Ledger.execute(VersionOne.tables, at: folder.ledger)
    let old = try Ledger(path: folder.ledger)
    let new = try newTables()
    #expect(try old.tables() == new)
    #expect(try old.tables().count == 43)
  }

  @Test func aMigrationThatCannotBeMadeLeavesTheLedgerAsItWas() throws {
    let folder = try old()
    try Ledger.execute("CREATE TABLE receptions (odd)", at: folder.ledger)
    #expect(throws: LedgerError.self) { try Ledger(path: folder.ledger) }
    #expect(throws: LedgerError.olderSchema(path: folder.ledger, found: 1, known: 6)) { try Ledger.openReadOnly(path: folder.ledger) }
    try Ledger.execute("DROP TABLE receptions; UPDATE queue SET last_error = 'busy' WHERE id = 3", at: folder.ledger)
    try check(Ledger(path: folder.ledger))
  }

  @Test func statesAreCheckedByTheTables() throws {
    let folder = try old()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.reception(reception("in1"))])
    // Of states the commits' own connection is trusted; any other is checked.
    for sql in [
      "UPDATE recipients SET state = 'settled'", "UPDATE recipients SET state = ''", "UPDATE reception_recipients SET state = 'refused'",
    ] {
      let error = #expect(throws: (any Error).self) { try Ledger.execute(sql, at: folder.ledger) }
      #expect("\(error as Any)".contains("CHECK constraint failed"), "\(sql)")
    }
    let error = #expect(throws: LedgerError.self) { try ledger.execute("UPDATE reception_recipients SET reception_id = 99") }
    guard case .conflict = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  // MARK: - Version 3

  @Test func rowsOfVersionTwoAreChained() throws {
    let folder = Folder()
    try Ledger.execute(VersionTwo.tables + VersionTwo.content, at: folder.ledger)
    let ledger = try Ledger(path: folder.ledger, checkingIntegrity: true, clock: { 1_000_000_000 })
    let new = try newTables()
    #expect(try ledger.tables() == new)
    let all = try ledger.events(last: 10)
    #expect(all.map(\.number) == [1, 2, 3])
    #expect(all.last?.recipients.first?.address == "\0\u{1F}\"\u{7F}é@x")
    #expect(all.last?.relatedIDs == ["a\0\"b", ""])
    var chain = EventChain.beginning
    for event in all {
      chain = EventChain.next(chain, leaf: EventChain.leaf(CanonicalEvent.octets(event)))
      #expect(try ledger.chain(after: event.number ?? 0) == chain)
    }
    #expect(try LedgerChainTests.faults(ledger).isEmpty)
    let queries = [
      LogQuery(sender: "anna@pec.alfa.test", words: ["PERO"]), LogQuery(recipient: "R1@pec.beta.test"), LogQuery(relatedID: "pec1.a"),
      LogQuery(kinds: [.anomaly]), LogQuery(recipient: "b@x", error: "altro"), LogQuery(from: LegalDay(number: 20_523)),
    ]
    #expect(try queries.map { try ledger.search($0).rows.map(\.number) } == [[1], [2], [1], [3], [3], [3]])
    #expect(
      try ledger.logDays() == [
        LogDay(day: LegalDay(number: 20_522), first: 1, last: 2, events: 2),
        LogDay(day: LegalDay(number: 20_523), first: 3, last: 3, events: 1),
      ])
    #expect(
      try ledger.statistics(from: LegalDay(number: 0), to: LegalDay(number: 30_000)).map(\.counts) == [
        [.acceptance: 1, .envelopeSent: 1], [.anomaly: 1],
      ])
    try ledger.commit([.event(event("pec3"))])
    #expect(try LedgerChainTests.faults(ledger).isEmpty)
    #expect(try ledger.reception(id: "in1")?.recipients == ["A@x", "b@x"])
    #expect(try ledger.reception(id: "in1")?.copyRecipients == ["A@x"])
  }

  /// Messages under way get the deadlines that they would have had: the first stage if twelve hours are not over, else the second; none
  /// after a day, nor where nobody's silence is waited for.
  @Test func messagesUnderWayGetTheirDeadlines() throws {
    let folder = Folder()
    try Ledger.execute(VersionTwo.tables + VersionTwo.content, at: folder.ledger)
    let ledger = try Ledger(path: folder.ledger, clock: { 1_000_000_000 })
    #expect(
      try ledger.dueDeadlines(at: .max, limit: 10).map(\.watch) == [
        DeadlineWatch(pecID: "old", stage: .second, dueAt: 999_950_000 + 85_500),
        DeadlineWatch(pecID: "young", stage: .first, dueAt: 1_000_000_000 + 43_200),
      ])
    #expect(try ledger.deadlineCount() == 2)
  }

  /// More rows than a block holds: the migration and later commits fill it, and everything in it is found.
  @Test func blocksOfVersionTwo() throws {
    let folder = Folder()
    let rows = LogPostings.blockRows - 20
    try Ledger.execute(
      VersionTwo.tables + """
        WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < \(rows))
        INSERT INTO events SELECT n, 'pec' || (n / 9), 1773140400 + n / 1000, 3600, 20522, 'inoltro', 'u' || (n / 9 % 500) || '@x', '[]',
          'parola ' || (n / 9 % 70), NULL, '[]', 'Alfa', NULL, NULL, NULL, 1 FROM numbers;
        """, at: folder.ledger)
    var ledger = try Ledger(path: folder.ledger)
    // One commit over the border of the block, and some on either side.
    for size in [5, 40, 3] { try ledger.commit((0..<size).map { _ in .event(event("new", .delivery, sender: "u7@x")) }) }
    try ledger.close()
    ledger = try Ledger(path: folder.ledger)
    let last = rows + 48
    #expect(try ledger.lastEventNumber() == last)
    let parts = try ledger.access.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM term_parts") ?? 0 }
    let firstRun = try ledger.access.read { try Int64.fetchOne($0, sql: "SELECT min(first) FROM term_runs") }
    #expect(parts > 200)
    #expect(firstRun == LogPostings.blockRows)
    let all = try ledger.events(after: 0, limit: .max)
    for query in [
      LogQuery(sender: "u7@x"), LogQuery(sender: "u7@x", newestFirst: true, limit: 7),
      LogQuery(words: ["parola", "7"], kinds: [.envelopeSent]),
      LogQuery(kinds: [.delivery]), LogQuery(sender: "u7@x", words: ["prova"]), LogQuery(sender: "u7@x", kinds: [.anomaly]),
      LogQuery(pecID: "pec17"), LogQuery(sender: "u499@x", words: ["parola 9"]),
    ] {
      #expect(try pages(query, in: ledger).map(\.number) == naive(query, in: all).map(\.number), "\(query)")
    }
    #expect(try LedgerChainTests.faults(ledger).isEmpty)
    // Purged to within the block, and then beyond it.
    try ledger.commit([
      .seal(
        SealRecord(
          number: 1, first: 1, last: last, madeAt: noon, digest: "", root: "", chain: Hex.encode(try ledger.chain(after: last) ?? [])))
    ])
    try ledger.commit([.purge(first: 1, last: 30_000)])
    #expect(
      try ledger.search(LogQuery(sender: "u7@x")).rows.map(\.number)
        == naive(LogQuery(sender: "u7@x"), in: Array(all[30_000...])).map(\.number))
    try ledger.commit([.purge(first: 30_001, last: LogPostings.blockRows + 4)])
    #expect(try ledger.access.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM term_parts") } == 0)
    #expect(try ledger.search(LogQuery(sender: "u7@x")).rows.count == 24)
  }
}
