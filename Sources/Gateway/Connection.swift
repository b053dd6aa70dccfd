public import EventLoop
public import Octets
public import TLSPipe

/// A peer's stream, plain or under TLS, seen as octets in and octets out. Confined to its lane.
public final class Connection {
  private let stream: EventLoop.Stream
  private var pipe: TLSPipe?
  /// Lends octets that arrived (decrypted under TLS).
  public var onOctets: ((Span<UInt8>) -> Void)?
  /// The peer has ended its side, or the connection broke; the text says why. Called once at the most.
  public var onEnd: ((String) -> Void)?
  /// The handshake came through.
  public var onSecure: (() -> Void)?
  private var closed = false
  /// True while octets are taken that the stream is not lending.
  private var isFeeding = false

  /// A connection over a stream that does not read yet.
  public init(_ stream: EventLoop.Stream) {
    self.stream = stream
  }

  /// The peer's IP address, or a path for a local socket.
  public var peerAddress: String { stream.peerAddress }
  /// True once TLS is established.
  public var isSecure: Bool { pipe?.isEstablished ?? false }
  /// "TLSv1.3 TLS_AES_256_GCM_SHA384", or nil.
  public var security: String? { pipe.flatMap { $0.isEstablished ? "\($0.protocolVersion ?? "") \($0.cipher ?? "")" : nil } }
  /// Octets the peer has not taken yet.
  public var bytesQueued: Int { stream.bytesQueued }

  /// Takes the stream's events. Call once, after the callbacks are set.
  public func begin() {
    stream.onRead = { [unowned self] in self.arrived($0) }
    stream.onEnd = { [unowned self] in self.ended("the peer closed the connection") }
    stream.onFailure = { [unowned self] in self.ended("\($0)") }
    stream.startReading()
  }

  /// Begins TLS over the stream. As a client it sends the first flight.
  public func secure(with pipe: TLSPipe, asClient: Bool) {
    self.pipe = pipe
    if asClient {
      do { try pipe.start() } catch { return ended("\(error)") }
      flushCiphertext(nil)
    }
  }

  /// Keeps some of the octets that `onOctets` is lending just now: see `Stream.keepRead`. What was decrypted is never kept.
  func keep(_ range: Range<Int>) -> Chunk? { pipe == nil && !isFeeding ? stream.keepRead(range) : nil }

  /// Takes octets that somebody read from the stream before this connection began.
  func feed(_ octets: [UInt8]) {
    isFeeding = true
    if !closed { arrived(octets.span) }
    isFeeding = false
  }

  /// Takes no more octets for now: the peer feels it.
  public func pause() { if !closed { stream.stopReading() } }
  /// Takes octets again.
  public func resume() { if !closed { stream.startReading() } }

  /// Sends octets; `completion` is called when the system has taken them, or with a reason when it did not.
  public func send(_ chunks: [Chunk], completion: ((String?) -> Void)? = nil) {
    guard !closed else {
      completion?("the connection is closed")
      return
    }
    guard let pipe else {
      stream.write(chunks, completion: completion.map { tell in { tell($0.map { "\($0)" }) } })
      return
    }
    for chunk in chunks { chunk.withSpan { pipe.send($0) } }
    flushCiphertext(completion)
  }

  /// Sends what is queued, then closes.
  public func closeAfterWrites() {
    guard !closed else { return }
    if let pipe {
      pipe.shutdown()
      flushCiphertext(nil)
    }
    forget()
    stream.closeAfterWrites()
  }

  /// Closes now.
  public func close() {
    guard !closed else { return }
    forget()
    stream.close()
  }

  /// Nothing is heard from the stream any more, which may outlive this object until its last octets are out.
  private func forget() {
    closed = true
    stream.onRead = { _ in }
    stream.onEnd = {}
    stream.onFailure = { _ in }
  }

  private func flushCiphertext(_ completion: ((String?) -> Void)?) {
    guard let ciphertext = pipe?.takeCiphertext() else {
      completion?(nil)
      return
    }
    stream.write([ciphertext], completion: completion.map { tell in { tell($0.map { "\($0)" }) } })
  }

  private func arrived(_ octets: Span<UInt8>) {
    guard let pipe else {
      onOctets?(octets)
      return
    }
    let wasEstablished = pipe.isEstablished
    var announced = wasEstablished
    do {
      try pipe.receive(octets) { plaintext in
        if !announced {
          announced = true
          onSecure?()
        }
        if !closed { onOctets?(plaintext) }
      }
    } catch {
      // The alert that tells the peer why goes out before the end.
      flushCiphertext(nil)
      ended("\(error)")
      return
    }
    if closed { return }
    flushCiphertext(nil)
    if !announced, pipe.isEstablished { onSecure?() }
    if pipe.peerHasClosed { ended("the peer closed the connection") }
  }

  private func ended(_ reason: String) {
    guard !closed else { return }
    let handler = onEnd
    onEnd = nil
    handler?(reason)
  }
}
