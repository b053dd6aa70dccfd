internal import COpenSSL
import Glibc

/// What TLS connections of one kind have in common: certificate and key, or whom to trust. Immutable; shared by all threads. To take
/// over a renewed certificate, make a new context and use it for connections from then on.
///
/// TLS 1.2 and 1.3 only, authenticated encryption with forward secrecy only, no compression, no renegotiation, no early data. Sessions
/// are resumed by tickets whose keys are replaced every hour; nothing is kept for them here.
@safe
public final class TLSContext: @unchecked Sendable {
  /// Ciphers of TLS 1.2 (those of 1.3 are OpenSSL's own three). DHE is for old servers that we call; as a server we have no
  /// parameters for it, so that a stranger cannot make us do the costly exponentiation.
  private static let ciphers = [
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
    "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-CHACHA20-POLY1305",
  ].joined(separator: ":")

  /// Ciphers that a server offers: elliptic curves only, without parameters that would have to be chosen.
  private static let serverCiphers = ciphers.split(separator: ":").filter { $0.hasPrefix("ECDHE-") }.joined(separator: ":")
  /// Groups of a server: curves only, so that a stranger cannot make us do the costly exponentiation of finite fields.
  private static let serverGroups = "X25519:P-256:P-384:X448:P-521"
  /// Keys of tickets are replaced after so many seconds, and open tickets for as long again.
  private static let ticketKeySeconds: Int64 = 3600

  // Owned, freed in deinit. OpenSSL counts references to it by itself (each SSL has one) and locks what changes in it.
  let raw: OpaquePointer
  // A server's, owned, freed in deinit after the contexts; locked within. Every pipe keeps this object.
  private let tickets: UnsafeMutablePointer<ceralacca_tickets>?
  // OpenSSL calls it from connections, all of which keep this object; it does not change once it serves.
  private var names: ServerNames?
  /// What a server's certificates say, the standard one first; empty for a client.
  public private(set) var certificates: [TLSCertificateFacts] = []
  let isServer: Bool
  let verifies: Bool

  private init(server: Bool, verifies: Bool) throws(TLSError) {
    unsafe tickets = server ? ceralacca_tickets_new(Self.ticketKeySeconds) : nil
    isServer = server
    self.verifies = verifies
    unsafe raw = try Self.made(server: server, tickets)
  }

