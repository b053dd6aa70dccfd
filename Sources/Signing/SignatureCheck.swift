internal import COpenSSL

/// Verifies signatures with the certificate's public key before they leave the room.
///
/// One RSA-CRT signature computed with a fault in one half gives away the factors of the modulus to whoever sees it (Boneh, DeMillo,
/// Lipton, "On the Importance of Checking Cryptographic Protocols for Faults", 1997), and a faulty signature is a receipt that
/// does not hold in court. So every result of CRT is checked with the public key before it leaves, exactly once:
///
/// - **By the pool**, each signature, for every back end that does not say otherwise: HSMs, multi-buffer libraries, anything new.
/// - **By OpenSSL itself**, when it signs. Its RSA raises the result of CRT to the public exponent and compares it with what was to be
///   signed; when they differ it throws the result away and calculates once more without CRT (rsa_ossl_mod_exp, which EVP_PKEY_sign of
///   the default provider goes through by RSA_sign and RSA_private_encrypt). The comparison stands behind whatever made the two halves,
///   BN_mod_exp_mont_consttime_x2 with its AVX512-IFMA code too. The source alone is not trusted: an accelerator's provider or another
///   platform may take a way around it (s390x in later versions does), so `FaultProbe` tries it at start with a spoiled copy of the
///   very key, and where a spoiled half gets through the pool checks everything.
///
/// What OpenSSL's check does not see comes after it: the blinding is taken off by one multiplication modulo n, and the number becomes
/// octets. A fault there spoils the signature modulo both primes, so it gives nothing away; and it sees a modulus that was damaged in
/// memory only by falling back to a calculation that is wrong as well. Both make receipts that do not hold. Therefore the pool takes
/// samples of such a back end's signatures too, with its own copy of the public key: the first on each thread and every n-th after it
/// (`TrustedChecks`); one that fails is refused, and from then on that thread's signatures are checked one and all. A check of each would
/// cost 3 to 10 % of a 2048-bit signature; what samples cost is what a damaged memory spoils between two.
@safe
final class SignatureCheck: @unchecked Sendable {
  // Used by one thread at a time. The context refers to the key and is freed before it.
  private let key: KeyHandle
  private let context: OpaquePointer

  /// Nil when OpenSSL refuses the key.
  init?(_ publicKey: KeyHandle) {
    guard let prepared = unsafe try? pkcs1Context(publicKey, EVP_PKEY_verify_init) else { return nil }
    key = publicKey
    unsafe context = prepared
  }

  deinit { unsafe EVP_PKEY_CTX_free(context) }

  /// Whether `signature` is that of the SHA-256 digest `digest`.
  func holds(_ signature: [UInt8], digest: [UInt8]) -> Bool {
    let verdict = unsafe EVP_PKEY_verify(context, signature, signature.count, digest, digest.count)
    if verdict != 1 { OpenSSLErrors.clear() }
    return verdict == 1
  }
}

/// Which signatures of one thread's back end the pool checks.
struct TrustedChecks {
  /// Whether the back end checks each of its own.
  private var isTrusted: Bool
  /// Of a trusted one, every which signature is checked here too.
  private let interval: Int
  /// Signatures until the next check.
  private var left = 0

  init(isTrusted: Bool, interval: Int) {
    self.isTrusted = isTrusted
    self.interval = max(1, interval)
  }

  /// Whether the next signature is to be checked.
  mutating func isDue() -> Bool {
    if !isTrusted { return true }
    if left == 0 {
      left = interval - 1
      return true
    }
    left -= 1
    return false
  }

  /// A check failed: nothing of this back end is believed any more.
  mutating func withdraw() { isTrusted = false }
}

/// Finds out whether the library that signs compares what its CRT makes with the public key, by trying it: it signs with a copy of the key
/// in which one half of the CRT is wrong. A library that checks makes a good signature all the same, by another way; of one that does
/// not, what comes out is seen by nobody.
enum FaultProbe {
  /// True when neither half can be wrong unnoticed.
  static func catchesFaults(_ key: KeyHandle, _ check: SignatureCheck) -> Bool {
    [RSANumber.dP, RSANumber.dQ].allSatisfy { half in
      KeyMemory.confined { catches(key, check, half) }
    }
  }

  private static func catches(_ key: KeyHandle, _ check: SignatureCheck, _ half: String) -> Bool {
    guard let spoiled = key.spoiled(half), let context = unsafe try? pkcs1Context(spoiled, EVP_PKEY_sign_init) else {
      OpenSSLErrors.clear()
      return false
    }
    defer { unsafe EVP_PKEY_CTX_free(context) }
    let digest = [UInt8](repeating: 0xA5, count: 32)
    var length = (spoiled.bits + 7) / 8
    var signature = [UInt8](repeating: 0, count: length)
    guard unsafe EVP_PKEY_sign(context, &signature, &length, digest, digest.count) == 1, length == signature.count else {
      OpenSSLErrors.clear()
      return false
    }
    defer { unsafe OPENSSL_cleanse(&signature, signature.count) }
    return check.holds(signature, digest: digest)
  }
}

extension KeyHandle {
  /// A copy in which one of the numbers is another by some bits; nil when it cannot be made. For `FaultProbe`.
  fileprivate func spoiled(_ number: String) -> KeyHandle? {
    var numbers: UnsafeMutablePointer<OSSL_PARAM>?
    guard unsafe EVP_PKEY_todata(raw, RSANumber.keyPair, &numbers) == 1, let numbers = unsafe numbers else { return nil }
    // Ours; OpenSSL wipes the private ones as it frees them.
    defer { unsafe OSSL_PARAM_free(numbers) }
    guard let found = unsafe OSSL_PARAM_locate(numbers, number), let octets = unsafe found.pointee.data,
      unsafe found.pointee.data_size > 16
    else { return nil }
    unsafe octets.assumingMemoryBound(to: UInt8.self)[8] ^= 0x24
    guard let context = unsafe EVP_PKEY_CTX_new_from_name(nil, "RSA", nil) else { return nil }
    defer { unsafe EVP_PKEY_CTX_free(context) }
    var made: OpaquePointer?
    guard unsafe EVP_PKEY_fromdata_init(context) == 1,
      unsafe EVP_PKEY_fromdata(context, &made, RSANumber.keyPair, numbers) == 1, let made = unsafe made
    else { return nil }
    return unsafe KeyHandle(owning: made)
  }
}

/// A context for PKCS#1 v1.5 over SHA-256 digests; the caller owns it.
@unsafe
func pkcs1Context(
  _ key: KeyHandle, _ begin: (OpaquePointer?) -> Int32, _ algorithm: DigestAlgorithm? = DigestAlgorithm.sha256
) throws(SigningError) -> OpaquePointer {
  guard let algorithm, let context = unsafe EVP_PKEY_CTX_new_from_pkey(nil, key.raw, nil) else {
    throw .backend(OpenSSLErrors.take())
  }
  guard
    unsafe begin(context) == 1,
    unsafe EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1,
    unsafe EVP_PKEY_CTX_set_signature_md(context, algorithm.raw) == 1
  else {
    unsafe EVP_PKEY_CTX_free(context)
    throw .backend(OpenSSLErrors.take())
  }
  return unsafe context
}
