import Glibc

/// A step of getting a scanner to run that failed, in words for people.
struct ScanFailure: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }

  /// A failed call of the system.
  init(_ what: String, _ path: String, _ code: Int32) {
    description = "\(what) \(path): \(unsafe String(cString: strerror(code)))"
  }
}

/// The folder for temporary files of one scanner process.
///
/// A lock on the folder says that its gateway lives: the system gives it back when the gateway dies, however it dies, and whoever can
/// take it may clear the folder away. That holds for gateways in other containers on the same memory file system too.
final class ScanFolder: Sendable {
  static let prefix = "ceralacca-scan-"
  /// Folders in folders that are cleared away at the most; libclamav makes three.
  private static let maximumDepth = 32

  let path: String
  // Open for as long as this object lives: it carries the lock.
  private let descriptor: Int32

  private init(path: String, descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// Makes one below `base`, for its owner alone.
  /// - Parameter owner: whose it shall be; nil for whoever this process runs as.
  static func make(below base: String, owner: (user: uid_t, group: gid_t)?, name: String) throws(ScanFailure) -> ScanFolder {
    // A folder that others may pass through but not list; /dev/shm is there already.
    if unsafe mkdir(base, 0o711) != 0, errno != EEXIST { throw ScanFailure("cannot make the folder", base, errno) }
    let path = "\(base)/\(prefix)\(name)"
    if unsafe mkdir(path, 0o700) != 0 { throw ScanFailure("cannot make the folder", path, errno) }
    let opened = unsafe open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    if opened < 0 { throw ScanFailure("cannot open the folder", path, errno) }
    let folder = ScanFolder(path: path, descriptor: opened)
    guard flock(opened, LOCK_EX | LOCK_NB) == 0 else { throw ScanFailure("cannot lock the folder", path, errno) }
    if let owner, fchown(opened, owner.user, owner.group) != 0 { throw ScanFailure("cannot give away the folder", path, errno) }
    // Between the making and the lock another gateway that starts may have taken it for a left-over.
    var there = stat()
    var ours = stat()
    guard unsafe lstat(path, &there) == 0, unsafe fstat(opened, &ours) == 0, there.st_ino == ours.st_ino else {
      throw ScanFailure("the folder was removed by somebody else: \(path)")
    }
    return folder
  }

  /// Removes the folder with all that is in it. False when something could not be removed.
  func remove() -> Bool { ScanFolder.removeTree(AT_FDCWD, path, depth: 0) }

  /// Removes the folders that gateways left behind that did not come to remove them. How many there were.
  static func removeLeftOvers(below base: String) -> Int {
    var removed = 0
    for name in names(in: base) where name.hasPrefix(prefix) {
      let opened = unsafe open("\(base)/\(name)", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      guard opened >= 0 else { continue }
      defer { close(opened) }
      if flock(opened, LOCK_EX | LOCK_NB) == 0, removeTree(AT_FDCWD, "\(base)/\(name)", depth: 0) { removed += 1 }
    }
    return removed
  }

  /// Who a scanner that is started by root shall be; nil when this process is not root.
  static func owner(user: String?) throws(ScanFailure) -> (user: uid_t, group: gid_t)? {
    guard geteuid() == 0 else { return nil }
    let name = user ?? "nobody"
    var entry = unsafe passwd()
    var found: UnsafeMutablePointer<passwd>?
    var room = [CChar](repeating: 0, count: 16_384)
    let failure = unsafe getpwnam_r(name, &entry, &room, room.count, &found)
    guard failure == 0, unsafe found != nil else { throw ScanFailure("there is no user '\(name)' for the scanner") }
    let owner = unsafe (entry.pw_uid, entry.pw_gid)
    if owner.0 == 0 { throw ScanFailure("the scanner may not run as '\(name)', who is root") }
    return owner
  }

  /// Names in a folder but "." and ".."; none when it cannot be read.
  static func names(in path: String) -> [String] {
    guard let stream = unsafe opendir(path) else { return [] }
    return unsafe names(closing: stream)
  }

  // The stream is closed here, with the descriptor that it may have taken over.
  private static func names(closing stream: OpaquePointer) -> [String] {
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { raw in
        unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }

  /// Removes a file, or a folder with all below it. What is in there was made by processes that may have been taken over: no link is
  /// followed, and no name is looked up but in the folder that is open.
  private static func removeTree(_ parent: Int32, _ name: String, depth: Int) -> Bool {
    if unsafe unlinkat(parent, name, 0) == 0 || errno == ENOENT { return true }
    guard depth < maximumDepth else { return false }
    let opened = unsafe openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard opened >= 0 else { return false }
    defer { close(opened) }
    let copy = dup(opened)
    guard copy >= 0 else { return false }
    guard let stream = unsafe fdopendir(copy) else {
      close(copy)
      return false
    }
    for inner in unsafe names(closing: stream) where !removeTree(opened, inner, depth: depth + 1) { return false }
    return unsafe unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT
  }
}
