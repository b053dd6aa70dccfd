#if canImport(Glibc)
  import Glibc
#endif

/// Why an archive was not written.
public enum SealedArchiveError: Error, Sendable, Equatable, CustomStringConvertible {
  /// There is a file of that name already; it was left as it is.
  case exists(path: String)
  /// The system refused `operation` on `path`.
  case system(operation: String, path: String, code: Int32)
  /// libzip could not make the archive.
  case archive(String)
  /// Not 8 to 127 printable ASCII characters: other programs would take other letters for other octets, and could not open it.
  case unusablePassword
  /// No members, one without a name, or two of one name.
  case unusableMembers

  public var description: String {
    switch self {
    case .exists(let path): "\(path) is there already, and is not overwritten"
    case .system(let operation, let path, let code): "\(operation) \(path): \(SealedArchiveError.text(code))"
    case .archive(let words): "the archive cannot be made: \(words)"
    case .unusablePassword: "the password must have 8 to 127 printable ASCII characters"
    case .unusableMembers: "an archive needs members, each with a name of its own"
    }
  }

  private static func text(_ code: Int32) -> String {
    guard let text = unsafe strerror(code) else { return "error \(code)" }
    return unsafe String(cString: text)
  }
}
