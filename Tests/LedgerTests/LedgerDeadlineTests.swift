import Foundation
import Journey
import PEC
import Testing

@testable import Ledger

@Suite struct LedgerDeadlineTests {
  private func isConflict(_ error: LedgerError?) -> Bool {
    if case .conflict = error { true } else { false }
  }

  private func watch(_ pecID: String, _ due: Int64, _ stage: DeadlineStage = .first) -> DeadlineWatch {
    DeadlineWatch(pecID: pecID, stage: stage, dueAt: due)
  }

  @Test func deadlinesComeInTheirOrder() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    #expect(try ledger.nextDeadline() == nil)
    #expect(try ledger.deadlineCount() == 0)
    try ledger.commit([.transaction(transaction("pec1", recipients: 3)), .watch(watch("pec1", 300))])
    try ledger.commit([.transaction(transaction("pec2")), .transaction(transaction("pec3"))])
    try ledger.commit([.watch(watch("pec2", 100, .second)), .watch(watch("pec3", 200))])
    #expect(try ledger.nextDeadline() == 100)
    #expect(try ledger.deadlineCount() == 3)
    #expect(try ledger.deadline(pecID: "pec2") == watch("pec2", 100, .second))
    #expect(try ledger.deadline(pecID: "none") == nil)
    #expect(try ledger.dueDeadlines(at: 99, limit: 9).isEmpty)
    #expect(try ledger.dueDeadlines(at: 200, limit: 9).map(\.watch.pecID) == ["pec2", "pec3"])
    #expect(try ledger.dueDeadlines(at: 300, limit: 9).map(\.watch.pecID) == ["pec2", "pec3", "pec1"])
    #expect(try ledger.dueDeadlines(at: 300, limit: 1).map(\.watch.pecID) == ["pec2"])
    #expect(try ledger.dueDeadlines(at: 300, limit: -1).isEmpty)
    try ledger.commit([.progress(pecID: "pec1", recipients: ["R1@pec.beta.test"], to: .takenInCharge)])
    let due = try #require(try Ledger.openReadOnly(path: folder.ledger).dueDeadlines(at: 300, limit: 9).last)
    #expect(due.transaction == transaction("pec1", recipients: 3))
    #expect(due.progress == zip(recipients(3), [nil, .takenInCharge, nil]).map { RecipientProgress(recipient: $0, end: $1) })
  }

  @Test func oneDeadlineForATransaction() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.transaction(transaction("pec1")), .watch(watch("pec1", 300))])
    for refused in [watch("pec1", 300), watch("pec1", 400, .second), watch("none", 5)] {
      #expect(isConflict(#expect(throws: LedgerError.self) { try ledger.commit([.event(event("x")), .watch(refused)]) }))
    }
    #expect(try ledger.lastEventNumber() == 0)
    #expect(try ledger.deadlineCount() == 1)
  }

  /// Whatever was heard between the reading and the commit refuses the decision, and leaves everything as it was.
  @Test(arguments: [.relayed, .takenInCharge, .delivered, .failed] as [RecipientEnd])
  func aDecisionRestsOnWhatItWasMadeOf(heard: RecipientEnd) throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.transaction(transaction("pec1", recipients: 3)), .watch(watch("pec1", 100))])
    let due = try #require(try ledger.dueDeadlines(at: 100, limit: 1).first)
    let decision: [LedgerChange] = [
      .event(event("pec1", .timeoutFirst)), .enqueue(entry("notice", kind: .timeoutFirst)),
      .deadlinePassed(due.watch, progress: due.progress, next: watch("pec1", 200, .second)),
    ]
    try ledger.commit([.progress(pecID: "pec1", recipients: ["r1@pec.beta.test"], to: heard)])
    #expect(isConflict(#expect(throws: LedgerError.self) { try ledger.commit(decision) }))
    #expect(try ledger.lastEventNumber() == 0)
    #expect(try ledger.allEntries().isEmpty)
    #expect(try ledger.deadline(pecID: "pec1") == due.watch)
    // Those who are not named may have been heard of.
    let others = due.progress.filter { $0.recipient.address != "r1@pec.beta.test" }
    try ledger.commit([.deadlinePassed(due.watch, progress: others, next: watch("pec1", 200, .second))])
    #expect(try ledger.deadline(pecID: "pec1") == watch("pec1", 200, .second))
    let again = try #require(try ledger.dueDeadlines(at: 200, limit: 1).first)
    #expect(again.progress.map(\.end) == [nil, heard, nil])
    try ledger.commit([.deadlinePassed(again.watch, progress: again.progress, next: nil)])
    #expect(try ledger.deadlineCount() == 0)
  }

  @Test func aDecisionIsTakenOnce() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.transaction(transaction("pec1")), .watch(watch("pec1", 100))])
    let due = try #require(try ledger.dueDeadlines(at: 100, limit: 1).first)
    for wrong in [watch("pec1", 101), watch("pec1", 100, .second), watch("none", 100)] {
      #expect(isConflict(#expect(throws: LedgerError.self) { try ledger.commit([.deadlinePassed(wrong, progress: [], next: nil)]) }))
    }
    let stranger = RecipientProgress(recipient: Recipient(address: "stranger@x", recipientClass: .certified), end: nil)
    #expect(
      isConflict(#expect(throws: LedgerError.self) { try ledger.commit([.deadlinePassed(due.watch, progress: [stranger], next: nil)]) }))
    let decision: [LedgerChange] = [
      .event(event("pec1", .timeoutFirst)), .deadlinePassed(due.watch, progress: due.progress, next: watch("pec1", 200, .second)),
    ]
    // Twice in one commit, and then once more in another.
    #expect(throws: LedgerError.self) { try ledger.commit(decision + decision) }
    try ledger.commit(decision)
    #expect(isConflict(#expect(throws: LedgerError.self) { try ledger.commit(decision) }))
    #expect(try ledger.events(last: 9).map(\.kind) == [.timeoutFirst])
    // A killed gateway finds the next stage.
    let copy = folder.copy()
    #expect(try Ledger(path: copy.ledger).dueDeadlines(at: 500, limit: 9).map(\.watch) == [watch("pec1", 200, .second)])
    withExtendedLifetime(copy) {}
  }

  @Test func aDeadlineOfFiveHundred() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let all = recipients(500)
    try ledger.commit([.transaction(transaction("pec1", recipients: 500)), .watch(watch("pec1", 100))])
    let due = try #require(try ledger.dueDeadlines(at: 100, limit: 1).first)
    #expect(due.progress.map(\.recipient) == all)
    try ledger.commit([.progress(pecID: "pec1", recipients: [all[499].address], to: .delivered)])
    #expect(
      isConflict(#expect(throws: LedgerError.self) { try ledger.commit([.deadlinePassed(due.watch, progress: due.progress, next: nil)]) }))
    let now = try #require(try ledger.dueDeadlines(at: 100, limit: 1).first)
    try ledger.commit([.deadlinePassed(now.watch, progress: now.progress, next: nil)])
    #expect(try ledger.nextDeadline() == nil)
  }
}
