internal import CPlatform
internal import Octets

#if canImport(Glibc)
  import Glibc
#endif

/// The file system's calls with typed errors.
enum FileCalls {
  static func exists(_ path: String) -> Bool {
    var facts = stat()
    return unsafe lstat(path, &facts) == 0
  }

  /// Makes a file that nobody may know yet; 0 when its folder is not there.
  static func create(_ path: String) throws(MailstoreError) -> Int32 {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if descriptor >= 0 { return descriptor }
    let code = errno
    if code == ENOENT { return -1 }
    throw .system(operation: "make", path: path, code: code)
  }

  /// Writes the chunks where they lie, in as few calls as the system allows.
  static func write(_ pieces: [Chunk], to descriptor: Int32, path: String) throws(MailstoreError) {
    // The addresses stay good because `pieces` holds the chunks to the end of this function.
    defer { withExtendedLifetime(pieces) {} }
    let vectors = unsafe pieces.filter { !$0.isEmpty }.map { piece in
      unsafe piece.withUnsafeBytes { unsafe iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count) }
    }
    guard let count = unsafe Int32(exactly: vectors.count) else { throw .system(operation: "write", path: path, code: EFBIG) }
    let failure = unsafe vectors.withUnsafeBufferPointer { unsafe ceralacca_write_all(descriptor, $0.baseAddress, count, 0) }
    if failure < 0 { throw .system(operation: "write", path: path, code: -failure) }
  }

  /// Lets the disk begin with what was written, without waiting. The blocks have their places then, so that the first sync of many such
  /// files commits the journal for all of them. Refused it costs nothing but time: `sync` does it all.
  static func beginSync(_ descriptor: Int32) { _ = ceralacca_begin_sync(descriptor) }

  static func sync(_ descriptor: Int32, path: String) throws(MailstoreError) {
    if fsync(descriptor) != 0 { throw .system(operation: "sync", path: path, code: errno) }
  }

  static func syncDirectory(_ path: String) throws(MailstoreError) {
    let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if descriptor < 0 { throw .system(operation: "open the folder", path: path, code: errno) }
    defer { close(descriptor) }
    try sync(descriptor, path: path)
  }

  /// Makes a folder for its owner alone. One that is there already is left as it is.
  static func makeDirectory(_ path: String) throws(MailstoreError) {
    if unsafe mkdir(path, 0o700) == 0 { return }
    let code = errno
    if code != EEXIST { throw .system(operation: "make the folder", path: path, code: code) }
  }

  static func rename(_ from: String, to path: String) throws(MailstoreError) {
    if unsafe Glibc.rename(from, path) != 0 { throw .system(operation: "move a message to", path: path, code: errno) }
  }

  static func remove(_ path: String) { _ = unsafe unlink(path) }

  static func close(_ descriptor: Int32) { _ = Glibc.close(descriptor) }

  /// Names in a folder; none when it cannot be read.
  static func names(in path: String) -> [String] {
    guard let stream = unsafe opendir(path) else { return [] }
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

  /// True when a file was last written at least `seconds` ago.
  static func isOlder(_ path: String, thanSeconds seconds: Int) -> Bool {
    var facts = stat()
    guard unsafe lstat(path, &facts) == 0 else { return false }
    return time(nil) - facts.st_mtim.tv_sec >= seconds
  }
}
