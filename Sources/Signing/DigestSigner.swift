internal import COpenSSL

/// Makes RSASSA-PKCS1-v1_5 signatures (RFC 8017 §8.2) of SHA-256 digests, a batch at a time: OpenSSL today, multi-buffer RSA or an
/// HSM's sessions behind the same face.
///
/// A signer belongs to one thread of the pool: it is never called by two at once, and need not be locked.
public protocol DigestSigner: Sendable {
  /// How many digests it likes to have at once. A backend that signs one after the other says 1, so that no message waits for its
  /// neighbours in the batch.
  var preferredBatch: Int { get }

  /// Signs.
  /// - Parameter batch: SHA-256 digests (of signed attributes), 32 octets each.
  /// - Returns: one signature for each, in the same order, as long as the modulus.
  /// - Throws: when the backend fails; nothing of the batch counts then.
  func sign(batch: [[UInt8]]) throws -> [[UInt8]]
}

/// Why a message was not signed.
public enum SigningError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The pool was stopped.
  case stopped
  /// The signing time (seconds since 1970) is not within the certificate's dates: such a signature would be worth nothing
  /// (`pec-rules` 11.5).
  case outsideValidity(signingTime: Int64, notBefore: Int64, notAfter: Int64)
  /// A signature came out that the certificate does not verify. It was thrown away: see `SignatureCheck`.
  case faultySignature
  /// The backend failed; its words.
  case backend(String)

  public var description: String {
    switch self {
    case .stopped: "signing was stopped"
    case .outsideValidity(let time, let notBefore, let notAfter):
      "the signer's certificate is valid from \(Calendar.text(notBefore)) to \(Calendar.text(notAfter)), not on \(Calendar.text(time))"
    case .faultySignature: "the signature that was made does not verify: hardware fault or damaged key"
    case .backend(let reason): "signing failed: \(reason)"
    }
  }
}

/// OpenSSL's RSA with a copy of the key and a context of its own, prepared once: a shared key's blinding is behind a lock that threads
/// contend for.
@safe
public final class OpenSSLSigner: DigestSigner, @unchecked Sendable {
  // Used by one thread at a time (see DigestSigner). The context refers to the key and is freed before it.
  private let key: KeyHandle
  private let context: OpaquePointer
  private let signatureBytes: Int

  public let preferredBatch = 1

  /// - Throws: `SigningError.backend` when OpenSSL refuses the key.
  public init(_ credentials: SignerCredentials) throws(SigningError) {
    guard let copy = credentials.key.copy() else { throw .backend(OpenSSLErrors.take()) }
    key = copy
    signatureBytes = (copy.bits + 7) / 8
    unsafe context = try pkcs1Context(copy, EVP_PKEY_sign_init)
  }

  deinit { unsafe EVP_PKEY_CTX_free(context) }

  /// Signs each digest by PKCS#1 v1.5, in order.
  public func sign(batch: [[UInt8]]) throws -> [[UInt8]] {
    var signatures: [[UInt8]] = []
    signatures.reserveCapacity(batch.count)
    for digest in batch {
      var made: Int32 = 0
      let signature = unsafe [UInt8](unsafeUninitializedCapacity: signatureBytes) { out, count in
        var length = signatureBytes
        unsafe made = EVP_PKEY_sign(context, out.baseAddress, &length, digest, digest.count)
        count = made == 1 ? length : 0
      }
      guard made == 1 else { throw SigningError.backend(OpenSSLErrors.take()) }
      signatures.append(signature)
    }
    return signatures
  }
}

/// Verifies each signature with the public key before it leaves the room.
///
/// One RSA-CRT signature computed with a fault in one half gives away the factors of the modulus to whoever sees it (Boneh, DeMillo,
/// Lipton, "On the Importance of Checking Cryptographic Protocols for Faults", 1997), and a faulty signature is a receipt that
/// does not hold in court. The check costs one exponentiation by 65537, a small part of a signature's cost, and it holds for every
/// backend: OpenSSL's own check inside its CRT is not had from an HSM or a multi-buffer library.
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

/// A context for PKCS#1 v1.5 over SHA-256 digests; the caller owns it.
@unsafe
private func pkcs1Context(
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
