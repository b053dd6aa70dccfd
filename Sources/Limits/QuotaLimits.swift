/// Bounds of asking a service whether mailboxes have room.
public struct QuotaLimits: Sendable, Equatable {
  /// Seconds without any answer after which the connection is given up, with all that was asked over it.
  public var answerSeconds = 30
  /// Questions of one lane that are sent ahead of their answers; further ones wait for those.
  public var questionsUnderWay = 64
  public init() {}
}
