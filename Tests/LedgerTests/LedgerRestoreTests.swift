import Foundation
import Journey
import Octets
import PEC
import Synchronization
import Testing

@testable import Ledger

/// Copies of a ledger, and what holds after one was restored.
@Suite struct LedgerRestoreTests {
  private func created(_ id: String, _ recipients: [String], at seconds: Int64, route: Route = .relay("default")) -> QueueEntry {
    var made = entry(id, recipients: recipients, route: route)
    made.createdAt = seconds
    return made
  }

  private func held(_ ledger: Ledger) throws -> [String] {
    var filter = QueueFilter()
    filter.isHeld = true
    let found = try ledger.queueSelection(filter, limit: 100).entries.map(\.id)
    let holds = try ledger.queueHolds()
    #expect(try found == ledger.allEntries().filter { holds.hold(on: $0) != nil }.map(\.id).sorted(), "the statement and the code")
    #expect(try ledger.dueEntries(limit: 100, free: true).entries.map(\.id).filter { found.contains($0) }.isEmpty)
    return found
  }

  @Test func whatWasRestoredWaitsAndWhatIsNewGoes() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([
      .enqueue(created("a", ["a@x.test"], at: 100)), .enqueue(created("b", ["b@x.test", "c@y.test"], at: 200)),
      .enqueue(created("c", ["d@z.test"], at: 200, route: .mailbox)), .enqueue(created("d", ["e@z.test"], at: 150)),
      .enqueue(created("new", ["a@x.test"], at: 201)), .awaitProof(entry: "d", recipients: ["e@z.test"]),
      .holdQueue(QueueHold(scope: .restored(until: 200), heldAt: 200)),
    ])
    // Where reports alone are awaited too: they may have come to the gateway that was lost.
    #expect(try held(ledger) == ["a", "b", "c", "d"])
    #expect(try ledger.restoredFigures().entries == 4)
    // A part is released by a hold that began with the other, and has ended.
    try ledger.commit([.holdQueue(QueueHold(scope: .domain("x.test"), heldAt: 200, releasedAt: 300))])
    #expect(try held(ledger) == ["c", "d"])
    #expect(try ledger.queueHolds().free(of: #require(try ledger.entry("b"))) == ["b@x.test"])
    try ledger.commit([.holdQueue(QueueHold(scope: .entry("c"), heldAt: 200, releasedAt: 300))])
    #expect(try held(ledger) == ["d"])
    // An ordinary hold, that has ended too, releases nothing of it.
    try ledger.commit([.holdQueue(QueueHold(scope: .domain("z.test"), heldAt: 201, releasedAt: 300))])
    #expect(try held(ledger) == ["d"])
    try ledger.commit([.holdQueue(QueueHold(scope: .domain("x.test"), heldAt: 301))])
    #expect(try held(ledger) == ["a", "b", "d", "new"])
    #expect(try ledger.restoredFigures().entries == 3, "what came after it is not of the restore")
    try ledger.commit([.releaseWholeQueue(at: 400)])
    #expect(try held(ledger).isEmpty)
    #expect(try ledger.restoredFigures() == RestoredFigures())
    // Its time does not count towards giving up: of each part until that was released.
    let holds = try ledger.queueHolds()
    #expect(try holds.heldSeconds("a@x.test", of: #require(try ledger.entry("a")), until: 1000) == 100 + 99)
    #expect(try holds.heldSeconds("d@z.test", of: #require(try ledger.entry("c")), until: 1000) == 100)
    #expect(try holds.heldSeconds("e@z.test", of: #require(try ledger.entry("d")), until: 1000) == 200)
    #expect(try holds.heldSeconds("a@x.test", of: #require(try ledger.entry("new")), until: 1000) == 99)
  }

  @Test(arguments: [true, false]) func noNoticeOfSilenceBeforeItIsDecided(areSent: Bool) throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let watch = { (pecID: String, due: Int64) in LedgerChange.watch(DeadlineWatch(pecID: pecID, stage: .first, dueAt: due)) }
    try ledger.commit([.transaction(transaction("old1")), watch("old1", 100), .transaction(transaction("old2")), watch("old2", 300)])
    let point = try ledger.restorePoint()
    #expect(point.transaction == 2)
    try ledger.commit([.holdQueue(QueueHold(scope: .notices(through: point.transaction), reason: "as of then", heldAt: 50))])
    #expect(try ledger.restoredFigures().reason == "as of then")
    try ledger.commit([.transaction(transaction("new")), watch("new", 200)])
    #expect(try ledger.nextDeadline() == 200)
    #expect(try ledger.dueDeadlines(at: 1000, limit: 9).map(\.watch.pecID) == ["new"])
    #expect(try ledger.heldDeadlineCount() == 2)
    #expect(try ledger.restoredFigures().notices == 2)
    #expect(try ledger.queueSelection(QueueFilter(.notices(through: 2)), limit: 9).entries.isEmpty)
    // It is no part of releasing everything.
    try ledger.commit([.releaseWholeQueue(at: 60)])
    #expect(try ledger.nextDeadline() == 200)
    try ledger.commit(areSent ? [.releaseQueue(.notices(through: 2), at: 70)] : [.dropRestoredDeadlines(at: 70)])
    #expect(try ledger.dueDeadlines(at: 1000, limit: 9).map(\.watch.pecID) == (areSent ? ["old1", "new", "old2"] : ["new"]))
    #expect(try ledger.heldDeadlineCount() == 0)
    #expect(throws: LedgerError.self) { try ledger.commit([.dropRestoredDeadlines(at: 80)]) }
  }

  /// What is committed between the steps is not in the copy, and does not have it begun anew.
  @Test func aCopyIsOfOneMoment() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    for number in 0..<50 {
      try ledger.commit((0..<20).map { .enqueue(entry("e\(number)-\($0)", recipients: ["a@x.test"])) } + [.event(event("p"))])
    }
    let target = folder.path + "/copy.sqlite"
    var (steps, last) = (0, 0)
    try LedgerCopying.copy(folder.ledger, to: target, pagesPerStep: 16) { done, all in
      steps += 1
      #expect(done >= last && done <= all)
      last = done
      try ledger.commit([.enqueue(entry("late\(steps)")), .event(event("late"))])
    }
    #expect(steps > 1, "the ledger is too small for the test")
    let copy = try Ledger.openCopy(path: target)
    #expect(try copy.queueLength() == 1000)
    #expect(try copy.lastEventNumber() == 50)
    #expect(try copy.schema == Ledger.schema)
    #expect(try copy.fileFaults(limit: 9).isEmpty)
    #expect(try ledger.queueLength() == 1000 + steps)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasPrefix("copy") } == ["copy.sqlite"])
    let mode = try FileManager.default.attributesOfItem(atPath: target)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    // A gateway goes on from it.
    let other = try Ledger(path: target)
    try other.commit([.event(event("later"))])
    #expect(try other.lastEventNumber() == 51)
    struct Enough: Error {}
    #expect(throws: Enough.self) {
      try LedgerCopying.copy(folder.ledger, to: folder.path + "/half", pagesPerStep: 16) { _, _ in throw Enough() }
    }
  }

  @Test func anOlderLedgerIsCopiedBeforeItIsBroughtForward() throws {
    let folder = Folder()
    try Ledger.execute(VersionTwo.tables + VersionTwo.content, at: folder.ledger)
    #expect(try Ledger.olderSchema(path: folder.ledger) == 2)
    try Ledger.checkUpgrade(path: folder.ledger)
    #expect(try Ledger.olderSchema(path: folder.ledger) == 2, "looking changes nothing")
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.event(event("later"))])
    let kept = Ledger.copyPath(folder.ledger)
    #expect(kept.hasSuffix("ledger.sqlite.before-\(Ledger.schema)"))
    let copy = try Ledger.openCopy(path: kept)
    #expect(try copy.schema == 2)
    #expect(try copy.lastEventNumber() == ledger.lastEventNumber() - 1)
    #expect(try copy.queueContents(after: nil, limit: 9).entries.count == ledger.queueContents(after: nil, limit: 9).entries.count)
    try ledger.close()
    // Once: a ledger of this version is left alone.
    try FileManager.default.removeItem(atPath: kept)
    _ = try Ledger(path: folder.ledger)
    #expect(!FileManager.default.fileExists(atPath: kept))
    #expect(throws: LedgerError.self) { try LedgerCopying.checkRoom(folder.ledger, free: { _ in 1000 }) }
    // What a start that was cut off left of a copy is room.
    let left = Ledger.copyPath(folder.ledger) + ".new"
    try Data(count: 8 << 20).write(to: URL(fileURLWithPath: left))
    let needed = Ledger.copyMarginBytes + (4 << 20)
    try LedgerCopying.checkRoom(folder.ledger, free: { _ in needed - (8 << 20) })
  }

  /// Who waits for the start hears of each step, of the copy and of the migration; a ledger of this version has none.
  @Test func stepsOfAMigrationAreTold() throws {
    let folder = Folder()
    try Ledger.execute(VersionTwo.tables + VersionTwo.content, at: folder.ledger)
    let told = Mutex<[Int]>([])
    let mayLast: @Sendable (Int) -> Void = { seconds in told.withLock { $0.append(seconds) } }
    try Ledger(path: folder.ledger, mayLast: mayLast).close()
    let steps = told.withLock { $0 }
    #expect(steps.first == 120)
    #expect(steps.filter { $0 >= 300 }.count > 20)
    told.withLock { $0 = [] }
    let ledger = try Ledger(path: folder.ledger, mayLast: mayLast)
    try ledger.commit([.event(event("later"))])
    #expect(told.withLock { $0 }.isEmpty)
  }

  @Test func aNewerLedgerIsLeftAlone() throws {
    let folder = Folder()
    try Ledger(path: folder.ledger).close()
    try Ledger.execute("PRAGMA user_version = \(Ledger.schema + 1)", at: folder.ledger)
    let refusal = LedgerError.newerSchema(path: folder.ledger, found: Ledger.schema + 1, known: Ledger.schema)
    #expect(throws: refusal) { try Ledger.checkUpgrade(path: folder.ledger) }
    #expect(throws: refusal) { try Ledger(path: folder.ledger) }
    #expect(throws: refusal) { try Ledger.copy(folder.ledger, to: folder.path + "/copy") }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).allSatisfy { !$0.contains("before") })
  }
}
