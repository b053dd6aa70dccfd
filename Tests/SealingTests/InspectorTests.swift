import Evidence
import Foundation
import Journey
import Octets
import PEC
import Signing
import Testing
import TimeStamping

@testable import Ledger
@testable import Sealing

@Suite struct InspectorTests {
  let world = SealWorld.shared

  private func stampedDesk(rows: Int = 3, seals: Int = 1) throws -> Desk {
    let desk = try Desk()
    desk.settings.timeStamps.authorities = [world.authority("tsa")]
    for _ in 0..<seals {
      try desk.fill(rows)
      try desk.seal()
    }
    try desk.stamp()
    return desk
  }

  /// The row whose line the octet at that place belongs to.
  private func row(_ octets: [UInt8], _ at: Int, first: Int64) -> Int64 { first + Int64(octets[..<at].count { $0 == 10 }) }

  /// One bit of each octet, file by file: what a digest answers for it tells bits apart no more than octets, and that of rows, chain and
  /// manifest every bit is found is shown where they are checked (EvidenceTests).
  @Test func aBitOfEachOctetOfASealIsFoundAndNamed() async throws {
    let desk = try stampedDesk(rows: 2)
    #expect(try desk.verify().faults == [])
    let check = SealFolderCheck(store: desk.store, number: 1)
    for name in try desk.files(1) {
      let octets = try desk.octets(1, name)
      for at in octets.indices {
        var changed = octets
        changed[at] ^= 1 << (at % 8)
        try desk.overwrite(1, name, changed)
        let manifest = try? desk.store.manifest(1)
        let faults = check.faults(manifest: manifest, mayLackRows: false)
        // A change in a list is seen where the list and a file do not say the same.
        let isNamed = faults.contains { $0.seal == 1 && ($0.file == name || $0.words.contains(name)) }
        #expect(isNamed, "\(name), octet \(at): \(faults)")
        if name == SealFileNames.rows, manifest != nil {
          let row = row(octets, at, first: 1)
          // Without the newline between them two rows are none.
          #expect(faults.contains { $0.row == row }, "row \(row), octet \(at): \(faults)")
        }
        if !isNamed { return }
        if at % 64 == 0 { await Task.yield() }
      }
      try desk.overwrite(1, name, octets)
    }
    #expect(try desk.verify().faults == [])
  }

  @Test func theWholeInspectionFindsThemToo() throws {
    let desk = try stampedDesk(seals: 2)
    for name in try desk.files(2) {
      let octets = try desk.octets(2, name)
      for at in stride(from: 0, to: octets.count, by: max(1, octets.count / 12)) {
        var changed = octets
        changed[at] ^= 1 << (at % 8)
        try desk.overwrite(2, name, changed)
        let inspection = try desk.verify()
        #expect(!inspection.isWhole && inspection.faults.allSatisfy { $0.seal == 2 }, "\(name), octet \(at): \(inspection.faults)")
      }
      try desk.overwrite(2, name, octets)
    }
    #expect(try desk.verify().faults == [])
  }

  @Test func whoeverMakesTheListAnewIsFoundAllTheSame() throws {
    // A forger who brings contents.txt up to date meets signature, chain, stamp and ledger.
    for name in ["rows.jsonl", "chain.txt", "manifest.json", "seal.p7m", "stamp.tst", "evidence-1.er"] {
      let desk = try stampedDesk()
      var octets = try desk.octets(1, name)
      let at = name == "manifest.json" ? octets.firstRange(of: Array("asked".utf8))!.lowerBound : octets.count * 2 / 3
      octets[at] = octets[at] == UInt8(ascii: "1") ? UInt8(ascii: "2") : octets[at] ^ 1
      try desk.overwrite(1, name, octets)
      for list in ["contents.txt", "additions-1.txt"] {
        try run("sh", ["-c", "sha256sum $(cut -c67- \(list)) > new && mv -f new \(list)"], in: desk.store.folder(1))
        #expect(try run("sha256sum", ["-c", list], in: desk.store.folder(1)).status == 0)
      }
      let faults = try desk.verify().faults
      #expect(!faults.isEmpty, "\(name)")
      // The list of contents itself finds nothing.
      #expect(faults.allSatisfy { !$0.words.contains(" says: one of the two") }, "\(faults)")
    }
  }

