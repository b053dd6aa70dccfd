import Extracts
import Foundation
import Journey
import Octets
import PEC
import Signing
import Testing

@testable import Sealing

@Suite struct BundleTests {
  let world = SealWorld.shared

  private func events(_ desk: Desk) throws -> [EventRecord] { try desk.ledger.events(after: 0).filter { !$0.kind.isAboutTheLog } }

  /// Two seals, stamped, with rows of two holders.
  private func filled(stamped: Bool = true) throws -> Desk {
    let desk = try Desk()
    if stamped { desk.settings.timeStamps.authorities = [world.authority("tsa")] }
    for start in [1, 11] {
      try desk.ledger.commit(
        (start..<(start + 5)).map { id in
          .event(Desk.event(id, sender: id % 2 == 0 ? "anna@pec.alfa.test" : "carla@pec.alfa.test"))
        })
      try desk.seal()
    }
    if stamped { try desk.stamp() }
    return desk
  }

  private func maker(_ desk: Desk) throws -> ExtractMaker {
    let list = try world.octets("root.crl")
    let credentials = try world.credentials()
    return ExtractMaker(
      ledger: desk.ledger, store: desk.store, credentials: credentials, provider: SealWorld.provider,
      keep: { KeptFiles(revocationLists: [(name: "test-ca.crl", octets: list)]) })
  }

  private func order(_ rows: [EventRecord], withheld: Int = 0) -> ExtractMaker.Order {
    ExtractMaker.Order(
      holder: "anna@pec.alfa.test", reason: "su richiesta del titolare", question: [("Mittente", "anna@pec.alfa.test")], rows: rows,
      withheld: withheld)
  }

  private func bundle(_ desk: Desk) throws -> [BundleFile] {
    let selection = ExtractFilter.select(try events(desk), for: "anna@pec.alfa.test")
    return try maker(desk).files(order(selection.rows, withheld: selection.withheld), at: desk.instant)
  }

  private var authorities: BundleAuthorities {
    get throws { try BundleAuthorities(signers: [world.path("root.pem"), world.path("tsaroot.pem")]) }
  }

