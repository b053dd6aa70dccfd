import Foundation
import Journey
import PEC
import Testing

@testable import Ledger

@Suite struct LedgerOpeningTests {
  private func code(_ error: LedgerError?) -> String {
    switch error {
    case .cannotOpen: "cannotOpen"
    case .notALedger: "notALedger"
    case .noRoomToCopy: "noRoomToCopy"
    case .newerSchema: "newerSchema"
    case .olderSchema: "olderSchema"
    case .diskFull: "diskFull"
    case .busy: "busy"
    case .conflict: "conflict"
    case .damaged: "damaged"
    case .failed: "failed"
    case nil: "none"
    }
  }

  @Test func theFileIsItsOwnersAlone() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.event(event("pec1"))])
    for name in [folder.ledger, folder.ledger + "-wal", folder.ledger + "-shm"] {
      let mode = try FileManager.default.attributesOfItem(atPath: name)[.posixPermissions] as? Int
      #expect(mode == 0o600, "\(name)")
    }
  }

  @Test func reopening() throws {
    let folder = Folder()
    do {
      let ledger = try Ledger(path: folder.ledger)
      try ledger.commit([.event(event("pec1")), .enqueue(entry("e1"))])
      try ledger.close()
    }
    let again = try Ledger(path: folder.ledger, checkingIntegrity: true)
    #expect(try again.events(last: 5).map(\.pecID) == ["pec1"])
    #expect(try again.entry("e1") == entry("e1"))
    try again.checkpoint()
  }

  /// However checkpoints come, beside the commits, before they may go on, or within one: what was committed is there.
  @Test(arguments: [(10, 1_000_000, 1_000_000), (10, 20, 1_000_000), (1_000_000, 1_000_000, 10)])
  func checkpointsAside(begin: Int, restart: Int, lastResort: Int) throws {
    let folder = Folder()
    let marks = LedgerCheckpoints.Marks(begin: begin, restart: restart, lastResort: lastResort)
    let checkpoints = LedgerCheckpoints(path: folder.ledger, busySeconds: 5, marks: marks)
    let ledger = try Ledger(path: folder.ledger, checkpoints: checkpoints)
    var round = 0
    do {
      let reader = try Ledger.openReadOnly(path: folder.ledger)
      while round < 600 {
        round += 1
        try ledger.commit([.event(event("pec\(round)")), .enqueue(entry("e\(round)"))])
        if round % 50 == 0 { #expect(try reader.lastEventNumber() == Int64(round)) }
      }
      // Some 3,000 pages were written. Without any checkpoint they would all be in the log's file.
      let attributes = try FileManager.default.attributesOfItem(atPath: folder.ledger + "-wal")
      let bytes = try #require(attributes[.size] as? Int)
      if begin < 1000 { #expect(checkpoints.pagesSeen > 0) } else { #expect(bytes < 400 * 4096) }
    }
    try ledger.close()
    #expect(!FileManager.default.fileExists(atPath: folder.ledger + "-wal"))
    let again = try Ledger(path: folder.ledger, checkingIntegrity: true)
    #expect(try again.lastEventNumber() == Int64(round))
    #expect(try again.allEntries().count == round)
  }

  /// Whoever reads for long keeps the log from beginning anew, and no commit waiting: with the patience of any other connection (here an
  /// hour) this would not come to its end.
  @Test func aLongReadingKeepsNoCommitWaiting() throws {
    let folder = Folder()
    let checkpoints = LedgerCheckpoints(path: folder.ledger, busySeconds: 3600, marks: .init(begin: 10, restart: 20))
    let ledger = try Ledger(path: folder.ledger, busySeconds: 3600, checkpoints: checkpoints)
    try ledger.commit([.event(event("pec0"))])
    let reader = try Ledger.openReadOnly(path: folder.ledger)
    var round = 0
    try reader.access.read { db in
      #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM events") == 1)
      // Until it was tried some times; a try that waits for the reading comes to no end.
      while checkpoints.restartsTried < 10, round < 20_000 {
        round += 1
        try ledger.commit([.event(event("pec\(round)"))])
      }
      #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM events") == 1)
    }
    #expect(checkpoints.restartsTried >= 10)
    #expect(try reader.lastEventNumber() == Int64(round) + 1)
    try ledger.close()
  }

  /// A look at a ledger at rest leaves nothing in its folder; beside a gateway it is as any other reading.
  @Test func lookingLeavesNoTrace() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.event(event("pec1"))])
    #expect(try Ledger.openLeavingNoTrace(path: folder.ledger, isOwned: true).lastEventNumber() == 1)
    try ledger.close()
    do {
      let reader = try Ledger.openLeavingNoTrace(path: folder.ledger, isOwned: false)
      #expect(try reader.lastEventNumber() == 1)
      #expect(try reader.quickFaults(limit: 3).isEmpty)
      #expect(try reader.schema > 0)
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["ledger.sqlite"])
    // A name that means something in an address.
    let odd = folder.path + "/a #?%41 b.sqlite"
    try FileManager.default.copyItem(atPath: folder.ledger, toPath: odd)
    #expect(try Ledger.openLeavingNoTrace(path: odd, isOwned: false).lastEventNumber() == 1)
    #expect(throws: LedgerError.self) { try Ledger.openLeavingNoTrace(path: folder.path + "/none", isOwned: false) }
  }

  @Test func readingBesideTheGateway() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let reader = try Ledger.openReadOnly(path: folder.ledger)
    #expect(try reader.allEntries().isEmpty)
    for round in 1...20 {
      try ledger.commit([.event(event("pec\(round)")), .enqueue(entry("e\(round)"))])
      #expect(try reader.lastEventNumber() == Int64(round))
      #expect(try reader.allEntries().count == round)
      #expect(try reader.entry("e\(round)") == entry("e\(round)"))
    }
    // In the middle of a commit the reader sees the state before it, and neither waits for the other.
    var seen: Int64 = 0
    try ledger.exclusively { seen = try reader.lastEventNumber() }
    #expect(seen == 20)
  }

  @Test func readingWhileManyCommitsGoOn() async throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let reader = try Ledger.openReadOnly(path: folder.ledger)
    let wrong = await withTaskGroup(of: Int.self) { group in
      group.addTask {
        var failures = 0
        for round in 0..<60 {
          // Always two together: no reader may see one without the other.
          let both: [LedgerChange] = [.event(event("pec\(round)")), .enqueue(entry("e\(round)"))]
          if (try? ledger.commit(both)) == nil { failures += 1 }
        }
        return failures
      }
      for source in [reader as any LedgerReading, ledger] {
        group.addTask {
          var failures = 0
          for _ in 0..<60 {
            guard let before = try? source.lastEventNumber(), let entries = try? source.allEntries().count,
              let after = try? source.lastEventNumber()
            else {
              failures += 1
              continue
            }
            if !(before...after).contains(Int64(entries)) { failures += 1 }
          }
          return failures
        }
      }
      return await group.reduce(0, +)
    }
    #expect(wrong == 0)
    #expect(try reader.allEntries().count == 60)
    #expect(try reader.lastEventNumber() == 60)
  }

  @Test func readingWithoutAGateway() throws {
    let folder = Folder()
    do {
      let ledger = try Ledger(path: folder.ledger)
      try ledger.commit([.event(event("pec1"))])
      try ledger.close()
    }
    #expect(try Ledger.openReadOnly(path: folder.ledger).lastEventNumber() == 1)
    // Killed, with a write-ahead log left behind.
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.event(event("pec2"))])
    let copy = folder.copy()
    #expect(try Ledger.openReadOnly(path: copy.ledger).lastEventNumber() == 2)
    withExtendedLifetime(ledger) {}
  }

  @Test func aReaderDoesNotWrite() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    let reader = try Ledger.openReadOnly(path: folder.ledger)
    #expect(throws: LedgerError.self) { try reader.access.read { try $0.execute(sql: "DELETE FROM queue") } }
    withExtendedLifetime(ledger) {}
  }

  @Test func aNewerSchemaIsRefused() throws {
    let folder = Folder()
    do {
      let ledger = try Ledger(path: folder.ledger)
      try ledger.execute("PRAGMA user_version = 9")
      try ledger.close()
    }
    #expect(throws: LedgerError.newerSchema(path: folder.ledger, found: 9, known: 6)) { try Ledger(path: folder.ledger) }
    #expect(throws: LedgerError.newerSchema(path: folder.ledger, found: 9, known: 6)) { try Ledger.openReadOnly(path: folder.ledger) }
  }

  @Test func anUnknownMigrationIsRefused() throws {
    let folder = Folder()
    do {
      let ledger = try Ledger(path: folder.ledger)
      try ledger.execute("INSERT INTO grdb_migrations VALUES ('99: from the future')")
      try ledger.close()
    }
    #expect(throws: LedgerError.newerSchema(path: folder.ledger, found: 6, known: 6)) { try Ledger(path: folder.ledger) }
  }

  @Test func anOlderSchemaIsNotReadOnly() throws {
    let folder = Folder()
    do {
      let ledger = try Ledger(path: folder.ledger)
      try ledger.execute("PRAGMA user_version = 0")
      try ledger.close()
    }
    #expect(throws: LedgerError.olderSchema(path: folder.ledger, found: 0, known: 6)) { try Ledger.openReadOnly(path: folder.ledger) }
  }

  @Test func foreignFilesAreRefused() throws {
    let folder = Folder()
    do {
      let ledger = try Ledger(path: folder.ledger)
      try ledger.execute("PRAGMA application_id = 42")
      try ledger.close()
    }
    #expect(throws: LedgerError.notALedger(path: folder.ledger)) { try Ledger(path: folder.ledger) }
    #expect(throws: LedgerError.notALedger(path: folder.ledger)) { try Ledger.openReadOnly(path: folder.ledger) }
    let text = folder.path + "/notes.txt"
    try Data("these are notes and no database, long enough to be looked at".utf8).write(to: URL(fileURLWithPath: text))
    #expect(code(#expect(throws: LedgerError.self) { try Ledger(path: text) }) == "damaged")
    let missing = folder.path + "/none/ledger.sqlite"
    #expect(code(#expect(throws: LedgerError.self) { try Ledger(path: missing) }) == "cannotOpen")
    #expect(code(#expect(throws: LedgerError.self) { try Ledger.openReadOnly(path: missing) }) == "cannotOpen")
    #expect(code(#expect(throws: LedgerError.self) { try Ledger.openReadOnly(path: folder.path + "/none.sqlite") }) == "cannotOpen")
  }

  @Test func aFullDiskIsSurvived() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.event(event("pec1"))])
    try ledger.execute("PRAGMA max_page_count = 60")
    var accepted = 1
    var refusal: LedgerError?
    for round in 0..<400 {
      do throws(LedgerError) {
        try ledger.commit((0..<5).map { .event(event("round \(round) \($0)")) })
        accepted += 5
      } catch {
        refusal = error
        break
      }
    }
    #expect(refusal == .diskFull(path: folder.ledger))
    #expect(refusal?.description.contains("free some space") == true)
    #expect(try ledger.lastEventNumber() == Int64(accepted))
    try ledger.execute("PRAGMA max_page_count = 100000")
    try ledger.commit([.event(event("again"))])
    #expect(try ledger.lastEventNumber() == Int64(accepted) + 1)
  }

  @Test func aHeldLedgerIsBusyAndNotBroken() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger, busySeconds: 0.05)
    let other = try Ledger(path: folder.ledger)
    try other.exclusively {
      #expect(throws: LedgerError.busy(path: folder.ledger)) { try ledger.commit([.event(event("pec1"))]) }
    }
    try ledger.commit([.event(event("pec1"))])
    #expect(try ledger.lastEventNumber() == 1)
  }

  @Test func whatCannotBeReadIsSaidAndDoesNotTrap() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.enqueue(entry("e1")), .transaction(transaction("pec1"))])
    for (damage, repair) in [
      ("UPDATE queue SET content = '1:2'", "UPDATE queue SET content = '1:2:3'"),
      ("UPDATE queue SET kind = 'odd'", "UPDATE queue SET kind = 'envelope'"),
      ("UPDATE queue SET route = ''", "UPDATE queue SET route = 'mailbox'"),
    ] {
      try ledger.execute(damage)
      #expect(code(#expect(throws: LedgerError.self) { try ledger.allEntries() }) == "damaged", "\(damage)")
      try ledger.execute(repair)
      #expect(try ledger.allEntries().count == 1)
    }
    try ledger.execute("UPDATE recipients SET class = 'odd'")
    #expect(code(#expect(throws: LedgerError.self) { try ledger.transaction(pecID: "pec1") }) == "damaged")
    try ledger.commit([.reception(reception("in1", original: 10..<20))])
    for (damage, repair) in [
      ("UPDATE receptions SET kind = 'odd'", "UPDATE receptions SET kind = 'envelope'"),
      ("UPDATE receptions SET certified_recipients = '{}'", "UPDATE receptions SET certified_recipients = '[]'"),
      ("UPDATE receptions SET original_start = NULL", "UPDATE receptions SET original_start = 10"),
      ("UPDATE receptions SET original_start = 21", "UPDATE receptions SET original_start = 10"),
      ("UPDATE receptions SET original_start = -1", "UPDATE receptions SET original_start = 10"),
      ("UPDATE receptions SET receipt_type = ''", "UPDATE receptions SET receipt_type = 'breve'"),
    ] {
      try ledger.execute(damage)
      #expect(code(#expect(throws: LedgerError.self) { try ledger.reception(id: "in1") }) == "damaged", "\(damage)")
      try ledger.execute(repair)
      #expect(try ledger.reception(id: "in1") != nil)
    }
  }

  @Test func aDamagedFileIsFound() throws {
    let folder = Folder()
    do {
      let ledger = try Ledger(path: folder.ledger)
      for round in 0..<20 { try ledger.commit((0..<20).map { .event(event("round \(round) \($0)")) }) }
      try ledger.close()
    }
    var bytes = try Data(contentsOf: URL(fileURLWithPath: folder.ledger))
    for index in 4096 * 12..<bytes.count { bytes[index] = 0x5A }
    try bytes.write(to: URL(fileURLWithPath: folder.ledger))
    #expect(code(#expect(throws: LedgerError.self) { try Ledger(path: folder.ledger, checkingIntegrity: true) }) == "damaged")
  }

  @Test func damageFoundByACommitIsFinal() throws {
    let folder = Folder()
    do {
      let ledger = try Ledger(path: folder.ledger)
      for round in 0..<20 { try ledger.commit((0..<20).map { .event(event("round \(round) \($0)")) }) }
      try ledger.close()
    }
    var bytes = try Data(contentsOf: URL(fileURLWithPath: folder.ledger))
    for index in 4096 * 2..<bytes.count { bytes[index] = 0x5A }
    try bytes.write(to: URL(fileURLWithPath: folder.ledger))
    guard let ledger = try? Ledger(path: folder.ledger) else { return }
    let first = try #require(throws: LedgerError.self) { try ledger.commit([.event(event("x"))]) }
    #expect(first.isFinal)
    #expect(throws: first) { try ledger.commit([.event(event("y"))]) }
  }
}
