import Foundation
import PEC
import ProviderIndex
import Synchronization
import Testing

@Suite struct FetchedIndexTests {
  private static let many = (1...40).map { "d\($0).alfa.example" }
  private let alfa = SampleRecord(name: "Alfa", domains: ["pec.alfa.example"] + many)
  private let beta = SampleRecord(name: "Beta", domains: ["pec.beta.example"])

  private func with(_ record: SampleRecord, _ change: (inout SampleRecord) -> Void) -> SampleRecord {
    var copy = record
    change(&copy)
    return copy
  }

  @Test func acceptedReplacesTheFileAndHoldsAfterARestart() throws {
    let folder = try IndexFolder()
    try folder.write(ldif([alfa]), "index.ldif")
    let index = ProviderIndex(path: folder.path + "/index.ldif", digest: SampleRecord.digest)
    #expect(index.reload().isLoaded)
    let fetched = ldif([alfa, beta])
    let report = index.accept(fetched, from: "https://indice.example")
    #expect(report.isLoaded && report.problems == [])
    #expect(report.lines.first == "provider index from https://indice.example loaded: 2 records, 42 domains")
    #expect(report.changes.map { String($0.prefix(20)) } == ["provider added: Beta", "certificate added: 0", "domain added: pec.be"])
    #expect(folder.read("index.ldif") == fetched && folder.read("index.ldif.last-good") == fetched)
    let restarted = ProviderIndex(path: index.path, digest: SampleRecord.digest)
    let again = restarted.reload()
    #expect(again.isLoaded && again.changes == [] && restarted.snapshot.domainCount == 42)
  }

  @Test func aLinkStaysALink() throws {
    let folder = try IndexFolder()
    try folder.write(ldif([alfa]), "real.ldif")
    try FileManager.default.createSymbolicLink(atPath: folder.path + "/index.ldif", withDestinationPath: "real.ldif")
    let index = ProviderIndex(path: folder.path + "/index.ldif")
    #expect(index.accept(ldif([alfa, beta]), from: "x").isLoaded)
    #expect(folder.read("real.ldif") == ldif([alfa, beta]))
  }

  @Test(arguments: ["", "<html>Accesso negato</html>", "version: 2\n", "dn: o=postacert\no: postacert\n\n"])
  func rubbishThatIsFetchedChangesNothing(content: String) throws {
    let folder = try IndexFolder()
    try folder.write(ldif([alfa]), "index.ldif")
    let index = ProviderIndex(path: folder.path + "/index.ldif")
    _ = index.reload()
    let report = index.accept(Array(content.utf8), from: "https://indice.example")
    guard case .keptPrevious = report.outcome else {
      Issue.record("\(report.outcome)")
      return
    }
    #expect(!report.needsConfirmation && report.recordCount == 1)
    #expect(folder.read("index.ldif") == ldif([alfa]) && folder.read("index.ldif.last-good") == ldif([alfa]))
  }

  @Test func rubbishThatIsFetchedFirstFindsTheCopy() throws {
    let folder = try IndexFolder()
    try folder.write(ldif([beta]), "index.ldif.last-good")
    let index = ProviderIndex(path: folder.path + "/index.ldif")
    guard case .loadedLastGood = index.accept([1, 2, 3], from: "x").outcome else {
      Issue.record("the copy was not taken")
      return
    }
    #expect(index.snapshot.recipientClass(of: "a@pec.beta.example") == .certified)
    let nobody = ProviderIndex(path: folder.path + "/none.ldif").accept([1, 2, 3], from: "x")
    guard case .nothing = nobody.outcome else {
      Issue.record("\(nobody.outcome)")
      return
    }
  }

  // MARK: The guard

  /// What an index may lose without somebody's word: name, new index, the reason when it is refused.
  private static func cases(_ alfa: SampleRecord, _ beta: SampleRecord) -> [(name: String, new: [SampleRecord], reason: String?)] {
    func changed(_ record: SampleRecord, _ change: (inout SampleRecord) -> Void) -> SampleRecord {
      var copy = record
      change(&copy)
      return copy
    }
    return [
      ("the same", [alfa, beta], nil), ("one domain of 42 goes", [changed(alfa) { $0.domains.removeLast() }, beta], nil),
      ("two of 42 go: 4.8 %", [changed(alfa) { $0.domains.removeLast(2) }, beta], nil),
      ("three of 42 go: 7.1 %", [changed(alfa) { $0.domains.removeLast(3) }, beta], "it loses 3 of 42 domains, more than 5 %"),
      (
        "ten of them to Beta",
        [changed(alfa) { $0.domains.removeLast(10) }, changed(beta) { $0.domains += FetchedIndexTests.many.suffix(10) }], nil
      ),
      ("a small provider goes", [alfa], nil), ("the large one goes", [beta], "it loses 41 of 42 domains, more than 5 %"),
      ("a certificate beside the old", [changed(alfa) { $0.certificates = [1, 2] }, beta], nil),
      ("another certificate", [alfa, changed(beta) { $0.certificates = [2] }], "it replaces all certificates of Beta at once"),
      ("another mailbox", [alfa, changed(beta) { $0.receipt = "x@y.example" }], nil),
      (
        "a listed record is unusable", [alfa, changed(beta) { $0.receipt = "no address" }],
        "the record of Beta is unusable in it"
      ),
      ("names in other letters", [changed(alfa) { $0.domains = $0.domains.map { $0.uppercased() } }, beta], nil),
    ]
  }

