/// Why there is no engine.
public enum ScanEngineError: Error, Equatable, CustomStringConvertible {
  /// The database, or a file of it, cannot be read, for this reason.
  case unreadable(path: String, String)
  /// There are no signatures in it.
  case empty(path: String)
  /// libclamav does not take it: its own words, with the file that it means.
  case broken(path: String, String)
  /// It was changed each time that it was being read.
  case changing(path: String)
  /// libclamav refuses an option, or cannot begin.
  case refused(String)

  /// One line for people.
  public var description: String {
    switch self {
    case .unreadable(let path, let words): "the signatures in \(path) cannot be read: \(words)"
    case .empty(let path): "there are no signatures in \(path)"
    case .broken(let path, let words): "the signatures in \(path) cannot be loaded: \(words)"
    case .changing(let path): "the signatures in \(path) were changed again and again while they were being loaded"
    case .refused(let words): "libclamav does not start: \(words)"
    }
  }
}
