import Evidence
import Extracts
import Foundation
import Journey
import Octets
import PEC
import Signing
import Testing

@testable import Sealing

/// Signers and lists of bundles that must not be believed, made by the `openssl` command.
private struct Forgery: Sendable {
  static let made = Result { try Forgery() }
  static let day: Int64 = 86_400
  /// When `old.pem` was valid: up to ten days ago.
  static let oldTime = SealWorld.now - 100 * day

  let folder: String

  private init() throws {
    let world = SealWorld.shared
    folder = world.path("forgery-\(UUID().uuidString)")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try write("serial", "01\n")
    try write(
      "ca.cnf",
      """
      [ca]
      default_ca = own
      [own]
      database = \(folder)/index.txt
      new_certs_dir = \(folder)
      serial = \(folder)/serial
      certificate = \(world.path("root.pem"))
      private_key = \(world.path("root.key"))
      default_md = sha256
      default_crl_days = 30
      unique_subject = no
      policy = any
      [any]
      countryName = optional
      organizationName = optional
      commonName = supplied
      [mail]
      subjectKeyIdentifier = hash
      authorityKeyIdentifier = keyid
      keyUsage = critical,digitalSignature
      extendedKeyUsage = emailProtection
      subjectAltName = email:\(SealWorld.address)

      """)
    try write("index.txt", "")
    let now = SealWorld.now
    try issue("old", "/C=IT/O=\(SealWorld.provider)/CN=Old", from: Forgery.oldTime - Forgery.day, to: now - 10 * Forgery.day)
    try issue("young", "/C=IT/O=\(SealWorld.provider)/CN=Young", from: now - Forgery.day, to: now + 90 * Forgery.day)
    try issue("beta", "/C=IT/O=Gestore Beta/CN=Beta", from: now - Forgery.day, to: now + 90 * Forgery.day)
    try list("revoking", of: world.path("signer.pem"), at: now - Forgery.day)
    try list("later", of: world.path("signer.pem"), at: now + Forgery.day)
  }

  private func write(_ name: String, _ text: String) throws {
    try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
  }

  private func openssl(_ arguments: String...) throws -> String {
    let made = try run("openssl", arguments, in: folder)
    guard made.status == 0 else { throw WorldError(text: arguments.joined(separator: " ") + "\n" + made.text) }
    return made.text
  }

  private static func digits(_ unixSeconds: Int64) -> String {
    Instant(unixSeconds: unixSeconds, utcOffsetSeconds: 0).compactUTC + "Z"
  }

  private func issue(_ name: String, _ subject: String, from: Int64, to: Int64) throws {
    _ = try openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "\(name).key")
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: "\(folder)/\(name).key")
    _ = try openssl("req", "-new", "-key", "\(name).key", "-subj", subject, "-utf8", "-out", "\(name).csr")
    _ = try openssl(
      "ca", "-batch", "-notext", "-config", "ca.cnf", "-extensions", "mail", "-extfile", "ca.cnf", "-startdate", Forgery.digits(from),
      "-enddate", Forgery.digits(to), "-in", "\(name).csr", "-out", "\(name).pem", "-preserveDN")
  }

  /// `NAME.crl`, in which a certificate is revoked since a time.
  private func list(_ name: String, of certificate: String, at: Int64) throws {
    let serial = try openssl("x509", "-in", certificate, "-noout", "-serial").split(separator: "=")[1].trimmingCharacters(in: .newlines)
    try write("index.txt", "R\t401231235959Z\t\(Forgery.digits(at).dropFirst(2)),keyCompromise\t\(serial)\tunknown\t/CN=x\n")
    _ = try openssl("ca", "-gencrl", "-config", "ca.cnf", "-out", "\(name).crl")
  }

  func octets(_ name: String) throws -> [UInt8] { try [UInt8](Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)"))) }

  func credentials(_ name: String, at: Int64) throws -> SignerCredentials {
    try SignerCredentials(
      keyPath: "\(folder)/\(name).key", certificatePath: "\(folder)/\(name).pem", serviceAddress: SealWorld.address, now: at)
  }
}

/// Bundles that are whole in themselves, and must not be believed.
@Suite struct ForgedBundleTests {
  let world = SealWorld.shared
  private let forgery: Forgery
  init() throws { forgery = try Forgery.made.get() }

  private func kept(_ list: [UInt8]?) throws -> @Sendable () -> KeptFiles {
    let root = try world.octets("root.pem")
    return { KeptFiles(certificates: root, revocationLists: list.map { [(name: "test-ca.crl", octets: $0)] } ?? []) }
  }

