import Foundation
import Octets
import Synchronization
import Testing

@testable import Signing

@Suite struct PoolTests {
  let world = TestWorld.shared

  /// 200 contents from nothing to 100 KB in random pieces, on 8 threads; each is checked by the verifier and by the command.
  @Test func twoHundredContents() throws {
    let seed = Entropy.word()
    var generator = SeededGenerator(seed: seed)
    let pool = try SignerPool(credentials: world.credentials(), threads: 8, batch: 8)
    let folder = world.path("two-hundred")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let collector = Collector()
    var contents: [[UInt8]] = []
    for number in 0..<200 {
      let size = [0, 1, 55, 56, 64, 100, 5000, 100_000][number % 8]
      let octets = randomOctets(size == 0 ? 0 : Int.random(in: 1...size, using: &generator), &generator)
      contents.append(octets)
      pool.submit(
        SigningJob(
          token: UInt64(number), content: cut(octets, &generator), signingTime: world.now + Int64(number),
          completion: collector.completion(UInt64(number))))
    }
    let results = collector.wait(for: 200)
    pool.stop()
    let anchors = try TrustAnchors(paths: [world.path("root.pem")])
    for (number, content) in contents.enumerated() {
      let der = try #require(try results[UInt64(number)]?.get())
      let verdict = SignatureVerifier.verify(cms: der, content: [Chunk(content)], anchors: anchors, at: nil, now: world.now)
      #expect(verdict.holds, "seed \(seed), content \(number): \(verdict.sentences)")
      #expect(verdict.signingTime == world.now + Int64(number))
      try Data(content).write(to: URL(fileURLWithPath: "\(folder)/\(number).txt"))
      try Data(der).write(to: URL(fileURLWithPath: "\(folder)/\(number).der"))
    }
    let figures = pool.figures
    #expect(figures.signatures == 200 && figures.failures == 0 && figures.faultySignatures == 0)
    #expect(figures.contentBytes == UInt64(contents.reduce(0) { $0 + $1.count }))
    // Every fourth is also given to smime, which knows PKCS#7 only.
    let script = """
      cd "$1"; for n in $(seq 0 199); do
        openssl cms -verify -inform DER -binary -in $n.der -content $n.txt -CAfile "$2" -out /dev/null 2>/dev/null || echo "cms $n"
        [ $((n % 4)) -ne 0 ] || openssl smime -verify -inform DER -binary -in $n.der -content $n.txt -CAfile "$2" -out /dev/null 2>/dev/null || echo "smime $n"
      done
      """
    let checks = try run("sh", ["-c", script, "sh", folder, world.path("root.pem")])
    #expect(checks.text == "", "seed \(seed)")
  }

  @Test func severalSenders() throws {
    let pool = try SignerPool(credentials: world.credentials(), threads: 8, batch: 4)
    let collector = Collector()
    let world = world
    DispatchQueue.concurrentPerform(iterations: 8) { sender in
      for number in 0..<20 {
        let token = UInt64(sender * 100 + number)
        pool.submit(
          SigningJob(token: token, content: [Chunk("message \(token)")], signingTime: world.now, completion: collector.completion(token)))
      }
    }
    let results = collector.wait(for: 160)
    #expect(results.count == 160)
    for (token, result) in results {
      let verdict = SignatureVerifier.verify(
        cms: try result.get(), content: [Chunk("message \(token)")], anchors: nil, at: nil, now: world.now)
      #expect(verdict.mathematics == .good)
    }
    #expect(pool.waiting == 0)
    pool.stop()
  }

  @Test func aStoppedPoolRefuses() throws {
    let pool = try SignerPool(credentials: world.credentials(), threads: 2, batch: 8)
    let collector = Collector()
    for token in 0..<20 as Range<UInt64> {
      pool.submit(SigningJob(token: token, content: [Chunk("x")], signingTime: world.now, completion: collector.completion(token)))
    }
    pool.stop()
    // What waited was signed before stop returned.
    #expect(pool.figures.signatures == 20)
    pool.submit(SigningJob(token: 99, content: [], signingTime: world.now, completion: collector.completion(99)))
    let results = collector.wait(for: 21)
    #expect(results[99] == .failure(.stopped))
    #expect(results.filter { (try? $0.value.get()) != nil }.count == 20)
    pool.stop()
  }

