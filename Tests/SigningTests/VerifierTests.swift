import Foundation
import Octets
import Testing

@testable import Signing

@Suite struct VerifierTests {
  let world = TestWorld.shared
  static let content = "Content-Type: text/plain\r\n\r\nciao\r\n"

  /// What the command makes of `content` with these arguments.
  private func made(_ tool: String, _ name: String, _ arguments: String...) throws -> [UInt8] {
    try world.write("\(name).txt", VerifierTests.content)
    try world.openssl(
      [tool, "-sign", "-binary", "-outform", "DER", "-in", world.path("\(name).txt"), "-out", world.path("\(name).cms")] + arguments)
    return try world.octets("\(name).cms")
  }

  private var signer: [String] { ["-signer", world.path("signer.pem"), "-inkey", world.path("signer.key")] }

  private func verify(
    _ cms: [UInt8], _ content: String = VerifierTests.content, anchors: [String]? = ["root.pem"], at: Int64? = nil, now: Int64? = nil
  ) throws -> SignatureVerdict {
    SignatureVerifier.verify(
      cms: cms, content: [Chunk(content)], anchors: try anchors.map { try TrustAnchors(paths: $0.map(world.path)) }, at: at,
      now: now ?? world.now)
  }

  // MARK: What holds

  @Test(arguments: [
    ("cms", "sha1", "SHA-1"), ("cms", "sha256", "SHA-256"), ("cms", "sha384", "SHA-384"), ("cms", "sha512", "SHA-512"),
    ("smime", "sha1", "SHA-1"), ("smime", "sha256", "SHA-256"),
  ])
  func othersSignatures(_ row: (tool: String, digest: String, name: String)) throws {
    for (number, extra) in [[], ["-nosmimecap"], ["-noattr"]].enumerated() {
      try world.write("\(row.tool)-\(row.digest).txt", VerifierTests.content)
      let out = world.path("\(row.tool)-\(row.digest).cms")
      try world.openssl(
        [
          row.tool, "-sign", "-binary", "-outform", "DER", "-md", row.digest, "-in", world.path("\(row.tool)-\(row.digest).txt"), "-out",
          out,
          "-certfile", world.path("middle.pem"),
        ] + signer + extra)
      let cms = try world.octets("\(row.tool)-\(row.digest).cms")
      let verdict = try verify(number == 0 ? indefinite(cms) : cms)
      #expect(verdict.holds, "\(extra): \(verdict.sentences)")
      #expect(verdict.digestAlgorithm == row.name)
      #expect((verdict.signingTime == nil) == (extra == ["-noattr"]))
      #expect(verdict.signer?.mailAddresses == [TestWorld.address])
      #expect(
        verdict.chain
          == .good(
            path: [
              "C=IT, O=Gestore Però S.p.A., CN=Posta Certificata", "C=IT, O=Test, CN=Test CA 1", "C=IT, O=Test Root, CN=Test Root CA",
            ], remark: nil))
      let changed = try verify(cms, VerifierTests.content + " ")
      #expect(changed.mathematics == .bad(extra == ["-noattr"] ? .signatureMismatch : .contentChanged))
      #expect(!changed.holds)
    }
  }

  @Test func otherShapesThatHold() throws {
    #expect(
      try verify(
        made(
          "cms", "keyid", "-keyid", "-certfile", world.path("middle.pem"), "-signer", world.path("signer.pem"), "-inkey",
          world.path("signer.key"))
      ).holds)
    #expect(
      try verify(
        made(
          "cms", "pss", "-certfile", world.path("middle.pem"), "-signer", world.path("signer.pem"), "-inkey", world.path("signer.key"),
          "-keyopt", "rsa_padding_mode:pss")
      ).holds)
    // The intermediate is not in the message: it must come from the anchors.
    let bare = try made("cms", "bare", "-signer", world.path("signer.pem"), "-inkey", world.path("signer.key"))
    #expect(
      try verify(bare).chain
        == .bad(reason: "no certificate of its issuer was given", certificate: "C=IT, O=Gestore Però S.p.A., CN=Posta Certificata"))
    #expect(try verify(bare, anchors: ["root.pem", "middle.pem"]).holds)
    // An intermediate alone is an anchor, too.
    #expect(try verify(bare, anchors: ["middle.pem"]).holds)
    let unchecked = try verify(bare, anchors: nil)
    #expect(unchecked.mathematics == .good && unchecked.chain == .notChecked && !unchecked.holds)
  }

  // MARK: What is refused

  @Test func refusals() throws {
    let here = signer
    func refusal(_ cms: [UInt8]) throws -> SignatureVerdict.Refusal? {
      let verdict = try verify(cms)
      #expect(!verdict.holds && verdict.signer == nil)
      guard case .refused(let refusal) = verdict.mathematics else { return nil }
      #expect(!refusal.words.isEmpty)
      return refusal
    }
    #expect(try refusal(made("cms", "inside", "-nodetach", here[0], here[1], here[2], here[3])) == .contentInside)
    #expect(
      try refusal(
        made("cms", "several", here[0], here[1], here[2], here[3], "-signer", world.path("other.pem"), "-inkey", world.path("other.key")))
        == .severalSigners(2))
    #expect(try refusal(made("cms", "nocerts", "-nocerts", here[0], here[1], here[2], here[3])) == .certificateMissing)
    #expect(try refusal(made("cms", "md5", "-md", "md5", here[0], here[1], here[2], here[3])) == .digestAlgorithm("md5"))
    #expect(try refusal(made("cms", "sha224", "-md", "sha224", here[0], here[1], here[2], here[3])) == .digestAlgorithm("sha224"))
    #expect(
      try refusal(made("cms", "etype", "-econtent_type", "1.2.3.4", here[0], here[1], here[2], here[3])) == .contentType("1.2.3.4"))
    try world.openssl("crl2pkcs7", "-nocrl", "-certfile", world.path("signer.pem"), "-outform", "DER", "-out", world.path("certsonly.cms"))
    #expect(try refusal(world.octets("certsonly.cms")) == .noSigner)
    try world.openssl("cms", "-data_create", "-in", world.path("inside.txt"), "-outform", "DER", "-out", world.path("data.cms"))
    #expect(try refusal(world.octets("data.cms")) == .notSignedData("pkcs7-data"))
    try world.openssl(
      "cms", "-encrypt", "-in", world.path("inside.txt"), "-outform", "DER", "-out", world.path("secret.cms"), world.path("signer.pem"))
    #expect(try refusal(world.octets("secret.cms")) == .notSignedData("pkcs7-envelopedData"))
    #expect(
      try refusal([UInt8](repeating: 0x30, count: SignatureVerifier.maximumBytes + 1)) == .tooLarge(SignatureVerifier.maximumBytes + 1))
    for junk in [
      [], [0x30], [0x30, 0x80], Array("not a signature".utf8), [0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], [UInt8](repeating: 0x30, count: 5000),
    ] as [[UInt8]] {
      guard case .malformed = try refusal(junk) else {
        Issue.record("\(junk.prefix(8)) was read")
        continue
      }
    }
  }

  // MARK: What does not hold

  @Test func aForeignKeyOrACertificateInItsPlace() throws {
    let cms = try made(
      "cms", "swap", "-certfile", world.path("middle.pem"), "-signer", world.path("signer.pem"), "-inkey", world.path("signer.key"))
    // A certificate with the signer's issuer and serial number, for another key, put into the message in place of the real one.
    let serial = try world.openssl("x509", "-in", world.path("signer.pem"), "-noout", "-serial").text.split(separator: "=")[1]
      .trimmingCharacters(in: .newlines)
    try world.write("twin.ext", TestWorld.profile + "\nextendedKeyUsage=emailProtection\nsubjectAltName=email:\(TestWorld.address)")
    try world.openssl(
      "req", "-new", "-key", world.path("other.key"), "-subj", "/C=IT/O=Gestore Però S.p.A./CN=Posta Certificata", "-utf8", "-out",
      world.path("twin.csr"))
    try world.openssl(
      "x509", "-req", "-in", world.path("twin.csr"), "-CA", world.path("middle.pem"), "-CAkey", world.path("middle.key"), "-days", "35000",
      "-extfile", world.path("twin.ext"), "-out", world.path("twin.pem"), "-set_serial", "0x\(serial)")
    let der = try world.credentials().certificate.der
    let twin = [UInt8](try world.openssl("x509", "-in", world.path("twin.pem"), "-outform", "DER").output)
    let found = Scan.first(der, in: cms.span)
    let at = try #require(found)
    if twin.count == der.count {
      let swapped = Array(cms[..<at]) + twin + cms[(at + der.count)...]
      let verdict = try verify(swapped)
      #expect(verdict.mathematics == .bad(.signatureMismatch))
      #expect(verdict.signer?.sha1Fingerprint != (try verify(cms)).signer?.sha1Fingerprint)
    }
  }

  /// The attributes of a signature given out as content: without attributes the same signature would be good for them.
  @Test func attributesAreNotContent() throws {
    let pool = try SignerPool(credentials: world.credentials(), threads: 1, batch: 1)
    defer { pool.stop() }
    let credentials = try world.credentials()
    let algorithm = try #require(DigestAlgorithm.sha256)
    let digest = try #require(Hasher(algorithm).digest(Array("x".utf8)))
    let attributes = try #require(credentials.skeleton.attributes(signingTime: world.now, messageDigest: digest))
    let forged = credentials.skeleton.signedOctets(attributes: attributes)
    let signature = try signed(pool, [Chunk("x")], at: world.now).suffix(256)
    // A SignedData as `cms -noattr` writes it, with that signature in it.
    var plain = try made("cms", "plain", "-noattr", "-signer", world.path("signer.pem"), "-inkey", world.path("signer.key"))
    plain.replaceSubrange((plain.count - 256)..., with: signature)
    let verdict = SignatureVerifier.verify(cms: plain, content: [Chunk(forged)], anchors: nil, at: nil, now: world.now)
    #expect(verdict.mathematics == .bad(.attributes("without signed attributes the content may be the attributes of another signature")))
  }

  @Test func damage() throws {
    let pool = try SignerPool(credentials: world.credentials(), threads: 1, batch: 1)
    let good = try signed(pool, [Chunk(VerifierTests.content)], at: world.now)
    pool.stop()
    let anchors = try TrustAnchors(paths: [world.path("root.pem")])
    func verdict(_ cms: [UInt8], _ content: String = VerifierTests.content) -> SignatureVerdict {
      SignatureVerifier.verify(cms: cms, content: [Chunk(content)], anchors: anchors, at: nil, now: world.now)
    }
    let whole = verdict(good)
    #expect(whole.holds)
    // Every octet of attributes and signature matters.
    for at in (good.count - 256 - 19 - 105)..<good.count where at % 3 == 0 {
      var spoiled = good
      spoiled[at] ^= 1
      let spoiledVerdict = verdict(spoiled)
      if spoiledVerdict.holds, at >= good.count - 256 || at < good.count - 256 - 19 { Issue.record("octet \(at) does not matter") }
    }
    // Wherever an octet is changed, what still holds is the same signer's word for the same content and time.
    let seed = Entropy.word()
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<600 {
      var spoiled = good
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        spoiled[Int.random(in: 0..<spoiled.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      if Bool.random(using: &generator) { spoiled.removeLast(Int.random(in: 0..<200, using: &generator)) }
      let found = verdict(spoiled)
      if found.holds {
        #expect(found.signer == whole.signer && found.signingTime == whole.signingTime, "seed \(seed)")
      }
    }
    for count in stride(from: 0, to: good.count, by: 37) { #expect(!verdict(Array(good.prefix(count))).holds) }
    for content in ["", "x", VerifierTests.content.replacingOccurrences(of: "\r\n", with: "\n"), VerifierTests.content.uppercased()] {
      #expect(verdict(good, content).mathematics == .bad(.contentChanged))
    }
  }

  // MARK: Time and chain

  @Test func judgedAtTheMessagesOwnTime() throws {
    let credentials = try world.credentials()
    let facts = credentials.certificate
    let pool = try SignerPool(credentials: credentials, threads: 1, batch: 1)
    defer { pool.stop() }
    let cms = try signed(pool, [Chunk(VerifierTests.content)], at: world.now)
    let fresh = try verify(cms)
    #expect(fresh.holds && !fresh.expiredSince && fresh.judgedAt == world.now)
    // Thirty months on, or a hundred years: it holds, and the expiry is told.
    let later = try verify(cms, now: facts.notAfter + 1000)
    #expect(later.holds && later.expiredSince)
    #expect(later.sentences.contains { $0.contains("it has expired since") })
    let early = try verify(cms, at: facts.notBefore - 1)
    #expect(!early.holds && early.validity == .notYetValid && early.mathematics == .good)
    let late = try verify(cms, at: facts.notAfter + 1)
    #expect(!late.holds && late.validity == .expired)
    for time in [Int64.min, .max] { #expect(try !verify(cms, at: time, now: time).holds) }
  }

  @Test func chainsThatDoNotHold() throws {
    try world.openssl(
      "req", "-x509", "-key", world.path("other.key"), "-subj", "/C=IT/O=Test Root/CN=Test Root CA", "-days", "3650", "-out",
      world.path("false-root.pem"))
    let cms = try made(
      "cms", "chain", "-certfile", world.path("middle.pem"), "-signer", world.path("signer.pem"), "-inkey", world.path("signer.key"))
    guard case .bad = try verify(cms, anchors: ["false-root.pem"]).chain else {
      Issue.record("an authority of the same name was believed")
      return
    }
    guard case .bad = try verify(cms, anchors: ["other.pem"]).chain else {
      Issue.record("a stranger was believed")
      return
    }
    // A message that brings its own root.
    try world.write("own-root.pem", world.text("middle.pem") + world.text("root.pem"))
    let own = try made(
      "cms", "own", "-certfile", world.path("own-root.pem"), "-signer", world.path("signer.pem"), "-inkey", world.path("signer.key"))
    #expect(
      try verify(own, anchors: ["false-root.pem"]).chain
        == .bad(reason: "it ends in a certificate that vouches for itself", certificate: "C=IT, O=Test Root, CN=Test Root CA"))
    // A certificate for servers signs no mail.
    try world.issue(
      "webserver", key: "other", by: "middle", subject: "/CN=www.alfa.test",
      extensions: "keyUsage=digitalSignature\nextendedKeyUsage=serverAuth\nsubjectAltName=email:\(TestWorld.address)")
    try world.write("web.txt", VerifierTests.content)
    let web = try made(
      "cms", "web", "-certfile", world.path("middle.pem"), "-signer", world.path("webserver.pem"), "-inkey", world.path("other.key"))
    #expect(try verify(web).chain == .bad(reason: "it is not meant for signing mail", certificate: "CN=www.alfa.test"))
    // A signer's certificate is no authority.
    try world.issue(
      "vassal", key: "other", by: "signer", subject: "/CN=vassal",
      extensions: TestWorld.profile + "\nsubjectAltName=email:\(TestWorld.address)")
    let vassal = try made(
      "cms", "vassal", "-certfile", world.path("chain.pem"), "-signer", world.path("vassal.pem"), "-inkey", world.path("other.key"))
    guard case .bad = try verify(vassal).chain else {
      Issue.record("a certificate issued by a signer was believed")
      return
    }
  }

  /// AgID's authority was issued anew with the same key (`pec-rules` 11.4): old messages go back to the new certificate.
  @Test func anAnchorOfALaterEdition() throws {
    try world.write("later.ext", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash")
    let facts = try world.credentials().certificate
    try world.openssl(
      "req", "-new", "-key", world.path("middle.key"), "-subj", "/C=IT/O=Test/CN=Test CA 1", "-out", world.path("later.csr"))
    try world.openssl(
      "x509", "-req", "-in", world.path("later.csr"), "-CA", world.path("root.pem"), "-CAkey", world.path("root.key"), "-days", "1",
      "-extfile", world.path("later.ext"), "-set_serial", "77", "-out", world.path("edition.pem"))
    let pool = try SignerPool(credentials: world.credentials(certificate: "signer.pem"), threads: 1, batch: 1)
    defer { pool.stop() }
    // Signed when that edition has long run out; the signer's own certificate is valid.
    let time = facts.notAfter - 100
    let cms = try signed(pool, [Chunk(VerifierTests.content)], at: time)
    let verdict = try verify(cms, anchors: ["edition.pem"])
    #expect(verdict.holds)
    guard case .good(_, let remark) = verdict.chain else { return }
    #expect(remark?.contains("whose own certificate is dated") == true)
  }

  @Test func anchorsThatCannotBeRead() throws {
    #expect(throws: CredentialError.self) { try TrustAnchors(paths: [world.path("nowhere.pem")]) }
    #expect(throws: CredentialError.self) { try TrustAnchors(paths: [world.path("root.pem"), world.path("signer.key")]) }
    #expect(try TrustAnchors(paths: [world.path("root.pem")]).subjects == ["C=IT, O=Test Root, CN=Test Root CA"])
    let der = try world.credentials().certificate.der
    #expect(TrustAnchors(certificates: [der])?.subjects.count == 1)
    #expect(TrustAnchors(certificates: [der, [1, 2]]) == nil)
    #expect(CertificateFacts(der: der + [0]) == nil)
  }

  @Test func plainWords() throws {
    let cms = try made(
      "cms", "words", "-certfile", world.path("middle.pem"), "-signer", world.path("signer.pem"), "-inkey", world.path("signer.key"))
    let sentences = try verify(cms).sentences.joined(separator: "\n")
    for part in ["not an octet was changed", "SHA-256", TestWorld.address, "Test Root CA", "revocation was not looked up"] {
      #expect(sentences.contains(part))
    }
    #expect(try verify(cms, "other").sentences[0].contains("changed after it was signed"))
    #expect(try verify([1]).sentences.count == 1)
  }
}
