import Foundation
import Octets
import Synchronization
import Testing

@testable import Signing

/// Who checks which signature before it leaves.
@Suite struct CheckTests {
  let world = TestWorld.shared

  @Test func whichAreDue() {
    func due(_ checks: TrustedChecks, _ count: Int) -> [Int] {
      var checks = checks
      return (1...count).filter { _ in checks.isDue() }
    }
    #expect(due(TrustedChecks(isTrusted: true, interval: 16), 40) == [1, 17, 33])
    #expect(due(TrustedChecks(isTrusted: true, interval: 1), 4) == [1, 2, 3, 4])
    #expect(due(TrustedChecks(isTrusted: true, interval: 0), 4) == [1, 2, 3, 4])
    #expect(due(TrustedChecks(isTrusted: false, interval: 16), 4) == [1, 2, 3, 4])
    var withdrawn = TrustedChecks(isTrusted: true, interval: 16)
    _ = withdrawn.isDue()
    withdrawn.withdraw()
    #expect(due(withdrawn, 4) == [1, 2, 3, 4])
  }

  /// The OpenSSL that is installed raises what its CRT made to the public exponent: with either half spoiled it makes a good signature
  /// all the same. The day it does not, the pool checks everything, and this test says so.
  @Test(arguments: [2048, 3072, 4096]) func openSSLCatchesItsOwnFaults(_ bits: Int) throws {
    try world.key("probe-\(bits)", bits: bits)
    let key = try #require(PEMFile(path: world.path("probe-\(bits).key")).blocks.first?.key)
    let check = try #require(SignatureCheck(key))
    #expect(FaultProbe.catchesFaults(key, check))
    #expect(try OpenSSLSigner(key, checksEachSignature: true).checksEachSignature)
    // A probe whose signatures are no good says no.
    let other = try #require(PEMFile(path: world.path("other.key")).blocks.first?.key)
    #expect(!FaultProbe.catchesFaults(other, check))
  }

  @Test func credentialsKnowWhetherTheirKeyIsSafeWithOpenSSL() throws {
    #expect(try OpenSSLSigner(world.credentials()).checksEachSignature)
  }

  private func pool(_ settings: SignerPool.Settings, _ make: @escaping @Sendable (SignerCredentials) throws -> any DigestSigner) throws
    -> SignerPool
  {
    try SignerPool(credentials: world.credentials(), threads: 1, settings: settings, signer: make)
  }

  @discardableResult
  private func sign(_ pool: SignerPool, _ count: Int) -> [Result<[UInt8], SigningError>] {
    let collector = Collector()
    for token in 0..<UInt64(count) {
      pool.submit(SigningJob(token: token, content: [Chunk("m\(token)")], signingTime: world.now, completion: collector.completion(token)))
    }
    let results = collector.wait(for: count)
    return (0..<UInt64(count)).compactMap { results[$0] }
  }

  @Test func ofOpenSSLsSignaturesAllAreCheckedOrSamples() throws {
    let sampled = try pool(.init(checkEvery: 16)) { try OpenSSLSigner($0) }
    sign(sampled, 40)
    sampled.stop()
    #expect(sampled.figures.signatures == 40 && sampled.figures.checks == 3)
    let all = try pool(.init(checkEvery: 1)) { try OpenSSLSigner($0) }
    sign(all, 40)
    all.stop()
    #expect(all.figures.signatures == 40 && all.figures.checks == 40)
    // What the gateway has, unless it is told otherwise.
    #expect(SignerPool.Settings().checkEvery == 16)
  }

  /// A back end whose signatures go wrong from the n-th on, counted from 0.
  private final class Failing: DigestSigner {
    let preferredBatch: Int
    let checksEachSignature: Bool
    let inner: OpenSSLSigner
    let from: Int
    let until: Int
    let count = Mutex(0)

    init(_ credentials: SignerCredentials, says checks: Bool, from: Int, until: Int = .max, batch: Int = 1) throws {
      inner = try OpenSSLSigner(credentials)
      checksEachSignature = checks
      preferredBatch = batch
      self.from = from
      self.until = until
    }

    func sign(batch: [[UInt8]]) throws -> [[UInt8]] {
      try inner.sign(batch: batch).map { signature in
        let number = count.withLock { held in
          defer { held += 1 }
          return held
        }
        var spoiled = signature
        if (from..<until).contains(number) { spoiled[10] ^= 1 }
        return spoiled
      }
    }
  }

  private func isRefused(_ result: Result<[UInt8], SigningError>) -> Bool {
    guard case .failure(.faultySignature) = result else { return false }
    return true
  }

