internal import COpenSSL
import Glibc
import Octets

/// What one thread signs with, for one generation of credentials.
///
/// Made by whoever starts the pool or rolls it over, and then used by its one thread only, which is why it may be handed over.
@safe
final class SigningBench: @unchecked Sendable {
  let signer: any DigestSigner
  /// The most digests that the signer gets at once.
  let batch: Int
  private let hasher: Hasher
  private let check: SignatureCheck
  private var checks: TrustedChecks
  private let skeleton: CMSSkeleton
  private let notBefore: Int64
  private let notAfter: Int64

  /// Content from this size on is digested after the batch's small messages have left: a 70 MB mail takes a fifth of a second.
  private static let largeBytes = 1 << 20

  /// Nil when OpenSSL refuses the certificate's key.
  init?(_ credentials: SignerCredentials, _ signer: any DigestSigner, batch: Int, checkEvery: Int) {
    guard let algorithm = DigestAlgorithm.sha256, let check = SignatureCheck(credentials.publicKey) else { return nil }
    self.signer = signer
    self.batch = max(1, min(batch, signer.preferredBatch))
    self.check = check
    checks = TrustedChecks(isTrusted: signer.checksEachSignature, interval: checkEvery)
    hasher = Hasher(algorithm)
    skeleton = credentials.skeleton
    notBefore = credentials.certificate.notBefore
    notAfter = credentials.certificate.notAfter
  }

  /// One signature that nobody sees, before anything depends on this key. It is the first, so within the memory for keys
  /// (`OpenSSLSigner.prepare`).
  func trySigning() throws(SigningError) {
    let digest = [UInt8](repeating: 0x5A, count: 32)
    let made: [[UInt8]]
    do { made = try KeyMemory.confined { try signer.sign(batch: [digest]) } } catch { throw error as? SigningError ?? .backend("\(error)") }
    guard made.count == 1, made[0].count == skeleton.signatureBytes, check.holds(made[0], digest: digest) else { throw .faultySignature }
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

  /// The signatures of a batch. When the back end fails for a batch each message is tried alone, so that one does not spoil the others.
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
      guard isGood(signature, item.digest, &figures) else {
        figures.faultySignatures &+= 1
        return .failure(.faultySignature)
      }
      return .success(skeleton.assemble(attributes: item.attributes, signature: signature))
    }
    switch result {
    case .success: figures.signatures &+= 1
    case .failure: figures.failures &+= 1
    }
    item.job.completion(result)
  }

  /// Whether a signature may leave; see `SignatureCheck` for which are verified here.
  private func isGood(_ signature: [UInt8], _ digest: [UInt8], _ figures: inout SigningFigures) -> Bool {
    let isDue = checks.isDue()
    guard isDue || signature.count != skeleton.signatureBytes else { return true }
    let begin = SigningBench.nanoseconds()
    let holds = signature.count == skeleton.signatureBytes && check.holds(signature, digest: digest)
    figures.checkNanoseconds &+= SigningBench.nanoseconds() &- begin
    figures.checks &+= 1
    if !holds { checks.withdraw() }
    return holds
  }

  private static func nanoseconds() -> UInt64 {
    var now = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
  }
}
