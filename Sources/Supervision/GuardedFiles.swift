internal import Glibc

/// Calls of the file system for who may be root in a folder of another's: none follows a link that stands at the end of its path.
public enum GuardedFiles {
  /// Makes a file for its owner alone, which nobody may know yet.
  /// - Returns: a descriptor for writing, which the caller closes.
  public static func create(_ path: String) throws(FileCallError) -> Int32 {
    let descriptor = unsafe Glibc.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if descriptor < 0 { throw FileCallError(operation: "make", path: path, code: errno) }
    return descriptor
  }

  /// Sets the permissions of an open file.
  public static func setMode(_ descriptor: Int32, _ mode: Int, path: String) throws(FileCallError) {
    if fchmod(descriptor, mode_t(mode & 0o7777)) != 0 { throw FileCallError(operation: "set permissions of", path: path, code: errno) }
  }

  /// Opens a file that lies below a folder, through folders alone: whoever owns one of them may put a link there at any time.
  /// - Parameter name: the path from `root`.
  /// - Returns: a descriptor for reading, which the caller closes.
  /// - Throws: also when it is no file.
  public static func open(_ name: String, below root: String) throws(FileCallError) -> Int32 {
    func refused(_ code: Int32) -> FileCallError { FileCallError(operation: "read", path: "\(root)/\(name)", code: code) }
    var folder = unsafe Glibc.open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if folder < 0 { throw refused(errno) }
    defer { close(folder) }
    let parts = name.split(separator: "/").map(String.init)
    for part in parts.dropLast() {
      let next = unsafe openat(folder, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      if next < 0 { throw refused(errno) }
      close(folder)
      folder = next
    }
    // Without waiting: it may have become a pipe.
    let file = unsafe openat(folder, parts.last ?? "", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    if file < 0 { throw refused(errno) }
    var facts = stat()
    if unsafe fstat(file, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG { return file }
    close(file)
    throw refused(EINVAL)
  }

  /// Gives what lies there to a user and a group, a link itself and not what it leads to.
  public static func give(_ path: String, to owner: FileOwner) throws(FileCallError) {
    if unsafe lchown(path, owner.user, owner.group) != 0 { throw FileCallError(operation: "give away", path: path, code: errno) }
  }

  /// Makes a folder this process's alone, so that nobody changes what is in it any more.
  public static func takeFolder(_ path: String) throws(FileCallError) {
    var folder = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    if folder < 0, errno == EACCES, geteuid() != 0, unsafe chmod(path, 0o700) == 0 {
      folder = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    }
    if folder < 0 { throw FileCallError(operation: "open the folder", path: path, code: errno) }
    defer { close(folder) }
    if geteuid() == 0, fchown(folder, 0, 0) != 0 { throw FileCallError(operation: "take", path: path, code: errno) }
    if fchmod(folder, 0o700) != 0 { throw FileCallError(operation: "take", path: path, code: errno) }
  }

  /// Removes a file, a link or an empty folder.
  public static func remove(_ path: String, isFolder: Bool) throws(FileCallError) {
    if unsafe (isFolder ? rmdir(path) : unlink(path)) != 0 { throw FileCallError(operation: "remove", path: path, code: errno) }
  }
}
