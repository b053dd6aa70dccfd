internal import CLibuv

/// An IP address with a port.
@safe
struct SocketAddress {
  private var storage = sockaddr_storage()

  /// Nil when `text` is no numeric address.
  init?(numeric text: String, port: Int) {
    guard unsafe ceralacca_uv_numeric_address(text, Int32(clamping: port), &storage) == 0 else { return nil }
  }

  fileprivate init(_ storage: sockaddr_storage) { self.storage = storage }

  /// AF_INET or AF_INET6.
  var family: Int32 { Int32(storage.ss_family) }

  /// "192.0.2.1:25" or "[2001:db8::1]:25".
  var text: String {
    let found = unsafe addressOf { text, room, port in
      unsafe withPointer { unsafe ceralacca_uv_address_text($0, text, room, port) }
    }
    guard let found else { return "?" }
    return found.address.contains(":") ? "[\(found.address)]:\(found.port)" : "\(found.address):\(found.port)"
  }

  func withPointer<Result>(_ body: (UnsafePointer<sockaddr_storage>) -> Result) -> Result {
    unsafe withUnsafePointer(to: storage) { unsafe body($0) }
  }

  /// All addresses of a resolver's list, in its order, with `port`. The list stays the caller's.
  static func all(_ list: UnsafeMutablePointer<addrinfo>?, port: Int) -> [SocketAddress] {
    var addresses: [SocketAddress] = []
    var next = unsafe UnsafePointer(list)
    var storage = sockaddr_storage()
    while unsafe ceralacca_uv_next_address(&next, &storage) != 0 {
      unsafe ceralacca_uv_set_port(&storage, Int32(clamping: port))
      addresses.append(SocketAddress(storage))
    }
    return addresses
  }
}

/// A connection in the making: name looked up, each address tried in turn, one time limit over all of it.
@safe
public final class ConnectAttempt {
  /// How far it has come. `done` has told its result, or was cancelled.
  private enum Phase { case resolving, connecting, done }

  private let loop: Loop
  private let target: String
  private let port: Int
  private let limit: UInt64  // the loop's time at which it has failed
  private var phase = Phase.resolving
  private var completion: (Result<Stream, LoopError>) -> Void
  private var addresses: [SocketAddress] = []
  private var next = 0
  private var lastError: LoopError
  private var stream: Stream?
  private var timer: LoopTimer?
  // Owned by libuv until its callback, which comes in any case; nil when no look-up is open.
  private var lookup: UnsafeMutablePointer<uv_getaddrinfo_t>?

  fileprivate init(
    loop: Loop, target: String, port: Int, timeout milliseconds: UInt64, completion: @escaping (Result<Stream, LoopError>) -> Void
  ) {
    self.loop = loop
    self.target = target
    self.port = port
    self.completion = completion
    let (sum, overflow) = loop.now.addingReportingOverflow(milliseconds)
    limit = overflow ? .max : sum
    lastError = LoopError(kind: .timedOut, "connect to \(target)")
    unsafe lookup = nil
  }

  /// Gives it up: the completion will not run.
  public func cancel() {
    loop.assertOnThread()
    guard phase != .done else { return }
    _ = end()
  }

  // MARK: Looking up

  fileprivate func begin(host: String) {
    guard loop.isOpen else { return }
    guard (1...65535).contains(port) else { return finishSoon(LoopError(kind: .addressInvalid, "connect to \(target)")) }
    if let address = SocketAddress(numeric: host, port: port) { return connect(to: [address]) }
    guard !host.isEmpty, host.utf8.count <= 255, !host.utf8.contains(0) else {
      return finishSoon(LoopError(kind: .nameNotResolved, "connect to \(target)"))
    }
    timer = loop.timer(after: limit - min(limit, loop.now)) { [self] in
      finish(.failure(LoopError(kind: .timedOut, "look up \(target)")))
    }
    let request = UnsafeMutablePointer<uv_getaddrinfo_t>.allocate(capacity: 1)
    unsafe request.pointee.data = unsafe Unmanaged.passRetained(self).toOpaque()
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    let failure = unsafe uv_getaddrinfo(
      loop.raw, request,
      { request, status, list in
        defer { unsafe uv_freeaddrinfo(list) }
        guard let request = unsafe request, let data = unsafe request.pointee.data else { return }
        unsafe request.deallocate()
        let attempt = unsafe Unmanaged<ConnectAttempt>.fromOpaque(data).takeRetainedValue()
        unsafe attempt.wasLookedUp(status, list)
      }, host, nil, &hints)
    guard failure == 0 else {
      unsafe request.deallocate()
      unsafe Unmanaged.passUnretained(self).release()
      return finishSoon(LoopError(failure, "look up \(target)"))
    }
    unsafe lookup = request
  }

