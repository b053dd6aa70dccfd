internal import COpenSSL
import Octets

/// A certificate that OpenSSL holds for us.
///
/// Owns one reference of the X509, given back in deinit. The object is not changed after its parsing, and OpenSSL locks
/// its own caches inside it: so it may be read by any thread.
@safe
final class CertificateHandle: @unchecked Sendable {
  let raw: OpaquePointer

  /// Takes over the caller's reference.
  init(owning raw: OpaquePointer) { unsafe self.raw = raw }

  /// Adds a reference to a certificate that somebody else owns.
  init(sharing raw: OpaquePointer) {
    unsafe X509_up_ref(raw)
    unsafe self.raw = raw
  }

  /// Parses DER; nil when it is not a certificate, or octets are left over.
  convenience init?(der: some Collection<UInt8>) {
    KeyMemory.prepare()
    let octets = Array(der)
    let parsed = unsafe octets.withUnsafeBufferPointer { bytes -> OpaquePointer? in
      var cursor = bytes.baseAddress
      guard let made = unsafe d2i_X509(nil, &cursor, bytes.count) else { return nil }
      if unsafe cursor == bytes.baseAddress! + bytes.count { return unsafe made }
      unsafe X509_free(made)
      return nil
    }
    guard let parsed = unsafe parsed else {
      OpenSSLErrors.clear()
      return nil
    }
    unsafe self.init(owning: parsed)
  }

  deinit { unsafe X509_free(raw) }

  /// The certificate in DER, as it was parsed.
  var der: [UInt8] { unsafe derOctets { unsafe i2d_X509(raw, $0) } }

  /// The public key with its algorithm (SubjectPublicKeyInfo) in DER.
  var publicKeyOctets: [UInt8] { unsafe derOctets { unsafe i2d_X509_PUBKEY(X509_get_X509_PUBKEY(raw), $0) } }

  /// Whether both are the same certificate, octet for octet.
  func isSame(_ other: CertificateHandle) -> Bool { unsafe raw == other.raw || X509_cmp(raw, other.raw) == 0 }

  /// Whether `issuer` issued this certificate: by name, key identifier and rights, and by its key.
  func isIssued(by issuer: CertificateHandle) -> Bool {
    guard unsafe X509_check_issued(issuer.raw, raw) == X509_V_OK, let key = unsafe X509_get0_pubkey(issuer.raw) else { return false }
    return unsafe X509_verify(raw, key) == 1
  }
}

/// A key, private or public. Owns one reference of the EVP_PKEY; OpenSSL zeroes the numbers of a private key when the last
/// reference goes. Signing with one key from several threads contends for its blinding, therefore each thread has a copy.
@safe
final class KeyHandle: @unchecked Sendable {
  let raw: OpaquePointer

  /// Takes over the caller's reference.
  init(owning raw: OpaquePointer) { unsafe self.raw = raw }

  deinit { unsafe EVP_PKEY_free(raw) }

  /// Size of the modulus, in bits.
  var bits: Int { Int(unsafe EVP_PKEY_get_bits(raw)) }

  /// True for a plain RSA key; RSA restricted to PSS is something else.
  var isRSA: Bool { unsafe EVP_PKEY_get_base_id(raw) == EVP_PKEY_RSA }

  /// A key of its own with the same numbers, in memory of its own: nothing of it is shared with this one.
  ///
  /// It goes through DER rather than `EVP_PKEY_dup`, which does not carry over the flags that keep the numbers to constant-time code.
  func copy() -> KeyHandle? { KeyMemory.confined { copyOnce() } }

  private func copyOnce() -> KeyHandle? {
    var der: UnsafeMutablePointer<UInt8>?
    let count = unsafe i2d_PrivateKey(raw, &der)
    guard count > 0, let start = unsafe der else {
      OpenSSLErrors.clear()
      return nil
    }
    // The encoding was allocated for us; it is zeroed when it is freed.
    defer { unsafe ceralacca_openssl_clear_free(start, Int(count)) }
    var cursor = unsafe UnsafePointer<UInt8>?(start)
    guard let made = unsafe d2i_AutoPrivateKey(nil, &cursor, Int(count)) else {
      OpenSSLErrors.clear()
      return nil
    }
    return unsafe KeyHandle(owning: made)
  }
}

