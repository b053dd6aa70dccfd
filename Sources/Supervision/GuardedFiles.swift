internal import Glibc

/// Calls of the file system for who may be root in a folder of another's: none follows a link that stands at the end of its path.
public enum GuardedFiles {
  /// Makes a file for its owner alone, which nobody may know yet.
  /// - Returns: a descriptor for writing, which the caller closes.
  public static func create(_ path: String) throws(FileCallError) -> Int32 {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if descriptor < 0 { throw FileCallError(operation: "make", path: path, code: errno) }
    return descriptor
  }

  /// Sets the permissions of an open file.
  public static func setMode(_ descriptor: Int32, _ mode: Int, path: String) throws(FileCallError) {
    if fchmod(descriptor, mode_t(mode & 0o7777)) != 0 { throw FileCallError(operation: "set permissions of", path: path, code: errno) }
  }
}
