internal import CLibuv

/// A socket that takes connections, TCP or local.
///
/// When the process runs out of descriptors, connections that cannot be taken are dropped or wait in the kernel's queue while the
/// listener pauses; the loop goes on, and neither spins.
@safe
public final class Listener: HandleOwner {
  private static let pauseMilliseconds: UInt64 = 200

  /// The port that is listened on, also when any was asked for; 0 for a local listener.
  public private(set) var boundPort = 0
  /// The address that is listened on, or the path of a local listener.
  public private(set) var boundAddress = ""

  private let loop: Loop
  private let kind: Stream.Kind
  private let backlog: Int32
  private var onConnection: (Stream) -> Void
  // Owned from the making to the close callback, which frees it; nil while pausing and after closing.
  private var handle: UnsafeMutablePointer<uv_stream_t>?
  // A second descriptor of the same socket, owned, -1 when there is none. It keeps the socket and its queue while pausing.
  private var spare: Int32 = -1
  private var pause: LoopTimer?
  private var isClosed = false
  // The socket file's inode, so that at the end only our own file is removed.
  private var inode: UInt64 = 0

  private init(loop: Loop, kind: Stream.Kind, backlog: Int, onConnection: @escaping (Stream) -> Void) {
    self.loop = loop
    self.kind = kind
    self.backlog = Int32(clamping: max(1, backlog))
    self.onConnection = onConnection
    unsafe handle = nil
  }

