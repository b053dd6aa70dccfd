internal import CLibuv
public import Octets

/// A connection, TCP or local (Unix domain), in either direction.
///
/// It reads nothing until `startReading`, and may be closed at any time, in its own callbacks too. When something fails the stream is
/// closed by itself: the completions of open writes get the error, then `onFailure` runs, then nothing more. After `close` and
/// `closeAfterWrites` there are no callbacks at all, completions included.
@safe
public final class Stream: HandleOwner {
  /// Where a stream stands. `lingering` is on its way out by `closeAfterWrites`, `failing` is closed and has still to say why.
  enum Phase { case connecting, open, lingering, failing, closed }

  /// What the handle is.
  enum Kind { case tcp, local }

  /// The loop it belongs to.
  public let loop: Loop
  /// The peer's IP address in its usual text form; empty for a local stream.
  public private(set) var peerAddress = ""
  /// The peer's port; 0 for a local stream.
  public private(set) var peerPort = 0

  /// Octets that arrived. They are lent for the call.
  public var onRead: (Span<UInt8>) -> Void = { _ in }
  /// The peer has said all it had to say. Writing is still possible; somebody has to call `close` or `closeAfterWrites`.
  public var onEnd: () -> Void = {}
  /// The connection is gone, and the stream is closed already.
  public var onFailure: (LoopError) -> Void = { _ in }

  let kind: Kind
  var phase = Phase.connecting
  // What waits to be written; nil while nothing does, which is what an idle connection looks like.
  var outbox: Outbox?
  var isCorked = false
  var shutdownAsked = false
  private var wantsReading = false
  /// Octets of the read that `onRead` is told of; 0 at any other time.
  private var lentBytes = 0
  private var hasEnded = false
  private var lingerDeadline: Deadline?
  // Owned from init to the close callback, which frees it; not touched after closing began (phases failing and closed).
  let handle: UnsafeMutablePointer<uv_stream_t>

  /// A handle without a socket yet. It is kept alive by libuv until it is closed: every path has to end there.
  init(loop: Loop, kind: Kind) {
    self.loop = loop
    self.kind = kind
    switch kind {
    case .tcp:
      let tcp = UnsafeMutablePointer<uv_tcp_t>.allocate(capacity: 1)
      unsafe uv_tcp_init(loop.raw, tcp)
      unsafe handle = UnsafeMutableRawPointer(tcp).assumingMemoryBound(to: uv_stream_t.self)
    case .local:
      let pipe = UnsafeMutablePointer<uv_pipe_t>.allocate(capacity: 1)
      unsafe uv_pipe_init(loop.raw, pipe, 0)
      unsafe handle = UnsafeMutableRawPointer(pipe).assumingMemoryBound(to: uv_stream_t.self)
    }
    unsafe handle.pointee.data = unsafe Unmanaged.passRetained(self).toOpaque()
  }

  /// True until it was closed, by either side or by a fault.
  public var isOpen: Bool { phase == .open }

  /// Between unix and TCP: true for a Unix domain stream.
  public var isLocal: Bool { kind == .local }

  /// The port on this side; 0 for a local or closed stream.
  public var localPort: Int { localEnd.port }

  /// The IP address on this side; empty for a local or closed stream.
  public var localAddress: String { localEnd.address }

  private var localEnd: (address: String, port: Int) {
    guard kind == .tcp, phase == .open || phase == .lingering else { return ("", 0) }
    return unsafe addressOf { unsafe ceralacca_uv_local(handle, $0, $1, $2) } ?? ("", 0)
  }