  @Test func rowsRemovedAddedAndMovedInTheFilesAreNamed() throws {
    let desk = try stampedDesk(rows: 8)
    let whole = try desk.octets(1, "rows.jsonl")
    let lines = whole.split(separator: 10).map { Array($0) + [10] }
    func faults(_ lines: [[UInt8]]) throws -> [SealFault] {
      try desk.overwrite(1, "rows.jsonl", lines.flatMap { $0 })
      defer { try? desk.overwrite(1, "rows.jsonl", whole) }
      return try desk.verify().faults
    }
    var changed = lines
    changed.remove(at: 3)
    #expect(try faults(changed).contains { $0.row == 4 && $0.words.contains("missing") })
    changed = lines
    changed.insert(CanonicalEvent.octets(numbered(4, of: 99)) + [10], at: 4)
    #expect(try faults(changed).contains { $0.words.contains("added") })
    changed = lines
    changed.swapAt(1, 5)
    let moved = try faults(changed)
    #expect(moved.contains { $0.row == 2 || $0.row == 6 }, "\(moved)")
    #expect(try desk.verify().faults == [])
  }

  private func numbered(_ number: Int64, of id: Int) -> EventRecord {
    var event = Desk.event(id)
    event.number = number
    return event
  }

  @Test func sealsRemovedAndAddedAreNamed() throws {
    let desk = try stampedDesk(rows: 1, seals: 4)
    let manager = FileManager.default
    let aside = "\(desk.path)/aside"
    try manager.moveItem(atPath: desk.store.folder(2), toPath: aside)
    #expect(try desk.verify().faults == [SealFault(seal: 2, words: "its folder is missing")])
    // Another seal in its place.
    try manager.copyItem(atPath: desk.store.folder(3), toPath: desk.store.folder(2))
    let swapped = try desk.verify().faults
    #expect(swapped.contains { $0.seal == 2 && $0.words.contains("manifest of seal 3") }, "\(swapped)")
    try manager.removeItem(atPath: desk.store.folder(2))
    try manager.moveItem(atPath: aside, toPath: desk.store.folder(2))
    // The last one: the ledger knows of it.
    try manager.moveItem(atPath: desk.store.folder(4), toPath: aside)
    #expect(try desk.verify().faults == [SealFault(seal: 4, words: "its folder is missing")])
    try manager.moveItem(atPath: aside, toPath: desk.store.folder(4))
    try manager.copyItem(atPath: desk.store.folder(4), toPath: desk.store.folder(6))
    #expect(try desk.verify().faults.contains { $0.seal == 6 && $0.words.contains("does not know it") })
    try manager.removeItem(atPath: desk.store.folder(6))
    try Data("x".utf8).write(to: URL(fileURLWithPath: "\(desk.store.path)/readme"))
    try Data("x".utf8).write(to: URL(fileURLWithPath: desk.store.file(1, "note.txt")))
    let added = try desk.verify().faults.map(\.description)
    #expect(added.count == 2 && added[0].contains("readme") && added[1].hasPrefix("seal 1, note.txt: it was added"), "\(added)")
  }

  @Test func aSealOfAnotherSignerIsRefusedWhereAuthoritiesAreNamed() throws {
    let desk = try stampedDesk()
    let signer = SealInspector(
      store: desk.store, ledger: desk.ledger, anchors: try TrustAnchors(paths: [world.path("root.pem")]),
      stampAuthorities: try TimeStampAuthorities(paths: [world.path("tsaroot.pem")]))
    #expect(try signer.verifySeals(at: SealWorld.now).faults == [])
    let stranger = SealInspector(
      store: desk.store, ledger: desk.ledger, anchors: try TrustAnchors(paths: [world.path("tsaroot.pem")]),
      stampAuthorities: try TimeStampAuthorities(paths: [world.path("root.pem")]))
    #expect(try stranger.verifySeals(at: SealWorld.now).faults.map(\.file) == ["seal.p7m", "stamp.tst"])
    let nobody = SealInspector(store: desk.store, ledger: nil)
    let inspection = try nobody.verifySeals(at: SealWorld.now)
    #expect(inspection.faults == [] && inspection.remarks.contains { $0.contains("nobody here vouches") })
  }

