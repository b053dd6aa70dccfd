import Journey
import Octets
import PEC
import Testing

@testable import Ledger

@Suite struct LedgerQueueHoldsTests {
  private func full(_ folder: Folder) throws -> Ledger {
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([
      .enqueue(entry("e1", recipients: ["a@x.test"])), .enqueue(entry("e2", recipients: ["b@Y.test", "c@x.test"])),
      .enqueue(entry("e3", kind: .acceptance, recipients: [#""a@x.test"@y.test"#], route: .mailbox)),
      .enqueue(entry("e4", recipients: ["d@z.test"], route: .relay("z.test"))),
    ])
    return ledger
  }

  private func ids(_ filter: QueueFilter, _ ledger: Ledger) throws -> [String] {
    let found = try ledger.queueSelection(filter, limit: 100).entries.map(\.id)
    #expect(try ledger.queueCount(filter) == found.count)
    return found
  }

  @Test func figuresByRoute() throws {
    let folder = Folder()
    let ledger = try full(folder)
    #expect(try ledger.heldFigures() == HeldFigures())
    try ledger.commit([.holdQueue(QueueHold(scope: .domain("x.test"), heldAt: 100)), .holdQueue(QueueHold(scope: .all, heldAt: 105))])
    var all = HeldFigures()
    (all.entries, all.since) = (["mailbox": 1, "relay:default": 2, "relay:z.test": 1], 100)
    #expect(try ledger.heldFigures() == all)
    try ledger.commit([.releaseQueue(.all, at: 106)])
    #expect(try ledger.heldFigures().entries == ["relay:default": 1])
    try ledger.commit([.releaseQueue(.domain("x.test"), at: 107)])
    #expect(try ledger.heldFigures() == HeldFigures())
  }

  private func held(_ ledger: Ledger) throws -> [String] {
    var filter = QueueFilter()
    filter.isHeld = true
    let found = try ids(filter, ledger)
    // The statement and the code say the same.
    let holds = try ledger.queueHolds()
    #expect(try found == ledger.allEntries().filter { holds.hold(on: $0) != nil }.map(\.id).sorted())
    #expect(try ledger.dueEntries(limit: 100, free: true).entries.map(\.id) == ["e1", "e2", "e3", "e4"].filter { !found.contains($0) })
    return found
  }

  @Test func whatIsMeant() throws {
    let folder = Folder()
    let ledger = try full(folder)
    #expect(try ids(QueueFilter(), ledger) == ["e1", "e2", "e3", "e4"])
    #expect(try ids(QueueFilter(.route(.relay("default"))), ledger) == ["e1", "e2"])
    #expect(try ids(QueueFilter(.domain("x.test")), ledger) == ["e1", "e2"])
    #expect(try ids(QueueFilter(.domain("y.test")), ledger) == ["e2", "e3"])
    #expect(try ids(QueueFilter(.domain("test")), ledger).isEmpty)
    #expect(try ids(QueueFilter(.domain("x.test"), .route(.mailbox)), ledger).isEmpty)
    #expect(try ids(QueueFilter(.entry("e4")), ledger) == ["e4"])
    var filter = QueueFilter(.all)
    filter.kinds = [.acceptance, .takeCharge]
    #expect(try ids(filter, ledger) == ["e3"])
    filter.kinds = nil
    filter.sender = "POSTA-certificata@pec.alfa.test"
    #expect(try ids(filter, ledger).count == 4)
    filter.sender = "other@pec.alfa.test"
    #expect(try ids(filter, ledger).isEmpty)
    #expect(try ledger.queueHasRoute(.relay("z.test")))
    #expect(try !ledger.queueHasRoute(.relay("y.test")))
  }

  @Test func pagesEndWhereTheyMust() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit((0..<30).map { .enqueue(entry("e\($0)", recipients: [$0 % 10 == 9 ? "a@x.test" : "b@y.test"])) })
    let end = try ledger.queueEnd()
    try ledger.commit([.enqueue(entry("late", recipients: ["a@x.test"])), .settle(entry: "e4", recipients: ["b@y.test"], end: .delivered)])
    var found: [String] = []
    var (pages, place) = (0, Int64?.none)
    repeat {
      let page = try ledger.queueSelection(QueueFilter(.domain("x.test")), after: place, upTo: end, limit: 2, looking: 4)
      found += page.entries.map(\.id)
      place = page.next
      pages += 1
      #expect(page.entries.count <= 2)
    } while place != nil && pages < 100
    #expect(found == ["e9", "e19", "e29"])
    #expect(pages >= 7)
    #expect(try ledger.queueSelection(QueueFilter(.domain("x.test")), limit: 3).next != nil)
    #expect(try ledger.queueSelection(QueueFilter(.domain("x.test")), limit: 5).next == nil)
  }

  @Test func whatIsHeld() throws {
    let folder = Folder()
    let ledger = try full(folder)
    #expect(try held(ledger).isEmpty)
    try ledger.commit([.holdQueue(QueueHold(scope: .domain("x.test"), reason: "their disk", heldAt: 100))])
    #expect(try held(ledger) == ["e1"])
    try ledger.commit([.holdQueue(QueueHold(scope: .domain("y.test"), heldAt: 101))])
    #expect(try held(ledger) == ["e1", "e2", "e3"])
    try ledger.commit([.releaseQueue(.domain("y.test"), at: 102), .holdQueue(QueueHold(scope: .entry("e3"), heldAt: 103))])
    #expect(try held(ledger) == ["e1", "e3"])
    try ledger.commit([.holdQueue(QueueHold(scope: .route(.relay("z.test")), heldAt: 104))])
    #expect(try held(ledger) == ["e1", "e3", "e4"])
    try ledger.commit([.holdQueue(QueueHold(scope: .all, heldAt: 105))])
    #expect(try held(ledger) == ["e1", "e2", "e3", "e4"])
    #expect(throws: LedgerError.conflict("everything is held already")) {
      try ledger.commit([.holdQueue(QueueHold(scope: .all, heldAt: 106))])
    }
    #expect(throws: LedgerError.conflict("domain y.test is not held")) { try ledger.commit([.releaseQueue(.domain("y.test"), at: 107)]) }
    try ledger.close()
    let reader = try Ledger.openReadOnly(path: folder.ledger)
    #expect(try reader.queueHolds().open.map(\.scope) == [.domain("x.test"), .entry("e3"), .route(.relay("z.test")), .all])
    #expect(try reader.queueHolds().hold(of: .domain("x.test"))?.reason == "their disk")
    #expect(try reader.queueHolds().count == 5)
  }

  /// Entries of whom only reports are awaited are brought when their time is over, whatever is held.
  @Test func whoIsAwaitedIsNotHeld() throws {
    let folder = Folder()
    let ledger = try full(folder)
    try ledger.commit([.awaitProof(entry: "e1", recipients: ["a@x.test"]), .holdQueue(QueueHold(scope: .all, heldAt: 100))])
    #expect(try ledger.dueEntries(limit: 100, free: true).entries.map(\.id) == ["e1"])
  }

  /// A hold that has ended is remembered as long as an entry is there that it kept.
  @Test func holdsThatNobodyRemembersGo() throws {
    let folder = Folder()
    let ledger = try full(folder)
    try ledger.commit([.holdQueue(QueueHold(scope: .all, heldAt: 80)), .holdQueue(QueueHold(scope: .entry("e1"), heldAt: 95))])
    try ledger.commit([.releaseQueue(.all, at: 89)])
    // Every entry is of 90.
    #expect(try ledger.queueHolds().count == 1)
    try ledger.commit([.holdQueue(QueueHold(scope: .all, heldAt: 91))])
    try ledger.commit([.releaseWholeQueue(at: 99)])
    #expect(try ledger.queueHolds().count == 2)
    #expect(try ledger.queueHolds().open.isEmpty)
    try ledger.commit([.settle(entry: "e1", recipients: ["a@x.test"], end: .delivered)])
    try ledger.commit([.holdQueue(QueueHold(scope: .domain("x.test"), heldAt: 100))])
    #expect(try ledger.queueHolds().count == 2)
    let walk = try ledger.queueWalk(dueAfter: 0)
    #expect(walk.count == 3)
    try ledger.commit([.holdQueue(QueueHold(scope: .domain("y.test"), heldAt: 100))])
    #expect(try ledger.queueWalk(dueAfter: 0).count == 1)
    #expect(try ledger.queueWalk(dueAfter: 0, QueueFilter(.domain("x.test"))).count == 0)
  }

  @Test func destinations() throws {
    let folder = Folder()
    let ledger = try full(folder)
    try ledger.commit([
      .postpone(entry: "e1", dueAt: 500, attempts: 1, lastError: "451 no"),
      .postpone(entry: "e2", dueAt: 400, attempts: 1, lastError: "451 no"),
      .holdQueue(QueueHold(scope: .domain("y.test"), heldAt: 100)),
    ])
    let rows = try ledger.queueDestinations(at: 200, ageSeconds: [60, 120])
    let (first, last) = ("relay:default", "relay:z.test")
    #expect(rows.map(\.route.text) == [first, first, first, "mailbox", "mailbox", last, last])
    #expect(rows.map(\.domain) == [nil, "x.test", "y.test", nil, "y.test", nil, "z.test"])
    #expect(rows.map(\.entries) == [2, 2, 1, 1, 1, 1, 1])
    #expect(rows.map(\.recipients) == [3, 2, 1, 1, 1, 1, 1])
    #expect(rows.map(\.held) == [1, 0, 1, 1, 1, 0, 0])
    #expect(rows.map(\.nextDueAt) == [400, 400, nil, nil, nil, 100, 100])
    #expect(rows[0].bytes == 10_800)
    #expect(rows[0].oldestCreatedAt == 90)
    #expect(rows[1].lastError?.text == "451 no")
    #expect(rows[1].lastError?.entries == 2)
    #expect(rows[3].lastError == nil)
    #expect(rows[0].ages == [0, 2, 0])
    // Domains beyond the bound share a row.
    let few = try ledger.queueDestinations(at: 200, ageSeconds: [], most: 1)
    #expect(few.filter { $0.route == .relay("default") }.map(\.domain).contains(""))
    #expect(few.filter { $0.domain != nil }.reduce(0) { $0 + $1.recipients } == 5)
  }

  @Test func aScopeIsCheckedByTheTable() throws {
    let folder = Folder()
    let ledger = try full(folder)
    let error = #expect(throws: (any Error).self) {
      try Ledger.execute("INSERT INTO queue_holds (scope, name, reason, held_at) VALUES ('sender', 'a', '', 1)", at: folder.ledger)
    }
    #expect("\(error as Any)".contains("CHECK constraint failed"))
    try ledger.execute("INSERT INTO queue_holds (scope, name, reason, held_at) VALUES ('route', 'nowhere', '', 1)")
    #expect(throws: LedgerError.self) { try ledger.queueHolds() }
  }
}
