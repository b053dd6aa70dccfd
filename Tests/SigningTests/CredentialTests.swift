import Foundation
import Testing

@testable import Signing

@Suite struct CredentialTests {
  let world = TestWorld.shared

  @Test func factsAgreeWithTheCommand() throws {
    let credentials = try world.credentials()
    let facts = credentials.certificate
    #expect(facts.subject == "C=IT, O=Gestore Però S.p.A., CN=Posta Certificata")
    #expect(facts.issuer == "C=IT, O=Test, CN=Test CA 1")
    #expect(facts.organizations == ["Gestore Però S.p.A."])
    #expect(facts.commonNames == ["Posta Certificata"])
    #expect(facts.mailAddresses == [TestWorld.address])
    #expect(facts.publicKey == "RSA 2048")
    #expect(credentials.keyBits == 2048)
    func fingerprint(_ algorithm: String) throws -> String {
      let line = try world.openssl("x509", "-in", world.path("signer.pem"), "-noout", "-fingerprint", algorithm).text
      return line.split(separator: "=")[1].replacingOccurrences(of: ":", with: "").lowercased().trimmingCharacters(in: .newlines)
    }
    #expect(facts.sha1Fingerprint == (try fingerprint("-sha1")))
    #expect(facts.sha256Fingerprint == (try fingerprint("-sha256")))
    let serial = try world.openssl("x509", "-in", world.path("signer.pem"), "-noout", "-serial").text
    #expect("serial=" + facts.serialNumber.uppercased() == serial.trimmingCharacters(in: .newlines))
    let der = try world.openssl("x509", "-in", world.path("signer.pem"), "-outform", "DER").output
    #expect(facts.der == [UInt8](der))
    #expect(credentials.chain.map(\.subject) == ["C=IT, O=Test, CN=Test CA 1"])
    #expect(credentials.warnings.isEmpty)
  }

  @Test func namesAreComparedAsTheIndexDoes() throws {
    let credentials = try world.credentials()
    #expect(credentials.isNamed("Gestore Però S.p.A."))
    #expect(credentials.isNamed("gestore  PERÒ s.p.a. "))
    #expect(credentials.isNamed("Posta Certificata"))
    #expect(!credentials.isNamed("Gestore S.p.A."))
    #expect(!credentials.isNamed(""))
  }

