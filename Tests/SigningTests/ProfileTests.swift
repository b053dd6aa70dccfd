import Foundation
import Octets
import Testing

@testable import Signing

/// The signed message is the one of `pec-rules` 11.1 to the octet.
@Suite struct ProfileTests {
  let world = TestWorld.shared

  /// PKCS#1 v1.5 has no randomness, so OpenSSL's own `cms -sign` with the same profile and the same clock must give the same octets.
  @Test func equalToTheCommandsOctets() throws {
    let content = "Content-Type: multipart/mixed\r\n\r\nbody\r\n"
    try world.write("golden.txt", content)
    for certificates in [["middle.pem"], [], ["middle.pem", "root.pem"]] {
      try world.write("golden-extra.pem", certificates.map(world.text).joined())
      try world.write("golden-all.pem", world.text("signer.pem") + world.text("golden-extra.pem"))
      var arguments = [
        "cms", "-sign", "-binary", "-nosmimecap", "-md", "sha256", "-outform", "DER", "-in", world.path("golden.txt"), "-signer",
        world.path("signer.pem"), "-inkey", world.path("signer.key"), "-out", world.path("golden.der"),
      ]
      if !certificates.isEmpty { arguments += ["-certfile", world.path("golden-extra.pem")] }
      try world.openssl(arguments)
      let theirs = try world.octets("golden.der")
      let verdict = SignatureVerifier.verify(cms: theirs, content: [Chunk(content)], anchors: nil, at: nil, now: world.now)
      #expect(verdict.mathematics == .good)
      let pool = try SignerPool(credentials: world.credentials(certificate: "golden-all.pem"), threads: 1, batch: 1)
      let ours = try signed(pool, [Chunk(content)], at: try #require(verdict.signingTime))
      #expect(ours == theirs)
      pool.stop()
    }
  }

  @Test func structure() throws {
    let pool = try SignerPool(credentials: world.credentials(), threads: 1, batch: 1)
    defer { pool.stop() }
    let der = try signed(pool, [Chunk("x")], at: world.now)
    let clock = String(decoding: try #require(Calendar.generalized(world.now)).dropFirst(2), as: UTF8.self)
    try world.write("structure.der", der)
    let lines = try world.openssl("asn1parse", "-inform", "DER", "-in", world.path("structure.der")).text.split(separator: "\n").map {
      $0.split(separator: ":", maxSplits: 1).last.map(String.init) ?? ""
    }
    let text = lines.joined(separator: "\n")
    for expected in [
      "pkcs7-signedData", "pkcs7-data", "sha256", "rsaEncryption", "contentType", "signingTime", "messageDigest",
      "UTCTIME           :\(clock)",
    ] {
      #expect(text.contains(expected), "\(expected) is missing")
    }
    #expect(!text.contains("S/MIME Capabilities"))
    // Certificates (context 0), no CRLs (context 1), no unsigned attributes (context 1).
    #expect(lines.filter { $0.contains("cont [ 1 ]") }.isEmpty)
    let order = ["contentType", "signingTime", "messageDigest"].map { name in lines.firstIndex { $0.hasSuffix(":\(name)") } ?? -1 }
    #expect(order == order.sorted() && !order.contains(-1))
  }

  @Test(
    arguments: [
      (946_684_800, "000101000000Z", DER.utcTime), (2_524_607_999, "491231235959Z", DER.utcTime),
      (2_524_608_000, "20500101000000Z", DER.generalizedTime), (-631_152_000, "500101000000Z", DER.utcTime),
      (-631_152_001, "19491231235959Z", DER.generalizedTime), (253_402_300_799, "99991231235959Z", DER.generalizedTime),
    ] as [(Int64, String, UInt8)])
  func signingTimeForms(_ row: (seconds: Int64, digits: String, tag: UInt8)) throws {
    let skeleton = CMSSkeleton(certificates: [[0x30, 0]], issuer: [0x30, 0], serialNumber: [2, 1, 1], signatureBytes: 256)
    let attributes = try #require(skeleton.attributes(signingTime: row.seconds, messageDigest: [UInt8](repeating: 9, count: 32)))
    let time = [row.tag, UInt8(row.digits.utf8.count)] + Array(row.digits.utf8)
    let found = Scan.first(time, in: attributes.span)
    #expect(found != nil)
    // Whatever the form, every length in the message fits.
    let whole = skeleton.assemble(attributes: attributes, signature: [UInt8](repeating: 1, count: 256))
    #expect(whole.count == 4 + Int(whole[2]) << 8 + Int(whole[3]))
  }

  @Test func timesThatCannotBeWritten() {
    let skeleton = CMSSkeleton(certificates: [], issuer: [0x30, 0], serialNumber: [2, 1, 1], signatureBytes: 256)
    for seconds in [253_402_300_800, Int64.max, Int64.min] {
      #expect(skeleton.attributes(signingTime: seconds, messageDigest: []) == nil)
    }
    #expect(Calendar.text(1_773_130_500) == "2026-03-10 08:15:00 UTC")
    #expect(Calendar.text(.max) == "\(Int64.max) seconds since 1970")
  }

  @Test func after2050() throws {
    let pool = try SignerPool(credentials: world.credentials(), threads: 1, batch: 1)
    defer { pool.stop() }
    let time: Int64 = 2_600_000_000
    let der = try signed(pool, [Chunk("late")], at: time)
    let verdict = SignatureVerifier.verify(
      cms: der, content: [Chunk("late")], anchors: try TrustAnchors(paths: [world.path("root.pem")]), at: nil, now: world.now)
    #expect(verdict.holds && verdict.signingTime == time && verdict.judgedAt == time)
    try world.write("late.der", der)
    try world.write("late.txt", "late")
    let check = try run(
      "openssl",
      [
        "cms", "-verify", "-inform", "DER", "-binary", "-in", world.path("late.der"), "-content", world.path("late.txt"), "-CAfile",
        world.path("root.pem"), "-attime", "\(time)",
      ])
    #expect(check.status == 0, "\(check.errors)")
  }

  @Test func everyKeySize() throws {
    for (bits, primes) in [(3072, 3), (4096, 4)] {
      // More and smaller primes are found faster than two large ones.
      let name = "bits\(bits)"
      try world.key(name, bits: bits, primes: primes)
      try world.issue(
        name, key: name, by: "middle", subject: "/C=IT/O=Alfa",
        extensions: TestWorld.profile + "\nsubjectAltName=email:\(TestWorld.address)")
      let pool = try SignerPool(credentials: world.credentials(certificate: name + ".pem", key: name + ".key"), threads: 1, batch: 1)
      let der = try signed(pool, [Chunk("x")], at: world.now)
      pool.stop()
      let verdict = SignatureVerifier.verify(cms: der, content: [Chunk("x")], anchors: nil, at: nil, now: world.now)
      #expect(verdict.mathematics == .good && verdict.signer?.publicKey == "RSA \(bits)")
    }
  }
}
