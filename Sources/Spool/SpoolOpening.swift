internal import Octets

#if canImport(Glibc)
  import Glibc
#endif

/// What happens to a spool's folder at start.
enum SpoolOpening {
  /// Makes the folder when it is not there, durably.
  static func makeDirectory(_ directory: String, disk: any Disk) throws(SpoolError) {
    if unsafe mkdir(directory, 0o700) != 0 {
      let code = errno
      if code == EEXIST { return }
      throw .harmless("make the folder", directory, code)
    }
    let failure = disk.syncDirectory(directory + "/..")
    if failure < 0 { throw .harmless("sync the parent of", directory, -failure) }
  }

  /// How far above all that is known the numbers go on, when rows name segments: a later one may be lost that only the end of some
  /// message lay in, and nobody has asked for those.
  static let lostMargin: UInt32 = 4096

  /// The number that the first new segment tries.
  ///
  /// - Parameters:
  ///   - afterFiles: the highest number of a file, 0 when there is none.
  ///   - afterSegment: the highest number that a row names, 0 when none does.
  static func firstNumber(afterFiles: UInt32, afterSegment: UInt32) -> UInt32 {
    guard afterSegment > 0 else { return afterFiles &+ 1 }
    let (number, overflow) = max(afterFiles, afterSegment).addingReportingOverflow(lostMargin + 1)
    // No spool comes so far by counting: the row is damaged, and says nothing about where the numbers are.
    return overflow ? afterFiles &+ lostMargin &+ 1 : number
  }

  /// The segment files of the folder with their lengths. Other files are nobody's business.
  static func files(in directory: String) throws(SpoolError) -> [(number: UInt32, fileBytes: Int)] {
    guard let stream = unsafe opendir(directory) else { throw .harmless("read the folder", directory, errno) }
    defer { unsafe closedir(stream) }
    var found: [(number: UInt32, fileBytes: Int)] = []
    errno = 0
    while let entry = unsafe readdir(stream) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { raw in
        unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
      }
      if let number = SegmentName.number(name) {
        var facts = stat()
        // One that the system says nothing about is there all the same: its number is taken.
        let isKnown = unsafe stat(SegmentName.path(directory, number), &facts) == 0
        found.append((number, isKnown ? Int(facts.st_size) : 0))
      }
      errno = 0
    }
    // A list that breaks off would make lost files of all the others.
    if errno != 0 { throw .harmless("read the folder", directory, errno) }
    return found
  }
}

/// Making of segment files.
enum SegmentMaking {
  /// A segment ready to be written: a spare under its new name, or a new file with all its blocks allocated.
  ///
  /// Nothing depends on the file yet, so a failure is harmless; what was made of it is removed.
  static func make(
    _ number: UInt32, fileBytes: Int, spare: UInt32?, directory: String, disk: any Disk
  ) throws(SpoolError) -> SegmentWriter.Open {
    let path = SegmentName.path(directory, number)
    var descriptor: Int32 = -1
    if let spare {
      // Blocks that were written before cost the disk half of what new ones do. The old name is in no row of the ledger, and the new
      // name becomes durable with the next sync, before any row names it.
      descriptor = reopen(SegmentName.path(directory, spare), as: path, disk: disk)
    }
    let isFresh = descriptor < 0
    if isFresh {
      descriptor = disk.open(path, creating: true)
      guard descriptor >= 0 else { throw .harmless("make", path, -descriptor) }
      let failure = disk.allocate(descriptor, bytes: fileBytes)
      if failure < 0 { throw abandoned(descriptor, path, "allocate", -failure, disk) }
    }
    let salt = UInt32(truncatingIfNeeded: Entropy.word())
    let header = Chunk(SegmentFormat.fileHeader(segment: number, fileBytes: fileBytes, salt: salt))
    let failure = SegmentWriter.writeAll([header], to: descriptor, at: 0, by: disk)
    if failure != 0 { throw abandoned(descriptor, path, "write the header of", failure, disk) }
    return SegmentWriter.Open(
      number: number, path: path, descriptor: descriptor, salt: salt, fileBytes: fileBytes, isFresh: isFresh)
  }

