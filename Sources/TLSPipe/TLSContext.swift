internal import COpenSSL
import Glibc

/// What TLS connections of one kind have in common: certificate and key, or whom to trust. Immutable; shared by all threads. To take
/// over a renewed certificate, make a new context and use it for connections from then on.
///
/// TLS 1.2 and 1.3 only, authenticated encryption with forward secrecy only, no compression, no renegotiation. Sessions are resumed
/// by tickets; nothing is kept for them here.
@safe
public final class TLSContext: @unchecked Sendable {
  /// Ciphers of TLS 1.2 (those of 1.3 are OpenSSL's own three). DHE is for old servers that we call; as a server we have no
  /// parameters for it, so that a stranger cannot make us do the costly exponentiation.
  private static let ciphers = [
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
    "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-CHACHA20-POLY1305",
  ].joined(separator: ":")

  // Owned, freed in deinit. OpenSSL counts references to it by itself (each SSL has one) and locks what changes in it.
  let raw: OpaquePointer
  let isServer: Bool
  let verifies: Bool

  private init(server: Bool, verifies: Bool) throws(TLSError) {
    QueuedError.drop()
    guard let made = unsafe SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()) else {
      throw TLSError(.internalFailure, "no TLS context: \(QueuedError.take().words)")
    }
    unsafe raw = made
    isServer = server
    self.verifies = verifies
    guard unsafe ceralacca_tls_prepare(made, Self.ciphers) == 1 else {
      throw TLSError(.internalFailure, "no TLS context: \(QueuedError.take().words)")
    }
  }

  deinit { unsafe SSL_CTX_free(raw) }

  /// The server's side.
  /// - Parameters:
  ///   - certificatePEM: path of a file with the server's certificate, followed by the intermediate certificates.
  ///   - keyPEM: path of a file with its private key, not encrypted.
  /// - Throws: `certificateUnusable`, `keyUnusable`, `keyMismatch`, with the file and the reason.
  public static func server(certificatePEM: String, keyPEM: String) throws(TLSError) -> TLSContext {
    let context = try TLSContext(server: true, verifies: false)
    try check(readable: certificatePEM, .certificateUnusable, "TLS certificate")
    guard unsafe SSL_CTX_use_certificate_chain_file(context.raw, certificatePEM) == 1 else {
      throw TLSError(.certificateUnusable, "TLS certificate \(certificatePEM): \(words(for: QueuedError.take(), what: "certificate"))")
    }
    try check(readable: keyPEM, .keyUnusable, "TLS key")
    guard unsafe SSL_CTX_use_PrivateKey_file(context.raw, keyPEM, SSL_FILETYPE_PEM) == 1 else {
      let error = QueuedError.take()
      if error.isReason(X509_R_KEY_VALUES_MISMATCH, of: ERR_LIB_X509) || error.isReason(X509_R_KEY_TYPE_MISMATCH, of: ERR_LIB_X509) {
        throw TLSError(.keyMismatch, "TLS key \(keyPEM) does not belong to the first certificate in \(certificatePEM)")
      }
      throw TLSError(.keyUnusable, "TLS key \(keyPEM): \(words(for: error, what: "private key"))")
    }
    guard unsafe SSL_CTX_check_private_key(context.raw) == 1 else {
      QueuedError.drop()
      throw TLSError(.keyMismatch, "TLS key \(keyPEM) does not belong to the first certificate in \(certificatePEM)")
    }
    return context
  }

  /// The client's side.
  /// - Parameters:
  ///   - caFile: path of a PEM file with the trusted authorities; nil for the system's.
  ///   - verify: whether the server has to prove who it is. Without, the connection is encrypted against listeners only (RFC 7435).
  /// - Throws: `authoritiesUnusable`.
  public static func client(caFile: String?, verify: Bool) throws(TLSError) -> TLSContext {
    let context = try TLSContext(server: false, verifies: verify)
    guard verify else { return context }
    unsafe SSL_CTX_set_verify(context.raw, SSL_VERIFY_PEER, nil)
    if let caFile {
      try check(readable: caFile, .authoritiesUnusable, "trusted authorities")
      guard unsafe SSL_CTX_load_verify_file(context.raw, caFile) == 1 else {
        let reason = words(for: QueuedError.take(), what: "certificate")
        throw TLSError(.authoritiesUnusable, "trusted authorities \(caFile): \(reason)")
      }
    } else {
      guard unsafe SSL_CTX_set_default_verify_paths(context.raw) == 1 else {
        throw TLSError(.authoritiesUnusable, "the system's trusted authorities: \(QueuedError.take().words)")
      }
    }
    return context
  }

  /// The client's side, for servers that TLSA records vouch for (DANE, RFC 6698) and nobody else: each connection brings its own.
  public static func daneClient() throws(TLSError) -> TLSContext {
    let context = try TLSContext(server: false, verifies: true)
    unsafe SSL_CTX_set_verify(context.raw, SSL_VERIFY_PEER, nil)
    guard unsafe ceralacca_tls_enable_dane(context.raw) == 1 else {
      throw TLSError(.internalFailure, "no DANE: \(QueuedError.take().words)")
    }
    return context
  }

  /// Unix seconds at which the server's certificate ends; nil for a client.
  public var certificateNotAfterUnixSeconds: Int64? {
    let end = unsafe ceralacca_tls_not_after(raw)
    QueuedError.drop()
    return end < 0 ? nil : end
  }

  /// A file that cannot be opened is the commonest fault: it gets the system's plain words.
  private static func check(readable path: String, _ kind: TLSError.Kind, _ what: String) throws(TLSError) {
    guard unsafe access(path, R_OK) != 0 else { return }
    let reason = unsafe String(cString: strerror(errno))
    throw TLSError(kind, "\(what) \(path): \(reason)")
  }

  private static func words(for error: QueuedError, what: String) -> String {
    if error.isReason(PEM_R_BAD_PASSWORD_READ, of: ERR_LIB_PEM)
      || error.isReason(Int32(ERR_R_INTERRUPTED_OR_CANCELLED), of: ERR_LIB_CRYPTO)
    {
      return "it is encrypted; store it without a passphrase"
    }
    // Each of OpenSSL's loaders has its own way of saying that there was nothing for it.
    let nothing =
      error.isReason(PEM_R_NO_START_LINE, of: ERR_LIB_PEM)
      || error.isReason(X509_R_NO_CERTIFICATE_OR_CRL_FOUND, of: ERR_LIB_X509)
      || error.isReason(Int32(ERR_R_UNSUPPORTED), of: ERR_LIB_OSSL_DECODER)
    return nothing || error.words.isEmpty ? "no PEM \(what) in it" : error.words
  }
}