  fileprivate static func tcp(
    loop: Loop, address: SocketAddress, reusePort: Bool, backlog: Int, text: String, onConnection: @escaping (Stream) -> Void
  ) throws(LoopError) -> Listener {
    let listener = Listener(loop: loop, kind: .tcp, backlog: backlog, onConnection: onConnection)
    let handle = unsafe listener.makeHandle(family: address.family)
    let failure = unsafe handle.map { handle in
      unsafe address.withPointer {
        unsafe ceralacca_uv_bind(
          UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_tcp_t.self), $0, reusePort ? 1 : 0)
      }
    }
    try listener.listen(failure ?? UV_EMFILE.rawValue, text)
    if let bound = unsafe addressOf({ unsafe ceralacca_uv_local(handle, $0, $1, $2) }) {
      listener.boundAddress = bound.address
      listener.boundPort = bound.port
    }
    return listener
  }

  fileprivate static func tcp(
    loop: Loop, socket: ListeningSocket, backlog: Int, onConnection: @escaping (Stream) -> Void
  ) throws(LoopError) -> Listener {
    let listener = Listener(loop: loop, kind: .tcp, backlog: backlog, onConnection: onConnection)
    let copy = ceralacca_uv_duplicate(socket.descriptor)
    try listener.listen(copy < 0 ? copy : listener.adopt(copy), "listen on \(socket.address):\(socket.port)")
    listener.boundAddress = socket.address
    listener.boundPort = socket.port
    return listener
  }

  fileprivate static func local(
    loop: Loop, path: String, mode: UInt32, backlog: Int, onConnection: @escaping (Stream) -> Void
  ) throws(LoopError) -> Listener {
    let text = "listen on \(path)"
    let descriptor = unsafe ceralacca_uv_local_socket(path, mode)
    guard descriptor >= 0 else { throw LoopError(descriptor, text) }
    let listener = Listener(loop: loop, kind: .local, backlog: backlog, onConnection: onConnection)
    try listener.listen(listener.adopt(descriptor), text)
    listener.boundAddress = path
    listener.inode = unsafe ceralacca_uv_inode(path)
    return listener
  }

  /// True until `close`.
  public var isOpen: Bool { !isClosed }

  /// Takes no more connections. Those that wait in the kernel's queue are reset, unless somebody else has the socket too.
  public func close() {
    loop.assertOnThread()
    guard !isClosed else { return }
    isClosed = true
    pause?.cancel()
    pause = nil
    closeHandle()
    if spare >= 0 { closeDescriptor(spare) }
    spare = -1
    if inode != 0, unsafe ceralacca_uv_inode(boundAddress) == inode { unsafe unlink(boundAddress) }
    let released = onConnection
    onConnection = { _ in }
    withExtendedLifetime(released) {}
  }

  func closeForStop() { close() }

  // MARK: The handle

  /// A new handle, kept in `handle`; with a socket of `family` when that is not 0. Nil when there is no descriptor for it.
  private func makeHandle(family: Int32) -> UnsafeMutablePointer<uv_stream_t>? {
    let made: UnsafeMutablePointer<uv_stream_t>
    switch kind {
    case .tcp:
      let tcp = UnsafeMutablePointer<uv_tcp_t>.allocate(capacity: 1)
      guard unsafe uv_tcp_init_ex(loop.raw, tcp, UInt32(bitPattern: family)) == 0 else {
        unsafe tcp.deallocate()
        return nil
      }
      unsafe made = UnsafeMutableRawPointer(tcp).assumingMemoryBound(to: uv_stream_t.self)
    case .local:
      let pipe = UnsafeMutablePointer<uv_pipe_t>.allocate(capacity: 1)
      unsafe uv_pipe_init(loop.raw, pipe, 0)
      unsafe made = UnsafeMutableRawPointer(pipe).assumingMemoryBound(to: uv_stream_t.self)
    }
    unsafe made.pointee.data = unsafe Unmanaged.passRetained(self).toOpaque()
    unsafe handle = made
    return unsafe made
  }

  /// Makes a handle around a bound socket; the descriptor is the handle's from now on, or closed.
  private func adopt(_ descriptor: Int32) -> Int32 {
    guard let made = unsafe makeHandle(family: 0) else {
      closeDescriptor(descriptor)
      return UV_EMFILE.rawValue
    }
    let failure =
      switch kind {
      case .tcp: unsafe uv_tcp_open(UnsafeMutableRawPointer(made).assumingMemoryBound(to: uv_tcp_t.self), descriptor)
      case .local: unsafe uv_pipe_open(UnsafeMutableRawPointer(made).assumingMemoryBound(to: uv_pipe_t.self), descriptor)
      }
    if failure != 0 { closeDescriptor(descriptor) }
    return failure
  }

  /// The last step of making a listener: `bound` is how binding went.
  private func listen(_ bound: Int32, _ text: String) throws(LoopError) {
    var failure = bound
    if failure == 0 { failure = start() }
    guard failure != 0 else { return }
    close()
    throw LoopError(failure, text)
  }

  private func start() -> Int32 {
    guard let handle = unsafe handle else { return UV_EBADF.rawValue }
    if spare < 0 {
      let copy = unsafe ceralacca_uv_duplicate(ceralacca_uv_descriptor(handle))
      guard copy >= 0 else { return copy }
      spare = copy
    }
    return unsafe uv_listen(handle, backlog) { handle, status in
      guard let data = unsafe handle?.pointee.data else { return }
      unsafe Unmanaged<Listener>.fromOpaque(data)._withUnsafeGuaranteedRef { $0.arrived(status) }
    }
  }

  private func arrived(_ status: Int32) {
    guard !isClosed, let handle = unsafe handle else { return }
    // libuv offers the connection again and again for as long as accepting fails: it must not be asked for a while.
    guard status == 0 else { return rest() }
    let stream = Stream(loop: loop, kind: kind)
    guard unsafe uv_accept(handle, stream.handle) == 0 else {
      stream.close()
      return rest()
    }
    stream.opened()
    let onConnection = onConnection
    onConnection(stream)
  }

  /// Stops asking for connections for a moment. libuv cannot pause a listener, so the handle goes and the spare descriptor keeps the
  /// socket listening; what connects meanwhile waits in the kernel's queue.
  private func rest() {
    guard pause == nil, spare >= 0 else { return }
    closeHandle()
    pause = loop.timer(after: Self.pauseMilliseconds, repeat: Self.pauseMilliseconds) { [unowned self] in resume() }
  }

  private func resume() {
    // Two descriptors are needed again; until there are, the pause goes on.
    let copy = ceralacca_uv_duplicate(spare)
    guard copy >= 0 else { return }
    let kept = spare
    spare = copy
    if adopt(kept) == 0, start() == 0 {
      pause?.cancel()
      pause = nil
    } else {
      closeHandle()
    }
  }

  private func closeHandle() {
    guard let closing = unsafe handle else { return }
    unsafe handle = nil
    unsafe uv_close(UnsafeMutableRawPointer(closing).assumingMemoryBound(to: uv_handle_t.self)) { closed in
      guard let closed = unsafe closed, let data = unsafe uv_handle_get_data(closed) else { return }
      unsafe UnsafeMutableRawPointer(closed).deallocate()
      unsafe Unmanaged<Listener>.fromOpaque(data).release()
    }
  }

  private func closeDescriptor(_ descriptor: Int32) { _ = CLibuv.close(descriptor) }
}

