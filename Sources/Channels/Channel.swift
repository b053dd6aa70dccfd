internal import CPlatform

#if canImport(Glibc)
  import Glibc
#endif

/// A file descriptor with one owner; it is closed when the owner goes.
public final class Descriptor: Sendable {
  /// The descriptor's number in this process; valid for as long as this object lives.
  public let number: Int32

  /// Takes a descriptor over: nobody else may close it from now on.
  public init(owning number: Int32) { self.number = number }

  deinit { close(number) }
}

/// What went wrong with a channel, with shared memory or with a child process.
public enum ChannelError: Error, Equatable, CustomStringConvertible {
  /// The other side is gone, or shut the channel down.
  case closed
  /// The other side did not read for so long that there is no room.
  case full
  /// A call of the operating system failed.
  case system(call: String, errno: Int32)
  /// What came, or what was to go, is nothing that may pass: too long, empty, with descriptors that nobody asked for, not sealed.
  case malformed(String)

  /// One line for people.
  public var description: String {
    switch self {
    case .closed: "the other side closed the channel"
    case .full: "the other side does not read"
    case .system(let call, let number): "\(call): \(Self.words(number))"
    case .malformed(let what): what
    }
  }

  private static func words(_ number: Int32) -> String {
    guard let text = unsafe strerror(number) else { return "error \(number)" }
    return unsafe String(cString: text)
  }
}

/// One end of a SOCK_SEQPACKET Unix socket: packets arrive whole and in order, each with at most one descriptor.
///
/// Any thread may send and any may receive; a packet is never torn. The other side may be anybody: what comes is bounded, and a packet
/// that is too long or brings more descriptors than one is an error, with nothing of it kept.
public final class Channel: Sendable {
  /// No packet is longer, in octets.
  public static let maximumPacketBytes = 65_536

  /// The socket; for poll, and to be passed on.
  public let descriptor: Descriptor

  /// A channel over a socket that is known to be one.
  public init(_ descriptor: Descriptor) { self.descriptor = descriptor }

  /// Two ends that are connected to each other, both close-on-exec.
  public static func pair() throws(ChannelError) -> (Channel, Channel) {
    var ends: [Int32] = [-1, -1]
    let failure = unsafe ends.withUnsafeMutableBufferPointer { unsafe ceralacca_packet_pair($0.baseAddress!) }
    if failure != 0 { throw .system(call: "socketpair", errno: -failure) }
    return (Channel(Descriptor(owning: ends[0])), Channel(Descriptor(owning: ends[1])))
  }

  /// Takes over the channel that whoever started this process left open as descriptor `number`. Throws, and takes nothing over, when
  /// there is no SOCK_SEQPACKET Unix socket at that number.
  public static func inherited(_ number: Int32) throws(ChannelError) -> Channel {
    let failure = ceralacca_is_packet_socket(number)
    if failure != 0 { throw .system(call: "descriptor \(number)", errno: -failure) }
    return Channel(Descriptor(owning: number))
  }

  /// Sends one packet of 1…`maximumPacketBytes` octets.
  ///
  /// - Parameters:
  ///   - passing: a descriptor of which the other side gets a copy.
  ///   - waitingMilliseconds: how long to wait for room when the other side does not read; nil waits for ever.
  /// - Throws: `.closed`, `.full` when the time is over, `.malformed` for a packet of forbidden length, `.system`.
  public func send(_ packet: [UInt8], passing: Descriptor? = nil, waitingMilliseconds: Int? = nil) throws(ChannelError) {
    // An empty packet could not be told from the channel's end.
    guard !packet.isEmpty, packet.count <= Self.maximumPacketBytes else { throw .malformed("a packet of \(packet.count) octets") }
    let failure = unsafe packet.withUnsafeBufferPointer { bytes in
      unsafe ceralacca_send_packet(
        descriptor.number, bytes.baseAddress, bytes.count, passing?.number ?? -1, Self.timeout(waitingMilliseconds))
    }
    // The other side's copy is made in the call: until then this process must keep its own.
    withExtendedLifetime(passing) {}
    switch -failure {
    case 0: return
    case EPIPE, ECONNRESET, ENOTCONN: throw .closed
    case ETIMEDOUT: throw .full
    case let number: throw .system(call: "sendmsg", errno: number)
    }
  }

  /// The next packet.
  ///
  /// - Parameters:
  ///   - waitingMilliseconds: how long to wait for one; nil waits for ever.
  ///   - takingDescriptor: false when the other side may pass none: a packet with one is an error then, and the system never gives the
  ///     descriptor to this process.
  /// - Returns: the packet's octets and its descriptor; nil when the time is over.
  /// - Throws: `.closed` when the other side is gone and nothing is left to read, `.malformed`, `.system`.
  public func receive(
    waitingMilliseconds: Int?, takingDescriptor: Bool = true
  ) throws(ChannelError) -> (packet: [UInt8], descriptor: Descriptor?)? {
    var passed: Int32 = -1
    var got = 0
    let packet = unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.maximumPacketBytes) { room -> [UInt8] in
      let wait = Self.timeout(waitingMilliseconds)
      got =
        unsafe takingDescriptor
        ? ceralacca_receive_packet(descriptor.number, room.baseAddress, room.count, wait, &passed)
        : ceralacca_receive_packet(descriptor.number, room.baseAddress, room.count, wait, nil)
      return unsafe got > 0 ? Array(UnsafeBufferPointer(rebasing: room[..<got])) : []
    }
    if got > 0 { return (packet, passed >= 0 ? Descriptor(owning: passed) : nil) }
    switch Int32(truncatingIfNeeded: -got) {
    case 0: throw .closed
    case ETIMEDOUT: return nil
    case EMSGSIZE: throw .malformed("a packet of more than \(Self.maximumPacketBytes) octets")
    case EBADMSG: throw .malformed("a packet with descriptors that may not pass")
    case let number: throw .system(call: "recvmsg", errno: number)
    }
  }

  /// Ends the traffic in both directions: whoever waits here or on the other side, in whatever process, is told `.closed`. Packets that
  /// are underway may still be read by the other side.
  public func shutDown() { shutdown(descriptor.number, Int32(SHUT_RDWR)) }

  private static func timeout(_ milliseconds: Int?) -> Int32 {
    guard let milliseconds else { return -1 }
    return Int32(clamping: max(0, milliseconds))
  }
}