  /// A file of zeros under the name of `number`, durable. Nothing depends on it: on failure what was made of it is removed.
  static func makeSpare(_ number: UInt32, fileBytes: Int, directory: String, disk: any Disk) throws(SpoolError) {
    let path = SegmentName.path(directory, number)
    let descriptor = disk.open(path, creating: true)
    guard descriptor >= 0 else { throw .harmless("make", path, -descriptor) }
    let failure = disk.allocate(descriptor, bytes: fileBytes)
    if failure < 0 { throw abandoned(descriptor, path, "allocate", -failure, disk) }
    let zeros = Chunk([UInt8](repeating: 0, count: 64 << 10))
    var written = 0
    while written < fileBytes {
      let step = min(4 << 20, fileBytes - written)
      let pieces = stride(from: 0, to: step, by: zeros.count).map { zeros[0..<min(zeros.count, step - $0)] }
      let failure = SegmentWriter.writeAll(pieces, to: descriptor, at: written, by: disk)
      if failure != 0 { throw abandoned(descriptor, path, "write", failure, disk) }
      written += step
      // Small steps: a sync of a message waits for what the disk has in hand.
      let refusal = disk.sync(descriptor, metadata: written == fileBytes)
      if refusal < 0 { throw abandoned(descriptor, path, "sync", -refusal, disk) }
    }
    disk.close(descriptor)
  }

  /// Renames and opens a spare. Negative when it cannot be had; then it is removed and a new file is made instead.
  private static func reopen(_ old: String, as path: String, disk: any Disk) -> Int32 {
    guard disk.rename(old, to: path) >= 0 else {
      _ = disk.remove(old)
      return -1
    }
    let descriptor = disk.open(path, creating: false)
    if descriptor < 0 { _ = disk.remove(path) }
    return descriptor
  }

  private static func abandoned(_ descriptor: Int32, _ path: String, _ operation: String, _ code: Int32, _ disk: any Disk) -> SpoolError {
    disk.close(descriptor)
    _ = disk.remove(path)
    return .harmless(operation, path, code)
  }
}

/// The folder's lock: one process owns a spool.
public final class SpoolLock: Sendable {
  // Open as long as the spool; the system lets the lock go with the process, however it ends.
  private let descriptor: Int32

  /// Takes the lock of a folder, which must be there.
  ///
  /// - Throws: `inUse` when another process has it, `full` or `refused` when it cannot be taken.
  public init(directory: String) throws(SpoolError) {
    let path = directory + "/spool.lock"
    let opened = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard opened >= 0 else { throw .harmless("open", path, errno) }
    if flock(opened, LOCK_EX | LOCK_NB) != 0 {
      let code = errno
      let holder = SpoolLock.holder(opened)
      close(opened)
      throw code == EWOULDBLOCK ? .inUse(directory: directory, holder: holder) : .harmless("lock", path, code)
    }
    descriptor = opened
    // Root may be the first to lock it, for a backup, and it is for the folder's owner to lock it later. Refused it is said then.
    var facts = stat()
    if geteuid() == 0, unsafe stat(directory, &facts) == 0 { _ = fchown(opened, facts.st_uid, facts.st_gid) }
    // For people only: nothing reads it but the error above, so a failure does no harm.
    let text = [UInt8](utf8: "process \(getpid())\n")
    _ = ftruncate(opened, 0)
    _ = unsafe pwrite(opened, text, text.count, 0)
  }

  deinit { close(descriptor) }

  private static func holder(_ descriptor: Int32) -> String? {
    let text = unsafe [UInt8](unsafeUninitializedCapacity: 64) { room, count in
      unsafe count = max(0, pread(descriptor, room.baseAddress, 64, 0))
    }
    let line = String(decoding: text.prefix { $0 >= 32 && $0 < 127 }, as: UTF8.self)
    return line.isEmpty ? nil : line
  }
}
