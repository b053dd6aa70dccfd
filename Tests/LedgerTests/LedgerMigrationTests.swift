import Foundation
import Journey
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
    #expect(throws: LedgerError.olderSchema(path: folder.ledger, found: 1, known: 2)) { try Ledger.openReadOnly(path: folder.ledger) }
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
    #expect(try old.tables().count == 17)
  }

  @Test func aMigrationThatCannotBeMadeLeavesTheLedgerAsItWas() throws {
    let folder = try old()
    try Ledger.execute("CREATE TABLE receptions (odd)", at: folder.ledger)
    #expect(throws: LedgerError.self) { try Ledger(path: folder.ledger) }
    #expect(throws: LedgerError.olderSchema(path: folder.ledger, found: 1, known: 2)) { try Ledger.openReadOnly(path: folder.ledger) }
    try Ledger.execute("DROP TABLE receptions; UPDATE queue SET last_error = 'busy' WHERE id = 3", at: folder.ledger)
    try check(Ledger(path: folder.ledger))
  }

  @Test func statesAreCheckedByTheTables() throws {
    let folder = try old()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.reception(reception("in1"))])
    for sql in [
      "UPDATE recipients SET state = 'settled'", "UPDATE recipients SET state = ''", "UPDATE reception_recipients SET state = 'refused'",
      "UPDATE reception_recipients SET reception_id = 99",
    ] {
      let error = #expect(throws: LedgerError.self) { try ledger.execute(sql) }
      guard case .conflict = error else {
        Issue.record("\(sql): \(String(describing: error))")
        continue
      }
    }
  }
}