  // MARK: The ledger

  @Test func rowsOfTheLedgerThatWereTouchedAreNamed() throws {
    let changes: [(sql: String, row: Int64, word: String)] = [
      ("UPDATE events SET subject = 'Altro' WHERE number = 3", 3, "changed"),
      ("UPDATE events SET bytes = bytes + 1 WHERE number = 9", 9, "changed"),
      ("UPDATE events SET at = at - 1 WHERE number = 5", 5, "changed"),
      ("UPDATE events SET recipients = '[' WHERE number = 2", 2, "changed"),
      ("UPDATE events SET chain = zeroblob(32) WHERE number = 4", 4, "chain"),
      ("DELETE FROM events WHERE number = 6", 6, "missing"), ("DELETE FROM events WHERE number = 1", 1, "missing"),
      ("DELETE FROM events WHERE number BETWEEN 1 AND 8", 1, "missing"),
      (
        "UPDATE events SET number = 100 WHERE number = 3; UPDATE events SET number = 3 WHERE number = 4; "
          + "UPDATE events SET number = 4 WHERE number = 100", 3, "changed"
      ),
    ]
    for change in changes {
      let desk = try stampedDesk(rows: 5, seals: 2)
      try desk.fill(2)
      #expect(try desk.inspector().verifyLog().faults == [])
      try desk.allowChanges()
      for statement in change.sql.split(separator: ";") { try desk.ledger.execute(String(statement)) }
      let faults = try desk.inspector().verifyLog().faults
      #expect(faults.contains { $0.row == change.row && $0.words.contains(change.word) }, "\(change.sql): \(faults)")
    }
  }

