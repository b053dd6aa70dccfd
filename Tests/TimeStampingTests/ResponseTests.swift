import Foundation
import Octets
import Testing

@testable import TimeStamping

@Suite struct ResponseTests {
  private let world: TestWorld
  private let authorities: TimeStampAuthorities
  private let imprint = TimeStampDigest.sha256.digest(Array("il registro di oggi".utf8))
  private let request: TimeStampRequest

  init() throws {
    world = try TestWorld.shared.get()
    authorities = try world.authorities()
    request = try TimeStampRequest(imprint: imprint, nonce: 0xFEDC_BA98_7654_3210)
  }

  private func check(
    _ response: [UInt8], _ request: TimeStampRequest? = nil, authorities: TimeStampAuthorities? = nil, now: Int64? = nil,
    tolerance: Int = 60
  ) -> TimeStampError? {
    fault { () throws(TimeStampError) in
      _ = try (request ?? self.request).check(
        response: response, authorities: authorities ?? self.authorities, now: now ?? world.now, toleranceSeconds: tolerance)
    }
  }

  private func good(by name: String = "tsa", at time: Int64? = nil) throws -> [UInt8] {
    try world.responder(name).answer(request.octets, at: time ?? world.now)
  }

  private func content(at time: Int64? = nil) throws -> [UInt8] {
    try TokenHandle(TimeStampResponse.token(of: good(at: time))).content
  }

  // MARK: Good ones

  @Test(arguments: ["tsa", "rsa"])
  func aStampIsTaken(by name: String) throws {
    let token = try request.check(response: good(by: name), authorities: authorities, now: world.now, toleranceSeconds: 0)
    #expect(token.imprint == imprint && token.digest == .sha256 && token.genTime == world.now && token.nonce == request.nonce)
    #expect(token.policy == TestWorld.policy && token.authority == "CN=\(name)" && token.signatureDigest == "SHA256")
    #expect(token.certificateNotBefore == TestWorld.year(2024) && token.certificateNotAfter == TestWorld.year(2060))
    #expect(token.accuracyMicroseconds == 1_000_000 && token.serial.count == 32 && token.certificates.count == 2)
    #expect(try TimeStampToken(reading: token.octets) == token)
    #expect(try TimeStampCheck.verify(token: token.octets, imprint: imprint, authorities: authorities, at: nil) == token)
  }

  @Test func theCommandTakesOurStamps() throws {
    let response = try good(at: Int64(Date().timeIntervalSince1970))
    try world.write(response, to: "ours.tsr")
    try world.write(request.octets, to: "ours.tsq")
    try world.write(try TimeStampResponse.token(of: response), to: "ours.tst")
    try world.write(Array("il registro di oggi".utf8), to: "ours.bin")
    let asked = try world.openssl(
      "ts", "-verify", "-queryfile", world.path("ours.tsq"), "-in", world.path("ours.tsr"), "-CAfile", world.path("root.pem"))
    #expect(asked.text.contains("Verification: OK"))
    let token = try world.openssl(
      "ts", "-verify", "-data", world.path("ours.bin"), "-in", world.path("ours.tst"), "-token_in", "-CAfile", world.path("root.pem"))
    #expect(token.text.contains("Verification: OK"))
  }

  @Test(arguments: [[String](), ["-tspolicy", "1.2.3.4.9"]])
  func theCommandsStampsAreTaken(arguments: [String]) throws {
    let name = "theirs-\(arguments.count)"
    try world.write(request.octets, to: "\(name).tsq")
    try world.openssl(
      [
        "ts", "-reply", "-config", world.path("ts.cnf"), "-queryfile", world.path("\(name).tsq"), "-signer", world.path("tsa.pem"),
        "-inkey",
        world.path("tsa.key"), "-chain", world.path("middle.pem"), "-out", world.path("\(name).tsr"),
      ] + arguments)
    let now = Int64(Date().timeIntervalSince1970)
    let token = try request.check(
      response: world.octets("\(name).tsr"), authorities: authorities, now: now, toleranceSeconds: 600)
    #expect(token.policy == arguments.last ?? TestWorld.policy)
    #expect(token.accuracyMicroseconds == 1_500_100 && token.nonce == request.nonce)
  }

  @Test(arguments: TimeStampDigest.allCases)
  func otherDigests(digest: TimeStampDigest) throws {
    let request = try TimeStampRequest(imprint: digest.digest([1, 2, 3]), nonce: 7, digest: digest)
    let response = try world.responder().answer(request.octets, at: world.now)
    let token = try request.check(response: response, authorities: authorities, now: world.now, toleranceSeconds: 1)
    #expect(token.digest == digest && token.imprint == request.imprint)
  }

