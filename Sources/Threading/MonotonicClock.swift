import Glibc

/// A clock that nobody sets, for spans of time within this process.
public enum MonotonicClock {
  /// Nanoseconds since some moment.
  public static func nanoseconds() -> Int {
    var now = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec &* 1_000_000_000 &+ now.tv_nsec
  }
}
