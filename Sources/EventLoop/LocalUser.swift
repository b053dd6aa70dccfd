internal import CLibuv

/// A user of this system.
public struct LocalUser: Sendable, Equatable {
  /// His number.
  public let id: UInt32

  /// The user of that number.
  public init(id: UInt32) { self.id = id }

  /// Whom this process acts as.
  public static var ofThisProcess: LocalUser { LocalUser(id: geteuid()) }

  /// His name; nil when he has none. A system may ask a directory server for it: not for a loop's thread.
  public var name: String? {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { room in
      guard let start = room.baseAddress, unsafe ceralacca_uv_user_name(id, start, room.count) > 0 else { return nil }
      return unsafe String(cString: start)
    }
  }
}

extension Stream {
  /// Who is at the other end of a local stream, as the kernel noted him when he connected; nil for TCP, and once it is closed.
  public var peerUser: LocalUser? {
    var user: UInt32 = 0
    guard isLocal, isOpen, unsafe ceralacca_uv_peer_user(handle, &user) == 0 else { return nil }
    return LocalUser(id: user)
  }
}
