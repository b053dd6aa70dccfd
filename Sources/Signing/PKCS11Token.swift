import Glibc
import Synchronization

/// A private key in a token, and the login that its sessions share.
///
/// A login counts for all sessions of the process with a token, and a wrong PIN for the token's own count of wrong ones: so there is one
/// login at a time, and after a refused PIN none any more.
final class TokenKey: Sendable {
  let uri: PKCS11URI
  private let module: PKCS11Module
  /// The environment's `CREDENTIALS_DIRECTORY`.
  private let credentials: String?
  /// Held during a login; true once the PIN was refused.
  private let isPINRefused = Mutex(false)

  /// - Throws: when the library cannot be used. Nothing is asked of the token yet.
  init(_ uri: PKCS11URI, credentials: String?) throws(PKCS11Error) {
    self.uri = uri
    self.credentials = credentials
    do {
      module = try PKCS11Module.load(uri.modulePath)
    } catch {
      switch error {
      case .unreadable(let reason): throw PKCS11Error(.noModule(reason), uri)
      case .notPKCS11: throw PKCS11Error(.notPKCS11, uri)
      case .singleThreaded: throw PKCS11Error(.singleThreaded, uri)
      case .failed(let failure): throw PKCS11Error(.call(function: failure.function, code: PKCS11Code.name(failure.code)), uri)
      }
    }
  }

  /// A session with the key at hand.
  struct Session {
    let handle: UInt
    let key: UInt
  }

  /// What went wrong with a session: something that a new one may mend, or for good.
  enum Trouble: Error {
    case lost(PKCS11Failure)
    case final(PKCS11Error)
  }

  /// Finds the token, opens a session, logs in where that is wanted, finds the key.
  func open() throws(Trouble) -> Session {
    let token = try self.token()
    let session = try attempt { () throws(PKCS11Failure) in try module.openSession(token.slot) }
    do throws(Trouble) {
      try login(session, token)
      return Session(handle: session, key: try key(session))
    } catch {
      module.closeSession(session)
      throw error
    }
  }

  func close(_ session: Session) { module.closeSession(session.handle) }

  /// Signs what PKCS#1 v1.5 calls the DigestInfo.
  func sign(_ session: Session, _ digestInfo: [UInt8], maximumBytes: Int) throws(Trouble) -> [UInt8] {
    try attempt { () throws(PKCS11Failure) in
      try module.sign(session.handle, session.key, digestInfo, maximumBytes: maximumBytes)
    }
  }

  /// The process's sessions with this token, closed all at once as a reset of the token does.
  func closeAllSessions() throws(Trouble) { module.closeAllSessions(try token().slot) }

  // MARK: Steps

  private func token() throws(Trouble) -> PKCS11Module.Token {
    // Looked for anew each time: a token that was taken out and put in again may be in another slot.
    let all = try attempt { () throws(PKCS11Failure) in try module.tokens() }
    let fitting = all.filter { token in
      [(uri.token, token.label), (uri.manufacturer, token.manufacturer), (uri.model, token.model), (uri.serial, token.serial)]
        .allSatisfy { wanted, found in wanted == nil || wanted == found }
    }
    guard let token = fitting.first else { throw .final(PKCS11Error(.noToken(found: all.map(\.label)), uri)) }
    guard fitting.count == 1 else { throw .final(PKCS11Error(.severalTokens(serials: fitting.map(\.serial)), uri)) }
    return token
  }

  private func login(_ session: UInt, _ token: PKCS11Module.Token) throws(Trouble) {
    guard token.wantsLogin else { return }
    let outcome = isPINRefused.withLock { isRefused -> Result<Void, Trouble> in
      do throws(Trouble) {
        // A session of ours or somebody else's in this process may have done it.
        if try attempt({ () throws(PKCS11Failure) in try module.isLoggedIn(session) }) { return .success(()) }
        if isRefused { throw .final(PKCS11Error(.wrongPIN, uri)) }
        if token.isPINLocked { throw .final(PKCS11Error(.lockedPIN, uri)) }
        let pin = try self.pin(token)
        do throws(PKCS11Failure) {
          try module.login(session, pin)
        } catch {
          if PKCS11Code.name(error.code).hasPrefix("CKR_PIN_") { isRefused = true }
          throw trouble(error)
        }
        return .success(())
      } catch {
        return .failure(error)
      }
    }
    try outcome.get()
  }

  private func pin(_ token: PKCS11Module.Token) throws(Trouble) -> SecretOctets? {
    guard let source = uri.pinSource else {
      if token.hasKeypad { return nil }
      throw .final(PKCS11Error(.noPINSource, uri))
    }
    do { return try PIN.read(source, credentials: credentials) } catch { throw .final(PKCS11Error(.pin(error.fault), uri)) }
  }

