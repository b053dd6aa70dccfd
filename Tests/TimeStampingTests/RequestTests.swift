import Foundation
import Octets
import Testing

@testable import TimeStamping

@Suite struct RequestTests {
  private let world: TestWorld
  private let data = Array("il registro di oggi".utf8)
  private var imprint: [UInt8] { TimeStampDigest.sha256.digest(data) }

  init() throws { world = try TestWorld.shared.get() }

  @Test func digestsAreThoseOfTheCommand() throws {
    try world.write(data, to: "digest.bin")
    for (digest, name) in [(TimeStampDigest.sha256, "-sha256"), (.sha384, "-sha384"), (.sha512, "-sha512")] {
      let text = try world.openssl("dgst", name, "-r", world.path("digest.bin")).text
      #expect(text.hasPrefix(Hex.encode(digest.digest(data)) + " "))
      #expect(digest.digest([Array(data.prefix(3)), [], Array(data.dropFirst(3))]) == digest.digest(data))
      #expect(digest.digest(data).count == digest.bytes)
    }
  }

  @Test(arguments: [0, 1, 127, 128, 255, 256, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, UInt64.max])
  func theCommandReadsARequest(nonce: UInt64) throws {
    let request = try TimeStampRequest(imprint: imprint, nonce: nonce, policy: "1.2.840.113549.99")
    let name = "read-\(nonce).tsq"
    try world.write(request.octets, to: name)
    let text = try world.openssl("ts", "-query", "-in", world.path(name), "-text").text
    #expect(text.contains("Version: 1") && text.contains("Hash Algorithm: sha256") && text.contains("Certificate required: yes"))
    #expect(text.contains("Policy OID: 1.2.840.113549.99"))
    let hexadecimal = String(nonce, radix: 16, uppercase: true)
    #expect(text.contains("Nonce: 0x" + String(repeating: "0", count: nonce == 0 ? 0 : hexadecimal.count % 2) + hexadecimal))
    let read = try TimeStampRequest(reading: request.octets)
    #expect(read == request && read.nonce == nonce && read.policy == "1.2.840.113549.99" && read.wantsCertificate)
  }

