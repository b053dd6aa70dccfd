/// Bounds of finding out who may log in, from the passwd-file or from a server.
public struct AuthenticationLimits: Sendable, Equatable {
  /// Seconds that a server may take for an answer (it delays refusals on purpose), and that a password may wait to be checked.
  public var answerSeconds = 30
  /// Attempts of one lane that wait for an answer; further ones are put off (454).
  public var maximumUnderWay = 1000
  public init() {}
}
