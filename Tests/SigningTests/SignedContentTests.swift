import Foundation
import Octets
import Testing

@testable import Signing

@Suite struct SignedContentTests {
  let world = TestWorld.shared
  static let index = "version: 1\n\ndn: o=postacert\nobjectclass: top\nobjectclass: organization\no: postacert\n"

  private func der(_ name: String) throws -> [UInt8] {
    try PEMFile(path: world.path(name + ".pem")).blocks[0].octets
  }

  private func made(_ name: String, _ arguments: String...) throws -> [UInt8] {
    try world.signature(name, of: SignedContentTests.index, ["-nodetach"] + arguments)
  }

  private func open(
    _ p7m: [UInt8], signers: [String] = ["signer"], anchors: [String]? = nil, at: Int64? = nil
  ) throws -> Result<SignedContent, SignedContentError> {
    let signers = try signers.map { try der($0) }
    let anchors = try anchors.map { try TrustAnchors(paths: $0.map { world.path($0 + ".pem") }) }
    do throws(SignedContentError) {
      return .success(try SignedContent.open(p7m, signers: signers, anchors: anchors, at: at ?? world.now))
    } catch {
      #expect(error.description.count > 20)
      return .failure(error)
    }
  }

  private func fault(
    _ p7m: [UInt8], signers: [String] = ["signer"], anchors: [String]? = nil, at: Int64? = nil
  ) throws -> SignedContentError? {
    guard case .failure(let error) = try open(p7m, signers: signers, anchors: anchors, at: at) else { return nil }
    return error
  }

  @Test func filesByTheCommandAreOpened() throws {
    let content = Array(SignedContentTests.index.utf8)
    for (number, arguments) in [[], ["-md", "sha1"], ["-noattr"], ["-md", "sha512"], ["-stream", "-indef"]].enumerated() {
      let p7m = try world.signature("opened\(number)", of: SignedContentTests.index, ["-nodetach"] + arguments)
      try world.openssl("pkcs7", "-inform", "DER", "-in", world.path("opened\(number).cms"), "-out", world.path("opened\(number).p7"))
      try world.openssl(
        "cms", "-cmsout", "-inform", "DER", "-in", world.path("opened\(number).cms"), "-outform", "PEM", "-out",
        world.path("opened\(number).pem"))
      let base64 = Base64.encodeLines(p7m)
      let forms = try [
        p7m, world.octets("opened\(number).p7"), world.octets("opened\(number).pem"), base64, Base64.encode(p7m),
        Array("\r\n".utf8) + base64,
      ]
      for form in forms {
        #expect(SignedContent.looksSigned(form))
        let found = try open(form).get()
        #expect(found.content == content && found.signer.mailAddresses == [TestWorld.address])
        #expect((found.signingTime == nil) == arguments.contains("-noattr"))
        #expect(try open(form, signers: [], anchors: ["root"]).get() == found)
      }
    }
  }

  @Test func contentInPieces() throws {
    // Indefinite lengths and a content in several strings, as streaming signers write it.
    let large = (0..<3000).map { "dn: cn=\($0),o=postacert\n" }.joined()
    let p7m = try world.signature("pieces", of: large, ["-nodetach", "-stream", "-indef"])
    #expect(p7m[1] == 0x80)
    #expect(try open(p7m).get().content == Array(large.utf8))
    #expect(try open(Base64.encodeLines(p7m)).get().content == Array(large.utf8))
    #expect(try open(made("by-key", "-keyid")).get().content == Array(SignedContentTests.index.utf8))
  }

