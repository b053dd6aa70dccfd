/// Bounds of asking a server for who may log in.
public struct AuthenticationLimits: Sendable, Equatable {
  /// Seconds that the server may take for an answer; it delays refusals on purpose.
  public var answerSeconds = 30
  /// Attempts of one lane that wait for an answer; further ones are put off (454).
  public var maximumUnderWay = 1000
  public init() {}
}