  @Test func nothingIsSignedOutsideOfTheDates() throws {
    let credentials = try world.credentials()
    let pool = try SignerPool(credentials: credentials, threads: 1, batch: 8)
    defer { pool.stop() }
    let facts = credentials.certificate
    for time in [facts.notBefore - 1, facts.notAfter + 1, .max, .min] {
      #expect(throws: SigningError.outsideValidity(signingTime: time, notBefore: facts.notBefore, notAfter: facts.notAfter)) {
        try signed(pool, [Chunk("x")], at: time)
      }
    }
    for time in [facts.notBefore, facts.notAfter] { #expect(try !signed(pool, [Chunk("x")], at: time).isEmpty) }
  }

  // MARK: Backends

  /// A backend that holds its first batch until it is let go, and tells what it was given.
  private final class ScriptedSigner: DigestSigner {
    let preferredBatch: Int
    let inner: OpenSSLSigner
    let batches = Mutex<[Int]>([])
    let gate: DispatchSemaphore?
    let entered = DispatchSemaphore(value: 0)
    let spoil: @Sendable (_ batch: Int, _ index: Int, _ signature: [UInt8]) throws -> [UInt8]

    init(
      _ credentials: SignerCredentials, prefers: Int = 8, gate: DispatchSemaphore? = nil,
      spoil: @escaping @Sendable (Int, Int, [UInt8]) throws -> [UInt8] = { _, _, signature in signature }
    ) throws {
      inner = try OpenSSLSigner(credentials)
      preferredBatch = prefers
      self.gate = gate
      self.spoil = spoil
    }

    func sign(batch: [[UInt8]]) throws -> [[UInt8]] {
      let number = batches.withLock { held in
        held.append(batch.count)
        return held.count
      }
      if number == 1, let gate {
        entered.signal()
        gate.wait()
      }
      return try inner.sign(batch: batch).enumerated().map { try spoil(number, $0.offset, $0.element) }
    }
  }

  @Test func anIdlePoolSignsAtOnceAndABusyOneFillsItsBatches() throws {
    let credentials = try world.credentials()
    let gate = DispatchSemaphore(value: 0)
    let signer = try ScriptedSigner(credentials, gate: gate)
    let pool = try SignerPool(credentials: credentials, threads: 1, batch: 8) { _ in signer }
    let collector = Collector()
    func submit(_ tokens: Range<UInt64>) {
      for token in tokens {
        pool.submit(
          SigningJob(token: token, content: [Chunk("m\(token)")], signingTime: world.now, completion: collector.completion(token)))
      }
    }
    submit(0..<1)
    signer.entered.wait()
    submit(1..<21)
    gate.signal()
    let results = collector.wait(for: 21)
    pool.stop()
    #expect(signer.batches.withLock { $0 } == [1, 8, 8, 4])
    #expect(pool.figures.batches == 4)
    // Each signature went to its own message.
    for (token, result) in results {
      let verdict = SignatureVerifier.verify(cms: try result.get(), content: [Chunk("m\(token)")], anchors: nil, at: nil, now: world.now)
      #expect(verdict.mathematics == .good)
    }
  }

  @Test func aLargeMessageDoesNotHoldUpItsBatch() throws {
    let credentials = try world.credentials()
    let gate = DispatchSemaphore(value: 0)
    let signer = try ScriptedSigner(credentials, gate: gate)
    let pool = try SignerPool(credentials: credentials, threads: 1, batch: 8) { _ in signer }
    let order = Mutex<[UInt64]>([])
    let done = DispatchSemaphore(value: 0)
    func submit(_ token: UInt64, bytes: Int) {
      pool.submit(
        SigningJob(token: token, content: [Chunk([UInt8](repeating: 1, count: bytes))], signingTime: world.now) { _ in
          order.withLock { $0.append(token) }
          done.signal()
        })
    }
    submit(0, bytes: 1)
    signer.entered.wait()
    submit(1, bytes: 2 << 20)
    submit(2, bytes: 10)
    submit(3, bytes: 10)
    gate.signal()
    for _ in 0..<4 { done.wait() }
    pool.stop()
    #expect(order.withLock { $0 } == [0, 2, 3, 1])
  }

