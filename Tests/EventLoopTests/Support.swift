import EventLoop
import Foundation
import Octets
import Testing

/// Runs a loop on the calling thread until the test stops it. A loop that nobody stops is a failed test, not a hanging one.
func withLoop(
  atMostSeconds: UInt64 = 60, readSlabBytes: Int = 256 * 1024, sourceLocation: SourceLocation = #_sourceLocation,
  _ body: (Loop) throws -> Void
) throws {
  let loop = try Loop(readSlabBytes: readSlabBytes)
  loop.timer(after: atMostSeconds * 1000) {
    Issue.record("the loop was not stopped", sourceLocation: sourceLocation)
    loop.stop()
  }
  do {
    try body(loop)
  } catch {
    loop.stop()
    throw error
  }
  loop.run()
}

/// A thread of its own for a test's second party; `join` waits for its end.
final class Helper: Sendable {
  private let done = DispatchSemaphore(value: 0)

  init(_ body: @escaping @Sendable () -> Void) {
    let done = self.done
    Thread.detachNewThread {
      body()
      done.signal()
    }
  }

  func join() { done.wait() }
}

/// Something that several threads look at.
final class Shared<Value: Sendable>: @unchecked Sendable {
  private let lock = NSLock()
  private var value: Value

  init(_ value: Value) { self.value = value }

  var current: Value { change { $0 } }

  @discardableResult
  func change<Result>(_ body: (inout Value) -> Result) -> Result {
    lock.lock()
    defer { lock.unlock() }
    return body(&value)
  }
}

/// Blocking sockets without a loop, as a foreign program has them.
enum RawSocket {
  static func loopback(_ port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    return address
  }

  /// A connected socket, or the negative errno.
  static func connect(port: Int) -> Int32 {
    let made = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard made >= 0 else { return -errno }
    var address = loopback(port)
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(made, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
    if result == 0 { return made }
    let reason = errno
    close(made)
    return -reason
  }

  /// A bound socket, listening when `backlog` is not nil.
  static func bound(backlog: Int32?) -> (descriptor: Int32, port: Int) {
    let made = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = loopback(0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = Glibc.bind(made, $0, length)
        if let backlog { Glibc.listen(made, backlog) }
        getsockname(made, $0, &length)
      }
    }
    return (made, Int(in_port_t(bigEndian: address.sin_port)))
  }

  /// Closes so that the peer gets a reset.
  static func reset(_ descriptor: Int32) {
    var linger = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
    close(descriptor)
  }

  static func write(_ descriptor: Int32, _ text: String) { _ = text.withCString { Glibc.write(descriptor, $0, strlen($0)) } }

  /// Everything until the peer closes.
  static func readAll(_ descriptor: Int32) -> [UInt8] {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = read(descriptor, &buffer, buffer.count)
      if count <= 0 { return all }
      all += buffer[0..<count]
    }
  }
}

/// A small generator with a seed, so that a failure can be repeated.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    return word ^ (word >> 31)
  }
}

extension Result where Failure == LoopError {
  /// The kind of the failure, nil for a success.
  var failureKind: LoopError.Kind? {
    switch self {
    case .success: nil
    case .failure(let error): error.kind
    }
  }
}

/// The kind of the loop error that `body` throws, nil when it throws none.
func kindThrown<Value>(_ body: () throws -> Value) -> LoopError.Kind? {
  do {
    _ = try body()
    return nil
  } catch {
    return (error as? LoopError)?.kind
  }
}

/// A path for a socket in a folder of its own, gone after `body`.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("ceralacca-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder.path)
}
