import Foundation
import Octets
import Signing
import Testing

@testable import Laboratory

@Suite struct PKITests {
  static let address = "posta-certificata@pec.alfa.test"
  let directory: String
  let now = Int64(Date().timeIntervalSince1970)

  init() throws {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent("pki-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
  }

  private func path(_ name: String) -> String { directory + "/" + name }

  @Test func certificates() throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let pki = try LaboratoryPKI(directory: directory, now: now)
    let signer = try pki.signer(provider: "Alfa PEC S.p.A.", serviceAddress: Self.address, path: path("signer.pem"))
    let server = try pki.server(names: ["mail.pec.alfa.test"], certificatePath: path("tls.pem"), keyPath: path("tls.key"))

    // The gateway has nothing to say against its signer.
    let credentials = try SignerCredentials(
      keyPath: path("signer.pem"), certificatePath: path("signer.pem"), serviceAddress: Self.address, now: now)
    #expect(credentials.warnings.isEmpty, "\(credentials.warnings)")
    #expect(credentials.isNamed("Alfa PEC S.p.A."))
    #expect(credentials.certificate.der == signer.der && credentials.certificate.sha1Fingerprint == signer.sha1Fingerprint)
    #expect(credentials.chain.map(\.der) == [pki.authority.der])

    let text = try openssl("x509", "-in", path("signer.pem"), "-noout", "-text").text
    #expect(!text.contains("Basic Constraints"))
    #expect(text.contains("X509v3 Key Usage: critical\n                Digital Signature\n"))
    #expect(text.contains("E-mail Protection") && text.contains("Public-Key: (2048 bit)"))
    #expect(text.contains("X509v3 Subject Alternative Name: \n                email:\(Self.address)\n"))
    let tls = try openssl("x509", "-in", path("tls.pem"), "-noout", "-text").text
    #expect(tls.contains("DNS:mail.pec.alfa.test, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1"))

    let authority = path("ca.pem")
    #expect(try openssl("verify", "-x509_strict", "-CAfile", authority, "-purpose", "smimesign", path("signer.pem")).status == 0)
    for name in ["-verify_hostname=mail.pec.alfa.test", "-verify_hostname=localhost", "-verify_ip=127.0.0.1", "-verify_ip=::1"] {
      let parts = name.split(separator: "=").map(String.init)
      let check = try openssl(
        "verify", "-x509_strict", "-CAfile", authority, "-purpose", "sslserver", parts[0], parts[1], path("tls.pem"))
      #expect(check.status == 0, "\(name)")
    }
    for (name, mode) in [("ca.pem", 0o644), ("ca.key", 0o600), ("signer.pem", 0o600), ("tls.pem", 0o644), ("tls.key", 0o600)] {
      #expect(try FileManager.default.attributesOfItem(atPath: path(name))[.posixPermissions] as? Int == mode, "\(name)")
    }

    // A second start takes up what is there; another name or address is made anew.
    let again = try LaboratoryPKI(directory: directory, now: now)
    #expect(again.authority == pki.authority)
    #expect(try again.signer(provider: "Alfa PEC S.p.A.", serviceAddress: Self.address, path: path("signer.pem")) == signer)
    #expect(try again.server(names: ["mail.pec.alfa.test"], certificatePath: path("tls.pem"), keyPath: path("tls.key")) == server)
    #expect(try again.server(names: ["mx.pec.alfa.test"], certificatePath: path("tls.pem"), keyPath: path("tls.key")) != server)
    #expect(try again.signer(provider: "Beta", serviceAddress: Self.address, path: path("signer.pem")) != signer)
    let expired = try again.signer(
      provider: "Beta", serviceAddress: "p@pec.beta.test", path: path("expired.pem"),
      validity: LaboratoryValidity(fromDays: -10, toDays: -1))
    #expect(try #require(CertificateFacts(der: expired.der)).notAfter < now)

    #expect(throws: LaboratoryPKIError.self) { try again.signer(provider: "x", serviceAddress: "a@b,DNS:evil", path: path("x.pem")) }
    #expect(throws: LaboratoryPKIError.self) { try again.signer(provider: "", serviceAddress: "a@b.test", path: path("x.pem")) }
    #expect(throws: LaboratoryPKIError.self) { try LaboratoryPKI(directory: path("nowhere"), now: now) }
  }