  @Test func aChainThatWasMadeAnewIsNotTheSealedOne() throws {
    let desk = try stampedDesk(rows: 5)
    try desk.fill(2)
    try desk.allowChanges()
    // Row 3 is changed, and the chain from there on is computed again as if nothing had been.
    try desk.ledger.execute("UPDATE events SET sender = 'carla@pec.alfa.test' WHERE number = 3")
    var chain = try #require(try desk.ledger.chain(after: 2))
    for number in Int64(3)...(try desk.ledger.lastEventNumber()) {
      var event: EventRecord?
      try desk.ledger.rows(from: number, through: number) { row, _ in
        event = row
        return true
      }
      chain = EventChain.next(chain, leaf: EventChain.leaf(CanonicalEvent.octets(try #require(event))))
      try desk.ledger.execute("UPDATE events SET chain = x'\(Hex.encode(chain))' WHERE number = \(number)")
    }
    let log = try desk.inspector().verifyLog().faults
    #expect(log.contains { $0.seal == 1 && $0.words.contains("chain") }, "\(log)")
    #expect(try desk.verify().faults.contains { $0.seal == 1 && $0.words.contains("log verify") })
  }

  @Test func theLedgersMemoryOfSealsIsCompared() throws {
    for column in ["digest", "root", "chain"] {
      let desk = try stampedDesk(seals: 2)
      try desk.allowChanges()
      try desk.ledger.execute("UPDATE seals SET \(column) = '\(String(repeating: "a", count: 64))' WHERE number = 1")
      #expect(try desk.verify().faults.contains { $0.seal == 1 && $0.words.contains("remembers another") }, "\(column)")
    }
    let desk = try stampedDesk()
    try desk.allowChanges()
    try desk.ledger.execute("UPDATE seals SET stamped_at = stamped_at - 5 WHERE number = 1")
    #expect(try desk.verify().faults.map(\.file) == ["stamp.tst"])
  }

  @Test func aManifestThatNobodySignedIsNotBelieved() throws {
    let desk = try stampedDesk(rows: 3)
    var octets = try desk.octets(1, "manifest.json")
    let at = try #require(octets.firstRange(of: Array("asked".utf8))).lowerBound
    octets[at] = UInt8(ascii: "b")
    try desk.overwrite(1, "manifest.json", octets)
    #expect(
      try desk.inspector().verifyLog().faults.map(\.description) == [
        "seal 1: there is no signed manifest of it: 'ceralacca seal verify' says more"
      ])
    try FileManager.default.removeItem(atPath: desk.store.path)
    #expect(try desk.inspector().verifyLog().faults.count == 1)
  }

  @Test func aListOfContentsThatWasMadeAnewIsNotTheOneInTheLog() throws {
    let desk = try stampedDesk(rows: 3)
    let list = "revocation/test-ca.crl"
    let lines = String(decoding: try desk.octets(1, "contents.txt"), as: UTF8.self).split(separator: "\n")
    let others = lines.filter { !$0.hasSuffix(list) }
    #expect(others.count == lines.count - 1)
    try desk.overwrite(1, "contents.txt", Array((others.joined(separator: "\n") + "\n").utf8))
    try FileManager.default.removeItem(atPath: "\(desk.store.folder(1))/revocation")
    let faults = try desk.verify().faults
    #expect(faults.map(\.file) == ["contents.txt"] && faults[0].words.contains("of the log was written about"), "\(faults)")
  }

  @Test func whatAnInterruptedStampingLeftIsNoFault() throws {
    let desk = try Desk()
    try desk.fill(2)
    try desk.seal()
    for name in ["stamp.tst", "authority-0123456789abcdef.pem", "evidence-1.er.new"] {
      try Data("x".utf8).write(to: URL(fileURLWithPath: desk.store.file(1, name)))
    }
    let inspection = try desk.verify()
    #expect(inspection.faults == [])
    #expect(inspection.remarks.count { $0.contains("no list names it") } == 3, "\(inspection.remarks)")
  }

  @Test func aFolderWithAnEnormousNumberIsOneFault() throws {
    let desk = try stampedDesk(rows: 1)
    for name in ["999999999999", String(Int64.max)] {
      try FileManager.default.createDirectory(atPath: "\(desk.store.path)/\(name)", withIntermediateDirectories: true)
    }
    let faults = try desk.verify().faults.map(\.description)
    #expect(faults.contains("seal 2: the folders of this one and of all up to 999999999998 are missing"), "\(faults)")
  }

  /// A page that SQLite cannot read hides rows, and not what is to be said of the others.
  @Test func aDamagedPageIsNamedAndTheRestIsLookedAt() throws {
    let desk = try Desk()
    for _ in 0..<10 {
      try desk.fill(40)
      try desk.seal()
    }
    try desk.allowChanges()
    try desk.ledger.execute("UPDATE events SET subject = 'Altro' WHERE number = 3")
    try desk.ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    try desk.ledger.close()
    let path = "\(desk.path)/ledger.sqlite"
    var file = try Data(contentsOf: URL(fileURLWithPath: path))
    let place = try #require(file.range(of: Data("Città 350".utf8))).lowerBound
    file[place / 4096 * 4096] = 0xFF
    try file.write(to: URL(fileURLWithPath: path))
    let inspector = SealInspector(
      store: desk.store, ledger: try Ledger.openReadOnly(path: path), signers: [try world.credentials().certificate.der])
    let faults = try inspector.verifyLog().faults
    #expect(faults.contains { $0.words.hasPrefix("the ledger's file") }, "\(faults)")
    #expect(faults.contains { $0.row == 3 && $0.words.contains("changed") }, "\(faults)")
  }

  @Test func anEmptyLogHolds() throws {
    let desk = try Desk()
    #expect(try desk.verify() == SealInspection())
    #expect(try desk.inspector().verifyLog() == SealInspection())
    try desk.fill(2)
    #expect(try desk.inspector().verifyLog().rows == 2)
  }
}