  /// The socket is connected: from now on it may be used.
  func opened() {
    phase = .open
    guard kind == .tcp else { return }
    unsafe uv_tcp_nodelay(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_tcp_t.self), 1)
    // A peer that has left already has no address any more; reading will say so.
    (peerAddress, peerPort) = unsafe addressOf { unsafe ceralacca_uv_peer(handle, $0, $1, $2) } ?? ("", 0)
  }

  /// Whether small writes go out at once (they do unless asked otherwise). No effect on a local stream.
  public func setNoDelay(_ on: Bool) {
    loop.assertOnThread()
    guard phase == .open, kind == .tcp else { return }
    unsafe uv_tcp_nodelay(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_tcp_t.self), on ? 1 : 0)
  }

  // MARK: Reading

  /// Keeps some of the octets that `onRead` is lending just now, without a copy: where they lie in what it was given. Nil outside of that
  /// call, and where they are less than half of the memory that they would keep from being used.
  public func keepRead(_ range: Range<Int>) -> Chunk? {
    loop.assertOnThread()
    guard range.lowerBound >= 0, range.upperBound <= lentBytes, range.count >= loop.slabBytes / 2 else { return nil }
    let slab = loop.giveSlab()
    return unsafe Chunk(base: UnsafeRawPointer(slab.base + range.lowerBound), count: range.count, owner: slab)
  }

  /// True between `startReading` and `stopReading`.
  public var isReading: Bool { wantsReading }

  /// Reads from now on. Again and again is harmless; after the peer's end nothing happens.
  public func startReading() {
    loop.assertOnThread()
    guard phase == .open, !wantsReading, !hasEnded else { return }
    wantsReading = true
    readOn()
  }

  /// Reads no more until `startReading`: the peer is held back by TCP. Not even a reset is noticed meanwhile.
  public func stopReading() {
    loop.assertOnThread()
    guard phase == .open, wantsReading else { return }
    wantsReading = false
    unsafe uv_read_stop(handle)
  }

  private func readOn() {
    let failure = unsafe uv_read_start(
      handle,
      { handle, _, buffer in
        guard let data = unsafe handle?.pointee.data, let buffer = unsafe buffer else { return }
        unsafe Unmanaged<Stream>.fromOpaque(data)._withUnsafeGuaranteedRef { stream in
          let slab = stream.loop.slabForReading()
          unsafe buffer.pointee.base = slab.base.assumingMemoryBound(to: CChar.self)
          unsafe buffer.pointee.len = slab.count
        }
      },
      { handle, count, _ in
        guard let data = unsafe handle?.pointee.data else { return }
        unsafe Unmanaged<Stream>.fromOpaque(data)._withUnsafeGuaranteedRef { $0.wasRead(count) }
      })
    // Only a handle that is closing or never had a socket is refused.
    if failure != 0 { fail(LoopError(failure, "read from \(peerText)")) }
  }

  private func wasRead(_ count: Int) {
    switch phase {
    case .open:
      if count > 0 {
        let slab = loop.slabForReading()
        let bytes = unsafe UnsafeBufferPointer(start: slab.base.assumingMemoryBound(to: UInt8.self), count: count)
        let onRead = onRead
        lentBytes = count
        unsafe onRead(bytes.span)
        lentBytes = 0
      } else if count == Int(UV_EOF.rawValue) {
        hasEnded = true
        wantsReading = false
        unsafe uv_read_stop(handle)
        let onEnd = onEnd
        onEnd()
      } else if count < 0 {
        fail(LoopError(Int32(truncatingIfNeeded: count), "read from \(peerText)"))
      }
    case .lingering:
      // What still comes is thrown away. Left unread it would make the kernel answer with a reset, and a reset destroys
      // the last reply on its way to the peer.
      if count == Int(UV_EOF.rawValue) {
        hasEnded = true
        unsafe uv_read_stop(handle)
        if outbox == nil { close() }
      } else if count < 0 {
        close()
      }
    case .connecting, .failing, .closed: break
    }
  }

  // MARK: Ending

  /// Closes at once: what was not written yet is lost, nobody is called back.
  public func close() {
    loop.assertOnThread()
    switch phase {
    case .closed: return
    case .failing: phase = .closed
    case .connecting, .open, .lingering:
      phase = .closed
      closeHandle()
    }
    release()
  }

  /// Lets go of the stream: what was written still goes out, then the sending side is shut, and the stream closes when the peer has
  /// closed too. What the peer still sends is thrown away.
  /// - Parameter withinSeconds: closed after that in any case.
  public func closeAfterWrites(withinSeconds: Int = 10) {
    loop.assertOnThread()
    guard phase == .open else { return close() }
    phase = .lingering
    isCorked = false
    outbox?.dropCompletions()
    lingerDeadline = loop.deadline(afterSeconds: withinSeconds) { [unowned self] in close() }
    release(keepingWrites: true)
    if !wantsReading && !hasEnded { readOn() }
    if phase == .lingering { flush() }
  }

  /// Says to the peer that nothing more will be written, after what was written so far. Reading goes on.
  public func shutdown() {
    loop.assertOnThread()
    guard phase == .open, !shutdownAsked else { return }
    shutdownAsked = true
    isCorked = false
    flush()
  }

  /// Everything is written: does what was to be done after that.
  func drained() {
    guard shutdownAsked || phase == .lingering else { return }
    if phase == .lingering && hasEnded { return close() }
    let request = UnsafeMutablePointer<uv_shutdown_t>.allocate(capacity: 1)
    // Owned by libuv until its callback, which comes in any case, and before the close callback.
    let failure = unsafe uv_shutdown(request, handle) { request, _ in unsafe request?.deallocate() }
    if failure != 0 {
      unsafe request.deallocate()
      // Gone already (ENOTCONN) or shut before by `shutdown`: in lingering there is nothing left to wait for but the peer.
      if phase == .lingering && !shutdownAsked { close() }
    }
  }

  /// The connection is broken: closes it, and tells everybody who waits, in the next moment (never inside a call of the user's).
  func fail(_ error: LoopError) {
    switch phase {
    case .failing, .closed: return
    case .lingering: return close()
    case .connecting, .open: break
    }
    phase = .failing
    closeHandle()
    loop.soon { [self] in
      let waiting = outbox?.takeCompletions() ?? []
      for completion in waiting where phase == .failing { completion(error) }
      guard phase == .failing else { return }
      let onFailure = onFailure
      close()
      onFailure(error)
    }
  }

  func closeForStop() { close() }

  private func closeHandle() {
    unsafe uv_close(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)) { closing in
      guard let closing = unsafe closing, let data = unsafe uv_handle_get_data(closing) else { return }
      // Allocated as uv_tcp_t or uv_pipe_t; both came from the same allocator, which needs no size back.
      unsafe UnsafeMutableRawPointer(closing).deallocate()
      let stream = unsafe Unmanaged<Stream>.fromOpaque(data).takeRetainedValue()
      stream.handleClosed()
    }
  }

  private func handleClosed() {
    // The loop stopped before a failure could be told: nobody will call `close` any more.
    guard phase == .failing, !loop.isOpen else { return }
    phase = .closed
    release()
  }

  /// Lets go of the callbacks, which usually own the session that owns this stream.
  private func release(keepingWrites: Bool = false) {
    let released = (onRead, onEnd, onFailure, outbox)
    onRead = { _ in }
    onEnd = {}
    onFailure = { _ in }
    if !keepingWrites {
      outbox = nil
      lingerDeadline?.cancel()
      lingerDeadline = nil
    }
    withExtendedLifetime(released) {}
  }

  /// For the text of errors.
  var peerText: String {
    switch kind {
    case .tcp: peerAddress.contains(":") ? "[\(peerAddress)]:\(peerPort)" : "\(peerAddress):\(peerPort)"
    case .local: "local peer"
    }
  }
}

@available(*, unavailable)
extension Stream: Sendable {}

/// The address that `fill` finds out, as text and port; nil when it cannot.
func addressOf(_ fill: (UnsafeMutablePointer<CChar>?, Int, UnsafeMutablePointer<Int32>) -> Int32) -> (address: String, port: Int)? {
  unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { text in
    var port: Int32 = 0
    guard unsafe fill(text.baseAddress, text.count, &port) == 0, let start = text.baseAddress else { return nil }
    return (unsafe String(cString: start), Int(port))
  }
}
