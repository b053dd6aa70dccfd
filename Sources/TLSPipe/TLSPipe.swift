internal import COpenSSL
public import Octets

/// TLS without a socket: ciphertext in and out, plaintext out and in. The session moves the octets between a stream and this pipe.
///
/// After each `receive`, `start`, `send` and `shutdown`, also after one that failed, `takeCiphertext` has what goes to the peer.
/// Confined to one thread, like the stream beside it. An established pipe that is idle holds no record buffers.
@safe
public final class TLSPipe {
  /// Where the pipe stands. `shut` is after our own closing alert: the peer may still send.
  private enum Phase { case handshaking, established, shut, failed(TLSError) }

  /// Plaintext of one record at the most (RFC 8446 §5.1).
  private static let recordBytes = 16 * 1024

  private let context: TLSContext
  // Owned, freed in deinit. It owns its BIO, whose data points back here unowned: OpenSSL calls the BIO within our calls only.
  private let ssl: OpaquePointer
  private var phase = Phase.handshaking
  private var early: [UInt8] = []
  // What `receive` was lent and OpenSSL has not read yet; valid within `receive` alone.
  private var input: UnsafeRawPointer?
  private var inputCount = 0
  private var output = ChunkBuilder(capacity: 512)
  private var isReceiving = false

  /// True once the peer has sent its closing alert: there will be no more plaintext.
  public private(set) var peerHasClosed = false

  /// - Parameters:
  ///   - context: decides which side this is.
  ///   - serverName: for a client: the name sent along (SNI, RFC 6066 §3) and, when the context verifies, the name that the server's
  ///     certificate must bear; it may be a numeric address. A server ignores it.
  ///   - identity: for a client whose context is `daneClient`: the TLSA records that judge the server, instead of `serverName`.
  /// - Throws: `nameUnusable`, `certificateRefused` when no TLSA record is usable, or `internalFailure` when memory is short.
  public init(context: TLSContext, serverName: String? = nil, identity: TLSIdentity? = nil) throws(TLSError) {
    QueuedError.drop()
    guard let method = unsafe PipeBIO.method.pointer, let made = unsafe SSL_new(context.raw) else {
      throw TLSError(.internalFailure, "no TLS connection: \(QueuedError.take().words)")
    }
    self.context = context
    unsafe ssl = made
    unsafe input = nil
    guard let bio = unsafe BIO_new(method) else {
      throw TLSError(.internalFailure, "no TLS connection: \(QueuedError.take().words)")
    }
    unsafe BIO_set_data(bio, Unmanaged.passUnretained(self).toOpaque())
    // One BIO for both directions: the SSL takes over our single reference.
    unsafe SSL_set_bio(made, bio, bio)
    if context.isServer {
      unsafe SSL_set_accept_state(made)
    } else {
      unsafe SSL_set_connect_state(made)
      if let identity { try unsafe identity.demand(of: made) } else if let serverName { try expect(serverName) }
    }
  }

  deinit { unsafe SSL_free(ssl) }

