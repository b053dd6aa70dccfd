public import Octets
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// Bodies on disk: append-only segment files, synced in groups, read through shared mappings.
///
/// `append` and `sync` belong to one thread, the spooler; `prepareSpare` to one that has time; `retain`, `release`, `chunk`, `check`, `usage` and `freeBytes` may be called from any thread.
/// The order of durability is the caller's: append, sync, commit the rows that name the ranges, then 250; and the other way round,
/// release a range only when the commit that removed its last row is durable, because its file may be written again at once.
public final class Spool: Sendable {
  /// The folder of the segment files.
  public let directory: String
  /// Live ranges that could not be read at start, in the order they were given. `chunk` refuses them.
  public let problems: [SpoolProblem]
  private let disk: any Disk
  private let segmentBytes: Int
  // Locked in this order where both are needed: writer, then table.
  private let writer: Mutex<SegmentWriter>
  private let table: Mutex<SegmentTable>
  private let lock: SpoolLock

  /// Opens the spool of a folder, which is made when it is not there, and takes it for this process.
  ///
  /// Never appends to an old segment; removes, or keeps as spares, segments that no live range names; checks each live range's record.
  /// - Parameters:
  ///   - segmentBytes: length of a segment file; a larger record gets a file of its own.
  ///   - liveRanges: what the ledger names, each as often as it will be released.
  ///   - maximumSpares: files in which nothing is alive and that are kept to be written again, which costs less than making new ones.
  /// - Throws: `inUse` when another process owns the folder, `full` or `refused` when it cannot be used.
  public convenience init(
    directory: String, segmentBytes: Int, liveRanges: [StoredRange], maximumSpares: Int = 4
  ) throws(SpoolError) {
    try self.init(
      directory: directory, segmentBytes: segmentBytes, liveRanges: liveRanges, maximumSpares: maximumSpares, disk: SystemDisk())
  }

  init(
    directory: String, segmentBytes: Int, liveRanges: [StoredRange], maximumSpares: Int, disk: any Disk
  ) throws(SpoolError) {
    self.directory = directory
    self.disk = disk
    self.segmentBytes = (max(segmentBytes, 4096) + 4095) & ~4095
    try SpoolOpening.makeDirectory(directory, disk: disk)
    lock = try SpoolLock(directory: directory)
    let opened = try SpoolOpening.open(
      directory: directory, liveRanges: liveRanges, into: SegmentTable(segmentBytes: self.segmentBytes, maximumSpares: maximumSpares),
      disk: disk)
    problems = opened.problems
    table = Mutex(opened.table)
    writer = Mutex(SegmentWriter(disk: disk, directory: directory, nextNumber: opened.nextNumber))
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

  /// Holds each of these ranges once more. A range is named by its octets: part of a record may be held by itself.
  public func retain(_ ranges: [StoredRange]) {
    table.withLock { $0.retain(ranges) }
  }

  /// Lets each of these ranges go once, by the same octets that it was retained by. A full segment of which nothing is held any more is removed, or written again under a new number.
  ///
  /// Call it when the commit that removed the rows is durable, not before. Chunks that still look at such a segment stay good.
  public func release(_ ranges: [StoredRange]) {
    for number in table.withLock({ $0.release(ranges) }) { remove(number) }
  }

  /// The octets of a range, mapped: no read, no copy. One mapping of a segment serves all its chunks and goes with the last of them.
  ///
  /// The record's checksum was verified at start for what was live then; `check` does it again.
  /// - Throws: `damaged` when there is no such range, or it was found damaged at start; `failed` when the spool has stopped.
  public func chunk(_ range: StoredRange) throws(SpoolError) -> Chunk {
    let (mapping, offsets) = try mapped(range)
    return mapping.chunk(offsets)
  }

  /// Reads the record that holds the range and compares its checksum.
  ///
  /// - Returns: what is wrong with it; nil when the octets are those that were written.
  public func check(_ range: StoredRange) -> SpoolFault? {
    do throws(SpoolError) {
      let (mapping, offsets) = try mapped(range)
      return mapping.withBytes { bytes in
        // Most ranges are a whole record, whose header stands just before.
        let header = offsets.lowerBound - SegmentFormat.recordHeaderBytes
        if let place = SegmentFormat.record(in: bytes, at: header, segment: range.segment, salt: mapping.salt),
          offsets.upperBound <= place.payloadEnd
        {
          return SegmentFormat.fault(of: place, in: bytes)
        }
        let index = SegmentIndex(bytes, segment: range.segment, salt: mapping.salt)
        guard let record = index.record(holding: offsets) else { return .noRecord }
        return SegmentFormat.fault(of: index.places[record], in: bytes)
      }
    } catch {
      if case .damaged(_, let fault) = error { return fault }
      return .unreadableSegment(code: EIO)
    }
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
    table.withLock { $0.add(number, fileBytes: file.fileBytes, end: file.end, isSealed: false) }
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

  private func remove(_ number: UInt32) {
    // A file that cannot be removed is garbage that the next start collects.
    _ = disk.remove(SegmentName.path(directory, number))
  }

  private func mapped(_ range: StoredRange) throws(SpoolError) -> (SegmentMapping, Range<Int>) {
    try table.withLock { (table) throws(SpoolError) in
      if let failure = table.failure { throw failure }
      if let fault = table.damaged[range] { throw .damaged(range, fault) }
      do throws(SegmentFault) {
        let mapping = try table.mapping(of: range.segment) { () throws(SegmentFault) in
          try SegmentMapping(path: SegmentName.path(directory, range.segment), number: range.segment)
        }
        let end = min(table.segments[range.segment]?.end ?? 0, mapping.count)
        guard let offsets = SegmentMapping.offsets(of: range, end: end) else { throw SegmentFault(.outOfBounds) }
        return (mapping, offsets)
      } catch {
        throw .damaged(range, error.fault)
      }
    }
  }
}

/// What the spool holds.
public struct SpoolUsage: Sendable, Equatable {
  /// Segment files with records.
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
