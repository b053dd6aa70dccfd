internal import CLibuv

/// A TCP socket that listens, whoever takes its connections: a loop's listener works on a copy of its descriptor. While this object lives
/// the socket stays, and with it the kernel's queue of connections, through the end of one listener and the beginning of another.
public final class ListeningSocket: Sendable {
  /// The descriptor; valid for as long as this object lives.
  public let descriptor: Int32
  /// The address that is listened on; an IPv4 address for one in IPv6.
  public let address: String
  /// The port that is listened on, also when any was asked for.
  public let port: Int

  private init(owning descriptor: Int32, _ place: (address: String, port: Int)) {
    self.descriptor = descriptor
    (address, port) = place
  }

  deinit { _ = CLibuv.close(descriptor) }

  /// Nobody can connect any more, whoever else has the socket too, in this process or another. What waits in the kernel's queue is reset.
  public func stop() { _ = CLibuv.shutdown(descriptor, Int32(SHUT_RDWR)) }

  /// Binds and listens; connections wait in the kernel's queue from now on.
  /// - Parameters:
  ///   - host: a numeric IPv4 or IPv6 address.
  ///   - port: 0 for any that is free.
  ///   - reusePort: several sockets may listen on the port, and the kernel shares connections out among them. All must ask for it.
  ///   - backlog: connections that the kernel keeps.
  public static func listening(host: String, port: Int, reusePort: Bool, backlog: Int = 1024) throws(LoopError) -> ListeningSocket {
    let text = "listen on \(host.contains(":") ? "[\(host)]" : host):\(port)"
    guard (0...65535).contains(port), let address = SocketAddress(numeric: host, port: port) else {
      throw LoopError(kind: .addressInvalid, text)
    }
    let descriptor = unsafe address.withPointer {
      unsafe ceralacca_uv_listening_socket($0, reusePort ? 1 : 0, Int32(clamping: max(1, backlog)))
    }
    guard descriptor >= 0 else { throw LoopError(descriptor, text) }
    return try ListeningSocket(adopting: descriptor)
  }

  /// Takes over a socket that somebody else bound, and that listens already: who started this process, or the process before it.
  /// - Throws: when the descriptor is no such socket; it is left alone then.
  public convenience init(adopting descriptor: Int32) throws(LoopError) {
    var port: Int32 = 0
    var failure: Int32 = 0
    let address = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { text -> String in
      guard let start = text.baseAddress else { return "" }
      failure = unsafe ceralacca_uv_adopt_listening(descriptor, start, text.count, &port)
      return failure == 0 ? unsafe String(cString: start) : ""
    }
    guard failure == 0 else { throw LoopError(failure, "take over descriptor \(descriptor)") }
    self.init(owning: descriptor, (address, Int(port)))
  }
}
