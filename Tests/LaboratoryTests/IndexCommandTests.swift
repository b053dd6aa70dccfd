import Configuration
import Foundation
import Octets
import PEC
import Signing
import Testing

@testable import Laboratory
@testable import Operations

/// `ceralacca index` and `ceralacca check` over what the laboratory makes.
@Suite struct IndexCommandTests {
  let world: LabWorld

  init() throws { world = try LabWorld.shared.get() }

  /// The lines that a command says, and its exit code.
  private func lines(_ body: ((String) -> Void) throws -> Void) throws -> (text: String, code: Int32) {
    var said: [String] = []
    do { try body { said.append($0) } } catch let failure as CommandFailure {
      return ((said + [failure.message]).joined(separator: "\n"), failure.exitCode)
    }
    return (said.joined(separator: "\n"), 0)
  }

  private func show(_ name: String?, _ provider: LabProvider = .beta, json: Bool = false) throws -> (text: String, code: Int32) {
    try lines {
      try IndexCommands.show(
        name, configurationFile: world.laboratory.configurationFile(of: provider), file: nil, signers: nil, allDomains: false, json: json,
        say: $0)
    }
  }

  private func check(_ name: String, _ provider: LabProvider) throws -> (text: String, code: Int32) {
    try lines {
      try IndexCommands.check(
        world.path(name), configurationFile: world.laboratory.configurationFile(of: provider), signers: nil, json: false, say: $0)
    }
  }

  @Test func showsAll() throws {
    let (text, code) = try show(nil)
    #expect(code == 0)
    for word in ["Alfa PEC S.p.A.", "Gamma PEC S.p.A.", "servizio@pec.beta.test", "posta-certificata@pec.gamma.test", ": valid"] {
      #expect(text.contains(word), "\(word)")
    }
    #expect(text.contains("Signed by C=IT, O=Indice dei gestori di laboratorio") && text.contains("3 records, 3 domains"))
    #expect(try show(nil, .alfa).text.contains("3 records, 3 domains"))
  }

  @Test(arguments: [("pec.gamma.test", 1), ("qualcuno@PEC.gamma.test", 1), ("gamma", 1), ("PEC S.", 3)])
  func showsOne(name: String, count: Int) throws {
    let (text, code) = try show(name, json: true)
    #expect(code == 0 && text.split(separator: "\n").count == count)
    #expect(text.contains("\"provider\":\"Gamma PEC S.p.A.\""))
  }

