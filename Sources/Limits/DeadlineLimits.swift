/// When the sender is told of silence (RFC 6109 §3.1.6), in seconds from the certified time of acceptance.
public struct DeadlineLimits: Sendable, Equatable {
  /// Neither taken in charge nor delivered: the first notice, after 12 hours.
  public var firstSeconds = 12 * 3600
  /// Not delivered: the second notice, "not before 22 hours and by 24". A quarter of an hour is left for signing a backlog.
  public var secondSeconds = 24 * 3600 - 15 * 60
  public init() {}
}
