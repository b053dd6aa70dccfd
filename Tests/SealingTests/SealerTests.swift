import Configuration
import Evidence
import Foundation
import Journey
import Octets
import PEC
import Testing

@testable import Ledger
@testable import Sealing

@Suite struct SealerTests {
  let world = SealWorld.shared

  @Test func aSealHoldsBeforeTheCommandsOfOthers() throws {
    let desk = try Desk()
    desk.settings.timeStamps.authorities = [world.authority("tsa")]
    try desk.fill(5)
    let seal = try desk.seal()
    #expect((seal.number, seal.first, seal.last) == (1, 1, 5))
    let outcome = try desk.stamp()
    #expect(outcome.alarms == [])
    let folder = desk.store.folder(1)
    let signed = try run(
      "openssl",
      [
        "cms", "-verify", "-inform", "DER", "-in", "seal.p7m", "-CAfile", world.path("root.pem"), "-purpose", "any", "-out", "../../opened",
      ],
      in: folder)
    #expect(signed.status == 0, "\(signed.text)")
    #expect(FileManager.default.contents(atPath: "\(desk.path)/opened") == Data(try desk.octets(1, "manifest.json")))
    let stamped = try run(
      "openssl", ["ts", "-verify", "-token_in", "-in", "stamp.tst", "-data", "seal.p7m", "-CAfile", world.path("tsaroot.pem")], in: folder)
    #expect(stamped.text.contains("Verification: OK"), "\(stamped.text)")
    #expect(try run("sha256sum", ["-c", "--strict", "contents.txt", "additions-1.txt"], in: folder).status == 0)
    let lists = ["additions-1.txt", "contents.txt"]
    let listed = try lists.flatMap {
      String(decoding: try desk.octets(1, $0), as: UTF8.self).split(separator: "\n").map { $0.dropFirst(66) }
    }
    #expect((listed.map(String.init) + lists).sorted() == (try desk.files(1)))
    #expect(listed.contains("revocation/test-ca.crl"))
    for name in try desk.files(1) {
      let mode = try FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")[.posixPermissions] as? Int
      #expect(mode == 0o400, "\(name)")
    }
    let kept = try #require(try desk.ledger.seal(number: 1))
    #expect(kept.stampedAt != nil && kept.authority?.contains("Test TSA") == true)
    #expect(try desk.ledger.unstampedSeals().isEmpty)
    #expect(try desk.ledger.events(last: 2).map(\.kind) == [.sealed, .stamped])
    let inspection = try desk.verify()
    #expect(inspection.faults == [])
    #expect(inspection.remarks == [])
    #expect((inspection.seals, inspection.rows) == (1, 5))
  }

  @Test func eachSealGoesOnWhereTheLastOneEnded() throws {
    let desk = try Desk()
    desk.settings.sealEveryRows = 4
    #expect(try desk.sealer().make(reason: .asked, at: desk.instant) == nil)
    #expect(try desk.sealer().waiting() == 0)
    #expect(try desk.sealer().due(at: desk.instant) == nil)
    try desk.fill(10)
    #expect(try desk.sealer().waiting() == 10)
    #expect(try desk.sealer().due(at: desk.instant) == .size)
    for _ in 0..<3 { try desk.seal(.size) }
    let seals = try desk.ledger.seals()
    #expect(seals.map(\.first) == [1, 5, 9])
    // The third covers the rows about the first two.
    #expect(seals.map(\.last) == [4, 8, 12])
    #expect(try desk.store.manifest(3).previous == seals[1].digest)
    #expect(try desk.store.manifest(2).chainBefore == seals[0].chain)
    #expect(try desk.sealer().due(at: desk.instant) == nil)
    #expect(try desk.verify().faults == [])
    #expect(try desk.inspector().verifyLog().faults == [])
    #expect(try desk.inspector().verifyLog().rows == 13)
    #expect(try desk.store.numbers() == [1, 2, 3])
  }

