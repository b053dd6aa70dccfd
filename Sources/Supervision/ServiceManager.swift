internal import CPlatform
internal import Glibc

/// Whoever started this process and waits for word of it (systemd, or what speaks its protocols): sd_notify(3) and sd_listen_fds(3).
///
/// Taken from the environment once; without a manager everything here does nothing.
public struct ServiceManager: Sendable {
  /// A descriptor that the manager opened for this process, and what its unit calls it.
  public struct Activated: Sendable, Equatable {
    public var descriptor: Int32
    /// `FileDescriptorName=`; "unknown" when the manager gave none.
    public var name: String
  }

  /// Microseconds within which the manager wants a sign of life; nil when it does not.
  public let watchdogMicroseconds: Int64?
  /// Sockets that the manager opened.
  public let activated: [Activated]
  private let path: String?

  /// Reads what the manager left in the environment.
  /// - Parameters:
  ///   - environment: the process's.
  ///   - process: this process's id; what is meant for another one is not ours.
  public init(environment: [String: String], process: Int32) {
    path = environment["NOTIFY_SOCKET"].flatMap { $0.hasPrefix("/") || $0.hasPrefix("@") ? $0 : nil }
    let watched = environment["WATCHDOG_PID"].map { Int32($0) == process } ?? true
    watchdogMicroseconds = watched ? environment["WATCHDOG_USEC"].flatMap { Int64($0) }.flatMap { $0 > 0 ? $0 : nil } : nil
    let count = environment["LISTEN_FDS"].flatMap { Int($0) } ?? 0
    guard environment["LISTEN_PID"].flatMap({ Int32($0) }) == process, (1...1024).contains(count) else {
      activated = []
      return
    }
    let names = (environment["LISTEN_FDNAMES"] ?? "").split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    // The first descriptor is 3 (SD_LISTEN_FDS_START).
    activated = (0..<count).map { Activated(descriptor: Int32(3 + $0), name: $0 < names.count ? names[$0] : "unknown") }
  }

  /// This process's manager.
  public static func ofThisProcess() -> ServiceManager {
    var environment: [String: String] = [:]
    for name in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
      // The text is the environment's, which nobody changes while a process starts.
      if let value = unsafe getenv(name) { environment[name] = unsafe String(cString: value) }
    }
    return ServiceManager(environment: environment, process: getpid())
  }

  /// Variables of the environment that are about this process alone: a process that takes over must not have them.
  public static let ownVariables = ["WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]

  /// Tells the manager; `READY=1` and the like, one each. Returns why it could not be told, nil when it was or when there is no manager.
  /// Waits a few seconds for a manager that does not read: not for a lane.
  @discardableResult
  public func notify(_ words: String...) -> String? { send(words, waitingSeconds: 5) }

  /// Gives a sign of life. Never waits, and one that does not arrive is followed by others.
  public func proveLife() { _ = send(["WATCHDOG=1"], waitingSeconds: 0) }

  private func send(_ words: [String], waitingSeconds: Int32) -> String? {
    guard let path else { return nil }
    let octets = Array(words.map { $0.replacing("\n", with: " ") }.joined(separator: "\n").utf8)
    let failure = unsafe octets.withUnsafeBufferPointer { unsafe ceralacca_notify(path, $0.baseAddress, $0.count, waitingSeconds) }
    return failure == 0 ? nil : "\(path): \(SystemUser.words(-failure))"
  }

  /// The time that goes with `RELOADING=1`.
  public static var monotonicMicroseconds: Int64 { ceralacca_monotonic_microseconds() }
}
