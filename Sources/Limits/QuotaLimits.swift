/// Bounds of asking a service whether mailboxes have room.
public struct QuotaLimits: Sendable, Equatable {
  /// Seconds without any answer after which the connection is given up, with all that was asked over it.
  public var answerSeconds = 30
  /// Questions of one lane that are sent ahead of their answers; further ones wait for those.
  public var questionsUnderWay = 64
  /// Seconds until a service that gave no answer is asked the same once more, for as long as nobody hears any from it.
  public var askAgainSeconds = 15
  public init() {}
}