  @Test func anyOrderAndOneFileForAll() throws {
    let texts = ["signer.pem", "middle.pem", "root.pem"].map(world.text)
    let key = world.text("signer.key")
    for (number, order) in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]].enumerated() {
      let name = "order-\(number).pem"
      try world.write(name, "words before\n" + order.map { texts[$0] }.joined(separator: "words between\n") + key)
      let credentials = try world.credentials(certificate: name, key: name)
      #expect(credentials.certificate.mailAddresses == [TestWorld.address])
      #expect(credentials.chain.map(\.subject) == ["C=IT, O=Test, CN=Test CA 1", "C=IT, O=Test Root, CN=Test Root CA"])
    }
  }

  @Test func olderKeyFormIsTaken() throws {
    try world.openssl("rsa", "-in", world.path("signer.key"), "-traditional", "-out", world.path("older.key"))
    #expect(world.text("older.key").contains("BEGIN RSA PRIVATE KEY"))
    #expect(try world.credentials(key: "older.key").keyBits == 2048)
  }

  @Test func theAddressIsComparedWithoutCase() throws {
    let credentials = try SignerCredentials(
      keyPath: world.path("signer.key"), certificatePath: world.path("chain.pem"), serviceAddress: "Posta-Certificata@PEC.Alfa.test",
      now: world.now)
    #expect(credentials.serviceAddress == "Posta-Certificata@PEC.Alfa.test")
  }

  @Test func ofARenewalWithTheSameKeyTheLongerIsTaken() throws {
    try world.issue(
      "renewed", key: "signer", by: "middle", subject: "/C=IT/O=Gestore/CN=Renewed", days: 35500,
      extensions: TestWorld.profile + "\nsubjectAltName=email:\(TestWorld.address)")
    try world.write("two.pem", world.text("chain.pem") + world.text("renewed.pem"))
    let credentials = try world.credentials(certificate: "two.pem")
    #expect(credentials.certificate.commonNames == ["Renewed"])
    #expect(credentials.warnings == [.notInChain(subject: "C=IT, O=Gestore Però S.p.A., CN=Posta Certificata")])
  }

  // MARK: Faults

  private func fault(certificate: String = "chain.pem", key: String = "signer.key", at: Int64? = nil) -> CredentialError? {
    do {
      _ = try world.credentials(certificate: certificate, key: key, at: at)
      return nil
    } catch {
      return error as? CredentialError
    }
  }

  @Test func faultsOfFiles() throws {
    #expect(fault(key: "nowhere.key")?.fault == .unreadable("No such file or directory"))
    #expect(fault(certificate: "nowhere.pem")?.path == world.path("nowhere.pem"))
    #expect(fault(key: "")?.fault == .unreadable("not a file"))
    #expect(fault(key: "chain.pem")?.fault == .noPrivateKey)
    #expect(fault(certificate: "signer.key")?.fault == .noCertificate)
    try world.write("empty.pem", "")
    #expect(fault(key: "empty.pem")?.fault == .noPrivateKey)
    #expect(fault(certificate: "empty.pem")?.fault == .noCertificate)
    try world.write("large.pem", String(repeating: "x", count: PEMFile.maximumBytes + 1))
    #expect(fault(key: "large.pem")?.fault == .tooLarge)
    try world.write("cut.pem", String(world.text("chain.pem").prefix(400)))
    #expect(fault(certificate: "cut.pem")?.fault == .malformedPEM(block: 1))
    try world.write("second-cut.pem", world.text("signer.pem") + String(world.text("middle.pem").prefix(400)))
    #expect(fault(certificate: "second-cut.pem")?.fault == .malformedPEM(block: 2))
    try world.write("junk.pem", world.text("signer.pem") + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    #expect(fault(certificate: "junk.pem")?.fault == .malformedCertificate(2))
    try world.write("junk.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    #expect(fault(key: "junk.key")?.fault == .malformedKey)
    try world.write("two.key", world.text("signer.key") + world.text("other.key"))
    #expect(fault(key: "two.key")?.fault == .severalPrivateKeys)
  }

  @Test func faultsOfKeys() throws {
    try world.openssl("pkcs8", "-topk8", "-in", world.path("signer.key"), "-passout", "pass:secret", "-out", world.path("locked.key"))
    #expect(fault(key: "locked.key")?.fault == .encryptedKey)
    #expect(fault(key: "locked.key")?.advice.contains("openssl pkey") == true)
    try world.openssl(
      "rsa", "-in", world.path("signer.key"), "-traditional", "-aes128", "-passout", "pass:secret", "-out", world.path("locked-older.key"))
    #expect(fault(key: "locked-older.key")?.fault == .encryptedKey)
    try world.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", world.path("curve.key"))
    #expect(fault(key: "curve.key")?.fault == .notRSA)
    try world.openssl("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-out", world.path("pss.key"))
    #expect(fault(key: "pss.key")?.fault == .notRSA)
    try world.key("small", bits: 1024)
    #expect(fault(key: "small.key")?.fault == .keySize(1024))
    #expect(
      fault(key: "other.key")?.fault
        == .keyMismatch(subjects: ["C=IT, O=Gestore Però S.p.A., CN=Posta Certificata", "C=IT, O=Test, CN=Test CA 1"]))
  }

  @Test func aDamagedKeyIsFoundAtStart() throws {
    // The private exponent and both primes are spoiled, so that OpenSSL's CRT has nothing sound to fall back on; modulus and public
    // exponent still match the certificate.
    let plain = try world.openssl("rsa", "-in", world.path("signer.key"), "-traditional", "-outform", "DER").output
    let text = try world.openssl("rsa", "-in", world.path("signer.key"), "-noout", "-text").text
    let exponent = try #require(text.components(separatedBy: "privateExponent:").last?.components(separatedBy: "prime1:").first)
    let octets = exponent.filter(\.isHexDigit)
    let sought = stride(from: 0, to: 40, by: 2).map { at -> UInt8 in
      let start = octets.index(octets.startIndex, offsetBy: at + 20)
      return UInt8(octets[start..<octets.index(start, offsetBy: 2)], radix: 16) ?? 0
    }
    let found = try #require(plain.range(of: Data(sought)))
    var damaged = [UInt8](plain)
    for offset in [0, 400, 530] where found.lowerBound + offset < damaged.count { damaged[found.lowerBound + offset] ^= 0x55 }
    let body = Data(damaged).base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
    try world.write("damaged.key", "-----BEGIN RSA PRIVATE KEY-----\n\(body)\n-----END RSA PRIVATE KEY-----\n")
    #expect(fault(key: "damaged.key")?.fault == .damagedKey)
  }

  @Test func faultsOfDates() throws {
    let facts = try world.credentials().certificate
    #expect(fault(at: facts.notBefore - 1)?.fault == .notYetValid(from: facts.notBefore))
    #expect(fault(at: facts.notAfter + 1)?.fault == .expired(on: facts.notAfter))
    #expect(fault(at: facts.notBefore) == nil)
    #expect(fault(at: facts.notAfter) == nil)
    #expect(fault(at: Int64.max)?.fault == .expired(on: facts.notAfter))
    #expect(fault(at: Int64.min)?.fault == .notYetValid(from: facts.notBefore))
  }

  @Test(arguments: [
    ("no-san", TestWorld.profile, CredentialError.Fault.noMailAddress),
    ("dns-san", TestWorld.profile + "\nsubjectAltName=DNS:pec.alfa.test", .noMailAddress),
    (
      "wrong-san", TestWorld.profile + "\nsubjectAltName=email:a@b.test,email:c@d.test",
      .wrongMailAddress(found: ["a@b.test", "c@d.test"], wanted: TestWorld.address)
    ),
    ("no-usage", "subjectAltName=email:\(TestWorld.address)", .keyUsage),
    ("other-usage", "keyUsage=keyEncipherment\nsubjectAltName=email:\(TestWorld.address)", .keyUsage),
    ("non-repudiation", "keyUsage=nonRepudiation\nsubjectAltName=email:\(TestWorld.address)", .keyUsage),
    ("server", TestWorld.profile + "\nextendedKeyUsage=serverAuth\nsubjectAltName=email:\(TestWorld.address)", .extendedKeyUsage),
    ("authority", TestWorld.profile + "\nbasicConstraints=CA:TRUE\nsubjectAltName=email:\(TestWorld.address)", .authority),
  ])
  func faultsOfCertificates(_ row: (name: String, extensions: String, fault: CredentialError.Fault)) throws {
    try world.issue(
      row.name, key: "signer", by: "middle", subject: "/C=IT/O=Alfa/emailAddress=\(TestWorld.address)", extensions: row.extensions)
    let error = fault(certificate: row.name + ".pem")
    #expect(error?.fault == row.fault)
    // What, where, what to do.
    #expect(error?.description.hasPrefix(world.path(row.name + ".pem") + ": ") == true)
    #expect(error?.advice.isEmpty == false)
  }

  // MARK: Warnings

  @Test func warnings() throws {
    let facts = try world.credentials().certificate
    let soon = try world.credentials(at: facts.notAfter - 29 * 86_400)
    #expect(soon.warnings.contains(.expiresSoon(on: facts.notAfter)))
    #expect(try !world.credentials(at: facts.notAfter - 31 * 86_400).warnings.contains(.expiresSoon(on: facts.notAfter)))
    #expect(
      try world.credentials(certificate: "signer.pem").warnings == [.issuerMissing(issuer: "C=IT, O=Test, CN=Test CA 1")])
    try world.write("stranger.pem", world.text("chain.pem") + world.text("other.pem"))
    #expect(
      try world.credentials(certificate: "stranger.pem").warnings == [.notInChain(subject: "C=IT, O=Beta, CN=Posta Certificata")])
    try world.write("open.key", world.text("signer.key"), mode: 0o644)
    #expect(try world.credentials(key: "open.key").warnings == [.keyReadableByOthers(path: world.path("open.key"), mode: 0o644)])
    try world.write("group.key", world.text("signer.key"), mode: 0o640)
    #expect(try world.credentials(key: "group.key").warnings.isEmpty)
    for warning in soon.warnings { #expect(!warning.description.isEmpty) }
  }

  @Test func departuresFromTheProfileAreWarnedAbout() throws {
    // The shape of a provider's real certificate of 2014 (`pec-rules` 11.3).
    try world.issue(
      "year2014", key: "signer", by: "middle", subject: "/C=IT/O=Alfa",
      extensions:
        "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nsubjectAltName=email:\(TestWorld.address)\nsubjectKeyIdentifier=none\nauthorityKeyIdentifier=none"
    )
    let warnings = try world.credentials(certificate: "year2014.pem").warnings
    #expect(warnings.contains(.profile("it has basicConstraints")))
    #expect(warnings.contains(.profile("its keyUsage is not critical")))
    #expect(warnings.contains(.profile("it has no subjectKeyIdentifier")))
    #expect(warnings.contains(.profile("it has no authorityKeyIdentifier")))
  }

  @Test func chainDatesAreWarnedAbout() throws {
    try world.issue(
      "short", key: "middle", by: "root", subject: "/C=IT/O=Test/CN=Test CA 1", days: 10,
      extensions:
        "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid")
    try world.write("short-chain.pem", world.text("signer.pem") + world.text("short.pem"))
    let warnings = try world.credentials(certificate: "short-chain.pem").warnings
    #expect(warnings.count == 1)
    guard case .chainDates(let subject, _, let notAfter) = try #require(warnings.first) else {
      Issue.record("another warning: \(warnings)")
      return
    }
    #expect(subject == "C=IT, O=Test, CN=Test CA 1")
    #expect(abs(notAfter - (world.now + 10 * 86_400)) < 3600)
    // With both editions of the authority's certificate in the file, the one that lasts is used.
    try world.write("both-chain.pem", world.text("signer.pem") + world.text("short.pem") + world.text("middle.pem"))
    let both = try world.credentials(certificate: "both-chain.pem")
    #expect(both.chain.map(\.notAfter).allSatisfy { $0 > world.now + 20_000 * 86_400 })
  }
}
