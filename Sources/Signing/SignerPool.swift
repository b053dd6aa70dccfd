import Glibc
import Octets
import Synchronization
import Threading

/// A message to be signed.
public struct SigningJob: Sendable {
  /// The caller's mark; the pool does nothing with it.
  public var token: UInt64
  /// The exact octets to be signed, in order; digested by the signing thread.
  public var content: [Chunk]
  /// The certified instant (`pec-rules` 11.1), seconds since 1970.
  public var signingTime: Int64
  /// Called once, by the signing thread, with the detached SignedData in DER, or with why there is none. It should only pass the
  /// result on.
  public var completion: @Sendable (Result<[UInt8], SigningError>) -> Void

  /// A content to be signed.
  public init(
    token: UInt64, content: [Chunk], signingTime: Int64, completion: @escaping @Sendable (Result<[UInt8], SigningError>) -> Void
  ) {
    self.token = token
    self.content = content
    self.signingTime = signingTime
    self.completion = completion
  }

  var contentBytes: Int { content.reduce(0) { $0 + $1.count } }
}

/// What a pool did since its start.
public struct SigningFigures: Sendable, Equatable {
  /// Signatures that left.
  public var signatures: UInt64 = 0
  /// Jobs that failed.
  public var failures: UInt64 = 0
  /// Signatures that were made and did not verify; anything but zero is a reason to stop and look.
  public var faultySignatures: UInt64 = 0
  /// Batches handed to a signer.
  public var batches: UInt64 = 0
  /// Octets digested.
  public var contentBytes: UInt64 = 0
  /// Time in digesting, in the signer, in the check of each signature, and from a batch's first to last instruction, in nanoseconds
  /// of all threads together.
  public var digestNanoseconds: UInt64 = 0
  public var signNanoseconds: UInt64 = 0
  public var checkNanoseconds: UInt64 = 0
  public var busyNanoseconds: UInt64 = 0

  public init() {}

  fileprivate mutating func add(_ other: SigningFigures) {
    signatures &+= other.signatures
    failures &+= other.failures
    faultySignatures &+= other.faultySignatures
    batches &+= other.batches
    contentBytes &+= other.contentBytes
    digestNanoseconds &+= other.digestNanoseconds
    signNanoseconds &+= other.signNanoseconds
    checkNanoseconds &+= other.checkNanoseconds
    busyNanoseconds &+= other.busyNanoseconds
  }
}

/// Threads that sign. Each takes what waits, up to a batch, and never waits for a batch to fill: an idle pool signs at once, a busy
/// one finds its batches full.
public final class SignerPool: Sendable {
  private let queue: Handoff<SigningJob>
  private let totals: FiguresBox
  private let threads: Mutex<[WorkerThread]>

  /// Starts the threads.
  ///
  /// - Parameters:
  ///   - credentials: key, certificate and chain.
  ///   - threads: how many; at least one.
  ///   - batch: the most digests given to a signer at once; a signer that prefers fewer gets fewer.
  ///   - signer: makes each thread's signer; OpenSSL unless said otherwise.
  /// - Throws: `SigningError.backend`, or what `signer` throws.
  public init(
    credentials: SignerCredentials, threads count: Int, batch: Int,
    signer: @Sendable (SignerCredentials) throws -> any DigestSigner = { try OpenSSLSigner($0) }
  ) throws {
    queue = Handoff()
    totals = FiguresBox()
    var benches: [SigningBench] = []
    for _ in 0..<max(1, count) {
      let own = try signer(credentials)
      guard let bench = SigningBench(credentials, own) else { throw SigningError.backend(OpenSSLErrors.take()) }
      benches.append(bench)
    }
    // The threads hold the queue and the figures, never the pool: it can go while they finish.
    threads = Mutex(
      benches.enumerated().map { [queue, totals] number, bench in
        let most = max(1, min(batch, bench.signer.preferredBatch))
        return WorkerThread(name: "signer-\(number)") {
          while let jobs = queue.take(atMost: most) {
            totals.add(bench.perform(jobs))
          }
        }
      })
  }

  deinit { queue.close() }

  /// Takes a job. After `stop` it is refused: the completion is called at once with `stopped`.
  public func submit(_ job: SigningJob) {
    if !queue.send(job) { job.completion(.failure(.stopped)) }
  }

  /// Jobs that wait for a thread.
  public var waiting: Int { queue.count }

  /// What was done so far.
  public var figures: SigningFigures { totals.value }

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

/// The pool's counters, written once for each batch.
private final class FiguresBox: Sendable {
  private let held = Mutex(SigningFigures())

  var value: SigningFigures { held.withLock { $0 } }

