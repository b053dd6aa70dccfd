internal import Octets

#if canImport(Glibc)
  import Glibc
#endif

/// A segment file in memory, whole and read-only, for as long as any chunk looks at it.
///
/// The file is as long as it will ever be before it is first mapped and is never truncated, so no access can meet its end;
/// the mapping is shared, so it shows what is appended after it was made. A file that somebody maps is never recycled.
@safe
final class SegmentMapping: @unchecked Sendable {
  // Owned by this object: mapped in init, unmapped in deinit; immutable in between. The octets under it are written once,
  // by the writer, before any range that names them exists.
  private let base: UnsafeRawPointer
  /// Length of the file.
  let count: Int
  /// Drawn for this use of the file: see `SegmentFormat`.
  let salt: UInt32

  /// Maps the file at `path`, which must be segment `number`.
  init(path: String, number: UInt32) throws(SegmentFault) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { throw SegmentFault(errno == ENOENT ? .missingSegment : .unreadableSegment(code: errno)) }
    defer { close(descriptor) }
    var facts = stat()
    guard unsafe fstat(descriptor, &facts) == 0 else { throw SegmentFault(.unreadableSegment(code: errno)) }
    guard facts.st_size >= SegmentFormat.fileHeaderBytes else { throw SegmentFault(.foreignSegment) }
    count = Int(facts.st_size)
    guard let memory = unsafe mmap(nil, count, PROT_READ, MAP_SHARED, descriptor, 0), unsafe memory != MAP_FAILED else {
      throw SegmentFault(.unreadableSegment(code: errno))
    }
    unsafe base = UnsafeRawPointer(memory)
    guard unsafe SegmentMapping.isReadable(base, 0..<SegmentFormat.fileHeaderBytes) else {
      unsafe munmap(memory, count)
      throw SegmentFault(.unreadableSegment(code: EIO))
    }
    let header = unsafe UnsafeBufferPointer(start: base.assumingMemoryBound(to: UInt8.self), count: SegmentFormat.fileHeaderBytes)
    switch SegmentFormat.salt(ofFile: unsafe header.span, segment: number) {
    case .success(let found): salt = found
    case .failure(let fault):
      unsafe munmap(memory, count)
      throw fault
    }
  }

  deinit { unsafe munmap(UnsafeMutableRawPointer(mutating: base), count) }

  /// Lends the octets of the file.
  func withBytes<Result>(_ body: (Span<UInt8>) -> Result) -> Result {
    let bytes = unsafe UnsafeBufferPointer(start: base.assumingMemoryBound(to: UInt8.self), count: count)
    return body(unsafe bytes.span)
  }

  /// Reads a range of the file into memory: false when the disk does not give it, where a look at it would end the process (SIGBUS).
  func isReadable(_ range: Range<Int>) -> Bool {
    unsafe SegmentMapping.isReadable(unsafe base, range.clamped(to: 0..<count))
  }

  private static func isReadable(_ base: UnsafeRawPointer, _ range: Range<Int>) -> Bool {
    let page = Int(getpagesize())
    let lower = range.lowerBound / page * page
    let start = unsafe UnsafeMutableRawPointer(mutating: base + lower)
    // Whatever else it says (an older kernel does not know the question), it says nothing about the disk.
    return unsafe madvise(start, range.upperBound - lower, MADV_POPULATE_READ) == 0 || ![EFAULT, EHWPOISON].contains(errno)
  }

  /// A chunk that keeps this mapping alive. The range must lie within the file.
  func chunk(_ range: Range<Int>) -> Chunk {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "a chunk outside of its segment")
    return unsafe Chunk(base: base + range.lowerBound, count: range.count, owner: self)
  }

  /// Offsets of `range` in the file, when it lies between the file's header and `end`.
  static func offsets(of range: StoredRange, end: Int) -> Range<Int>? {
    let (upper, overflow) = range.offset.addingReportingOverflow(range.length)
    guard !overflow, range.offset >= UInt64(SegmentFormat.fileHeaderBytes), upper <= UInt64(max(0, end)) else { return nil }
    return Int(range.offset)..<Int(upper)
  }
}
