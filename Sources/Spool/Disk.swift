internal import CPlatform

#if canImport(Glibc)
  import Glibc
#endif

/// What the spool asks of the file system, and nothing more: small, so that a test can put faults between.
///
/// Every call returns what the system's returns, or the negative errno.
protocol Disk: Sendable {
  /// Opens for reading and writing; `creating` demands that the file is new. A descriptor.
  func open(_ path: String, creating: Bool) -> Int32
  /// Closes a descriptor that `open` gave.
  func close(_ descriptor: Int32)
  /// Allocates blocks up to `bytes`; the file is that long then.
  func allocate(_ descriptor: Int32, bytes: Int) -> Int32
  /// Writes at `offset`; how many octets were written, which may be fewer than there are.
  @unsafe func write(_ descriptor: Int32, _ pieces: UnsafeBufferPointer<iovec>, offset: Int) -> Int
  /// Makes durable what was written; with `metadata` the file's size and blocks too, whatever they are needed for.
  func sync(_ descriptor: Int32, metadata: Bool) -> Int32
  /// Makes the names in a folder durable.
  func syncDirectory(_ path: String) -> Int32
  func rename(_ from: String, to path: String) -> Int32
  func remove(_ path: String) -> Int32
}

/// The disk itself.
struct SystemDisk: Disk {
  func open(_ path: String, creating: Bool) -> Int32 {
    let flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (creating ? O_CREAT | O_EXCL : 0)
    return result { unsafe Glibc.open(path, flags, 0o600) }
  }

  func close(_ descriptor: Int32) { _ = Glibc.close(descriptor) }

  func allocate(_ descriptor: Int32, bytes: Int) -> Int32 { ceralacca_allocate(descriptor, bytes) }

  @unsafe func write(_ descriptor: Int32, _ pieces: UnsafeBufferPointer<iovec>, offset: Int) -> Int {
    while true {
      let written = unsafe pwritev(descriptor, pieces.baseAddress, Int32(min(pieces.count, 1024)), offset)
      if written >= 0 { return written }
      if errno != EINTR { return -Int(errno) }
    }
  }

  func sync(_ descriptor: Int32, metadata: Bool) -> Int32 {
    result { metadata ? fsync(descriptor) : fdatasync(descriptor) }
  }

  func syncDirectory(_ path: String) -> Int32 {
    let descriptor = result { unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    guard descriptor >= 0 else { return descriptor }
    defer { close(descriptor) }
    return result { fsync(descriptor) }
  }

  func rename(_ from: String, to path: String) -> Int32 { result { unsafe Glibc.rename(from, path) } }
  func remove(_ path: String) -> Int32 { result { unsafe unlink(path) } }

  /// The call's result, or the negative errno. fsync is not repeated after EINTR: only its first answer can be believed.
  private func result(_ call: () -> Int32) -> Int32 {
    let value = call()
    return value < 0 ? -errno : value
  }
}