  @Test func showsNobody() throws { #expect(try show("pec.delta.test").code == 66) }

  @Test func checksAnEdition() throws {
    #expect(try check("index.ldif.p7m", .beta).code == 0)
    #expect(try check("index.ldif", .alfa).code == 0)
    let plain = try check("index.ldif", .beta)
    #expect(plain.code == 65 && plain.text.contains("not signed"))
    let unasked = try check("index.ldif.p7m", .alfa)
    #expect(unasked.code == 65 && unasked.text.contains("nothing says who may sign it"))

    var tampered = try world.octets("index.ldif.p7m")
    let at = try #require(tampered.firstRange(of: Array("pec.gamma.test".utf8)))
    tampered[at.lowerBound + 4] ^= 1
    try world.write(tampered, to: "tampered.p7m")
    let refused = try check("tampered.p7m", .beta)
    #expect(refused.code == 65 && refused.text.contains("the signature does not hold"))

    let stranger = try SignerCredentials(
      keyPath: world.path("gamma/signer.pem"), certificatePath: world.path("gamma/signer.pem"),
      serviceAddress: LabProvider.gamma.serviceAddress, now: world.now)
    try world.write(try stranger.signedContent(try world.octets("index.ldif"), at: world.now), to: "stranger.p7m")
    #expect(try check("stranger.p7m", .beta).code == 65)
  }

  @Test func checksWhatChanges() throws {
    let text = String(decoding: try world.octets("index.ldif"), as: UTF8.self)
    try world.write(Array(text.replacingOccurrences(of: "servizio@pec.gamma.test", with: "altra@pec.gamma.test").utf8), to: "mailbox.ldif")
    let changed = try check("mailbox.ldif", .alfa)
    #expect(changed.code == 0 && changed.text.contains("servizio@pec.gamma.test to altra@pec.gamma.test"))
    let first = try #require(text.range(of: "\n\ndn: providerName=Gamma"))
    try world.write(Array((text[..<first.lowerBound] + "\n").utf8), to: "fewer.ldif")
    let fewer = try check("fewer.ldif", .alfa)
    #expect(fewer.code == 65 && fewer.text.contains("1 of 3 domains"))
  }

  @Test func exportsOurRecord() throws {
    let file = world.laboratory.configurationFile(of: .alfa)
    var plain: [UInt8] = []
    try IndexCommands.export(configurationFile: file, signed: false, url: "https://alfa.test/alfa.ldif.p7m") { plain = $0 }
    let (directory, problems) = ProviderDirectory.parse(ldif: plain)
    #expect(problems.isEmpty && directory.records.count == 1)
    let record = try #require(directory.record(managing: "pec.alfa.test"))
    #expect(record.providerName == "Alfa PEC S.p.A." && record.mailReceipt == "servizio@pec.alfa.test" && record.certificates.count == 1)
    #expect(record.ldifURL == "https://alfa.test/alfa.ldif.p7m")

    var signed: [UInt8] = []
    try IndexCommands.export(configurationFile: file, signed: true, url: "https://alfa.test/alfa.ldif.p7m") { signed = $0 }
    try world.write(signed, to: "own.p7m")
    let opened = try openssl(
      "cms", "-verify", "-inform", "DER", "-in", world.path("own.p7m"), "-CAfile", world.path("ca.pem"), "-out", world.path("own.ldif"))
    #expect(opened.status == 0)
    #expect(try world.octets("own.ldif") == plain)
  }

  @Test func exportKeepsTheOldCertificateDuringRenewal() throws {
    let pki = try LaboratoryPKI(directory: world.directory, now: world.now)
    func facts(_ name: String, _ from: Int, _ to: Int) throws -> CertificateFacts {
      try #require(
        CertificateFacts(
          der: try pki.signer(
            provider: "Alfa PEC S.p.A.", serviceAddress: LabProvider.alfa.serviceAddress, path: world.path(name),
            validity: LaboratoryValidity(fromDays: from, toDays: to)
          ).der))
    }
    let new = try facts("renewal-new.pem", 0, 900)
    let old = try facts("renewal-old.pem", -900, 30)
    let gone = try facts("renewal-gone.pem", -1900, -1)
    let held = ProviderRecord(
      dn: "x", line: 1, providerName: "Alfa PEC S.p.A.", certificateHashes: [old.sha1Fingerprint, gone.sha1Fingerprint],
      certificates: [old.der, gone.der], mailReceipt: "a@b.test", managedDomains: ["b.test"], ldifURL: "https://old.test")
    let settings = ProviderSettings(
      name: "Alfa PEC S.p.A.", serviceAddress: LabProvider.alfa.serviceAddress, node: "a", domains: ["pec.alfa.test"])
    let record = IndexCommands.ownRecord(settings, new, old: held, url: nil, now: world.now)
    #expect(record.certificates == [new.der, old.der])
    #expect(record.certificateHashes == [new.sha1Fingerprint, old.sha1Fingerprint])
    #expect(record.ldifURL == "https://old.test" && record.mailReceipt == LabProvider.alfa.serviceAddress)
  }

  // MARK: check

  @Test(arguments: LabProvider.running)
  func theLaboratoryIsInOrder(provider: LabProvider) throws {
    let (text, code) = try lines {
      try CheckCommand.run(configurationFile: world.laboratory.configurationFile(of: provider), json: false, say: $0)
    }
    // The laboratory's authorities are on one machine, whose clock may be nobody's: two things that it is right to be warned of.
    let expected = ["warning  time stamps: all authorities are at 127.0.0.1", "warning  clock: "]
    let warnings = text.split(separator: "\n").filter { $0.contains("warning") }
    #expect(code == 0 && warnings.allSatisfy { line in expected.contains { line.hasPrefix($0) } }, "\(text)")
    #expect(text.contains("trust: 1 authorities") && text.contains("provider index: 3 records, 3 domains"))
    #expect(text.contains("signed by") == (provider == .beta))
  }