  // MARK: Bad ones

  @Test func otherImprint() throws {
    let other = try TimeStampRequest(imprint: TimeStampDigest.sha256.digest([0]), nonce: 0xFEDC_BA98_7654_3210)
    #expect(check(try good(), other) == .otherImprint)
    let longer = try TimeStampRequest(imprint: TimeStampDigest.sha512.digest([0]), nonce: 0xFEDC_BA98_7654_3210, digest: .sha512)
    #expect(check(try good(), longer) == .otherImprint)
    let token = try TimeStampResponse.token(of: good())
    #expect(
      fault { () throws(TimeStampError) in
        _ = try TimeStampCheck.verify(token: token, imprint: other.imprint, authorities: authorities, at: nil)
      } == .otherImprint)
  }

  @Test(arguments: [0, 1, 0xFEDC_BA98_7654_3211, 0x7EDC_BA98_7654_3210])
  func otherNonce(nonce: UInt64) throws {
    #expect(check(try good(), try TimeStampRequest(imprint: imprint, nonce: nonce)) == .otherNonce)
  }

  @Test func noNonce() throws {
    try world.write(Array("il registro di oggi".utf8), to: "nonce.bin")
    try world.openssl(
      "ts", "-query", "-data", world.path("nonce.bin"), "-sha256", "-no_nonce", "-cert", "-out", world.path("nonce.tsq"))
    let theirs = try TimeStampRequest(reading: world.octets("nonce.tsq"))
    #expect(theirs.nonce == nil)
    let response = try world.responder().answer(theirs.octets, at: world.now)
    #expect(check(response) == .otherNonce && check(response, theirs) == .otherNonce)
  }

  @Test func otherPolicy() throws {
    let asking = try TimeStampRequest(imprint: imprint, nonce: 0xFEDC_BA98_7654_3210, policy: "1.2.3.4.2")
    #expect(check(try good(), asking) == .otherPolicy(TestWorld.policy))
    // The authority itself says no.
    #expect(
      check(try world.responder().answer(asking.octets, at: world.now), asking)
        == .refused(status: 2, failures: ["unacceptedPolicy"], text: "Requested policy is not supported."))
    let same = try TimeStampRequest(imprint: imprint, nonce: 0xFEDC_BA98_7654_3210, policy: TestWorld.policy)
    #expect(check(try world.responder().answer(same.octets, at: world.now), same) == nil)
  }

  @Test(arguments: [(59, true), (60, true), (61, false), (-60, true), (-61, false), (3600, false)])
  func otherTime(offset: Int64, isFine: Bool) throws {
    let expected = isFine ? nil : TimeStampError.otherTime(differenceSeconds: offset, toleranceSeconds: 60)
    #expect(check(try good(at: world.now + offset)) == expected)
  }

  @Test func refusals() throws {
    #expect(
      check(TimeStampResponder.rejection("the clock\r\nhas failed", failure: 14))
        == .refused(status: 2, failures: ["timeNotAvailable"], text: "the clock  has failed"))
    #expect(check(TimeStampResponder.rejection("", failure: 25)) == .refused(status: 2, failures: ["systemFailure"], text: ""))
    for status in 2...6 as ClosedRange<UInt64> {
      // Also when it brings a stamp along.
      let token = try TimeStampResponse.token(of: good())
      #expect(check(TestWorld.granted(token, status: status)) == .refused(status: Int(status), failures: [], text: ""))
    }
    #expect(check(TestWorld.granted(try TimeStampResponse.token(of: good()), status: 1)) == nil)
    guard case .malformed = check(TestWorld.granted([])) else {
      Issue.record("an answer without a stamp was taken")
      return
    }
    guard case .refused(2, ["badDataFormat"], _)? = check(try world.responder().answer(Array("GET / HTTP/1.1".utf8), at: world.now)) else {
      Issue.record("garbage was stamped")
      return
    }
    #expect("\(TimeStampError.refused(status: 2, failures: ["badAlg"], text: "no"))" == "the authority refuses: rejection (badAlg): no")
  }

  @Test(arguments: [("early", 2020, 2023), ("late", 2055, 2060)])
  func certificatesOfOtherTimes(name: String, from: Int, to: Int) throws {
    #expect(
      check(try good(by: name))
        == .notValid(subject: "CN=\(name)", at: world.now, notBefore: TestWorld.year(from), notAfter: TestWorld.year(to)))
    // Stamped in its time, and too late to ask now.
    let then = TestWorld.year(from, plusDays: 100)
    #expect(
      check(try good(by: name, at: then))
        == .notValid(subject: "CN=\(name)", at: world.now, notBefore: TestWorld.year(from), notAfter: TestWorld.year(to)))
    let token = try TimeStampResponse.token(of: good(by: name, at: then))
    for at in [nil, then + 1000, TestWorld.year(to)] {
      #expect(try TimeStampCheck.verify(token: token, imprint: imprint, authorities: authorities, at: at).genTime == then)
    }
    #expect(
      fault { () throws(TimeStampError) in
        _ = try TimeStampCheck.verify(token: token, imprint: imprint, authorities: authorities, at: TestWorld.year(to) + 1)
      } == .notValid(subject: "CN=\(name)", at: TestWorld.year(to) + 1, notBefore: TestWorld.year(from), notAfter: TestWorld.year(to)))
  }

  @Test func whoVouches() throws {
    #expect(
      check(try good(by: "stranger"))
        == .untrusted(certificate: "O=Test, CN=other", reason: "it ends in a certificate that vouches for itself"))
    #expect(
      check(try good(), authorities: try world.authorities(["other"]))
        == .untrusted(certificate: "CN=middle", reason: "no certificate of its issuer was given"))
    #expect(check(try good(by: "stranger"), authorities: try world.authorities(["root", "other"])) == nil)
    #expect(check(try good(), authorities: try world.authorities(["middle"])) == nil)
    #expect(check(try good(), authorities: try world.authorities([])) != nil)
    #expect(check(try good(), authorities: try TimeStampAuthorities(pem: world.octets("root.pem"))) == nil)
    #expect(try world.authorities(["root", "other"]).subjects == ["O=Test, CN=root", "O=Test, CN=other"])
    for (name, text) in [("none", nil), ("empty", ""), ("broken", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n")] {
      if let text { try world.text(text, to: "\(name)-authority.pem") }
      guard
        case .badFile = fault({ () throws(TimeStampError) in
          _ = try TimeStampAuthorities(paths: [world.path("\(name)-authority.pem")])
        })
      else {
        Issue.record("\(name) was taken")
        continue
      }
    }
  }

  @Test(arguments: ["mail", "both", "uncritical", "plain"])
  func certificatesForOtherThings(name: String) throws {
    let response = try world.signed(content(), by: name, ["-econtent_type", "1.2.840.113549.1.9.16.1.4", "-cades", "-md", "sha256"])
    #expect(check(response) == .notForTimeStamping(subject: "CN=\(name)"))
    #expect(throws: TimeStampError.notForTimeStamping(subject: "CN=\(name)")) {
      _ = try TimeStampResponder(path: world.path("\(name).all"), policy: TestWorld.policy)
    }
  }

  @Test func signaturesOfOtherMaking() throws {
    let type = ["-econtent_type", "1.2.840.113549.1.9.16.1.4"]
    // The same by a certificate that may.
    #expect(check(try world.signed(content(), by: "rsa", type + ["-cades", "-md", "sha256"])) == nil)
    #expect(check(try world.signed(content(), by: "rsa", type + ["-cades", "-md", "sha512"])) == nil)
    #expect(check(try world.signed(content(), by: "rsa", type + ["-cades", "-keyopt", "rsa_padding_mode:pss", "-md", "sha256"])) == nil)
    #expect(
      check(try world.signed(content(), by: "rsa", type + ["-cades", "-md", "sha1"]))
        == .weakAlgorithm("the time stamp is signed with SHA1"))
    #expect(check(try world.signed(content(), by: "weak", type + ["-cades", "-md", "sha256"])) == .weakAlgorithm("the key of CN=weak"))
    guard case .otherCertificate = check(try world.signed(content(), by: "rsa", type + ["-md", "sha256"])) else {
      Issue.record("a stamp that names no certificate was taken")
      return
    }
    guard case .otherCertificate = check(try world.signed(content(), by: "rsa", type + ["-cades", "-md", "sha256", "-nocerts"])) else {
      Issue.record("a stamp without its certificate was taken")
      return
    }
    let wrong: [[String]] = [
      ["-cades", "-md", "sha256"], type + ["-noattr", "-md", "sha256"],
      type + ["-cades", "-md", "sha256", "-signer", world.path("tsa.pem"), "-inkey", world.path("tsa.key")],
    ]
    for arguments in wrong {
      switch check(try world.signed(content(), by: "rsa", arguments)) {
      case .malformed, .badSignature: continue
      case let other: Issue.record("\(arguments): \(String(describing: other))")
      }
    }
  }

  // MARK: Revocation

  @Test func revokedNow() throws {
    let list = try world.list("now", revoked: "tsa", at: "250101000000Z", reason: nil)
    #expect(
      check(try good(), authorities: try world.authorities(lists: [list]))
        == .revoked(subject: "CN=tsa", since: TestWorld.year(2025), reason: "no reason given"))
    // Another certificate, or a list that its issuer did not sign.
    #expect(check(try good(by: "rsa"), authorities: try world.authorities(lists: [list])) == nil)
    let forged = try world.list("forged", revoked: "tsa", at: "250101000000Z", reason: nil, by: "other")
    #expect(check(try good(), authorities: try world.authorities(lists: [forged])) == nil)
    // A list beside the authorities' certificates.
    try world.text(world.text("root.pem") + world.text("now.crl"), to: "with-list.pem")
    #expect(check(try good(), authorities: try world.authorities(["with-list"])) != nil)
    #expect(throws: TimeStampError.self) { try world.authorities(lists: [[1, 2, 3]]) }
    #expect(throws: TimeStampError.self) { try world.authorities(lists: [[0x30, 0]]) }
  }

  @Test func revokedMiddle() throws {
    let list = try world.list("above", revoked: "middle", at: "250101000000Z", reason: "CACompromise", by: "root")
    #expect(
      check(try good(), authorities: try world.authorities(lists: [list]))
        == .revoked(subject: "CN=middle", since: TestWorld.year(2025), reason: "authority compromise"))
  }

  /// RFC 3161 §4, 1: what was stamped before stays good, unless the key may have been in other hands and nothing else proves the time.
  @Test func revokedLater() throws {
    let stamped = TestWorld.year(2024, plusDays: 100)
    let token = try TimeStampResponse.token(of: good(at: stamped))
    func verify(_ list: [UInt8], _ at: Int64?) throws -> TimeStampError? {
      let authorities = try world.authorities(lists: [list])
      return fault { () throws(TimeStampError) in
        _ = try TimeStampCheck.verify(token: token, imprint: imprint, authorities: authorities, at: at)
      }
    }
    let harmless = try world.list("harmless", revoked: "tsa", at: "250101000000Z", reason: "superseded")
    let harmful = try world.list("harmful", revoked: "tsa", at: "250101000000Z", reason: "keyCompromise")
    let before = try world.list("before", revoked: "tsa", at: "240102000000Z", reason: "superseded")
    let (early, late) = (TestWorld.year(2024, plusDays: 200), TestWorld.year(2026))
    for at in [nil, early, late] { #expect(try verify(harmless, at) == nil) }
    for at in [nil, early, late] { #expect(try verify(before, at) != nil) }
    #expect(try verify(harmful, early) == nil)
    for at in [nil, late] {
      #expect(try verify(harmful, at) == .revoked(subject: "CN=tsa", since: TestWorld.year(2025), reason: "key compromise"))
    }
  }

  // MARK: Garbage

  @Test func everyTruncation() throws {
    let response = try good()
    for count in 0..<response.count { #expect(check(Array(response.prefix(count))) != nil, "\(count)") }
    #expect(check(response + [0]) != nil)
    let token = try TimeStampResponse.token(of: response)
    for count in 0..<token.count {
      #expect(fault { () throws(TimeStampError) in _ = try TimeStampToken(reading: Array(token.prefix(count))) } != nil, "\(count)")
    }
    #expect(check([UInt8](repeating: 0x30, count: TimeStampRequest.maximumResponseBytes + 1)) != nil)
    #expect(check(Array("<html>It works!</html>".utf8)) != nil)
  }

  /// A changed octet is found, or it changes nothing that the stamp says.
  @Test func everyOctetChanged() throws {
    let response = try good()
    let expected = try request.check(response: response, authorities: authorities, now: world.now, toleranceSeconds: 60)
    var passed: [Int] = []
    for at in response.indices {
      var changed = response
      changed[at] ^= 1 << UInt8(at % 8)
      guard let token = try? request.check(response: changed, authorities: authorities, now: world.now, toleranceSeconds: 60) else {
        continue
      }
      passed.append(at)
      #expect(token.genTime == expected.genTime && token.imprint == imprint && token.serial == expected.serial, "\(at)")
    }
    // Tokens leave some octets unsigned: versions, algorithm parameters, certificates that nobody needs.
    #expect(passed.count < 24, "\(passed)")
  }
}
