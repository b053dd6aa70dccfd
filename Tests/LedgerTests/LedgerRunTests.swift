import Journey
import Testing

@testable import Ledger

/// Whether a run came to an orderly end, and what it left in doubt.
@Suite struct LedgerRunTests {
  private static func queued(_ id: String, createdAt: Int64) -> LedgerChange {
    var made = entry(id)
    made.createdAt = createdAt
    return .enqueue(made)
  }

  private static func ledger(in folder: Folder, createdAt: Int64 = 90) throws -> Ledger {
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([queued("e1", createdAt: createdAt)])
    return ledger
  }

  @Test func anOrderlyEndLeavesNothingNewInDoubt() throws {
    let folder = Folder()
    var ledger = try Self.ledger(in: folder)
    // Nobody knows what was before: all that is there is in doubt.
    #expect(try ledger.beginRun(at: 100) == 100)
    try ledger.close()
    ledger = try Ledger(path: folder.ledger)
    #expect(try ledger.beginRun(at: 200) == 200, "no end was noted")
    try ledger.endRun(doubtfulUntil: nil)
    try ledger.close()
    ledger = try Ledger(path: folder.ledger)
    // What an earlier run left stays in doubt for as long as it is in the queue: only what came later is certain.
    for time in [300, 400] as [Int64] {
      #expect(try ledger.beginRun(at: time) == 200)
      try ledger.endRun(doubtfulUntil: nil)
    }
    #expect(try ledger.beginRun(at: 500) == 200)
    #expect(try ledger.beginRun(at: 600) == 600, "a run that began and did not end")
  }

  /// As a restore leaves it, on whatever file.
  @Test func forgottenRunsLeaveAllInDoubt() throws {
    let folder = Folder()
    let ledger = try Self.ledger(in: folder)
    #expect(try ledger.beginRun(at: 100) == 100)
    try ledger.endRun(doubtfulUntil: nil)
    try ledger.forgetRuns()
    #expect(try ledger.beginRun(at: 300) == 300)
  }

  @Test func anEmptyQueueHasNothingInDoubt() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    #expect(try ledger.beginRun(at: 100) == .min)
    #expect(try ledger.beginRun(at: 200) == .min, "killed, with nothing in hand")
    try ledger.endRun(doubtfulUntil: 250)
    #expect(try ledger.beginRun(at: 300) == .min)
    try ledger.commit([Self.queued("e1", createdAt: 310)])
    try ledger.endRun(doubtfulUntil: nil)
    #expect(try ledger.beginRun(at: 400) == .min)
  }

  @Test func anEndWithDoubtsSaysSo() throws {
    let folder = Folder()
    let ledger = try Self.ledger(in: folder)
    _ = try ledger.beginRun(at: 100)
    try ledger.endRun(doubtfulUntil: 150)
    #expect(try ledger.beginRun(at: 200) == 150)
    // A clock that was put back forgets none.
    try ledger.endRun(doubtfulUntil: 120)
    #expect(try ledger.beginRun(at: 130) == 150)
  }

  /// A copy that was made after an orderly end and is used again later does not know what was delivered since.
  @Test func aCopyIsNoOrderlyEnd() throws {
    let folder = Folder()
    let ledger = try Self.ledger(in: folder)
    try ledger.endRun(doubtfulUntil: nil)
    try ledger.close()
    let copy = folder.copy()
    #expect(try Ledger(path: copy.ledger).beginRun(at: 300) == 300)
    #expect(try Ledger(path: folder.ledger).beginRun(at: 300) == .min)
  }

  /// After a crash the clock may stand before the time at which the last messages were taken.
  @Test func whatIsNewerThanTheClockIsInDoubtToo() throws {
    let folder = Folder()
    let ledger = try Self.ledger(in: folder, createdAt: 900)
    try ledger.commit([Self.queued("e2", createdAt: 800)])
    #expect(try ledger.beginRun(at: 500) == 900)
  }

  /// A ledger that an earlier version left has no word on its last run.
  @Test func aLedgerOfVersionFive() throws {
    let folder = Folder()
    let ledger = try Self.ledger(in: folder)
    try ledger.execute(
      "DROP TABLE runs; DROP TABLE resubmissions; DELETE FROM grdb_migrations WHERE identifier LIKE '6:%'; PRAGMA user_version = 5")
    try ledger.close()
    let upgraded = try Ledger(path: folder.ledger, checkingIntegrity: true)
    #expect(try upgraded.beginRun(at: 700) == 700)
    try upgraded.endRun(doubtfulUntil: nil)
    #expect(try upgraded.beginRun(at: 800) == 700)
    let other = Folder()
    #expect(try Ledger(path: other.ledger).tables() == upgraded.tables())
  }
}