  /// What `check` says of alfa's configuration with something changed.
  private func inspection(_ change: (inout GatewayConfiguration) -> Void) throws -> Inspection {
    var configuration = try GatewayConfiguration.load(path: world.laboratory.configurationFile(of: .alfa))
    change(&configuration)
    var inspection = Inspection(now: world.now)
    inspection.look(at: configuration)
    return inspection
  }

  @Test func checkSeesWhatIsWrongWithTrust() throws {
    let missing = try inspection { $0.trust.authorities = [world.path("none.pem")] }
    #expect(missing.errors.contains { $0.hasPrefix("trust: ") })
    let noLists = try inspection { $0.trust.revocationLists = [] }
    #expect(noLists.errors.isEmpty && noLists.warnings.contains { $0.contains("revocation is never looked up") })
    let unread = try inspection { $0.trust.revocationLists = [world.path("none.crl")] }
    #expect(unread.warnings.contains { $0.contains("none.crl cannot be read") })
    let pki = try LaboratoryPKI(directory: world.directory, now: world.now)
    try pki.writeRevocationList(to: world.path("stale.crl"), fromDays: -9, toDays: -2)
    let stale = try inspection { $0.trust.revocationLists = [world.path("stale.crl")] }
    #expect(stale.warnings.contains { $0.contains("stale.crl") })
  }

  @Test func checkSeesWhatIsWrongWithTheIndex() throws {
    let signers = try inspection { $0.index.signers = world.path("index-operator.pem") }
    #expect(signers.errors.contains { $0.contains("is not signed") })
    let unsigned = try inspection { $0.index.file = world.path("index.ldif.p7m") }
    #expect(unsigned.errors.contains { $0.contains("nothing says who may sign it") })
    let mailbox = try inspection { $0.provider.serviceMailbox = "altra@pec.alfa.test" }
    #expect(mailbox.errors.isEmpty && mailbox.warnings.contains { $0.contains("listed as servizio@pec.alfa.test") })
    let domain = try inspection { $0.provider.domains = ["pec.alfa.test", "pec.delta.test", "pec.beta.test"] }
    #expect(domain.warnings.contains { $0.contains("pec.delta.test is not listed") })
    #expect(domain.warnings.contains { $0.contains("pec.beta.test is listed for Beta PEC S.r.l.") })
    let signer = try inspection {
      $0.signer.certificate = world.path("forge/signer.pem")
      $0.signer.key = world.path("forge/signer.pem")
      $0.provider.serviceAddress = LabProvider.beta.serviceAddress
    }
    #expect(signer.warnings.contains { $0.contains("our signer's certificate is not listed") })
    let fetch = try inspection {
      $0.index.fetch = IndexFetchSettings(url: "https://indice.pec.test/x.p7m", certificate: world.path("none.pem"))
    }
    #expect(fetch.errors.contains { $0.contains("none.pem cannot be read") })
    #expect(fetch.warnings.contains { $0.contains("believed without a signature") })
    let bound = try inspection {
      $0.index.fetch = IndexFetchSettings(
        url: "ldaps://indice.pec.test", bindDN: "cn=reader", passwordFile: world.path("none.password"))
    }
    #expect(bound.errors.contains { $0.contains("none.password: cannot be read or has no password") })
    let missing = try inspection {
      $0.index = IndexSettings(file: world.path("none.ldif"), fetch: IndexFetchSettings(url: "ldaps://indice.pec.test"))
    }
    #expect(
      missing.errors.contains { $0.contains("none.ldif cannot be read; `ceralacca index fetch` gets it from ldaps://indice.pec.test") })
  }
}
