/// A command's failure: words for people, and an exit code of sysexits.h.
public struct CommandFailure: Error, Sendable {
  /// What went wrong, where, and what to do; empty when it has been said already.
  public var message: String
  /// One of sysexits.h.
  public var exitCode: Int32

  /// A failure with its exit code.
  public init(_ message: String, exitCode: Int32) {
    self.message = message
    self.exitCode = exitCode
  }

  static let dataError: Int32 = 65
  static let noInput: Int32 = 66
  static let unavailable: Int32 = 69
  static let software: Int32 = 70
  static let inputOutput: Int32 = 74
  static let tryAgain: Int32 = 75
  static let configuration: Int32 = 78
}