  private static func made(server: Bool, _ tickets: UnsafeMutablePointer<ceralacca_tickets>?) throws(TLSError) -> OpaquePointer {
    QueuedError.drop()
    guard let made = unsafe SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()) else {
      throw TLSError(.internalFailure, "no TLS context: \(QueuedError.take().words)")
    }
    guard unsafe ceralacca_tls_prepare(made, server ? serverCiphers : ciphers) == 1,
      unsafe !server || ceralacca_tls_prepare_server(made, serverGroups, tickets) == 1
    else {
      unsafe SSL_CTX_free(made)
      throw TLSError(.internalFailure, "no TLS context: \(QueuedError.take().words)")
    }
    return unsafe made
  }

  deinit {
    unsafe SSL_CTX_free(raw)
    names = nil
    unsafe ceralacca_tickets_free(tickets)
  }

  /// The server's side.
  /// - Parameters:
  ///   - certificatePEM: path of a file with the server's certificate, followed by the intermediate certificates.
  ///   - keyPEM: path of a file with its private key, not encrypted.
  /// - Throws: `certificateUnusable`, `keyUnusable`, `keyMismatch`, with the file and the reason.
  public static func server(certificatePEM: String, keyPEM: String) throws(TLSError) -> TLSContext {
    try server([ServerIdentity(certificatePEM: certificatePEM, keyPEM: keyPEM)])
  }

  /// The server's side with several certificates: which one a client sees is decided by the name that it asks for (SNI, RFC 6066 §3) and
  /// the names in the certificates; who asks for none, or for one that nobody knows, sees the first. Of certificates for one name there
  /// may be one for each kind of key.
  /// - Parameter identities: the first is the standard one; not empty.
  /// - Throws: as `server(certificatePEM:keyPEM:)`; `certificateUnusable` for a further certificate without names, or whose names and kind
  ///   of key are all those of an earlier one.
  public static func server(_ identities: [ServerIdentity]) throws(TLSError) -> TLSContext {
    precondition(!identities.isEmpty, "a TLS server without a certificate")
    var facts: [TLSCertificateFacts] = []
    for (number, identity) in identities.enumerated() {
      // Each is looked at by itself first, so that a fault is told of the file that has it.
      let alone = try TLSContext(server: true, verifies: false)
      try unsafe use(identity, in: alone.raw)
      let these = try unsafe read(identity.certificatePEM, in: alone.raw)
      if number > 0 { try check(these, besides: facts) }
      facts.append(these)
    }
    let table = ServerNameTable(facts)
    let context = try TLSContext(server: true, verifies: false)
    context.certificates = facts
    for index in table.standard.reversed() { try unsafe use(identities[index], in: context.raw) }
    let names = ServerNames(table)
    for set in names.furtherSets {
      let further = unsafe try made(server: true, context.tickets)
      unsafe names.add(further, for: set)
      for index in set.reversed() { try unsafe use(identities[index], in: further) }
    }
    unsafe names.serve(context.raw)
    context.names = names
    return context
  }

  private static func check(_ facts: TLSCertificateFacts, besides earlier: [TLSCertificateFacts]) throws(TLSError) {
    if facts.names.isEmpty {
      throw TLSError(.certificateUnusable, "TLS certificate \(facts.path): it has no dNSName, so no client can ask for it")
    }
    let taken = facts.names.allSatisfy { name in earlier.contains { $0.keyKind == facts.keyKind && $0.names.contains(name) } }
    if taken {
      throw TLSError(
        .certificateUnusable,
        "TLS certificate \(facts.path): earlier ones have all its names with the same kind of key, so it is never shown")
    }
  }

  /// Certificate, chain and key into a context, beside those of other kinds of key.
  private static func use(_ identity: ServerIdentity, in raw: OpaquePointer) throws(TLSError) {
    let (certificatePEM, keyPEM) = (identity.certificatePEM, identity.keyPEM)
    try check(readable: certificatePEM, .certificateUnusable, "TLS certificate")
    guard unsafe SSL_CTX_use_certificate_chain_file(raw, certificatePEM) == 1 else {
      throw TLSError(.certificateUnusable, "TLS certificate \(certificatePEM): \(words(for: QueuedError.take(), what: "certificate"))")
    }
    try check(readable: keyPEM, .keyUnusable, "TLS key")
    guard unsafe SSL_CTX_use_PrivateKey_file(raw, keyPEM, SSL_FILETYPE_PEM) == 1 else {
      let error = QueuedError.take()
      if error.isReason(X509_R_KEY_VALUES_MISMATCH, of: ERR_LIB_X509) || error.isReason(X509_R_KEY_TYPE_MISMATCH, of: ERR_LIB_X509) {
        throw TLSError(.keyMismatch, "TLS key \(keyPEM) does not belong to the first certificate in \(certificatePEM)")
      }
      throw TLSError(.keyUnusable, "TLS key \(keyPEM): \(words(for: error, what: "private key"))")
    }
    guard unsafe SSL_CTX_check_private_key(raw) == 1 else {
      QueuedError.drop()
      throw TLSError(.keyMismatch, "TLS key \(keyPEM) does not belong to the first certificate in \(certificatePEM)")
    }
  }

  /// What the certificate that was put into a context last says.
  private static func read(_ path: String, in raw: OpaquePointer) throws(TLSError) -> TLSCertificateFacts {
    var facts = TLSCertificateFacts(path: path, names: [], keyKind: 0, notBefore: 0, notAfter: 0)
    guard let certificate = unsafe SSL_CTX_get0_certificate(raw),
      unsafe ceralacca_certificate_dates(certificate, &facts.notBefore, &facts.notAfter) == 1
    else { throw TLSError(.certificateUnusable, "TLS certificate \(path): its dates cannot be read") }
    facts.keyKind = unsafe ceralacca_certificate_key_kind(certificate)
    if let data = unsafe X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) {
      // Ours until it is freed below; a GENERAL_NAMES, as the identifier says.
      let list = OpaquePointer(data)
      defer { unsafe GENERAL_NAMES_free(list) }
      for at in 0..<(unsafe ceralacca_names_count(list)) {
        guard let text = unsafe ceralacca_names_dns(list, at), let start = unsafe ASN1_STRING_get0_data(text) else { continue }
        let octets = unsafe UnsafeBufferPointer(start: start, count: Int(ASN1_STRING_length(text)))
        let name = unsafe String(decoding: octets, as: UTF8.self).lowercased()
        // A name with anything else in it is none, and a zero octet would cut it (CVE-2009-2408).
        let isName = !name.isEmpty && name.utf8.allSatisfy { $0 > 32 && $0 < 127 }
        if isName, !facts.names.contains(name) { facts.names.append(name) }
      }
    }
    QueuedError.drop()
    return facts
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
