import Evidence
import Foundation
import Journey
import Octets
import PEC
import Testing

@testable import Ledger

@Suite struct LedgerKeepingTests {
  private func reason(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "no error"
    } catch LedgerError.conflict(let reason) {
      return reason
    } catch {
      return "\(error)"
    }
  }

  private func seal(_ number: Int64, _ first: Int64, _ last: Int64, in ledger: Ledger) throws -> SealRecord {
    SealRecord(
      number: number, first: first, last: last, madeAt: noon, digest: "d\(number)", root: "r\(number)",
      chain: Hex.encode(try ledger.chain(after: last) ?? []))
  }

  private func at(_ day: Int64, _ seconds: Int64 = 0) -> Instant {
    Instant(unixSeconds: day * 86_400 + seconds - 3600, utcOffsetSeconds: 3600)
  }

  // MARK: - Seals

  @Test func sealsFollowEachOther() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    #expect(try ledger.lastSeal() == nil)
    #expect(try ledger.seal(coveringRow: 1) == nil)
    try ledger.commit((1...10).map { .event(event("pec\($0)")) })
    let first = try seal(1, 1, 4, in: ledger)
    var wrong = [try seal(2, 1, 4, in: ledger), try seal(1, 2, 4, in: ledger), try seal(1, 1, 0, in: ledger), first, first, first]
    wrong[3].last = 11
    wrong[4].chain = try seal(1, 1, 5, in: ledger).chain
    wrong[5].number = 0
    for one in wrong { #expect(throws: LedgerError.self, "\(one)") { try ledger.commit([.event(event("x")), .seal(one)]) } }
    #expect(try ledger.lastEventNumber() == 10)
    try ledger.commit([.seal(first), .event(event("about it", .sealed))])
    #expect(throws: LedgerError.self) { try ledger.commit([.seal(first)]) }
    #expect(throws: LedgerError.self) { try ledger.commit([.seal(try seal(2, 6, 8, in: ledger))]) }
    #expect(throws: LedgerError.self) { try ledger.commit([.seal(try seal(3, 5, 8, in: ledger))]) }
    // Over a row of this same commit.
    var second = try seal(2, 5, 11, in: ledger)
    try ledger.commit([.seal(second)])
    #expect(try ledger.seals() == [first, second])
    #expect(try ledger.lastSeal() == second)
    #expect(try (1...12).map { try ledger.seal(coveringRow: $0)?.number } == [1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, nil])
    #expect(try ledger.seal(coveringRow: 0) == nil)
    #expect(try ledger.seal(number: 3) == nil)
    #expect(try ledger.unstampedSeals() == [first, second])
    try ledger.commit([.stamp(seal: 2, at: 99, authority: "TSA «1»")])
    (second.stampedAt, second.authority) = (99, "TSA «1»")
    #expect(try ledger.seal(number: 2) == second)
    #expect(try Ledger.openReadOnly(path: folder.ledger).unstampedSeals() == [first])
    #expect(reason { try ledger.commit([.stamp(seal: 3, at: 1, authority: "x")]) }.contains("no seal 3"))
    for sql in ["UPDATE seals SET root = 'x'", "DELETE FROM seals", "UPDATE seals SET number = 9 WHERE number = 2"] {
      #expect(reason { try ledger.execute(sql) }.contains("a seal is never"), "\(sql)")
    }
  }

  // MARK: - Purges

  /// Three days of rows whose borders are not sharp, sealed up to the last row but one.
  private func threeDays(_ folder: Folder) throws -> Ledger {
    let ledger = try Ledger(path: folder.ledger, clock: { 5_000 })
    let days: [Int64] = [20_000, 20_000, 20_000, 20_001, 20_000, 20_001, 20_001, 20_002, 20_002, 20_002]
    try ledger.commit(days.enumerated().map { .event(event("pec\($0.offset + 1)", at: at($0.element, Int64($0.offset)))) })
    try ledger.commit([.seal(try seal(1, 1, 9, in: ledger))])
    return ledger
  }

  @Test func daysOfTheLog() throws {
    let folder = Folder()
    let ledger = try threeDays(folder)
    #expect(
      try ledger.logDays() == [
        LogDay(day: LegalDay(number: 20_000), first: 1, last: 5, events: 4),
        LogDay(day: LegalDay(number: 20_001), first: 4, last: 7, events: 3),
        LogDay(day: LegalDay(number: 20_002), first: 8, last: 10, events: 3),
      ])
    #expect(try ledger.firstEventNumber() == 1)
  }

  @Test func purging() throws {
    let folder = Folder()
    let ledger = try threeDays(folder)
    let chain = try ledger.chain(after: 4)
    for (first, last) in [(2, 4), (0, 4), (1, 0), (1, 11), (5, 4), (.min, .max), (-1, .max)] as [(Int64, Int64)] {
      #expect(reason { try ledger.commit([.event(event("x")), .purge(first: first, last: last)]) } != "no error", "\(first)–\(last)")
    }
    #expect(reason { try ledger.commit([.purge(first: 1, last: 10)]) }.contains("not sealed"))
    #expect(try ledger.events(last: 100).count == 10)
    try ledger.commit([.purge(first: 1, last: 4), .event(event("about it", .purged, at: at(20_002)))])
    #expect(try ledger.events(last: 100).map(\.number) == (5...11).map { Int64($0) })
    #expect(try ledger.firstEventNumber() == 5)
    #expect(try ledger.purgedRows() == [1...4])
    #expect(
      try ledger.logDays() == [
        LogDay(day: LegalDay(number: 20_000), first: 5, last: 5, events: 1),
        LogDay(day: LegalDay(number: 20_001), first: 6, last: 7, events: 2),
        LogDay(day: LegalDay(number: 20_002), first: 8, last: 11, events: 4),
      ])
    // The chain goes on from the purged rows, and statistics still count them.
    #expect(try ledger.chain(after: 4) == chain)
    #expect(try ledger.chain(after: 3) == nil)
    #expect(try LedgerChainTests.faults(ledger).isEmpty)
    #expect(try ledger.statistics(from: LegalDay(number: 20_000), to: LegalDay(number: 20_000)).first?.counts == [.acceptance: 4])
    #expect(try ledger.search(LogQuery(sender: "anna@pec.alfa.test")).rows.map(\.number) == (5...11).map { Int64($0) })
    #expect(try ledger.search(LogQuery(from: LegalDay(number: 20_000), to: LegalDay(number: 20_000))).rows.map(\.number) == [5])
    try ledger.commit([.purge(first: 5, last: 9)])
    #expect(try ledger.logDays() == [LogDay(day: LegalDay(number: 20_002), first: 10, last: 11, events: 2)])
    let copy = folder.copy()
    let again = try Ledger(path: copy.ledger)
    try again.commit([.event(event("after"))])
    #expect(try again.lastEventNumber() == 12)
    #expect(try LedgerChainTests.faults(again).isEmpty)
    #expect(try again.chain(after: 9) == ledger.chain(after: 9))
    withExtendedLifetime(copy) {}
  }

  @Test func nothingElseIsEverRemoved() throws {
    let folder = Folder()
    let ledger = try threeDays(folder)
    try ledger.commit([.purge(first: 1, last: 4)])
    for sql in [
      "DELETE FROM events", "DELETE FROM events WHERE number = 5", "UPDATE events SET number = 3 WHERE number = 5",
      "INSERT INTO purges VALUES (6, 7, 1, x'')", "INSERT INTO purges VALUES (5, 10, 1, x'')", "UPDATE purges SET last = 9",
      "DELETE FROM purges", "INSERT OR REPLACE INTO purges VALUES (1, 9, 1, x'')",
    ] {
      #expect(reason { try ledger.execute(sql) } != "no error", "\(sql)")
    }
    #expect(try ledger.events(last: 100).count == 6)
  }

  @Test func holds() throws {
    let folder = Folder()
    let ledger = try threeDays(folder)
    func hold(_ id: String, _ from: Int64, _ to: Int64) -> LogHold {
      LogHold(id: id, from: LegalDay(number: from), to: LegalDay(number: to), reason: "case «\(id)»", madeAt: 7)
    }
    try ledger.commit([.hold(hold("b", 20_001, 20_001)), .hold(hold("a", 19_000, 19_999))])
    #expect(try ledger.holds() == [hold("a", 19_000, 19_999), hold("b", 20_001, 20_001)])
    #expect(reason { try ledger.commit([.hold(hold("b", 1, 2))]) } != "no error")
    #expect(reason { try ledger.commit([.hold(hold("c", 2, 1))]) }.contains("ends before"))
    #expect(reason { try ledger.commit([.liftHold(id: "c")]) }.contains("no hold"))
    // Row 4 is of the day that is held, though it stands among those of the day before.
    #expect(reason { try ledger.commit([.purge(first: 1, last: 4)]) }.contains("under a hold"))
    try ledger.commit([.purge(first: 1, last: 3)])
    #expect(reason { try ledger.commit([.purge(first: 4, last: 9)]) }.contains("under a hold"))
    try ledger.commit([.liftHold(id: "b"), .purge(first: 4, last: 9)])
    #expect(try ledger.events(last: 100).map(\.number) == [10])
    #expect(try ledger.holds() == [hold("a", 19_000, 19_999)])
  }

  @Test func messagesGoWithTheirRows() throws {
    let folder = Folder()
    let ledger = try threeDays(folder)
    func old(_ id: String, _ day: Int64) -> TransactionRecord {
      var made = transaction(id)
      made.instant = at(day)
      return made
    }
    func arrived(_ id: String, _ day: Int64, fingerprint: String = "") -> ReceptionRecord {
      var made = reception(id, pecID: "o\(id)", fingerprint: fingerprint)
      made.instant = at(day)
      return made
    }
    var waiting = entry("e2", "opec2")
    waiting.reception = "in2"
    try ledger.commit([
      .transaction(old("pec1", 20_000)), .transaction(old("queued", 20_000)), .transaction(old("watched", 20_000)),
      .transaction(old("young", 20_003)), .enqueue(entry("e1", "queued")), .watch(DeadlineWatch(pecID: "watched", stage: .first, dueAt: 1)),
      .reception(arrived("in1", 20_000)), .reception(arrived("in2", 20_000, fingerprint: "f2")), .enqueue(waiting),
      .reception(arrived("in3", 20_000, fingerprint: "f3")), .reception(arrived("in4", 20_003, fingerprint: "f4")),
    ])
    try ledger.commit([.purge(first: 1, last: 7)])
    #expect(try ["pec1", "queued", "watched", "young"].map { try ledger.transaction(pecID: $0) != nil } == [false, true, true, true])
    #expect(try ledger.recipientStates(pecID: "pec1").isEmpty)
    #expect(try ["in1", "in2", "in3", "in4"].map { try ledger.reception(id: $0) != nil } == [false, true, false, true])
    #expect(try ledger.reception(id: "in4")?.recipients.count == 1)
    try ledger.commit([.reception(arrived("again", 20_002, fingerprint: "f3"))])
    #expect(throws: LedgerError.self) { try ledger.commit([.reception(arrived("again2", 20_002, fingerprint: "f2"))]) }
  }

  // MARK: - Requests and statistics

  @Test func requests() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    var one = LogRequestRecord(
      id: "q1", pecID: "pec1", asker: "anna@pec.alfa.test", openedAt: noon, changedAt: 10, question: "Mittente: «a»\nData: 1", outcome: "")
    let two = LogRequestRecord(
      id: "q2", pecID: "pec2", asker: "b@x", openedAt: noon, state: .returned, changedAt: 11, outcome: "form", answerID: "pec9")
    try ledger.commit([.request(one), .request(two)])
    #expect(try ledger.request(id: "q1") == one)
    #expect(try ledger.requests() == [one, two])
    #expect(try ledger.requests(states: [.open, .waiting]) == [one])
    #expect(try ledger.requests(states: []).isEmpty)
    #expect(try ledger.requests(limit: 1) == [one])
    var stolen = one
    stolen.asker = "b@x"
    #expect(reason { try ledger.commit([.request(stolen)]) }.contains("somebody else"))
    (one.state, one.changedAt, one.outcome) = (.waiting, 20, "asked the operator")
    try ledger.commit([.request(one)])
    (one.state, one.changedAt, one.outcome, one.answerID) = (.answered, 30, "sent", "pec8")
    try ledger.commit([.request(one)])
    #expect(try Ledger.openReadOnly(path: folder.ledger).requests() == [one, two])
    #expect(
      try ledger.requestHistory(id: "q1") == [
        LogRequestStep(state: .open, at: 10, outcome: ""), LogRequestStep(state: .waiting, at: 20, outcome: "asked the operator"),
        LogRequestStep(state: .answered, at: 30, outcome: "sent"),
      ])
    for ended in [one, two] {
      var again = ended
      again.state = .open
      #expect(reason { try ledger.commit([.request(again)]) }.contains("its end"))
    }
    #expect(try ledger.requestHistory(id: "q2").count == 1)
    #expect(try ledger.requestHistory(id: "none").isEmpty)
    #expect(try ledger.request(id: "none") == nil)
  }

  @Test func statistics() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let (first, second) = (LegalDay(number: 20_000), LegalDay(number: 20_001))
    for _ in 0..<3 {
      try ledger.commit([
        .event(event("a", .acceptance, at: at(20_000))), .event(event("a", .delivery, at: at(20_001))),
        .event(event("a", .acceptance, at: at(20_000, 86_399))),
      ])
    }
    try ledger.commit([.mailboxes(day: second, counts: ["a.test": 5, "b.test": 6])])
    try ledger.commit([.mailboxes(day: second, counts: ["a.test": 7]), .mailboxes(day: LegalDay(number: 20_005), counts: ["a.test": 1])])
    let expected = [
      DayStatistics(day: first, counts: [.acceptance: 6], mailboxes: [:]),
      DayStatistics(day: second, counts: [.delivery: 3], mailboxes: ["a.test": 7]),
      DayStatistics(day: LegalDay(number: 20_005), counts: [:], mailboxes: ["a.test": 1]),
    ]
    #expect(try ledger.statistics(from: first, to: LegalDay(number: .max)) == expected)
    #expect(try ledger.statistics(from: second, to: second) == [expected[1]])
    #expect(try ledger.statistics(from: second, to: first).isEmpty)
  }
}