  func add(_ figures: SigningFigures) { held.withLock { $0.add(figures) } }
}

/// What one thread signs with.
///
/// Made by the pool's init and then used by its one thread only, which is why it may be handed over.
@safe
private final class SigningBench: @unchecked Sendable {
  let signer: any DigestSigner
  private let hasher: Hasher
  private let check: SignatureCheck
  private let skeleton: CMSSkeleton
  private let notBefore: Int64
  private let notAfter: Int64

  /// Content from this size on is digested after the batch's small messages have left: a 70 MB mail takes a fifth of a second.
  private static let largeBytes = 1 << 20

  init?(_ credentials: SignerCredentials, _ signer: any DigestSigner) {
    guard let algorithm = DigestAlgorithm.sha256, let check = SignatureCheck(credentials.publicKey) else { return nil }
    self.signer = signer
    self.check = check
    hasher = Hasher(algorithm)
    skeleton = credentials.skeleton
    notBefore = credentials.certificate.notBefore
    notAfter = credentials.certificate.notAfter
  }

  /// Signs a batch and calls every completion.
  func perform(_ jobs: [SigningJob]) -> SigningFigures {
    var figures = SigningFigures()
    let begin = SigningBench.nanoseconds()
    if jobs.count == 1 {
      sign(jobs, &figures)
    } else {
      sign(jobs.filter { $0.contentBytes < SigningBench.largeBytes }, &figures)
      for large in jobs where large.contentBytes >= SigningBench.largeBytes { sign([large], &figures) }
    }
    figures.busyNanoseconds = SigningBench.nanoseconds() &- begin
    return figures
  }

  /// A message on its way through a batch.
  private struct Item {
    let job: SigningJob
    let attributes: [UInt8]
    let digest: [UInt8]
  }

  private func sign(_ jobs: [SigningJob], _ figures: inout SigningFigures) {
    guard !jobs.isEmpty else { return }
    let begin = SigningBench.nanoseconds()
    var items: [Item] = []
    items.reserveCapacity(jobs.count)
    for job in jobs {
      switch prepare(job) {
      case .success(let item):
        items.append(item)
        figures.contentBytes &+= UInt64(job.contentBytes)
      case .failure(let error):
        figures.failures &+= 1
        job.completion(.failure(error))
      }
    }
    let digested = SigningBench.nanoseconds()
    figures.digestNanoseconds &+= digested &- begin
    guard !items.isEmpty else { return }
    let signatures = rawSignatures(items, &figures)
    figures.signNanoseconds &+= SigningBench.nanoseconds() &- digested
    for (item, outcome) in zip(items, signatures) { finish(item, outcome, &figures) }
  }

  private func prepare(_ job: SigningJob) -> Result<Item, SigningError> {
    guard notBefore <= job.signingTime, job.signingTime <= notAfter else {
      return .failure(.outsideValidity(signingTime: job.signingTime, notBefore: notBefore, notAfter: notAfter))
    }
    guard
      let content = hasher.digest(job.content),
      let attributes = skeleton.attributes(signingTime: job.signingTime, messageDigest: content),
      let digest = hasher.digest(skeleton.signedOctets(attributes: attributes))
    else { return .failure(.backend(OpenSSLErrors.take())) }
    return .success(Item(job: job, attributes: attributes, digest: digest))
  }

  /// The signatures of a batch. When the backend fails for a batch each message is tried alone, so that one does not spoil the others.
  private func rawSignatures(_ items: [Item], _ figures: inout SigningFigures) -> [Result<[UInt8], SigningError>] {
    figures.batches &+= 1
    do {
      let made = try signer.sign(batch: items.map(\.digest))
      guard made.count == items.count else { throw SigningError.backend("\(made.count) signatures for \(items.count) digests") }
      return made.map { .success($0) }
    } catch {
      if items.count > 1 { return items.flatMap { rawSignatures([$0], &figures) } }
      return [.failure(error as? SigningError ?? .backend("\(error)"))]
    }
  }

  private func finish(_ item: Item, _ outcome: Result<[UInt8], SigningError>, _ figures: inout SigningFigures) {
    let result = outcome.flatMap { signature -> Result<[UInt8], SigningError> in
      let begin = SigningBench.nanoseconds()
      let holds = signature.count == skeleton.signatureBytes && check.holds(signature, digest: item.digest)
      figures.checkNanoseconds &+= SigningBench.nanoseconds() &- begin
      if !holds { figures.faultySignatures &+= 1 }
      return holds ? .success(skeleton.assemble(attributes: item.attributes, signature: signature)) : .failure(.faultySignature)
    }
    switch result {
    case .success: figures.signatures &+= 1
    case .failure: figures.failures &+= 1
    }
    item.job.completion(result)
  }

  private static func nanoseconds() -> UInt64 {
    var now = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
  }
}