  @Test func theScheduleHasItsHour() {
    var settings = CertifiedLogSettings()
    settings.sealDailyAt = TimeOfDay(hour: 0, minute: 10)
    settings.sealEveryRows = 100
    func due(_ waiting: Int64, since: Int64, _ now: Int64, offset: Int = 3600) -> SealReason? {
      SealSchedule.due(waiting: waiting, since: since, now: Instant(unixSeconds: now, utcOffsetSeconds: offset), settings: settings)
    }
    // 2026-11-21 00:10:00 +01:00
    let hour: Int64 = 1_795_216_200
    #expect(due(0, since: 0, hour) == nil)
    #expect(due(1, since: hour - 86_400, hour - 1) == nil)
    #expect(due(1, since: hour - 86_400, hour) == .daily)
    #expect(due(1, since: hour, hour + 1) == nil)
    #expect(due(1, since: hour, hour + 86_399) == nil)
    #expect(due(1, since: hour, hour + 86_400) == .daily)
    #expect(due(1, since: hour - 10 * 86_400, hour + 3600) == .daily)
    #expect(due(99, since: hour, hour + 1) == nil)
    #expect(due(100, since: hour, hour + 1) == .size)
    // The clock was days ahead when the last one was made.
    #expect(due(1, since: hour + 3 * 86_400, hour + 1) == .daily)
    // In summer the hour comes an hour earlier in UTC.
    #expect(due(1, since: hour - 7200, hour - 3601, offset: 7200) == nil)
    #expect(due(1, since: hour - 7200, hour - 3600, offset: 7200) == .daily)
  }

  @Test func whatTheChainDoesNotVouchForIsNotSealed() throws {
    for (change, row) in [
      ("UPDATE events SET subject = 'anders' WHERE number = 3", Int64(3)), ("DELETE FROM events WHERE number = 3", 3),
      ("UPDATE events SET chain = zeroblob(32) WHERE number = 4", 4),
    ] {
      let desk = try Desk()
      try desk.fill(5)
      try desk.allowChanges()
      try desk.ledger.execute(change)
      do {
        _ = try desk.sealer().make(reason: .asked, at: desk.instant)
        Issue.record("sealed in spite of \(change)")
      } catch SealingError.brokenChain(let found, _) {
        #expect(found == row)
      }
      #expect(try desk.store.numbers() == [])
      let log = try desk.inspector().verifyLog()
      #expect(log.faults.contains { $0.row == row }, "\(change): \(log.faults)")
    }
  }

  // MARK: Interruptions

  @Test func aCrashBetweenFilesAndCommitLosesNothing() throws {
    let desk = try Desk()
    try desk.fill(3)
    let (first, _) = try #require(try desk.sealer().make(reason: .daily, at: desk.instant))
    // The commit never came; rows went on.
    #expect(try desk.verify().remarks.contains { $0.contains("not known to the ledger") })
    #expect(try desk.verify().faults == [])
    try desk.fill(2)
    let before = try desk.octets(1, "seal.p7m")
    let (again, changes) = try #require(try desk.sealer().make(reason: .asked, at: desk.instant, by: "operator anna (uid 7)"))
    #expect(again == first)
    #expect(try desk.octets(1, "seal.p7m") == before)
    try desk.ledger.commit(changes)
    try desk.seal()
    #expect(try desk.ledger.seals().map(\.last) == [3, 6])
    // Who asked is named; who made the files is not known any more.
    let rows = try desk.ledger.events(after: 5, limit: 1)
    #expect(rows.first?.detail?.contains("(daily, found whole after an interruption; by operator anna (uid 7))") == true)
    #expect(try desk.verify().faults == [])
  }

  @Test func whatDoesNotFitIsMovedAside() throws {
    let desk = try Desk()
    try desk.fill(3)
    _ = try desk.sealer().make(reason: .daily, at: desk.instant)
    let left = try desk.octets(1, "seal.p7m")
    // A ledger that is older than the seal, or another one: its rows are not those.
    let other = try Desk()
    try other.ledger.commit([.event(Desk.event(77)), .event(Desk.event(78)), .event(Desk.event(79))])
    try FileManager.default.createDirectory(atPath: other.store.path, withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: desk.store.folder(1), toPath: other.store.folder(1))
    try other.seal()
    #expect(try other.octets(1, "seal.p7m") != left)
    let aside = "\(other.store.path)/aside-000001-1/seal.p7m"
    #expect(FileManager.default.contents(atPath: aside) == Data(left))
    let inspection = try other.verify()
    #expect(inspection.faults == [])
    #expect(inspection.remarks.contains { $0.contains("aside-000001-1") })
  }

  @Test func aDamagedFolderIsMovedAside() throws {
    for name in ["rows.jsonl", "chain.txt", "seal.p7m", "certificates.pem", "contents.txt", "manifest.json"] {
      let desk = try Desk()
      try desk.fill(3)
      _ = try desk.sealer().make(reason: .daily, at: desk.instant)
      var octets = try desk.octets(1, name)
      octets[octets.count / 2] ^= 4
      try desk.overwrite(1, name, octets)
      try desk.seal()
      #expect(try desk.verify().faults == [], "\(name)")
      #expect(try desk.store.strangers() == ["aside-000001-1"])
    }
  }