  @Test func aBundleHoldsAndNamesNobodyElse() throws {
    let desk = try filled()
    let files = try bundle(desk)
    for file in files { #expect(file.octets.firstRange(of: Array("carla".utf8)) == nil, "\(file.path)") }
    let report = BundleVerifier.verify(files: files, authorities: try authorities, at: SealWorld.now)
    #expect(report.faults == [] && report.remarks == [], "\(report.faults) \(report.remarks)")
    #expect(report.reading.rows.map(\.event.sender) == Array(repeating: "anna@pec.alfa.test", count: 4))
    #expect(report.reading.seals.map(\.number) == [1, 2])
    #expect(report.lines.contains { $0.contains("Test TSA") } && report.lines.contains { $0.contains("4 rows") })
    let alone = BundleVerifier.verify(files: files, at: SealWorld.now)
    #expect(alone.faults == [] && alone.remarks.contains { $0.contains("nobody outside") })
  }

  @Test func theScriptInTheBundleSaysTheSame() throws {
    let desk = try filled()
    let files = try bundle(desk)
    let folder = "\(desk.path)/bundle"
    try ExtractMaker.write(files, folder: folder)
    let good = try run("sh", ["verifica.sh"], in: folder)
    #expect(good.status == 0, "\(good.text)")
    #expect(try BundleVerifier.verify(path: folder, authorities: try authorities, at: SealWorld.now).faults == [])
    #expect(throws: SealingError.self) { try ExtractMaker.write(files, folder: folder) }
    // A row is changed: both name it.
    let row = try #require(files.first { $0.path.hasPrefix("eventi/") && $0.path.hasSuffix(".json") })
    let path = "\(folder)/\(row.path)"
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
    var octets = row.octets
    octets[octets.count - 3] ^= 1
    try Data(octets).write(to: URL(fileURLWithPath: path))
    let bad = try run("sh", ["verifica.sh"], in: folder)
    #expect(bad.status == 1 && bad.text.contains(row.path), "\(bad.text)")
    #expect(try BundleVerifier.verify(path: folder, at: SealWorld.now).faults.contains { $0.file == row.path })
  }

  @Test func archivesAreReadWhoeverPackedThem() throws {
    let desk = try filled()
    let files = try bundle(desk)
    let path = "\(desk.path)/estratto.zip"
    try ExtractMaker.write(files, archive: path)
    #expect(try ExtractMaker.archive(files) == [UInt8](Data(contentsOf: URL(fileURLWithPath: path))))
    let report = try BundleVerifier.verify(path: path, authorities: try authorities, at: SealWorld.now)
    #expect(report.faults == [] && report.remarks == [])
    // Unpacked and packed again, in a folder of its own.
    #expect(try run("7z", ["x", "-o\(desk.path)/inside/estratto", path]).status == 0)
    #expect(try run("7z", ["a", "-tzip", "\(desk.path)/again.zip", "estratto"], in: "\(desk.path)/inside").status == 0)
    let again = try BundleVerifier.verify(path: "\(desk.path)/again.zip", authorities: try authorities, at: SealWorld.now)
    #expect(again.faults == [] && again.remarks.contains { $0.contains("packed anew") })
    #expect(throws: SealingError.self) { try BundleVerifier.verify(path: "\(desk.path)/nowhere", at: SealWorld.now) }
    // What is damaged was read, and is a fault.
    let ledger = "\(desk.path)/ledger.sqlite"
    let broken = try BundleVerifier.verify(path: ledger, at: SealWorld.now).faults
    #expect(broken.map(\.file) == [ledger] && broken[0].words.hasPrefix("the zip archive cannot be read"), "\(broken)")
  }

  @Test func aChangeAnywhereInTheSignatureOverTheContentsIsFound() throws {
    let desk = try filled(stamped: false)
    let reading = ExtractReader.read(try bundle(desk))
    let signature = try #require(reading.contentsSignature)
    var report = BundleReport(reading: reading)
    report.checkContents(nil, now: SealWorld.now)
    #expect(report.holds)
    var silent: [String] = []
    for octet in signature.indices {
      // Every bit of what no digest covers before the content, and of the rest one of each octet.
      for bit in octet < 80 ? 0..<8 : (octet % 8)..<(octet % 8 + 1) {
        var changed = signature
        changed[octet] ^= 1 << bit
        var report = BundleReport(reading: reading)
        report.reading.contentsSignature = changed
        report.checkContents(nil, now: SealWorld.now)
        if report.holds { silent.append("\(octet).\(bit)") }
      }
    }
    #expect(silent == [])
  }

  @Test func anyOctetOfAnyFileThatIsChangedIsFoundAndNamed() throws {
    let desk = try filled()
    let files = try bundle(desk)
    for (at, file) in files.enumerated() where file.path != ExtractBundle.contentsSignatureName {
      for octet in stride(from: 0, to: file.octets.count, by: max(1, file.octets.count / 10)) {
        var changed = files
        changed[at].octets[octet] ^= 1 << (octet % 8)
        let faults = BundleVerifier.verify(files: changed, at: SealWorld.now).faults
        #expect(faults.contains { $0.file == file.path || $0.words.contains(file.path) }, "\(file.path), octet \(octet): \(faults)")
      }
      var lacking = files
      lacking.remove(at: at)
      #expect(BundleVerifier.verify(files: lacking, at: SealWorld.now).faults.contains { $0.file == file.path }, "\(file.path)")
    }
    let added = BundleVerifier.verify(files: files + [BundleFile("eventi/999.json", "{}")], at: SealWorld.now).faults
    #expect(added.contains { $0.file == "eventi/999.json" })
  }

  @Test func anotherProvidersAuthoritiesDoNotVouch() throws {
    let desk = try filled()
    let files = try bundle(desk)
    let foreign = try BundleAuthorities(signers: [world.path("tsaroot.pem")])
    let report = BundleVerifier.verify(files: files, authorities: foreign, at: SealWorld.now)
    #expect(Set(report.faults.map(\.file)) == ["contenuto.p7m", "sigilli/1/sigillo.p7m", "sigilli/2/sigillo.p7m"])
  }

  @Test func unsealedRowsAndRowsThatDoNotHoldAreNotGivenAway() throws {
    let desk = try filled()
    try desk.fill(1)
    let all = try events(desk)
    let maker = try maker(desk)
    let last = try #require(all.last?.number)
    #expect(try maker.unsealed(all) == last)
    #expect(try maker.unsealed(Array(all.dropLast())) == nil)
    #expect(throws: SealingError.self) { try maker.files(order(all), at: desk.instant) }
    #expect(throws: SealingError.self) { try maker.files(order([]), at: desk.instant) }
    var altered = all[0]
    altered.subject = "Altro"
    #expect(throws: SealingError.damaged(seal: 1, words: "row 1 of the ledger is not the one that was sealed")) {
      try maker.files(order([altered]), at: desk.instant)
    }
    // A row of the seal was changed: its root is another one.
    var octets = try desk.octets(1, "rows.jsonl")
    let place = try #require(octets.firstRange(of: Array("Citt".utf8))?.lowerBound)
    octets[place] = UInt8(ascii: "c")
    try desk.overwrite(1, "rows.jsonl", octets)
    #expect(throws: SealingError.self) { try maker.files(order([all[2]]), at: desk.instant) }
  }

  @Test func theSameExtractHasTheSameFiles() throws {
    let desk = try filled()
    let rows = try events(desk)
    let instant = desk.instant
    let one = try maker(desk).files(order(rows), at: instant)
    #expect(try maker(desk).files(order(rows.reversed()), at: instant) == one)
  }
}