  /// A bundle with one seal.
  /// - Parameters:
  ///   - sealer: who seals, and what its manifest says of when.
  ///   - signer: who signs the list of contents.
  ///   - lists: the revocation lists kept with the seal and with the list of contents.
  private func bundle(
    sealer: SignerCredentials? = nil, at: Int64? = nil, signer: SignerCredentials? = nil, isStamped: Bool = true,
    lists: (seal: [UInt8]?, contents: [UInt8]?)? = nil
  ) throws -> [BundleFile] {
    let desk = try Desk()
    desk.settings.timeStamps.authorities = [world.authority("tsa")]
    let good = try world.octets("root.crl")
    try desk.ledger.commit((1...3).map { .event(Desk.event($0)) })
    let instant = Instant(unixSeconds: at ?? SealWorld.now, utcOffsetSeconds: 3600)
    let ours = try sealer ?? world.credentials()
    let own = Sealer(
      ledger: desk.ledger, store: desk.store, credentials: ours, settings: desk.settings,
      provider: SealWorld.provider, keep: try kept(lists == nil ? good : lists?.seal))
    let (_, changes) = try #require(try own.make(reason: .asked, at: instant))
    try desk.ledger.commit(changes)
    if isStamped { try desk.stamp() }
    let rows = try desk.ledger.events(after: 0).filter { !$0.kind.isAboutTheLog }
    let theirs = try signer ?? world.credentials()
    let maker = ExtractMaker(
      ledger: desk.ledger, store: desk.store, credentials: theirs, provider: SealWorld.provider,
      keep: try kept(lists == nil ? good : lists?.contents))
    let order = ExtractMaker.Order(holder: "anna@pec.alfa.test", reason: "su richiesta del titolare", question: [], rows: rows)
    return try maker.files(order, at: desk.instant)
  }

  private func authorities(_ signers: [String] = ["root.pem"], _ stamps: [String] = ["tsaroot.pem"]) throws -> BundleAuthorities {
    try BundleAuthorities(signers: signers.map(world.path), stamps: stamps.map(world.path))
  }

  /// What is said of a bundle with the authorities given, and without.
  private func both(_ files: [BundleFile]) throws -> [BundleReport] {
    [
      BundleVerifier.verify(files: files, authorities: try authorities(), at: SealWorld.now),
      BundleVerifier.verify(files: files, at: SealWorld.now),
    ]
  }

  private func script(_ files: [BundleFile], _ arguments: String...) throws -> Run {
    let folder = world.path("script-\(UUID().uuidString)")
    try ExtractMaker.write(files, folder: folder)
    return try run("sh", ["verifica.sh"] + arguments, in: folder)
  }

  @Test func anHonestOneHolds() throws {
    let files = try bundle()
    let report = try both(files)[0]
    #expect(report.faults == [] && report.remarks == [], "\(report.faults) \(report.remarks)")
    #expect(report.lines.filter { $0.contains("was not revoked") }.count == 2)
    #expect(try script(files).text.contains("VERIFICA RIUSCITA.\n"))
  }

  @Test func aSealIsJudgedAtTheTimeOfItsStamp() throws {
    // Its key was to be put away ten days ago; it says that it signed before, and the stamp is of today.
    let old = try bundle(sealer: forgery.credentials("old", at: Forgery.oldTime), at: Forgery.oldTime)
    for report in try both(old) {
      #expect(report.faults.map(\.file) == ["sigilli/1/sigillo.p7m"], "\(report.faults)")
      #expect(report.faults.allSatisfy { $0.words.contains("CN=Old is valid from") })
    }
    #expect(try script(old).status == 1)
    // Without a stamp nothing is known but its own word.
    let unstamped = try bundle(sealer: forgery.credentials("old", at: Forgery.oldTime), at: Forgery.oldTime, isStamped: false)
    for report in try both(unstamped) {
      #expect(report.faults == [] && report.remarks.contains { $0.contains("its time is its signer's word") }, "\(report.faults)")
    }
  }

  @Test func aSealIsNotYoungerThanItsStamp() throws {
    for report in try both(bundle(at: SealWorld.now + 600)) {
      #expect(report.faults.map(\.file) == ["sigilli/1/marca-1.tst"] && report.faults[0].words.contains("older than the seal"))
    }
    #expect(try both(bundle(at: SealWorld.now + 40)).allSatisfy { $0.faults == [] })
    // Stamps may come late.
    let young = try bundle(sealer: forgery.credentials("young", at: SealWorld.now), at: SealWorld.now - Forgery.day / 2)
    #expect(try both(young).allSatisfy { $0.faults == [] })
  }

