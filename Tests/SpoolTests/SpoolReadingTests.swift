import Foundation
import Glibc
import Octets
import Testing

@testable import Spool

/// Records of an earlier run are doubted until they were read once.
@Suite struct SpoolReadingTests {
  /// An earlier run's records, in one segment.
  private func earlier(_ bodies: [[UInt8]], segmentBytes: Int = 1 << 16) throws -> (Folder, [StoredRange]) {
    let folder = Folder()
    let spool = try open(folder, segmentBytes: segmentBytes)
    let ranges = try bodies.map { try spool.keep($0) }
    try spool.sync()
    return (folder.copy(), ranges)
  }

  private let bodies = (1...5).map { [UInt8](repeating: UInt8($0), count: 1000 + $0) }

  @Test func anOldRecordIsReadOnce() throws {
    let (folder, rows) = try earlier(bodies)
    let spool = try open(folder, rows)
    // By its whole or by a part of it, to give it or to look at it: from then on it is believed, and only `check` reads it again.
    #expect(spool.verify(rows[0]) == nil)
    _ = try spool.chunk(rows[1])
    #expect(spool.verify(rows[2][500..<600]) == nil)
    _ = try spool.chunk(rows[3][500..<600])
    for row in rows { folder.flip(folder.segments[0], at: Int(row.offset) + 7) }
    for row in rows[..<4] {
      #expect(spool.verify(row) == nil)
      #expect(spool.verify(row[999..<1001]) == nil)
      #expect(try spool.chunk(row).count == Int(row.length))
      #expect(spool.check(row) == .checksum)
    }
    #expect(spool.verify(rows[4]) == .checksum)
    #expect(spool.verify(rows[4][0..<1]) == .checksum)
  }

