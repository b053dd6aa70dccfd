internal import CPlatform
internal import Octets

#if canImport(Glibc)
  import Glibc
#endif

/// The file system's calls with typed errors.
enum FileCalls {
  /// The code of something that is in the way.
  static let inTheWay = EEXIST

  /// Seconds since 1970.
  static func now() -> Int { time(nil) }

  /// What is known of a file without following a link: whether it is a folder, a regular file, and how large. Nil when it is not there.
  static func facts(_ path: String) -> (isFolder: Bool, isFile: Bool, bytes: Int, owner: UInt32, group: UInt32, changedAt: Int)? {
    var facts = stat()
    guard unsafe lstat(path, &facts) == 0 else { return nil }
    let kind = facts.st_mode & S_IFMT
    return (kind == S_IFDIR, kind == S_IFREG, Int(facts.st_size), facts.st_uid, facts.st_gid, facts.st_mtim.tv_sec)
  }

  /// Makes a folder for its owner alone; false when there is one already.
  static func makeFolder(_ path: String) throws(QuarantineError) -> Bool {
    if unsafe mkdir(path, 0o700) == 0 { return true }
    let code = errno
    if code != EEXIST { throw .system(operation: "make the folder", path: path, code: code) }
    return false
  }

  static func setMode(_ path: String, _ mode: mode_t) throws(QuarantineError) {
    if unsafe chmod(path, mode) != 0 { throw .system(operation: "change the mode of", path: path, code: errno) }
  }

  /// Makes a file that nobody may write after, and has it on the disk before it returns.
  static func write(_ pieces: [Chunk], to path: String) throws(QuarantineError) {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o400)
    if descriptor < 0 { throw .system(operation: "make", path: path, code: errno) }
    defer { _ = close(descriptor) }
    // The addresses stay good because `pieces` holds the chunks to the end of this function.
    defer { withExtendedLifetime(pieces) {} }
    let vectors = unsafe pieces.filter { !$0.isEmpty }.map { piece in
      unsafe piece.withUnsafeBytes { unsafe iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count) }
    }
    guard let count = unsafe Int32(exactly: vectors.count) else { throw .system(operation: "write", path: path, code: EFBIG) }
    let failure = unsafe vectors.withUnsafeBufferPointer { unsafe ceralacca_write_all(descriptor, $0.baseAddress, count, 0) }
    if failure < 0 { throw .system(operation: "write", path: path, code: -failure) }
    if fsync(descriptor) != 0 { throw .system(operation: "sync", path: path, code: errno) }
  }

  /// Appends a line to a file of its owner alone, which is made when it is not there, and has it on the disk before it returns.
  static func append(_ line: String, to path: String, owner: (user: UInt32, group: UInt32)) throws(QuarantineError) {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if descriptor < 0 { throw .system(operation: "write", path: path, code: errno) }
    defer { _ = close(descriptor) }
    // Made by root for the service's user, who goes on with it; anybody else's is his own already.
    if geteuid() == 0 { _ = fchown(descriptor, owner.user, owner.group) }
    let octets = Array(line.utf8)
    let count = unsafe octets.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
    if count != octets.count { throw .system(operation: "write", path: path, code: count < 0 ? errno : ENOSPC) }
    if fsync(descriptor) != 0 { throw .system(operation: "sync", path: path, code: errno) }
  }

  static func syncFolder(_ path: String) throws(QuarantineError) {
    let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if descriptor < 0 { throw .system(operation: "open the folder", path: path, code: errno) }
    defer { _ = close(descriptor) }
    if fsync(descriptor) != 0 { throw .system(operation: "sync", path: path, code: errno) }
  }

  /// Moves a folder; false when there is something in the way.
  static func rename(_ from: String, to path: String) throws(QuarantineError) -> Bool {
    if unsafe Glibc.rename(from, path) == 0 { return true }
    let code = errno
    if code == EEXIST || code == ENOTEMPTY || code == ENOTDIR { return false }
    throw .system(operation: "move to", path: path, code: code)
  }

  /// Names in a folder, sorted; none when it is not there.
  static func names(in path: String) throws(QuarantineError) -> [String] {
    guard let stream = unsafe opendir(path) else {
      if errno == ENOENT { return [] }
      throw .system(operation: "read the folder", path: path, code: errno)
    }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { raw in
        unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Removes an entry's folder with its files; deeper folders are never made here.
  static func removeFolder(_ path: String) throws(QuarantineError) {
    _ = unsafe chmod(path, 0o700)
    for name in try names(in: path) {
      let file = "\(path)/\(name)"
      if unsafe unlink(file) != 0, errno != ENOENT { throw .system(operation: "remove", path: file, code: errno) }
    }
    if unsafe rmdir(path) != 0, errno != ENOENT { throw .system(operation: "remove", path: path, code: errno) }
  }

  /// Removes a folder if nothing is in it.
  static func removeIfEmpty(_ path: String) -> Bool { unsafe rmdir(path) == 0 }

  /// Opens a regular file of exactly, or at most, so many octets for reading.
  static func openRegular(_ path: String) throws(QuarantineError) -> (descriptor: Int32, bytes: Int) {
    let descriptor = unsafe open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    if descriptor < 0 { throw .system(operation: "read", path: path, code: errno) }
    var facts = stat()
    guard unsafe fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
      _ = close(descriptor)
      throw .damaged(path: path, reason: "it is no file")
    }
    return (descriptor, Int(facts.st_size))
  }

  /// The octets of a regular file of at most `limit` octets.
  static func read(_ path: String, limit: Int) throws(QuarantineError) -> Chunk {
    let (descriptor, bytes) = try openRegular(path)
    defer { _ = close(descriptor) }
    guard bytes <= limit else { throw .damaged(path: path, reason: "it is larger than it can be") }
    var builder = ChunkBuilder(capacity: bytes)
    while builder.count < bytes {
      let block = try next(descriptor, min(1 << 20, bytes - builder.count), path: path)
      if block.isEmpty { throw .damaged(path: path, reason: "it ends too soon") }
      builder.append(block)
    }
    return builder.freeze()
  }

  /// Whether a regular file has exactly these octets.
  static func holds(_ path: String, _ pieces: [Chunk]) throws(QuarantineError) -> Bool {
    let (descriptor, bytes) = try openRegular(path)
    defer { _ = close(descriptor) }
    guard bytes == pieces.reduce(0, { $0 + $1.count }) else { return false }
    for piece in pieces {
      var at = 0
      while at < piece.count {
        let block = try next(descriptor, min(1 << 20, piece.count - at), path: path)
        if block.isEmpty { return false }
        let part = piece[at..<at + block.count]
        let isSame = unsafe part.withUnsafeBytes { octets in
          unsafe block.withUnsafeBytes { unsafe memcmp($0.baseAddress!, octets.baseAddress!, $0.count) == 0 }
        }
        if !isSame { return false }
        at += block.count
      }
    }
    return true
  }

  /// At most `count` octets more; none at the end.
  private static func next(_ descriptor: Int32, _ count: Int, path: String) throws(QuarantineError) -> [UInt8] {
    while true {
      var got = 0
      let block = unsafe [UInt8](unsafeUninitializedCapacity: count) { out, filled in
        got = unsafe Glibc.read(descriptor, out.baseAddress, count)
        filled = max(0, got)
      }
      if got >= 0 { return block }
      if errno != EINTR { throw .system(operation: "read", path: path, code: errno) }
    }
  }
}
