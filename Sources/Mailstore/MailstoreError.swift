#if canImport(Glibc)
  import Glibc
#endif

/// Why a message could not be put into a mailbox.
public enum MailstoreError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The system refused `operation` on `path`.
  case system(operation: String, path: String, code: Int32)
  /// The address is empty: there is no folder for it.
  case unusableAddress(String)
  /// The file name is empty or too long.
  case unusableName(String)
  /// The envelope sender has octets that would break the Return-Path line.
  case unusableReturnPath

  /// True when the same delivery may succeed later: the message is tried again. Everything that an administrator or time can mend
  /// is temporary; a message is given up only for what it is itself.
  public var isTemporary: Bool {
    switch self {
    case .system(_, _, let code): code != ENAMETOOLONG && code != EFBIG && code != EILSEQ
    case .unusableAddress, .unusableName, .unusableReturnPath: false
    }
  }

  public var description: String {
    switch self {
    case .system(let operation, let path, let code):
      "\(operation) \(path): \(MailstoreError.text(code))"
        + (code == ENOSPC || code == EDQUOT ? ": free some space; the message is tried again by itself" : "")
    case .unusableAddress(let address): "no mailbox folder can be named after the address \"\(address)\""
    case .unusableName(let name): "no file can be named \"\(name)\""
    case .unusableReturnPath: "the envelope sender has control characters or angle brackets"
    }
  }

  private static func text(_ code: Int32) -> String {
    guard let text = unsafe strerror(code) else { return "error \(code)" }
    return unsafe String(cString: text)
  }
}
