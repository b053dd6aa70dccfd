internal import Glibc

/// A call of the file system that was refused.
public struct FileCallError: Error, Equatable, CustomStringConvertible {
  /// What was tried, such as `open`.
  public let operation: String
  public let path: String
  /// The system's code (`errno`).
  public let code: Int32

  /// What, where and why.
  public var description: String { "cannot \(operation) \(path): \(SystemUser.words(code))" }
  /// Whether the name is taken already.
  public var isInTheWay: Bool { code == EEXIST || code == ENOTEMPTY }
  /// Whether nothing of that name is there.
  public var isMissing: Bool { code == ENOENT }
}

/// A folder that this process holds open, locked against others that would do the same (flock). The lock ends with the object or the process.
public final class HeldFolder: Sendable {
  // Closed by `deinit`, and used by nobody else.
  private let descriptor: Int32
  private let path: String

  /// Opens and locks a folder, which must be there.
  /// - Returns: nil when another process has the lock.
  public static func lock(_ path: String) throws(FileCallError) -> HeldFolder? {
    let opened = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if opened < 0 { throw FileCallError(operation: "open the folder", path: path, code: errno) }
    let held = HeldFolder(opened, path)
    if flock(opened, LOCK_EX | LOCK_NB) == 0 { return held }
    let code = errno
    if code == EWOULDBLOCK { return nil }
    throw FileCallError(operation: "lock the folder", path: path, code: code)
  }

  private init(_ descriptor: Int32, _ path: String) { (self.descriptor, self.path) = (descriptor, path) }

  deinit { close(descriptor) }

  /// Removes an empty folder in it; a link of that name is none.
  public func removeFolder(_ name: String) throws(FileCallError) {
    if unsafe unlinkat(descriptor, name, AT_REMOVEDIR) != 0 {
      throw FileCallError(operation: "remove", path: "\(path)/\(name)", code: errno)
    }
  }

  /// Makes the names in it durable.
  public func sync() throws(FileCallError) {
    if fsync(descriptor) != 0 { throw FileCallError(operation: "sync", path: path, code: errno) }
  }
}
