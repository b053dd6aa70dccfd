internal import CPlatform

/// What the kernel says about the machine's clock at one moment (adjtimex(2)), as chronyd, ntpd or systemd-timesyncd keep it informed.
public struct ClockReading: Sendable, Equatable {
  /// CLOCK_REALTIME: microseconds since 1970 in UTC.
  public var realtimeMicroseconds: Int64
  /// CLOCK_BOOTTIME: microseconds since the machine started, never stepped; times of sleep count.
  public var boottimeMicroseconds: Int64
  /// What of a known offset is still to be slewed away. ntpd and timesyncd leave that to the kernel; chronyd slews by itself, and it is 0.
  public var offsetMicroseconds: Int64
  /// The time service's own estimate at its last correction.
  public var estimatedErrorMicroseconds: Int64
  /// The bound that the time service gave at its last correction (its root distance), grown by the kernel's 500 µs a second since.
  public var maximumErrorMicroseconds: Int64
  /// Why the kernel does not say; nil when it does.
  public var fault: String?

  /// A reading of these values.
  public init(
    realtimeMicroseconds: Int64, boottimeMicroseconds: Int64, offsetMicroseconds: Int64 = 0, estimatedErrorMicroseconds: Int64 = 0,
    maximumErrorMicroseconds: Int64, fault: String? = nil
  ) {
    self.realtimeMicroseconds = realtimeMicroseconds
    self.boottimeMicroseconds = boottimeMicroseconds
    self.offsetMicroseconds = offsetMicroseconds
    self.estimatedErrorMicroseconds = estimatedErrorMicroseconds
    self.maximumErrorMicroseconds = maximumErrorMicroseconds
    self.fault = fault
  }

  /// Error from which on the kernel takes its clock for one that nobody keeps (NTP_PHASE_LIMIT): 16 s.
  static let unsynchronizedMicroseconds: Int64 = 16_000_000

  /// Whether a time service keeps the clock. The kernel's flag STA_UNSYNC does not tell: chronyd leaves it set unless it may write to the
  /// hardware clock (`rtcsync`). The maximum error does: it reaches 16 s some nine hours after the last correction, and stands there when
  /// there never was one.
  public var isSynchronized: Bool { fault == nil && maximumErrorMicroseconds < ClockReading.unsynchronizedMicroseconds }

  /// The clock as it is now. A kernel that does not say (a container may forbid the question) is a reading with a fault.
  public static func now() -> ClockReading {
    var clock = ceralacca_clock()
    let failure = unsafe ceralacca_read_clock(&clock)
    return ClockReading(
      realtimeMicroseconds: clock.realtime, boottimeMicroseconds: clock.boottime, offsetMicroseconds: clock.offset,
      estimatedErrorMicroseconds: clock.estimated_error, maximumErrorMicroseconds: clock.maximum_error,
      fault: failure == 0 ? nil : "adjtimex(2) answers error \(-failure)")
  }

  /// For people: `synchronized, offset +0.120 ms, at most 34.500 ms off`.
  public var words: String {
    if let fault { return "state unknown: \(fault)" }
    guard isSynchronized else { return "not synchronized: no time service keeps it" }
    let sign = offsetMicroseconds > 0 ? "+" : ""
    return "synchronized, offset \(sign)\(ClockReading.milliseconds(offsetMicroseconds)), "
      + "at most \(ClockReading.milliseconds(maximumErrorMicroseconds)) off"
  }

  /// `34.500 ms`.
  static func milliseconds(_ microseconds: Int64) -> String {
    let rest = String(microseconds.magnitude % 1000)
    let digits = String(repeating: "0", count: 3 - rest.utf8.count) + rest
    return "\(microseconds < 0 ? "-" : "")\(microseconds.magnitude / 1000).\(digits) ms"
  }
}
