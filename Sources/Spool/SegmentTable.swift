internal import Octets

/// What is alive in the spool: the segments, how many ranges of each are held, and who maps them.
///
/// It is asked from all threads, under the spool's lock, and does no writing itself.
struct SegmentTable: Sendable {
  /// A segment file that holds records.
  struct Segment: Sendable {
    /// Ranges that are held, each counted as often as it was retained. Below zero when more was let go of an old segment than was counted.
    var references = 0
    /// Their octets together: a check on the count, for a release that does not match its retain. Calculated modulo 2^64.
    var liveBytes: UInt64 = 0
    var fileBytes: Int
    /// Offset up to which there may be records.
    var end: Int
    /// True when nothing will be appended any more.
    var isSealed: Bool
    /// True while it has records that were not synced: who appended them may not have come to hold them yet.
    var isYoung = false
    /// True when an earlier run wrote it, or its file is lost: its records are doubted until they were read once.
    var isOld = false
    /// True when more was let go than was ever held, so that nobody knows what is alive in it: it stays.
    var isMiscounted = false
    /// Of an old segment, the records that need not be doubted any more.
    var proven = ProvenRecords()
    weak var mapping: SegmentMapping?
  }

  /// A segment file in which nothing is alive, kept to be written again.
  struct Spare: Sendable {
    let number: UInt32
    weak var mapping: SegmentMapping?
  }

  /// References to one segment, added up.
  struct Sum: Sendable {
    private(set) var references = 0
    private(set) var bytes: UInt64 = 0

    mutating func add(_ range: StoredRange) {
      references += 1
      bytes &+= range.length
    }
  }

  /// What is known about a range without looking at the file.
  struct Found {
    var mapping: SegmentMapping?
    /// Offset up to which there may be records.
    var end: Int
    /// True when its octets need not be compared with their checksum.
    var isProven: Bool
  }

  let segmentBytes: Int
  let maximumSpares: Int
  /// False as long as the references to old segments are not all counted.
  private(set) var isCounted: Bool
  /// The first number of this run, and the last so far.
  private let firstNumber: UInt32
  private var lastNumber: UInt32?
  private(set) var segments: [UInt32: Segment] = [:]
  private(set) var spares: [Spare] = []
  /// Why the spool has stopped.
  var failure: SpoolError?
  /// How many look at the files beside us: while anybody does, none goes and none is written again.
  private var holds = 0
  /// Releases that did not match what was retained, whose segments stay; and retains of what is no longer there.
  private(set) var mismatches = 0

  init(
    segmentBytes: Int, maximumSpares: Int, firstNumber: UInt32, oldFiles: [(number: UInt32, fileBytes: Int)], isCounted: Bool
  ) {
    self.segmentBytes = segmentBytes
    self.maximumSpares = maximumSpares
    self.firstNumber = firstNumber
    self.isCounted = isCounted
    segments.reserveCapacity(oldFiles.count)
    for (number, fileBytes) in oldFiles { addOld(number, fileBytes: fileBytes) }
  }

  /// A segment file was made.
  mutating func add(_ number: UInt32, fileBytes: Int, end: Int) {
    segments[number] = Segment(fileBytes: fileBytes, end: end, isSealed: false)
    note(number)
  }