  @Test func revocationList() throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let pki = try LaboratoryPKI(directory: directory, now: now)
    _ = try pki.signer(provider: "Alfa", serviceAddress: Self.address, path: path("good.pem"))
    _ = try pki.signer(provider: "Beta", serviceAddress: Self.address, path: path("bad.pem"))
    func verdict(_ name: String) throws -> Int32 {
      try openssl("verify", "-crl_check", "-CAfile", path("ca.pem"), "-CRLfile", path("ca.crl"), path(name)).status
    }
    try pki.writeRevocationList(to: path("ca.crl"))
    #expect(try verdict("good.pem") == 0 && verdict("bad.pem") == 0)
    #expect(try openssl("crl", "-in", path("ca.crl"), "-CAfile", path("ca.pem"), "-noout").status == 0)
    try pki.writeRevocationList(to: path("ca.crl"), revoked: [LaboratoryRevocation(path: path("bad.pem"), at: now - 60)])
    #expect(try verdict("good.pem") == 0)
    #expect(try verdict("bad.pem") != 0)
    let text = try openssl("crl", "-in", path("ca.crl"), "-noout", "-text").text
    #expect(text.contains("Version 2") && text.contains("X509v3 CRL Number") && text.contains("X509v3 Authority Key Identifier"))
    #expect(text.contains("Key Compromise"))
    // A list whose next one is overdue is no list.
    try pki.writeRevocationList(to: path("ca.crl"), fromDays: -10, toDays: -3)
    #expect(try verdict("good.pem") != 0)
    #expect(throws: LaboratoryPKIError.self) {
      try pki.writeRevocationList(to: path("ca.crl"), revoked: [LaboratoryRevocation(path: path("none.pem"), at: now)])
    }
    try Data("nothing".utf8).write(to: URL(fileURLWithPath: path("empty.pem")))
    #expect(throws: LaboratoryPKIError.self) {
      try pki.writeRevocationList(to: path("ca.crl"), revoked: [LaboratoryRevocation(path: path("empty.pem"), at: now)])
    }
    #expect(try verdict("good.pem") != 0, "what could not be made replaced what was there")
  }

  @Test func forgedAuthority() throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try FileManager.default.createDirectory(atPath: path("forge"), withIntermediateDirectories: true)
    let real = try LaboratoryPKI(directory: directory, now: now)
    let forger = try LaboratoryPKI(directory: path("forge"), now: now)
    let mine = try real.signer(provider: "Beta PEC S.r.l.", serviceAddress: Self.address, path: path("signer.pem"))
    let other = try forger.signer(provider: "Beta PEC S.r.l.", serviceAddress: Self.address, path: path("forge/signer.pem"))
    let (one, two) = (try #require(CertificateFacts(der: mine.der)), try #require(CertificateFacts(der: other.der)))
    // Alike in everything that a person reads.
    #expect(one.subject == two.subject && one.issuer == two.issuer && one.mailAddresses == two.mailAddresses)
    #expect(one.sha1Fingerprint != two.sha1Fingerprint)
    #expect(try openssl("verify", "-CAfile", path("ca.pem"), path("signer.pem")).status == 0)
    #expect(try openssl("verify", "-CAfile", path("ca.pem"), path("forge/signer.pem")).status != 0)
  }

  /// Unfolds LDIF and decodes what is in base64.
  private func unfolded(_ octets: [UInt8]) throws -> [String] {
    try String(decoding: octets, as: UTF8.self).replacingOccurrences(of: "\n ", with: "").split(
      separator: "\n", omittingEmptySubsequences: false
    )
    .map { line in
      guard let mark = line.range(of: ":: ") else { return String(line) }
      let value = try #require(Base64.decode(line[mark.upperBound...].utf8))
      return "\(line[..<mark.lowerBound])= " + (value.count > 200 ? "\(value.count) octets" : String(decoding: value, as: UTF8.self))
    }
  }

  @Test func index() throws {
    let certificate = LaboratoryCertificate(der: [UInt8](repeating: 7, count: 1000), sha1Fingerprint: "00ff", pem: [])
    let octets = LaboratoryIndex.ldif(
      providers: [
        LaboratoryProvider(
          name: "Alfa, \"PEC\" S.p.A.", certificates: [certificate, certificate], serviceMailbox: "ricevute@pec.alfa.test",
          domains: ["pec.alfa.test", "b.test"], locationURL: "https://alfa.test/a.p7m"),
        LaboratoryProvider(
          name: "Però", unit: " interna#", certificates: [certificate], serviceMailbox: "r@b.test", domains: ["pec.beta.test"],
          locationURL: "https://never.test", description: ":start"),
      ], locationURL: "https://indice.test/all.p7m")
    #expect(octets.split(separator: 10).allSatisfy { $0.count <= 76 && $0.allSatisfy { $0 < 128 } })
    #expect(
      try unfolded(octets) == [
        "version: 1", "", "dn: o=postacert", "objectClass: top", "objectClass: organization", "objectClass: LDIFLocationURLObject",
        "o: postacert", "LDIFLocationURL: https://indice.test/all.p7m", "description: Indice dei gestori del laboratorio", "",
        "dn: providerName=Alfa\\, \\\"PEC\\\" S.p.A.,o=postacert", "objectClass: top", "objectClass: provider",
        "providerName: Alfa, \"PEC\" S.p.A.", "providerCertificateHash: 00ff", "providerCertificateHash: 00ff",
        "providerCertificate;binary= 1000 octets", "providerCertificate;binary= 1000 octets", "mailReceipt: ricevute@pec.alfa.test",
        "LDIFLocationURL: https://alfa.test/a.p7m", "managedDomains: pec.alfa.test", "managedDomains: b.test", "",
        "dn= providerUnit=\\ interna#,providerName=Però,o=postacert", "objectClass: top", "objectClass: provider", "providerName= Però",
        "providerUnit=  interna#", "providerCertificateHash: 00ff", "providerCertificate;binary= 1000 octets", "mailReceipt: r@b.test",
        "managedDomains: pec.beta.test", "description= :start", "",
      ])
  }
}
