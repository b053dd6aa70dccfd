import Foundation
import PEC
import ProviderIndex
import Synchronization
import Testing

@Suite struct ProviderIndexTests {
  /// A folder of the test's own, removed after.
  private final class Folder {
    let path: String
    init() throws {
      path = FileManager.default.temporaryDirectory.path + "/index-" + UUID().uuidString
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ text: String, _ name: String = "index.ldif") throws {
      try Data(text.utf8).write(to: URL(filePath: path + "/" + name))
    }
    func read(_ name: String) -> String? { try? String(contentsOfFile: path + "/" + name, encoding: .utf8) }
  }

  private static func record(_ name: String, _ domain: String) -> String {
    """
    dn: providerName=\(name),o=postacert
    objectClass: provider
    providerName: \(name)
    providerCertificateHash: \(String(repeating: name == "Alfa" ? "a" : "b", count: 40))
    providerCertificate;binary:: MIIDqDCCApA=
    mailReceipt: r@\(domain)
    managedDomains: \(domain)


    """
  }

  private let alfa = record("Alfa", "pec.alfa.example")
  private let beta = record("Beta", "pec.beta.example")

  @Test func loadsAndKeepsACopy() throws {
    let folder = try Folder()
    try folder.write(alfa)
    let index = ProviderIndex(path: folder.path + "/index.ldif")
    #expect(index.snapshot.isEmpty)
    let report = index.reload()
    #expect(report == IndexReport(outcome: .loaded, recordCount: 1, domainCount: 1, problems: []))
    #expect(report.lines == ["provider index loaded: 1 records, 1 domains"])
    #expect(index.snapshot.recipientClass(of: "x@pec.alfa.example") == .certified)
    #expect(folder.read("index.ldif.last-good") == alfa)
    let before = index.snapshot
    try folder.write(alfa + beta)
    let second = index.reload()
    #expect(second.changes.first == "provider added: Beta" && second.changes.count == 3)
    #expect(second.lines.count == 4 && second.domainCount == 2)
    #expect(index.snapshot.recipientClass(of: "x@pec.beta.example") == .certified)
    // A transaction that took the snapshot earlier still sees the old one.
    #expect(before.recipientClass(of: "x@pec.beta.example") == .ordinary)
    #expect(folder.read("index.ldif.last-good") == alfa + beta)
  }

  @Test func badRecordsAreNamedAndSkipped() throws {
    let folder = try Folder()
    try folder.write(alfa + beta.replacingOccurrences(of: "mailReceipt", with: "x"))
    let report = ProviderIndex(path: folder.path + "/index.ldif").reload()
    #expect(report.isLoaded && report.recordCount == 1)
    #expect(report.problems.map(\.line) == [9])
    #expect(report.lines.last == "line 9 (providerName=Beta,o=postacert): the record has no mailReceipt; record skipped")
  }

  /// Files that are of no use: what was in memory stays.
  @Test(arguments: [nil, "", "\n\n# niente\n", "version: 2\n", "dn: o=postacert\no: postacert\n\n", "non è LDIF"] as [String?])
  func keepsTheLastGood(content: String?) throws {
    let folder = try Folder()
    try folder.write(alfa)
    let index = ProviderIndex(path: folder.path + "/index.ldif")
    _ = index.reload()
    if let content { try folder.write(content) } else { try FileManager.default.removeItem(atPath: index.path) }
    let report = index.reload()
    guard case .keptPrevious(let reason) = report.outcome else {
      Issue.record("\(report.outcome)")
      return
    }
    #expect(!reason.isEmpty && report.domainCount == 1)
    #expect(index.snapshot.recipientClass(of: "x@pec.alfa.example") == .certified)
    #expect(folder.read("index.ldif.last-good") == alfa)
    // A new process finds the copy.
    let restarted = ProviderIndex(path: index.path)
    guard case .loadedLastGood = restarted.reload().outcome else {
      Issue.record("the copy was not taken")
      return
    }
    #expect(restarted.snapshot.domainCount == 1)
    // And the file again, when it is mended.
    try folder.write(beta)
    #expect(restarted.reload(allowingLosses: true).isLoaded)
    #expect(restarted.snapshot.recipientClass(of: "x@pec.alfa.example") == .ordinary)
  }

  @Test func nothingAtAll() throws {
    let folder = try Folder()
    let index = ProviderIndex(path: folder.path + "/index.ldif")
    let report = index.reload()
    guard case .nothing(let reason) = report.outcome else {
      Issue.record("\(report.outcome)")
      return
    }
    #expect(reason.contains("index.ldif cannot be read"))
    #expect(index.snapshot.isEmpty)
    try folder.write("niente", "index.ldif.last-good")
    #expect(!index.reload().isLoaded)
  }

  @Test func foldersAndLinks() throws {
    let folder = try Folder()
    #expect(!ProviderIndex(path: folder.path).reload().isLoaded)
    try folder.write(alfa, "vero.ldif")
    try FileManager.default.createSymbolicLink(atPath: folder.path + "/index.ldif", withDestinationPath: "vero.ldif")
    #expect(ProviderIndex(path: folder.path + "/index.ldif").reload().isLoaded)
  }

  @Test func inspectionWritesNothing() throws {
    let folder = try Folder()
    try folder.write(alfa)
    let (directory, report) = ProviderIndex.inspect(path: folder.path + "/index.ldif")
    #expect(directory.domainCount == 1 && report.isLoaded)
    try folder.write(beta, "index.ldif.last-good")
    try folder.write("")
    let broken = ProviderIndex.inspect(path: folder.path + "/index.ldif")
    #expect(broken.directory.isEmpty && broken.report.outcome == .nothing(reason: "the file is empty"))
    #expect(folder.read("index.ldif.last-good") == beta)
  }

  @Test func copyThatCannotBeWritten() throws {
    let folder = try Folder()
    try folder.write(alfa)
    let report = ProviderIndex(path: folder.path + "/index.ldif", copyPath: folder.path + "/no/where").reload()
    #expect(report.isLoaded)
    #expect(report.copyFailure?.contains("no/where") == true)
    #expect(report.lines.count == 2)
  }

  /// Readers on other threads see one whole index or the other, never a mixture.
  @Test func readersDuringReload() throws {
    let folder = try Folder()
    try folder.write(alfa)
    let index = ProviderIndex(path: folder.path + "/index.ldif", maximumLossPercent: 100)
    _ = index.reload()
    let wrong = Atomic(0)
    let reads = Atomic(0)
    let stop = Atomic(false)
    let threads = (0..<2).map { _ in
      let thread = Thread {
        while !stop.load(ordering: .relaxed) {
          let snapshot = index.snapshot
          let isAlfa = snapshot.recipientClass(of: "x@pec.alfa.example") == .certified
          let isBeta = snapshot.recipientClass(of: "x@pec.beta.example") == .certified
          if isAlfa == isBeta || snapshot.records.count != 1 { wrong.add(1, ordering: .relaxed) }
          reads.add(1, ordering: .relaxed)
        }
      }
      thread.start()
      return thread
    }
    for round in 0..<40 {
      try folder.write(round % 2 == 0 ? beta : alfa)
      #expect(index.reload().isLoaded)
    }
    while reads.load(ordering: .relaxed) < 100 {}
    stop.store(true, ordering: .relaxed)
    #expect(wrong.load(ordering: .relaxed) == 0)
    #expect(threads.count == 2)
  }
}