  @Test func oneFailureDoesNotSpoilABatch() throws {
    let credentials = try world.credentials()
    let gate = DispatchSemaphore(value: 0)
    struct Broken: Error {}
    // The second batch fails as a whole; tried one by one, its third message (the fifth call) fails alone.
    let signer = try ScriptedSigner(credentials, gate: gate) { batch, _, signature in
      if batch == 2 || batch == 5 { throw Broken() }
      return signature
    }
    let pool = try SignerPool(credentials: credentials, threads: 1, batch: 8) { _ in signer }
    let collector = Collector()
    for token in 0..<1 as Range<UInt64> {
      pool.submit(SigningJob(token: token, content: [], signingTime: world.now, completion: collector.completion(token)))
    }
    signer.entered.wait()
    for token in 1..<5 as Range<UInt64> {
      pool.submit(SigningJob(token: token, content: [], signingTime: world.now, completion: collector.completion(token)))
    }
    gate.signal()
    let results = collector.wait(for: 5)
    pool.stop()
    #expect(results[3] == .failure(.backend("Broken()")))
    for token in [0, 1, 2, 4] as [UInt64] { #expect((try? results[token]?.get()) != nil) }
    #expect(pool.figures.signatures == 4 && pool.figures.failures == 1)
  }

  @Test(arguments: ["flipped bit", "short", "empty", "of another digest", "missing"])
  func aFaultySignatureNeverLeaves(_ kind: String) throws {
    let credentials = try world.credentials()
    let foreign = try OpenSSLSigner(credentials).sign(batch: [[UInt8](repeating: 3, count: 32)])[0]
    final class Faulty: DigestSigner {
      let preferredBatch = 8
      let inner: OpenSSLSigner
      let kind: String
      let foreign: [UInt8]
      init(_ inner: OpenSSLSigner, _ kind: String, _ foreign: [UInt8]) {
        self.inner = inner
        self.kind = kind
        self.foreign = foreign
      }
      func sign(batch: [[UInt8]]) throws -> [[UInt8]] {
        if kind == "missing" { return [] }
        return try inner.sign(batch: batch).map { signature in
          var spoiled = signature
          switch kind {
          case "flipped bit": spoiled[100] ^= 4
          case "short": spoiled.removeLast()
          case "empty": spoiled = []
          default: spoiled = foreign
          }
          return spoiled
        }
      }
    }
    let pool = try SignerPool(credentials: credentials, threads: 1, batch: 8) { try Faulty(OpenSSLSigner($0), kind, foreign) }
    defer { pool.stop() }
    let expected = kind == "missing" ? SigningError.backend("0 signatures for 1 digests") : .faultySignature
    #expect(throws: expected) { try signed(pool, [Chunk("x")], at: world.now) }
  }

  @Test func aBackendThatCannotBeMadeIsToldAtStart() throws {
    let credentials = try world.credentials()
    #expect(throws: SigningError.backend("no token")) {
      try SignerPool(credentials: credentials, threads: 2, batch: 8) { _ in throw SigningError.backend("no token") }
    }
  }

  @Test func aPoolThatIsDroppedFinishesItsJobs() throws {
    let collector = Collector()
    do {
      let pool = try SignerPool(credentials: world.credentials(), threads: 2, batch: 8)
      for token in 0..<10 as Range<UInt64> {
        pool.submit(SigningJob(token: token, content: [], signingTime: world.now, completion: collector.completion(token)))
      }
    }
    #expect(collector.wait(for: 10).values.allSatisfy { (try? $0.get()) != nil })
  }
}