  @Test func anUnfinishedFolderIsReplaced() throws {
    let desk = try Desk()
    try desk.fill(3)
    let folder = "\(desk.store.path)/new-000001"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Data("half".utf8).write(to: URL(fileURLWithPath: "\(folder)/rows.jsonl"))
    #expect(try desk.verify().remarks.contains { $0.contains("new-000001") })
    try desk.seal()
    #expect(try desk.store.strangers() == [])
    #expect(try desk.verify().faults == [])
  }

  // MARK: Time

  @Test func rowsGoWhenTheirTimeIsOver() throws {
    let desk = try Desk()
    try desk.fill(3)
    try desk.seal()
    try desk.fill(3)
    try desk.seal()
    #expect(try desk.ledger.seals().map(\.last) == [3, 7])
    // Rows that are not over yet may not be missing.
    let rows = try desk.octets(1, "rows.jsonl")
    try FileManager.default.removeItem(atPath: desk.store.file(1, "rows.jsonl"))
    #expect(try desk.verify().faults.contains { $0.seal == 1 && $0.file == "rows.jsonl" })
    try Data(rows).write(to: URL(fileURLWithPath: desk.store.file(1, "rows.jsonl")))
    #expect(try desk.verify().faults == [])

    try desk.ledger.commit(try desk.sealer().purge(1...3, at: desk.later(days: 1000), "their time is over"))
    #expect(try desk.store.removeRows(through: 6) == [1])
    #expect(try desk.store.removeRows(through: 6) == [])
    #expect(try desk.files(1).contains("rows.jsonl") == false)
    let inspection = try desk.verify()
    #expect(inspection.faults == [])
    #expect(inspection.remarks.contains("seal 1: the time of its rows is over"))
    #expect(try desk.inspector().verifyLog().faults == [])
    try desk.fill(1)
    try desk.seal()
    #expect(try desk.verify().faults == [])
    #expect(try desk.inspector().verifyLog().faults == [])
  }

  @Test func rowsThatNobodyPurgedAreMissed() throws {
    let desk = try Desk()
    try desk.fill(4)
    try desk.seal()
    // As an intruder with SQL would: the rows go, and the purge that lets them go has no row of its own.
    try desk.ledger.commit([.purge(first: 1, last: 3)])
    let faults = try desk.inspector().verifyLog().faults
    #expect(faults.contains { $0.row == 3 && $0.words.contains("no row of the log says that they were") }, "\(faults)")
    // One who knows that writes the row as well.
    let other = try Desk()
    try other.fill(4)
    try other.seal()
    try other.ledger.commit(try other.sealer().purge(1...3, at: other.instant, "their time is over"))
    let early = try other.inspector().verifyLog().faults
    #expect(early.contains { $0.row == 3 && $0.words.contains("not 30 months old") }, "\(early)")
  }

  @Test func rowsBeforeTheBeginningAreFound() throws {
    let desk = try Desk()
    try desk.fill(3)
    try desk.allowChanges()
    try desk.ledger.execute(
      "CREATE TEMP TABLE copy AS SELECT * FROM events WHERE number = 2; UPDATE copy SET number = -7; INSERT INTO events SELECT * FROM copy")
    let faults = try desk.inspector().verifyLog().faults
    #expect(faults.contains { $0.row == -7 && $0.words.hasPrefix("added") }, "\(faults)")
  }

  @Test func rowsCutOffTheEndAreMissed() throws {
    let desk = try Desk()
    try desk.fill(3)
    try desk.allowChanges()
    try desk.ledger.execute("DELETE FROM events WHERE number = (SELECT max(number) FROM events)")
    let faults = try desk.inspector().verifyLog().faults
    #expect(faults.contains { $0.row == 3 && $0.words.hasPrefix("missing: the log ends at row 2") }, "\(faults)")
  }
}

extension Desk {
  /// So many days after the desk's present.
  func later(days: Int64) -> Instant { Instant(unixSeconds: instant.unixSeconds + days * 86_400, utcOffsetSeconds: 3600) }

  /// Takes the triggers away that keep rows as they are.
  func allowChanges() throws {
    for name in try ledger.tables().compactMap({ $0.firstMatch(of: /CREATE TRIGGER ([a-z_]+)/).map { String($0.1) } }) {
      try ledger.execute("DROP TRIGGER \(name)")
    }
  }
}