  private func expect(_ serverName: String) throws(TLSError) {
    var name = serverName
    if name.hasSuffix(".") { name.removeLast() }
    guard !name.isEmpty, name.utf8.count <= 253, name.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
      throw TLSError(.nameUnusable, "not a server's name: \(serverName)")
    }
    let numeric = unsafe ceralacca_tls_is_address(name)
    // An address is not sent along (RFC 6066 §3).
    if numeric == 0, unsafe ceralacca_tls_server_name(ssl, name) != 1 {
      throw TLSError(.nameUnusable, "not a server's name: \(serverName): \(QueuedError.take().words)")
    }
    if context.verifies, unsafe ceralacca_tls_expect(ssl, name, numeric) != 1 {
      throw TLSError(.nameUnusable, "not a server's name: \(serverName): \(QueuedError.take().words)")
    }
  }

  // MARK: What is known

  /// True from the end of the handshake, until the pipe fails.
  public var isEstablished: Bool {
    switch phase {
    case .established, .shut: true
    case .handshaking, .failed: false
    }
  }

  /// "TLSv1.3", once established.
  public var protocolVersion: String? {
    guard isEstablished, let text = unsafe SSL_get_version(ssl) else { return nil }
    return unsafe String(cString: text)
  }

  /// "TLS_AES_256_GCM_SHA384", once established.
  public var cipher: String? {
    guard isEstablished, let cipher = unsafe SSL_get_current_cipher(ssl), let text = unsafe SSL_CIPHER_get_name(cipher) else {
      return nil
    }
    return unsafe String(cString: text)
  }

  /// The certificate that the peer showed, in DER, once established; nil where it showed none.
  public var peerCertificate: [UInt8]? {
    guard isEstablished, let certificate = unsafe SSL_get0_peer_certificate(ssl) else { return nil }
    // OpenSSL allocates the octets, which are copied and given back here; the certificate stays its own.
    var out: UnsafeMutablePointer<UInt8>?
    let count = unsafe i2d_X509(certificate, &out)
    guard count > 0, let start = unsafe out else { return nil }
    defer { unsafe ceralacca_openssl_free(start) }
    return unsafe Array(UnsafeBufferPointer(start: start, count: Int(count)))
  }

  /// True when an earlier session was resumed by its ticket.
  public var isResumed: Bool { isEstablished && (unsafe SSL_session_reused(ssl)) == 1 }

  /// What ended the pipe, if it failed.
  public var failure: TLSError? {
    switch phase {
    case .failed(let error): error
    case .handshaking, .established, .shut: nil
    }
  }

  /// Ciphertext that waits for `takeCiphertext`, in octets.
  public var ciphertextCount: Int { output.count }

  // MARK: Octets

  /// Begins the handshake: a client speaks first. A server has nothing to say yet.
  public func start() throws(TLSError) {
    guard case .handshaking = phase, !context.isServer else { return }
    try handshake()
  }

  /// Takes what came from the peer. All of it is used up; what makes no whole record yet is kept.
  ///
  /// - Parameter plaintext: gets what it means, in one piece or several, lent for the call. It may send and shut, not receive.
  /// - Throws: once; the pipe is of no use afterwards, but for the alert that `takeCiphertext` may have for the peer.
  public func receive(_ ciphertext: Span<UInt8>, plaintext: (Span<UInt8>) -> Void) throws(TLSError) {
    precondition(!isReceiving, "receive within receive")
    switch phase {
    case .failed: throw TLSError(.closed, "the TLS connection has failed before")
    case .handshaking, .established, .shut: break
    }
    // After the closing alert nothing counts (RFC 8446 §6.1).
    if peerHasClosed || ciphertext.isEmpty { return }
    isReceiving = true
    defer {
      isReceiving = false
      unsafe input = nil
      inputCount = 0
    }
    let outcome: Result<Void, TLSError> = unsafe ciphertext.withUnsafeBytes { bytes in
      unsafe input = bytes.baseAddress
      inputCount = bytes.count
      return Result { () throws(TLSError) in try process(plaintext) }
    }
    try outcome.get()
  }

  /// The connection under the pipe has ended. Without the peer's closing alert before, it was cut off.
  /// - Throws: `truncated`.
  public func receiveEnd() throws(TLSError) {
    guard !peerHasClosed, failure == nil else { return }
    let place = isEstablished ? "without the closing alert" : "in the handshake"
    let error = TLSError(.truncated, "the connection ended \(place)")
    phase = .failed(error)
    throw error
  }

  /// Encrypts octets for the peer. Before the handshake is through they are kept and follow it; after `shutdown` or a failure they are
  /// dropped. The plaintext is read once, straight into records.
  public func send(_ plaintext: Span<UInt8>) {
    switch phase {
    case .handshaking: early.append(copying: plaintext)
    case .established: encrypt(plaintext)
    case .shut, .failed: break
    }
  }

  /// What is to go to the peer, or nil when there is nothing.
  public func takeCiphertext() -> Chunk? {
    guard output.count > 0 else { return nil }
    let chunk = output.freeze()
    output = ChunkBuilder(capacity: 512)
    return chunk
  }

  /// Says that we shall send no more (the closing alert). Only on an established pipe; otherwise nothing happens.
  public func shutdown() {
    guard case .established = phase else { return }
    QueuedError.drop()
    unsafe SSL_shutdown(ssl)
    QueuedError.drop()
    phase = .shut
  }

  // MARK: Work

  private func process(_ plaintext: (Span<UInt8>) -> Void) throws(TLSError) {
    if case .handshaking = phase {
      try handshake()
      if case .handshaking = phase { return }
    }
    let slab = PlaintextSlab.take()
    defer { PlaintextSlab.give(slab) }
    var filled = 0
    while true {
      let more = try read(into: slab, at: filled, plaintext)
      filled += more
      // Full to the point where a record might not fit, or nothing more to read: hand it on.
      if filled > 0, more == 0 || filled > PlaintextSlab.bytes - Self.recordBytes {
        unsafe plaintext(slab.buffer(filled).span)
        filled = 0
      }
      if more == 0 { return }
    }
  }

  /// One record's plaintext into the slab; 0 when there is no whole record, or the peer has closed. What was read before a fault is
  /// genuine and is handed on before the fault is thrown.
  private func read(into slab: PlaintextSlab, at filled: Int, _ plaintext: (Span<UInt8>) -> Void) throws(TLSError) -> Int {
    QueuedError.drop()
    let count = unsafe SSL_read(ssl, slab.memory + filled, Int32(PlaintextSlab.bytes - filled))
    if count > 0 { return Int(count) }
    switch unsafe SSL_get_error(ssl, count) {
    case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return 0
    case SSL_ERROR_ZERO_RETURN:
      peerHasClosed = true
      return 0
    default:
      let error = fail()
      if filled > 0 { unsafe plaintext(slab.buffer(filled).span) }
      throw error
    }
  }

  private func handshake() throws(TLSError) {
    QueuedError.drop()
    let result = unsafe SSL_do_handshake(ssl)
    if result == 1 {
      phase = .established
      if !early.isEmpty {
        encrypt(early.span)
        early = []
      }
      return
    }
    switch unsafe SSL_get_error(ssl, result) {
    case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return
    default: throw fail()
    }
  }

  private func encrypt(_ plaintext: Span<UInt8>) {
    guard !plaintext.isEmpty else { return }
    if output.count == 0, plaintext.count > 256 {
      // Room for all of it at once: 5 octets of header and up to 24 of nonce and tag for each record.
      output = ChunkBuilder(capacity: plaintext.count + (plaintext.count / Self.recordBytes + 1) * 64)
    }
    QueuedError.drop()
    var written = 0
    let result = unsafe plaintext.withUnsafeBytes { bytes in unsafe SSL_write_ex(ssl, bytes.baseAddress, bytes.count, &written) }
    // The BIO takes everything, so only OpenSSL itself can fail here; the next receive says that the pipe is done for.
    if result != 1 { _ = fail() }
  }

  private func fail() -> TLSError {
    let queued = QueuedError.take()
    var error = TLSError(queued.kind, queued.words.isEmpty ? "TLS failed" : queued.words)
    if error.kind == .certificateRefused {
      let verdict = unsafe SSL_get_verify_result(ssl)
      let words = unsafe X509_verify_cert_error_string(verdict).map { unsafe String(cString: $0) } ?? ""
      let wrongName = verdict == Int(X509_V_ERR_HOSTNAME_MISMATCH) || verdict == Int(X509_V_ERR_IP_ADDRESS_MISMATCH)
      error = TLSError(wrongName ? .nameMismatch : .certificateRefused, "the server's certificate: \(words)")
    }
    phase = .failed(error)
    early = []
    return error
  }

  // MARK: OpenSSL's side

  /// OpenSSL asks for ciphertext. -1 when there is none for now.
  fileprivate func give(_ target: UnsafeMutableRawPointer, _ count: Int) -> Int {
    let given = min(count, inputCount)
    guard given > 0, let source = unsafe input else { return -1 }
    unsafe target.copyMemory(from: source, byteCount: given)
    unsafe input = source + given
    inputCount -= given
    return given
  }

  /// OpenSSL has ciphertext for the peer.
  fileprivate func take(_ source: UnsafeRawPointer, _ count: Int) {
    unsafe output.append(UnsafeRawBufferPointer(start: source, count: count).bindMemory(to: UInt8.self).span)
  }
}