  @Test func requestsOfTheCommandAreRead() throws {
    try world.write(data, to: "query.bin")
    try world.openssl("ts", "-query", "-data", world.path("query.bin"), "-sha512", "-tspolicy", "1.2.3", "-out", world.path("query.tsq"))
    let read = try TimeStampRequest(reading: world.octets("query.tsq"))
    #expect(read.imprint == TimeStampDigest.sha512.digest(data) && read.digest == .sha512 && read.policy == "1.2.3")
    #expect(read.nonce != nil && !read.wantsCertificate)
    try world.openssl("ts", "-query", "-data", world.path("query.bin"), "-sha1", "-out", world.path("query1.tsq"))
    let old = try world.octets("query1.tsq")
    #expect(
      fault { () throws(TimeStampError) in _ = try TimeStampRequest(reading: old) }
        == .weakAlgorithm("the digest algorithm SHA-1 of the imprint"))
  }

  @Test func badRequestsAreNotMade() {
    for count in [0, 20, 31, 33, 64] {
      guard
        case .badRequest = fault({ () throws(TimeStampError) in
          _ = try TimeStampRequest(imprint: [UInt8](repeating: 0, count: count), nonce: 1)
        })
      else {
        Issue.record("\(count) octets were taken for a digest")
        continue
      }
    }
    for policy in [
      "", "1", "3.1", "1.40", "1.2.", "1..2", "1.2.x", "01.2", "1.02", "1.2 ", "1.99999999999999999999", "1." + "2.".repeated(99) + "2",
    ] {
      #expect(!TimeStampRequest.isPolicy(policy), "\(policy)")
    }
    for policy in ["0.0", "1.39", "2.999.1", "1.3.6.1.4.1.99999.1", "1.2.36028797018963967"] {
      #expect(TimeStampRequest.isPolicy(policy), "\(policy)")
    }
  }

  @Test(arguments: ["0.0", "0.39", "1.0", "1.39", "2.0", "2.40", "2.999.3", "1.2.840.113549.1.9.16.1.4", "1.3.6.1.4.1.36028797018963967"])
  func objectIdentifiers(text: String) throws {
    let element = try #require(ObjectIdentifier.element(text))
    #expect(ObjectIdentifier.text(Array(element.dropFirst(2))) == text)
    try world.write(element, to: "oid-\(text)")
    let parsed = try world.openssl("asn1parse", "-inform", "DER", "-in", world.path("oid-\(text)"), "-oid", "/dev/null").text
    #expect(parsed.contains("OBJECT"))
  }

  @Test(
    arguments: [
      [], [0x80], [0x80, 0x01], [0x2A, 0x80], [0x2A, 0x80, 0x01], [UInt8](repeating: 0xFF, count: 12) + [1],
      [UInt8](repeating: 1, count: 65),
    ] as [[UInt8]])
  func brokenObjectIdentifiers(octets: [UInt8]) { #expect(ObjectIdentifier.text(octets) == nil) }

  @Test(arguments: [
    ("20260310091500Z", 1_773_134_100), ("19700101000000Z", 0), ("20240229235959.999Z", 1_709_251_199), ("19691231235959Z", -1),
    ("20161231235960Z", 1_483_228_800), ("99991231235959Z", 253_402_300_799), ("00010101000000Z", -62_135_596_800),
  ])
  func times(text: String, seconds: Int) { #expect(Times.seconds(Array(text.utf8)) == Int64(seconds)) }

  @Test(arguments: [
    "", "Z", "20260310091500", "202603100915Z", "20260310091500+0100", "20260229000000Z", "20230229000000Z", "21000229000000Z",
    "20261301000000Z", "20260001000000Z", "20260100000000Z", "20260132000000Z", "20260431000000Z", "20260101240000Z", "20260101006000Z",
    "20260101000061Z", "20260101000000.Z", "20260101000000,5Z", "00000101000000Z", "2026010100000aZ", "-2026010100000Z",
  ])
  func notTimes(text: String) { #expect(Times.seconds(Array(text.utf8)) == nil) }

  @Test func timesInWords() {
    let formatter = ISO8601DateFormatter()
    formatter.formatOptions = [.withFullDate, .withTime, .withSpaceBetweenDateAndTime, .withDashSeparatorInDate, .withColonSeparatorInTime]
    for seconds in stride(from: Int64(-8_000_000_000), through: 100_000_000_000, by: 1_234_567_891) {
      #expect(Times.text(seconds) == formatter.string(from: Date(timeIntervalSince1970: Double(seconds))) + " UTC")
      let digits = Times.text(seconds).filter(\.isNumber) + "Z"
      #expect(Times.seconds(Array(digits.utf8)) == seconds)
    }
    #expect(Times.text(.max) == "9223372036854775807 seconds since 1970" && !Times.text(.min).isEmpty)
  }

  @Test func everyTruncationOfARequest() throws {
    let octets = try TimeStampRequest(imprint: imprint, nonce: .max, policy: "1.2.3.4").octets
    for count in 0..<octets.count {
      #expect(fault { () throws(TimeStampError) in _ = try TimeStampRequest(reading: Array(octets.prefix(count))) } != nil)
    }
    #expect(fault { () throws(TimeStampError) in _ = try TimeStampRequest(reading: octets + [0]) } != nil)
  }

  /// Lengths that are not the shortest, indefinite ones, long tags.
  @Test(
    arguments: [
      [0x30, 0x81, 0x01, 0x00], [0x30, 0x80, 0, 0], [0x30, 0x82, 0x00, 0x81], [0x30, 0x85, 0, 0, 0, 0, 1], [0x1F, 1, 0], [0x30],
    ] as [[UInt8]])
  func brokenLengths(octets: [UInt8]) {
    #expect(
      fault { () throws(TimeStampError) in
        var reader = DERReader(octets, "it")
        _ = try reader.any()
      } != nil)
  }
}

extension String {
  fileprivate func repeated(_ count: Int) -> String { String(repeating: self, count: count) }
}
