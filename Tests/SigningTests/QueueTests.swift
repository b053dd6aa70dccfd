import Foundation
import Octets
import Synchronization
import Testing

@testable import Signing

@Suite struct QueueTests {
  // MARK: Lines

  private func lines(_ waiting: [(item: Int, priority: Int, since: UInt64)], patience: UInt64 = 50) -> SigningLines<Int> {
    var lines = SigningLines<Int>(priorities: 4, patience: patience)
    for one in waiting { lines.add(one.item, priority: one.priority, now: one.since) }
    return lines
  }

  @Test func byPriorityAndThenByAge() {
    var lines = lines([(1, 3, 0), (2, 1, 1), (3, 0, 2), (4, 1, 3), (5, 2, 4), (6, 0, 5)])
    #expect(lines.oldest == 0)
    #expect(lines.take(atMost: 4, now: 10) == [3, 6, 2, 4])
    #expect(lines.count == 2 && lines.oldest == 0)
    #expect(lines.take(atMost: 4, now: 10) == [5, 1])
    #expect(lines.isEmpty && lines.oldest == nil)
    #expect(lines.take(atMost: 4, now: 10) == [])
  }

  @Test func whatHasWaitedTooLongGoesFirst() {
    var lines = lines([(1, 3, 0), (2, 2, 5), (3, 0, 20), (4, 0, 70), (5, 3, 60)])
    // At 71, the first three have waited for more than 50, the longest wait first; then priority again.
    #expect(lines.take(atMost: 5, now: 71) == [1, 2, 3, 4, 5])
    var fresh = self.lines([(1, 3, 0), (2, 0, 1)])
    #expect(fresh.take(atMost: 1, now: 50) == [2])
    var late = self.lines([(1, 3, 0), (2, 0, 1)])
    #expect(late.take(atMost: 1, now: 51) == [1])
  }

  /// Without end there is something more urgent; what is least urgent is taken all the same, after its patience.
  @Test func nothingStarves() {
    var lines = SigningLines<Int>(priorities: 4, patience: 50)
    lines.add(-1, priority: 3, now: 0)
    var taken: [Int] = []
    for now in 0..<100 as Range<UInt64> {
      lines.add(Int(now), priority: 0, now: now)
      lines.add(1000 + Int(now), priority: 0, now: now)
      taken += lines.take(atMost: 1, now: now)
    }
    let place = taken.firstIndex(of: -1)
    #expect(place == 51)
  }

  @Test func aClockThatStandsStillAndPrioritiesThatAreNone() {
    var lines = lines([(1, -5, 7), (2, 99, 7), (3, 0, 7)], patience: 0)
    #expect(lines.take(atMost: 9, now: 7) == [1, 3, 2])
  }

  /// The same as a list that is sorted anew for each taking, with random comings and takings.
  @Test func asAPlainListDoes() {
    let seed = Entropy.word()
    var generator = SeededGenerator(seed: seed)
    var lines = SigningLines<Int>(priorities: 4, patience: 40)
    var model: [(item: Int, priority: Int, since: UInt64)] = []
    var now: UInt64 = 0
    var number = 0
    for _ in 0..<3000 {
      now += UInt64.random(in: 0...9, using: &generator)
      for _ in 0..<Int.random(in: 0...4, using: &generator) {
        number += 1
        let priority = Int.random(in: 0..<4, using: &generator)
        lines.add(number, priority: priority, now: now)
        model.append((number, priority, now))
      }
      let most = Int.random(in: 0...5, using: &generator)
      var expected: [Int] = []
      while expected.count < most, !model.isEmpty {
        let late = model.indices.filter { now - model[$0].since > 40 }
        // Of equal age, as the lines stand.
        let at =
          late.min { (model[$0].since, model[$0].priority, $0) < (model[$1].since, model[$1].priority, $1) }
          ?? model.indices.min { (model[$0].priority, $0) < (model[$1].priority, $1) }!
        expected.append(model.remove(at: at).item)
      }
      #expect(lines.take(atMost: most, now: now) == expected, "seed \(seed)")
      #expect(lines.count == model.count)
    }
  }

  // MARK: Through the pool

  /// Signs nothing real: says what it was given, a batch at a time, and waits at a gate before each.
  private final class Watched: DigestSigner {
    let preferredBatch: Int
    let partBatchCostsAsMuch: Bool
    let inner: OpenSSLSigner
    let sizes = Mutex<[Int]>([])
    let entered = DispatchSemaphore(value: 0)
    let gate: DispatchSemaphore?

    init(_ credentials: SignerCredentials, prefers: Int, flat: Bool = false, gate: DispatchSemaphore? = nil) throws {
      inner = try OpenSSLSigner(credentials)
      preferredBatch = prefers
      partBatchCostsAsMuch = flat
      self.gate = gate
    }

