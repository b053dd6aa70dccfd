import Foundation
import Octets
import Testing

@testable import Signing

@Suite struct JudgeTests {
  let world = TestWorld.shared
  static let content = "Content-Type: text/plain\r\n\r\nciao\r\n"

  private func judge(_ names: String..., lists: RevocationLists = RevocationLists()) throws -> SignatureJudge {
    SignatureJudge(anchors: try TrustAnchors(paths: names.map { world.path($0 + ".pem") }), lists: lists)
  }

  private func judged(_ judge: SignatureJudge, _ cms: [UInt8], _ content: String = JudgeTests.content, at: Int64? = nil) -> SignatureVerdict
  {
    judge.judge(cms: cms, content: [Chunk(content)], at: at ?? world.now, now: world.now)
  }

  /// A judge that remembers, one that does not, and the verifier say the same of every octet string.
  @Test func whatIsRememberedChangesNothing() throws {
    let anchors = try world.anchors("root")
    let lists = RevocationLists()
    let warm = SignatureJudge(anchors: anchors, lists: lists)
    var shapes: [[UInt8]] = []
    for (number, arguments) in [
      [], ["-md", "sha1"], ["-md", "sha512"], ["-noattr"], ["-keyid"], ["-nodetach"], ["-nocerts"], ["-keyopt", "rsa_padding_mode:pss"],
    ].enumerated() {
      let cms = try world.signature("same\(number)", of: JudgeTests.content, arguments)
      shapes += [cms, indefinite(cms)]
    }
    shapes.append(try world.signature("same-alone", of: JudgeTests.content, with: []))
    shapes.append(try world.signature("same-other", of: JudgeTests.content, by: "other", with: ["root", "signer", "middle"]))
    let seed = Entropy.word()
    var generator = SeededGenerator(seed: seed)
    for round in 0..<12 {
      for shape in shapes {
        var cms = shape
        if round > 1 {
          for _ in 0..<Int.random(in: 1...3, using: &generator) {
            cms[Int.random(in: 0..<cms.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
          }
        }
        let cold = SignatureVerifier.verify(
          cms: cms, content: [Chunk(JudgeTests.content)], anchors: anchors, lists: lists, at: world.now, now: world.now)
        #expect(judged(warm, cms) == cold, "seed \(seed)")
        let early = world.now - 5_000_000
        let coldEarly = SignatureVerifier.verify(
          cms: cms, content: [Chunk(JudgeTests.content)], anchors: anchors, lists: lists, at: early, now: world.now)
        #expect(judged(warm, cms, at: early) == coldEarly, "seed \(seed)")
      }
    }
  }

  /// The intermediate that one message brought does not help another: the verdict is of the message alone.
  @Test func aMessageIsJudgedByWhatItBrings() throws {
    let judge = try judge("root")
    #expect(judged(judge, try world.signature("whole", of: JudgeTests.content)).holds)
    let bare = judged(judge, try world.signature("parts", of: JudgeTests.content, with: []))
    #expect(
      bare.chain
        == .bad(reason: "no certificate of its issuer was given", certificate: "C=IT, O=Gestore Però S.p.A., CN=Posta Certificata"))
  }

  @Test func theFingerprintIsOfContentAndSigner() throws {
    let judge = try judge("root", "middle")
    let sha256 = judged(judge, try world.signature("finger", of: JudgeTests.content))
    let sha1 = judged(judge, try world.signature("finger1", of: JudgeTests.content, with: [], ["-md", "sha1"]))
    try world.write("finger.txt", JudgeTests.content)
    let digest = try world.openssl("dgst", "-sha256", "-binary", world.path("finger.txt")).output
    #expect(sha256.contentDigest == [UInt8](digest) && sha1.contentDigest == [UInt8](digest))
    try world.write("finger.both", [UInt8](digest) + (try world.credentials().certificate.der))
    let fingerprint = try world.openssl("dgst", "-sha256", "-r", world.path("finger.both")).text.prefix(64)
    // Signed twice, by other algorithms and at other times: the same content and signer.
    #expect(sha256.fingerprint == String(fingerprint) && sha1.fingerprint == String(fingerprint))
    #expect(judged(judge, try world.signature("finger2", of: JudgeTests.content, by: "other")).fingerprint != sha256.fingerprint)
    #expect(judged(judge, try world.signature("finger3", of: "other"), "other").fingerprint != sha256.fingerprint)
    #expect(judged(judge, [1, 2, 3]).fingerprint == nil)
    #expect(ContentDigest.sha1([Chunk("a"), .empty, Chunk("bc")]) == Array(hex: "a9993e364706816aba3e25717850c26c9cd0d89d"))
    #expect(
      ContentDigest.sha256([Chunk("abc")]) == Array(hex: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
  }

  // MARK: Paths

  /// AgID's intermediate was issued anew several times with the same key, and an authority may change its key and keep its name
  /// (`pec-rules` 11.4): whatever else a message brings, in whatever order, the path is found.
  @Test func pathsAmongManyIntermediates() throws {
    let authority = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
    // The same key: an edition that ends before the message, and later ones.
    for (name, days) in [("edition1", 4000), ("edition2", 8000)] {
      try world.issue(
        name, key: "middle", by: "root", subject: "/C=IT/O=Test/CN=Test CA 1", days: days,
        extensions: authority + "authorityKeyIdentifier=keyid")
    }
    // The same name: another key of the same authority, and certificates nobody issued, one with the right key identifier.
    try world.issue(
      "rekeyed", key: "other", by: "root", subject: "/C=IT/O=Test/CN=Test CA 1", extensions: authority + "authorityKeyIdentifier=keyid")
    try world.openssl(
      "req", "-x509", "-key", world.path("other.key"), "-subj", "/C=IT/O=Test/CN=Test CA 1", "-days", "3650", "-out",
      world.path("decoy1.pem"))
    let identifier = try world.openssl("x509", "-in", world.path("middle.pem"), "-noout", "-ext", "subjectKeyIdentifier").text
      .split(separator: "\n")[1].trimmingCharacters(in: .whitespaces)
    try world.write(
      "decoy2.cnf",
      "[req]\ndistinguished_name=name\n[name]\n[decoy]\nbasicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=\(identifier)\n")
    try world.openssl(
      "req", "-x509", "-key", world.path("other.key"), "-subj", "/C=IT/O=Test/CN=Test CA 1", "-days", "3650", "-out",
      world.path("decoy2.pem"), "-config", world.path("decoy2.cnf"), "-extensions", "decoy")
    // A signer without any key identifier: only the key itself tells who issued it.
    try world.issue(
      "plain", key: "signer", by: "middle", subject: "/C=IT/O=Plain", days: 30000,
      extensions:
        "keyUsage=digitalSignature\nbasicConstraints=CA:FALSE\nsubjectAltName=email:\(TestWorld.address)\nauthorityKeyIdentifier=none")
    let judge = try judge("root")
    for (number, others) in [
      ["middle"], ["decoy1", "decoy2", "rekeyed", "middle"], ["rekeyed", "middle", "decoy2"], ["edition1", "edition2"],
      ["decoy2", "edition2", "rekeyed", "edition1", "middle", "root"],
    ].enumerated() {
      for signer in ["signer", "plain"] {
        let cms = try world.signature("many-\(signer)\(number)", of: JudgeTests.content, by: signer, key: "signer", with: others)
        let verdict = judged(judge, cms)
        #expect(verdict.holds, "\(signer) with \(others): \(verdict.sentences)")
        // When the first edition has ended another one serves, if the message has it.
        if others.contains("middle") {
          let later = world.now + 86_400 * 5000
          #expect(judged(judge, cms, at: later).holds, "\(signer) with \(others), later")
        }
      }
    }
    for others in [["decoy1"], ["decoy2"], ["rekeyed"], ["decoy1", "decoy2", "rekeyed"]] {
      let cms = try world.signature("none-\(others.joined())", of: JudgeTests.content, with: others)
      guard case .bad = judged(judge, cms).chain else {
        Issue.record("\(others) vouched for the signer")
        continue
      }
    }
    let short = try world.signature("short-edition", of: JudgeTests.content, with: ["edition1"])
    #expect(judged(judge, short).holds)
    // Remembered as good, and not good any more when the edition has ended.
    let ended = judged(judge, short, at: world.now + 86_400 * 5000)
    #expect(ended.chain == .bad(reason: "it had expired by then", certificate: "C=IT, O=Test, CN=Test CA 1"))
    #expect(judged(judge, short).holds)
  }

  /// The signer's certificate and the one above it ended while the message was on its way (`pec-rules` 11.5): the path is that of the
  /// message's own time, and nothing else is better for it.
  @Test func aPathThatEndedWithItsSigner() throws {
    let authority = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
    try world.issue(
      "brief-middle", key: "middle", by: "root", subject: "/C=IT/O=Test/CN=Test CA 1", days: 11,
      extensions: authority + "authorityKeyIdentifier=keyid")
    try world.issue("brief-signer", key: "signer", by: "middle", subject: "/C=IT/O=Alfa", days: 10, extensions: TestWorld.profile)
    let cms = try world.signature("brief-path", of: JudgeTests.content, by: "brief-signer", key: "signer", with: ["brief-middle"])
    let (valid, late) = (world.now + 86_400, world.now + 86_400 * 12)
    func judged(_ judge: SignatureJudge, at: Int64, certified: Int64?) -> SignatureVerdict {
      judge.judge(cms: cms, content: [Chunk(JudgeTests.content)], at: at, now: at, certified: certified)
    }
    let lists = RevocationLists()
    // One that remembers the path from the day when all was well, and one that has never seen it.
    let warm = try judge("root", lists: lists)
    #expect(judged(warm, at: valid, certified: nil).holds)
    for judge in [warm, try judge("root", lists: lists)] {
      let certified = judged(judge, at: late, certified: valid)
      #expect(certified.chain == judged(judge, at: valid, certified: nil).chain)
      #expect(certified.mathematics == .good && certified.validity == .expired && certified.judgedAt == late && !certified.holds)
      // No time, or one when the certificate was not valid: the path is judged at arrival.
      for other in [nil, late, world.now + 86_400 * 11, 0, .min, .max] as [Int64?] {
        let found = judged(judge, at: late, certified: other)
        #expect(found.chain == .bad(reason: "it had expired by then", certificate: "C=IT, O=Test, CN=Test CA 1"))
      }
      // Of a certificate that is valid the message's own time says nothing.
      #expect(judged(judge, at: valid, certified: 0) == judged(judge, at: valid, certified: nil))
    }
    // Revoked since the message's own time is revoked.
    _ = try lists.load(
      world.list("brief", [Revoked(certificate: "brief-signer", at: valid + 3600)]), named: "brief", anchors: world.anchors("middle"))
    let revoked = judged(try judge("root", lists: lists), at: late, certified: valid)
    #expect(revoked.isRevoked)
    guard case .good = revoked.chain else {
      Issue.record("\(revoked.sentences)")
      return
    }
  }

  /// `pec-rules` 11.2 and 11.3: the certificates of twenty years.
  @Test func certificatesThatBreakTheProfile() throws {
    try world.key("short", bits: 1024)
    try world.issue(
      "of2014", key: "short", by: "middle", subject: "/C=IT/O=Alfa/CN=Posta Certificata/emailAddress=\(TestWorld.address)",
      extensions: "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,nonRepudiation\nsubjectAltName=email:\(TestWorld.address)")
    let judge = try judge("root")
    #expect(judged(judge, try world.signature("of2014", of: JudgeTests.content, by: "of2014", key: "short", ["-md", "sha1"])).holds)
    try world.issue("of1999", key: "short", by: "middle", subject: "/CN=nothing", extensions: "")
    let bare = judged(judge, try world.signature("of1999", of: JudgeTests.content, by: "of1999", key: "short"))
    #expect(bare.holds && bare.signer?.mailAddresses == [])
  }

  // MARK: Hostile

  @Test func moreCertificatesThanAnybodySends() throws {
    let judge = try judge("root")
    var names = (0..<15).map { "crowd\($0)" }
    for name in names {
      try world.issue(name, key: "other", by: "middle", subject: "/CN=\(name)", extensions: TestWorld.profile)
    }
    names[14] = "middle"
    let most = judged(judge, try world.signature("crowd", of: JudgeTests.content, with: names))
    #expect(most.holds)
    let more = judged(judge, try world.signature("crowds", of: JudgeTests.content, with: names + ["crowd14"]))
    #expect(more.mathematics == .refused(.malformed("it has broken or more than 16 certificates")))
  }

  @Test func lengthsThatDoNotFit() throws {
    let judge = try judge("root")
    let cms = try world.signature("lengths", of: JudgeTests.content)
    let long = indefinite(cms)
    #expect(judged(judge, long).holds)
    // Octets after the end are not part of it, as ever.
    #expect(judged(judge, cms + [0, 0]).holds && judged(judge, long + [1, 2, 3]).holds)
    for count in 0..<long.count where count % 5 == 0 || count > long.count - 8 {
      #expect(!judged(judge, Array(long.prefix(count))).holds)
    }
    // Lengths that fit the octets, and not one another.
    let data = Array(cms[19...])
    #expect(DER.element(DER.sequence, DER.idSignedData, DER.element(DER.context0, data)) == cms)
    let more: [[UInt8]] = [
      DER.element(DER.sequence, DER.idSignedData, DER.element(DER.context0, data, DER.null)),
      DER.element(DER.sequence, DER.idSignedData, DER.element(DER.context0, data), DER.null),
      DER.element(DER.sequence, DER.idSignedData, DER.element(DER.context0, DER.element(DER.sequence, Array(data[4...]), DER.null))),
      DER.element(DER.sequence, DER.idSignedData, DER.element(DER.context0, DER.element(DER.sequence, DER.one, Array(data[4...])))),
    ]
    for wrong in more {
      guard case .refused(.malformed) = judged(judge, wrong).mathematics else {
        Issue.record("\(wrong.prefix(24)) was read")
        continue
      }
    }
    for at in [3, 18, 22] as [Int] {
      for change in [1, 255] as [UInt8] {
        var wrong = cms + [0, 0, 0]
        wrong[at] &+= change
        #expect(!judged(judge, wrong).holds, "length at \(at)")
      }
    }
    var deep: [UInt8] = []
    for _ in 0..<200 { deep += [0x30, 0x80] }
    let opening: [UInt8] = [0x30, 0x80] + DER.idSignedData + [0xA0, 0x80, 0x30, 0x80]
    let junk: [[UInt8]] = [
      deep, opening + deep, opening + [0, 0, 0, 0, 0, 0], opening, [0x30, 0x88, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
      [0x30, 0x89, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], [0x30, 0x80, 0x1F, 0x81], [0x30, 0x80, 0x1F, 0x81, 0x01],
      [0x04, 0x80, 0, 0], [0x30, 0x80, 0x04, 0x80, 0, 0, 0, 0],
    ]
    for octets in junk {
      guard case .refused(.malformed) = judged(judge, octets).mathematics else {
        Issue.record("\(octets.prefix(20)) was read")
        continue
      }
    }
  }

  /// A field of certificates is remembered for whom it was proved, not for another who copies it.
  @Test func aCopiedCertificateProvesNothing() throws {
    let judge = try judge("root")
    let genuine = try world.signature("genuine-one", of: JudgeTests.content)
    #expect(judged(judge, genuine).holds)
    #expect(judged(judge, genuine, "forged").mathematics == .bad(.contentChanged))
    // The signer's certificates with a signature by another key: same issuer and serial number are named.
    var forged = genuine
    for at in (forged.count - 256)..<forged.count { forged[at] = UInt8(truncatingIfNeeded: at) }
    #expect(judged(judge, forged).mathematics == .bad(.signatureMismatch))
    #expect(!judged(judge, forged).holds && judged(judge, genuine).holds)
  }

  /// More senders than are remembered: the old ones are forgotten and judged again.
  @Test func theMemoryIsBounded() throws {
    let memory = CertificateMemory()
    let empty = CertificateSet(SignedDataOutline(bare: [], certificates: [], certificateField: []))
    func outline(_ number: Int) -> SignedDataOutline {
      SignedDataOutline(bare: [], certificates: [], certificateField: Array("\(number)".utf8))
    }
    for number in 0..<3000 {
      memory.remember(empty, of: outline(number))
      // One that is asked for stays.
      #expect(memory.certificates(of: outline(0)) != nil)
    }
    let held = (0..<3000).filter { memory.certificates(of: outline($0)) != nil }.count
    #expect((512...1025).contains(held))
    let large = SignedDataOutline(bare: [], certificates: [], certificateField: [UInt8](repeating: 0, count: 100_000))
    memory.remember(empty, of: large)
    #expect(memory.certificates(of: large) == nil)
  }

  /// What a judgement costs; said, not asserted.
  @Test func costs() throws {
    let content = [UInt8](repeating: UInt8(ascii: "x"), count: 5000)
    let lists = RevocationLists()
    _ = try lists.load(world.list("costs", [Revoked(certificate: "other", at: world.now)]), named: "x", anchors: world.anchors("middle"))
    let anchors = try world.anchors("root")
    for digest in ["sha256", "sha1"] {
      let cms = try world.signature("costs", of: String(decoding: content, as: UTF8.self), ["-md", digest])
      let judge = SignatureJudge(anchors: anchors, lists: lists)
      let chunks = [Chunk(content)]
      #expect(judge.judge(cms: cms, content: chunks, at: world.now, now: world.now).holds)
      func microseconds(_ rounds: Int, _ body: () -> Void) -> Int {
        let took = ContinuousClock().measure { for _ in 0..<rounds { body() } }
        return Int(took / .microseconds(rounds))
      }
      let warm = microseconds(500) { _ = judge.judge(cms: cms, content: chunks, at: world.now, now: world.now) }
      let cold = microseconds(50) {
        _ = SignatureVerifier.verify(cms: cms, content: chunks, anchors: anchors, lists: lists, at: world.now, now: world.now)
      }
      print("A judgement of 5 KB (\(digest)): \(warm) µs where the sender is known, \(cold) µs else.")
    }
  }
}

extension Array where Element == UInt8 {
  /// From pairs of hexadecimal digits.
  init(hex: String) {
    let digits = Array<Character>(hex)
    self = stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0...($0 + 1)]), radix: 16) ?? 0 }
  }
}
