/// A command's failure: words for people, and an exit code of sysexits.h.
public struct CommandFailure: Error, Sendable {
  /// What went wrong, where, and what to do; empty when it has been said already.
  public var message: String
  /// One of sysexits.h; of `scan`, 1 and 2 as scanners use them.
  public var exitCode: Int32

  /// A failure with its exit code.
  public init(_ message: String, exitCode: Int32) {
    self.message = message
    self.exitCode = exitCode
  }

  static let usage: Int32 = 64
  static let dataError: Int32 = 65
  static let noInput: Int32 = 66
  static let unavailable: Int32 = 69
  static let software: Int32 = 70
  static let cannotCreate: Int32 = 73
  static let inputOutput: Int32 = 74
  static let tryAgain: Int32 = 75
  static let noPermission: Int32 = 77
  static let configuration: Int32 = 78
}
