internal import COpenSSL
import Glibc

/// Where a private key is.
public enum SigningKeySource: Sendable, Equatable {
  /// In a PEM file, without a password (PKCS#8, or the older RSA form). It may be the same file as the certificate's.
  case file(String)
  /// In a token: a smart card, an HSM. `credentialsDirectory` is the folder that `pin-source=credential:NAME` looks into: the environment's
  /// `CREDENTIALS_DIRECTORY`, if there is one.
  case token(PKCS11URI, credentialsDirectory: String?)

  /// What a configuration names: a `pkcs11:` URI (RFC 7512), or else the path of a file.
  /// - Throws: what is wrong with the URI.
  public static func named(_ text: String) throws(CredentialError) -> SigningKeySource {
    guard PKCS11URI.isOne(text) else { return .file(text) }
    do {
      return .token(try PKCS11URI(text), credentialsDirectory: unsafe getenv("CREDENTIALS_DIRECTORY").map { unsafe String(cString: $0) })
    } catch {
      // Not the URI itself: what is wrong with it may be that a PIN is in it.
      throw CredentialError(.keyURI(error), "the signer's key")
    }
  }
}

/// A private key at hand.
enum SignerKey: Sendable {
  /// In locked memory; whether OpenSSL catches its own faults with it (`FaultProbe`), and whether it can be used in lanes.
  case inMemory(KeyHandle, catchesFaults: Bool, LaneKey)
  case token(TokenKey)
}

extension SignerCredentials {
  /// A signer for one thread: for a key in memory lanes where they were found to work, and otherwise OpenSSL; a session for a key in a
  /// token.
  /// - Throws: `SigningError.backend`.
  public func makeSigner() throws(SigningError) -> any DigestSigner {
    switch key {
    case .inMemory:
      if let lanes = try MultiBufferSigner(self) { return lanes }
      return try OpenSSLSigner(self)
    case .token(let key):
      do { return try PKCS11Signer(key, signatureBytes: skeleton.signatureBytes) } catch { throw .backend(error.description) }
    }
  }

  /// What signs with the key, as it was found out when it was loaded.
  public var backend: SigningBackend {
    switch key {
    case .token: .token
    case .inMemory(_, _, .none(let reason)): .openSSL(reason)
    case .inMemory(_, _, .ready): .multiBuffer(version: MultiBuffer.version ?? "")
    }
  }

  /// Whether the private key is in a token and not in this process.
  public var isInToken: Bool {
    switch key {
    case .inMemory: false
    case .token: true
    }
  }

  /// A private key and the certificate that was issued for it.
  struct Pair {
    let key: SignerKey
    let signer: CertificateHandle
    let publicKey: KeyHandle
    let certificates: [CertificateHandle]
    let warnings: [CredentialWarning]
  }

  /// Loads a key and finds its certificate.
  static func pair(_ source: SigningKeySource, certificatePath: String, now: Int64) throws(CredentialError) -> Pair {
    switch source {
    case .file(let path): try pair(keyPath: path, certificatePath: certificatePath, now: now)
    case .token(let uri, let credentials): try pair(uri, credentials, certificatePath: certificatePath, now: now)
    }
  }

  private static func pair(keyPath: String, certificatePath: String, now: Int64) throws(CredentialError) -> Pair {
    let keyFile = try open(keyPath)
    let key = try privateKey(in: keyFile, path: keyPath)
    let certificates = try certificates(in: open(certificatePath), path: certificatePath)
    let fitting = certificates.filter { certificate in
      guard let own = unsafe X509_get0_pubkey(certificate.raw) else { return false }
      return unsafe EVP_PKEY_eq(own, key.raw) == 1
    }
    let signer = try signer(among: fitting, of: certificates, now: now, path: certificatePath)
    let publicKey = try publicKey(of: signer, path: certificatePath)
    guard let check = SignatureCheck(publicKey) else { throw CredentialError(.library(OpenSSLErrors.take()), certificatePath) }
    // One signature that nobody sees: a damaged key is found at start and not by the first sender.
    let digest = [UInt8](repeating: 0x5A, count: 32)
    let made = KeyMemory.confined { try? OpenSSLSigner(key, checksEachSignature: false).sign(batch: [digest]) }
    guard let signature = made?.first, check.holds(signature, digest: digest) else { throw CredentialError(.damagedKey, keyPath) }
    let lanes = LaneKey.probe(key, check)
    var warnings: [CredentialWarning] = []
    if keyFile.mode & 0o007 != 0 { warnings.append(.keyReadableByOthers(path: keyPath, mode: keyFile.mode)) }
    if case .none(.trial) = lanes { warnings.append(.lanesFailed) }
    return Pair(
      key: .inMemory(key, catchesFaults: FaultProbe.catchesFaults(key, check), lanes), signer: signer, publicKey: publicKey,
      certificates: certificates, warnings: warnings)
  }

