import Evidence
import Foundation
import Journey
import Octets
import PEC
import Testing

@testable import Ledger

@Suite struct LedgerChainTests {
  /// Everything the ledger's own check finds.
  static func faults(_ ledger: any LedgerReading) throws -> [EvidenceFault] {
    let first = try ledger.firstEventNumber() ?? 1
    var check = EvidenceCheck(chainBefore: try ledger.chain(after: first - 1), first: first)
    try ledger.rowsAsFound(from: 0, through: .max) { row in
      check.feed(number: row.number, canonical: row.event.map { CanonicalEvent.octets($0) }, storedChain: row.chain)
      return true
    }
    return check.finish(last: try ledger.lastEventNumber())
  }

  @Test func eachRowIsChainedToTheOneBefore() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    #expect(try ledger.chain(after: 0) == EventChain.beginning)
    #expect(try ledger.chain(after: 1) == nil)
    var odd = event("pec\u{0}2")
    odd.recipients = [Recipient(address: "a\u{0}\u{7F}\"b@x", recipientClass: .certified)]
    odd.relatedIDs = ["a\u{0}b", "c\\\"\u{1F}"]
    odd.detail = "NUL \u{0} and DEL \u{7F}"
    try ledger.commit([.event(event("pec1")), .event(odd)])
    try ledger.commit([.event(event("pec3", .envelopeMade))])
    var chain = EventChain.beginning
    for event in try ledger.events(last: 10) {
      chain = EventChain.next(chain, leaf: EventChain.leaf(CanonicalEvent.octets(event)))
      #expect(try ledger.chain(after: event.number ?? 0) == chain)
    }
    // What was handed in and what is read have the same octets.
    odd.number = 2
    let stored = try #require(try ledger.events(after: 1, limit: 1).first)
    #expect(CanonicalEvent.octets(stored) == CanonicalEvent.octets(odd))
    #expect(try Self.faults(ledger).isEmpty)
    #expect(try ledger.chain(after: 4) == nil)
  }

  @Test func rowsInPages() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit((1...2500).map { .event(event("pec\($0)")) })
    var seen: [Int64] = []
    try ledger.rows(from: 700, through: 2200) { event, chain in
      seen.append(event.number ?? 0)
      return chain.count == 32
    }
    #expect(seen == Array(700...2200))
    seen = []
    try ledger.rows(from: 0, through: .max) { event, _ in
      seen.append(event.number ?? 0)
      return seen.count < 1500
    }
    #expect(seen == Array(1...1500))
    try ledger.rows(from: 5, through: 4) { _, _ in
      Issue.record("there are no such rows")
      return true
    }
    struct Stop: Error {}
    #expect(throws: Stop.self) { try ledger.rows(from: 1, through: 9) { _, _ in throw Stop() } }
  }

  @Test func numbersAreTheLedgersOwn() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.event(event("pec1").numbered(1)), .event(event("pec2"))])
    for number in [0, 2, 4, -1, Int64.max] as [Int64] {
      #expect(throws: LedgerError.self) { try ledger.commit([.event(event("x").numbered(number))]) }
    }
    try ledger.commit([.event(event("pec3").numbered(3))])
    #expect(try ledger.lastEventNumber() == 3)
    #expect(try Self.faults(ledger).isEmpty)
  }

  /// A commit that was refused leaves no gap and no trace, whatever refused it.
  @Test func refusedCommitsLeaveTheChainAsItWas() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger, busySeconds: 0.05)
    let other = try Ledger(path: folder.ledger)
    try ledger.commit([.event(event("pec1")), .enqueue(entry("e1"))])
    for round in 0..<5 {
      #expect(throws: LedgerError.self) { try ledger.commit([.event(event("no\(round)")), .enqueue(entry("e1"))]) }
      try other.exclusively { #expect(throws: LedgerError.self) { try ledger.commit([.event(event("busy\(round)"))]) } }
      try ledger.commit([.event(event("yes\(round)"))])
    }
    try ledger.execute("PRAGMA max_page_count = 1")
    var large = event("full")
    large.detail = String(repeating: "x", count: 300_000)
    #expect(throws: LedgerError.diskFull(path: folder.ledger)) { try ledger.commit([.event(large)]) }
    try ledger.execute("PRAGMA max_page_count = 100000")
    try ledger.commit([.event(large)])
    #expect(try ledger.events(last: 20).map(\.pecID) == ["pec1", "yes0", "yes1", "yes2", "yes3", "yes4", "full"])
    #expect(try ledger.events(last: 20).map(\.number) == (1...7).map { Int64($0) })
    #expect(try Self.faults(ledger).isEmpty)
    #expect(try ledger.search(LogQuery(pecID: "no0")).rows.isEmpty)
    #expect(try ledger.statistics(from: LegalDay(noon), to: LegalDay(noon)).first?.counts == [.acceptance: 7])
  }

  /// Another process may add rows, too (an operator's command while the gateway is down, and then the other way round).
  @Test func twoWritersChainToEachOther() throws {
    let folder = Folder()
    let one = try Ledger(path: folder.ledger)
    let two = try Ledger(path: folder.ledger)
    for round in 0..<6 {
      try one.commit([.event(event("one\(round)"))])
      if round % 2 == 0 { try two.commit([.event(event("two\(round)")), .event(event("two\(round)"))]) }
    }
    #expect(try one.lastEventNumber() == 12)
    #expect(try Self.faults(one).isEmpty)
  }

  @Test(arguments: 1...3 as ClosedRange<UInt64>)
  func theChainHoldsOverCrashes(seed: UInt64) throws {
    var dice = Dice(seed)
    var folder = Folder()
    var ledger = try Ledger(path: folder.ledger)
    var count: Int64 = 0
    for step in 0..<40 {
      let changes = (0..<Int.random(in: 1...6, using: &dice)).map {
        LedgerChange.event(event("pec\(step)", $0 == 0 ? .acceptance : .delivery))
      }
      if Int.random(in: 0..<4, using: &dice) == 0 {
        #expect(throws: LedgerError.self) { try ledger.commit(changes + [.liftHold(id: "none")]) }
      } else {
        try ledger.commit(changes)
        count += Int64(changes.count)
      }
      if Int.random(in: 0..<5, using: &dice) == 0 {
        folder = folder.copy()
        ledger = try Ledger(path: folder.ledger)
      }
      #expect(try ledger.lastEventNumber() == count, "seed \(seed) step \(step)")
    }
    #expect(try Self.faults(ledger).isEmpty, "seed \(seed)")
  }

  /// Each column of a row, changed behind the ledger's back, is found and the row named.
  @Test func whateverIsChangedIsFound() throws {
    let folder = Folder()
    do {
      let ledger = try Ledger(path: folder.ledger)
      var full = event("pec3", .nonDelivery)
      full.recipient = "r0@pec.beta.test"
      full.error = "no-dest"
      full.detail = "550"
      try ledger.commit([.event(event("pec1")), .event(event("pec2")), .event(full), .event(event("pec4")), .event(event("pec5"))])
      try ledger.close()
    }
    let changes = [
      "at = at + 1", "utc_offset = 0", "day = day + 1", "kind = 'accettazione'", "kind = 'odd'", "pec_id = 'pec2'", "sender = 'Anna'",
      "provider = ''", "recipient = NULL", "error = 'No-dest'", "bytes = 5001", "chain = zeroblob(32)", "client_message_id = NULL",
      "subject = ''", "related_ids = '[\"pec3.b\"]'", "related_ids = '[ \"pec3.a\"]'", "detail = NULL", "recipients = '[]'",
      "recipients = replace(recipients, '},{', '}, {')", "recipients = replace(recipients, 'r1', 'R1')",
    ]
    for change in changes {
      let copy = folder.copy()
      try Ledger.execute("DROP TRIGGER events_never_change; UPDATE events SET \(change) WHERE number = 3", at: copy.ledger)
      let faults = try Self.faults(Ledger.openReadOnly(path: copy.ledger))
      #expect(faults.map(\.row) == [3], "\(change): \(faults)")
    }
    for (name, sql, row) in [
      ("removed", "DELETE FROM events WHERE number = 3", 3), ("the last removed", "DELETE FROM events WHERE number = 1", 1),
      (
        "two changed over",
        "UPDATE events SET number = 9 WHERE number = 2; UPDATE events SET number = 2 WHERE number = 3; "
          + "UPDATE events SET number = 3 WHERE number = 9", 2
      ),
      (
        "added",
        "INSERT INTO events SELECT 6, at, utc_offset, day, kind, pec_id, sender, provider, recipient, error, bytes, chain, "
          + "client_message_id, subject, related_ids, detail, recipients FROM events WHERE number = 2", 6
      ),
    ] as [(String, String, Int64)] {
      let copy = folder.copy()
      try Ledger.execute("DROP TRIGGER events_never_change; DROP TRIGGER events_never_go; \(sql)", at: copy.ledger)
      let reader = try Ledger.openReadOnly(path: copy.ledger)
      var check = EvidenceCheck(chainBefore: EventChain.beginning)
      try reader.rowsAsFound(from: 0, through: .max) { found in
        check.feed(number: found.number, canonical: found.event.map { CanonicalEvent.octets($0) }, storedChain: found.chain)
        return true
      }
      let faults = check.finish()
      #expect(faults.contains { $0.row == row }, "\(name): \(faults)")
    }
  }
}
