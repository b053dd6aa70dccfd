#if canImport(Glibc)
  import Glibc
#endif

/// Why the quarantine could not do what it was asked for.
public enum QuarantineError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The system refused `operation` on `path`.
  case system(operation: String, path: String, code: Int32)
  /// There is an entry of the same identifier with another message; it was left as it is.
  case otherContent(path: String)
  /// The record has no identifier, or a time that no calendar has.
  case unusableRecord(String)
  /// What lies at `path` is not what was put there.
  case damaged(path: String, reason: String)
  /// The law's time has not passed: the last day on which it must be there.
  case mustBeKept(path: String, until: QuarantineDay)

  /// True when the system refused because of who asks.
  public var isNoPermission: Bool {
    if case .system(_, _, let code) = self { return code == EACCES || code == EPERM }
    return false
  }

  public var description: String {
    switch self {
    case .system(let operation, let path, let code):
      "\(operation) \(path): \(QuarantineError.text(code))" + (code == ENOSPC || code == EDQUOT ? ": free some space" : "")
    case .otherContent(let path): "\(path) holds another message of the same identifier: it is not overwritten"
    case .unusableRecord(let reason): "the record cannot be kept: \(reason)"
    case .damaged(let path, let reason): "\(path) is damaged: \(reason)"
    case .mustBeKept(let path, let until): "\(path) must be kept until \(until)"
    }
  }

  private static func text(_ code: Int32) -> String {
    guard let text = unsafe strerror(code) else { return "error \(code)" }
    return unsafe String(cString: text)
  }
}
