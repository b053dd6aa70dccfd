import Octets

/// Digests of octets that lie in pieces.
public enum ContentDigest {
  /// SHA-1, 20 octets: the hash of brief receipts (RFC 6109 §3.3.2.2) and the key of the provider index; never proof of anything.
  public static func sha1(_ content: [Chunk]) -> [UInt8] { digest(content, .sha1) }

  /// SHA-256, 32 octets.
  public static func sha256(_ content: [Chunk]) -> [UInt8] { digest(content, .sha256) }

  /// OpenSSL without SHA-1 or SHA-256, or without memory for a digest's state: our own fault, not the input's.
  private static func digest(_ content: [Chunk], _ algorithm: DigestAlgorithm?) -> [UInt8] {
    guard let algorithm, let made = Hasher(algorithm).digest(content) else { preconditionFailure("OpenSSL cannot make a digest") }
    return made
  }
}
