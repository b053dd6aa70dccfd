public import Octets
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// Bodies on disk: append-only segment files, synced in groups, read through shared mappings.
///
/// `append` and `sync` belong to one thread, the spooler; `prepareSpare` to one that has time; `retain`, `release`, `count`, `endCounting`,
/// `chunk`, `verify`, `check`, `isCounted`, `usage` and `freeBytes` may be called from any thread.
/// The order of durability is the caller's: append, sync, commit the rows that name the ranges, then 250; and the other way round,
/// release a range only when the commit that removed its last row is durable, because its file may be written again at once.
public final class Spool: Sendable {
  /// The folder of the segment files.
  public let directory: String
  private let disk: any Disk
  private let segmentBytes: Int
  // Locked in this order where both are needed: writer, then table. Under the table's lock there is no call of the system, nor any octet
  // of a file read: every lane waits for it.
  private let writer: Mutex<SegmentWriter>
  let table: Mutex<SegmentTable>
  private let lock: SpoolLock

  /// Opens the spool of a folder, which is made when it is not there, and takes it for this process.
  ///
  /// Takes a list of the files and reads none of them, so it takes the same time however much they hold. Never appends to an old segment,
  /// and never gives its number to a new one. The caller then tells by `count`, while all else goes on, which ranges its rows named at this
  /// moment, and ends that by `endCounting`: until then no old file goes.
  /// - Parameters:
  ///   - segmentBytes: length of a segment file; a larger record gets a file of its own.
  ///   - afterSegment: the highest segment that a row names, 0 when none does. Where its file is lost, a new one must not get its number:
  ///     the first record of every segment lies at the same offset, and the row would name another message's octets.
  ///   - maximumSpares: files in which nothing is alive and that are kept to be written again, which costs less than making new ones.
  ///   - lock: the folder's lock, where it was taken before; nil: it is taken here.
  /// - Throws: `inUse` when another process owns the folder, `full` or `refused` when it cannot be used.
  public convenience init(
    directory: String, segmentBytes: Int, afterSegment: UInt32 = 0, maximumSpares: Int = 4, lock: SpoolLock? = nil
  ) throws(SpoolError) {
    try self.init(
      directory: directory, segmentBytes: segmentBytes, afterSegment: afterSegment, maximumSpares: maximumSpares, disk: SystemDisk(),
      lock: lock)
  }

  /// Takes the lock of a folder, which is made when it is not there: for who has to own it before it can be opened.
  public static func lock(directory: String) throws(SpoolError) -> SpoolLock {
    try SpoolOpening.makeDirectory(directory, disk: SystemDisk())
    return try SpoolLock(directory: directory)
  }

  init(
    directory: String, segmentBytes: Int, afterSegment: UInt32, maximumSpares: Int, disk: any Disk, lock: SpoolLock? = nil
  ) throws(SpoolError) {
    self.directory = directory
    self.disk = disk
    self.segmentBytes = (max(segmentBytes, 4096) + 4095) & ~4095
    try SpoolOpening.makeDirectory(directory, disk: disk)
    if let lock { self.lock = lock } else { self.lock = try SpoolLock(directory: directory) }
    let files = try SpoolOpening.files(in: directory)
    let first = SpoolOpening.firstNumber(afterFiles: files.map(\.number).max() ?? 0, afterSegment: afterSegment)
    table = Mutex(
      SegmentTable(
        segmentBytes: self.segmentBytes, maximumSpares: maximumSpares, firstNumber: first, oldFiles: files,
        isCounted: files.isEmpty && afterSegment == 0))
    writer = Mutex(SegmentWriter(disk: disk, directory: directory, nextNumber: first))
  }

  deinit { writer.withLock { $0.closeAll() } }