  @Test func manyAreVerifiedAtOnce() throws {
    let (folder, rows) = try earlier(bodies)
    folder.flip(folder.segments[0], at: Int(rows[1].offset))
    let gone = StoredRange(segment: 99, offset: 96, length: 1)
    let spool = try open(folder, rows + [gone])
    let new = try spool.keep(bodies[0])
    let part = rows[1][4..<9]
    #expect(
      spool.verify([rows[0], part, rows[1], gone, new, rows[1], rows[3], gone])
        == [part: .checksum, rows[1]: .checksum, gone: .missingSegment])
    #expect(spool.usage.mappings == 0)
    for row in rows { folder.flip(folder.segments[0], at: Int(row.offset)) }
    #expect(spool.verify(rows + [new]) == [rows[2]: .checksum, rows[4]: .checksum])
  }

  @Test func aRecordOfThisRunIsNotDoubted() throws {
    let folder = Folder()
    let spool = try open(folder)
    let range = try spool.keep(bodies[0])
    folder.flip(folder.segments[0], at: Int(range.offset) + 7)
    #expect(spool.verify(range) == nil)
    #expect(try spool.chunk(range).count == bodies[0].count)
    #expect(spool.check(range) == .checksum)
    #expect(spool.verify(StoredRange(segment: range.segment, offset: range.offset, length: 1 << 20)) == .outOfBounds)
    #expect(spool.verify(StoredRange(segment: 99, offset: 96, length: 1)) == .missingSegment)
  }

  /// Damage is no verdict for ever: the file may have been put right, and what the checksum proves is good.
  @Test func damageThatIsMendedIsGone() throws {
    let (folder, rows) = try earlier(bodies)
    folder.flip(folder.segments[0], at: Int(rows[2].offset))
    let spool = try open(folder, rows)
    for _ in 0..<3 { #expect(throws: SpoolError.damaged(rows[2], .checksum)) { try spool.chunk(rows[2]) } }
    folder.flip(folder.segments[0], at: Int(rows[2].offset))
    #expect(try spool.chunk(rows[2]).array == bodies[2])
  }

  /// Without its header nothing of a record can be believed; those behind it are found without it.
  @Test(arguments: [-32, -12])
  func aLostHeaderLeavesItsNeighbours(distance: Int) throws {
    let (folder, rows) = try earlier(bodies)
    folder.flip(folder.segments[0], at: Int(rows[1].offset) + distance)
    let spool = try open(folder, rows)
    for (row, body) in zip(rows, bodies) where row != rows[1] {
      #expect(try spool.chunk(row[700..<900]).array == Array(body[700..<900]))
      #expect(try spool.chunk(row).array == body)
      #expect(spool.check(row[0..<5]) == nil)
    }
    for part in [rows[1], rows[1][0..<1], rows[1][900..<1000]] { #expect(spool.verify(part) == .noRecord) }
  }

  /// A body that contains a record of its own segment, as a copy of the file would: sound or not, it does not stand for what holds it.
  @Test(arguments: [(true, 50), (false, 50), (false, 0)])
  func aRecordInsideOfARecordDeceivesNobody(isSound: Bool, behind: Int) throws {
    let folder = Folder()
    let spool = try open(folder)
    let first = try spool.keep(Array("first".utf8))
    try spool.sync()
    let salt = try SegmentMapping(path: SegmentName.path(folder.path, first.segment), number: first.segment).salt
    let header = SegmentFormat.recordHeader(segment: first.segment, salt: salt, length: 40)
    var crc = CRC32C()
    crc.update((header + [UInt8](repeating: 5, count: 40)).span)
    let inner = header + [UInt8](repeating: 5, count: 40) + SegmentFormat.trailer(checksum: isSound ? crc.value : 0, length: 40)
    let body = [UInt8](repeating: 1, count: 64) + inner + [UInt8](repeating: 2, count: 200)
    let range = try spool.keep(body)
    try spool.sync()
    let copy = folder.copy()
    let reopened = try open(copy, [first, range])
    let lower = 64 + header.count + behind
    #expect(try reopened.chunk(range[UInt64(lower)..<UInt64(lower + 30)]).array == Array(body[lower..<lower + 30]))
    #expect(reopened.check(range[UInt64(lower)..<UInt64(lower + 30)]) == nil)
    #expect(try reopened.chunk(range).array == body)
  }

  /// To look at octets that the disk does not give would end the process; here the file's end stands for them.
  @Test(.enabled(if: kernelReadsAhead)) func whatTheDiskDoesNotGiveIsAFault() throws {
    let (folder, rows) = try earlier([UInt8](1...4).map { [UInt8](repeating: $0, count: 9000) })
    let spool = try open(folder, rows, segmentBytes: 1 << 16)
    let held = try spool.chunk(rows[0])
    truncate(folder.path + "/" + folder.segments[0], 12288)
    for range in [rows[1], rows[3], rows[3][4000..<5000]] {
      #expect(spool.verify(range) == .unreadableSegment(code: EIO))
      #expect(spool.check(range) == .unreadableSegment(code: EIO))
      #expect(throws: SpoolError.damaged(range, .unreadableSegment(code: EIO))) { try spool.chunk(range) }
    }
    #expect(held.array == [UInt8](repeating: 1, count: 9000))
  }

  /// Linux 5.14 and later say whether octets can be had; an older one leaves it to the look at them.
  private static var kernelReadsAhead: Bool {
    let bytes = Int(getpagesize())
    guard let page = mmap(nil, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), page != MAP_FAILED else { return false }
    defer { munmap(page, bytes) }
    return madvise(page, bytes, MADV_POPULATE_READ) == 0
  }

  @Test func aLargeRecordIsProvenByAnyPart() throws {
    var dice = Dice(4)
    let body = dice.bytes(3_000_000)
    let (folder, rows) = try earlier([[1], body, [2]])
    let spool = try open(folder, rows)
    #expect(try spool.chunk(rows[1][2_999_990..<3_000_000]).array == Array(body[2_999_990...]))
    folder.flip(SegmentName.path("", rows[1].segment).dropFirst().description, at: 5000)
    #expect(try spool.chunk(rows[1][1_000_000..<1_000_001]).count == 1)
    #expect(spool.check(rows[1]) == .checksum)
    // One that was not read yet, by a part far behind the damage.
    let copy = folder.copy()
    let again = try open(copy, rows)
    #expect(again.verify(rows[1][2_999_990..<3_000_000]) == .checksum)
    #expect(again.faults([rows[0], rows[2]]).isEmpty)
  }

  /// What is remembered says of a range what the records would say, in whatever order they were read.
  @Test(arguments: seeds(10))
  func whatIsProven(seed: UInt64) {
    var dice = Dice(seed)
    var places: [RecordPlace] = []
    var at = SegmentFormat.fileHeaderBytes
    for _ in 0..<40 {
      places.append(RecordPlace(header: at, length: Int.random(in: 0..<60, using: &dice), version: 1, code: 1))
      at = (places.last?.next ?? at) + 8 * Int.random(in: 0..<3, using: &dice)
    }
    var proven = ProvenRecords()
    var known: [RecordPlace] = []
    for place in places.shuffled(using: &dice).prefix(25) {
      known.append(place)
      proven.insert(place)
      if Bool.random(using: &dice) { proven.insert(place) }
      #expect(proven.count == known.count)
      for _ in 0..<40 {
        let lower = Int.random(in: 0..<at, using: &dice)
        let range = lower..<lower + Int.random(in: 0..<70, using: &dice)
        let holds = known.contains { $0.payload <= range.lowerBound && range.upperBound <= $0.payloadEnd }
        #expect(proven.holds(range) == holds, "seed \(seed): \(range)")
      }
    }
    // Too far or too long to be remembered: asked again, not guessed.
    proven.insert(RecordPlace(header: 1 << 40, length: 8, version: 1, code: 1))
    proven.insert(RecordPlace(header: at + 64, length: 1 << 33, version: 1, code: 1))
    #expect(proven.count == known.count)
  }
}