  @Test func losses() throws {
    for (name, new, reason) in FetchedIndexTests.cases(alfa, beta) {
      let folder = try IndexFolder()
      let index = ProviderIndex(path: folder.path + "/index.ldif", digest: SampleRecord.digest)
      #expect(index.accept(ldif([alfa, beta]), from: "x").isLoaded, "\(name)")
      let report = index.accept(ldif(new), from: "x")
      guard let reason else {
        #expect(report.isLoaded && !report.needsConfirmation, "\(name): \(report.lines)")
        continue
      }
      #expect(report.outcome == .keptPrevious(reason: reason), "\(name): \(report.lines)")
      #expect(report.needsConfirmation && !report.changes.isEmpty, "\(name)")
      #expect(report.lines.contains { $0.hasPrefix("would change: ") }, "\(name)")
      #expect(folder.read("index.ldif") == ldif([alfa, beta]), "\(name)")
      // The operator's word.
      #expect(index.accept(ldif(new), from: "x", allowingLosses: true).isLoaded, "\(name)")
      #expect(folder.read("index.ldif") == ldif(new), "\(name)")
      #expect(index.accept(ldif(new), from: "x").isLoaded, "\(name)")
    }
  }

  @Test func aRestartIsNoWayAroundTheGuard() throws {
    let folder = try IndexFolder()
    try folder.write(ldif([alfa, beta]), "index.ldif")
    #expect(ProviderIndex(path: folder.path + "/index.ldif").reload().isLoaded)
    try folder.write(ldif([beta]), "index.ldif")
    let restarted = ProviderIndex(path: folder.path + "/index.ldif")
    let report = restarted.reload()
    #expect(report.outcome == .loadedLastGood(reason: "it loses 41 of 42 domains, more than 5 %"))
    #expect(report.needsConfirmation && restarted.snapshot.domainCount == 42)
    #expect(restarted.reload(allowingLosses: true).isLoaded && restarted.snapshot.domainCount == 1)
    #expect(ProviderIndex(path: folder.path + "/index.ldif", maximumLossPercent: 100).reload().isLoaded)
  }

  // MARK: Changes