  fileprivate func begin(addresses: [String]) {
    guard loop.isOpen else { return }
    let found = addresses.compactMap { SocketAddress(numeric: $0, port: port) }
    guard (1...65535).contains(port), !found.isEmpty else { return finishSoon(LoopError(kind: .addressInvalid, "connect to \(target)")) }
    connect(to: found)
  }

  private func wasLookedUp(_ status: Int32, _ list: UnsafeMutablePointer<addrinfo>?) {
    unsafe lookup = nil
    guard phase == .resolving, loop.isOpen else { return }
    guard status == 0 else { return finish(.failure(LoopError(status, "look up \(target)"))) }
    let found = unsafe SocketAddress.all(list, port: port)
    if found.isEmpty { return finish(.failure(LoopError(kind: .nameNotResolved, "look up \(target)"))) }
    connect(to: found)
  }

  // MARK: Connecting

  private func connect(to found: [SocketAddress]) {
    phase = .connecting
    addresses = found
    tryNext()
  }

  private func tryNext() {
    timer?.cancel()
    stream?.close()
    stream = nil
    let left = limit - min(limit, loop.now)
    guard next < addresses.count, left > 0 else { return finishSoon(lastError) }
    let address = addresses[next]
    // An address that does not answer gets its share of the time, so that the others have a chance.
    let share = max(1, left / UInt64(addresses.count - next))
    next += 1
    let action = "connect to \(address.text)"
    timer = loop.timer(after: share) { [self] in
      lastError = LoopError(kind: .timedOut, action)
      tryNext()
    }
    let attempt = Stream(loop: loop, kind: .tcp)
    stream = attempt
    let failure = unsafe address.withPointer { storage in
      unsafe start { request, callback in
        unsafe uv_tcp_connect(
          request, UnsafeMutableRawPointer(attempt.handle).assumingMemoryBound(to: uv_tcp_t.self),
          UnsafeRawPointer(storage).assumingMemoryBound(to: sockaddr.self), callback)
      }
    }
    if failure != 0 { failed(LoopError(failure, action)) }
  }

  fileprivate func begin(path: String) {
    let action = "connect to \(path)"
    guard loop.isOpen else { return }
    guard !path.isEmpty, path.utf8.count <= 107, !path.utf8.contains(0) else {
      return finishSoon(LoopError(kind: .addressInvalid, action))
    }
    phase = .connecting
    let attempt = Stream(loop: loop, kind: .local)
    stream = attempt
    _ = unsafe start { request, callback in
      unsafe uv_pipe_connect(
        request, UnsafeMutableRawPointer(attempt.handle).assumingMemoryBound(to: uv_pipe_t.self), path, callback)
      return 0
    }
  }

  /// Starts a connect request. Owned by libuv until its callback, which comes in any case, and before the stream's close callback;
  /// `data` keeps this attempt meanwhile.
  private func start(_ connect: (UnsafeMutablePointer<uv_connect_t>, @escaping uv_connect_cb) -> Int32) -> Int32 {
    let request = UnsafeMutablePointer<uv_connect_t>.allocate(capacity: 1)
    unsafe request.pointee.data = unsafe Unmanaged.passRetained(self).toOpaque()
    let failure = unsafe connect(request) { request, status in
      guard let request = unsafe request, let data = unsafe request.pointee.data else { return }
      let attempt = unsafe Unmanaged<ConnectAttempt>.fromOpaque(data).takeRetainedValue()
      let handle = unsafe request.pointee.handle
      unsafe request.deallocate()
      unsafe attempt.wasConnected(handle, status)
    }
    if failure != 0 {
      unsafe request.deallocate()
      unsafe Unmanaged.passUnretained(self).release()
    }
    return failure
  }