    func sign(batch: [[UInt8]]) throws -> [[UInt8]] {
      let isFirst = sizes.withLock { held in
        held.append(batch.count)
        return held.count == 1
      }
      if isFirst, let gate {
        entered.signal()
        gate.wait()
      }
      return try inner.sign(batch: batch)
    }
  }

  @Test func aBatchFillsAcrossKindsInTheirOrder() throws {
    let world = TestWorld.shared
    let credentials = try world.credentials()
    let gate = DispatchSemaphore(value: 0)
    let signer = try Watched(credentials, prefers: 8, gate: gate)
    // Nobody is impatient here, however slow the machine.
    let pool = try SignerPool(
      credentials: credentials, threads: 1, settings: .init(batch: 8, patienceMilliseconds: 3_600_000)
    ) { _ in signer }
    let order = Mutex<[UInt64]>([])
    let done = DispatchSemaphore(value: 0)
    func submit(_ token: UInt64, _ priority: SigningPriority) {
      pool.submit(
        SigningJob(token: token, content: [Chunk("m\(token)")], signingTime: world.now, priority: priority) { _ in
          order.withLock { $0.append(token) }
          done.signal()
        })
    }
    submit(0, .deliveryReceipt)
    signer.entered.wait()
    for token in 1...3 as ClosedRange<UInt64> { submit(10 * token, .deliveryReceipt) }
    for token in 1...3 as ClosedRange<UInt64> { submit(10 * token + 1, .envelope) }
    for token in 1...3 as ClosedRange<UInt64> { submit(10 * token + 2, .takeCharge) }
    for token in 1...3 as ClosedRange<UInt64> { submit(10 * token + 3, .acceptance) }
    gate.signal()
    for _ in 0..<13 { done.wait() }
    pool.stop()
    #expect(signer.sizes.withLock { $0 } == [1, 8, 4])
    #expect(order.withLock { $0 } == [0, 13, 23, 33, 12, 22, 32, 11, 21, 31, 10, 20, 30])
  }

  /// Eight were announced: the batch is signed when the eighth is there, and in one.
  @Test func anAnnouncedBatchIsGathered() throws {
    let world = TestWorld.shared
    let credentials = try world.credentials()
    let signer = try Watched(credentials, prefers: 8, flat: true)
    let pool = try SignerPool(
      credentials: credentials, threads: 1, settings: .init(batch: 8, gatherMicroseconds: 3_600_000_000)
    ) { _ in signer }
    let collector = Collector()
    pool.expect(8)
    for token in 0..<8 as Range<UInt64> {
      pool.submit(SigningJob(token: token, content: [], signingTime: world.now, completion: collector.completion(token)))
    }
    _ = collector.wait(for: 8)
    #expect(signer.sizes.withLock { $0 } == [8])
    // Without an announcement nothing is waited for.
    pool.submit(SigningJob(token: 9, content: [], signingTime: world.now, completion: collector.completion(9)))
    _ = collector.wait(for: 1)
    // Two of three announced ones are waited for, and `stop` does not wait for the third.
    pool.expect(3)
    for token in 10..<12 as Range<UInt64> {
      pool.submit(SigningJob(token: token, content: [], signingTime: world.now, completion: collector.completion(token)))
    }
    pool.stop()
    #expect(collector.wait(for: 2).count == 11)
    #expect(signer.sizes.withLock { $0 } == [8, 1, 2])
  }

  /// Jobs that were announced and never come hold up one batch, for the time that was set, and none after it.
  @Test func whatNeverComesIsNotWaitedForAgain() throws {
    let world = TestWorld.shared
    let credentials = try world.credentials()
    let signer = try Watched(credentials, prefers: 8, flat: true)
    let pool = try SignerPool(credentials: credentials, threads: 1, settings: .init(batch: 8, gatherMicroseconds: 1)) { _ in signer }
    let collector = Collector()
    pool.expect(1000)
    for token in 0..<20 as Range<UInt64> {
      pool.submit(SigningJob(token: token, content: [], signingTime: world.now, completion: collector.completion(token)))
      _ = collector.wait(for: 1)
    }
    pool.stop()
    #expect(signer.sizes.withLock { $0.reduce(0, +) } == 20)
  }

  /// A back end that signs one after the other is never kept waiting, whatever is announced.
  @Test func onlyABackEndThatGainsIsKeptWaiting() throws {
    let world = TestWorld.shared
    // Named: a processor with IFMA has another one by default, which does gain.
    let pool = try SignerPool(
      credentials: world.credentials(), threads: 2, settings: .init(batch: 8, gatherMicroseconds: 3_600_000_000)
    ) { try OpenSSLSigner($0) }
    pool.expect(1000)
    #expect(try !signed(pool, [Chunk("x")], at: world.now).isEmpty)
    pool.stop()
  }
}
