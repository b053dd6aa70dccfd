internal import Octets

/// What is alive in the spool: the segments, how many ranges of each are held, and who maps them.
///
/// It is asked from all threads, under the spool's lock, and does no writing itself.
struct SegmentTable: Sendable {
  /// A segment file that holds records.
  struct Segment: Sendable {
    /// Ranges that are held, each counted as often as it was retained.
    var references = 0
    /// Their octets together: a check on the count, for a release that does not match its retain.
    var liveBytes: UInt64 = 0
    var fileBytes: Int
    /// Offset up to which there may be records.
    var end: Int
    /// True when nothing will be appended any more.
    var isSealed: Bool
    /// True while it has records that were not synced: who appended them may not have come to hold them yet.
    var isYoung = false
    weak var mapping: SegmentMapping?
  }

  /// A segment file in which nothing is alive, kept to be written again.
  struct Spare: Sendable {
    let number: UInt32
    weak var mapping: SegmentMapping?
  }

  let segmentBytes: Int
  let maximumSpares: Int
  private(set) var segments: [UInt32: Segment] = [:]
  private(set) var spares: [Spare] = []
  /// Ranges that were found damaged at start.
  var damaged: [StoredRange: SpoolFault] = [:]
  /// Why the spool has stopped.
  var failure: SpoolError?
  /// Releases that did not match what was retained, whose segments stay; and retains of what is no longer there.
  private(set) var mismatches = 0

  init(segmentBytes: Int, maximumSpares: Int) {
    self.segmentBytes = segmentBytes
    self.maximumSpares = maximumSpares
  }

  mutating func add(_ number: UInt32, fileBytes: Int, end: Int, isSealed: Bool) {
    segments[number] = Segment(fileBytes: fileBytes, end: end, isSealed: isSealed)
  }

  /// A record was written up to `end`.
  mutating func appended(_ number: UInt32, end: Int) {
    segments[number]?.end = end
    segments[number]?.isYoung = true
  }

  /// What was appended to these segments is durable, and held by now when it is wanted; those to be removed, as for `release`.
  mutating func synced(_ numbers: [UInt32]) -> [UInt32] {
    for number in numbers { segments[number]?.isYoung = false }
    return numbers.filter { retire($0) }
  }

  mutating func retain(_ ranges: [StoredRange]) {
    for range in ranges {
      guard segments[range.segment] != nil else {
        mismatches += 1
        continue
      }
      segments[range.segment]?.references += 1
      segments[range.segment]?.liveBytes &+= range.length
    }
  }

  /// Lets ranges go; the numbers of segment files that nobody needs any more, for the caller to remove.
  mutating func release(_ ranges: [StoredRange]) -> [UInt32] {
    var emptied: [UInt32] = []
    for range in ranges {
      guard var segment = segments[range.segment], segment.references > 0 else {
        mismatches += 1
        continue
      }
      segment.references -= 1
      segment.liveBytes &-= range.length
      segments[range.segment] = segment
      if segment.references == 0 { emptied.append(range.segment) }
    }
    return emptied.filter { retire($0) }
  }

  /// Nothing will be appended to the segment any more. True when its file is to be removed.
  mutating func seal(_ number: UInt32) -> Bool {
    segments[number]?.isSealed = true
    return retire(number)
  }

  /// Takes a segment in which nothing is alive out of the table: true when its file is to be removed, false when it stays.
  private mutating func retire(_ number: UInt32) -> Bool {
    guard let segment = segments[number], segment.isSealed, !segment.isYoung, segment.references == 0 else { return false }
    guard segment.liveBytes == 0 else {
      // As many releases as retains, but of other lengths: something alive may be left. A message lost is worse than a file kept.
      mismatches += 1
      return false
    }
    segments[number] = nil
    guard segment.fileBytes == segmentBytes, spares.count < maximumSpares else { return true }
    spares.append(Spare(number: number, mapping: segment.mapping))
    return false
  }

  /// A file that was there at start and that no live range names. True when it is to be removed.
  mutating func leftover(_ number: UInt32, fileBytes: Int) -> Bool {
    guard fileBytes == segmentBytes, spares.count < maximumSpares else { return true }
    spares.append(Spare(number: number, mapping: nil))
    return false
  }

  /// Whether a new file will soon be needed for which there is no spare: the one that takes appends is more than a quarter full.
  var wantsSpare: Bool {
    guard spares.count < maximumSpares, !spares.contains(where: { $0.mapping == nil }) else { return false }
    return segments.values.contains { !$0.isSealed && $0.end > $0.fileBytes / 4 }
  }

  /// A file that was made ahead of need.
  mutating func add(spare number: UInt32) { spares.append(Spare(number: number, mapping: nil)) }

  /// A spare that nobody maps: under a mapping the octets must not change.
  mutating func takeSpare() -> UInt32? {
    guard let index = spares.firstIndex(where: { $0.mapping == nil }) else { return nil }
    return spares.remove(at: index).number
  }

  /// The mapping of a segment, made by `map` when nobody has one.
  mutating func mapping(of number: UInt32, _ map: () throws(SegmentFault) -> SegmentMapping) throws(SegmentFault) -> SegmentMapping {
    guard let segment = segments[number] else { throw SegmentFault(.missingSegment) }
    if let mapping = segment.mapping { return mapping }
    let made = try map()
    segments[number]?.mapping = made
    return made
  }
}