  private func wasConnected(_ handle: UnsafeMutablePointer<uv_stream_t>?, _ status: Int32) {
    // The handle of an address that was given up before belongs to nobody here any more.
    guard phase == .connecting, loop.isOpen, let stream, unsafe stream.handle == handle else { return }
    guard status == 0 else {
      let action = stream.isLocal ? "connect to \(target)" : "connect to \(addresses[next - 1].text)"
      return failed(LoopError(status, action))
    }
    self.stream = nil
    stream.opened()
    finish(.success(stream))
  }

  private func failed(_ error: LoopError) {
    lastError = error
    tryNext()
  }

  // MARK: Ending

  private func finish(_ result: Result<Stream, LoopError>) {
    guard phase != .done else { return }
    let completion = end()
    completion(result)
  }

  /// A result that was known within the call that began it comes after that call.
  private func finishSoon(_ error: LoopError) {
    timer?.cancel()
    loop.soon { [self] in finish(.failure(error)) }
  }

  private func end() -> (Result<Stream, LoopError>) -> Void {
    phase = .done
    timer?.cancel()
    timer = nil
    stream?.close()
    stream = nil
    // Only a look-up that no thread has taken up yet can be called back; another one ends in its own time and is ignored.
    if let lookup = unsafe lookup { unsafe uv_cancel(UnsafeMutableRawPointer(lookup).assumingMemoryBound(to: uv_req_t.self)) }
    let completion = completion
    self.completion = { _ in }
    return completion
  }
}

@available(*, unavailable)
extension ConnectAttempt: Sendable {}

extension Loop {
  /// Opens a TCP connection. The name is looked up off the loop's thread, every address is tried in turn.
  ///
  /// - Parameters:
  ///   - host: a name, or a numeric IPv4 or IPv6 address.
  ///   - milliseconds: for the look-up and all addresses together.
  ///   - completion: runs once, after this call, with a stream that does not read yet, or with the last address's error. Not after
  ///     `cancel`, nor after the loop stopped.
  @discardableResult
  public func connect(
    host: String, port: Int, timeout milliseconds: UInt64, completion: @escaping (Result<Stream, LoopError>) -> Void
  ) -> ConnectAttempt {
    assertOnThread()
    let target = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    let attempt = ConnectAttempt(loop: self, target: target, port: port, timeout: milliseconds, completion: completion)
    attempt.begin(host: host)
    return attempt
  }

  /// Opens a TCP connection to the first of several addresses that answers; nothing is looked up.
  ///
  /// - Parameters:
  ///   - addresses: numeric IPv4 or IPv6 addresses of one host, tried in turn.
  ///   - name: the host's, for errors.
  ///   - milliseconds: for all of them together.
  ///   - completion: as with a name.
  @discardableResult
  public func connect(
    addresses: [String], port: Int, named name: String, timeout milliseconds: UInt64,
    completion: @escaping (Result<Stream, LoopError>) -> Void
  ) -> ConnectAttempt {
    assertOnThread()
    let attempt = ConnectAttempt(loop: self, target: "\(name):\(port)", port: port, timeout: milliseconds, completion: completion)
    attempt.begin(addresses: addresses)
    return attempt
  }

  /// Connects to a Unix domain socket. A path where nobody listens is `connectionRefused`.
  @discardableResult
  public func connectLocal(path: String, completion: @escaping (Result<Stream, LoopError>) -> Void) -> ConnectAttempt {
    assertOnThread()
    let attempt = ConnectAttempt(loop: self, target: path, port: 0, timeout: 30_000, completion: completion)
    attempt.begin(path: path)
    return attempt
  }

  /// The first address of a name, looked up on this thread; for starting up.
  func resolveNow(_ host: String, port: Int) -> SocketAddress? {
    var request = unsafe uv_getaddrinfo_t()
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    guard unsafe uv_getaddrinfo(raw, &request, nil, host, nil, &hints) == 0 else { return nil }
    defer { unsafe uv_freeaddrinfo(request.addrinfo) }
    return unsafe SocketAddress.all(request.addrinfo, port: port).first
  }
}
