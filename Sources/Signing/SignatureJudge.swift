import Octets
import Synchronization

/// Judges signatures of one set of authorities and revocation lists as they arrive.
///
/// What it says is what `SignatureVerifier` says of the same octets. It is faster where a sender is met again: decoding the
/// certificates of a message costs more than all the rest, and tracing them to an authority some exponentiations, so that
/// certificates which a good signature and a good path proved are remembered, by the octets that the messages carry. Dates and
/// revocation are judged anew each time. Any thread may ask.
public final class SignatureJudge: Sendable {
  private let anchors: TrustAnchors
  private let lists: RevocationLists
  private let memory = CertificateMemory()

  /// - Parameters:
  ///   - anchors: the authorities. For others a new judge is made: what is remembered holds for these.
  ///   - lists: may be loaded anew at any time.
  public init(anchors: TrustAnchors, lists: RevocationLists) {
    self.anchors = anchors
    self.lists = lists
  }

  /// Judges a detached signature.
  ///
  /// - Parameters:
  ///   - cms: the SignedData, in DER or BER; at most `SignatureVerifier.maximumBytes`.
  ///   - content: the exact octets that were signed, in order.
  ///   - at: when the message arrived, seconds since 1970: dates and revocation are judged then.
  ///   - now: the present, seconds since 1970.
  ///   - certified: the time that the message certifies for itself, seconds since 1970; nil when it does not. Where the signer's
  ///     certificate expired between it and `at`, the path to the authorities is judged then (`pec-rules` 11.5), because those between
  ///     may have ended with it. Validity and revocation are judged at `at` all the same.
  public func judge(cms: [UInt8], content: [Chunk], at: Int64, now: Int64, certified: Int64? = nil) -> SignatureVerdict {
    guard cms.count <= SignatureVerifier.maximumBytes else {
      return SignatureVerdict(.refused(.tooLarge(cms.count)), judgedAt: at, now: now)
    }
    return SignatureExamination(anchors: anchors, lists: lists, memory: memory, at: at, now: now, certified: certified)
      .verdict(cms: cms, content: content)
  }
}

/// The certificates of a message, decoded, and what is known of those that signed.
struct CertificateSet: Sendable {
  /// A certificate whose signature and path were good.
  struct Signer: Sendable {
    let facts: CertificateFacts
    let path: VettedPath
  }

  let handles: [CertificateHandle]
  /// By index in `handles`.
  private(set) var signers: [Int: Signer] = [:]

  /// Decodes; what is not a certificate is left out.
  init(_ outline: SignedDataOutline) { handles = outline.certificates.compactMap { CertificateHandle(der: $0) } }

  func adding(_ index: Int, _ facts: CertificateFacts, _ path: VettedPath) -> CertificateSet {
    var copy = self
    copy.signers[index] = Signer(facts: facts, path: path)
    return copy
  }
}

/// Sets of certificates by the octets they were sent as: the whole field, so that a verdict never depends on what other messages
/// brought.
///
/// Two generations of bounded size: when the young one is full the old one is forgotten, and what is asked for becomes young again.
final class CertificateMemory: Sendable {
  /// Providers are some dozens, each with few certificates at a time.
  private static let generation = 512
  /// Larger fields are not remembered: they are nobody's habit.
  private static let maximumFieldBytes = 32 << 10

  private struct State {
    var young: [[UInt8]: CertificateSet] = [:]
    var old: [[UInt8]: CertificateSet] = [:]
  }

  private let state = Mutex(State())

  /// What is remembered of a message's certificates; nil when nothing is.
  func certificates(of outline: SignedDataOutline) -> CertificateSet? {
    state.withLock { state in
      if let found = state.young[outline.certificateField] { return found }
      guard let found = state.old[outline.certificateField] else { return nil }
      CertificateMemory.put(found, outline.certificateField, &state)
      return found
    }
  }

  func remember(_ set: CertificateSet, of outline: SignedDataOutline) {
    guard outline.certificateField.count <= CertificateMemory.maximumFieldBytes else { return }
    state.withLock { CertificateMemory.put(set, outline.certificateField, &$0) }
  }

  private static func put(_ set: CertificateSet, _ field: [UInt8], _ state: inout State) {
    if state.young[field] == nil, state.young.count >= generation {
      state.old = state.young
      state.young = [:]
    }
    state.young[field] = set
  }
}
