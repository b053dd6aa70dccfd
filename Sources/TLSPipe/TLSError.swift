internal import COpenSSL

/// What went wrong with TLS: the kind for the caller, the words for the log.
public struct TLSError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The kinds that callers tell apart.
  public enum Kind: Sendable, Equatable {
    /// A certificate file that cannot be read or holds no PEM certificate.
    case certificateUnusable
    /// A key file that cannot be read, is encrypted, or holds no PEM key.
    case keyUnusable
    /// Key and certificate do not belong together.
    case keyMismatch
    /// The file of trusted authorities cannot be used.
    case authoritiesUnusable
    /// The name cannot be a server's.
    case nameUnusable
    /// What came is no TLS: plain text, or noise.
    case notTLS
    /// The peer wants a version before TLS 1.2.
    case versionRefused
    /// No cipher, group or signature scheme in common.
    case nothingInCommon
    /// The peer's certificate does not lead to a trusted authority, or is not valid now.
    case certificateRefused
    /// The peer's certificate is made out to somebody else.
    case nameMismatch
    /// The peer gave up with this alert (RFC 8446 §6).
    case peerAlert(Int)
    /// The connection ended without the closing alert: something may be missing (RFC 8446 §6.1).
    case truncated
    /// The peer broke the protocol, or somebody tampered with the octets.
    case protocolViolation
    /// The pipe failed or was shut before.
    case closed
    /// OpenSSL itself failed; memory, most likely.
    case internalFailure
  }

  /// The kind.
  public var kind: Kind
  /// The reason in OpenSSL's words, or in ours; with the file's path where there is one.
  public var reason: String

  init(_ kind: Kind, _ reason: String) {
    self.kind = kind
    self.reason = reason
  }

  /// The reason.
  public var description: String { "TLS: \(reason)" }
}

/// One entry of OpenSSL's error queue. The queue belongs to the thread and is emptied around each call.
struct QueuedError {
  var reasonCode: Int32
  var library: Int32
  var words: String

  private var isFromTLS: Bool { library == ERR_LIB_SSL }

  func isReason(_ code: Int32, of library: Int32) -> Bool { reasonCode == code && self.library == library }

  /// Takes the oldest entry, which is the cause, and drops what followed from it.
  static func take() -> QueuedError {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { text in
      var library: Int32 = 0
      guard let start = text.baseAddress else { return QueuedError(reasonCode: 0, library: 0, words: "") }
      let code = unsafe ceralacca_tls_take_error(start, text.count, &library)
      return unsafe QueuedError(reasonCode: code, library: library, words: String(cString: start))
    }
  }

  static func drop() { ERR_clear_error() }

  /// The kind of a failed handshake or record.
  var kind: TLSError.Kind {
    guard isFromTLS else { return .internalFailure }
    switch reasonCode {
    case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST, SSL_R_WRONG_VERSION_NUMBER, SSL_R_UNKNOWN_PROTOCOL,
      SSL_R_BAD_PROTOCOL_VERSION_NUMBER, SSL_R_PACKET_LENGTH_TOO_LONG, SSL_R_RECORD_LENGTH_MISMATCH, SSL_R_BAD_RECORD_TYPE:
      return .notTLS
    case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_WRONG_SSL_VERSION, SSL_R_VERSION_TOO_LOW, SSL_R_INAPPROPRIATE_FALLBACK:
      return .versionRefused
    case SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SUITABLE_KEY_SHARE, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SSL_R_NO_SHARED_GROUPS,
      SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
      return .nothingInCommon
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return .certificateRefused
    case SSL_R_UNEXPECTED_EOF_WHILE_READING: return .truncated
    case Int32(ERR_R_MALLOC_FAILURE), Int32(ERR_R_INTERNAL_ERROR): return .internalFailure
    default:
      // Alerts of the peer are reasons from 1000 on (SSL_AD_REASON_OFFSET).
      return (1000..<1256).contains(reasonCode) ? .peerAlert(Int(reasonCode) - 1000) : .protocolViolation
    }
  }
}
