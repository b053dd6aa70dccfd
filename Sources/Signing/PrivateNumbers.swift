internal import COpenSSL

/// OpenSSL's names for the numbers of an RSA key (core_names.h, whose macros are not imported; EVP_PKEY-RSA(7)).
enum RSANumber {
  static let n = "n"
  static let e = "e"
  static let p = "rsa-factor1"
  static let q = "rsa-factor2"
  static let thirdPrime = "rsa-factor3"
  static let dP = "rsa-exponent1"
  static let dQ = "rsa-exponent2"
  static let qInv = "rsa-coefficient1"
  /// All of them: EVP_PKEY_KEYPAIR, private and public key with parameters.
  static let keyPair: Int32 = 0x87
}

/// The numbers of an RSA key with two primes (RFC 8017 §3.2), for back ends that calculate by themselves, several signatures in step.
///
/// One block of the locked heap, wiped when it goes. Each number is an array of 64-bit words, the lowest first, padded with zeros to its
/// place: n has twice `primeWords` words, the others `primeWords` each.
///
/// ```
/// word 0            2k    3k    4k    5k    6k     7k        k = primeWords
///      n            p     q     dP    dQ    qInv
/// ```
@safe
final class PrivateNumbers: @unchecked Sendable {
  /// Where a number stands.
  enum Number: Int {
    case p = 2
    case q, dP, dQ, qInv
  }

  /// Size of the modulus in bits: 2048, 3072 or 4096.
  let bits: Int
  /// Words of a prime.
  let primeWords: Int
  /// e.
  let publicExponent: UInt64
  // Owned here, written once in init, wiped and freed in deinit; after that only read, by any thread.
  private let words: UnsafeMutablePointer<UInt64>
  private let bytes: Int

  /// Nil for a key that is not made like that: other than two primes, primes of different lengths, a public exponent beyond 64 bits,
  /// a size that no multi-buffer library knows.
  init?(_ key: KeyHandle) {
    let bits = key.bits
    guard [2048, 3072, 4096].contains(bits) else { return nil }
    self.bits = bits
    primeWords = bits / 128
    bytes = 7 * primeWords * 8
    KeyMemory.prepare()
    guard let block = unsafe CRYPTO_secure_zalloc(bytes, #file, #line) else { return nil }
    let start = unsafe block.assumingMemoryBound(to: UInt64.self)
    let words = primeWords
    var exponent: UInt64 = 0
    let isComplete = KeyMemory.confined {
      unsafe !PrivateNumbers.has(key, RSANumber.thirdPrime)
        && PrivateNumbers.copy(key, RSANumber.n, start, words: 2 * words)
        && PrivateNumbers.copy(key, RSANumber.e, &exponent, words: 1)
        && PrivateNumbers.copy(key, RSANumber.p, start + 2 * words, words: words, bits: bits / 2)
        && PrivateNumbers.copy(key, RSANumber.q, start + 3 * words, words: words, bits: bits / 2)
        && PrivateNumbers.copy(key, RSANumber.dP, start + 4 * words, words: words)
        && PrivateNumbers.copy(key, RSANumber.dQ, start + 5 * words, words: words)
        && PrivateNumbers.copy(key, RSANumber.qInv, start + 6 * words, words: words)
    }
    OpenSSLErrors.clear()
    guard isComplete else {
      unsafe CRYPTO_secure_clear_free(block, bytes, #file, #line)
      return nil
    }
    publicExponent = exponent
    unsafe self.words = start
  }

  deinit { unsafe CRYPTO_secure_clear_free(words, bytes, #file, #line) }

  /// n; valid as long as this object.
  @unsafe
  var modulus: UnsafePointer<UInt64> { unsafe UnsafePointer(words) }

  /// A private number; valid as long as this object.
  @unsafe
  subscript(number: Number) -> UnsafePointer<UInt64> { unsafe UnsafePointer(words + number.rawValue * primeWords) }

  private static func has(_ key: KeyHandle, _ name: String) -> Bool {
    var number: OpaquePointer?
    guard unsafe EVP_PKEY_get_bn_param(key.raw, name, &number) == 1 else { return false }
    unsafe BN_clear_free(number)
    return true
  }

  /// Copies a number into `words` words at `place`. False when there is none, when it does not fit, or has not exactly `bits` bits.
  @unsafe
  private static func copy(
    _ key: KeyHandle, _ name: String, _ place: UnsafeMutablePointer<UInt64>, words: Int, bits: Int? = nil
  ) -> Bool {
    var number: OpaquePointer?
    guard unsafe EVP_PKEY_get_bn_param(key.raw, name, &number) == 1, let number = unsafe number else { return false }
    // A copy made for us.
    defer { unsafe BN_clear_free(number) }
    if let bits, Int(unsafe BN_num_bits(number)) != bits { return false }
    // Little-endian octets are words, the lowest first, on the machines that we run on.
    return unsafe place.withMemoryRebound(to: UInt8.self, capacity: words * 8) { unsafe BN_bn2lebinpad(number, $0, Int32(words * 8)) } >= 0
  }
}
