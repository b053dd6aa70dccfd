internal import COpenSSL

/// A digest algorithm that imprints may be made with.
public enum TimeStampDigest: String, Sendable, CaseIterable {
  case sha256 = "SHA-256"
  case sha384 = "SHA-384"
  case sha512 = "SHA-512"

  /// Octets of a digest.
  public var bytes: Int {
    switch self {
    case .sha256: 32
    case .sha384: 48
    case .sha512: 64
    }
  }

  var objectIdentifier: String {
    switch self {
    case .sha256: "2.16.840.1.101.3.4.2.1"
    case .sha384: "2.16.840.1.101.3.4.2.2"
    case .sha512: "2.16.840.1.101.3.4.2.3"
    }
  }

  init?(objectIdentifier: String) {
    guard let found = TimeStampDigest.allCases.first(where: { $0.objectIdentifier == objectIdentifier }) else { return nil }
    self = found
  }

  /// The content of its AlgorithmIdentifier. Evidence leaves the parameters out (RFC 5754 §2); requests have the NULL that older
  /// authorities look for.
  func identifierContent(withNull: Bool) -> [UInt8] {
    (ObjectIdentifier.element(objectIdentifier) ?? []) + (withNull ? DERWriter.null : [])
  }

  /// The digest of octets.
  public func digest(_ octets: [UInt8]) -> [UInt8] { digest([octets]) }

  /// The digest of octets laid end to end.
  /// - Returns: `bytes` octets. The process ends when OpenSSL has no memory, or none of these algorithms.
  func digest(_ parts: [[UInt8]]) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var count: UInt32 = 0
    guard let context = unsafe EVP_MD_CTX_new() else { preconditionFailure("OpenSSL has no memory for a digest") }
    defer { unsafe EVP_MD_CTX_free(context) }
    let algorithm =
      switch self {
      case .sha256: unsafe EVP_sha256()
      case .sha384: unsafe EVP_sha384()
      case .sha512: unsafe EVP_sha512()
      }
    var isFine = unsafe EVP_DigestInit_ex(context, algorithm, nil) == 1
    for part in parts where isFine {
      unsafe part.withUnsafeBytes { memory in isFine = unsafe EVP_DigestUpdate(context, memory.baseAddress, memory.count) == 1 }
    }
    precondition(unsafe isFine && EVP_DigestFinal_ex(context, &out, &count) == 1 && count == bytes, "OpenSSL cannot make digests")
    return Array(out.prefix(bytes))
  }
}
