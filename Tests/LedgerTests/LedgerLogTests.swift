import Foundation
import Journey
import Octets
import PEC
import Testing

@testable import Ledger

@Suite struct LedgerLogTests {
  @Test func everyFieldOfAnEventComesBack() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    var full = EventRecord(
      pecID: "opec2.20260310.a-b@alfa", instant: Instant(unixSeconds: -5, utcOffsetSeconds: -3600), kind: .nonDelivery,
      sender: "\"odd \\\" local\"@pec.alfa.test",
      recipients: [
        Recipient(address: "a\"b\\c\u{7}\u{1F}é€😀@x", recipientClass: .certified), Recipient(address: "", recipientClass: .ordinary),
      ], subject: "Però \r\n\t «€» 😀 'quoted' -- ; DROP", clientMessageID: "<é\"'@client>", relatedIDs: ["uno", "due\n", ""],
      provider: "Alfa S.p.A.", recipient: "r1@x", error: "no-dest", detail: "5.1.1 unknown\nuser", bytes: .max)
    let empty = EventRecord(
      pecID: "", instant: noon, kind: .acceptance, sender: "", recipients: [], subject: nil, clientMessageID: nil, relatedIDs: [],
      provider: "", bytes: 0)
    try ledger.commit([.event(full), .event(empty)])
    full.number = 1
    #expect(try ledger.events(last: 10) == [full, empty.numbered(2)])
    #expect(try ledger.events(pecID: full.pecID) == [full])
    #expect(try ledger.events(clientMessageID: "<é\"'@client>") == [full])
  }

  @Test func everyKindAndClassComesBack() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let all = EventKind.allCases.map { event("pec1", $0) }
    try ledger.commit(all.map { .event($0) })
    #expect(try ledger.events(pecID: "pec1").map(\.kind) == EventKind.allCases)
    #expect(try ledger.events(pecID: "pec1").map(\.number) == all.indices.map { Int64($0) + 1 })
  }

  @Test func aNULBecomesVisibleAndCutsNothingOff() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    var odd = event("pec\u{0}1")
    odd.subject = "before\u{0}after"
    odd.recipients = [Recipient(address: "a\u{0}b@x", recipientClass: .certified)]
    try ledger.commit([.event(odd)])
    let stored = try #require(try ledger.events(pecID: "pec\u{0}1").first)
    #expect(stored.subject == "before\u{2400}after")
    #expect(stored.recipients == odd.recipients)
    #expect(stored.provider == odd.provider)
  }

  @Test func eventsAreNeverChanged() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.event(event("pec1")), .event(event("pec2"))])
    let before = try ledger.events(last: 10)
    for sql in [
      "UPDATE events SET subject = 'x'", "UPDATE events SET number = 9 WHERE number = 1", "DELETE FROM events",
      "DELETE FROM events WHERE number = 2", "INSERT OR REPLACE INTO events SELECT * FROM events WHERE number = 1",
      "INSERT INTO events SELECT * FROM events WHERE true ON CONFLICT (number) DO UPDATE SET subject = 'x'",
    ] {
      let error = #expect(throws: LedgerError.self) { try ledger.execute(sql) }
      guard case .conflict(let text) = error else {
        Issue.record("\(sql): \(String(describing: error))")
        continue
      }
      #expect(text.contains("never changed"), "\(sql)")
    }
    #expect(try ledger.events(last: 10) == before)
    var again = event("pec3")
    again.number = 1
    #expect(throws: LedgerError.self) { try ledger.commit([.event(again)]) }
    #expect(try ledger.events(last: 10) == before)
    try ledger.commit([.event(event("pec3"))])
    #expect(try ledger.lastEventNumber() == 3)
  }

  @Test func tailing() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    #expect(try ledger.events(last: 5).isEmpty)
    #expect(try ledger.lastEventNumber() == 0)
    try ledger.commit((1...20).map { .event(event("pec\($0)")) })
    #expect(try ledger.events(last: 3).map(\.pecID) == ["pec18", "pec19", "pec20"])
    #expect(try ledger.events(last: 0).isEmpty)
    #expect(try ledger.events(last: -1).isEmpty)
    #expect(try ledger.events(after: 17).map(\.pecID) == ["pec18", "pec19", "pec20"])
    #expect(try ledger.events(after: 0, limit: 2).map(\.pecID) == ["pec1", "pec2"])
    #expect(try ledger.events(after: 20).isEmpty)
    #expect(try ledger.lastEventNumber() == 20)
  }

  /// Extracts are by legal day, not by the day in UTC (pec-rules 9.5).
  @Test func extractsByDay() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    // 2026-03-10 23:30 UTC is 00:30 of the 11th in Italy.
    let late = Instant(unixSeconds: 1_773_185_400, utcOffsetSeconds: 3600)
    let midnight = Instant(unixSeconds: 1_773_183_600, utcOffsetSeconds: 3600)
    let before = Instant(unixSeconds: 1_773_183_599, utcOffsetSeconds: 3600)
    try ledger.commit([
      .event(event("before", at: before)), .event(event("midnight", at: midnight)), .event(event("late", at: late)),
      .event(event("other", at: late, sender: "aldo@pec.alfa.test")),
    ])
    #expect(try ledger.events(sender: "ANNA@pec.alfa.test", onDayOf: late).map(\.pecID) == ["midnight", "late"])
    #expect(try ledger.events(sender: "anna@pec.alfa.test", onDayOf: before).map(\.pecID) == ["before"])
    #expect(try ledger.events(sender: "nobody@pec.alfa.test", onDayOf: before).isEmpty)
  }

  @Test(arguments: [(0, 0), (86_399, 0), (86_400, 1), (-1, -1), (-86_400, -1), (-86_401, -2)] as [(Int64, Int64)])
  func days(seconds: Int64, day: Int64) {
    #expect(LedgerColumns.day(Instant(unixSeconds: seconds, utcOffsetSeconds: 0)) == day)
    #expect(LedgerColumns.day(Instant(unixSeconds: seconds - 3600, utcOffsetSeconds: 3600)) == day)
  }

  @Test func daysDoNotTrap() {
    for seconds in [Int64.max, .min, .max - 10, .min + 10] {
      for offset in [-3600, 0, 3600] { _ = LedgerColumns.day(Instant(unixSeconds: seconds, utcOffsetSeconds: offset)) }
    }
  }

  @Test func columnsReadOnlyWhatTheyWrote() {
    var dice = Dice(5)
    for _ in 0..<300 {
      let texts = (0..<Int.random(in: 0...4, using: &dice)).map { _ in
        String(
          String.UnicodeScalarView(
            (0..<Int.random(in: 0...9, using: &dice)).compactMap { _ in Unicode.Scalar(UInt32.random(in: 0...0x500, using: &dice)) }))
      }
      #expect(LedgerColumns.texts(LedgerColumns.json(texts)) == texts)
      let all = texts.map { Recipient(address: $0, recipientClass: Bool.random(using: &dice) ? .certified : .ordinary) }
      #expect(LedgerColumns.recipients(LedgerColumns.json(all)) == all)
      let ranges = texts.map { _ in
        StoredRange(segment: UInt32.random(in: 0...UInt32.max, using: &dice), offset: dice.next(), length: dice.next())
      }
      #expect(LedgerColumns.ranges(LedgerColumns.text(ranges)) == ranges)
    }
    for odd in [
      "1", "1:2", "1:2:3:4", "a:2:3", "1:2:", ":2:3", "-1:2:3", "+1:2:3", "4294967296:0:0", "1:18446744073709551616:0", "1::3",
      "1:2:3,4:5:6",
    ] {
      #expect(LedgerColumns.ranges(odd) == nil, "\(odd)")
    }
    for odd in ["", "x", "{}", "[1]", "[{}]", "[{\"address\":\"a\",\"class\":\"no\"}]"] {
      #expect(LedgerColumns.recipients(odd) == nil, "\(odd)")
    }
  }
}
