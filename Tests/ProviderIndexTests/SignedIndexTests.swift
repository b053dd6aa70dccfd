import Foundation
import PEC
import ProviderIndex
import Testing

/// Signed indexes, made and opened by the openssl command.
@Suite struct SignedIndexTests {
  private let alfa = SampleRecord(name: "Alfa", domains: ["pec.alfa.example"])
  private let beta = SampleRecord(name: "Beta", domains: ["pec.beta.example"])

  /// A folder with the keys of the index's operator and of somebody else.
  private func folder() throws -> IndexFolder {
    let folder = try IndexFolder()
    for name in ["operator", "other"] {
      _ = try folder.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
          + ["-subj", "/O=\(name)", "-keyout", "\(name).key", "-out", "\(name).pem"])
    }
    return folder
  }

  private func sign(_ octets: [UInt8], by name: String, in folder: IndexFolder) throws -> [UInt8] {
    try folder.write(octets, "plain")
    _ = try folder.run(
      ["openssl", "cms", "-sign", "-binary", "-nodetach", "-in", "plain", "-signer", "\(name).pem", "-inkey", "\(name).key"]
        + ["-outform", "DER", "-out", "signed"])
    return try #require(folder.read("signed"))
  }

  /// As the gateway's opening does: the operator's signature, and nobody else's.
  private func opening(_ folder: IndexFolder) -> IndexReading.Opening {
    let path = folder.path
    return { octets in
      let work = try IndexFolder()
      try work.write(octets, "signed")
      _ = try work.run(
        ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "signed", "-CAfile", "\(path)/operator.pem", "-purpose", "any"]
          + ["-out", "plain"])
      return work.read("plain") ?? []
    }
  }

  private func index(_ folder: IndexFolder, requiresSignature: Bool = true) -> ProviderIndex {
    ProviderIndex(
      path: folder.path + "/index.ldif.p7m", historyPath: folder.path + "/history", requiresSignature: requiresSignature,
      digest: SampleRecord.digest, opening: opening(folder))
  }

  @Test func signedIsOpenedAndKeptSigned() throws {
    let folder = try folder()
    let index = index(folder)
    let signed = try sign(ldif([alfa]), by: "operator", in: folder)
    let report = index.accept(signed, from: "https://indice.example")
    #expect(report.isLoaded && report.recordCount == 1, "\(report.lines)")
    #expect(folder.read("index.ldif.p7m") == signed && folder.read("index.ldif.p7m.last-good") == signed)
    #expect(folder.names("history").allSatisfy { $0.hasSuffix(".p7m") } && folder.names("history").count == 1)
    // At the next start the signature is checked again: on the file, and on the copy when the file is gone.
    #expect(self.index(folder).reload().isLoaded)
    try FileManager.default.removeItem(atPath: folder.path + "/index.ldif.p7m")
    let restarted = self.index(folder)
    guard case .loadedLastGood = restarted.reload().outcome else {
      Issue.record("the copy was not taken")
      return
    }
    #expect(restarted.snapshot.domainCount == 1)
    // And a copy that somebody changed is of no use.
    var changed = signed
    if let at = Data(signed).range(of: Data("pec.alfa.example".utf8)) { changed[at.lowerBound] ^= 1 }
    try folder.write(changed, "index.ldif.p7m.last-good")
    guard case .nothing = self.index(folder).reload().outcome else {
      Issue.record("a changed copy was taken")
      return
    }
  }

  @Test func everythingElseIsRefused() throws {
    let folder = try folder()
    let index = index(folder)
    let good = try sign(ldif([alfa]), by: "operator", in: folder)
    #expect(index.accept(good, from: "x").isLoaded)
    let wanted = ldif([alfa, beta])
    let signed = try sign(wanted, by: "operator", in: folder)
    var tampered = signed
    let at = try #require(Data(signed).range(of: Data("pec.beta.example".utf8)))
    tampered[at.lowerBound] ^= 1
    var broken = signed
    broken[broken.count - 5] ^= 1
    let cases: [(String, [UInt8], String)] = [
      ("content changed", tampered, "its signature is not accepted"), ("signature changed", broken, "its signature is not accepted"),
      ("cut off", Array(signed.dropLast(40)), "its signature is not accepted"),
      ("signed by another", try sign(wanted, by: "other", in: folder), "its signature is not accepted"),
      ("not signed", wanted, "it is not signed"), ("rubbish", Array("<html>".utf8), "its signature is not accepted"),
      ("nothing", [], "the file is empty"),
      ("signed, but no index", try sign(Array("ciao".utf8), by: "operator", in: folder), "no record of the file is usable"),
    ]
    for (name, octets, reason) in cases {
      let report = index.accept(octets, from: "x")
      guard case .keptPrevious(let why) = report.outcome else {
        Issue.record("\(name): \(report.outcome)")
        continue
      }
      #expect(why.hasPrefix(reason), "\(name): \(why)")
      #expect(index.snapshot.records.count == 1, "\(name)")
    }
    #expect(folder.read("index.ldif.p7m") == good)
    #expect(index.accept(signed, from: "x").isLoaded && index.snapshot.records.count == 2)
  }

  @Test func plainWhereItMayBe() throws {
    let folder = try folder()
    let index = index(folder, requiresSignature: false)
    #expect(index.accept(ldif([alfa]), from: "x").isLoaded)
    #expect(index.accept(try sign(ldif([alfa, beta]), by: "operator", in: folder), from: "x").isLoaded)
    #expect(!index.accept(try sign(ldif([alfa]), by: "other", in: folder), from: "x").isLoaded)
    #expect(index.snapshot.records.count == 2)
  }

  @Test func withoutSigners() throws {
    let folder = try folder()
    let signed = try sign(ldif([alfa]), by: "operator", in: folder)
    try folder.write(signed, "index.p7m")
    let (directory, report) = ProviderIndex.inspect(path: folder.path + "/index.p7m")
    #expect(directory.isEmpty)
    #expect(report.outcome == .nothing(reason: "it is signed, and there are no signers that it could be checked against"))
    let opened = ProviderIndex.inspect(
      path: folder.path + "/index.p7m", reading: IndexReading(requiresSignature: true, opening: opening(folder)))
    #expect(opened.report.isLoaded && opened.directory.domainCount == 1)
    let strict = ProviderIndex(path: folder.path + "/a", requiresSignature: true)
    #expect(strict.accept(ldif([alfa]), from: "x").outcome == .nothing(reason: "it is not signed"))
    #expect(!strict.accept(signed, from: "x").isLoaded)
  }
}
