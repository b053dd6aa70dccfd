/// How well the clock must keep UTC (DM 2-11-2005 art. 9: one second, stably).
public struct ClockPolicy: Sendable, Equatable {
  /// Milliseconds off UTC beyond which the clock is not trusted; a step by more is an alarm of its own.
  public var limitMilliseconds: Int
  /// Whether a clock that no time service keeps is not trusted.
  public var requiresSynchronization: Bool
  /// Seconds without another step after which a clock that stepped is trusted again.
  public var quietSeconds: Int

  /// A second, a time service, and a minute of quiet, unless said otherwise.
  public init(limitMilliseconds: Int = 1000, requiresSynchronization: Bool = true, quietSeconds: Int = 60) {
    self.limitMilliseconds = limitMilliseconds
    self.requiresSynchronization = requiresSynchronization
    self.quietSeconds = quietSeconds
  }
}

/// Whether anything may be certified by the clock.
public enum ClockJudgement: Sendable, Equatable {
  case trusted
  /// Why not, for people.
  case untrusted(reason: String)

  /// True for a clock that may certify.
  public var isTrusted: Bool { self == .trusted }
}

/// What one look at the clock found.
public struct ClockLook: Sendable, Equatable {
  public var reading: ClockReading
  public var judgement: ClockJudgement
  /// How far the clock may be from UTC by all that is known, in microseconds; nil where nothing is known.
  public var errorMicroseconds: Int64?
  /// By how much the clock was stepped since the look before, in microseconds, when that was more than the policy's limit; else nil.
  public var stepMicroseconds: Int64?
  /// True when the judgement is another than at the look before (a first look that trusts changes nothing).
  public var isChange: Bool

  /// For people: the reading, and the bound when it is known.
  public var words: String {
    guard let errorMicroseconds else { return reading.words }
    let sign = reading.offsetMicroseconds > 0 ? "+" : ""
    return "synchronized, offset \(sign)\(ClockReading.milliseconds(reading.offsetMicroseconds)), "
      + "within \(ClockReading.milliseconds(errorMicroseconds)) of UTC"
  }
}

/// Judges one reading after the other.
///
/// Two things are watched. How far the clock may be off: the bound that the time service gave at its last correction, grown by 15 µs a
/// second since (PHI of RFC 5905: what a disciplined clock drifts at the most), and what is still being slewed away. The kernel's own
/// bound grows by 500 µs a second instead, whatever the oscillator does: a service that asks its servers every 34 minutes would seem a
/// second off before each correction. It counts only while no correction has been seen.
///
/// And steps: the wall clock is held against CLOCK_BOOTTIME, which is slewed with it and never stepped. Small steps in a row add up.
public struct ClockJudge: Sendable {
  private var policy: ClockPolicy
  private var last: ClockLook?
  /// The bound at the last correction that was seen, and when that was.
  private var correction: (error: Int64, at: Int64)?
  /// Wall clock minus boot clock when steps began to be added up, and when that was.
  private var anchor: (difference: Int64, at: Int64)?
  /// Until then the clock is not trusted, because it stepped, by so much.
  private var quiet: (until: Int64, step: Int64)?

  /// PHI, in microseconds a second.
  private static let drift: Int64 = 15
  /// What the kernel adds to the maximum error, in microseconds a second.
  private static let growth: Int64 = 500

  /// A judge that has seen nothing.
  public init(policy: ClockPolicy) { self.policy = policy }

  /// Holds the clock to other bounds from the next look on.
  public mutating func change(_ policy: ClockPolicy) { self.policy = policy }

  /// Judges a reading that was taken after all others.
  public mutating func judge(_ reading: ClockReading) -> ClockLook {
    let limit = Int64(policy.limitMilliseconds) * 1000
    let step = step(reading, limit: limit)
    let error = error(reading)
    let judgement = judgement(reading, error: error, limit: limit)
    let look = ClockLook(
      reading: reading, judgement: judgement, errorMicroseconds: error, stepMicroseconds: step,
      isChange: (last?.judgement.isTrusted ?? true) != judgement.isTrusted)
    last = look
    return look
  }

  private func judgement(_ reading: ClockReading, error: Int64?, limit: Int64) -> ClockJudgement {
    if let quiet, reading.boottimeMicroseconds < quiet.until {
      return .untrusted(reason: "the clock was stepped by \(ClockReading.milliseconds(quiet.step))")
    }
    if !reading.isSynchronized, policy.requiresSynchronization {
      return .untrusted(reason: reading.fault.map { "the clock's state is unknown: \($0)" } ?? "the clock is \(reading.words)")
    }
    // Without synchronization the kernel still knows what it has to slew away.
    let off = error ?? ClockJudge.magnitude(reading.offsetMicroseconds)
    guard off > limit else { return .trusted }
    return .untrusted(
      reason: "the clock may be \(ClockReading.milliseconds(off)) off UTC, more than \(policy.limitMilliseconds) ms")
  }

  /// The step since the anchor, when it is beyond the limit.
  private mutating func step(_ reading: ClockReading, limit: Int64) -> Int64? {
    let difference = reading.realtimeMicroseconds &- reading.boottimeMicroseconds
    let now = reading.boottimeMicroseconds
    guard let anchor else {
      self.anchor = (difference, now)
      return nil
    }
    let quietMicroseconds = Int64(policy.quietSeconds) * 1_000_000
    let shift = difference &- anchor.difference
    if ClockJudge.magnitude(shift) > limit {
      self.anchor = (difference, now)
      quiet = (now + quietMicroseconds, shift)
      // What was known of the clock was known of the time before the step.
      correction = nil
      return shift
    }
    if now - anchor.at >= quietMicroseconds { self.anchor = (difference, now) }
    return nil
  }

  private mutating func error(_ reading: ClockReading) -> Int64? {
    guard reading.isSynchronized else {
      correction = nil
      return nil
    }
    let now = reading.boottimeMicroseconds
    if let last, last.reading.isSynchronized {
      let seconds = max(0, now - last.reading.boottimeMicroseconds) / 1_000_000
      // Below what the kernel alone would have made of it: somebody corrected the clock in between.
      // Above it: somebody who knows has said that it is worse.
      let expected = last.reading.maximumErrorMicroseconds + seconds * ClockJudge.growth
      let slack = 2 * ClockJudge.growth
      if reading.maximumErrorMicroseconds < expected - ClockJudge.growth || reading.maximumErrorMicroseconds > expected + slack {
        correction = (reading.maximumErrorMicroseconds, now)
      }
    }
    var bound = max(0, reading.maximumErrorMicroseconds)
    if let correction { bound = min(bound, max(0, correction.error) + max(0, now - correction.at) / 1_000_000 * ClockJudge.drift) }
    return max(bound, reading.estimatedErrorMicroseconds) + ClockJudge.magnitude(reading.offsetMicroseconds)
  }

  private static func magnitude(_ value: Int64) -> Int64 { Int64(clamping: value.magnitude) }
}
