import Foundation
import Octets
import Testing

@testable import Signing

/// Multi-buffer RSA: what every machine can show, and, where the library is built in and the processor has AVX512-IFMA, the lanes.
@Suite struct MultiBufferTests {
  let world = TestWorld.shared
  static let sizes = [2048, 3072, 4096]
  static let isThere = MultiBuffer.isApplicable(bits: 2048)

  private func key(_ bits: Int, _ name: String) throws -> KeyHandle {
    try world.key("\(name)-\(bits)", bits: bits)
    return try #require(PEMFile(path: world.path("\(name)-\(bits).key")).blocks.first?.key)
  }

  private func digests(_ count: Int, _ generator: inout SeededGenerator) -> [[UInt8]] {
    (0..<count).map { _ in randomOctets(32, &generator) }
  }

  // MARK: Everywhere

  /// What OpenSSL signed, raised to the public exponent by the command, is our padding of the same digest.
  @Test(arguments: sizes) func theFillingIsOpenSSLs(_ bits: Int) throws {
    var generator = SeededGenerator(seed: Entropy.word())
    let key = try key(bits, "padding")
    let digest = randomOctets(32, &generator)
    let signature = try #require(try OpenSSLSigner(key, checksEachSignature: false).sign(batch: [digest]).first)
    try world.write("padding-\(bits).sig", signature)
    let recovered = try world.openssl(
      "pkeyutl", "-verifyrecover", "-inkey", world.path("padding-\(bits).key"), "-in", world.path("padding-\(bits).sig"), "-pkeyopt",
      "rsa_padding_mode:none")
    #expect(MultiBuffer.padded(digest, bytes: bits / 8) == [UInt8](recovered.output))
  }

  @Test func lanesAreUsedWhenTheyAreQuicker() {
    #expect(Self.sizes.map { MultiBuffer.leastLanes(bits: $0) } == [5, 5, 3])
    for (bits, cost) in MultiBuffer.costs {
      let least = MultiBuffer.leastLanes(bits: bits) ?? 0
      let batch = MultiBuffer.lanes * cost.inFullBatch
      #expect(least * cost.alone > batch && (least - 1) * cost.alone <= batch)
    }
    for bits in [1024, 2047, 2056, 8192] { #expect(MultiBuffer.leastLanes(bits: bits) == nil) }
  }

  @Test func aBatchIsCut() {
    func parts(_ count: Int, _ least: Int) -> [String] {
      MultiBufferSigner.parts(of: count, least: least).map { "\($0.range.lowerBound)-\($0.range.upperBound)\($0.inLanes ? " lanes" : "")" }
    }
    #expect(parts(0, 5) == [])
    #expect(parts(1, 5) == ["0-1"])
    #expect(parts(4, 5) == ["0-4"])
    #expect(parts(5, 5) == ["0-5 lanes"])
    #expect(parts(8, 5) == ["0-8 lanes"])
    #expect(parts(12, 5) == ["0-8 lanes", "8-12"])
    #expect(parts(19, 3) == ["0-8 lanes", "8-16 lanes", "16-19 lanes"])
  }

  @Test(.enabled(if: !isThere)) func withoutLanesOpenSSLSigns() throws {
    let credentials = try world.credentials()
    #expect(credentials.backend == .openSSL(MultiBuffer.version == nil ? .notBuiltIn : .processor))
    #expect(try MultiBufferSigner(credentials) == nil)
    #expect(try credentials.makeSigner() is OpenSSLSigner)
    #expect(try credentials.makeSigner().preferredBatch == 1)
    #expect(credentials.warnings.allSatisfy { $0 != .lanesFailed })
  }

  /// Each way of signing is told apart in words.
  @Test func whatSignsIsSaid() {
    let reasons: [SigningBackend.Reason] = [.notBuiltIn, .processor, .key, .memory, .trial]
    let all = [.token, .multiBuffer(version: "2.3.0")] + reasons.map { SigningBackend.openSSL($0) }
    #expect(Set(all.map(\.description)).count == all.count)
    #expect(all.allSatisfy { $0.description.hasPrefix("signing with ") })
  }

  // MARK: With lanes

  /// PKCS#1 v1.5 has no randomness: every filling of the lanes makes OpenSSL's signatures, octet by octet.
  @Test(.enabled(if: isThere), arguments: sizes) func everyFillingMakesOpenSSLsSignatures(_ bits: Int) throws {
    let seed = Entropy.word()
    var generator = SeededGenerator(seed: seed)
    let key = try key(bits, "lanes")
    let numbers = try #require(PrivateNumbers(key))
    let lanes = try #require(Lanes(numbers))
    let single = try OpenSSLSigner(key, checksEachSignature: false)
    for count in 1...MultiBuffer.lanes {
      let digests = digests(count, &generator)
      let made = try #require(lanes.sign(digests[...]))
      #expect(try made == single.sign(batch: digests), "\(count) lanes, seed \(seed)")
    }
    #expect(lanes.sign([]) == nil && lanes.sign(digests(9, &generator)[...]) == nil)
    // The signer cuts and puts together again.
    let signer = MultiBufferSigner(lanes, least: try #require(MultiBuffer.leastLanes(bits: bits)), single)
    for count in [0, 1, 7, 11] {
      let digests = digests(count, &generator)
      #expect(try signer.sign(batch: digests) == single.sign(batch: digests), "batch of \(count), seed \(seed)")
    }
  }

  @Test(.enabled(if: isThere)) func whatDoesNotVerifyIsNotBelieved() throws {
    let key = try key(2048, "trial")
    let other = try #require(PEMFile(path: world.path("other.key")).blocks.first?.key)
    func says(_ key: KeyHandle, _ check: KeyHandle) throws -> SigningBackend.Reason? {
      guard case .none(let reason) = LaneKey.probe(key, try #require(SignatureCheck(check))) else { return nil }
      return reason
    }
    #expect(try says(key, key) == nil)
    #expect(try says(key, other) == .trial)
    try world.key("lanes-three", bits: 2048, primes: 3)
    let three = try #require(PEMFile(path: world.path("lanes-three.key")).blocks.first?.key)
    #expect(try says(three, three) == .key)
  }

  /// Through the pool: each signature holds, and each was checked, because the library compares nothing.
  @Test(.enabled(if: isThere)) func thePoolChecksEachOfTheirs() throws {
    let credentials = try world.credentials()
    #expect(credentials.backend == .multiBuffer(version: try #require(MultiBuffer.version)))
    #expect(try credentials.makeSigner() is MultiBufferSigner)
    let pool = try SignerPool(credentials: credentials, threads: 1, batch: 8)
    let collector = Collector()
    for token in 0..<40 as Range<UInt64> {
      pool.submit(SigningJob(token: token, content: [Chunk("m\(token)")], signingTime: world.now, completion: collector.completion(token)))
    }
    let results = collector.wait(for: 40)
    pool.stop()
    for (token, result) in results {
      let verdict = SignatureVerifier.verify(cms: try result.get(), content: [Chunk("m\(token)")], anchors: nil, at: nil, now: world.now)
      #expect(verdict.mathematics == .good)
    }
    #expect(pool.figures.signatures == 40 && pool.figures.checks == 40 && pool.figures.batches < 40)
  }
}