  /// A back end that does not say that it checks: every signature is checked, and each faulty one refused, in a batch too.
  @Test(arguments: [1, 8]) func everySignatureOfOthersIsChecked(_ batch: Int) throws {
    let pool = try pool(.init(checkEvery: 16)) { try Failing($0, says: false, from: 3, until: 7, batch: batch) }
    let results = sign(pool, 40)
    pool.stop()
    #expect(results.indices.filter { isRefused(results[$0]) } == [3, 4, 5, 6])
    #expect(pool.figures.checks == 40 && pool.figures.faultySignatures == 4 && pool.figures.signatures == 36)
  }

  /// One that says it checks, and does not: the next sample finds it out, and from then on nothing faulty leaves.
  @Test func aBackEndThatIsNotWorthItsTrustLosesIt() throws {
    let pool = try pool(.init(checkEvery: 16)) { try Failing($0, says: true, from: 20) }
    let results = sign(pool, 100)
    pool.stop()
    // Samples are 0, 16, 32; what was made wrong between 20 and 31 has left, which is the price of samples (see SignatureCheck).
    #expect(results.indices.filter { isRefused(results[$0]) } == Array(32..<100))
    #expect(pool.figures.checks == 2 + 68)
    // The first one is always a sample.
    let bad = try self.pool(.init(checkEvery: 16)) { try Failing($0, says: true, from: 0) }
    #expect(sign(bad, 10).allSatisfy(isRefused))
    bad.stop()
  }

  @Test func aSignatureOfTheWrongLengthNeedsNoSample() throws {
    final class Short: DigestSigner {
      let preferredBatch = 1
      let checksEachSignature = true
      let inner: OpenSSLSigner
      let count = Mutex(0)
      init(_ inner: OpenSSLSigner) { self.inner = inner }
      func sign(batch: [[UInt8]]) throws -> [[UInt8]] {
        let number = count.withLock { held in
          defer { held += 1 }
          return held
        }
        return try inner.sign(batch: batch).map { number == 2 ? Array($0.dropLast()) : $0 }
      }
    }
    let pool = try pool(.init(checkEvery: 16)) { Short(try OpenSSLSigner($0)) }
    let results = sign(pool, 4)
    pool.stop()
    #expect(results.indices.filter { isRefused(results[$0]) } == [2])
  }

  // MARK: Numbers for other back ends

  @Test(arguments: [2048, 3072, 4096]) func numbersLieAsTheyAreSaidTo(_ bits: Int) throws {
    try world.key("numbers-\(bits)", bits: bits)
    let key = try #require(PEMFile(path: world.path("numbers-\(bits).key")).blocks.first?.key)
    let numbers = try #require(PrivateNumbers(key))
    #expect(numbers.bits == bits && numbers.primeWords == bits / 128 && numbers.publicExponent == 65537)
    let text = try world.openssl("rsa", "-in", world.path("numbers-\(bits).key"), "-noout", "-text").text
    func expected(_ from: String, _ to: String?) -> [UInt8] {
      let tail = text.components(separatedBy: from)[1]
      let digits = (to.map { tail.components(separatedBy: $0)[0] } ?? tail).filter(\.isHexDigit)
      var octets = stride(from: 0, to: digits.count, by: 2).map { at -> UInt8 in
        let start = digits.index(digits.startIndex, offsetBy: at)
        return UInt8(digits[start..<digits.index(start, offsetBy: 2)], radix: 16) ?? 0
      }
      while octets.first == 0 { octets.removeFirst() }
      return octets
    }
    func found(_ words: UnsafePointer<UInt64>, _ count: Int) -> [UInt8] {
      var octets = (0..<8 * count).reversed().map { UInt8(truncatingIfNeeded: words[$0 / 8] >> (8 * UInt64($0 % 8))) }
      while octets.first == 0 { octets.removeFirst() }
      return octets
    }
    let words = numbers.primeWords
    #expect(found(numbers.modulus, 2 * words) == expected("modulus:", "publicExponent"))
    #expect(found(numbers[.p], words) == expected("prime1:", "prime2"))
    #expect(found(numbers[.q], words) == expected("prime2:", "exponent1"))
    #expect(found(numbers[.dP], words) == expected("exponent1:", "exponent2"))
    #expect(found(numbers[.dQ], words) == expected("exponent2:", "coefficient"))
    #expect(found(numbers[.qInv], words) == expected("coefficient:", nil))
  }

  @Test func aKeyOfThreePrimesHasNoSuchNumbers() throws {
    try world.key("three", bits: 2048, primes: 3)
    #expect(PrivateNumbers(try #require(PEMFile(path: world.path("three.key")).blocks.first?.key)) == nil)
  }
}