  private func key(_ session: UInt) throws(Trouble) -> UInt {
    let keys = try attempt { () throws(PKCS11Failure) in try module.privateKeys(session, label: uri.object, id: uri.id) }
    guard let key = keys.first else { throw .final(PKCS11Error(.noKey, uri)) }
    guard keys.count == 1 else { throw .final(PKCS11Error(.severalKeys, uri)) }
    if module.alwaysAuthenticates(session, key) { throw .final(PKCS11Error(.alwaysAuthenticate, uri)) }
    return key
  }

  private func attempt<Value>(_ body: () throws(PKCS11Failure) -> Value) throws(Trouble) -> Value {
    do { return try body() } catch { throw trouble(error) }
  }

  private func trouble(_ failure: PKCS11Failure) -> Trouble {
    if PKCS11Code.isLost(failure.code) { return .lost(failure) }
    let name = PKCS11Code.name(failure.code)
    let fault: PKCS11Error.Fault =
      switch name {
      case "CKR_PIN_INCORRECT", "CKR_PIN_INVALID", "CKR_PIN_LEN_RANGE": .wrongPIN
      case "CKR_PIN_LOCKED": .lockedPIN
      case "CKR_PIN_EXPIRED", "CKR_USER_PIN_NOT_INITIALIZED": .unsetPIN
      case "CKR_SESSION_COUNT": .sessions
      case "CKR_MECHANISM_INVALID", "CKR_KEY_FUNCTION_NOT_PERMITTED", "CKR_KEY_TYPE_INCONSISTENT": .noMechanism
      default: .call(function: failure.function, code: name)
      }
    return .final(PKCS11Error(fault, uri))
  }
}

/// Signs with a key in a token, in a session of its own: a token works at several sessions' signatures at once, at one session's one
/// after the other. The private key never is in this process, and each signature is checked by the pool: whether a token checks its CRT
/// is not known.
final class PKCS11Signer: DigestSigner {
  /// One signature after the other.
  let preferredBatch = 1

  /// How often a signature is tried, each time with a new session after the first.
  static let tries = 3

  private let key: TokenKey
  private let signatureBytes: Int
  // Used by one thread at a time (see DigestSigner); the lock is never waited for.
  private let session: Mutex<TokenKey.Session?>

  /// DigestInfo of a SHA-256 digest up to the digest itself (RFC 8017 §9.2, note 1).
  private static let digestInfo: [UInt8] = [
    0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
  ]

  /// Opens a session.
  /// - Parameter signatureBytes: the longest signature to expect: the length of the certificate's modulus.
  init(_ key: TokenKey, signatureBytes: Int) throws(PKCS11Error) {
    self.key = key
    self.signatureBytes = signatureBytes
    do throws(TokenKey.Trouble) {
      session = Mutex(try key.open())
    } catch {
      switch error {
      case .final(let error): throw error
      case .lost(let failure): throw PKCS11Signer.device(failure, tries: 1, key.uri)
      }
    }
  }

  deinit { if let open = session.withLock({ $0 }) { key.close(open) } }

  /// Signs each digest. A session that is gone is replaced, at most twice for a signature; then the job fails, and the next one tries
  /// again.
  func sign(batch: [[UInt8]]) throws -> [[UInt8]] {
    do throws(PKCS11Error) {
      var signatures: [[UInt8]] = []
      for digest in batch { signatures.append(try sign(digest)) }
      return signatures
    } catch {
      throw SigningError.backend(error.description)
    }
  }

  /// Signs a SHA-256 digest.
  func sign(_ digest: [UInt8]) throws(PKCS11Error) -> [UInt8] {
    try session.withLock { held in Result { () throws(PKCS11Error) in try sign(PKCS11Signer.digestInfo + digest, &held) } }.get()
  }

  private func sign(_ input: [UInt8], _ held: inout TokenKey.Session?) throws(PKCS11Error) -> [UInt8] {
    var last = PKCS11Failure(function: "C_Sign", code: 0)
    for _ in 0..<PKCS11Signer.tries {
      do throws(TokenKey.Trouble) {
        let session: TokenKey.Session
        if let open = held {
          session = open
        } else {
          session = try key.open()
          held = session
        }
        return try key.sign(session, input, maximumBytes: signatureBytes)
      } catch {
        // Whatever it was, the session may be in the middle of something.
        if let broken = held { key.close(broken) }
        held = nil
        switch error {
        case .lost(let failure): last = failure
        case .final(let error): throw error
        }
      }
    }
    throw PKCS11Signer.device(last, tries: PKCS11Signer.tries, key.uri)
  }

  private static func device(_ failure: PKCS11Failure, tries: Int, _ uri: PKCS11URI) -> PKCS11Error {
    PKCS11Error(.device(function: failure.function, code: PKCS11Code.name(failure.code), tries: tries), uri)
  }
}
