import Octets
import Synchronization

/// Which signatures go first when there are more than can be made at once: those that a sending client waits for before those that
/// nobody waits for.
public enum SigningPriority: Int, Sendable, CaseIterable {
  /// Acceptance and non-acceptance: the user's client waits for its 250.
  case acceptance
  /// Take-charge receipts: another provider's server waits.
  case takeCharge
  /// Envelopes: they leave once their acceptance is there.
  case envelope
  /// Delivery receipts and notices: the message has been delivered, nobody waits.
  case deliveryReceipt
}

/// A message to be signed.
public struct SigningJob: Sendable {
  /// The caller's mark; the pool does nothing with it.
  public var token: UInt64
  /// The exact octets to be signed, in order; digested by the signing thread.
  public var content: [Chunk]
  /// The certified instant (`pec-rules` 11.1), seconds since 1970.
  public var signingTime: Int64
  /// What is signed before it and what after it, when there is more than can be made at once.
  public var priority: SigningPriority
  /// Called once, by the signing thread, with the detached SignedData in DER, or with why there is none. It should only pass the
  /// result on. Which credentials made it is said by the certificate in it.
  public var completion: @Sendable (Result<[UInt8], SigningError>) -> Void

  /// A content to be signed.
  public init(
    token: UInt64, content: [Chunk], signingTime: Int64, priority: SigningPriority = .acceptance,
    completion: @escaping @Sendable (Result<[UInt8], SigningError>) -> Void
  ) {
    self.token = token
    self.content = content
    self.signingTime = signingTime
    self.priority = priority
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
  /// Signatures that the pool verified with the certificate's key, good or not; a back end that checks its own needs samples only.
  public var checks: UInt64 = 0
  /// Batches handed to a signer.
  public var batches: UInt64 = 0
  /// Octets digested.
  public var contentBytes: UInt64 = 0
  /// Time in digesting, in the signer, in the checks, and from a batch's first to last instruction, in nanoseconds of all threads
  /// together.
  public var digestNanoseconds: UInt64 = 0
  public var signNanoseconds: UInt64 = 0
  public var checkNanoseconds: UInt64 = 0
  public var busyNanoseconds: UInt64 = 0

  public init() {}

  mutating func add(_ other: SigningFigures) {
    signatures &+= other.signatures
    failures &+= other.failures
    faultySignatures &+= other.faultySignatures
    checks &+= other.checks
    batches &+= other.batches
    contentBytes &+= other.contentBytes
    digestNanoseconds &+= other.digestNanoseconds
    signNanoseconds &+= other.signNanoseconds
    checkNanoseconds &+= other.checkNanoseconds
    busyNanoseconds &+= other.busyNanoseconds
  }
}

/// The pool's counters, written once for each batch.
final class FiguresBox: Sendable {
  private let held = Mutex(SigningFigures())
  private let onBatch: (@Sendable (SigningFigures) -> Void)?

  init(onBatch: (@Sendable (SigningFigures) -> Void)? = nil) { self.onBatch = onBatch }

  var value: SigningFigures { held.withLock { $0 } }

  func add(_ figures: SigningFigures) {
    held.withLock { $0.add(figures) }
    onBatch?(figures)
  }
}