@available(*, unavailable)
extension Listener: Sendable {}

extension Loop {
  /// Listens for TCP connections; each comes to `onConnection` as an open stream that does not read yet.
  ///
  /// - Parameters:
  ///   - host: a numeric IPv4 or IPv6 address, or a name that is looked up on the spot (this is for starting up). "*" is every
  ///     address of the machine, IPv6 and IPv4.
  ///   - port: 0 for any that is free; `boundPort` says which.
  ///   - reusePort: several sockets (of several loops) may listen on the port, and the kernel shares connections out among them. All
  ///     of them must ask for it.
  ///   - backlog: connections that the kernel keeps until the loop gets round to them.
  public func listen(
    host: String, port: Int, reusePort: Bool = false, backlog: Int = 1024, onConnection: @escaping (Stream) -> Void
  ) throws(LoopError) -> Listener {
    assertOnThread()
    let text = "listen on \(host.contains(":") ? "[\(host)]" : host):\(port)"
    guard isOpen else { throw LoopError(kind: .closed, text) }
    guard (0...65535).contains(port) else { throw LoopError(kind: .addressInvalid, text) }
    let any = host == "*" || host.isEmpty
    if let address = SocketAddress(numeric: any ? "::" : host, port: port) ?? resolveNow(host, port: port) {
      do {
        return try Listener.tcp(
          loop: self, address: address, reusePort: reusePort, backlog: backlog, text: text, onConnection: onConnection)
      } catch {
        // A machine without IPv6 has its every address in IPv4.
        guard any, error.kind != .addressInUse, let four = SocketAddress(numeric: "0.0.0.0", port: port) else { throw error }
        return try Listener.tcp(
          loop: self, address: four, reusePort: reusePort, backlog: backlog, text: text, onConnection: onConnection)
      }
    }
    throw LoopError(kind: .nameNotResolved, text)
  }

  /// Takes the connections of a socket that listens already. Others may take of them too, and the socket outlives the listener.
  public func listen(
    on socket: ListeningSocket, backlog: Int = 1024, onConnection: @escaping (Stream) -> Void
  ) throws(LoopError) -> Listener {
    assertOnThread()
    guard isOpen else { throw LoopError(kind: .closed, "listen on \(socket.address):\(socket.port)") }
    return try Listener.tcp(loop: self, socket: socket, backlog: backlog, onConnection: onConnection)
  }

  /// Listens on a Unix domain socket. A leftover socket file that nobody answers on is replaced; the file goes with the listener.
  /// - Parameters:
  ///   - path: at the most 107 octets.
  ///   - mode: permissions of the file, who may connect; they hold from the file's first moment.
  public func listenLocal(
    path: String, mode: UInt32 = 0o600, backlog: Int = 128, onConnection: @escaping (Stream) -> Void
  ) throws(LoopError) -> Listener {
    assertOnThread()
    guard isOpen else { throw LoopError(kind: .closed, "listen on \(path)") }
    return try Listener.local(loop: self, path: path, mode: mode, backlog: backlog, onConnection: onConnection)
  }
}