  /// Appends one record made of `pieces`, in order; the range of its payload.
  ///
  /// Nothing is durable before `sync`, and nothing is removed before it: a range that is wanted longer is retained by then.
  /// - Throws: `full` or `refused` when no new segment could be made (nothing was written; try again later); `failed` when a write
  ///   failed, then and ever after.
  public func append(_ pieces: [Chunk]) throws(SpoolError) -> StoredRange {
    try writer.withLock { (writer) throws(SpoolError) in
      try refuseAfterFailure()
      let length = pieces.reduce(0) { $0 + $1.count }
      guard let bytes = SegmentFormat.recordBytes(length), bytes < Int.max - (1 << 20) else {
        throw .refused(operation: "append to", path: directory, code: EFBIG)
      }
      do throws(SpoolError) {
        if bytes > segmentBytes - SegmentFormat.fileHeaderBytes { return try appendAlone(pieces, length, bytes, &writer) }
        var file = try fileWithRoom(for: bytes, &writer)
        let payload = try SegmentWriter.write(pieces, length: length, to: &file, by: disk)
        writer.current = file
        return record(payload, length, in: file)
      } catch {
        throw stopped(by: error)
      }
    }
  }

  /// Makes a segment file ahead of need and writes it once, when the one in use fills and nothing waits to be written again: blocks that
  /// were written before cost a sync half of what new ones do. For a thread that has time; a step of 4 MiB is synced before the next.
  ///
  /// - Returns: whether one was made.
  /// - Throws: `full` or `refused`; nothing is left behind, and the spool makes its files itself when it needs them.
  @discardableResult
  public func prepareSpare() throws(SpoolError) -> Bool {
    guard table.withLock({ $0.wantsSpare && $0.failure == nil }) else { return false }
    let number = writer.withLock { writer in
      let number = freeNumber(from: writer.nextNumber)
      writer.nextNumber = number &+ 1
      return number
    }
    try SegmentMaking.makeSpare(number, fileBytes: segmentBytes, directory: directory, disk: disk)
    table.withLock { $0.add(spare: number) }
    return true
  }

  /// Makes durable what was appended since the last time. With nothing appended it costs nothing.
  ///
  /// - Throws: `failed`, then and ever after: after a failed sync nobody knows what reached the disk.
  public func sync() throws(SpoolError) {
    try writer.withLock { (writer) throws(SpoolError) in
      try refuseAfterFailure()
      do throws(SpoolError) {
        let synced = try writer.sync()
        for number in table.withLock({ $0.synced(synced) }) { remove(number) }
      } catch {
        throw stopped(by: error)
      }
    }
  }

  /// Holds each of these ranges once more. A range is named by its octets: part of a record may be held by itself, and so may octets of
  /// an earlier run that were not counted yet.
  public func retain(_ ranges: [StoredRange]) {
    table.withLock { $0.retain(ranges) }
  }

  /// Lets each of these ranges go once, by the same octets that it was retained or counted by, be it before it is counted. A full segment
  /// of which nothing is held any more is removed, or written again under a new number.
  ///
  /// Call it when the commit that removed the rows is durable, not before. Chunks that still look at such a segment stay good.
  public func release(_ ranges: [StoredRange]) {
    for number in table.withLock({ $0.release(ranges) }) { remove(number) }
  }

  /// Lets no segment file go, nor be written again, until `endHold`: for who copies them while commits go on. What was named by rows when
  /// the ledger was looked at after this call is then in the files for as long as the hold lasts. From any thread.
  public func hold() { table.withLock { $0.hold() } }

  /// Takes a hold back, once for each: what nothing names any more goes.
  public func endHold() {
    for number in table.withLock({ $0.endHold() }) { remove(number) }
  }

  /// Free octets on the spool's disk for this process; 0 when the system does not say, so that intake stops rather than hopes.
  public var freeBytes: Int {
    var facts = statvfs()
    guard unsafe statvfs(directory, &facts) == 0 else { return 0 }
    let (bytes, overflow) = UInt64(facts.f_bavail).multipliedReportingOverflow(by: UInt64(facts.f_frsize))
    return overflow ? .max : Int(clamping: bytes)
  }

  /// Counts, for the operator and for tests.
  public var usage: SpoolUsage {
    table.withLock { table in
      SpoolUsage(
        segments: table.segments.count, spares: table.spares.count,
        references: table.segments.values.reduce(0) { $0 + $1.references },
        liveBytes: table.segments.values.reduce(0) { $0 &+ $1.liveBytes },
        fileBytes: table.segments.values.reduce(0) { $0 + $1.fileBytes } + table.spares.count * segmentBytes,
        mappings: table.segments.values.count { $0.mapping != nil }, mismatches: table.mismatches)
    }
  }

