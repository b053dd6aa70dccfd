import Octets

/// Judges detached CMS signatures, as a court would years later: at the message's own time, not now (`pec-rules` 11.5).
///
/// Any provider's signature is read, not only our own profile: BER with indefinite lengths, SHA-1 to SHA-512, with or without signed
/// attributes (`pec-rules` 11.2, 11.3). For many messages of the same senders, on their arrival, `SignatureJudge` is faster.
public enum SignatureVerifier {
  /// A detached signature with a few certificates has some kilobytes; with revocation lists inside, more.
  public static let maximumBytes = 8 << 20

  /// Judges a signature.
  ///
  /// - Parameters:
  ///   - cms: the SignedData, in DER or BER.
  ///   - content: the exact octets that were signed, in order.
  ///   - anchors: the authorities; nil leaves the chain unchecked.
  ///   - lists: revocation lists; nil leaves revocation unchecked. Without anchors it is unchecked, too.
  ///   - at: the message's own time, seconds since 1970; nil takes the signer's clock, or the present where it is silent.
  ///   - now: the present, seconds since 1970.
  public static func verify(
    cms: [UInt8], content: [Chunk], anchors: TrustAnchors?, lists: RevocationLists? = nil, at: Int64?, now: Int64
  ) -> SignatureVerdict {
    guard cms.count <= maximumBytes else { return SignatureVerdict(.refused(.tooLarge(cms.count)), judgedAt: at ?? now, now: now) }
    return SignatureExamination(anchors: anchors, lists: lists, memory: nil, at: at, now: now).verdict(cms: cms, content: content)
  }
}
