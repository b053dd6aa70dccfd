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

/// Whose a file is, by numbers.
public struct FileOwner: Sendable, Equatable {
  public var user: UInt32
  public var group: UInt32

  /// Root.
  public static let root = FileOwner(user: 0, group: 0)

  /// A user and a group.
  public init(user: UInt32, group: UInt32) { (self.user, self.group) = (user, group) }

  /// A user of the system with its own group; nil when there is none of that name.
  public init?(userNamed name: String) {
    guard let found = SystemUser.identity(of: name), let group = found.groups.first else { return nil }
    self.init(user: found.user, group: group)
  }

  /// A user and a group of the system; nil when the user's name is nobody's. Without a group of that name it is the user's own.
  public init?(userNamed name: String, groupNamed group: String?) {
    guard let own = FileOwner(userNamed: name) else { return nil }
    self.init(user: own.user, group: group.flatMap(SystemUser.group(named:)) ?? own.group)
  }

  /// Whose it is that lies there, itself and not what it leads to; nil when nothing does.
  public init?(of path: String) {
    var facts = stat()
    guard unsafe lstat(path, &facts) == 0 else { return nil }
    self.init(user: facts.st_uid, group: facts.st_gid)
  }
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

  /// Whose it is, and its permissions.
  public func facts() throws(FileCallError) -> (owner: FileOwner, mode: Int) {
    var facts = stat()
    if unsafe fstat(descriptor, &facts) != 0 { throw FileCallError(operation: "look at", path: path, code: errno) }
    return (FileOwner(user: facts.st_uid, group: facts.st_gid), Int(facts.st_mode & 0o7777))
  }

  /// Makes it somebody's.
  public func give(to owner: FileOwner, mode: Int) throws(FileCallError) {
    if fchown(descriptor, owner.user, owner.group) != 0 || fchmod(descriptor, mode_t(mode & 0o7777)) != 0 {
      throw FileCallError(operation: "give away", path: path, code: errno)
    }
  }

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
