import Foundation
import Octets
import Synchronization
import Testing

@testable import Signing

@Suite struct RolloverTests {
  let world = TestWorld.shared

  /// A certificate for the same address with a key of its own.
  private func other(_ name: String, days: Int = 3650) throws -> SignerCredentials {
    try world.key(name, bits: 2048)
    try world.issue(
      name, key: name, by: "middle", subject: "/C=IT/O=Alfa/CN=\(name)", days: days,
      extensions: TestWorld.profile + "\nsubjectAltName=email:\(TestWorld.address)")
    return try world.credentials(certificate: "\(name).pem", key: "\(name).key")
  }

  /// The certificate that a signature names, after it was verified.
  private func signer(_ der: [UInt8], _ content: String) throws -> [UInt8] {
    let verdict = SignatureVerifier.verify(cms: der, content: [Chunk(content)], anchors: nil, at: nil, now: world.now)
    #expect(verdict.mathematics == .good)
    return try #require(verdict.signer).der
  }

  /// 1000 jobs of 8 senders while key and certificate change 20 times: none is lost, each verifies with the certificate it names.
  @Test func rollingUnderLoad() throws {
    let generations = [try world.credentials(), try other("roll-1"), try other("roll-2")]
    let pool = try SignerPool(credentials: generations[0], threads: 4, batch: 8)
    let collector = Collector()
    let world = world
    let left = Mutex(8)
    let senders = (0..<8).map { sender in
      Thread {
        for number in 0..<125 {
          let token = UInt64(sender * 1000 + number)
          pool.submit(
            SigningJob(
              token: token, content: [Chunk("message \(token)")], signingTime: world.now, priority: SigningPriority.allCases[number % 4],
              completion: collector.completion(token)))
        }
        left.withLock { $0 -= 1 }
      }
    }
    for thread in senders { thread.start() }
    var served: Set<[UInt8]> = []
    for number in 1...20 {
      let next = generations[number % 3]
      try pool.roll(to: next, now: world.now)
      #expect(pool.credentials.certificate == next.certificate)
      // A job that is submitted now is signed with what was rolled to.
      let der = try signed(pool, [Chunk("roll \(number)")], at: world.now)
      let named = try signer(der, "roll \(number)")
      #expect(named == next.certificate.der)
      served.insert(named)
    }
    let results = collector.wait(for: 1000)
    pool.stop()
    #expect(results.count == 1000 && left.withLock { $0 } == 0)
    let known = Set(generations.map(\.certificate.der))
    for (token, result) in results { #expect(known.contains(try signer(result.get(), "message \(token)"))) }
    #expect(served == known)
    let figures = pool.figures
    #expect(figures.signatures == 1020 && figures.failures == 0 && figures.faultySignatures == 0)
  }

  /// What a thread has in hand is finished with what it was begun with; what waits takes the new one.
  @Test func jobsInHandAreFinishedWithTheOldOne() throws {
    final class Gated: DigestSigner {
      let preferredBatch = 1
      let inner: OpenSSLSigner
      let entered: DispatchSemaphore
      let gate: DispatchSemaphore
      init(_ credentials: SignerCredentials, _ entered: DispatchSemaphore, _ gate: DispatchSemaphore) throws {
        inner = try OpenSSLSigner(credentials)
        self.entered = entered
        self.gate = gate
      }
      func sign(batch: [[UInt8]]) throws -> [[UInt8]] {
        entered.signal()
        gate.wait()
        return try inner.sign(batch: batch)
      }
    }
    let former = try world.credentials()
    let fresh = try other("roll-hand")
    let entered = DispatchSemaphore(value: 0)
    let gate = DispatchSemaphore(value: 0)
    let pool = try SignerPool(credentials: former, threads: 1, batch: 1) { credentials in
      if credentials.certificate == former.certificate { return try Gated(credentials, entered, gate) }
      return try OpenSSLSigner(credentials)
    }
    let collector = Collector()
    for token in 0..<2 as Range<UInt64> {
      pool.submit(SigningJob(token: token, content: [Chunk("m")], signingTime: world.now, completion: collector.completion(token)))
    }
    entered.wait()
    try pool.roll(to: fresh, now: world.now)
    gate.signal()
    let results = collector.wait(for: 2)
    pool.stop()
    #expect(try signer(#require(results[0]).get(), "m") == former.certificate.der)
    #expect(try signer(#require(results[1]).get(), "m") == fresh.certificate.der)
  }

  /// Threads that sleep put the old key down at once, not with their next job.
  @Test func anIdleThreadLetsTheOldKeyGo() throws {
    final class Told: DigestSigner {
      let preferredBatch = 1
      let inner: OpenSSLSigner
      let gone: DispatchSemaphore
      init(_ credentials: SignerCredentials, _ gone: DispatchSemaphore) throws {
        inner = try OpenSSLSigner(credentials)
        self.gone = gone
      }
      deinit { gone.signal() }
      func sign(batch: [[UInt8]]) throws -> [[UInt8]] { try inner.sign(batch: batch) }
    }
    let gone = DispatchSemaphore(value: 0)
    let former = try world.credentials()
    let fresh = try other("roll-idle")
    let pool = try SignerPool(credentials: former, threads: 3, batch: 1) { credentials in
      if credentials.certificate == former.certificate { return try Told(credentials, gone) }
      return try OpenSSLSigner(credentials)
    }
    try pool.roll(to: fresh, now: world.now)
    for _ in 0..<3 { gone.wait() }
    pool.stop()
  }

  @Test func badCredentialsAreRefusedAndTheOldOnesStay() throws {
    struct NoToken: Error {}
    let former = try world.credentials()
    let fresh = try other("roll-bad", days: 10)
    final class Spoiling: DigestSigner {
      let preferredBatch = 1
      let inner: OpenSSLSigner
      init(_ credentials: SignerCredentials) throws { inner = try OpenSSLSigner(credentials) }
      func sign(batch: [[UInt8]]) throws -> [[UInt8]] {
        try inner.sign(batch: batch).map { signature in signature.map { $0 ^ 1 } }
      }
    }
    let mood = Mutex("well")
    let pool = try SignerPool(credentials: former, threads: 2, batch: 8) { credentials in
      switch mood.withLock({ $0 }) {
      case "none": throw NoToken()
      case "words": throw SigningError.backend("the token has gone")
      case "spoils": return try Spoiling(credentials)
      default: return try OpenSSLSigner(credentials)
      }
    }
    defer { pool.stop() }
    func refusal(_ credentials: SignerCredentials, _ now: Int64) -> RolloverError? {
      do throws(RolloverError) {
        try pool.roll(to: credentials, now: now)
        return nil
      } catch {
        #expect(pool.credentials.certificate == former.certificate)
        #expect(error.description.contains("goes on signing"))
        return error
      }
    }
    let facts = fresh.certificate
    for now in [facts.notBefore - 1, facts.notAfter + 1] {
      #expect(refusal(fresh, now) == .outsideValidity(notBefore: facts.notBefore, notAfter: facts.notAfter, now: now))
    }
    let beta = try SignerCredentials(
      keyPath: world.path("other.key"), certificatePath: world.path("other.pem"), serviceAddress: "posta-certificata@pec.beta.test",
      now: world.now)
    #expect(refusal(beta, world.now) == .otherAddress(found: "posta-certificata@pec.beta.test", wanted: TestWorld.address))
    mood.withLock { $0 = "none" }
    #expect(refusal(fresh, world.now) == .backend("NoToken()"))
    mood.withLock { $0 = "words" }
    #expect(refusal(fresh, world.now) == .backend("the token has gone"))
    mood.withLock { $0 = "spoils" }
    #expect(refusal(fresh, world.now) == .faultySignature)
    #expect(try signer(signed(pool, [Chunk("m")], at: world.now), "m") == former.certificate.der)
    mood.withLock { $0 = "well" }
    #expect(refusal(fresh, world.now) == nil)
    #expect(try signer(signed(pool, [Chunk("m")], at: world.now), "m") == fresh.certificate.der)
    pool.stop()
    #expect(throws: RolloverError.stopped) { try pool.roll(to: former, now: world.now) }
  }

  /// A larger key makes longer signatures: the skeleton goes with the key.
  @Test func anotherSizeOfKey() throws {
    try world.key("roll-3072", bits: 3072)
    try world.issue(
      "roll-3072", key: "roll-3072", by: "middle", subject: "/C=IT/O=Alfa/CN=3072",
      extensions: TestWorld.profile + "\nsubjectAltName=email:\(TestWorld.address)")
    let pool = try SignerPool(credentials: world.credentials(), threads: 2, batch: 8)
    defer { pool.stop() }
    let fresh = try world.credentials(certificate: "roll-3072.pem", key: "roll-3072.key")
    try pool.roll(to: fresh, now: world.now)
    #expect(try signer(signed(pool, [Chunk("m")], at: world.now), "m") == fresh.certificate.der)
  }
}
