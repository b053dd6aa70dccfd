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

  /// Takes stock: which files are named, which are not, and whether what is named can be read.
  static func open(
    directory: String, liveRanges: [StoredRange], into empty: SegmentTable, disk: any Disk
  ) throws(SpoolError) -> (table: SegmentTable, problems: [SpoolProblem], nextNumber: UInt32) {
    var table = empty
    var named: [UInt32: [Int]] = [:]
    for (index, range) in liveRanges.enumerated() { named[range.segment, default: []].append(index) }
    var highest: UInt32 = 0
    for (number, fileBytes) in try files(in: directory).sorted(by: { $0.number < $1.number }) {
      highest = max(highest, number)
      if named[number] != nil {
        table.add(number, fileBytes: fileBytes, end: fileBytes, isSealed: true)
      } else if table.leftover(number, fileBytes: fileBytes) {
        // A failed removal is tried again at the next start.
        _ = disk.remove(SegmentName.path(directory, number))
      }
    }
    // A missing segment is entered too, without octets: its number stays taken and its ranges are counted like any other.
    for number in named.keys where table.segments[number] == nil { table.add(number, fileBytes: 0, end: 0, isSealed: true) }
    table.retain(liveRanges)
    var faults: [Int: SpoolFault] = [:]
    for (number, indices) in named { check(number, indices, liveRanges, directory, &faults) }
    let problems = faults.keys.sorted().compactMap { index in faults[index].map { SpoolProblem(range: liveRanges[index], fault: $0) } }
    for problem in problems { table.damaged[problem.range] = problem.fault }
    return (table, problems, (named.keys.max().map { max($0, highest) } ?? highest) &+ 1)
  }

  /// Checks the ranges of one segment, each record once.
  private static func check(
    _ number: UInt32, _ indices: [Int], _ ranges: [StoredRange], _ directory: String, _ faults: inout [Int: SpoolFault]
  ) {
    let found: [(Int, SpoolFault)]
    do throws(SegmentFault) {
      let mapping = try SegmentMapping(path: SegmentName.path(directory, number), number: number)
      found = mapping.withBytes { bytes in
        let index = SegmentIndex(bytes, segment: number, salt: mapping.salt)
        var verdicts: [Int: SpoolFault?] = [:]
        return indices.compactMap { live in
          guard let offsets = SegmentMapping.offsets(of: ranges[live], end: mapping.count) else { return (live, .outOfBounds) }
          guard let record = index.record(holding: offsets) else { return (live, .noRecord) }
          let verdict = verdicts[record] ?? SegmentFormat.fault(of: index.places[record], in: bytes)
          verdicts[record] = .some(verdict)
          return verdict.map { (live, $0) }
        }
      }
    } catch {
      found = indices.map { ($0, error.fault) }
    }
    for (live, fault) in found { faults[live] = fault }
  }

  /// The segment files of the folder with their lengths. Other files are nobody's business.
  private static func files(in directory: String) throws(SpoolError) -> [(number: UInt32, fileBytes: Int)] {
    guard let stream = unsafe opendir(directory) else { throw .harmless("read the folder", directory, errno) }
    defer { unsafe closedir(stream) }
    var found: [(number: UInt32, fileBytes: Int)] = []
    while let entry = unsafe readdir(stream) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { raw in
        unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
      }
      guard let number = SegmentName.number(name) else { continue }
      var facts = stat()
      guard unsafe stat(SegmentName.path(directory, number), &facts) == 0 else { continue }
      found.append((number, Int(facts.st_size)))
    }
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
    let zeros = Chunk([UInt8](repeating: 0, count: min(fileBytes, 4 << 20)))
    var written = 0
    while written < fileBytes {
      let piece = zeros[0..<min(zeros.count, fileBytes - written)]
      let failure = SegmentWriter.writeAll([piece], to: descriptor, at: written, by: disk)
      if failure != 0 { throw abandoned(descriptor, path, "write", failure, disk) }
      written += piece.count
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
final class SpoolLock: Sendable {
  // Open as long as the spool; the system lets the lock go with the process, however it ends.
  private let descriptor: Int32

  init(directory: String) throws(SpoolError) {
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