  @Test func changesAreNamed() throws {
    let folder = try IndexFolder()
    let index = ProviderIndex(path: folder.path + "/index.ldif", maximumLossPercent: 100, digest: SampleRecord.digest)
    let old = SampleRecord(name: "Gamma", unit: "Interno", domains: ["g.example"])
    #expect(index.accept(ldif([alfa, beta, old]), from: "x").changes == [])
    let alfa2 = with(alfa) {
      $0.domains.removeAll { $0 == "d1.alfa.example" || $0 == "d2.alfa.example" }
      $0.certificates = [1, 2]
      $0.receipt = "nuova@pec.alfa.example"
      $0.url = "https://alfa.example/a.p7m"
    }
    let report = index.accept(ldif([alfa2, with(beta) { $0.domains.append("d1.alfa.example") }]), from: "x")
    let hash = SampleRecord.digest([0x30, 2, 4, UInt8(ascii: "A")])
    let gone = SampleRecord.digest([0x30, 1, 5, UInt8(ascii: "G")])
    #expect(
      report.changes == [
        "provider removed: Gamma, Interno", "service mailbox changed: r@pec.alfa.example to nuova@pec.alfa.example (Alfa)",
        "LDIFLocationURL changed: none to https://alfa.example/a.p7m (Alfa)", "certificate removed: \(gone) (Gamma, Interno)",
        "certificate added: \(hash) (Alfa)", "domain moved: d1.alfa.example (Alfa to Beta)", "domain removed: d2.alfa.example (Alfa)",
        "domain removed: g.example (Gamma, Interno)",
      ])
    let compared = ProviderIndex.compare(ProviderDirectory.parse(ldif: ldif([alfa])).directory, with: .empty)
    #expect(compared.loss == "it loses 41 of 41 domains, more than 5 %" && compared.changes.first == "provider removed: Alfa")
  }

  @Test func manyChangesAreCounted() throws {
    let folder = try IndexFolder()
    let index = ProviderIndex(path: folder.path + "/index.ldif")
    _ = index.accept(ldif([beta]), from: "x")
    let report = index.accept(ldif([beta, SampleRecord(name: "Alfa", domains: (0..<300).map { "d\($0).example" })]), from: "x")
    #expect(report.changes.count == 201 && report.changes.last == "and 102 changes more")
  }

  @Test func certificateBehindItsHash() throws {
    let folder = try IndexFolder()
    let index = ProviderIndex(path: folder.path + "/index.ldif")
    let text = String(decoding: ldif([with(beta) { $0.certificates = [1, 2] }]), as: UTF8.self)
    #expect(index.accept(Array(text.utf8), from: "x").isLoaded)
    let forged = text.replacingOccurrences(of: Data([0x30, 2, 4, 66]).base64EncodedString(), with: "MAk=")
    #expect(forged != text)
    #expect(index.accept(Array(forged.utf8), from: "x").changes == ["certificates changed without their hashes (Beta)"])
    // Where hashes are checked, it is left out.
    let checking = ProviderIndex(path: folder.path + "/b.ldif", digest: SampleRecord.digest)
    let report = checking.accept(Array(forged.utf8), from: "x")
    #expect(report.isLoaded && report.problems.count == 2)
    #expect(checking.snapshot.records.first?.certificates == [[0x30, 1, 4, 66]])
  }

  // MARK: Age and history

  @Test func history() throws {
    let folder = try IndexFolder()
    let clock = Atomic<Int64>(1_700_000_000)
    let index = ProviderIndex(
      path: folder.path + "/index.ldif", historyPath: folder.path + "/history", maximumLossPercent: 100,
      now: { clock.load(ordering: .relaxed) })
    _ = index.accept(ldif([alfa]), from: "x")
    #expect(folder.names("history") == ["index-20231114T221320Z.ldif"])
    clock.store(1_700_086_400, ordering: .relaxed)
    _ = index.accept(ldif([alfa]), from: "x")
    #expect(folder.names("history").count == 1)
    _ = index.accept(ldif([alfa, beta]), from: "x")
    #expect(folder.names("history") == ["index-20231114T221320Z.ldif", "index-20231115T221320Z.ldif"])
    try folder.write([], "history/index-nonsense.ldif")
    #expect(index.directory(at: 1_699_999_999) == nil)
    #expect(index.directory(at: 1_700_000_000)?.records.count == 1)
    #expect(index.directory(at: 1_700_086_399)?.records.count == 1)
    #expect(index.directory(at: 1_700_086_400)?.records.count == 2)
    #expect(index.directory(at: 2_000_000_000)?.records.count == 2)
    for round in 1...70 {
      clock.add(60, ordering: .relaxed)
      #expect(index.accept(ldif([with(beta) { $0.receipt = "r\(round)@x.example" }]), from: "x").copyFailure == nil)
    }
    #expect(folder.names("history").count == 61, "60 and one that is not ours")
    #expect(index.directory(at: 1_700_000_000) == nil)
  }

  @Test func historyThatCannotBeWritten() throws {
    let folder = try IndexFolder()
    try folder.write([1], "file")
    let index = ProviderIndex(path: folder.path + "/index.ldif", historyPath: folder.path + "/file/history")
    let report = index.accept(ldif([beta]), from: "x")
    #expect(report.isLoaded && report.copyFailure?.contains("file/history") == true)
  }

  @Test func age() throws {
    let folder = try IndexFolder()
    let start: Int64 = 1_800_000_000
    let clock = Atomic<Int64>(start)
    func make() -> ProviderIndex { ProviderIndex(path: folder.path + "/index.ldif", now: { clock.load(ordering: .relaxed) }) }
    let index = make()
    #expect(index.confirmedUnixSeconds == nil && index.staleLine(at: start) == nil)
    index.confirmUnchanged()
    #expect(index.confirmedUnixSeconds == nil)
    _ = index.accept(ldif([beta]), from: "x")
    #expect(index.staleLine(at: start + 48 * 3600) == nil)
    #expect(index.staleLine(at: start + 49 * 3600) == "provider index not refreshed for 49 hours")
    clock.store(start + 40 * 3600, ordering: .relaxed)
    index.confirmUnchanged()
    #expect(index.staleLine(at: start + 49 * 3600) == nil)
    // It is remembered by the file's date.
    let restarted = make()
    _ = restarted.reload()
    #expect(restarted.confirmedUnixSeconds == start + 40 * 3600)
    #expect(restarted.staleLine(at: start + 89 * 3600) != nil)
  }
}
