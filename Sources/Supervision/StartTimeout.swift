import Synchronization

/// How long a service manager waits for a start that has more to do than its unit foresees: sd_notify(3), EXTEND_TIMEOUT_USEC.
///
/// The word moves the end of the start's time, and in a process that takes over from one that ran that of the watchdog.
public final class StartTimeout: Sendable {
  /// What is said again and again is passed on when it moves the end by so much.
  private static let stepMicroseconds: Int64 = 5_000_000

  private let manager: ServiceManager
  /// Up to when the manager waits, as it was told last.
  private let end = Mutex<Int64>(0)

  /// Without a manager nothing is told.
  public init(_ manager: ServiceManager) { self.manager = manager }

  /// What comes next may take so many seconds, from now on. Call it whenever work has come further, as often as you like.
  public func extend(seconds: Int) {
    let wanted = ServiceManager.monotonicMicroseconds + Int64(seconds) * 1_000_000
    let isLater = end.withLock { end in
      guard wanted >= end + Self.stepMicroseconds else { return false }
      end = wanted
      return true
    }
    if isLater { manager.notify("EXTEND_TIMEOUT_USEC=\(Int64(seconds) * 1_000_000)") }
  }
}
