import EventLoop
import Octets
import TLSPipe

/// A stream, in the clear or under TLS, seen as octets in and octets out. Confined to its loop.
///
/// Whoever owns it is kept by its callbacks until it is closed, as the stream keeps them.
final class Wire {
  /// Plaintext that is encrypted at once; what is longer waits for the system to take the piece before.
  private static let pieceBytes = 256 * 1024

  private let stream: EventLoop.Stream
  private var pipe: TLSPipe?
  // What waits to be encrypted, from `next` on. While it is not empty a piece is on its way.
  private var waiting: [Chunk] = []
  private var next = 0
  private var isClosed = false

  /// Lends octets that arrived, decrypted.
  var onOctets: (Span<UInt8>) -> Void = { _ in }
  /// The peer has gone, or something broke; called once at the most, with the reason.
  var onEnd: (String) -> Void = { _ in }
  /// TLS is made.
  var onSecure: () -> Void = {}

  init(_ stream: EventLoop.Stream) { self.stream = stream }

  /// Octets that the peer has not taken.
  var bytesQueued: Int { stream.bytesQueued }

  /// Listens to the stream. The callbacks must be set.
  func begin() {
    stream.onRead = { [self] octets in
      if pipe == nil { onOctets(octets) } else { decrypt(octets) }
    }
    stream.onEnd = { [self] in end("the peer closed the connection") }
    stream.onFailure = { [self] error in end("\(error)") }
    stream.startReading()
  }

  /// Makes TLS; a client speaks first.
  func secure(_ context: TLSContext, serverName: String? = nil) {
    do throws(TLSError) {
      let made = try TLSPipe(context: context, serverName: serverName)
      pipe = made
      try made.start()
      writeCiphertext()
    } catch { end("\(error)") }
  }

  func pause() { stream.stopReading() }
  func resume() { stream.startReading() }

  /// Sends the chunks after everything that was sent before.
  func send(_ chunks: [Chunk]) {
    guard pipe != nil else { return stream.write(chunks) }
    let isIdle = waiting.isEmpty
    waiting += chunks
    if isIdle { encrypt() }
  }

  func send(_ octets: [UInt8]) { send([Chunk(octets)]) }

  /// What was sent still goes out, then the connection ends. Nobody is called back.
  func finish() {
    guard !isClosed else { return }
    isClosed = true
    // A message that is still being encrypted is cut off: the peer must not take it for whole, so it gets no closing alert.
    if waiting.isEmpty {
      pipe?.shutdown()
      writeCiphertext()
    }
    release()
    stream.closeAfterWrites(withinSeconds: 5)
  }

  func close() {
    guard !isClosed else { return }
    isClosed = true
    release()
    stream.close()
  }

  private func release() {
    let released = (onOctets, onEnd, onSecure)
    (onOctets, onEnd, onSecure) = ({ _ in }, { _ in }, {})
    waiting = []
    withExtendedLifetime(released) {}
  }

  private func end(_ reason: String) {
    guard !isClosed else { return }
    let tell = onEnd
    close()
    tell(reason)
  }

  // MARK: Under TLS

  private func encrypt() {
    guard let pipe else { return }
    while next < waiting.count {
      var room = Wire.pieceBytes
      while next < waiting.count, room > 0 {
        let chunk = waiting[next]
        let taken = min(room, chunk.count)
        chunk.withSpan { pipe.send($0.extracting(0..<taken)) }
        room -= taken
        if taken < chunk.count { waiting[next] = chunk[taken..<chunk.count] } else { next += 1 }
      }
      guard let ciphertext = pipe.takeCiphertext() else { continue }
      guard next < waiting.count else {
        stream.write(ciphertext)
        break
      }
      stream.write(ciphertext) { [weak self] error in
        if error == nil { self?.encrypt() }
      }
      return
    }
    waiting.removeAll(keepingCapacity: true)
    next = 0
  }

  private func writeCiphertext() {
    if let ciphertext = pipe?.takeCiphertext() { stream.write(ciphertext) }
  }

  private func decrypt(_ octets: Span<UInt8>) {
    guard let pipe else { return }
    var announced = pipe.isEstablished
    do throws(TLSError) {
      try pipe.receive(octets) { plaintext in
        if !announced {
          announced = true
          onSecure()
        }
        onOctets(plaintext)
      }
    } catch {
      // The alert that tells the peer why goes out before the end.
      writeCiphertext()
      return end("\(error)")
    }
    if isClosed { return }
    writeCiphertext()
    if !announced, pipe.isEstablished { onSecure() }
    if pipe.peerHasClosed { end("the peer closed the connection") }
  }
}