@available(*, unavailable)
extension TLSPipe: Sendable {}

/// The BIO between OpenSSL and a pipe: it reads from the span that `receive` was lent and writes to the pipe's output.
private enum PipeBIO {
  /// Made once, kept for the life of the process, never changed after.
  @safe struct Method: @unchecked Sendable {
    let pointer: OpaquePointer?
  }

  static let method = unsafe Method(pointer: make())

  private static func make() -> OpaquePointer? {
    guard let made = unsafe BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ceralacca pipe") else { return nil }
    unsafe BIO_meth_set_create(made) { bio in
      unsafe BIO_set_init(bio, 1)
      return 1
    }
    unsafe BIO_meth_set_read(made) { bio, target, count in
      guard let bio = unsafe bio, let target = unsafe target, let data = unsafe BIO_get_data(bio) else { return -1 }
      let given = unsafe Unmanaged<TLSPipe>.fromOpaque(data)._withUnsafeGuaranteedRef { unsafe $0.give(target, Int(count)) }
      if given < 0 { unsafe ceralacca_tls_retry_read(bio) } else { unsafe ceralacca_tls_no_retry(bio) }
      return Int32(given)
    }
    unsafe BIO_meth_set_write(made) { bio, source, count in
      guard let bio = unsafe bio, let source = unsafe source, let data = unsafe BIO_get_data(bio), count > 0 else { return 0 }
      unsafe ceralacca_tls_no_retry(bio)
      unsafe Unmanaged<TLSPipe>.fromOpaque(data)._withUnsafeGuaranteedRef { unsafe $0.take(source, Int(count)) }
      return count
    }
    unsafe BIO_meth_set_ctrl(made) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
    return unsafe made
  }
}
