import Octets
import Synchronization
import Threading

/// Threads that sign. Each takes what waits, up to a batch, by priority, across all kinds of messages. None waits for a batch to fill: an
/// idle pool signs at once, a busy one finds its batches full; only a back end whose part-filled batch costs as much as a full one may be
/// kept waiting, and only for jobs that were announced (`expect`).
///
/// Key and certificate may be exchanged while it runs (`roll`).
public final class SignerPool: Sendable {
  /// How a pool treats its jobs.
  public struct Settings: Sendable, Equatable {
    /// The most digests given to a signer at once; a signer that prefers fewer gets fewer.
    public var batch: Int
    /// Of a back end that checks each of its signatures itself, every which one the pool checks as well; 1: all. Every signature of other
    /// back ends is checked, whatever this says. See `SignatureCheck`.
    public var checkEvery: Int
    /// A job that has waited for longer than this, in milliseconds, goes before those of higher priority.
    public var patienceMilliseconds: Int
    /// How long a batch may wait for announced jobs, in microseconds from the arrival of its oldest job; 0: never.
    public var gatherMicroseconds: Int

    /// Told of each batch when it is done, on its thread.
    public var onBatch: (@Sendable (SigningFigures) -> Void)?

    /// True when all but who is told of batches is the same.
    public static func == (one: Settings, other: Settings) -> Bool {
      one.batch == other.batch && one.checkEvery == other.checkEvery && one.patienceMilliseconds == other.patienceMilliseconds
        && one.gatherMicroseconds == other.gatherMicroseconds
    }

    /// What the gateway has; every value may be left out.
    public init(batch: Int = 8, checkEvery: Int = 16, patienceMilliseconds: Int = 50, gatherMicroseconds: Int = 0) {
      self.batch = batch
      self.checkEvery = checkEvery
      self.patienceMilliseconds = patienceMilliseconds
      self.gatherMicroseconds = gatherMicroseconds
    }
  }

  private let queue: SigningQueue
  private let totals: FiguresBox
  private let rota: SigningRota
  private let threads: Mutex<[WorkerThread]>

  /// Starts the threads with what it takes to sign at once.
  ///
  /// - Parameters:
  ///   - credentials: key, certificate and chain.
  ///   - threads: how many; at least one. With a token each has a session of its own.
  ///   - batch: the most digests given to a signer at once; a signer that prefers fewer gets fewer.
  ///   - signer: makes each thread's signer, at start and at each rollover; what the credentials' key asks for unless said otherwise.
  /// - Throws: `SigningError.backend`, or what `signer` throws.
  public convenience init(
    credentials: SignerCredentials, threads count: Int, batch: Int,
    signer: @escaping @Sendable (SignerCredentials) throws -> any DigestSigner = { try $0.makeSigner() }
  ) throws {
    try self.init(credentials: credentials, threads: count, settings: Settings(batch: batch), signer: signer)
  }

  /// Starts the threads; see the other one.
  public init(
    credentials: SignerCredentials, threads count: Int, settings: Settings,
    signer: @escaping @Sendable (SignerCredentials) throws -> any DigestSigner = { try $0.makeSigner() }
  ) throws {
    queue = SigningQueue(
      patienceNanoseconds: UInt64(max(0, settings.patienceMilliseconds)) * 1_000_000,
      gatherNanoseconds: UInt64(max(0, settings.gatherMicroseconds)) * 1000)
    totals = FiguresBox(onBatch: settings.onBatch)
    rota = try SigningRota(credentials, places: max(1, count), settings, signer)
    // The threads hold the queue, the figures and the rota, never the pool: it can go while they finish.
    threads = Mutex(
      (0..<max(1, count)).map { [queue, totals, rota] place in
        WorkerThread(name: "signer-\(place)") { SignerPool.work(place, queue, totals, rota) }
      })
  }

  deinit { queue.close() }

  /// One thread's life.
  private static func work(_ place: Int, _ queue: SigningQueue, _ totals: FiguresBox, _ rota: SigningRota) {
    var shift = rota.shift(place)
    shift.bench.signer.prepare()
    var heard: UInt64 = 0
    while true {
      let taken = queue.take(atMost: shift.bench.batch, gathers: shift.bench.signer.partBatchCostsAsMuch, heard: &heard)
      // Looked up after the jobs were taken: a job that was submitted after `roll` returned meets the new credentials.
      if rota.generation != shift.generation {
        shift = rota.shift(place)
        shift.bench.signer.prepare()
      }
      switch taken {
      case .jobs(let jobs): totals.add(shift.bench.perform(jobs))
      case .woken: continue
      case .closed: return
      }
    }
  }

  /// Takes a job. After `stop` it is refused: the completion is called at once with `stopped`.
  public func submit(_ job: SigningJob) {
    if !queue.send(job) { job.completion(.failure(.stopped)) }
  }

  /// Says that so many jobs will be submitted at once, so that a batch may wait for them. Nothing depends on their coming.
  public func expect(_ jobs: Int) { queue.announce(jobs) }

  /// Jobs that wait for a thread.
  public var waiting: Int { queue.count }

  /// What was done so far.
  public var figures: SigningFigures { totals.value }

  /// What jobs are signed with that are submitted now.
  public var credentials: SignerCredentials { rota.credentials }

  /// Exchanges key and certificate without a pause: jobs that threads have in hand are finished with the old ones, those that are
  /// submitted after this returns are signed with the new ones, those that wait with either. No job is refused or waits.
  ///
  /// The new credentials are tried before anything depends on them, in the calling thread; a failure leaves everything as it was. The
  /// old key is wiped when the last thread has put it down, at once for one that sleeps.
  ///
  /// - Parameters:
  ///   - credentials: the new ones, for the same service address.
  ///   - now: seconds since 1970; the certificate must be valid then.
  /// - Throws: why the old ones stay.
  public func roll(to credentials: SignerCredentials, now: Int64) throws(RolloverError) {
    // A thread that is gone would never put down what it was given.
    guard threads.withLock({ !$0.isEmpty }) else { throw .stopped }
    try rota.roll(to: credentials, now: now)
    queue.wake()
  }

  /// Takes no more jobs, signs those that wait, and returns when the last completion was called. Not to be called by a completion.
  public func stop() {
    queue.close()
    let running = threads.withLock { held in
      defer { held = [] }
      return held
    }
    for thread in running { thread.join() }
  }
}