  private mutating func addOld(_ number: UInt32, fileBytes: Int) {
    segments[number] = Segment(fileBytes: fileBytes, end: fileBytes, isSealed: true, isOld: true)
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
      enterIfLost(range.segment)
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
      enterIfLost(range.segment)
      guard var segment = segments[range.segment], segment.references > 0 || (segment.isOld && !isCounted) else {
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

  /// What rows named at the opening.
  mutating func count(_ sums: [UInt32: Sum]) {
    for (number, sum) in sums {
      if segments[number] == nil { addOld(number, fileBytes: 0) }
      // Of this run: the caller did not say how far its rows go. Held all the same, since it will be released.
      if segments[number]?.isOld == false { mismatches += sum.references }
      segments[number]?.references += sum.references
      segments[number]?.liveBytes &+= sum.bytes
    }
  }

  /// All was counted; the numbers of files to be removed, as for `release`.
  mutating func endCounting() -> [UInt32] {
    if isCounted { return [] }
    isCounted = true
    let old = segments.filter(\.value.isOld)
    for (number, segment) in old where segment.references < 0 {
      // A message lost is worse than a file kept.
      segments[number]?.isMiscounted = true
      mismatches += 1
    }
    return old.keys.sorted().filter { retire($0) }
  }

  /// From now on no file that has records goes or is written again, whatever is released.
  mutating func hold() { holds += 1 }

  /// Takes a hold back; the numbers of files to be removed, as for `release`.
  mutating func endHold() -> [UInt32] {
    holds -= 1
    return holds > 0 ? [] : segments.keys.sorted().filter { retire($0) }
  }

  /// Enters a segment that is not there and may be named by a row that was not counted yet: its file is lost.
  private mutating func enterIfLost(_ number: UInt32) {
    if isCounted || segments[number] != nil { return }
    // A segment of this run that is gone was not lost: all of it was let go.
    if let lastNumber, number &- firstNumber <= lastNumber &- firstNumber { return }
    addOld(number, fileBytes: 0)
  }

  /// Nothing will be appended to the segment any more. True when its file is to be removed.
  mutating func seal(_ number: UInt32) -> Bool {
    segments[number]?.isSealed = true
    return retire(number)
  }

  /// Takes a segment in which nothing is alive out of the table: true when its file is to be removed, false when it stays.
  private mutating func retire(_ number: UInt32) -> Bool {
    guard let segment = segments[number], segment.isSealed, !segment.isYoung, segment.references == 0 else { return false }
    if segment.isMiscounted || (segment.isOld && !isCounted) || holds > 0 { return false }
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

  /// Whether a new file will soon be needed for which there is no spare: the one that takes appends is more than a quarter full.
  var wantsSpare: Bool {
    guard spares.count < maximumSpares, !spares.contains(where: { $0.mapping == nil }) else { return false }
    return segments.values.contains { !$0.isSealed && $0.end > $0.fileBytes / 4 }
  }

  /// A file that was made ahead of need.
  mutating func add(spare number: UInt32) {
    spares.append(Spare(number: number, mapping: nil))
    note(number)
  }

  /// The number was given to a file of this run.
  private mutating func note(_ number: UInt32) {
    // Counted from the first, since the numbers may have begun anew.
    if let lastNumber, number &- firstNumber < lastNumber &- firstNumber { return }
    lastNumber = number
  }

  /// A spare that nobody maps: under a mapping the octets must not change.
  mutating func takeSpare() -> UInt32? {
    guard let index = spares.firstIndex(where: { $0.mapping == nil }) else { return nil }
    return spares.remove(at: index).number
  }

  /// Where a range lies, if there is such a segment.
  func find(_ range: StoredRange) throws(SegmentFault) -> Found {
    guard let segment = segments[range.segment] else { throw SegmentFault(.missingSegment) }
    let isProven = !segment.isOld || SegmentMapping.offsets(of: range, end: segment.end).map { segment.proven.holds($0) } ?? false
    return Found(mapping: segment.mapping, end: segment.end, isProven: isProven)
  }

  /// The mapping that serves all readers of a segment: `made`, unless another was quicker.
  mutating func share(_ made: SegmentMapping, of number: UInt32) throws(SegmentFault) -> SegmentMapping {
    guard let segment = segments[number] else { throw SegmentFault(.missingSegment) }
    if let mapping = segment.mapping { return mapping }
    segments[number]?.mapping = made
    return made
  }

  /// A record of an old segment holds what was written.
  mutating func proved(_ number: UInt32, _ place: RecordPlace) {
    if segments[number]?.isOld == true { segments[number]?.proven.insert(place) }
  }
}
