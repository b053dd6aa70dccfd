public import Octets

#if canImport(Glibc)
  import Glibc
#endif

/// Reading: through mappings, and with proof where the octets are of an earlier run.
///
/// What a run appends it does not doubt. A record of an earlier run is compared with its checksum when it is first read, once; no lock is
/// held meanwhile, nor while a file is mapped.
extension Spool {
  /// The octets of a range, mapped: no read, no copy. One mapping of a segment serves all its chunks and goes with the last of them.
  ///
  /// The first reading of a record of an earlier run reads all of it, to compare its checksum: some 10 ms for 30 MB in memory, and the
  /// disk's time before that. From any thread.
  /// - Throws: `damaged` when there is no such range, or the record does not hold what was written, each time until it does; `failed` when
  ///   the spool has stopped.
  public func chunk(_ range: StoredRange) throws(SpoolError) -> Chunk {
    let place = try place(range, find(range))
    if let fault = prove(place, range) { throw .damaged(range, fault) }
    return place.mapping.chunk(place.offsets)
  }

  /// What the first reading of the range would find, for who looks for damage before the octets are needed: a record that was found right
  /// in this process, by this call or by `chunk`, is not read again, and one that this process wrote is not read at all.
  ///
  /// From any thread. For many ranges the other `verify` is several times as fast.
  /// - Returns: what is wrong with it; nil when `chunk` gives it.
  public func verify(_ range: StoredRange) -> SpoolFault? { verify([range])[range] }

  /// Verifies many ranges; each segment of which something has to be read is mapped once for all of them.
  ///
  /// From any thread.
  /// - Returns: what is wrong, for those of the ranges that `chunk` does not give.
  public func verify(_ ranges: [StoredRange]) -> [StoredRange: SpoolFault] {
    var faults: [StoredRange: SpoolFault] = [:]
    var held: [UInt32: SegmentMapping] = [:]
    for range in ranges where faults[range] == nil {
      do throws(SpoolError) {
        let found = try find(range)
        if found.isProven, SegmentMapping.offsets(of: range, end: found.end) != nil { continue }
        let place = try place(range, found)
        held[range.segment] = place.mapping
        faults[range] = prove(place, range)
      } catch {
        faults[range] = Spool.fault(error)
      }
    }
    return faults
  }

  /// Reads the record that holds the range and compares its checksum, whoever wrote it and however often it was read. From any thread.
  ///
  /// - Returns: what is wrong with it; nil when the octets are those that were written.
  public func check(_ range: StoredRange) -> SpoolFault? {
    do throws(SpoolError) {
      switch try place(range, find(range)).read(range) {
      case .success: return nil
      case .failure(let error): return error.fault
      }
    } catch {
      return Spool.fault(error)
    }
  }

  /// Where a range lies, and whether it may be given as it is.
  struct Place {
    let mapping: SegmentMapping
    let offsets: Range<Int>
    let isProven: Bool

    /// Reads the record that holds the range.
    func read(_ range: StoredRange) -> Result<RecordPlace, SegmentFault> {
      mapping.withBytes {
        SegmentFormat.soundRecord(
          holding: offsets, in: $0, segment: range.segment, salt: mapping.salt, isReadable: { mapping.isReadable($0) })
      }
    }
  }

  private func prove(_ place: Place, _ range: StoredRange) -> SpoolFault? {
    if place.isProven { return nil }
    switch place.read(range) {
    case .success(let record):
      table.withLock { $0.proved(range.segment, record) }
      return nil
    case .failure(let error): return error.fault
    }
  }

  private func find(_ range: StoredRange) throws(SpoolError) -> SegmentTable.Found {
    try table.withLock { (table) throws(SpoolError) in
      if let failure = table.failure { throw failure }
      do throws(SegmentFault) { return try table.find(range) } catch { throw .damaged(range, error.fault) }
    }
  }

  private func place(_ range: StoredRange, _ found: SegmentTable.Found) throws(SpoolError) -> Place {
    do throws(SegmentFault) {
      let mapping: SegmentMapping
      if let known = found.mapping { mapping = known } else { mapping = try map(range.segment) }
      guard let offsets = SegmentMapping.offsets(of: range, end: min(found.end, mapping.count)) else { throw SegmentFault(.outOfBounds) }
      return Place(mapping: mapping, offsets: offsets, isProven: found.isProven)
    } catch {
      throw .damaged(range, error.fault)
    }
  }

  /// Maps a segment that nobody maps. Should two do so at once, the first mapping serves both.
  private func map(_ number: UInt32) throws(SegmentFault) -> SegmentMapping {
    let made = try SegmentMapping(path: SegmentName.path(directory, number), number: number)
    // Whoever asks holds the range, so the file is what it was; if not, it may be written again, and nobody must look at it.
    return try table.withLock { (table) throws(SegmentFault) in try table.share(made, of: number) }
  }

  private static func fault(_ error: SpoolError) -> SpoolFault {
    if case .damaged(_, let fault) = error { return fault }
    return .unreadableSegment(code: EIO)
  }
}