  @Test func ours() throws {
    let credentials = try world.credentials()
    for content in [[], Array("x".utf8), [UInt8](repeating: 7, count: 100_000)] as [[UInt8]] {
      let p7m = try credentials.signedContent(content, at: world.now)
      let found = try open(p7m).get()
      #expect(found.content == content && found.signingTime == world.now && found.signer == credentials.certificate)
      try world.write("ours.p7m", p7m)
      let check = try run(
        "openssl",
        [
          "cms", "-verify", "-inform", "DER", "-binary", "-in", world.path("ours.p7m"), "-CAfile", world.path("root.pem"), "-attime",
          "\(world.now)",
        ])
      #expect(check.status == 0 && [UInt8](check.output) == content, "\(check.errors)")
    }
    // The command's own octets for the same profile and clock.
    try world.write("golden.txt2", SignedContentTests.index)
    try world.openssl(
      "cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-md", "sha256", "-outform", "DER", "-in", world.path("golden.txt2"),
      "-signer",
      world.path("signer.pem"), "-inkey", world.path("signer.key"), "-certfile", world.path("middle.pem"), "-out", world.path("golden.p7m"))
    let theirs = try world.octets("golden.p7m")
    let time = try #require(try open(theirs).get().signingTime)
    #expect(try credentials.signedContent(Array(SignedContentTests.index.utf8), at: time) == theirs)
    let late = try credentials.signedContent(Array("late".utf8), at: 2_600_000_000)
    #expect(try open(late, at: 2_600_000_000).get().signingTime == 2_600_000_000)
    #expect(throws: SigningError.self) { try credentials.signedContent([], at: credentials.certificate.notAfter + 1) }
    #expect(throws: SigningError.self) { try credentials.signedContent([], at: .min) }
  }

  @Test func whoSigned() throws {
    let p7m = try made("who")
    let subject = "C=IT, O=Gestore Però S.p.A., CN=Posta Certificata"
    #expect(try fault(p7m, signers: []) == .stranger(subject: subject, reason: nil))
    #expect(try fault(p7m, signers: ["other", "middle"]) == .stranger(subject: subject, reason: nil))
    #expect(try fault(p7m, signers: ["other", "signer"]) == nil)
    #expect(try fault(p7m, signers: ["other"], anchors: ["root"]) == nil)
    #expect(try fault(p7m, signers: [], anchors: ["signer"]) == nil)
    guard case .stranger(subject, _?) = try fault(p7m, signers: ["other"], anchors: ["other"]) else {
      Issue.record("a stranger was believed")
      return
    }
    // A certificate for the same key and name is not the same certificate.
    try world.issue(
      "twin-index", key: "signer", by: "middle", subject: "/C=IT/O=Gestore Però S.p.A./CN=Posta Certificata",
      extensions: TestWorld.profile + "\nsubjectAltName=email:\(TestWorld.address)")
    #expect(try fault(p7m, signers: ["twin-index"]) == .stranger(subject: subject, reason: nil))
  }