  // MARK: - Inside

  private func refuseAfterFailure() throws(SpoolError) {
    if let failure = table.withLock({ $0.failure }) { throw failure }
  }

  /// Remembers a failure that ends the spool; passes on any other as it is.
  private func stopped(by error: SpoolError) -> SpoolError {
    if case .failed = error { table.withLock { $0.failure = $0.failure ?? error } }
    return error
  }

  private func record(_ payload: Int, _ length: Int, in file: SegmentWriter.Open) -> StoredRange {
    let range = StoredRange(segment: file.number, offset: UInt64(payload), length: UInt64(length))
    table.withLock { $0.appended(file.number, end: file.end) }
    return range
  }

  /// The segment in use, or a new one when it is full.
  private func fileWithRoom(for bytes: Int, _ writer: inout SegmentWriter) throws(SpoolError) -> SegmentWriter.Open {
    if let file = writer.current {
      if file.hasRoom(for: bytes) { return file }
      writer.filled.append(file)
      writer.current = nil
      seal(file.number)
    }
    let made = try makeSegment(&writer)
    writer.current = made
    return made
  }

  /// A record that is larger than a segment gets a file of its own; the segment in use stays in use.
  private func appendAlone(_ pieces: [Chunk], _ length: Int, _ bytes: Int, _ writer: inout SegmentWriter) throws(SpoolError) -> StoredRange
  {
    let fileBytes = (bytes + SegmentFormat.fileHeaderBytes + 4095) & ~4095
    var file = try makeSegment(&writer, fileBytes: fileBytes)
    defer { writer.filled.append(file) }
    let payload = try SegmentWriter.write(pieces, length: length, to: &file, by: disk)
    let range = record(payload, length, in: file)
    seal(file.number)
    return range
  }

  private func makeSegment(_ writer: inout SegmentWriter, fileBytes: Int? = nil) throws(SpoolError) -> SegmentWriter.Open {
    let number = freeNumber(from: writer.nextNumber)
    let spare = fileBytes == nil ? table.withLock { $0.takeSpare() } : nil
    let file = try SegmentMaking.make(number, fileBytes: fileBytes ?? segmentBytes, spare: spare, directory: directory, disk: disk)
    writer.nextNumber = number &+ 1
    writer.directoryIsDirty = true
    table.withLock { $0.add(number, fileBytes: file.fileBytes, end: file.end) }
    return file
  }

  /// Numbers are not used again while anything bears them; after four thousand million segments they begin anew.
  private func freeNumber(from first: UInt32) -> UInt32 {
    table.withLock { table in
      var number = first
      while number == 0 || table.segments[number] != nil || table.spares.contains(where: { $0.number == number }) { number &+= 1 }
      return number
    }
  }

  private func seal(_ number: UInt32) {
    if table.withLock({ $0.seal(number) }) { remove(number) }
  }

  func remove(_ number: UInt32) {
    // A file that cannot be removed is garbage that the next run collects.
    _ = disk.remove(SegmentName.path(directory, number))
  }
}

/// What the spool holds. Before counting ended, what earlier runs left is in `references` and `liveBytes` only as far as it was counted,
/// and what was let go before it was counted is taken off: both may be too low by any number, `references` below zero.
public struct SpoolUsage: Sendable, Equatable {
  /// Segment files with records; before counting ended, all that were found too.
  public var segments: Int
  /// Segment files that wait to be written again.
  public var spares: Int
  /// Held ranges.
  public var references: Int
  /// Octets of held ranges, each as often as it is held.
  public var liveBytes: UInt64
  /// Octets of all the files.
  public var fileBytes: Int
  /// Segments that are mapped now.
  public var mappings: Int
  /// Releases that did not match a retain, and retains of what was gone: faults of the caller. A release too many costs disk, not mail.
  public var mismatches: Int
}