/// The digest algorithms this room knows, fetched once: a fetch takes locks and looks through the providers.
@safe
final class DigestAlgorithm: @unchecked Sendable {
  // Owned here and given back in deinit; immutable.
  let raw: OpaquePointer
  /// Length of a digest in octets.
  let length: Int

  /// The SHA-256 of every signature we make.
  static let sha256 = DigestAlgorithm(name: "SHA256")
  // Of others' signatures, and of the provider index (`pec-rules` 11.2).
  static let sha1 = DigestAlgorithm(name: "SHA1")
  static let sha384 = DigestAlgorithm(name: "SHA384")
  static let sha512 = DigestAlgorithm(name: "SHA512")

  /// Nil when the library has no such algorithm.
  init?(name: String) {
    KeyMemory.prepare()
    guard let fetched = unsafe EVP_MD_fetch(nil, name, nil) else {
      OpenSSLErrors.clear()
      return nil
    }
    unsafe raw = fetched
    length = Int(unsafe EVP_MD_get_size(fetched))
  }

  deinit { unsafe EVP_MD_free(raw) }
}

/// A running digest over octets that come in pieces. Used by one thread at a time; used again after `finish`.
@safe
final class Hasher {
  // Owned here, freed in deinit.
  private let context: OpaquePointer
  private let algorithm: DigestAlgorithm

  init(_ algorithm: DigestAlgorithm) {
    self.algorithm = algorithm
    unsafe context = EVP_MD_CTX_new()
  }

  deinit { unsafe EVP_MD_CTX_free(context) }

  /// The digest of the pieces, one after the other; nil when the library fails.
  func digest(_ pieces: [Chunk]) -> [UInt8]? {
    guard unsafe EVP_DigestInit_ex2(context, algorithm.raw, nil) == 1 else { return nil }
    for piece in pieces where !piece.isEmpty {
      let taken = unsafe piece.withUnsafeBytes { unsafe EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
      guard taken == 1 else { return nil }
    }
    return finish()
  }

  /// The digest of an array; nil when the library fails.
  func digest(_ octets: [UInt8]) -> [UInt8]? {
    guard unsafe EVP_DigestInit_ex2(context, algorithm.raw, nil) == 1 else { return nil }
    let taken = unsafe octets.withUnsafeBytes { unsafe EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
    return taken == 1 ? finish() : nil
  }

  private func finish() -> [UInt8]? {
    var finished: Int32 = 0
    let digest = unsafe [UInt8](unsafeUninitializedCapacity: algorithm.length) { out, count in
      unsafe finished = EVP_DigestFinal_ex(context, out.baseAddress, nil)
      count = algorithm.length
    }
    return finished == 1 ? digest : nil
  }
}

/// OpenSSL's queue of errors, one for each thread.
enum OpenSSLErrors {
  static func clear() { ERR_clear_error() }

  /// The newest reason in words, and an empty queue.
  static func take() -> String {
    let code = ERR_peek_last_error()
    ERR_clear_error()
    guard code != 0, let reason = unsafe ERR_reason_error_string(code) else { return "no reason given by OpenSSL" }
    return unsafe String(cString: reason)
  }
}

/// Octets that an i2d function of OpenSSL allocates for its caller; copied, then freed.
@unsafe
func derOctets(_ encode: (UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>) -> Int32) -> [UInt8] {
  var out: UnsafeMutablePointer<UInt8>?
  let count = unsafe encode(&out)
  guard count > 0, let start = unsafe out else {
    OpenSSLErrors.clear()
    return []
  }
  defer { unsafe ceralacca_openssl_free(start) }
  return unsafe Array(UnsafeBufferPointer(start: start, count: Int(count)))
}