  @Test func dates() throws {
    let facts = try world.credentials().certificate
    let p7m = try made("dates")
    for time in [facts.notBefore - 1, facts.notAfter + 1, .min, .max] as [Int64] {
      #expect(
        try fault(p7m, at: time)
          == .outsideValidity(subject: facts.subject, notBefore: facts.notBefore, notAfter: facts.notAfter, at: time))
    }
    // A copy judged by the signer's clock; a signature without one is valid at no time.
    #expect(try SignedContent.open(p7m, signers: [facts.der], anchors: nil, at: nil).signingTime != nil)
    let silent = try made("silent", "-noattr")
    #expect(throws: SignedContentError.self) { try SignedContent.open(silent, signers: [facts.der], anchors: nil, at: nil) }
  }

  @Test func revocation() throws {
    let facts = try world.credentials().certificate
    let p7m = try made("revocation")
    func opened(_ list: [UInt8]?, signers: [[UInt8]] = []) throws -> SignedContent {
      let anchors = try world.anchors("root", "middle")
      let lists = RevocationLists()
      if let list { _ = try lists.load(list, named: "x", anchors: anchors) }
      return try SignedContent.open(p7m, signers: signers, anchors: anchors, at: world.now, lists: lists)
    }
    guard case .good = try opened(world.list("content-good")).revocation, case .noList = try opened(nil).revocation else {
      Issue.record("a signer who was not revoked")
      return
    }
    let since = world.now - 100
    let revoking = try world.list("content-revoked", [Revoked(certificate: "signer", at: since, reason: "keyCompromise")])
    for signers in [[], [facts.der]] {
      #expect(throws: SignedContentError.revoked(subject: facts.subject, since: since, reason: "key compromise")) {
        try opened(revoking, signers: signers)
      }
    }
    let later = try world.list("content-later", [Revoked(certificate: "signer", at: world.now + 1, reason: "superseded")])
    #expect(try opened(later).revocation == .revoked(at: world.now + 1, reason: "superseded"))
    #expect(try open(p7m).get().revocation == .notChecked)
    #expect(SignedContentError.revoked(subject: "X", since: .min, reason: "r").description.contains("cannot be read"))
  }

  @Test func whatIsRefused() throws {
    let detached = try world.signature("beside", of: SignedContentTests.index)
    #expect(try fault(detached) == .refused(.contentMissing))
    let several = try made("both", "-signer", world.path("other.pem"), "-inkey", world.path("other.key"))
    #expect(try fault(several) == .refused(.severalSigners(2)))
    #expect(try fault(made("md5-file", "-md", "md5")) == .refused(.digestAlgorithm("md5")))
    #expect(try fault(world.signature("uncertified", of: "x", with: [], ["-nodetach", "-nocerts"])) == .refused(.certificateMissing))
    #expect(try fault(made("typed", "-econtent_type", "1.2.3.4")) == .refused(.contentType("1.2.3.4")))
    #expect(try fault([UInt8](repeating: 0x30, count: SignedContent.maximumBytes + 1)) == .tooLarge(SignedContent.maximumBytes + 1))
    for junk in [[], [0x30], Array(SignedContentTests.index.utf8), Array("-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n".utf8)] {
      guard case .refused(.malformed) = try fault(junk) else {
        Issue.record("\(junk.prefix(8)) was read")
        continue
      }
    }
  }

  @Test func aFileThatWasChanged() throws {
    let p7m = try made("changed")
    let whole = try open(p7m).get()
    let sought = Array("o: postacert\n".utf8)
    let place = Scan.first(sought, in: p7m.span)
    let at = try #require(place)
    var changed = p7m
    changed[at + 3] ^= 1
    #expect(try fault(changed) == .bad(.contentChanged))
    // Whatever octet is changed: the same content by the same signer at the same time, or nothing.
    let seed = Entropy.word()
    var generator = SeededGenerator(seed: seed)
    let facts = try world.credentials().certificate
    let anchors = try world.anchors("root")
    for _ in 0..<1000 {
      var spoiled = p7m
      for _ in 0..<Int.random(in: 1...2, using: &generator) {
        spoiled[Int.random(in: 0..<spoiled.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      if let found = try? SignedContent.open(spoiled, signers: [facts.der], anchors: anchors, at: world.now) {
        #expect(found == whole, "seed \(seed)")
      }
    }
    for count in stride(from: 0, to: p7m.count, by: 41) { #expect(try fault(Array(p7m.prefix(count))) != nil) }
  }

  @Test func whatLooksSigned() throws {
    for plain in [
      "", "dn: o=postacert\n", "version: 1\n", "-----BEGIN CERTIFICATE-----\n", "-", "MIIB", "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA",
      "  ", "# comment\n",
    ] {
      #expect(!SignedContent.looksSigned(Array(plain.utf8)), "\(plain)")
    }
    #expect(!SignedContent.looksSigned(try der("signer")))
    #expect(!SignedContent.looksSigned([0x30]) && !SignedContent.looksSigned([0x30, 0xFF, 6]))
    #expect(SignedContent.looksSigned([0x30, 0x80] + DER.idSignedData))
  }
}