  @Test func aRevokedSignerIsNotBelieved() throws {
    let (good, revoking) = (try world.octets("root.crl"), try forgery.octets("revoking.crl"))
    let seal = try bundle(lists: (seal: revoking, contents: good))
    for report in try both(seal) {
      #expect(report.faults.map(\.file) == ["sigilli/1/sigillo.p7m"], "\(report.faults)")
      #expect(report.faults.allSatisfy { $0.words.contains("had been revoked") && $0.words.contains("key compromise") })
    }
    #expect(try script(seal).text.contains("ERRORE  sigilli/1/revoche: il certificato del firmatario era revocato"))
    let contents = try bundle(lists: (seal: good, contents: revoking))
    for report in try both(contents) { #expect(report.faults.map(\.file) == ["contenuto.p7m"], "\(report.faults)") }
    #expect(try script(contents).status == 1)
    // One who trusts the certificate itself is told all the same.
    let pinned = BundleVerifier.verify(files: seal, authorities: try authorities(["signer.pem"]), at: SealWorld.now)
    #expect(pinned.faults.map(\.file) == ["sigilli/1/sigillo.p7m"], "\(pinned.faults)")
  }

  @Test func listsThatSayNothingAreRemarkedOn() throws {
    let (good, later) = (try world.octets("root.crl"), try forgery.octets("later.crl"))
    func remarks(_ list: [UInt8]?) throws -> [[String]] {
      try both(bundle(lists: (seal: list, contents: good))).map { report in
        #expect(report.faults == [], "\(report.faults)")
        return report.remarks.filter { $0.hasPrefix("sigilli/1/revoche") }
      }
    }
    for found in try remarks(nil) { #expect(found.count == 1 && found[0].contains("there is no revocation list")) }
    for found in try remarks(Array("no list".utf8)) {
      #expect(found.contains { $0.hasPrefix("sigilli/1/revoche/test-ca.crl: ") }, "\(found)")
      #expect(found.contains { $0.contains("there is no list of") }, "\(found)")
    }
    for found in try remarks(later) { #expect(found.count == 1 && found[0].contains("later than the time of the signature"), "\(found)") }
  }

  @Test func anotherProviderOfTheSameAuthorityCannotSignForThisOne() throws {
    let beta = try forgery.credentials("beta", at: SealWorld.now)
    let files = try bundle(sealer: beta, signer: beta)
    let (given, alone) = (try both(files)[0], try both(files)[1])
    #expect(Set(given.faults.map(\.file)) == ["contenuto.p7m", "sigilli/1/sigillo.p7m"], "\(given.faults)")
    #expect(given.faults.allSatisfy { $0.words.hasSuffix("does not name \(SealWorld.provider)") })
    #expect(alone.faults == [] && alone.remarks.filter { $0.contains("does not name") }.count == 2)
  }

  @Test func signersAndTimeStampsHaveTheirOwnAuthorities() throws {
    let files = try bundle()
    func faulty(_ signers: [String], _ stamps: [String]) throws -> Set<String> {
      Set(BundleVerifier.verify(files: files, authorities: try authorities(signers, stamps), at: SealWorld.now).faults.map(\.file))
    }
    let stamps: Set<String> = ["sigilli/1/marca-1.tst", "sigilli/1/evidenza.er"]
    #expect(try faulty(["root.pem"], ["tsaroot.pem"]) == [])
    #expect(try faulty(["root.pem", "tsaroot.pem"], []) == [])
    #expect(try faulty(["root.pem"], []) == stamps)
    #expect(try faulty(["root.pem", "tsaroot.pem"], ["root.pem"]) == stamps)
    #expect(try faulty(["tsaroot.pem"], ["tsaroot.pem"]) == ["contenuto.p7m", "sigilli/1/sigillo.p7m"])
    let unsigned = BundleVerifier.verify(files: files, authorities: try authorities([], ["tsaroot.pem"]), at: SealWorld.now)
    #expect(unsigned.faults == [] && unsigned.remarks.contains { $0.contains("vouches for its signers:") }, "\(unsigned.remarks)")
    #expect(throws: BundleAuthoritiesError.self) { try authorities(["signer.key"]) }
    #expect(throws: BundleAuthoritiesError.self) { try authorities(["root.pem"], ["nowhere.pem"]) }
  }

  @Test func numbersOfAnySizeAreJudged() throws {
    for isStamped in [true, false] {
      let files = try bundle(isStamped: isStamped)
      let place = try #require(files.firstIndex { $0.path == "sigilli/1/manifesto.json" })
      let manifest = try SealManifest(reading: files[place].octets)
      for seconds in [Int64.min, .max, 1 << 62, -62_135_510_401] {
        var crafted = manifest
        crafted.madeAt = Instant(unixSeconds: seconds, utcOffsetSeconds: .max)
        crafted.from = Instant(unixSeconds: .min, utcOffsetSeconds: .min)
        crafted.first = .max - 10
        crafted.last = .max
        var changed = files
        changed[place].octets = crafted.octets
        _ = try SealManifest(reading: crafted.octets)
        for report in try both(changed) { #expect(report.faults.contains { $0.file == "sigilli/1/sigillo.p7m" }) }
      }
    }
    var files = try bundle()
    let place = try #require(files.firstIndex { $0.path == "certificati/gestore.pem" })
    files[place].octets = Array((0..<300).flatMap { _ in files[place].octets })
    #expect(try both(files)[0].faults.contains { $0.words == "it has more than 256 certificates" })
  }
}