  /// The token shows its public key by a signature: that is what it will be asked for, and not every token gives its modulus away.
  private static func pair(
    _ uri: PKCS11URI, _ credentials: String?, certificatePath: String, now: Int64
  ) throws(CredentialError) -> Pair {
    let certificates = try certificates(in: open(certificatePath), path: certificatePath)
    let key: TokenKey
    let digest = [UInt8](repeating: 0x5A, count: 32)
    let signature: [UInt8]
    do throws(PKCS11Error) {
      key = try TokenKey(uri, credentials: credentials)
      signature = try PKCS11Signer(key, signatureBytes: 512).sign(digest)
    } catch {
      throw CredentialError(.token(error), "\(error.key) in \(error.module)")
    }
    let fitting = certificates.filter { certificate in
      guard let raw = unsafe X509_get_pubkey(certificate.raw) else { return false }
      let own = unsafe KeyHandle(owning: raw)
      return own.isRSA && SignatureCheck(own)?.holds(signature, digest: digest) == true
    }
    let signer = try signer(among: fitting, of: certificates, now: now, path: certificatePath)
    let publicKey = try publicKey(of: signer, path: certificatePath)
    guard (2048...4096).contains(publicKey.bits) else { throw CredentialError(.keySize(publicKey.bits), certificatePath) }
    return Pair(key: .token(key), signer: signer, publicKey: publicKey, certificates: certificates, warnings: [])
  }

  // MARK: Reading

  private static func open(_ path: String) throws(CredentialError) -> PEMFile {
    do {
      return try PEMFile(path: path)
    } catch {
      throw CredentialError(error, path)
    }
  }

  private static func privateKey(in file: PEMFile, path: String) throws(CredentialError) -> KeyHandle {
    let blocks = file.blocks.filter(\.isPrivateKey)
    guard let block = blocks.first else { throw CredentialError(.noPrivateKey, path) }
    guard blocks.count == 1 else { throw CredentialError(.severalPrivateKeys, path) }
    guard !block.isEncrypted else { throw CredentialError(.encryptedKey, path) }
    guard let key = block.key else { throw CredentialError(.malformedKey, path) }
    guard key.isRSA else { throw CredentialError(.notRSA, path) }
    guard (2048...4096).contains(key.bits) else { throw CredentialError(.keySize(key.bits), path) }
    return key
  }

  private static func certificates(in file: PEMFile, path: String) throws(CredentialError) -> [CertificateHandle] {
    var certificates: [CertificateHandle] = []
    for block in file.blocks where block.isCertificate {
      guard let certificate = block.certificate else { throw CredentialError(.malformedCertificate(certificates.count + 1), path) }
      certificates.append(certificate)
    }
    guard !certificates.isEmpty else { throw CredentialError(.noCertificate, path) }
    return certificates
  }

  private static func publicKey(of certificate: CertificateHandle, path: String) throws(CredentialError) -> KeyHandle {
    guard let raw = unsafe X509_get_pubkey(certificate.raw) else { throw CredentialError(.library(OpenSSLErrors.take()), path) }
    return unsafe KeyHandle(owning: raw)
  }

  /// The certificate of the key: of several (a renewal with the same key) the one that is valid now and lasts longest.
  private static func signer(
    among fitting: [CertificateHandle], of all: [CertificateHandle], now: Int64, path: String
  ) throws(CredentialError) -> CertificateHandle {
    OpenSSLErrors.clear()
    guard let best = preferred(fitting, now: now) else {
      throw CredentialError(.keyMismatch(subjects: all.map { CertificateFacts($0).subject }), path)
    }
    return best
  }
}
