internal import COpenSSL
import Octets

/// Makes SHA-256 digests of contents that lie in pieces. Used by one thread at a time.
@safe
final class ContentHash {
  // Owned here, freed in deinit; null when OpenSSL had no memory for it.
  private let context: OpaquePointer?

  init() { unsafe context = EVP_MD_CTX_new() }

  deinit { unsafe EVP_MD_CTX_free(context) }

  /// In lower-case hexadecimal; nil when OpenSSL fails.
  func sha256(_ content: [Chunk]) -> String? {
    guard let context = unsafe context, unsafe EVP_DigestInit_ex2(context, EVP_sha256(), nil) == 1 else { return nil }
    for piece in content where !piece.isEmpty {
      // The chunk owns the octets and outlives the call.
      let taken = unsafe piece.withUnsafeBytes { unsafe EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
      guard taken == 1 else { return nil }
    }
    var isMade = false
    let digest = unsafe [UInt8](unsafeUninitializedCapacity: 32) { out, count in
      isMade = unsafe EVP_DigestFinal_ex(context, out.baseAddress, nil) == 1
      count = isMade ? 32 : 0
    }
    return isMade ? Hex.encode(digest) : nil
  }
}
