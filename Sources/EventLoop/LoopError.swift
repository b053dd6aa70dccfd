internal import CLibuv

/// What went wrong with a socket, a name or a handle.
public struct LoopError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The kinds that callers tell apart.
  public enum Kind: Sendable, Equatable {
    /// Nobody listens there.
    case connectionRefused
    /// The peer has gone while there was something to say (reset, broken pipe, aborted).
    case connectionReset
    /// The time that was allowed is over.
    case timedOut
    /// The name has no address, or the resolver gave no answer.
    case nameNotResolved
    /// No way to that network or host.
    case unreachable
    /// The address or the path is taken.
    case addressInUse
    /// An address that is not on this machine, or text that is no address.
    case addressInvalid
    /// The operating system does not allow it.
    case notPermitted
    /// This process or the system has no descriptor left.
    case outOfDescriptors
    /// The stream, listener or loop was closed before.
    case closed
    /// Anything else; the text says what.
    case other
  }

  /// The kind.
  public var kind: Kind
  /// libuv's code (the negative errno), 0 when the fault was found here.
  public var code: Int32
  /// What was being done, with the address: "connect to 192.0.2.1:25".
  public var action: String

  /// - Parameter code: what libuv gave back.
  init(_ code: Int32, _ action: String) {
    self.code = code
    self.action = action
    kind = LoopError.kind(of: code)
  }

  init(kind: Kind, _ action: String) {
    code = 0
    self.kind = kind
    self.action = action
  }

  /// "connect to 192.0.2.1:25: connection refused".
  public var description: String { "\(action): \(reason)" }

  /// The reason alone, in words.
  public var reason: String {
    if code == 0 { return LoopError.words(for: kind) }
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { text in
      guard let start = text.baseAddress else { return "" }
      return unsafe String(cString: uv_strerror_r(code, start, text.count))
    }
  }

  private static func words(for kind: Kind) -> String {
    switch kind {
    case .connectionRefused: "connection refused"
    case .connectionReset: "connection reset by peer"
    case .timedOut: "timed out"
    case .nameNotResolved: "name not resolved"
    case .unreachable: "unreachable"
    case .addressInUse: "address in use"
    case .addressInvalid: "not an address"
    case .notPermitted: "not permitted"
    case .outOfDescriptors: "too many open files"
    case .closed: "already closed"
    case .other: "failed"
    }
  }

  private static func kind(of code: Int32) -> Kind {
    switch code {
    case UV_ECONNREFUSED.rawValue, UV_ENOENT.rawValue: .connectionRefused  // ENOENT: a local socket that is not there
    case UV_ECONNRESET.rawValue, UV_EPIPE.rawValue, UV_ECONNABORTED.rawValue, UV_ENOTCONN.rawValue: .connectionReset
    case UV_ETIMEDOUT.rawValue: .timedOut
    case UV_EHOSTUNREACH.rawValue, UV_ENETUNREACH.rawValue, UV_ENETDOWN.rawValue: .unreachable
    case UV_EADDRINUSE.rawValue: .addressInUse
    case UV_EADDRNOTAVAIL.rawValue, UV_EINVAL.rawValue, UV_EAFNOSUPPORT.rawValue, UV_ENAMETOOLONG.rawValue: .addressInvalid
    case UV_EACCES.rawValue, UV_EPERM.rawValue: .notPermitted
    case UV_EMFILE.rawValue, UV_ENFILE.rawValue: .outOfDescriptors
    case UV_ECANCELED.rawValue, UV_EBADF.rawValue: .closed
    case UV_EAI_AGAIN.rawValue, UV_EAI_FAIL.rawValue, UV_EAI_NODATA.rawValue, UV_EAI_NONAME.rawValue,
      UV_EAI_ADDRFAMILY.rawValue, UV_EAI_FAMILY.rawValue, UV_EAI_SERVICE.rawValue, UV_EAI_MEMORY.rawValue:
      .nameNotResolved
    default: .other
    }
  }
}
