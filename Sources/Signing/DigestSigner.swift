internal import COpenSSL

/// Makes RSASSA-PKCS1-v1_5 signatures (RFC 8017 §8.2) of SHA-256 digests, a batch at a time: OpenSSL, an HSM's session, or
/// multi-buffer RSA behind the same face.
///
/// A signer belongs to one thread of the pool: it is never called by two at once, and need not be locked.
public protocol DigestSigner: Sendable {
  /// How many digests it likes to have at once. A back end that signs one after the other says 1, so that no message waits for its
  /// neighbours in the batch.
  var preferredBatch: Int { get }

  /// Whether a batch that is not full takes as long as a full one, as with lanes that work in step. Only such a back end may be kept
  /// waiting for jobs that are known to come (`SignerPool`, gathering). False unless said otherwise.
  var partBatchCostsAsMuch: Bool { get }

  /// Whether the back end compares the result of each calculation by CRT with the public key itself, and gives out what does not fit
  /// under no circumstances. The pool checks every signature of a back end that does not; see `SignatureCheck` for what it does with the
  /// others. False unless said otherwise.
  var checksEachSignature: Bool { get }

  /// Called once, by the thread that will sign, before its first batch. Does nothing unless said otherwise.
  func prepare()

  /// Signs.
  /// - Parameter batch: SHA-256 digests (of signed attributes), 32 octets each.
  /// - Returns: one signature for each, in the same order, as long as the modulus.
  /// - Throws: when the back end fails; nothing of the batch counts then.
  func sign(batch: [[UInt8]]) throws -> [[UInt8]]
}

extension DigestSigner {
  public var partBatchCostsAsMuch: Bool { false }
  public var checksEachSignature: Bool { false }
  /// Does nothing.
  public func prepare() {}
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
  /// The back end failed; its words.
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
  public let checksEachSignature: Bool

  /// - Throws: `SigningError.backend` when the key is not in memory, or OpenSSL refuses it.
  public convenience init(_ credentials: SignerCredentials) throws(SigningError) {
    guard case .inMemory(let key, let isChecked, _) = credentials.key else {
      throw .backend("the private key is in a token: OpenSSL cannot have it")
    }
    try self.init(key, checksEachSignature: isChecked)
  }

  /// - Parameter checksEachSignature: what `FaultProbe` found out about this library and this key.
  init(_ original: KeyHandle, checksEachSignature: Bool) throws(SigningError) {
    guard let copy = original.copy() else { throw .backend(OpenSSLErrors.take()) }
    key = copy
    self.checksEachSignature = checksEachSignature
    signatureBytes = (copy.bits + 7) / 8
    unsafe context = try pkcs1Context(copy, EVP_PKEY_sign_init)
  }

  deinit { unsafe EVP_PKEY_CTX_free(context) }

  /// One signature for nobody, within the memory for keys: with the first one RSA makes the Montgomery contexts, which keep a copy of each
  /// prime, and the blinding, which is quick for the thread that made it.
  public func prepare() {
    _ = KeyMemory.confined { try? sign(batch: [[UInt8](repeating: 0x5A, count: 32)]) }
  }

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
